"""The tuner: trains one candidate and reports what it is worth."""

from __future__ import annotations

import gc
import os
import pathlib
import time
from typing import Any

import keras

from search import candidates, metrics
from search.engine import ParetoOracle, TrialTuner
from search.metrics import Measurement
from search.records import CandidateRecord
from search.space import SearchSpace
from search.strategies import Strategy, scratch
from zoo import exits, training
from zoo.architecture import Architecture
from zoo.cost import Cost, macs
from zoo.data import Dataset
from zoo.model import EarlyExitClassifier


class EarlyExitTuner(TrialTuner):
    """Trains candidates by a recipe, tunes their thresholds and measures them.

    A trial reports the registered metrics on the validation images; see
    `search.metrics`. Its folder gets `candidate.json`, a `CandidateRecord`, with the
    Pareto front of all threshold settings. Only trials on a front keep weights.

    Args:
        oracle: What to try; its hyperparameters are those of `space`.
        space: The search space; says whether thresholds are tuned.
        dataset: Trained on its `train` part, measured on `validation`. Its test part is
            not looked at.
        recipe: How to train.
        directory: Folder of the search.
        target_macs: Average MACs that the tuning of thresholds aims at; None: none,
            which tunes for accuracy alone.
        target_is_limit: Choose the most accurate thresholds of at most `target_macs`
            instead (the cheapest, if none are).
        convention: How MACs are counted; see `zoo.macs`.
        strategy: Where weights come from; see `search.strategies`.
        latency_batch_size: Also measure the milliseconds an image takes with
            `predict_early` in batches of this size.
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
        self.seed = seed
        super().__init__(oracle, directory)

    def evaluate(
        self, trial: str, values: dict[str, Any], folder: pathlib.Path
    ) -> dict[str, float]:
        """Train and measure a trial's candidate; see `TrialTuner.evaluate`."""
        candidates.remove(folder)
        try:
            architecture = self.space.decode(self.space.from_values(values))
            model, record = self.train(architecture, trial)
            candidates.write(folder, record, model)
        finally:
            keras.backend.clear_session()
            gc.collect()
        return record.metrics

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
        keras.utils.set_random_seed(seed)
        classes = self.dataset.num_classes
        model = EarlyExitClassifier(architecture, classes, crop=self.recipe.crop)
        trained = self.strategy(model, self.dataset, self.recipe, seed)
        images, labels = self.dataset.validation
        logits = model.predict(images, batch_size=256, verbose=0)
        cost = macs(architecture, classes, self.convention)
        if self.space.tune_thresholds and architecture.exits:
            model.thresholds = self._tuned(logits, labels, cost)
        evaluation = exits.evaluate(logits, labels, cost, model.thresholds)
        measurement = Measurement(
            model,
            self.dataset,
            logits,
            evaluation,
            cost,
            self.latency_batch_size,
            began,
        )
        return model, CandidateRecord(
            trial=trial,
            architecture=architecture.to_dict(),
            crop=self.recipe.crop,
            num_classes=classes,
            convention=self.convention,
            metrics=metrics.measure(measurement),
            evaluation=evaluation,
            training=trained,
            frontier=exits.frontier(logits, labels, cost),
        )

    def _tuned(self, logits: Any, labels: Any, cost: Cost) -> tuple[float, ...]:
        """The thresholds to use, of those that the space offers."""
        data = (logits, labels, cost, self.space.thresholds)
        if not self.target_is_limit or self.target_macs is None:
            return exits.tune_thresholds(*data, self.target_macs).thresholds
        points = exits.frontier(*data)
        within = [p for p in points if p.average_macs <= self.target_macs]
        return (within[-1] if within else points[0]).thresholds

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
