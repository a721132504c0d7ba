"""Recompute every derived value in the records; see `check`.

Fronts, feasibility and averages are computed here a second time, by other means than
in `search` and `zoo`, which is what makes it a check.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from reproduce import archive, published, runs, verify_search
from reproduce.records import (
    KINDS,
    RESULTS,
    BenchmarkRecord,
    ComparisonRecord,
    DeviceRecord,
    FinetuneRecord,
    LatencyTable,
    ModelRecord,
    PixelExactRecord,
    RankingRecord,
    Report,
    RunRecord,
    SearchRecord,
    SurrogateQualityRecord,
    check_folder,
)
from reproduce.verify_search import Comparison, accuracy, average_macs
from search import latency
from search.records import FrontPoint
from zoo import records, registry
from zoo.architecture import Architecture
from zoo.cost import CONVENTIONS, Cost, macs

TOLERANCE = 1e-6  # relative; a record holds what a computation gave


def check(folder: str | os.PathLike = RESULTS) -> tuple[int, list[str]]:
    """Recompute what can be: published derivations, search records, model records.

    Not checked is what a record lacks the data for: accuracies of exits, and how well a
    search's surrogates predicted.

    Args:
        folder: Folder of records, searched through.

    Returns:
        How many values were compared, and a line for every mismatch.

    Raises:
        FileNotFoundError: There is no such folder, or no record in it.
        ValueError: A file is damaged, or no record of a known kind.
    """
    folder = check_folder(folder)
    paths = records.paths(folder, below=True)
    if not paths:
        raise FileNotFoundError(
            f"There are no records in {folder}; expected a folder of JSON files, "
            "such as `run` writes."
        )
    comparisons = [*_published()]
    for name in registry.list_models():
        comparisons += _model(name, registry.record(name))
    for path in paths:
        where = path.relative_to(folder).as_posix()
        record = records.read(path, *KINDS)
        try:
            comparisons += _CHECKS[type(record)](where, record)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} cannot be verified: {error!r}.") from error
    wrong = [
        f"{where}: recorded {recorded}, computed {computed}"
        for where, recorded, computed in comparisons
        if not _same(recorded, computed)
    ]
    return len(comparisons), wrong


def _same(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, FrontPoint) and isinstance(other, FrontPoint):
        return _same(vars(one), vars(other))
    if isinstance(one, float) or isinstance(other, float):
        return bool(np.isclose(one, other, rtol=TOLERANCE, atol=1e-9))
    return one == other


def _published() -> Iterator[Comparison]:
    for row in published.PUBLISHED:
        for value in published.derivations(row):
            yield f"published {row.system} on {row.data}", row.accuracy, value


def _model(where: str, record: ModelRecord) -> Iterator[Comparison]:
    """What `zoo.save` wrote about a model."""
    counted = {"standard": record.macs}  # of another network than the paper's
    if record.architecture is not None:
        counted = {
            c: macs(record.architecture, record.num_classes, c) for c in CONVENTIONS
        }
    cost = counted["standard"]
    yield f"{where}: MACs", vars(record.macs), vars(cost)
    yield f"{where}: parameters", record.weights.parameters, cost.parameters
    for part, result in (record.results or {}).items():
        yield from _report(f"{where}, {part}", result, counted)
    for i, point in enumerate(record.frontier):
        average = average_macs(point, cost)
        yield f"{where}, frontier[{i}]: average MACs", point.average_macs, average


def _report(
    where: str, result: Report, counted: Mapping[str, Cost]
) -> Iterator[Comparison]:
    """MACs in every convention, accuracy, and the gain over single exits."""
    for convention, cost in counted.items():
        spent = cost.per_exit_at(result.thresholds)
        yield f"{where}: MACs ({convention})", result.macs[convention], spent
        yield (
            f"{where}: average MACs ({convention})",
            result.average_macs[convention],
            average_macs(result, cost),
        )
    yield f"{where}: accuracy", result.accuracy, accuracy(result)
    if result.gain_over_single_exits is not None:
        gain = accuracy(result) - _without_rule(result, counted["standard"])
        yield f"{where}: gain over single exits", result.gain_over_single_exits, gain


def _without_rule(result: Report, cost: Cost) -> float:
    """What single exits, or lots drawn between them, reach at the average MACs.

    The line of support of all single exits that is lowest there.
    """
    average = average_macs(result, cost)
    spent = np.add(cost.backbone, (*cost.branches, 0))
    accuracy = np.array(result.exit_accuracy)
    ahead = spent[:, None] > spent
    slopes = np.subtract.outer(accuracy, accuracy)[ahead]
    slopes /= np.subtract.outer(spent, spent)[ahead]
    return min(
        (accuracy - slope * (spent - average)).max()
        for slope in (0, *slopes[slopes > 0])
    )


def _surrogates(where: str, record: SurrogateQualityRecord) -> Iterator[Comparison]:
    for row in record.rows:
        found = archive.ranking(row.true, row.predicted)
        for key, value in vars(found).items():
            each = f"{row.surrogate} on {row.inputs}, {row.target}: {key}"
            yield f"{where}, {each}", getattr(row.quality, key), value


def _finetune(where: str, record: FinetuneRecord) -> Iterator[Comparison]:
    """The weights that were fine-tuned are those that are shipped."""
    shipped = registry.record(record.model).weights.sha256
    yield f"{where}: weights of {record.model}", record.weights, shipped


def _skipping(where: str, record: BenchmarkRecord) -> Iterator[Comparison]:
    """What was timed is what is shipped."""
    shipped = registry.record(record.model)
    each = f"{where}: {record.model}"
    yield f"{each}, weights", record.weights, shipped.weights.sha256
    thresholds = shipped.results["test"].thresholds
    yield f"{each}, thresholds", record.thresholds, thresholds


def _device(where: str, record: DeviceRecord) -> Iterator[Comparison]:
    """What was timed is what is shipped, and its card says the same."""
    shipped, each = registry.record(record.model), f"{where}: {record.model}"
    yield f"{each}, weights", record.weights, shipped.weights.sha256
    yield f"{each}, fingerprint", record.fingerprint, shipped.data.fingerprint
    yield f"{each}, in its card", shipped.device == record, True
    final = shipped.results["test"].exit_accuracy[-1]
    yield f"{each}, without exits", round(record.static_accuracy, 3), round(final, 3)
    yield f"{each}, MACs without exits", record.static_macs, shipped.macs.backbone[-1]


def _latency_table(where: str, record: LatencyTable) -> Iterator[Comparison]:
    """It has every part that networks of its resolutions may have."""
    parts = latency.every_part(record.resolutions, record.num_classes)
    names = sorted(part.name for part in parts)
    yield f"{where}: parts", sorted(record.parts), names


def _pixel_exact(where: str, record: PixelExactRecord) -> Iterator[Comparison]:
    """All test images together are those of the models' own records."""
    for row in record.rows:
        shipped, each = registry.record(row.model), f"{where}: {row.model}"
        yield f"{each}, weights", row.weights, shipped.weights.sha256
        for key, value in vars(row.all).items():
            yield f"{each}, {key}", value, getattr(shipped.results["test"], key)


def _run(where: str, record: RunRecord) -> Iterator[Comparison]:
    yield from verify_search.check(where, record)
    place = "/".join(runs.place_of(record))
    found = "/".join(where.removesuffix(records.COMPRESSED).split("/")[-2:])
    yield f"{where}: place", found, place
    yield f"{where}: changed settings", runs.changed_settings(record), []
    selected = record.selected
    yield f"{where}: selected trial", selected.trial, runs.choose(record)
    trials = {candidate.trial: candidate for candidate in record.candidates}
    if selected.trial not in trials:
        return  # said above
    candidate = trials[selected.trial]
    counted = {
        c: macs(candidate.network, candidate.num_classes, c) for c in CONVENTIONS
    }
    yield from _report(f"{where}, selected on test", selected.test, counted)
    thresholds = (selected.tuned or candidate.evaluation).thresholds
    yield f"{where}: selected thresholds", selected.test.thresholds, thresholds


def _ranking(where: str, record: RankingRecord) -> Iterator[Comparison]:
    """The networks cost what is recorded."""
    for i, row in enumerate(record.rows):
        cost = macs(Architecture.from_dict(row.architecture), record.num_classes)
        yield f"{where}: MACs of network {i}", row.macs, cost.per_exit


def _comparison(where: str, record: ComparisonRecord) -> Iterator[Comparison]:
    """Every network was trained as is said, and its settings cost what is recorded."""
    recipes = {each.name: record.recipe | each.changes for each in record.networks}
    for row in record.rows:
        each = f"{where}: {row.contender}, seed {row.seed}"
        yield f"{each}, data", row.data, record.data.fingerprint
        yield f"{each}, recipe", row.recipe, recipes[row.contender]
        if row.architecture is not None:
            architecture = Architecture.from_dict(row.architecture)
            cost = macs(architecture, record.num_classes)
            yield f"{each}, MACs", vars(row.macs), vars(cost)
        for i, point in enumerate(row.frontier):
            average = average_macs(point, row.macs)
            yield f"{each}, frontier[{i}]: average MACs", point.average_macs, average
        chosen = [(point.chosen_macs, point.chosen_accuracy) for point in row.frontier]
        yield f"{each}, order of the frontier", chosen, sorted(set(chosen))
        accuracies = [accuracy for _, accuracy in chosen]
        yield f"{each}, accuracies of the frontier", accuracies, sorted(set(accuracies))


_CHECKS = {
    RunRecord: _run,
    SearchRecord: verify_search.check,
    ModelRecord: _model,
    FinetuneRecord: _finetune,
    PixelExactRecord: _pixel_exact,
    BenchmarkRecord: _skipping,
    DeviceRecord: _device,
    LatencyTable: _latency_table,
    SurrogateQualityRecord: _surrogates,
    RankingRecord: _ranking,
    ComparisonRecord: _comparison,
}
