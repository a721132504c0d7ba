"""The tuner of a search for exits: a candidate is a combination of trained heads."""

from __future__ import annotations

import gc
import os
import pathlib
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from search import metrics
from search.backbone import places
from search.backbone.candidates import set_heads
from search.backbone.features import CacheRecord, Features
from search.backbone.trained import TrainedHeads
from search.engine import ParetoOracle
from search.metrics import Measurement
from search.records import CandidateRecord, Training
from search.tuner import EarlyExitTuner
from zoo import exits, heads
from zoo.data import Dataset
from zoo.exits import OperatingPoint
from zoo.heads import Head
from zoo.model import EarlyExitModel
from zoo.training import Recipe

SETTINGS = 100  # of a candidate's thresholds that are kept, of many hundred
CACHE = "cache"  # in the folder of a search; of no use when the search is over


class ExitTuner(EarlyExitTuner):
    """Combines heads that are trained once each, on features that are computed once.

    Accuracy is measured on the features as they are kept, in half precision.

    Args:
        oracle: Chooses what to try; its hyperparameters are those of `space`.
        space: An `ExitSpace` that knows the backbone.
        dataset: See `EarlyExitTuner`; it is checked against the backbone elsewhere.
        recipe: How to train a head.
        directory: Folder of the search.
        backbone: The backbone as a model of one exit.
        cache: Folder of features and trained heads, which searches may share. Default:
            one in the folder of the search.
        **kwargs: See `EarlyExitTuner`.
    """

    def __init__(
        self,
        oracle: ParetoOracle,
        space: Any,
        dataset: Dataset,
        recipe: Recipe,
        directory: str | os.PathLike,
        backbone: EarlyExitModel,
        cache: str | os.PathLike | None = None,
        **kwargs: Any,
    ) -> None:
        self.backbone = backbone
        self.cache = pathlib.Path(directory, CACHE) if cache is None else cache
        super().__init__(oracle, space, dataset, recipe, directory, **kwargs)

    @cached_property
    def trained(self) -> TrainedHeads:
        """The trained heads; the features are computed when it is asked for."""
        about = CacheRecord(
            places.digest(self.backbone),
            self.dataset.fingerprint,
            len(self.dataset.train.labels),
        )
        features = Features(self.backbone, self.dataset, self.cache, about)
        shapes = dict(zip(self.space.places, self.space.shapes))
        wanted = {
            place: [h for name in names for h in places.variants(heads.get(name))]
            for place, names in zip(self.space.places, self.space.fitting)
        }
        features.make(wanted, shapes)
        return TrainedHeads(features, shapes, self.recipe, self.seed)

    def free_memory(self) -> None:
        """Free what a candidate leaves behind; Keras keeps the backbone."""
        gc.collect()

    def train(
        self, exits_at: Mapping[str, Head], trial: str
    ) -> tuple[EarlyExitModel, CandidateRecord]:
        """Measure a candidate, and train those of its heads that are new.

        Args:
            exits_at: The head of each exit by the layer that it follows.
            trial: Number of its trial.

        Returns:
            The model, its thresholds set, and its record.

        Raises:
            FloatingPointError: A training diverged, or a metric is not finite.
        """
        began = time.perf_counter()
        found = [self.trained.get(*each) for each in exits_at.items()]
        model = places.with_exits(self.backbone, exits_at)
        set_heads(model, [each.weights for each in found])
        final = self.trained.features.final_logits()
        logits = np.stack([*(each.logits for each in found), final], axis=1)
        labels, cost = self.dataset.validation.labels, model.macs
        if found:
            chosen: OperatingPoint = self._tuned(logits, labels, cost, model.exit_rule)
            model.thresholds = chosen.thresholds
        evaluation = exits.evaluate(
            logits, labels, cost, model.thresholds, model.exit_rule
        )
        points = exits.frontier(logits, labels, cost, rule=model.exit_rule)
        measurement = Measurement(
            model,
            self.dataset,
            logits,
            evaluation,
            cost,
            self.latency_batch_size,
            began,
            self.latency,
        )
        return model, CandidateRecord(
            trial=trial,
            architecture=None,
            exits={place: head.to_json() for place, head in exits_at.items()},
            crop=1.0,
            num_classes=model.num_classes,
            convention=self.convention,
            metrics=metrics.measure(measurement),
            evaluation=evaluation,
            training=Training(
                self.seed,
                round(sum(each.seconds for each in found), 1),
                min((each.images_per_second for each in found), default=None),
            ),
            frontier=tuple(exits.thinned(points, SETTINGS)),
        )
