"""What a search found, and how fast."""

from __future__ import annotations

import os

from figures.style import COLOURS, figure
from search import reading


def search(source: str | os.PathLike, out: str | os.PathLike) -> None:
    """Plot a search: its candidates and fronts, and the hypervolume by trials.

    Args:
        source: Folder of a search, or the file of its record.
        out: File to write: .png, .svg or .pdf.

    Raises:
        ValueError: It is no search, or no candidate is trained yet.
    """
    record = reading.record(source)
    candidates = record.candidates
    if not candidates:
        raise ValueError(f"{source} has no trained candidates yet.")
    metrics = {candidate.trial: candidate.metrics for candidate in candidates}
    settings, initial = record.settings, record.settings.initial_trials
    if settings.method == "random":
        initial = settings.trials
    random = [c for c in candidates if int(c.trial) < initial]
    proposed = [c for c in candidates if int(c.trial) >= initial]
    with figure(out, 8.4, 4.2, columns=2) as (left, right):
        for part, marker, colour, label in (
            (random, "o", COLOURS[5], "random candidates"),
            (proposed, "s", COLOURS[0], "proposed candidates"),
        ):
            left.plot(
                [c.metrics["average_macs"] / 1e6 for c in part],
                [100 * c.metrics["error"] for c in part],
                *(marker,),
                color=colour,
                markersize=4,
                label=label if part else None,
            )
        front = sorted(
            (metrics[trial]["average_macs"] / 1e6, 100 * metrics[trial]["error"])
            for trial in record.front
        )
        left.plot(
            *zip(*front),
            "o-",
            drawstyle="steps-post",
            color=COLOURS[1],
            markerfacecolor="none",
            markersize=8,
            label="front of candidates",
        )
        left.plot(
            [point.average_macs / 1e6 for point in record.settings_front],
            [100 * point.error for point in record.settings_front],
            "--",
            drawstyle="steps-post",
            color=COLOURS[2],
            label="front of all thresholds",
        )
        if settings.target_macs:
            left.axvline(
                settings.target_macs / 1e6,
                color=COLOURS[6],
                linestyle=":",
                linewidth=1,
                label="target",
            )
        left.set_xscale("log")
        left.xaxis.set_major_formatter("{x:g}")
        left.xaxis.set_minor_formatter("{x:g}")
        left.tick_params(axis="x", which="minor", labelsize=8)
        left.set_xlabel(f"average MACs per image (millions, {settings.convention})")
        left.set_ylabel("validation error (%)")
        left.legend(
            fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=2
        )
        volumes = [volume for _, volume in record.hypervolume]
        right.plot(range(1, len(volumes) + 1), volumes, drawstyle="steps-post")
        if proposed:
            right.axvline(initial, color=COLOURS[6], linestyle=":", linewidth=1)
            right.annotate(
                "proposed from here on",
                (initial, 0),
                (4, 2),
                textcoords="offset points",
                va="bottom",
                fontsize=8,
            )
        right.set_ylim(0)
        right.set_xlabel("trained candidates")
        right.set_ylabel("hypervolume (share of the box)")
        left.figure.suptitle(f"{settings.method} on {settings.data}")
