"""An oracle with several objectives, constraints, and a state that survives kills."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from search import objectives as limits
from search import pareto
from search.engine.guards import check_id, read_json, synchronized
from search.objectives import Constraint, Directed, Objectives, check_numbers
from zoo.checks import whole_number
from zoo.files import write_text

ENDS = (TrialStatus.COMPLETED, TrialStatus.FAILED, TrialStatus.INVALID)
FAILURE = "failure.txt"  # in a trial's folder, written by the worker that saw it
STATE = "oracle.json"


class ParetoOracle(keras_tuner.Oracle):
    """An oracle that keeps objectives apart instead of summing them.

    Subclasses define `populate_space`, as for any keras-tuner oracle. Everything that
    this class returns is computed from the trials themselves, so that it is right after
    failed trials, with several workers and after a reload.

    Args:
        objectives: Objects with a name and a direction, such as
            `keras_tuner.Objective`s, or names of metrics to minimise.
        constraints: Limits on metrics. Trials that violate one are on no front.
        reference: Reference point of the hypervolume, one value per objective. Default:
            1 % worse than the worst of the first `initial_trials` completed trials.
        ideal: Best possible values, the other corner of the box of which the
            hypervolume is a share. Default: zeros, if all objectives are minimised.
        initial_trials: Trials that are drawn at random before anything is learnt.
        max_trials: Trials to start, including those that fail.
        seed: Seed, 0 or more.
        max_failures: This many failed trials in a row end the search.
        **kwargs: For `keras_tuner.Oracle`.

    Attributes:
        objectives: The `search.Objectives`.
        objective: The first of them, for keras-tuner, which wants one.
        stopped: Why the search ended before `max_trials`, or None.
        on_trial: Called with the oracle and every trial that ended, or None.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        objectives: Iterable[Directed | str],
        constraints: Sequence[Constraint] = (),
        reference: Sequence[float] | None = None,
        ideal: Sequence[float] | None = None,
        initial_trials: int = 100,
        max_trials: int | None = None,
        seed: int = 1,
        max_failures: int = 10,
        **kwargs: Any,
    ) -> None:
        least = {
            "initial_trials": (initial_trials, 1),
            "max_trials": (1 if max_trials is None else max_trials, 1),
            "seed": (seed, 0),
            "max_failures": (max_failures, 1),
        }
        for name, (value, low) in least.items():
            whole_number(name, value, low)
        self.objectives = Objectives(objectives)
        first = self.objectives.objectives[0]
        super().__init__(
            objective=keras_tuner.Objective(first.name, first.direction),
            max_trials=max_trials,
            seed=int(seed),
            **kwargs,
        )
        self.seed = int(seed)  # keras-tuner treats 0 as none
        self.verbose = 0
        self.constraints = tuple(constraints)
        self.initial_trials = int(initial_trials)
        self.max_failures = int(max_failures)
        self.stopped: str | None = None
        self._reloaded = 0  # trials that had ended then
        self.on_trial: Callable[[ParetoOracle, Trial], None] | None = None
        signs, count = self.objectives.signs, len(self.objectives)
        self._reference = self._ideal = None
        if reference is not None:
            self._reference = signs * check_numbers("reference", reference, count)
        if ideal is not None:
            self._ideal = signs * check_numbers("ideal", ideal, count)
        elif (signs > 0).all():
            self._ideal = np.zeros(count)

    # What was found.

    def completed_trials(self) -> list[Trial]:
        """Completed trials in the order in which they ended."""
        ended = [self.trials[trial_id] for trial_id in self.end_order]
        return [trial for trial in ended if trial.status == TrialStatus.COMPLETED]

    def failed_trials(self) -> list[Trial]:
        """Failed trials in the order in which they began."""
        return [t for t in self.trials.values() if t.status == TrialStatus.FAILED]

    def values(self, trial: Trial) -> dict[str, float]:
        """Metrics that a trial reported."""
        return {
            name: float(trial.metrics.get_last_value(name))
            for name in trial.metrics.metrics
        }

    def is_feasible(self, trial: Trial) -> bool:
        """Whether a completed trial satisfies all constraints."""
        return limits.is_feasible(self.values(trial), self.constraints)

    def pareto_trials(self) -> list[Trial]:
        """Feasible trials that no other one dominates, best first objective first."""
        trials = [t for t in self.completed_trials() if self.is_feasible(t)]
        return [trials[i] for i in pareto.front(self._points(trials))]

    def reference_point(self) -> tuple[float, ...] | None:
        """The hypervolume's reference in the objectives' units; None: not known yet."""
        reference = self._reference_point()
        if reference is None:
            return None
        return tuple((self.objectives.signs * reference).tolist())

    def hypervolume_history(self) -> list[tuple[str, float]]:
        """(trial id, hypervolume) after each completed trial.

        A share of the box between `ideal` and the reference point, 0..1, if there is an
        ideal; else in the product of the objectives' units.
        """
        reference = self._reference_point()
        history, points = [], []
        for trial in self.completed_trials():
            if self.is_feasible(trial):
                points.append(self.objectives.point(self.values(trial)))
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

    def _points(self, trials: Iterable[Trial]) -> np.ndarray:
        return self.objectives.points(self.values(trial) for trial in trials)

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
        """Set what keras-tuner calls the score: the first objective. It is not used."""
        trial.score = self.values(trial)[self.objective.name]
        trial.best_step = 0

    @synchronized
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

    @synchronized
    def end_trial(self, trial: Trial) -> None:
        """Record a trial that ended, with the reason if it failed.

        Raises:
            ValueError: There is no such trial, or it has not ended.
        """
        known = self.get_trial(trial.trial_id)
        if trial.status not in ENDS:
            raise ValueError(
                f"The status of trial {trial.trial_id} is {trial.status}; expected "
                f"{', '.join(ENDS)}."
            )
        if not self.allow_new_entries:  # what was tried is what was proposed
            trial.hyperparameters = known.hyperparameters
        if trial.trial_id in self.end_order:  # by a worker that the chief had given up
            self._let_go(trial.trial_id)
            return
        self._retry_queue = [i for i in self._retry_queue if i != trial.trial_id]
        if trial.status != TrialStatus.COMPLETED:
            # A worker's messages do not come through keras-tuner's protocol.
            path = pathlib.Path(self._get_trial_dir(trial.trial_id)) / FAILURE
            if path.is_file():
                trial.message = path.read_text(encoding="utf-8")
        elif wrong := self._missing(known):
            trial.status, trial.message = TrialStatus.FAILED, wrong
        super().end_trial(trial)
        if self.on_trial is not None:
            self.on_trial(self, known)

    @synchronized
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0):
        """Record the metrics of a trial that has not ended.

        Raises:
            ValueError: There is no such trial, or the first objective is not reported.
        """
        known = self.get_trial(trial_id)
        if trial_id in self.end_order:
            return known
        return super().update_trial(trial_id, metrics, step)

    def get_trial(self, trial_id: str) -> Trial:
        """The trial of that number.

        Raises:
            ValueError: There is none.
        """
        if trial_id not in self.trials:
            raise ValueError(f"There is no trial {trial_id!r}.")
        return self.trials[trial_id]

    def _let_go(self, trial_id: str) -> None:
        self.ongoing_trials = {
            tuner: trial
            for tuner, trial in self.ongoing_trials.items()
            if trial.trial_id != trial_id
        }

    def _missing(self, trial: Trial) -> str | None:
        wanted = (*self.objectives.names, *(c.metric for c in self.constraints))
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

    # The files.

    def use_folder(self, folder: str | pathlib.Path) -> None:
        """Work in a folder, and read what is there."""
        folder = pathlib.Path(folder).resolve()
        self._set_project_dir(folder.parent, folder.name)
        if (folder / STATE).is_file():
            self.reload()

    def _get_trial_dir(self, trial_id: str) -> str:
        return super()._get_trial_dir(check_id(trial_id))  # makes the folder

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

        Raises:
            ValueError: A file is damaged; the message names it.
        """
        # Not by keras-tuner's glob, for which a folder's own name may be a pattern.
        for path in pathlib.Path(self._project_dir).glob("trial_*/trial.json"):
            trial = read_json(path, self._read_trial)
            if path.parent.name != f"trial_{trial.trial_id}":
                raise ValueError(f"{path} is damaged: it is trial {trial.trial_id}'s.")
            self.trials[trial.trial_id] = trial
        read_json(pathlib.Path(self._get_oracle_fname()), self._take_up)

    def _take_up(self, state: dict[str, Any]) -> None:
        """Go on from a state and the trials that have been read."""
        self.set_state(state)
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

    def _read_trial(self, state: dict[str, Any]) -> Trial:
        trial = Trial.from_state(state)
        check_id(trial.trial_id)
        if trial.status == TrialStatus.COMPLETED and (wrong := self._missing(trial)):
            raise ValueError(wrong)
        return trial

    def set_state(self, state: dict[str, Any]) -> None:
        """Read what `get_state` gave; which trials are under way follows from them."""
        super().set_state(state | {"ongoing_trials": {}})


def reason(trial: Trial) -> str:
    """Why a trial failed, in one line."""
    lines = (trial.message or "unknown reason").strip().splitlines()
    return lines[-1 if lines[0].startswith("Traceback") else 0]
