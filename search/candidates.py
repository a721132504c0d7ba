"""The candidates of a search in its folder: their records, weights and fronts."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterable, Sequence

from search import pareto
from search.engine import has_completed
from search.objectives import Constraint, Objectives, is_feasible
from search.records import CandidateRecord, FrontPoint
from zoo import records
from zoo import weights as weight_files
from zoo.classifier import EarlyExitClassifier
from zoo.model import EarlyExitModel

CANDIDATE, WEIGHTS = "candidate.json", "model.weights.h5"


def write(
    folder: pathlib.Path,
    record: CandidateRecord,
    model: EarlyExitModel | None = None,
) -> None:
    """Write a candidate's record, and its weights if given, to its trial's folder."""
    if model is not None and record.exits is not None:
        from search.backbone.candidates import write_heads

        write_heads(folder / WEIGHTS, model)
    elif model is not None:
        weight_files.save(folder / WEIGHTS, model)
    records.write(folder / CANDIDATE, record)


def remove(folder: pathlib.Path) -> None:
    """Remove what an interrupted attempt left in a trial's folder."""
    for name in (CANDIDATE, WEIGHTS):
        (folder / name).unlink(missing_ok=True)


def read(path: str | os.PathLike) -> CandidateRecord:
    """The record of a candidate, from its file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged.
    """
    return records.read_once(path, CandidateRecord, assume=CandidateRecord)


def read_candidates(directory: str | os.PathLike) -> list[CandidateRecord]:
    """Records of all trained candidates of a search, in the order of their trials."""
    found = []
    for path in pathlib.Path(directory).glob(f"trial_*/{CANDIDATE}"):
        with contextlib.suppress(FileNotFoundError):  # it is being tried again
            found.append(read(path))
    return sorted(found, key=lambda record: int(record.trial))


def read_completed(directory: str | os.PathLike) -> list[CandidateRecord]:
    """Records of the candidates whose trials are over."""
    directory = pathlib.Path(directory)
    return [
        each
        for each in read_candidates(directory)
        if has_completed(directory / f"trial_{each.trial}")
    ]


def load_candidate(folder: str | os.PathLike, weights: bool = True) -> EarlyExitModel:
    """The model of a trial's folder, its thresholds set.

    Raises:
        FileNotFoundError: The trial has no record, or its weights were not kept.
    """
    folder = pathlib.Path(folder)
    record = read(folder / CANDIDATE)
    if weights and not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(
            f"{folder} has no weights: only trials on a front keep them. Train the "
            "architecture in its candidate.json again."
        )
    if record.exits is not None:
        from search.backbone.candidates import load_exits

        return load_exits(folder, record, folder / WEIGHTS if weights else None)
    model = EarlyExitClassifier(
        record.network,
        record.num_classes,
        thresholds=record.evaluation.thresholds,
        crop=record.crop,
        origin=record.origin or "aebnas",
    )
    if weights:
        weight_files.load(folder / WEIGHTS, model)
    return model


def settings_front(
    candidates: Iterable[CandidateRecord], constraints: Sequence[Constraint] = ()
) -> list[FrontPoint]:
    """Pareto front of the threshold settings of all candidates, cheapest first.

    Every trained candidate contributes its whole frontier, without further training.
    """
    points = []
    for candidate in candidates:
        for point in candidate.frontier:
            error = 1 - point.accuracy
            own = {"error": error, "average_macs": point.average_macs}
            if is_feasible(candidate.metrics | own, constraints):
                points.append(
                    FrontPoint(**vars(point), trial=candidate.trial, error=error)
                )
    front = pareto.front([[point.average_macs, point.error] for point in points])
    return [points[i] for i in front]


def on_fronts(
    candidates: Sequence[CandidateRecord],
    objectives: Objectives,
    constraints: Sequence[Constraint] = (),
) -> set[str]:
    """Trials on the front of the objectives, or on that of all threshold settings.

    A candidate that is on neither will be on none: others only push it back further.
    """
    feasible = [c for c in candidates if is_feasible(c.metrics, constraints)]
    front = pareto.front(objectives.points(c.metrics for c in feasible))
    found = {feasible[i].trial for i in front}
    return found | {point.trial for point in settings_front(candidates, constraints)}


def keep_front_weights(
    directory: str | os.PathLike,
    objectives: Objectives,
    constraints: Sequence[Constraint] = (),
) -> None:
    """Delete the weights of every candidate that is on neither front."""
    directory = pathlib.Path(directory)
    candidates = read_completed(directory)
    kept = on_fronts(candidates, objectives, constraints)
    for each in candidates:
        if each.trial not in kept:
            (directory / f"trial_{each.trial}" / WEIGHTS).unlink(missing_ok=True)
