"""Surrogates of several metrics at once, and what they see of a candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from search import surrogate as surrogates
from search.genes import Space


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
        space: Space,
        metrics: Sequence[str],
        name: str,
        rng: np.random.Generator,
    ) -> None:
        self.space = space
        seed = int(rng.integers(2**31))
        self.surrogates = {m: surrogates.surrogate(name, seed) for m in metrics}
        self.name = name
        self._costs = cache(space.costs)  # NSGA-II asks again for those that survive

    def fit(self, genes: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        """Fit every surrogate to the values of its metric."""
        inputs = features(self.space, genes, self._costs)
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
        inputs = features(self.space, genes, self._costs)
        return {name: each.predict(inputs) for name, each in self.surrogates.items()}

    def names(self) -> dict[str, str]:
        """The regressor that was fitted to each metric."""
        return {
            metric: getattr(each, "chosen", self.name)
            for metric, each in self.surrogates.items()
        }


def features(
    space: Space,
    genes: Any,
    costs: Callable[[tuple[int, ...]], np.ndarray] | None = None,
) -> np.ndarray:
    """What surrogates see: canonical genes, and the costs that follow from them.

    To the integers are added the logarithms that `space.costs` counts, for the paper's
    space of MACs and parameters. They need no training, and with few candidates a
    regressor cannot learn them from integers.

    Args:
        space: The search space.
        genes: Shape `(candidates, genes)`.
        costs: In place of `space.costs`, such as one that remembers its answers.

    Returns:
        Shape `(candidates, genes + costs)`.
    """
    genes = space.canonical(np.asarray(genes, int))
    costs = costs or space.costs
    return np.hstack([genes, [costs(tuple(each)) for each in genes.tolist()]])
