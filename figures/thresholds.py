"""Accuracy and cost over the thresholds of two exits."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence

import numpy as np

from figures.style import figure
from zoo import data, registry
from zoo import exits as rule
from zoo.measure import predict


def thresholds(
    name: str,
    out: str | os.PathLike,
    exits: Sequence[int] = (1, 2),
    data_dir: str | os.PathLike | None = None,
) -> None:
    """Draw heat maps of accuracy and average MACs over two exits' thresholds.

    Measured on the validation split; all other exits keep the model's thresholds.

    Args:
        name: A pretrained model's name, or a folder.
        out: File to write: .png, .svg or .pdf.
        exits: Which two of its exits, counted from 1: the horizontal axis, then the
            vertical one.
        data_dir: Folder of the model's data set; see `zoo.data.load`.

    Raises:
        ValueError: There is no such model, or it lacks one of the exits.
        FileNotFoundError: The data set cannot be found.
    """
    record = registry.record(name)
    if record.data is None:
        raise ValueError(f"{name} records no data set.")
    names = record.exit_names[:-1]
    if len(set(exits)) != 2 or not all(1 <= k <= len(names) for k in exits):
        raise ValueError(
            f"exits is {tuple(exits)}; expected two different ones of "
            f"1 to {len(names)}, the exits of {name} but the last."
        )
    across, up = (k - 1 for k in exits)
    images, labels = data.load(record.data.name, data_dir).validation
    model = registry.load(name)
    logits = predict(model, images)
    side = len(rule.GRID)
    accuracy, spent = np.zeros((side, side)), np.zeros((side, side))
    for i, vertical in enumerate(rule.GRID):
        for j, horizontal in enumerate(rule.GRID):
            setting = list(model.thresholds)
            setting[across], setting[up] = horizontal, vertical
            found = rule.evaluate(logits, labels, model.macs, setting, model.exit_rule)
            accuracy[i, j] = 100 * found.accuracy
            spent[i, j] = found.average_macs / 1e6
    ticks = [*range(1, side - 1, 4), side - 1]
    with figure(out, 8.4, 3.8, columns=2) as panels:
        panels[0].figure.suptitle(
            f"{record.name} on the validation split of {record.data.name}"
        )
        for axes, values, title, norm in (
            (panels[0], accuracy, "accuracy (%)", "linear"),
            (panels[1], spent, "average MACs (millions)", "log"),
        ):
            image = axes.imshow(values, origin="lower", cmap="cividis", norm=norm)
            labelled = [_label(rule.GRID[k]) for k in ticks]
            axes.set_xticks(ticks, labelled)
            axes.set_yticks(ticks, labelled)
            if {model.thresholds[across], model.thresholds[up]} <= set(rule.GRID):
                axes.plot(
                    rule.GRID.index(model.thresholds[across]),
                    rule.GRID.index(model.thresholds[up]),
                    "*",
                    color="white",
                    markeredgecolor="black",
                    markersize=13,
                )
            axes.set_xlabel(_axis(names[across]))
            axes.set_ylabel(_axis(names[up]))
            axes.set_title(title)
            axes.grid(visible=False)
            bar = axes.figure.colorbar(image, ax=axes)
            bar.formatter = bar.minorformatter = "{x:g}"


def _axis(exit_name: str) -> str:
    """What an axis is called, on lines that are no longer than the axis."""
    return textwrap.fill(f"threshold {exit_name}", 30)


def _label(threshold: float) -> str:
    return "off" if threshold == 1 else f"{threshold:g}"
