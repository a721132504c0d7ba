"""Example images by the exit at which they leave."""

from __future__ import annotations

import os

import numpy as np

from figures.style import figure
from zoo import data, registry

COLUMNS = 8


def examples(
    name: str, out: str | os.PathLike, data_dir: str | os.PathLike | None = None
) -> None:
    """Draw test images by the exit at which they leave, one row per exit.

    The first images of the test split, in its order. Above each is the model's answer,
    followed by the truth in parentheses if that differs; then it is orange.

    Args:
        name: A pretrained model's name, or a folder.
        out: File to write: .png, .svg or .pdf.
        data_dir: Folder of the model's data set; see `zoo.data.load`.

    Raises:
        ValueError: There is no such model.
        FileNotFoundError: The data set cannot be found.
    """
    record = registry.record(name)
    if record.data is None:
        raise ValueError(f"{name} records no data set.")
    dataset = data.load(record.data.name, data_dir)
    images, labels = dataset.test
    answers = registry.load(name).predict_early(images)
    names = record.exit_names
    with figure(out, 8.0, 1.1 * len(names) + 0.8, len(names), COLUMNS) as panels:
        np.ravel(panels)[0].figure.suptitle(
            f"{record.name}: the first test images that leave at each exit, and the "
            "share of all that do\n"
            "Above each is the answer: black if it is right, orange if it is wrong, "
            "then with the truth in parentheses",
            fontsize=9,
        )
        for row, (exit_name, axes) in enumerate(zip(names, np.atleast_2d(panels))):
            chosen = np.flatnonzero(answers.exits == row)
            share = len(chosen) / len(labels)
            for place, panel in enumerate(axes):
                panel.grid(visible=False)
                panel.set_xticks([])
                panel.set_yticks([])
                panel.spines[:].set_visible(False)
                if place == 0:
                    panel.set_ylabel(f"{exit_name}\n{100 * share:.1f} %", fontsize=8)
                if place >= len(chosen):
                    continue
                k = chosen[place]
                answer, truth = (
                    dataset.class_names[i] for i in (answers.labels[k], labels[k])
                )
                wrong = answer != truth
                panel.imshow(images[k])
                panel.set_title(
                    f"{answer} ({truth})" if wrong else answer,
                    fontsize=7,
                    color="#D55E00" if wrong else "black",
                    pad=2,
                )
