"""Tables by name: what a table is, and the registry of them.

Register one of your own in a file that the command line gets by `--load FILE`:

    from reproduce import runs, tables

    def seconds(results):
        found = runs.load("reduced", results)
        return tables.Table(
            ("experiment", "seconds"),
            [(each.experiment, f"{each.seconds:.0f}") for each in found],
        )

    tables.register("seconds", seconds)
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reproduce.records import RESULTS, check_folder
from zoo.names import add, find


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        columns: Their names.
        rows: A cell for every column.
        remark: What else to know, Markdown text.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    remark: str = ""

    def only(self, columns: Sequence[str]) -> Table:
        """The same table with these of its columns, in this order."""
        places = [list(self.columns).index(name) for name in columns]
        return Table(
            columns, [[row[k] for k in places] for row in self.rows], self.remark
        )


TABLES: dict[str, Callable[[pathlib.Path], Table]] = {}
"""The functions that make tables from a folder of records, by name."""


def register(name: str, function: Callable[[pathlib.Path], Table]) -> None:
    """Add a table.

    Args:
        name: What `aebnas reproduce table NAME` calls it.
        function: Makes it from a folder of records, laid out as `reproduce.records`
            says.

    Raises:
        ValueError: There is a table of that name.
    """
    add(TABLES, "table", name, function)


def table(name: str, results: str | os.PathLike = RESULTS) -> Table:
    """Make a table from a folder of records.

    Args:
        name: One of `TABLES`.
        results: The folder.

    Raises:
        ValueError: There is no such table, or a record is damaged.
        FileNotFoundError: The folder or a record is missing.
    """
    return find(TABLES, "table", name)(check_folder(results))
