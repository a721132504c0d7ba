"""How well surrogates predict candidates that they have not seen."""

from __future__ import annotations

import os

from figures.style import COLOURS, MARKERS, figure
from reproduce.records import (
    RESULTS,
    SURROGATES,
    SurrogateQualityRecord,
    check_folder,
)
from zoo import records

RECORD = RESULTS / SURROGATES
UNITS = {"error": "error (%)", "average MACs": "average MACs (millions)"}


def surrogates(out: str | os.PathLike, record: str | os.PathLike = RECORD) -> None:
    """Plot predicted against true values of the authors' candidates, leave-one-out.

    Args:
        out: File to write: .png, .svg or .pdf.
        record: What `aebnas reproduce surrogates --out` wrote.

    Raises:
        ValueError: The record is another one.
    """
    if record == RECORD:
        check_folder(RESULTS)  # an error that says where to get them
    found = records.read(record, SurrogateQualityRecord)
    others = found.rows[0].quality.n - 1
    with figure(out, 8.4, 4.0, columns=2) as panels:
        panels[0].figure.suptitle(
            f"The authors' candidates, each predicted from the {others} others"
        )
        for axes, (target, label) in zip(panels, UNITS.items()):
            rows = [
                row
                for row in found.rows
                if row.target == target and row.inputs == "genes and costs"
            ]
            for row, colour, marker in zip(rows, COLOURS, MARKERS):
                axes.plot(
                    row.true,
                    row.predicted,
                    marker,
                    color=colour,
                    markersize=5,
                    label=f"{row.surrogate}, Spearman {row.quality.spearman:.2f}",
                )
            ends = [f([*axes.get_xlim(), *axes.get_ylim()]) for f in (min, max)]
            axes.plot(ends, ends, color=COLOURS[6], linewidth=1, linestyle=":")
            axes.set_aspect("equal")
            axes.set_xlabel(f"true {label}")
            axes.set_ylabel(f"predicted {label}")
            axes.legend(fontsize=8, loc="upper left")
