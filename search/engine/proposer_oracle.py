"""The oracle that asks a proposer for candidates."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from search.engine.pareto_oracle import ParetoOracle
from search.genes import Space, SpaceExhaustedError, shown
from search.objectives import Directed
from search.proposers import CompletedTrial, Known, Predictions, Proposal, Proposer
from search.records import Iteration, Ranking
from zoo.checks import whole_number


class ProposerOracle(ParetoOracle):
    """An oracle that tries what a proposer proposes.

    Candidates come in batches: first a random sample, then what the proposer returns. A
    batch is made when the one before has been handed out, from all trials completed by
    then, so that no worker ever waits; with one worker those are all trials. No
    candidate is proposed twice. The random numbers depend only on the seed and the
    number of trials, so that an interrupted search gives the same result.

    Args:
        proposer: What proposes; see `search.proposers.Proposer`.
        space: The search space.
        objectives: See `ParetoOracle`.
        batch_size: Random candidates at a time while fewer than two trials are
            completed after the initial sample, so that there is nothing to learn from.
        **kwargs: See `ParetoOracle`.

    Attributes:
        error: What the proposer raised, or None.
    """

    def __init__(
        self,
        proposer: Proposer,
        space: Space,
        objectives: Iterable[Directed | str] = ("error", "average_macs"),
        batch_size: int = 8,
        **kwargs: Any,
    ) -> None:
        batch_size = whole_number("batch_size", batch_size, 1)
        super().__init__(
            objectives,
            hyperparameters=hyperparameters(space),
            allow_new_entries=False,
            tune_new_entries=False,
            **kwargs,
        )
        self.proposer = proposer
        self.space = space
        self.batch_size = batch_size
        self.error: Exception | None = None
        self._queue: list[list[int]] = []
        self._predictions: list[Predictions] = []
        self._decoded: dict[tuple[Any, ...], np.ndarray] = {}

    def genes(self, trial: Trial) -> np.ndarray:
        """Canonical genes of a trial's candidate."""
        values = trial.hyperparameters.values
        key = tuple(values.items())  # asked for again with every new trial
        if key not in self._decoded:
            self._decoded[key] = self.space.from_values(values)
        return self._decoded[key].copy()

    def results(self) -> list[CompletedTrial]:
        """The completed trials as plain data, in the order in which they ended."""
        return [
            CompletedTrial(
                tuple(self.genes(trial).tolist()),
                self.values(trial),
                self.is_feasible(trial),
            )
            for trial in self.completed_trials()
        ]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Called by keras-tuner for the next candidate."""
        known = {tuple(self.genes(trial).tolist()) for trial in self.trials.values()}
        self._queue = [genes for genes in self._queue if tuple(genes) not in known]
        if not self._queue:
            try:
                self._queue = self._next_batch(known).tolist()
            except SpaceExhaustedError as error:
                self.stopped = str(error)
                return {"status": TrialStatus.STOPPED}
            except Exception as error:  # keras-tuner would keep the oracle's lock
                self.stopped, self.error = f"The proposer failed: {error}", error
                return {"status": TrialStatus.STOPPED}
            self.save()  # a kill before the first trial is on record loses no batch
        values = self.space.to_values(self._queue.pop(0))
        return {"status": TrialStatus.RUNNING, "values": values}

    def _next_batch(self, known: Known) -> np.ndarray:
        started = len(self.trials)
        rng = np.random.default_rng([self.seed, started])
        if started < self.initial_trials:
            return self.space.sample(self.initial_trials - started, rng, known)
        results = self.results()
        if len(results) < 2:
            return self.space.sample(self.batch_size, rng, known)
        proposal = self.proposer.propose(results, rng, set(known))
        if not isinstance(proposal, Proposal):
            proposal = Proposal(proposal)
        genes = self.space.canonical(np.atleast_2d(proposal.genes)).tolist()
        new = [g for g in dict.fromkeys(map(tuple, genes)) if g not in known]
        if not new:
            raise ValueError("All of its candidates have been proposed before.")
        if proposal.predictions is not None:
            self._predictions.append(proposal.predictions)
        return np.array(new)

    def iterations(self) -> list[Iteration]:
        """How good each iteration's predictions turned out to be.

        One entry per iteration of which at least one candidate is completed.
        """
        from search.surrogate import quality

        done = {result.genes: result.metrics for result in self.results()}
        judged = []
        for each in self._predictions:
            rows = [
                (i, done[tuple(genes)])
                for i, genes in enumerate(each.genes)
                if tuple(genes) in done
            ]
            if not rows:
                continue
            scores = {
                name: quality(
                    [metrics[name] for _, metrics in rows],
                    [predicted[i] for i, _ in rows],
                )
                for name, predicted in each.predicted.items()
            }
            judged.append(
                Iteration(
                    each.trials,
                    each.seconds,
                    each.surrogates,
                    {name: Ranking(**score) for name, score in scores.items()},
                )
            )
        return judged

    def get_state(self) -> dict[str, Any]:
        """keras-tuner's state, the candidates that wait, and what was predicted."""
        return super().get_state() | {
            "queue": self._queue,
            "stopped": self.stopped,
            "iterations": [asdict(each) for each in self._predictions],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Read what `get_state` gave."""
        super().set_state(state)
        self._queue = [list(genes) for genes in state["queue"]]
        self._predictions = [
            Predictions(**each) for each in state.get("iterations", [])
        ]
        self.stopped = None  # more may be asked for now


def hyperparameters(space: Space) -> keras_tuner.HyperParameters:
    """A search space as keras-tuner's conditional hyperparameters, for any oracle."""
    result = keras_tuner.HyperParameters()
    for gene in space.genes:
        options = [shown(gene.name, option) for option in gene.options]
        with contextlib.ExitStack() as scopes:
            for name, needed in gene.needs:
                meanings = [shown(name, o) for o in needed if o in space[name]]
                if not meanings:
                    break  # never active
                scopes.enter_context(result.conditional_scope(name, meanings))
            else:
                result.Choice(gene.name, list(dict.fromkeys(options)))
    return result
