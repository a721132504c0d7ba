"""One style for every figure: colour-blind safe, readable in print."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

from zoo.files import write_bytes  # noqa: E402

# Okabe and Ito, Color universal design, 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

STYLE = {
    "axes.grid": True,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.dpi": 160,
    "svg.hashsalt": "aebnas",
}


@contextlib.contextmanager
def figure(
    out: str | os.PathLike,
    width: float = 6.0,
    height: float = 3.8,
    rows: int = 1,
    columns: int = 1,
    heights: Sequence[float] | None = None,
) -> Iterator[Any]:
    """Axes in the shared style; the file is written when the block ends.

    Args:
        out: File to write; its suffix (.png, .svg, .pdf) decides the format.
        width: In inches.
        height: In inches.
        rows: Of axes.
        columns: Of axes.
        heights: Of the rows, relative to each other; None: equal.

    Yields:
        The `Axes`, or an array of them if there is more than one.
    """
    with matplotlib.rc_context(STYLE):
        canvas, axes = pyplot.subplots(
            rows, columns, figsize=(width, height), height_ratios=heights
        )
        try:
            yield axes
            suffix = pathlib.Path(out).suffix.lower()
            dated = {".svg": "Date", ".pdf": "CreationDate"}.get(suffix)
            file = io.BytesIO()
            canvas.savefig(
                file,
                format=suffix.removeprefix(".") or None,
                metadata={dated: None} if dated else None,
            )
            write_bytes(out, file.getvalue())
        finally:
            pyplot.close(canvas)
