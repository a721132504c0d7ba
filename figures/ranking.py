"""Accuracies that a search can have cheaply beside those of training each network."""

from __future__ import annotations

import os

import numpy as np

from figures.style import COLOURS, MARKERS, figure
from reproduce.ranking import BANDS, agreement, measures
from reproduce.records import RankingRecord
from zoo import records

LABELS = {
    "inherited": "accuracy with inherited weights (%)",
    "short training": "accuracy after short training (%)",
    "MACs": "MACs (millions)",
}


def ranking(out: str | os.PathLike, source: str | os.PathLike) -> None:
    """Plot the final exit's accuracy after separate training against cheaper measures.

    Args:
        out: File to write: .png, .svg or .pdf.
        source: What `aebnas reproduce ranking --out` wrote.

    Raises:
        ValueError: The record is another one.
    """
    record = records.read(source, RankingRecord)
    found = {name: values[:, -1] for name, values in measures(record).items()}
    spearman = {
        row.measure: row.spearman for row in agreement(record) if row.exit == "final"
    }
    millions, separate = found["MACs"] / 1e6, 100 * found["separate training"]
    bands = np.array_split(np.arange(len(separate)), BANDS)
    with figure(out, 9.6, 3.6, columns=len(LABELS)) as panels:
        panels[0].set_ylabel("accuracy after separate training (%)")
        for axes, (name, label) in zip(panels, LABELS.items()):
            values = millions if name == "MACs" else 100 * found[name]
            for band, colour, marker in zip(bands, COLOURS, MARKERS):
                axes.plot(
                    values[band],
                    separate[band],
                    marker,
                    color=colour,
                    markersize=6,
                    label="{:.1f} to {:.1f} M MACs".format(*millions[band][[0, -1]]),
                )
            axes.set_xlabel(label)
            axes.set_title(f"Spearman {spearman[name]:.2f}", fontsize=10)
        panels[0].legend(fontsize=8)
