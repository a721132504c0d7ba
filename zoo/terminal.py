"""What the command lines print: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def console(width: int = 120) -> Console:
    """Standard output; `width` is for where no terminal says how wide it is."""
    console = Console()
    return console if console.is_terminal else Console(width=width)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is text and whose others are numbers.

    A terminal too narrow for a word, such as the path of a file, has it on two lines;
    elsewhere a row is a line, whatever its length.
    """
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for column in table.columns:
        column.overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    console(width=10_000).print(table)


def print_json(value: Any) -> None:
    """Print JSON."""
    print(json.dumps(value, indent=1))
