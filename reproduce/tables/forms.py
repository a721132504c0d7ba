"""Forms that a table is printed in."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from reproduce.tables.registry import Table
from zoo.cards import markdown_table


def _markdown(table: Table) -> str:
    return markdown_table(table.columns, table.rows)


def _latex(table: Table) -> str:
    def escaped(text: str) -> str:
        for character in "\\&%$#_{}":
            text = text.replace(
                character,
                r"\textbackslash " if character == "\\" else f"\\{character}",
            )
        return text.replace("`", "").replace("±", r"$\pm$").replace("~", r"$\sim$")

    lines = [
        " & ".join(map(escaped, line)) + r" \\" for line in (table.columns, *table.rows)
    ]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _csv(table: Table) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([table.columns, *table.rows])
    return out.getvalue().rstrip("\n")


FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": _markdown,
    "latex": _latex,
    "csv": _csv,
}
