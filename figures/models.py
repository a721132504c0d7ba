"""The zoo's models of a data set beside published networks."""

from __future__ import annotations

import os

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from figures.style import COLOURS, MARKERS, figure
from reproduce import published
from zoo import registry

CONVENTION = "aebnas"  # what published figures use
FAR = 5  # times as many MACs as the next network: too far away to be drawn to scale


def models(data: str, out: str | os.PathLike) -> None:
    """Plot accuracy against average MACs: pretrained models and published figures.

    Lines are the models' threshold settings on the validation split, stars what is
    shipped on the test split; all in the `aebnas` convention, so only networks of the
    paper's space are shown. A published network that needs more than `FAR` times the
    MACs of the next one is named at the edge.

    Args:
        data: The data set.
        out: File to write: .png, .svg or .pdf.

    Raises:
        ValueError: No pretrained model belongs to the data set.
    """
    registry.pareto(data, CONVENTION)  # an error if there is none
    with figure(out, 7.6, 3.8) as axes:
        for colour, name in zip(COLOURS, _names(data)):
            record = registry.record(name)
            points = registry.operating_points(name, CONVENTION)
            axes.plot(
                [point.average_macs / 1e6 for point in points],
                [100 * point.accuracy for point in points],
                drawstyle="steps-post",
                color=colour,
            )
            test = record.results["test"]
            axes.plot(
                test.average_macs[CONVENTION] / 1e6,
                100 * test.accuracy,
                "*",
                color=colour,
                markersize=13,
                label=f"{name} (test)",
            )
        ours = max(x for line in axes.get_lines() for x in line.get_xdata())
        families: dict[str, str] = {}
        for row in published.rows(data):
            if row.accuracy is None:
                continue
            kind = "derived" if row.derived_from else "published"
            family = row.system.split(",")[0].rstrip(" 1234")
            new = family not in families
            families.setdefault(family, MARKERS[len(families) % len(MARKERS)])
            axes.plot(
                row.average_macs / 1e6,
                row.accuracy,
                families[family],
                color="0.45",
                markersize=5,
                label=f"{family} ({kind})" if new else None,
            )
        axes.plot([], [], color="black", label="threshold settings (validation)")
        shown = sorted(x for line in axes.get_lines() for x in line.get_xdata())
        pairs = zip(shown, shown[1:])
        far = [more for less, more in pairs if more > max(FAR * less, ours)]
        if far:
            _name_at_edge(axes, data, far[-1])
            shown = [x for x in shown if x < far[-1]]
            axes.set_xlim(shown[0] / 1.15, shown[-1] * 1.4)
        if max(shown) > 10 * min(shown):
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("average MACs per image (millions, aebnas convention)")
        axes.set_ylabel("accuracy (%)")
        beside = ", and published networks" if families else ""
        axes.set_title(f"Models of {data}{beside}")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)


def _name_at_edge(axes: Axes, data: str, least: float) -> None:
    """Name the published networks of `least` million MACs and more, with an arrow."""
    for row in published.rows(data):
        if row.accuracy is not None and row.average_macs / 1e6 >= least:
            axes.annotate(
                f"{row.system}, {row.average_macs / 1e6:.0f} M",
                (1, row.accuracy),
                (-18, 0),
                xycoords=axes.get_yaxis_transform(),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=8,
                color="0.45",
                arrowprops={"arrowstyle": "->", "color": "0.45"},
            )


def _names(data: str) -> list[str]:
    """The data set's models, the one of the cheapest setting first."""
    records = [registry.record(name) for name in registry.list_models()]
    names = [
        each.name
        for each in records
        if each.data and each.data.name == data and CONVENTION in each.conventions
    ]
    return sorted(
        names, key=lambda name: registry.operating_points(name)[0].average_macs
    )
