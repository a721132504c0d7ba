"""Accuracy against average MACs of networks that were trained alike."""

from __future__ import annotations

import os
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from figures.style import COLOURS, MARKERS, figure
from reproduce import comparison
from reproduce.comparison import ComparisonRecord
from zoo import records

FAMILIES = ("ours", "edanas", "branchynet", "msdnet", "static")  # in order of colours
LINE = 0.06  # height of a line of text, as a share of the axes'


def contenders(source: str | os.PathLike, out: str | os.PathLike) -> None:
    """Plot the networks of a comparison on the test split, as means over the seeds.

    A line is one network at many settings of its thresholds, chosen on the validation
    split. A marker is a static network. A colour is a family.

    Args:
        source: The record.
        out: File to write: .png, .svg or .pdf.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no record of a comparison.
    """
    found = records.read(source, ComparisonRecord)
    colours = dict(zip(FAMILIES, COLOURS))
    ends = []
    with figure(out, 7.6, 4.4) as axes:
        axes.set_xscale("log")
        for k, network in enumerate(found.networks):
            spent, accuracy = comparison.curve(
                comparison.points(found, network.name)[0]
            )
            shown = [macs / 1e6 for macs in spent], [100 * share for share in accuracy]
            colour = colours[network.family]
            style = "-" if len(spent) > 1 else MARKERS[k % len(MARKERS)]
            axes.plot(*shown, style, color=colour, label=network.text)
            ends.append((shown[1][-1], shown[0][-1], network.text, colour))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(y=0.08)
        _name(axes, ends)
        axes.set_xlabel("average MACs per image (millions)")
        axes.set_ylabel("test accuracy (%)")
        seeds = len({row.seed for row in found.rows})
        axes.set_title(
            f"{found.data.name}, {found.recipe['epochs']} epochs on {found.images:,} "
            f"images, mean of {seeds} seed{'s' if seeds > 1 else ''}"
        )


def _name(axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write names at the right edge, at the heights of what they name or lower.

    Args:
        axes: What the networks are drawn in.
        ends: Accuracy and MACs that each name belongs to, the name, and its colour.
    """
    low, high = axes.get_ylim()
    gap = LINE * (high - low)
    height = high
    for k, (accuracy, macs, text, colour) in enumerate(sorted(ends, reverse=True)):
        below = (len(ends) - 1 - k) * gap  # room for those still to come
        height = max(min(accuracy, height), low + below)
        axes.annotate(
            text,
            (macs, accuracy),
            (1.03, height),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=colour,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6},
        )
        height -= gap
