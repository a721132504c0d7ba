"""Accuracy against average MACs: a model's threshold frontier."""

from __future__ import annotations

import os

from figures.style import COLOURS, figure
from zoo import registry


def frontier(name: str, out: str | os.PathLike) -> None:
    """Plot the recorded threshold frontier of a model.

    Every point of the line is one setting of the thresholds of the same weights,
    measured on the validation split; also shown are each exit alone and the shipped
    setting, measured on the test split.

    Args:
        name: A pretrained model's name, or a folder.
        out: File to write: .png, .svg or .pdf.

    Raises:
        ValueError: There is no such model, or it has no recorded frontier.
    """
    record = registry.record(name)
    if not record.frontier or not record.results:
        raise ValueError(f"{name} has no recorded frontier.")
    points, test = record.frontier, record.results["test"]
    with figure(out) as axes:
        axes.plot(
            [point.average_macs / 1e6 for point in points],
            [100 * point.accuracy for point in points],
            drawstyle="steps-post",
            label="threshold settings (validation split)",
        )
        axes.plot(
            [macs / 1e6 for macs in test.macs["standard"]],
            [100 * accuracy for accuracy in test.exit_accuracy],
            "s",
            color=COLOURS[1],
            label="every image at one exit (test split)",
        )
        for exit_name, macs, accuracy in zip(
            record.exit_names, test.macs["standard"], test.exit_accuracy
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
            test.average_macs["standard"] / 1e6,
            100 * test.accuracy,
            "*",
            markersize=14,
            color=COLOURS[2],
            label="as shipped (test split)",
        )
        axes.margins(0.08, 0.12)
        axes.set_xlabel("average MACs per image (millions)")
        axes.set_ylabel("accuracy (%)")
        axes.set_title(record.name)
        axes.legend(loc="lower right")
