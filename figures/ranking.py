"""Accuracies that a search can have cheaply beside those of training each network."""

from __future__ import annotations

import os

import numpy as np

from figures.style import COLOURS, MARKERS, figure
from reproduce.ranking import BANDS, agreement
from reproduce.records import RankingRecord
from zoo import records

LABELS = {
    "inherited": "accuracy with inherited weights (%)",
    "short training": "accuracy after short training (%)",
    "MACs": "MACs (millions)",
}


def ranking(out: str | os.PathLike, source: str | os.PathLike) -> None:
    """Plot the final exit's accuracy after long training against cheaper measures.

    Args:
        out: File to write: .png, .svg or .pdf.
        source: What `aebnas reproduce ranking --out` wrote.

    Raises:
        ValueError: The record is another one.
    """
    record = records.read(source, RankingRecord)
    rows = sorted(record.rows, key=lambda row: row.macs[-1])
    measures = {
        "inherited": [100 * row.inherited[-1] for row in rows],
        "short training": [100 * row.short[-1] for row in rows],
        "MACs": [row.macs[-1] / 1e6 for row in rows],
    }
    found = {row.measure: row for row in agreement(record) if row.exit == "final"}
    bands = np.array_split(np.arange(len(rows)), BANDS)
    long = np.array([100 * row.long[-1] for row in rows])
    with figure(out, 9.6, 3.6, columns=len(measures)) as panels:
        panels[0].set_ylabel("accuracy after long training (%)")
        for axes, (name, values) in zip(panels, measures.items()):
            for band, colour, marker in zip(bands, COLOURS, MARKERS):
                low, high = (measures["MACs"][k] for k in (band[0], band[-1]))
                axes.plot(
                    np.array(values)[band],
                    long[band],
                    marker,
                    color=colour,
                    markersize=6,
                    label=f"{low:.1f} to {high:.1f} M MACs",
                )
            axes.set_xlabel(LABELS[name])
            axes.set_title(f"Spearman {found[name].spearman:.2f}", fontsize=10)
        panels[0].legend(fontsize=8)
