"""What a report shows of a search."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from figures.report import networks
from figures.report.networks import Measured, Network, Setting
from reproduce.records import RunRecord
from search import metrics
from search.records import CandidateRecord, SearchRecord
from zoo import records
from zoo.cards import million, percent
from zoo.cost import macs


@dataclass(frozen=True)
class Metric:
    """What was measured of every candidate: a name, which way is better, the unit."""

    name: str
    direction: str
    summary: str


@dataclass(frozen=True)
class Trial:
    """A trained candidate.

    Attributes:
        trial: Its number, as text.
        origin: "random" or "proposed".
        metrics: What was measured, by name.
        network: What it is.
        saved: At its own thresholds.
        settings: Its other Pareto-optimal thresholds, cheapest first; often empty.
    """

    trial: str
    origin: str
    metrics: dict[str, float]
    network: Network
    saved: Measured
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Search:
    """A search.

    Attributes:
        id: What addresses in the page call it.
        name: What it is called.
        data: The data set.
        convention: How MACs are counted.
        facts: Names and values of what is worth knowing.
        notes: Sentences.
        running: Whether it goes on.
        objectives: Names of metrics.
        metrics: All that every candidate has.
        target_macs: What it aims at.
        trials: The trained candidates.
        failed: Trial and reason of those without a result.
        front: Trials on the front of the objectives.
        settings_front: Trial, error and average MACs of all threshold settings that no
            other one dominates.
        reference: Reference point of the hypervolume; searches that have the same one
            and the same objectives can be compared. None: nothing was trained.
        hypervolume: Trial and hypervolume after it.
        iterations: Of a search with surrogates.
    """

    id: str
    name: str
    data: str
    convention: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    running: bool
    objectives: tuple[str, ...]
    metrics: tuple[Metric, ...]
    target_macs: float | None
    trials: tuple[Trial, ...]
    failed: tuple[tuple[str, str], ...]
    front: tuple[str, ...]
    settings_front: tuple[tuple[str, float, float], ...]
    reference: tuple[float, ...] | None
    hypervolume: tuple[tuple[str, float], ...]
    iterations: tuple[dict[str, Any], ...]
    kind: str = "search"


def describe(
    name: str, source: str | os.PathLike, record: SearchRecord, running: bool
) -> Search:
    """Describe a search.

    Args:
        name: What addresses in the page call it.
        source: Its folder, or the file of its record.
        record: What was recorded.
        running: Whether it goes on.
    """
    settings, candidates = record.settings, record.candidates
    path = pathlib.Path(source).resolve()
    shared = [
        each
        for each in (candidates[0].metrics if candidates else {})
        if all(each in candidate.metrics for candidate in candidates)
    ]
    facts = [
        ("method", settings.method),
        ("data", settings.data),
        ("trials", f"{len(candidates)} trained, {settings.trials} planned"),
        ("on the front", f"{len(record.front)} of {len(candidates)}"),
        ("objectives", ", ".join(_words(each) for each in settings.objectives)),
        ("MACs", f"{settings.convention} convention"),
        ("training", _training(record)),
        ("time", f"{record.seconds / 60:.0f} min for all trials together"),
        ("seed", str(settings.seed)),
    ]
    if settings.target_macs:
        facts.insert(5, ("target", f"{million(settings.target_macs)} average MACs"))
    for metric, limits in settings.constraints.items():
        bounds = zip(("at least", "at most"), limits)
        said = [f"{side} {bound:g}" for side, bound in bounds if bound is not None]
        facts.append((f"limit of {_words(metric)}", ", ".join(said)))
    for key in ("started", "hardware"):
        if key in record.provenance:
            facts.append((key, str(record.provenance[key])))
    return Search(
        id=name,
        name=records.stem(path) if path.is_file() else path.name,
        data=record.data.name,
        convention=settings.convention,
        facts=tuple(facts),
        notes=tuple(_notes(record)),
        running=running,
        objectives=tuple(settings.objectives),
        metrics=tuple(map(_metric, shared)),
        target_macs=settings.target_macs,
        trials=tuple(_trial(record, each) for each in candidates),
        failed=tuple((each.trial, each.reason) for each in record.failed),
        front=record.front,
        settings_front=tuple(
            (point.trial, point.error, point.average_macs)
            for point in record.settings_front
        ),
        reference=record.reference,
        hypervolume=record.hypervolume,
        iterations=tuple(records.to_dict(each) for each in record.iterations),
    )


def _words(metric: str) -> str:
    return metric.replace("_", " ").replace("macs", "MACs")


def _training(record: SearchRecord) -> str:
    images = record.settings.train_images
    said = f"recipe {record.settings.recipe}"
    return f"{said}, {images:,} images" if images else said


def _notes(record: SearchRecord) -> Iterable[str]:
    if isinstance(record, RunRecord):
        test = record.selected.test
        spent = test.average_macs.get(record.settings.convention)
        yield (
            f"The experiment {record.experiment}, {record.scale} scale, reports trial "
            f"{record.selected.trial}: test accuracy {percent(test.accuracy)} at "
            f"{million(spent) if spent else 'unknown'} average MACs."
        )


def _metric(name: str) -> Metric:
    known = metrics.METRICS.get(name)
    if known is None:  # of a file of the user's that is not loaded here
        return Metric(name, "min", _words(name))
    return Metric(name, known.direction, known.summary)


def _trial(record: SearchRecord, candidate: CandidateRecord) -> Trial:
    settings, evaluation = record.settings, candidate.evaluation
    number = int(candidate.trial) if candidate.trial.isdigit() else 0
    random = settings.method == "random" or number < settings.random_trials
    if candidate.architecture is None:  # exits on a backbone
        network, cost = networks.attached(candidate.exits, evaluation), None
    else:
        found = candidate.network
        cost = macs(found, candidate.num_classes, candidate.convention)
        network = networks.network(found, found.exit_names, cost)
    points = sorted(candidate.frontier, key=lambda point: point.average_macs)
    return Trial(
        trial=candidate.trial,
        origin="random" if random else "proposed",
        metrics=candidate.metrics,
        network=network,
        saved=networks.measured("validation", evaluation, cost),
        settings=tuple(networks.setting(point, cost) for point in points),
    )
