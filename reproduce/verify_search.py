"""Recompute what the record of a search says; see `reproduce.verify`."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from search import pareto
from search.backbone.space import ExitSpace, head_cost
from search.records import CandidateRecord, FrontPoint, SearchRecord
from zoo.cost import Cost, macs
from zoo.exits import OperatingPoint

Comparison = tuple[str, Any, Any]
Limits = Mapping[str, Sequence[float | None]]


def check(where: str, record: SearchRecord) -> Iterator[Comparison]:
    """Where each value is, what is recorded, and what follows from the rest."""
    settings, candidates = record.settings, record.candidates
    names, constraints = settings.objectives, settings.constraints
    count = _cost
    if settings.backbone is not None:
        count = functools.partial(_cost_of_exits, ExitSpace(**settings.space))
        # That of the backbone is the same for all, and not recorded.
        own = {c.metrics["parameters"] - count(c).parameters for c in candidates}
        yield f"{where}: parameters of the backbone", len(own), 1
    for candidate in candidates:
        trial, cost = f"{where}, trial {candidate.trial}", count(candidate)
        if settings.backbone is None:
            found = candidate.metrics["parameters"]
            yield f"{trial}: parameters", found, float(cost.parameters)
        yield from _candidate(trial, candidate, cost)
    seconds = round(sum(c.metrics["seconds"] for c in candidates), 1)
    yield f"{where}: seconds", record.seconds, seconds
    points = np.array([_values(c, names) for c in candidates], float)
    feasible = [c for c in candidates if _is_feasible(c.metrics, constraints)]
    yield f"{where}: front", sorted(record.front), sorted(_front(feasible, names))
    found = sorted(record.settings_front, key=_place)
    expected = _settings_front(candidates, constraints)
    yield f"{where}: settings front", found, expected
    # Numbered as they started, which is how the oracle picks the initial ones.
    order = np.argsort([int(candidate.trial) for candidate in candidates])
    reference = settings.reference
    if reference is None:
        initial = points[order[: settings.initial_trials]]
        reference = pareto.reference_point(initial).tolist()
    yield f"{where}: reference", record.reference, list(reference)
    shown = {c.trial: _values(c, names) for c in feasible}
    ended = [trial for trial, _ in record.hypervolume]
    trials = sorted(candidate.trial for candidate in candidates)
    yield f"{where}: trials with a hypervolume", sorted(ended), trials
    for k, (trial, volume) in enumerate(record.hypervolume):
        seen = [shown[each] for each in ended[: k + 1] if each in shown]
        computed = pareto.hypervolume(
            np.reshape(seen, (-1, len(names))), reference, np.zeros(len(names))
        )
        yield f"{where}: hypervolume after trial {trial}", volume, computed


def _cost(candidate: CandidateRecord) -> Cost:
    return macs(candidate.network, candidate.num_classes, candidate.convention)


def _cost_of_exits(space: ExitSpace, candidate: CandidateRecord) -> Cost:
    """That of the heads, after the MACs that the search counted up to each place."""
    at = [space.places.index(place) for place in candidate.heads]
    each = [
        head_cost(head, space.shapes[i], space.num_classes)
        for i, head in zip(at, candidate.heads.values())
    ]
    before = (*(space.macs[i] for i in at), space.macs[-1])
    return Cost(before, tuple(n for n, _ in each), sum(n for _, n in each))


def _candidate(
    trial: str, candidate: CandidateRecord, cost: Cost
) -> Iterator[Comparison]:
    measured, metrics = candidate.evaluation, candidate.metrics
    average, right = average_macs(measured, cost), accuracy(measured)
    yield f"{trial}: MACs", measured.macs, cost.per_exit_at(measured.thresholds)
    yield f"{trial}: average MACs", metrics["average_macs"], average
    yield f"{trial}: measured average MACs", measured.average_macs, average
    yield f"{trial}: accuracy", measured.accuracy, right
    yield f"{trial}: error", metrics["error"], 1 - right
    final_error = 1 - measured.exit_accuracy[-1]
    yield f"{trial}: final error", metrics["final_error"], final_error
    for i, point in enumerate(candidate.frontier):
        yield f"{trial}, frontier[{i}]", point.average_macs, average_macs(point, cost)


def _values(candidate: CandidateRecord, names: Sequence[str]) -> list[float]:
    return [candidate.metrics[name] for name in names]


def _front(candidates: Sequence[CandidateRecord], names: Sequence[str]) -> list[str]:
    """Trials that no other one dominates, pair by pair."""
    return [
        each.trial
        for each in candidates
        if not any(
            _dominates(_values(other, names), _values(each, names))
            for other in candidates
        )
    ]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other)) and one != other


def _is_feasible(metrics: Mapping[str, float], constraints: Limits) -> bool:
    return all(
        (low is None or metrics[name] >= low)
        and (high is None or metrics[name] <= high)
        for name, (low, high) in constraints.items()
    )


def _place(point: FrontPoint) -> tuple:
    return point.average_macs, point.error, point.trial, point.thresholds


def _settings_front(
    candidates: Iterable[CandidateRecord], constraints: Limits
) -> list[FrontPoint]:
    """The threshold settings of all candidates that no other one dominates."""
    points = [
        FrontPoint(**vars(point), trial=candidate.trial, error=1 - point.accuracy)
        for candidate in candidates
        for point in candidate.frontier
        if _is_feasible(_at(candidate, point), constraints)
    ]
    kept: list[FrontPoint] = []
    for point in sorted(points, key=_place):
        equal = kept and _place(point)[:2] == _place(kept[-1])[:2]
        if not kept or point.error < kept[-1].error or equal:
            kept.append(point)
    return kept


def _at(candidate: CandidateRecord, point: OperatingPoint) -> dict[str, float]:
    """The metrics of a candidate at another threshold setting."""
    moved = {"error": 1 - point.accuracy, "average_macs": point.average_macs}
    return candidate.metrics | moved


def average_macs(point: Any, cost: Cost) -> float:
    """Average MACs from the shares of the samples that leave at each exit."""
    return float(np.dot(point.utilisation, cost.per_exit_at(point.thresholds)))


def accuracy(result: Any) -> float:
    """Accuracy from that of the samples that leave at each exit."""
    pairs = zip(result.utilisation, result.leaving_accuracy)
    return sum(share * right for share, right in pairs if share)
