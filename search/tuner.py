"""The tuner: trains one candidate and measures it."""

from __future__ import annotations

import gc
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import keras

from search import candidates, metrics
from search.engine import ParetoOracle, TrialTuner
from search.metrics import Measurement
from search.records import CandidateRecord, Training
from search.space import SearchSpace
from search.strategies import Strategy, scratch
from zoo import exits, measure, training
from zoo.architecture import Architecture
from zoo.classifier import EarlyExitClassifier
from zoo.cost import Cost
from zoo.data import Dataset
from zoo.exits import OperatingPoint
from zoo.measure import Choice


class EarlyExitTuner(TrialTuner):
    """Trains candidates by a recipe, tunes their thresholds and measures them.

    A trial reports the registered metrics on the validation images; see
    `search.metrics`. Its folder gets `candidate.json`, a `CandidateRecord`, with the
    Pareto front of all threshold settings. Only trials on a front keep weights.

    Args:
        oracle: Chooses what to try; its hyperparameters are those of `space`.
        space: The search space; says whether thresholds are tuned.
        dataset: Trained on its `train` part, measured on `validation`. Its test part is
            not used.
        recipe: How to train.
        directory: Folder of the search.
        target_macs: Average MACs that the tuning of thresholds aims at; None: tune for
            accuracy only.
        target_is_limit: Choose the most accurate thresholds of at most `target_macs`
            instead (the cheapest, if none are).
        convention: How MACs are counted; see `zoo.macs`.
        strategy: Where weights come from; see `search.strategies`.
        latency_batch_size: Also measure the milliseconds per image of `predict_early`
            in batches of this size.
        latency: How to measure them instead; see `search.latency.clock`.
        seed: Seed of initial weights, order and augmentation.

    Raises:
        ValueError: An objective or a constraint of the oracle names no measured metric.
    """

    def __init__(
        self,
        oracle: ParetoOracle,
        space: SearchSpace,
        dataset: Dataset,
        recipe: training.Recipe,
        directory: str | os.PathLike,
        target_macs: float | None = None,
        target_is_limit: bool = False,
        convention: str = "standard",
        strategy: Strategy = scratch,
        latency_batch_size: int | None = None,
        latency: Callable[[Measurement], float] | None = None,
        seed: int = 1,
    ) -> None:
        wanted = (*oracle.objectives.names, *(c.metric for c in oracle.constraints))
        metrics.check(wanted, {"latency_batch_size": latency_batch_size})
        if latency_batch_size and latency_batch_size > len(dataset.validation.labels):
            raise ValueError(
                f"latency_batch_size is {latency_batch_size}; there are only "
                f"{len(dataset.validation.labels)} validation images."
            )
        self.space = space
        self.dataset = dataset
        self.recipe = recipe
        self.target_macs = target_macs
        self.target_is_limit = target_is_limit
        self.convention = convention
        self.strategy = strategy
        self.latency_batch_size = latency_batch_size
        self.latency = latency
        self.seed = seed
        self._tuned = threshold_choice(space.thresholds, target_macs, target_is_limit)
        super().__init__(oracle, directory)

    def evaluate(
        self, trial: str, values: dict[str, Any], folder: pathlib.Path
    ) -> dict[str, float]:
        """Train and measure a trial's candidate; see `TrialTuner.evaluate`."""
        candidates.remove(folder)
        try:
            candidate = self.space.decode(self.space.from_values(values))
            model, record = self.train(candidate, trial)
            fronts = candidates.on_fronts(
                [*candidates.read_completed(self.project_dir), record],
                self.objectives,
                self.constraints,
            )
            candidates.write(folder, record, model if trial in fronts else None)
        finally:
            self.free_memory()
        return record.metrics

    def free_memory(self) -> None:
        """Free what a candidate leaves behind."""
        if self._trains:
            keras.backend.clear_session()
            gc.collect()

    @property
    def _trains(self) -> bool:
        """Whether a model is built and trained for every candidate.

        A supernet has networks of its own and trains none. Its compiled steps serve
        all of them. Setting a seed or clearing the session would have TensorFlow
        prepare the steps again, which takes longer than measuring a candidate; and a
        full garbage collection takes as long as a fifth of it.
        """
        return not hasattr(self.strategy, "network")

    def train(
        self, architecture: Architecture, trial: str
    ) -> tuple[EarlyExitClassifier, CandidateRecord]:
        """Train and measure one architecture.

        Args:
            architecture: What to train.
            trial: Number of its trial, which decides its seed.

        Returns:
            The model, its thresholds set, and its record.

        Raises:
            FloatingPointError: The training diverged, or a metric is not finite.
        """
        began = time.perf_counter()
        seed = self.seed + 1000 * (int(trial) + 1)
        if self._trains:
            keras.utils.set_random_seed(seed)
            build = EarlyExitClassifier
        else:
            build = self.strategy.network
        classes = self.dataset.num_classes
        model = build(architecture, classes, crop=self.recipe.crop)
        tunes = self.space.tune_thresholds and bool(architecture.exits)
        fitted = self.strategy(
            model,
            self.dataset,
            self.recipe,
            seed=seed,
            choose=self._tuned if tunes else None,
            convention=self.convention,
            validate=False,
            verbose=0,
        )
        measurement = Measurement(
            model,
            self.dataset,
            fitted.logits,
            fitted.validation,
            model.cost(self.convention),
            self.latency_batch_size,
            began,
            self.latency,
        )
        return model, CandidateRecord(
            trial=trial,
            architecture=architecture.to_dict(),
            crop=model.crop,
            num_classes=classes,
            convention=self.convention,
            metrics=metrics.measure(measurement),
            evaluation=fitted.validation,
            training=Training(
                seed,
                fitted.training.seconds,
                fitted.training.images_per_second or None,
                fitted.inherited_layers,
                getattr(self.strategy, "digest", None),
            ),
            frontier=fitted.frontier,
            origin=None if model.origin == "aebnas" else model.origin,
        )

    def load_model(self, trial: Any) -> EarlyExitClassifier:
        """The trained model of a keras-tuner trial on a front, its thresholds set.

        Raises:
            FileNotFoundError: The trial's weights were not kept.
        """
        return candidates.load_candidate(self.get_trial_dir(trial.trial_id))

    def after_trial(self) -> None:
        """Drop weights that no front needs."""
        candidates.keep_front_weights(
            self.project_dir, self.objectives, self.constraints
        )


def threshold_choice(
    values: Any, target_macs: float | None, is_limit: bool = False
) -> Choice:
    """How a search chooses the thresholds of a candidate.

    Args:
        values: Thresholds to try at each exit; see `zoo.exits.frontier`.
        target_macs: Average MACs to aim at, a count; None: accuracy only.
        is_limit: Whether `target_macs` must not be exceeded. If no setting is cheap
            enough, the cheapest is chosen.
    """
    if not is_limit or target_macs is None:
        return measure.towards(target_macs, values)

    def within(logits: Any, labels: Any, cost: Cost, rule: str) -> OperatingPoint:
        points = exits.frontier(logits, labels, cost, values, rule)
        found = [p for p in points if p.average_macs <= target_macs]
        return found[-1] if found else points[0]

    return within
