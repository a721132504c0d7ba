"""A network with its exits, drawn from input to output."""

from __future__ import annotations

import os
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from figures.report.networks import Network, Part
from figures.report.networks import network as describe
from figures.style import COLOURS, figure
from zoo import registry

LINE, PAD, GAP = 1.0, 0.45, 1.3  # heights, in lines of text
TRUNK, EXITS = (0.0, 30.0), (36.0, 72.0)  # left and right ends, in letters
WIDEST = 40.0  # of the band that stands for all images, in points
NOTES = {
    "band": "Blue bands: the share of the test images that get there.",
    "block": "k3 e6: an inverted residual block with a depthwise kernel of 3 × 3 and "
    "an expansion of 6.",
}


def network(name: str, out: str | os.PathLike) -> None:
    """Draw a model: the parts of its backbone, and its exits beside them.

    The band is as wide as the share of the images that get there, on the test split
    with the model's thresholds. A network outside the paper's space is shown as what
    its backbone computes before each exit.

    Args:
        name: A pretrained model's name, or a folder.
        out: File to write: .png, .svg or .pdf.

    Raises:
        ValueError: There is no such model.
    """
    record = registry.record(name)
    shown = describe(record.architecture, record.exit_names, record.macs)
    test = (record.results or {}).get("test")
    parts = shown.parts or _before(shown)
    at = {
        k if exit.part is None else exit.part: k for k, exit in enumerate(shown.exits)
    }
    trunk = [_trunk_lines(part) for part in parts]
    arms = [
        _exit_lines(shown, at[i], test) if i in at else () for i in range(len(parts))
    ]
    heights = [
        LINE * max(len(left), len(right)) + 2 * PAD for left, right in zip(trunk, arms)
    ]
    notes = [NOTES["band"]] * (test is not None) + [NOTES["block"]] * bool(shown.parts)
    total = sum(heights) + GAP * len(parts) + LINE * len(notes)
    with figure(out, 7.2, 0.5 + 0.175 * total) as axes:
        axes.set_xlim(-1, EXITS[1] + 1)
        axes.set_ylim(total + 0.5, -0.5)
        axes.set_axis_off()
        axes.set_title(f"{record.name} and its exits")
        top, going = 0.0, 1.0
        for i, height in enumerate(heights):
            if i:
                _band(axes, [sum(TRUNK) / 2] * 2, (top - GAP, top), going)
            _box(axes, TRUNK, top, height, trunk[i], COLOURS[0])
            if i in at:
                leaving = test.utilisation[at[i]] if test else 0.0
                middle = top + height / 2
                _band(axes, (TRUNK[1], EXITS[0]), [middle] * 2, leaving)
                _box(axes, EXITS, top, height, arms[i], COLOURS[1])
                going -= leaving if test else 0.0
            top += height + GAP
        axes.text(0, top, "\n".join(notes), fontsize=8, va="top")


def _before(shown: Network) -> tuple[Part, ...]:
    """A part before each exit of a network whose parts are not known."""
    spent = [0, *(exit.backbone for exit in shown.exits)]
    return tuple(
        Part(f"backbone, part {i}", f"{(more - less) / 1e6:.2f} M MACs")
        for i, (less, more) in enumerate(zip(spent, spent[1:]), 1)
    )


def _trunk_lines(part: Part) -> tuple[str, ...]:
    return (part.name, part.detail, *([", ".join(part.blocks)] if part.blocks else []))


def _exit_lines(shown: Network, k: int, test: object) -> tuple[str, ...]:
    """What an exit is, and what it does."""
    exit = shown.exits[k]
    name = "final classifier" if k == len(shown.exits) - 1 else f"exit {exit.name}"
    lines = [name.replace("exit exit", "exit")]
    lines += [line for line in exit.layers if line != "classifier"]
    if test is None:
        return (*lines, f"{(exit.backbone + exit.branch) / 1e6:.2f} M MACs")
    if k < len(test.thresholds) and test.thresholds[k] == 1:
        return (*lines, "switched off")
    share, spent = test.utilisation[k], test.macs["standard"][k]
    return (*lines, f"{100 * share:.1f} % leave, {spent / 1e6:.2f} M MACs each")


def _box(
    axes: Axes,
    ends: tuple[float, float],
    top: float,
    height: float,
    lines: Sequence[str],
    colour: str,
) -> None:
    """A box with lines of text, the first in bold."""
    low, high = ends
    axes.add_patch(
        FancyBboxPatch(
            (low, top),
            high - low,
            height,
            boxstyle="round,pad=0,rounding_size=0.4",
            facecolor="white",
            edgecolor=colour,
            linewidth=1.2,
            zorder=3,
        )
    )
    first = top + (height - LINE * len(lines)) / 2
    for i, line in enumerate(lines):
        axes.text(
            (low + high) / 2,
            first + LINE * (i + 0.5),
            line,
            ha="center",
            va="center",
            fontsize=8,
            fontweight="normal" if i else "bold",
            zorder=4,
        )


def _band(axes: Axes, x: Sequence[float], y: Sequence[float], share: float) -> None:
    """A band between two boxes, as wide as a share of the images."""
    style = {"color": COLOURS[5], "solid_capstyle": "butt", "zorder": 1}
    axes.plot(x, y, linewidth=1 + WIDEST * share, **style)
