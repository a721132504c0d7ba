"""Proposers: what a search tries next.

A proposer is any object with a method `propose(trials, rng, known)`, which returns
genes. It keeps nothing between calls and learns from the trials it is given, so that an
interrupted search continues as if it had not been interrupted. This module has random
search and NSGA-II on trained candidates; `search.aebnas` has the paper's proposer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from search import evolution
from search.genes import Space
from search.objectives import Constraint, Objectives, violations
from zoo.checks import whole_number

Known = set[tuple[int, ...]]


@dataclass(frozen=True)
class CompletedTrial:
    """A trained candidate, as a proposer sees it.

    Attributes:
        genes: Canonical genes.
        metrics: What was measured, by name.
        feasible: Whether all constraints are satisfied.
    """

    genes: tuple[int, ...]
    metrics: dict[str, float]
    feasible: bool


@dataclass(frozen=True)
class Predictions:
    """What surrogates said about candidates before these were trained.

    Attributes:
        trials: Completed trials that the surrogates were fitted to.
        genes: The candidates.
        predicted: Values of every predicted metric, one per candidate.
        surrogates: Regressor used, by metric.
        seconds: Time for the proposal.
    """

    trials: int
    genes: list[list[int]] = field(repr=False)
    predicted: dict[str, list[float]] = field(repr=False)
    surrogates: dict[str, str]
    seconds: float


@dataclass(frozen=True)
class Proposal:
    """An answer of a proposer that predicts metrics.

    Attributes:
        genes: Shape `(candidates, genes)`.
        predictions: Kept with the search, and compared with what is measured once the
            candidates are trained; see `ProposerOracle.iterations`.
    """

    genes: np.ndarray
    predictions: Predictions | None = None


class Proposer(Protocol):
    """The interface of a proposer; there is no base class."""

    def propose(
        self,
        trials: Sequence[CompletedTrial],
        rng: np.random.Generator,
        known: Known,
    ) -> np.ndarray | Proposal:
        """The next batch of candidates.

        Args:
            trials: The completed trials, two or more, in the order in which they ended.
            rng: Source of randomness; it depends only on the seed and the number of
                trials.
            known: Canonical genes that have been proposed before, as tuples.

        Returns:
            Genes of shape `(1 or more, genes)`, or a `Proposal`. Those in `known` are
            not tried again.
        """


class RandomSearch:
    """Random candidates.

    Args:
        space: The search space.
        batch_size: Candidates in a batch.
    """

    def __init__(self, space: Space, batch_size: int = 8) -> None:
        self.space = space
        self.batch_size = batch_size

    def propose(
        self,
        trials: Sequence[CompletedTrial],
        rng: np.random.Generator,
        known: Known,
    ) -> np.ndarray:
        """Random candidates; see `Proposer`."""
        return self.space.sample(self.batch_size, rng, known)


class NSGA2:
    """NSGA-II on trained candidates (Deb et al., IEEE Trans. Evol. Comp. 2002).

    Every batch is the offspring of the best `population` trials by rank and crowding:
    binary tournaments, two-point crossover and polynomial mutation of integers, as in
    the paper's search on surrogates.

    Args:
        space: The search space.
        objectives: What to improve.
        constraints: Limits; a candidate within them beats one that is not.
        population: How many trials may be parents.
        batch_size: Candidates in a batch.

    Raises:
        ValueError: The population is too small.
    """

    ATTEMPTS = 20  # at offspring that is not known yet

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        constraints: Sequence[Constraint] = (),
        population: int = 40,
        batch_size: int = 8,
    ) -> None:
        self.space = space
        self.objectives = objectives
        self.constraints = tuple(constraints)
        self.population = whole_number("population", population, 2)
        self.batch_size = batch_size

    def propose(
        self,
        trials: Sequence[CompletedTrial],
        rng: np.random.Generator,
        known: Known,
    ) -> np.ndarray:
        """Offspring of the best trials; see `Proposer`."""
        metrics = [trial.metrics for trial in trials]
        broken = [violations(each, self.constraints) for each in metrics]
        judgement = (
            self.objectives.points(metrics),
            np.array(broken, float).reshape(len(trials), len(self.constraints)),
        )
        batches = evolution.offspring(
            self.space,
            np.array([trial.genes for trial in trials]),
            judgement,
            self.population,
            self.batch_size,
            rng,
        )
        children: list[tuple[int, ...]] = []
        for _ in range(self.ATTEMPTS):
            if len(children) == self.batch_size:
                break
            for genes in map(tuple, next(batches).tolist()):
                if genes not in known and len(children) < self.batch_size:
                    known = known | {genes}
                    children.append(genes)
        fill = self.space.sample(self.batch_size - len(children), rng, known)
        return np.array([*children, *fill], int)
