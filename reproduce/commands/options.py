"""Options that several commands have."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from reproduce.records import RESULTS
from zoo.files import write_text
from zoo.terminal import add_load


def add_results(
    parser: argparse.ArgumentParser,
    default: pathlib.Path = RESULTS,
    text: str = "folder of records (default: the recorded results of a checkout)",
) -> None:
    """The option `--results`, and `--load` for what records may mention."""
    parser.add_argument(
        "--results", type=pathlib.Path, default=default, metavar="DIR", help=text
    )
    add_load(parser)


def add_out(
    parser: argparse.ArgumentParser, what: str = "also write the record"
) -> None:
    """The option `--out`."""
    parser.add_argument(
        "--out", type=pathlib.Path, metavar="FILE", help=f"{what} to this file"
    )


def prepare(path: pathlib.Path | None) -> None:
    """Make the folder of a record before measuring, so that nothing is lost."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)


def write(path: pathlib.Path | None, record: Any) -> None:
    """Write a record, if `--out` was given."""
    if path:
        from zoo import records

        records.write(path, record)


def write_page(path: pathlib.Path | None, text: str) -> None:
    """Write a text, or print it."""
    if path:
        prepare(path)
        write_text(path, text)
    else:
        print(text, end="")
