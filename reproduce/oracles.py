"""Which oracle finds the better front? From recorded searches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reproduce.records import ORACLES, RESULTS, SearchRecord, check_folder
from search import pareto
from zoo import records


def load(
    results: str | os.PathLike = RESULTS, part: str = ORACLES
) -> dict[str, SearchRecord]:
    """Recorded searches to compare, by the names of their files, METHOD_seedN.

    Args:
        results: Folder of records.
        part: The folder in it.

    Raises:
        FileNotFoundError: There are none.
        ValueError: A record is damaged.
    """
    folder = check_folder(results) / part
    found = {
        records.stem(path): records.read(path, SearchRecord)
        for path in records.paths(folder)
    }
    if not found:
        raise FileNotFoundError(f"There are no records of searches in {folder}.")
    return found


@dataclass(frozen=True)
class MethodVolumes:
    """The hypervolumes that the searches of a method reached.

    Attributes:
        method: Its name.
        trials: Candidates of a search.
        seeds: Of the searches.
        hypervolumes: One per seed, a share of the box between zero and the reference.
        mean: Of the hypervolumes.
        spread: Their sample standard deviation; None for a single search.
        accuracies: One per seed, the best on the validation split of all threshold
            settings within the search's target of average MACs; None without a target.
    """

    method: str
    trials: int
    seeds: tuple[int, ...]
    hypervolumes: tuple[float, ...]
    mean: float
    spread: float | None
    accuracies: tuple[float, ...] | None


def compare(searches: Mapping[str, SearchRecord]) -> list[MethodVolumes]:
    """Hypervolume of each method over its seeds, at one reference point for all.

    The reference is the worst of the records' own references in each objective.
    """
    reference = np.max([each.reference for each in searches.values()], axis=0)
    methods: dict[str, dict[int, SearchRecord]] = {}
    for name, each in searches.items():
        method = name.rpartition("_seed")[0]
        methods.setdefault(method, {})[each.settings.seed] = each
    found = []
    for method, by_seed in methods.items():
        ordered = [by_seed[seed] for seed in sorted(by_seed)]
        volumes = tuple(_hypervolume(each, reference) for each in ordered)
        within = tuple(map(_accuracy, ordered))
        found.append(
            MethodVolumes(
                method,
                max(len(each.candidates) for each in ordered),
                tuple(sorted(by_seed)),
                volumes,
                mean=float(np.mean(volumes)),
                spread=float(np.std(volumes, ddof=1)) if len(volumes) > 1 else None,
                accuracies=None if None in within else within,
            )
        )
    return found


def _hypervolume(record: SearchRecord, reference: np.ndarray) -> float:
    names = record.settings.objectives
    points = [[c.metrics[name] for name in names] for c in record.candidates]
    return pareto.hypervolume(points, reference, np.zeros(len(names)))


def _accuracy(record: SearchRecord) -> float | None:
    """The best accuracy within the target, which is on the front of all settings."""
    target = record.settings.target_macs
    if target is None:
        return None
    front = record.settings_front
    return max((p.accuracy for p in front if p.average_macs <= target), default=None)
