"""Accuracy against average MACs: a model's threshold frontier, and its mean."""

from __future__ import annotations

import os

from figures.style import COLOURS, figure
from zoo import exits, registry


def frontier(name: str, out: str | os.PathLike) -> None:
    """Plot the recorded threshold frontier of a model.

    Every point of the line is one setting of the thresholds of the same weights; also
    shown are each exit alone, the other ones left out, and the shipped setting. All is
    measured on the validation split: its accuracies are a little higher than those of
    the test split, so a picture of both would favour what is of the first. The mean is
    the area under the line over the logarithm of MACs (`zoo.exits.mean_accuracy`), from
    the cheapest setting to the cost of the whole network without exits.

    Args:
        name: A pretrained model's name, or a folder.
        out: File to write: .png, .svg or .pdf.

    Raises:
        ValueError: There is no such model, or it has no recorded frontier.
    """
    record = registry.record(name)
    if not record.frontier or not record.results:
        raise ValueError(f"{name} has no recorded frontier.")
    points, found = record.frontier, record.results["validation"]
    branches = (*record.macs.branches, 0)
    spent = [sum(each) for each in zip(record.macs.backbone, branches)]
    label, ends = "threshold settings", (points[0].average_macs, spent[-1])
    if ends[0] < ends[1]:
        mean = exits.mean_accuracy(points, *ends)
        label += f", mean over log MACs {100 * mean:.1f} %"
    with figure(out) as axes:
        axes.plot(
            [point.average_macs / 1e6 for point in points],
            [100 * point.accuracy for point in points],
            drawstyle="steps-post",
            label=label,
        )
        axes.plot(
            [macs / 1e6 for macs in spent],
            [100 * accuracy for accuracy in found.exit_accuracy],
            "s",
            color=COLOURS[1],
            label="every image at one exit",
        )
        for exit_name, macs, accuracy in zip(
            record.exit_names, spent, found.exit_accuracy
        ):
            axes.annotate(
                exit_name,
                (macs / 1e6, 100 * accuracy),
                (0, -12),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        axes.plot(
            found.average_macs["standard"] / 1e6,
            100 * found.accuracy,
            "*",
            markersize=14,
            color=COLOURS[2],
            label="as shipped",
        )
        axes.margins(0.08, 0.12)
        axes.set_xlabel("average MACs per image (millions)")
        axes.set_ylabel("accuracy (%)")
        data = f" of {record.data.name}" if record.data else ""
        axes.set_title(f"{record.name} on the validation split{data}")
        axes.legend(loc="lower right")
