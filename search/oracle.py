"""Oracles: what a search tries next. True multi-objective, on keras-tuner."""

from __future__ import annotations

import json
import pathlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from search import pareto
from search import surrogate as surrogates
from search.pareto import Constraint, Objectives
from search.space import SearchSpace, SpaceExhaustedError
from zoo.architecture import EXIT_POSITIONS, Architecture, FixedBranch
from zoo.cost import macs
from zoo.files import write_text

FAILURE = "failure.txt"  # in a trial's folder, written by the worker that saw it


class ParetoOracle(keras_tuner.Oracle):
    """An oracle that keeps objectives apart instead of summing them.

    Subclasses define `populate_space`, as for any keras-tuner oracle. Everything that
    this class answers is computed from the trials themselves, so that it holds after
    failed trials, with several workers and after a reload.

    Args:
        objectives: `keras_tuner.Objective`s, or names of metrics to minimise.
        constraints: Limits on metrics. Trials that break one are in no front.
        reference: Reference point of the hypervolume, one value per objective. Default:
            1 % worse than the worst of the first `initial_trials` completed trials.
        ideal: Best conceivable values, the other corner of the box of which the
            hypervolume is a share. Default: zeros, if all objectives are minimised.
        initial_trials: Trials that are drawn at random before anything is learnt.
        max_trials: Trials to start, the failed ones counted.
        seed: Seed, 0 or more.
        max_failures: So many failed trials in a row end the search.
        **kwargs: For `keras_tuner.Oracle`.

    Attributes:
        objective: The `search.Objectives`.
        stopped: Why the search ended before `max_trials`, or None.
        on_trial: Called with the oracle and every trial that ended, or None.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        objectives: Sequence[keras_tuner.Objective | str],
        constraints: Sequence[Constraint] = (),
        reference: Sequence[float] | None = None,
        ideal: Sequence[float] | None = None,
        initial_trials: int = 100,
        max_trials: int | None = None,
        seed: int = 1,
        max_failures: int = 10,
        **kwargs: Any,
    ) -> None:
        limits = {
            "initial_trials": (initial_trials, 1),
            "max_trials": (1 if max_trials is None else max_trials, 1),
            "seed": (seed, 0),
            "max_failures": (max_failures, 1),
        }
        for name, (value, least) in limits.items():
            if not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(f"{name} is {value!r}; expected {least} or more.")
        objective = Objectives(objectives)
        super().__init__(
            objective=objective, max_trials=max_trials, seed=int(seed), **kwargs
        )
        self.seed = int(seed)  # keras-tuner takes 0 for none
        self.verbose = 0
        self.constraints = tuple(constraints)
        self.initial_trials = int(initial_trials)
        self.max_failures = int(max_failures)
        self.stopped: str | None = None
        self._reloaded = 0  # trials that had ended then
        self.on_trial: Callable[[ParetoOracle, Trial], None] | None = None
        count = len(objective.names)
        self._reference = self._ideal = None
        if reference is not None:
            reference = pareto.check_numbers("reference", reference, count)
            self._reference = objective.signs * reference
        if ideal is not None:
            ideal = pareto.check_numbers("ideal", ideal, count)
            self._ideal = objective.signs * ideal
        elif (objective.signs > 0).all():
            self._ideal = np.zeros(count)

    # What was found.

    def completed_trials(self) -> list[Trial]:
        """Completed trials in the order in which they ended."""
        ended = [self.trials[trial_id] for trial_id in self.end_order]
        return [trial for trial in ended if trial.status == TrialStatus.COMPLETED]

    def values(self, trial: Trial) -> dict[str, float]:
        """Metrics that a trial reported."""
        return {
            name: float(trial.metrics.get_last_value(name))
            for name in trial.metrics.metrics
        }

    def is_feasible(self, trial: Trial) -> bool:
        """Whether a completed trial keeps all constraints."""
        values = self.values(trial)
        return all(c.violation(values[c.metric]) == 0 for c in self.constraints)

    def pareto_trials(self) -> list[Trial]:
        """Feasible trials that no other one dominates, best first objective first."""
        trials = [t for t in self.completed_trials() if self.is_feasible(t)]
        return [trials[i] for i in pareto.front(self._points(trials))]

    def reference_point(self) -> tuple[float, ...] | None:
        """The hypervolume's reference in the objectives' units; None: not known yet."""
        reference = self._reference_point()
        if reference is None:
            return None
        return tuple((self.objective.signs * reference).tolist())

    def hypervolume_history(self) -> list[tuple[str, float]]:
        """(trial id, hypervolume) after each completed trial.

        A share of the box between `ideal` and the reference point, 0..1, if there is an
        ideal; else in the product of the objectives' units.
        """
        reference = self._reference_point()
        history, points = [], []
        for trial in self.completed_trials():
            if self.is_feasible(trial):
                points.append(self.objective.point(self.values(trial)))
            history.append(
                (trial.trial_id, pareto.hypervolume(points, reference, self._ideal))
            )
        return history

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The front, then what is behind it, rank by rank; infeasible trials last."""
        completed = self.completed_trials()
        feasible = [t for t in completed if self.is_feasible(t)]
        points = self._points(feasible)
        ranked = []
        for rank in pareto.fronts(points):
            order = np.lexsort(points[rank].T[::-1])
            ranked += [feasible[i] for i in rank[order]]
        ranked += [t for t in completed if not self.is_feasible(t)]
        return ranked[:num_trials]

    def _violations(self, values: dict[str, Any]) -> list[Any]:
        """Of every constraint, relative to its limits, so that units do not matter."""
        return [
            c.violation(values[c.metric])
            / (max(abs(c.minimum or 0), abs(c.maximum or 0)) or 1)
            for c in self.constraints
        ]

    def _points(self, trials: Iterable[Trial]) -> np.ndarray:
        points = [self.objective.point(self.values(trial)) for trial in trials]
        return np.array(points).reshape(len(points), len(self.objective.names))

    def _reference_point(self) -> np.ndarray | None:
        if self._reference is not None:
            return self._reference
        initial = [
            trial
            for trial in (self.trials[i] for i in self.start_order)
            if trial.status == TrialStatus.COMPLETED
        ][: self.initial_trials]
        return pareto.reference_point(self._points(initial)) if initial else None

    # What keras-tuner calls.

    def score_trial(self, trial: Trial) -> None:
        """keras-tuner wants one number: the first objective. Nothing here uses it."""
        trial.score = self.values(trial)[self.objective.name]
        trial.best_step = 0

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial; its status is STOPPED when the search is over."""
        # What an interrupted attempt reported does not count: that of a worker that was
        # started again, or of the trial that waits for a retry.
        again = self.ongoing_trials.get(tuner_id)
        if again is None and self.failed_in_a_row():
            self.tuner_ids.discard(tuner_id)
            return Trial(self.get_space(), status=TrialStatus.STOPPED)
        if again is None and self._retry_queue:
            again = self.trials[self._retry_queue[-1]]
        if again is not None:
            again.metrics = type(again.metrics)()
            again.score = again.message = None
        return super().create_trial(tuner_id)

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Record a trial that ended, with the reason if it failed."""
        if trial.trial_id in self.end_order:  # by a worker that the chief had given up
            self._let_go(trial.trial_id)
            return
        self._retry_queue = [i for i in self._retry_queue if i != trial.trial_id]
        if trial.status != TrialStatus.COMPLETED:
            # A worker's messages do not come through keras-tuner's protocol.
            path = pathlib.Path(self._get_trial_dir(trial.trial_id)) / FAILURE
            if path.is_file():
                trial.message = path.read_text(encoding="utf-8")
        elif trial.status == TrialStatus.COMPLETED:
            wrong = self._missing(self.trials[trial.trial_id])
            if wrong:
                trial.status, trial.message = TrialStatus.FAILED, wrong
        super().end_trial(trial)
        if self.on_trial is not None:
            self.on_trial(self, self.trials[trial.trial_id])

    @keras_tuner.synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0):
        """Record the metrics of a trial that has not ended."""
        if trial_id in self.end_order:
            return self.trials[trial_id]
        return super().update_trial(trial_id, metrics, step)

    def _let_go(self, trial_id: str) -> None:
        self.ongoing_trials = {
            tuner: trial
            for tuner, trial in self.ongoing_trials.items()
            if trial.trial_id != trial_id
        }

    def _missing(self, trial: Trial) -> str | None:
        wanted = (*self.objective.names, *(c.metric for c in self.constraints))
        values = self.values(trial)
        wrong = [name for name in wanted if not np.isfinite(values.get(name, np.nan))]
        return f"No finite value of {', '.join(wrong)} was reported." if wrong else None

    def _check_consecutive_failures(self) -> None:
        """Left to `failed_in_a_row`: an exception here would keep the oracle's lock."""

    def failed_in_a_row(self) -> bool:
        """Whether the last `max_failures` trials failed; notes it in `stopped`."""
        ended = self.end_order[self._reloaded :]  # the cause may have been mended since
        last = [self.trials[i] for i in ended[-self.max_failures :]]
        failed = [trial for trial in last if trial.status == TrialStatus.FAILED]
        if len(failed) < self.max_failures:
            return False
        self.stopped = (
            f"{len(failed)} trials in a row failed, the last with: {reason(failed[-1])}"
        )
        return True

    def _save_trial(self, trial: Trial) -> None:
        path = pathlib.Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        write_text(path, json.dumps(trial.get_state()))

    def save(self) -> None:
        """Write the state, whole or not at all."""
        write_text(self._get_oracle_fname(), json.dumps(self.get_state()))

    def reload(self) -> None:
        """Read state and trials back; trials that were under way are tried again.

        A kill may have fallen between the writing of a trial and of the state; the
        trials decide.
        """
        # Not by keras-tuner's glob, for which a folder's own name may be a pattern.
        for path in pathlib.Path(self._project_dir).glob("trial_*/trial.json"):
            trial = Trial.load(str(path))
            self.trials[trial.trial_id] = trial
        state = pathlib.Path(self._get_oracle_fname()).read_text(encoding="utf-8")
        self.set_state(json.loads(state))
        by_start = sorted(self.trials, key=int)
        self.trials = {trial_id: self.trials[trial_id] for trial_id in by_start}
        ended = (TrialStatus.COMPLETED, TrialStatus.FAILED)
        done = [i for i in by_start if self.trials[i].status in ended]
        self.start_order = by_start
        self.end_order = [i for i in self.end_order if i in done]
        self.end_order += [i for i in done if i not in self.end_order]
        # It is popped from its end.
        self._retry_queue = [i for i in reversed(by_start) if i not in done]
        self.ongoing_trials = {}
        self._reloaded = len(self.end_order)

    def set_state(self, state: dict[str, Any]) -> None:
        """Read what `get_state` gave; which trials are under way follows from them."""
        super().set_state(state | {"ongoing_trials": {}})


def reason(trial: Trial) -> str:
    """Why a trial failed, in one line."""
    lines = (trial.message or "unknown reason").strip().splitlines()
    return lines[-1 if lines[0].startswith("Traceback") else 0]


class RandomOracle(ParetoOracle):
    """Random search; also what the oracles that learn have in common.

    Candidates are proposed in batches: first a random sample, then what `propose`
    gives. A batch is made when the one before has been handed out, from all trials
    completed by then, so that no worker ever waits; with one worker those are all.
    No candidate is proposed twice. The random numbers depend on the seed and on the
    count of trials alone, so that an interrupted search takes the course it would have
    taken.

    Args:
        space: The search space.
        objectives: See `ParetoOracle`.
        batch_size: Candidates proposed at a time after the initial sample.
        **kwargs: See `ParetoOracle`.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[keras_tuner.Objective | str] = ("error", "average_macs"),
        batch_size: int = 8,
        **kwargs: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected 1 or more.")
        super().__init__(
            objectives,
            hyperparameters=space.hyperparameters(),
            allow_new_entries=False,
            tune_new_entries=False,
            **kwargs,
        )
        self.space = space
        self.batch_size = int(batch_size)
        self._queue: list[list[int]] = []

    def genes(self, trial: Trial) -> np.ndarray:
        """Canonical genes of a trial's candidate, shape `(82,)`."""
        return self.space.from_values(trial.hyperparameters.values)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """keras-tuner's question for the next candidate."""
        known = {tuple(self.genes(trial).tolist()) for trial in self.trials.values()}
        self._queue = [genes for genes in self._queue if tuple(genes) not in known]
        if not self._queue:
            try:
                self._queue = self._next_batch(known).tolist()
            except SpaceExhaustedError as error:
                self.stopped = str(error)
                return {"status": TrialStatus.STOPPED}
            self.save()  # a kill before the first trial is on record loses no batch
        values = self.space.to_values(self._queue.pop(0))
        return {"status": TrialStatus.RUNNING, "values": values}

    def _next_batch(self, known: set[tuple[int, ...]]) -> np.ndarray:
        started = len(self.trials)
        rng = np.random.default_rng([self.seed, started])
        if started < self.initial_trials:
            return self.space.sample(self.initial_trials - started, rng, known)
        trials = self.completed_trials()
        if len(trials) < 2:  # nothing to learn from
            return self.space.sample(self.batch_size, rng, known)
        return self.propose(trials, rng, known)

    def propose(
        self, trials: list[Trial], rng: np.random.Generator, known: set
    ) -> np.ndarray:
        """The next batch of candidates.

        Args:
            trials: The completed trials, two or more.
            rng: Source of randomness.
            known: Canonical genes, as tuples, that have been proposed before.

        Returns:
            Canonical genes of shape `(1 or more, 82)`, none of them in `known`.
        """
        return self.space.sample(self.batch_size, rng, known)

    def get_state(self) -> dict[str, Any]:
        """keras-tuner's state and the candidates that wait."""
        return super().get_state() | {"queue": self._queue, "stopped": self.stopped}

    def set_state(self, state: dict[str, Any]) -> None:
        """Read what `get_state` gave."""
        super().set_state(state)
        self._queue = [list(genes) for genes in state["queue"]]
        self.stopped = None  # more may be asked for now


class NSGA2Oracle(RandomOracle):
    """NSGA-II on trained candidates (Deb et al., IEEE Trans. Evol. Comp. 2002).

    Every batch is the offspring of the best `population` trials by rank and crowding:
    binary tournaments, two-point crossover and polynomial mutation of integers, as in
    the paper's search on surrogates.

    Args:
        space: The search space.
        objectives: See `ParetoOracle`.
        population: How many trials may be parents.
        **kwargs: See `RandomOracle` and `ParetoOracle`.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[keras_tuner.Objective | str] = ("error", "average_macs"),
        population: int = 40,
        **kwargs: Any,
    ) -> None:
        if population < 2:
            raise ValueError(f"population is {population}; expected 2 or more.")
        super().__init__(space, objectives, **kwargs)
        self.population = int(population)

    def propose(
        self, trials: list[Trial], rng: np.random.Generator, known: set
    ) -> np.ndarray:
        """Offspring of the best trials; see `RandomOracle.propose`."""
        values = [self.values(trial) for trial in trials]
        violations = [self._violations(each) for each in values]
        problem = _Problem(self.space, len(self.objective.names), len(self.constraints))
        parents = Population.new(
            X=np.array([self.genes(trial) for trial in trials]),
            F=self._points(trials),
            **({"G": np.array(violations)} if self.constraints else {}),
        )
        for parent in parents:
            parent.evaluated.update(("F", "G", "H"))
        best = RankAndCrowding().do(
            problem,
            parents,
            n_survive=min(self.population, len(parents)),
            random_state=rng,
        )
        nsga2 = _nsga2(self.space, self.population, parents)
        nsga2.setup(problem, seed=int(rng.integers(2**31)))
        children: list[np.ndarray] = []
        for _ in range(20):  # offspring may be known already
            if len(children) == self.batch_size:
                break
            for genes in nsga2.mating.do(
                problem,
                best,
                self.batch_size,
                algorithm=nsga2,
                random_state=nsga2.random_state,
            ).get("X"):
                key = tuple(genes.tolist())
                if key not in known and len(children) < self.batch_size:
                    known = known | {key}
                    children.append(genes)
        missing = self.batch_size - len(children)
        return np.vstack([*children, self.space.sample(missing, rng, known)])


class AEBNASOracle(NSGA2Oracle):
    """The search of AEBNAS: NSGA-II on surrogates of the objectives.

    After the initial sample, each iteration fits a surrogate of every objective to all
    completed trials, runs NSGA-II on the predictions, starting from the current front,
    and proposes candidates that spread along the second objective.

    With a `target` t of the second objective, NSGA-II minimises
    100 x first + 0.1 x MAPE and MAPE, with MAPE = |second - t| / t x 100. With a
    `limit` it minimises the first and NACHOS's
    F_CM = phi x second + (1 - phi) x max(0, second - limit), where phi is the share of
    its population within the limit. With neither it minimises the objectives.

    Args:
        space: The search space.
        objectives: Two, the first one a share such as `error`, the second a cost; more
            if there is neither target nor limit. All others: see `ParetoOracle`.
        target: Value of the second objective to aim at, such as 2.44e6 average MACs.
        limit: Value that the second objective should not exceed.
        surrogate: "adaptive" or "mlp"; see `search.surrogate`.
        population: Of NSGA-II.
        generations: Of NSGA-II.
        **kwargs: See `RandomOracle` and `ParetoOracle`.

    Reference:
        AEBNAS, arXiv 2512.10671; NACHOS, arXiv 2401.13330; NSGANetV2, Lu et al., ECCV
        2020.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[keras_tuner.Objective | str] = ("error", "average_macs"),
        target: float | None = None,
        limit: float | None = None,
        surrogate: str = "adaptive",
        population: int = 40,
        generations: int = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(space, objectives, population=population, **kwargs)
        for name, value in (("target", target), ("limit", limit)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value!r}; expected above 0.")
            if value is not None and (self.objective.signs < 0).any():
                raise ValueError(f"With a {name}, all objectives must be minimised.")
            if value is not None and len(self.objective.names) != 2:
                raise ValueError(
                    f"With a {name}, expected two objectives; there are "
                    f"{', '.join(self.objective.names)}."
                )
        if target is not None and limit is not None:
            raise ValueError("target and limit are both given; expected one.")
        if generations < 1:
            raise ValueError(f"generations is {generations}; expected 1 or more.")
        surrogates.surrogate(surrogate)  # known?
        self.target, self.limit, self.surrogate = target, limit, surrogate
        self.generations = int(generations)
        self._iterations: list[dict[str, Any]] = []

    def propose(
        self, trials: list[Trial], rng: np.random.Generator, known: set
    ) -> np.ndarray:
        """One iteration of the search; see `RandomOracle.propose`."""
        began = time.perf_counter()
        genes = np.array([self.genes(trial) for trial in trials])
        metrics = [self.values(trial) for trial in trials]
        predictor = _Predictor(self.space, self._predicted, self.surrogate, rng)
        predictor.fit(genes, metrics)
        trained = predictor.table(metrics)
        allowed = np.flatnonzero([self.is_feasible(trial) for trial in trials])
        allowed = allowed if len(allowed) else np.arange(len(trials))
        aims = self._aims(trained, self._admissible(trained))
        front = allowed[pareto.front(aims[allowed])]
        count = min(len(front), self.population)
        evenly = np.linspace(0, len(front) - 1, count).round().astype(int)
        found = self._minimise(predictor, genes[front[evenly]], rng, known)

        # Better ranks first, and within the last rank that fits those that spread;
        # those within all limits before all others.
        new = np.array([g for g in found if tuple(g.tolist()) not in known], int)
        chosen: list[int] = []
        if len(new):
            predicted = predictor(new)
            phi = self._admissible(predicted)
            aimed, taken = self._aims(predicted, phi), self._aims(trained, phi)[front]
            for group in self._by_limits(predicted):
                for rank in pareto.fronts(aimed[group]):
                    rank, room = group[rank], self.batch_size - len(chosen)
                    apart = np.concatenate([taken, aimed[chosen]])
                    chosen += [rank[i] for i in _spread(aimed[rank], apart, room)]
            picked = new[chosen]
            self._iterations.append(
                {
                    "trials": len(trials),
                    "genes": picked.tolist(),
                    "predicted": {
                        name: values[chosen].tolist()
                        for name, values in predicted.items()
                    },
                    "surrogates": predictor.names(),
                    "seconds": round(time.perf_counter() - began, 2),
                }
            )
        else:
            picked = genes[:0]
        missing = self.batch_size - len(picked)
        known = known | {tuple(g) for g in picked.tolist()}
        return np.vstack([picked, self.space.sample(missing, rng, known)])

    def surrogate_history(self) -> list[dict[str, Any]]:
        """How good each iteration's predictions turned out to be.

        One entry per iteration of which at least one candidate is completed: `trials`
        (that the surrogates were fitted to), `seconds` (that the iteration took besides
        training), `surrogates` (that were used) and, for each predicted metric, `n`,
        `rmse`, `spearman` and `kendall` on the candidates trained afterwards.
        """
        done = {tuple(self.genes(t).tolist()): t for t in self.completed_trials()}
        history = []
        for each in self._iterations:
            rows = [
                (i, self.values(done[tuple(g)]))
                for i, g in enumerate(each["genes"])
                if tuple(g) in done
            ]
            if rows:
                scores = {
                    name: surrogates.quality(
                        [values[name] for _, values in rows],
                        [predicted[i] for i, _ in rows],
                    )
                    for name, predicted in each["predicted"].items()
                }
                kept = {key: each[key] for key in ("trials", "seconds", "surrogates")}
                history.append(kept | scores)
        return history

    @property
    def _predicted(self) -> tuple[str, ...]:
        """Metrics that a surrogate is fitted to."""
        names = (*self.objective.names, *(c.metric for c in self.constraints))
        return tuple(dict.fromkeys(names))

    def _aims(self, values: dict[str, np.ndarray], phi: float) -> np.ndarray:
        """What NSGA-II minimises, from metrics; shape `(candidates, objectives)`."""
        columns = [values[name] for name in self.objective.names]
        if self.target is not None:
            error, second = columns
            mape = np.abs(second - self.target) / self.target * 100
            columns = [100 * error + 0.1 * mape, mape]
        elif self.limit is not None:
            error, second = columns
            over = np.maximum(0, second - self.limit)
            columns = [error, phi * second + (1 - phi) * over]
        else:
            columns = list(self.objective.signs[:, None] * columns)
        return np.stack(columns, 1)

    def _admissible(self, values: dict[str, np.ndarray]) -> float:
        """NACHOS's phi."""
        if self.limit is None:
            return 1.0
        return float(np.mean(values[self.objective.names[1]] <= self.limit))

    def _by_limits(self, values: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Indices of the candidates within limit and constraints, and of the others."""
        within = np.ones(len(values[self.objective.name]), bool)
        if self.limit is not None:
            within &= values[self.objective.names[1]] <= self.limit
        for violation in self._violations(values):
            within &= violation == 0
        return [np.flatnonzero(within), np.flatnonzero(~within)]

    def _minimise(
        self,
        predictor: _Predictor,
        front: np.ndarray,
        rng: np.random.Generator,
        known: set,
    ) -> np.ndarray:
        """The last population of NSGA-II on the surrogates."""
        fill = self.space.sample(self.population - len(front), rng, known)
        problem = _Problem(self.space, len(self.objective.names), len(self.constraints))
        nsga2 = _nsga2(self.space, self.population, np.vstack([front, fill]))
        nsga2.setup(
            problem,
            termination=("n_gen", self.generations + 1),
            seed=int(rng.integers(2**31)),
        )
        phi = None
        while nsga2.has_next():
            asked = nsga2.ask()
            values = predictor(asked.get("X"))
            phi = self._admissible(values) if phi is None else phi
            broken = self._violations(values)
            if broken:
                asked.set("G", np.stack(broken, 1))
            asked.set("F", self._aims(values, phi))
            for each in asked:
                each.evaluated.update(("F", "G", "H"))
            nsga2.tell(infills=asked)
            if self.limit is not None:
                values = predictor(nsga2.pop.get("X"))
                phi = self._admissible(values)
                nsga2.pop.set("F", self._aims(values, phi))
        return nsga2.pop.get("X").astype(int)

    def get_state(self) -> dict[str, Any]:
        """The state with every iteration's predictions."""
        return super().get_state() | {"iterations": self._iterations}

    def set_state(self, state: dict[str, Any]) -> None:
        """Read what `get_state` gave."""
        super().set_state(state)
        self._iterations = state.get("iterations", [])


class _Predictor:
    """One surrogate per metric, on genes and on what can be counted from them."""

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

    def fit(self, genes: np.ndarray, metrics: list[dict[str, float]]) -> None:
        inputs = features(self.space, genes)
        with surrogates.quiet():
            for name, values in self.table(metrics).items():
                self.surrogates[name].fit(inputs, values)

    def table(self, metrics: list[dict[str, float]]) -> dict[str, np.ndarray]:
        return {
            name: np.array([each[name] for each in metrics]) for name in self.surrogates
        }

    def __call__(self, genes: np.ndarray) -> dict[str, np.ndarray]:
        inputs = features(self.space, genes)
        return {name: each.predict(inputs) for name, each in self.surrogates.items()}

    def names(self) -> dict[str, str]:
        return {
            metric: getattr(each, "chosen", self.name)
            for metric, each in self.surrogates.items()
        }


def features(space: SearchSpace, genes: Any) -> np.ndarray:
    """What surrogates see: canonical genes, and the costs that follow from them.

    To the paper's 82 integers are added logarithms of the MACs up to each exit, of each
    branch (0 where there is none) and of the parameters, in the standard convention and
    for ten classes: as inputs, any will do. They can be counted without
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


def _spread(points: np.ndarray, taken: np.ndarray, count: int) -> list[int]:
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


class _Problem(Problem):
    """The search space as pymoo sees it; values are set from outside."""

    def __init__(self, space: SearchSpace, objectives: int, constraints: int) -> None:
        super().__init__(
            n_var=len(space.names),
            n_obj=objectives,
            n_ieq_constr=constraints,
            xl=0,
            xu=space.counts - 1,
            vtype=int,
        )


class _Canonical(Repair):
    """Replaces genes by the canonical ones, so that equal networks are duplicates."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space

    def _do(self, problem, X, **kwargs):
        return self.space.canonical(np.around(X).astype(int))


def _nsga2(space: SearchSpace, population: int, sampling: Any) -> NSGA2:
    """NSGA-II with the paper's operators on integer genes."""
    whole = {"vtype": int, "repair": RoundingRepair()}
    return NSGA2(
        pop_size=population,
        sampling=sampling,
        crossover=TwoPointCrossover(prob=0.9, **whole),
        mutation=PM(eta=1, **whole),
        repair=_Canonical(space),
        eliminate_duplicates=True,
    )
