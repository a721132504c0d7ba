"""How a model's exits are used, and how accurate they are."""

from __future__ import annotations

import os

import numpy as np

from figures.style import COLOURS, figure
from zoo import registry


def exits(name: str, out: str | os.PathLike) -> None:
    """Plot the share of images that leave at each exit, and the exits' accuracies.

    Args:
        name: A pretrained model's name, or a folder.
        out: File to write: .png, .svg or .pdf.

    Raises:
        ValueError: There is no such model, or it has no recorded results.
    """
    record = registry.record(name)
    if not record.results:
        raise ValueError(f"{name} has no recorded results.")
    test = record.results["test"]
    names = [
        f"{exit_name}\n{macs / 1e6:.2f} M"
        for exit_name, macs in zip(record.exit_names, test.macs["standard"])
    ]
    bars = (
        ("images that leave here", test.utilisation, COLOURS[5], ""),
        ("accuracy of those", test.leaving_accuracy, COLOURS[0], "//"),
        ("accuracy on all images", test.exit_accuracy, COLOURS[4], ".."),
    )
    with figure(out) as axes:
        places, width = np.arange(len(names)), 0.27
        for i, (label, shares, colour, hatch) in enumerate(bars):
            drawn = axes.bar(
                places + (i - 1) * width,
                [100 * (share or 0) for share in shares],
                width,
                label=label,
                color=colour,
                hatch=hatch,
                edgecolor="white",
            )
            labels = ["" if share is None else f"{100 * share:.1f}" for share in shares]
            axes.bar_label(drawn, labels, fontsize=7, padding=1)
        axes.set_xticks(places, names)
        axes.set_ylim(0, 122)
        axes.set_yticks(range(0, 101, 20))
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("%")
        axes.set_title(f"{record.name} on the test split of {record.data.name}")
        axes.legend(loc="upper center", ncols=3, fontsize=8)
