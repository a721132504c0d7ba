"""Reliability diagrams: how accurate each exit is where it is sure."""

from __future__ import annotations

import os
import textwrap

import numpy as np

from figures.style import COLOURS, figure
from zoo import data, registry
from zoo import exits as rule
from zoo.calibration import BINS
from zoo.measure import predict


def reliability(
    name: str, out: str | os.PathLike, data_dir: str | os.PathLike | None = None
) -> None:
    """Draw the accuracy of each exit against its confidence, on all test images.

    Above, a bar is the accuracy of the images whose largest probability lies in a bin:
    at the diagonal, probabilities are honest; below it, the exit is too sure of itself.
    Beneath, the share of the images in each bin. The expected calibration error (ECE)
    is the distance from the diagonal, averaged over the images.

    Args:
        name: A pretrained model's name, or a folder.
        out: File to write: .png, .svg or .pdf.
        data_dir: Folder of the model's data set; see `zoo.data.load`.

    Raises:
        ValueError: There is no such model, or it was saved without data.
        FileNotFoundError: The data set cannot be found.
    """
    record = registry.record(name)
    if record.data is None:
        raise ValueError(f"{name} records no data set.")
    images, labels = data.load(record.data.name, data_dir).test
    logits = predict(registry.load(name), images)
    found = rule.reliability(logits, labels)
    errors = rule.calibration_error(logits, labels)
    edges = np.arange(BINS) / BINS
    names = record.exit_names
    with figure(out, 0.6 + 2.4 * len(names), 3.8, 2, len(names), (3, 1)) as panels:
        panels[0, 0].figure.suptitle(
            f"{record.name} on the test split of {record.data.name}"
        )
        for k, (upper, lower) in enumerate(panels.T):
            bars = {"width": 1 / BINS, "align": "edge", "edgecolor": "white"}
            upper.bar(edges, found.accuracy[k] * 100, color=COLOURS[0], **bars)
            upper.plot([0, 1], [0, 100], "--", color="0.3", linewidth=1)
            title = f"{textwrap.fill(names[k], 24)}\nECE {100 * errors[k]:.1f} %"
            upper.set_title(title, fontsize=9)
            lower.bar(edges, found.share[k] * 100, color=COLOURS[4], **bars)
            for axes in (upper, lower):
                axes.set_xlim(0, 1)
                axes.set_ylim(0, 100)
                axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            upper.tick_params(labelbottom=False)
            lower.set_xlabel("largest probability")
        panels[0, 0].set_ylabel("accuracy (%)")
        panels[1, 0].set_ylabel("images (%)")
