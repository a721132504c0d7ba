"""The search of AEBNAS: NSGA-II on surrogates of the objectives."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from search import evolution, pareto
from search import surrogate as surrogates
from search.genes import Space
from search.objectives import Constraint, Objectives, violations
from search.predictor import Predictor
from search.proposers import CompletedTrial, Known, Predictions, Proposal
from zoo.checks import check_target, whole_number

Values = dict[str, np.ndarray]  # of every predicted metric, each of shape (candidates,)


class AEBNAS:
    """The paper's proposer; with other aims, those of NACHOS and NSGANetV2.

    Each iteration fits a surrogate of every objective to all completed trials, runs
    NSGA-II on the predictions, starting from the current front, and proposes candidates
    that spread along the second objective.

    With a `target` t of the second objective, NSGA-II minimises
    100 x first + 0.1 x MAPE and MAPE, with MAPE = |second - t| / t x 100. With a
    `limit` it minimises the first and NACHOS's
    F_CM = phi x second + (1 - phi) x max(0, second - limit), where phi is the share of
    its population within the limit. With neither it minimises the objectives.

    Args:
        space: The search space.
        objectives: Two, the first one a share such as `error`, the second a cost; any
            others if there is neither target nor limit.
        constraints: Limits on metrics, for each of which there is a surrogate.
        target: Value of the second objective to aim at, such as 2.44e6 average MACs.
        limit: Value that the second objective should not exceed.
        surrogate: "adaptive" or "mlp"; see `search.surrogate`.
        population: Population of NSGA-II.
        generations: Generations of NSGA-II.
        batch_size: Candidates per iteration.

    Raises:
        ValueError: An argument is out of range or conflicts with another.

    Reference:
        AEBNAS, arXiv 2512.10671; NACHOS, arXiv 2401.13330; NSGANetV2, Lu et al., ECCV
        2020.
    """

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        constraints: Sequence[Constraint] = (),
        target: float | None = None,
        limit: float | None = None,
        surrogate: str = "adaptive",
        population: int = 40,
        generations: int = 20,
        batch_size: int = 8,
    ) -> None:
        for name, value in (("target", target), ("limit", limit)):
            if value is None:
                continue
            check_target(name, value)
            if (objectives.signs < 0).any():
                raise ValueError(f"With a {name}, all objectives must be minimised.")
            if len(objectives) != 2:
                raise ValueError(
                    f"With a {name}, expected two objectives; there are "
                    f"{', '.join(objectives.names)}."
                )
        if target is not None and limit is not None:
            raise ValueError("target and limit are both given; expected one.")
        self.population = whole_number("population", population, 2)
        self.generations = whole_number("generations", generations, 1)
        surrogates.surrogate(surrogate)  # known?
        self.space = space
        self.objectives = objectives
        self.constraints = tuple(constraints)
        self.target, self.limit, self.surrogate = target, limit, surrogate
        self.batch_size = batch_size

    def propose(
        self,
        trials: Sequence[CompletedTrial],
        rng: np.random.Generator,
        known: Known,
    ) -> Proposal:
        """One iteration of the search; see `search.proposers.Proposer`."""
        began = time.perf_counter()
        genes = np.array([trial.genes for trial in trials])
        predictor = Predictor(self.space, self._predicted, self.surrogate, rng)
        trained = predictor.table(trial.metrics for trial in trials)
        predictor.fit(genes, trained)
        front = self._front(trials, trained)
        count = min(len(front), self.population)
        evenly = np.linspace(0, len(front) - 1, count).round().astype(int)
        found = self._minimise(predictor, genes[front[evenly]], rng, known)

        new = np.array([g for g in found if tuple(g.tolist()) not in known], int)
        picked, predictions = genes[:0], None
        if len(new):
            predicted = predictor(new)
            taken = {name: values[front] for name, values in trained.items()}
            chosen = self._choose(predicted, taken)
            picked = new[chosen]
            predictions = Predictions(
                len(trials),
                picked.tolist(),
                {name: values[chosen].tolist() for name, values in predicted.items()},
                predictor.names(),
                round(time.perf_counter() - began, 2),
            )
        missing = self.batch_size - len(picked)
        known = known | {tuple(g) for g in picked.tolist()}
        fill = self.space.sample(missing, rng, known)
        return Proposal(np.vstack([picked, fill]), predictions)

    @property
    def _predicted(self) -> tuple[str, ...]:
        """Metrics that a surrogate is fitted to."""
        names = (*self.objectives.names, *(c.metric for c in self.constraints))
        return tuple(dict.fromkeys(names))

    def _front(self, trials: Sequence[CompletedTrial], trained: Values) -> np.ndarray:
        """Indices of the trials on the front of what is minimised."""
        allowed = np.flatnonzero([trial.feasible for trial in trials])
        allowed = allowed if len(allowed) else np.arange(len(trials))
        aims = self._aims(trained, self._admissible(trained))
        return allowed[pareto.front(aims[allowed])]

    def _minimise(
        self,
        predictor: Predictor,
        front: np.ndarray,
        rng: np.random.Generator,
        known: Known,
    ) -> np.ndarray:
        """The last population of NSGA-II on the surrogates."""
        fill = self.space.sample(self.population - len(front), rng, known)
        phi = None

        def judge(values: Values) -> evolution.Judgement:
            aims = self._aims(values, phi)
            broken = np.zeros((len(aims), len(self.constraints)))
            for column, violation in enumerate(violations(values, self.constraints)):
                broken[:, column] = violation
            return aims, broken

        def evaluate(genes: np.ndarray) -> evolution.Judgement:
            nonlocal phi
            values = predictor(genes)
            phi = self._admissible(values) if phi is None else phi
            return judge(values)

        def survived(genes: np.ndarray) -> evolution.Judgement:
            nonlocal phi
            values = predictor(genes)
            phi = self._admissible(values)
            return judge(values)

        return evolution.minimise(
            evaluate,
            self.space,
            np.vstack([front, fill]),
            len(self.objectives),
            len(self.constraints),
            self.generations,
            seed=int(rng.integers(2**31)),
            survived=survived if self.limit is not None else None,
        )

    def _choose(self, predicted: Values, front: Values) -> list[int]:
        """Indices of the predicted candidates to train.

        Better ranks first, and within the last rank that fits those that spread, from
        one another and from the trained ones on the front; those within all limits
        before all others.
        """
        phi = self._admissible(predicted)
        aims, taken = self._aims(predicted, phi), self._aims(front, phi)
        chosen: list[int] = []
        for group in self._by_limits(predicted):
            for rank in pareto.fronts(aims[group]):
                rank, room = group[rank], self.batch_size - len(chosen)
                apart = np.concatenate([taken, aims[chosen]])
                chosen += [rank[i] for i in spread(aims[rank], apart, room)]
        return chosen

    def _aims(self, values: Values, phi: float) -> np.ndarray:
        """What NSGA-II minimises, from metrics; shape `(candidates, objectives)`."""
        columns = [values[name] for name in self.objectives.names]
        if self.target is not None:
            error, second = columns
            mape = np.abs(second - self.target) / self.target * 100
            columns = [100 * error + 0.1 * mape, mape]
        elif self.limit is not None:
            error, second = columns
            over = np.maximum(0, second - self.limit)
            columns = [error, phi * second + (1 - phi) * over]
        else:
            columns = list(self.objectives.signs[:, None] * columns)
        return np.stack(columns, 1)

    def _admissible(self, values: Values) -> float:
        """NACHOS's phi."""
        if self.limit is None:
            return 1.0
        return float(np.mean(values[self.objectives.names[1]] <= self.limit))

    def _by_limits(self, values: Values) -> list[np.ndarray]:
        """Indices of the candidates within limit and constraints, and of the others."""
        within = np.ones(len(values[self.objectives.names[0]]), bool)
        if self.limit is not None:
            within &= values[self.objectives.names[1]] <= self.limit
        for violation in violations(values, self.constraints):
            within &= violation == 0
        return [np.flatnonzero(within), np.flatnonzero(~within)]


def spread(points: np.ndarray, taken: np.ndarray, count: int) -> list[int]:
    """Indices of points that keep apart along the second objective.

    Starts with the best by the first objective; each next one is the farthest from all
    before it and from those in `taken`. With a single objective, the best ones.
    """
    if points.shape[1] == 1 or count >= len(points):
        return np.argsort(points[:, 0]).tolist()[:count]
    chosen = [int(points[:, 0].argmin())] if count else []
    others = [*taken[:, 1]]
    while len(chosen) < count:
        marks = np.array([*others, *points[chosen, 1]])
        distance = np.abs(points[:, 1:2] - marks).min(1)
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
    return chosen
