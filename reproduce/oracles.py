"""Which oracle finds the better front? From recorded searches."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np

from search import pareto

RESULTS = pathlib.Path(__file__).parent / "results" / "digits_oracles"


def load(folder: pathlib.Path = RESULTS) -> list[dict[str, Any]]:
    """Records that `search.record` wrote, one per method and seed."""
    paths = sorted(folder.glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def compare(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hypervolume of each method over its seeds, at one reference point for all.

    The reference is the worst of the records' own references in each objective, and the
    hypervolume a share of the box between it and zero.

    Returns:
        For every method: `method`, `trials`, `seeds`, `hypervolumes` (one per seed),
        `mean` and `spread` (sample standard deviation).
    """
    reference = np.max([record["reference"] for record in records], axis=0)
    names = records[0]["settings"]["objectives"]
    found: dict[str, dict[int, float]] = {}
    for record in records:
        points = [[c["metrics"][name] for name in names] for c in record["candidates"]]
        method, seed = (record["settings"][key] for key in ("method", "seed"))
        volume = pareto.hypervolume(points, reference, np.zeros(len(names)))
        found.setdefault(method, {})[seed] = volume
    return [
        {
            "method": method,
            "trials": max(
                len(r["candidates"])
                for r in records
                if r["settings"]["method"] == method
            ),
            "seeds": sorted(volumes),
            "hypervolumes": [volumes[seed] for seed in sorted(volumes)],
            "mean": float(np.mean(list(volumes.values()))),
            "spread": float(np.std(list(volumes.values()), ddof=1)),
        }
        for method, volumes in found.items()
    ]
