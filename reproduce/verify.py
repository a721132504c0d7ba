"""Recompute every derived value in the records; see `check`."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from reproduce import experiments, published
from search import pareto, surrogate
from zoo import registry
from zoo.architecture import Architecture
from zoo.cost import CONVENTIONS, macs

FOLDER = experiments.RESULTS.parent
TOLERANCE = 1e-6  # relative; a record holds what a computation gave


def check(folder: str | os.PathLike = FOLDER) -> tuple[int, list[str]]:
    """Recompute what can be: published derivations, search records, model records.

    What a record does not hold the ingredients of is left: accuracies of exits, and how
    well a search's surrogates predicted.

    Args:
        folder: Folder of records, searched through.

    Returns:
        How many values were compared, and a line for every mismatch.

    Raises:
        FileNotFoundError: There is no such folder, or no record in it.
        ValueError: A file is damaged, or no record of a known kind.
    """
    folder = pathlib.Path(folder)
    paths = sorted(folder.rglob("*.json"))
    if not paths:
        raise FileNotFoundError(
            f"There are no records in {folder}; expected a folder of JSON files, "
            "such as `run` writes."
        )
    comparisons = [*_published()]
    for name in registry.list_models():
        comparisons += _model(name, registry.config(name))
    for path in paths:
        where = path.relative_to(folder).as_posix()
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            comparisons += _record(where, record)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} cannot be verified: {error!r}.") from error
    wrong = [
        f"{where}: recorded {recorded}, computed {computed}"
        for where, recorded, computed in comparisons
        if not _same(recorded, computed)
    ]
    return len(comparisons), wrong


Comparison = tuple[str, Any, Any]


def _record(where: str, record: Mapping[str, Any]) -> Iterator[Comparison]:
    """A record of any kind that this package writes."""
    if "candidates" in record:
        return _search(where, record)
    if "frontier" in record:
        return _model(where, record)
    kinds = {"predicted": _surrogates, "start": _finetuned, "exact": _exact}
    for key, compare in kinds.items():
        if key in (record.get("rows") or [{}])[0]:
            return compare(where, record)
    raise ValueError("it is no record of a known kind")


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return bool(np.isclose(one, other, rtol=TOLERANCE, atol=1e-9))
    return one == other


def _published() -> Iterator[Comparison]:
    for row in published.PUBLISHED:
        for value in published.derivations(row):
            yield f"published {row.system} on {row.data}", row.accuracy, value


def _model(where: str, record: Mapping[str, Any]) -> Iterator[Comparison]:
    """What `zoo.save` wrote about a model."""
    model = record["model"]
    architecture = Architecture.from_dict(model["architecture"])
    counted = {c: macs(architecture, model["num_classes"], c) for c in CONVENTIONS}
    cost = counted["standard"]
    yield f"{where}: parameters", record["weights"]["parameters"], cost.parameters
    for part, result in record["results"].items():
        yield from _result(f"{where}, {part}", result, counted)
    for i, point in enumerate(record["frontier"]):
        average = _average(point, cost)
        yield f"{where}, frontier[{i}]: average MACs", point["average_macs"], average


def _result(where: str, result: Mapping[str, Any], counted: Mapping) -> Iterator:
    """What `zoo.registry.report` wrote: MACs in every convention, and accuracy."""
    for convention, cost in counted.items():
        spent = list(cost.per_exit_at(result["thresholds"]))
        yield f"{where}: MACs ({convention})", result["macs"][convention], spent
        yield (
            f"{where}: average MACs ({convention})",
            result["average_macs"][convention],
            _average(result, cost),
        )
    yield f"{where}: accuracy", result["accuracy"], _accuracy(result)


def _average(point: Mapping[str, Any], cost: Any) -> float:
    return float(np.dot(point["utilisation"], cost.per_exit_at(point["thresholds"])))


def _accuracy(result: Mapping[str, Any]) -> float:
    """Accuracy from that of the samples that leave at each exit."""
    pairs = zip(result["utilisation"], result["leaving_accuracy"])
    return sum(share * right for share, right in pairs if share)


def _surrogates(where: str, record: Mapping[str, Any]) -> Iterator[Comparison]:
    for row in record["rows"]:
        found = surrogate.quality(row["true"], row["predicted"])
        for key, value in found.items():
            each = f"{row['surrogate']} on {row['inputs']}, {row['target']}: {key}"
            yield f"{where}, {each}", row[key], value


def _finetuned(where: str, record: Mapping[str, Any]) -> Iterator[Comparison]:
    """The weights that were fine-tuned are those that are shipped."""
    shipped = registry.config(record["model"])["weights"]["sha256"]
    yield f"{where}: weights of {record['model']}", record["weights"], shipped


def _exact(where: str, record: Mapping[str, Any]) -> Iterator[Comparison]:
    """All test images together are those of the models' own records."""
    for row in record["rows"]:
        shipped, each = registry.config(row["model"]), f"{where}: {row['model']}"
        yield f"{each}, weights", row["weights"], shipped["weights"]["sha256"]
        for key, value in row["all"].items():
            yield f"{each}, {key}", value, shipped["results"]["test"][key]


def _search(where: str, record: Mapping[str, Any]) -> Iterator[Comparison]:
    settings, candidates = record["settings"], record["candidates"]
    names = settings["objectives"]
    rows = [[c["metrics"][name] for name in names] for c in candidates]
    points = np.array(rows, float)
    for candidate in candidates:
        trial = f"{where}, trial {candidate['trial']}"
        architecture = Architecture.from_dict(candidate["architecture"])
        cost = macs(architecture, candidate["num_classes"], candidate["convention"])
        measured, metrics = candidate["evaluation"], candidate["metrics"]
        yield (
            f"{trial}: MACs",
            measured["macs"],
            list(cost.per_exit_at(measured["thresholds"])),
        )
        yield (
            f"{trial}: average MACs",
            metrics["average_macs"],
            _average(measured, cost),
        )
        yield (
            f"{trial}: measured average MACs",
            measured["average_macs"],
            _average(measured, cost),
        )
        yield f"{trial}: accuracy", measured["accuracy"], _accuracy(measured)
        yield f"{trial}: error", metrics["error"], 1 - _accuracy(measured)
        final_error = 1 - measured["exit_accuracy"][-1]
        yield f"{trial}: final error", metrics["final_error"], final_error
        yield f"{trial}: parameters", metrics["parameters"], float(cost.parameters)
        for i, point in enumerate(candidate.get("frontier", ())):
            yield (
                f"{trial}, frontier[{i}]",
                point["average_macs"],
                _average(point, cost),
            )
    seconds = round(sum(c["metrics"]["seconds"] for c in candidates), 1)
    yield f"{where}: seconds", record["seconds"], seconds
    if not np.isfinite(points).all():
        return  # said above, and nothing follows from it
    constraints = settings["constraints"]
    feasible = [c for c in candidates if _is_feasible(c["metrics"], constraints)]
    front = sorted(_front(feasible, names))
    yield f"{where}: front", sorted(record["front"]), front
    fine = sorted(record["fine_front"], key=_place)
    yield f"{where}: fine front", fine, _fine_front(candidates, constraints)
    # Numbered as they started, which is how the oracle picks the initial ones.
    order = np.argsort([int(candidate["trial"]) for candidate in candidates])
    reference = settings["reference"]
    if reference is None:
        initial = points[order[: settings["initial_trials"]]]
        reference = pareto.reference_point(initial).tolist()
    yield f"{where}: reference", record["reference"], list(reference)
    shown = {c["trial"]: [c["metrics"][name] for name in names] for c in feasible}
    ended = [trial for trial, _ in record["hypervolume"]]
    trials = sorted(candidate["trial"] for candidate in candidates)
    yield f"{where}: trials with a hypervolume", sorted(ended), trials
    for k, (trial, volume) in enumerate(record["hypervolume"]):
        seen = [shown[each] for each in ended[: k + 1] if each in shown]
        found = pareto.hypervolume(
            np.reshape(seen, (-1, len(names))), reference, np.zeros(len(names))
        )
        yield f"{where}: hypervolume after trial {trial}", volume, found
    if "selected" in record:
        yield from _selected(where, record)


def _front(candidates: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Trials that no other one dominates, pair by pair."""

    def values(candidate: Mapping[str, Any]) -> list[float]:
        return [candidate["metrics"][name] for name in names]

    return [
        c["trial"]
        for c in candidates
        if not any(_dominates(values(other), values(c)) for other in candidates)
    ]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other)) and one != other


def _is_feasible(metrics: Mapping[str, float], constraints: Mapping) -> bool:
    return all(
        (low is None or metrics[name] >= low)
        and (high is None or metrics[name] <= high)
        for name, (low, high) in constraints.items()
    )


def _place(point: Mapping[str, Any]) -> tuple:
    return point["average_macs"], point["error"], point["trial"], point["thresholds"]


def _fine_front(
    candidates: Sequence[Mapping[str, Any]], constraints: Mapping
) -> list[dict[str, Any]]:
    """The threshold settings of all candidates that no other one dominates."""
    points = [
        {"trial": candidate["trial"], "error": 1 - point["accuracy"], **point}
        for candidate in candidates
        for point in candidate.get("frontier", ())
        if _is_feasible(
            candidate["metrics"]
            | {"error": 1 - point["accuracy"], "average_macs": point["average_macs"]},
            constraints,
        )
    ]
    kept: list[dict[str, Any]] = []
    for point in sorted(points, key=_place):
        if not kept or point["error"] < kept[-1]["error"] or _equal(point, kept[-1]):
            kept.append(point)
    return kept


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return _place(one)[:2] == _place(other)[:2]


def _selected(where: str, record: Mapping[str, Any]) -> Iterator[Comparison]:
    selected, settings = record["selected"], record["settings"]
    place = f"{record['scale']}/{record['experiment']}_seed{settings['seed']}.json"
    yield f"{where}: place", "/".join(where.split("/")[-2:]), place
    yield f"{where}: changed settings", experiments.changed_settings(record), []
    yield f"{where}: selected trial", selected["trial"], experiments.choose(record)
    trials = {candidate["trial"]: candidate for candidate in record["candidates"]}
    if selected["trial"] not in trials:
        return  # said above
    candidate = trials[selected["trial"]]
    architecture = Architecture.from_dict(candidate["architecture"])
    counted = {c: macs(architecture, candidate["num_classes"], c) for c in CONVENTIONS}
    yield from _result(f"{where}, selected on test", selected["test"], counted)
    thresholds = candidate["evaluation"]["thresholds"]
    yield f"{where}: selected thresholds", selected["test"]["thresholds"], thresholds
