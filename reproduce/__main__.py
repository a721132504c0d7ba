"""Command line: python -m reproduce surrogates|oracles."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from reproduce import archive, oracles
from zoo.files import write_text
from zoo.registry import provenance
from zoo.terminal import print_json, print_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        print(f"reproduce {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m reproduce")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str) -> Any:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--json", action="store_true", help="print JSON for programs")
        return sub

    sub = command(
        "surrogates",
        _surrogates,
        "Predict each of the authors' 32 candidates from the other 31.",
    )
    sub.add_argument("--out", type=pathlib.Path, help="also write the record there")
    command("oracles", _oracles, "Compare the recorded searches on digits.")
    return parser


def _surrogates(options: argparse.Namespace) -> None:
    record = {"rows": archive.leave_one_out(), "provenance": provenance(seed=1)}
    if options.out:
        write_text(options.out, json.dumps(record, indent=1) + "\n")
    if options.json:
        return print_json(record)
    print_table(
        ("surrogate", "inputs", "target", "RMSE", "Spearman", "Kendall"),
        [
            [row["surrogate"], row["inputs"], row["target"]]
            + [f"{row[key]:.2f}" for key in ("rmse", "spearman", "kendall")]
            for row in record["rows"]
        ],
    )


def _oracles(options: argparse.Namespace) -> None:
    rows = oracles.compare(oracles.load())
    if options.json:
        return print_json(rows)
    print_table(
        ("method", "trials", "hypervolume of each seed", "mean", "spread"),
        [
            [
                row["method"],
                str(row["trials"]),
                " ".join(f"{volume:.3f}" for volume in row["hypervolumes"]),
                f"{row['mean']:.3f}",
                f"{row['spread']:.3f}",
            ]
            for row in rows
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
