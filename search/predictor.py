"""Surrogates of several metrics at once, and what they see of a candidate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from search import surrogate as surrogates
from search.space import SearchSpace
from zoo.architecture import EXIT_POSITIONS, Architecture
from zoo.cost import macs
from zoo.heads import FixedBranch


class Predictor:
    """One surrogate per metric, on genes and on what can be counted from them.

    Args:
        space: The search space.
        metrics: Names of the metrics.
        name: "adaptive" or "mlp"; see `search.surrogate`.
        rng: Source of the surrogates' seed.
    """

    def __init__(
        self,
        space: SearchSpace,
        metrics: Sequence[str],
        name: str,
        rng: np.random.Generator,
    ) -> None:
        self.space = space
        seed = int(rng.integers(2**31))
        self.surrogates = {m: surrogates.surrogate(name, seed) for m in metrics}
        self.name = name

    def fit(self, genes: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        """Fit every surrogate to the values of its metric."""
        inputs = features(self.space, genes)
        with surrogates.quiet():
            for name, each in self.surrogates.items():
                each.fit(inputs, values[name])

    def table(self, metrics: Iterable[Mapping[str, float]]) -> dict[str, np.ndarray]:
        """Metrics of candidates as an array per metric."""
        metrics = list(metrics)
        return {
            name: np.array([each[name] for each in metrics]) for name in self.surrogates
        }

    def __call__(self, genes: np.ndarray) -> dict[str, np.ndarray]:
        """Predictions of every metric, each of shape `(candidates,)`."""
        inputs = features(self.space, genes)
        return {name: each.predict(inputs) for name, each in self.surrogates.items()}

    def names(self) -> dict[str, str]:
        """The regressor that was fitted to each metric."""
        return {
            metric: getattr(each, "chosen", self.name)
            for metric, each in self.surrogates.items()
        }


def features(space: SearchSpace, genes: Any) -> np.ndarray:
    """What surrogates see: canonical genes, and the costs that follow from them.

    To the paper's 82 integers are added logarithms of the MACs up to each exit, of each
    branch (0 where there is none) and of the parameters, in the standard convention and
    for ten classes (as inputs, any would do). They can be counted without
    training, and with few candidates a regressor cannot learn them from integers.

    Args:
        space: The search space.
        genes: Shape `(candidates, 82)`.

    Returns:
        Shape `(candidates, 82 + 12)`.
    """
    genes = space.canonical(np.asarray(genes, int))
    return np.hstack([genes, [_costs(space.decode(each)) for each in genes]])


def _costs(architecture: Architecture) -> np.ndarray:
    everywhere = replace(
        architecture,
        branches=(FixedBranch(),) * EXIT_POSITIONS,
        thresholds=(0.5,) * EXIT_POSITIONS,
    )
    backbone = macs(everywhere, 10).backbone
    own = macs(architecture, 10)
    branches = np.zeros(EXIT_POSITIONS)
    branches[list(architecture.exits)] = own.branches
    totals = (own.per_exit[0], own.per_exit[-1], own.parameters)
    return np.log1p(np.array([*backbone, *branches, *totals], float))
