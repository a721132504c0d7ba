"""A report of searches and models: one HTML file that needs nothing else."""

from __future__ import annotations

import html
import json
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from string import Template
from typing import TYPE_CHECKING, Any

from zoo.files import write_text

if TYPE_CHECKING:
    from figures.report.content import Content

FOLDER = pathlib.Path(__file__).parent
# Within a script element these could end it, or be no JavaScript.
ESCAPES = {ord(each): f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}


def report(
    sources: Sequence[str | os.PathLike], out: str | os.PathLike, **options: Any
) -> Content:
    """Write a report.

    Args:
        sources: Folders or records of searches, and names, folders or records of
            models.
        out: File to write, HTML.
        **options: Those of `figures.report.content.content`: `convention`, `pictures`,
            `data_dir` and `refresh`.

    Returns:
        What the page shows.

    Raises:
        ValueError: A source is neither, or its record is damaged.
        OSError: The file cannot be written, or a data set cannot be found.

    Example:
        >>> report(["my_search", "aebnas_cifar10_small"], "report.html")
    """
    from figures.report.content import content

    found = content(sources, **options)
    write_text(out, page(found))
    return found


def watch(
    sources: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    seconds: float = 30,
    wait: Callable[[float], None] = time.sleep,
    **options: Any,
) -> Content:
    """Write a report again and again until no search in it is running.

    A browser that shows the page reads it anew as often.

    Args:
        sources: As for `report`.
        out: File to write, HTML.
        seconds: Between two versions.
        wait: What waits so long.
        **options: As for `report`, but `refresh`.

    Returns:
        What the page shows at the end.
    """
    while True:
        found = report(sources, out, refresh=seconds, **options)
        if found.refresh is None:
            return found
        wait(seconds)


def page(content: Content) -> str:
    """A report as HTML text."""
    from zoo.records import to_dict

    data = json.dumps(to_dict(content), ensure_ascii=False, separators=(",", ":"))
    parts = {
        name: (FOLDER / name).read_text(encoding="utf-8")
        for name in (
            *("page.html", "page.css"),
            *("charts.js", "panel.js", "search.js", "page.js"),
        )
    }
    return Template(parts["page.html"]).substitute(
        title=html.escape(content.title),
        style=parts["page.css"],
        charts=parts["charts.js"],
        panel=parts["panel.js"],
        search=parts["search.js"],
        script=parts["page.js"],
        data=data.translate(ESCAPES),
    )
