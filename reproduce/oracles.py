"""Which oracle finds the better front? From recorded searches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reproduce.records import ORACLES, RESULTS, SearchRecord, check_folder
from search import pareto
from zoo import records


def load(results: str | os.PathLike = RESULTS) -> list[SearchRecord]:
    """The recorded searches on digits, one per method and seed.

    Args:
        results: Folder of records.

    Raises:
        FileNotFoundError: There are none.
        ValueError: A record is damaged.
    """
    folder = check_folder(results) / ORACLES
    found = [records.read(path, SearchRecord) for path in sorted(folder.glob("*.json"))]
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
    """

    method: str
    trials: int
    seeds: tuple[int, ...]
    hypervolumes: tuple[float, ...]
    mean: float
    spread: float | None


def compare(searches: Sequence[SearchRecord]) -> list[MethodVolumes]:
    """Hypervolume of each method over its seeds, at one reference point for all.

    The reference is the worst of the records' own references in each objective.
    """
    reference = np.max([each.reference for each in searches], axis=0)
    names = searches[0].settings.objectives
    volumes: dict[str, dict[int, float]] = {}
    trials: dict[str, int] = {}
    for each in searches:
        points = [[c.metrics[name] for name in names] for c in each.candidates]
        method = each.settings.method
        volume = pareto.hypervolume(points, reference, np.zeros(len(names)))
        volumes.setdefault(method, {})[each.settings.seed] = volume
        trials[method] = max(trials.get(method, 0), len(each.candidates))
    return [
        MethodVolumes(
            method,
            trials[method],
            tuple(sorted(found)),
            tuple(found[seed] for seed in sorted(found)),
            mean=float(np.mean(list(found.values()))),
            spread=float(np.std(list(found.values()), ddof=1))
            if len(found) > 1
            else None,
        )
        for method, found in volumes.items()
    ]
