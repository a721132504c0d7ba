"""Candidates of a search that inherit all their weights from a supernet.

Nothing is trained: the batch-normalisation statistics are computed anew on training
images, and thresholds are chosen on the validation split, through the elastic network.
"""

from __future__ import annotations

import os
import pathlib
import time
import warnings
from functools import cached_property
from typing import Any

from search.supernet import stored
from search.supernet.answers import Answers
from search.supernet.network import Supernet
from zoo import exits, files, weights
from zoo.architecture import Architecture
from zoo.classifier import EarlyExitClassifier
from zoo.cost import Cost, macs
from zoo.data import Dataset
from zoo.pipeline import Fitted
from zoo.training import TrainingResult

IMAGES = 2000  # training images that statistics are computed from
ANSWERS = "answers"


class SubNetwork:
    """A sub-network that is not built.

    It knows what follows from its architecture; whoever asks for more, such as its
    layers, has the Keras model built, which takes seconds.

    Args:
        strategy: What measures it.
        architecture: The network.
    """

    exit_rule = "score_margin"
    crop = 1.0

    def __init__(self, strategy: Inherit, architecture: Architecture) -> None:
        self.strategy = strategy
        self.architecture = architecture
        self.thresholds = architecture.exit_thresholds
        self.origin = strategy.supernet.about.origin

    def cost(self, convention: str = "standard") -> Cost:
        """What the network computes for one image; see `zoo.macs`."""
        return macs(self.architecture, self.strategy.supernet.num_classes, convention)

    @cached_property
    def statistics(self) -> dict[str, Any]:
        """Its batch-normalisation statistics."""
        return self.strategy.calibrate(self.architecture)

    @cached_property
    def logits(self) -> Any:
        """Its answers to the validation images, `(images, exits, classes)`."""
        return self.strategy.answers.of(
            self.architecture,
            lambda: self.strategy.predict(self.architecture, self.statistics),
        )

    @cached_property
    def model(self) -> EarlyExitClassifier:
        """The Keras model with inherited weights, its thresholds set."""
        return self.strategy.supernet.extract(
            self.architecture, self.statistics, thresholds=self.thresholds
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.model, name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the Keras model."""
        return self.model(*arguments, **options)


def check_classes(
    supernet: Supernet, dataset: Dataset, name: str = "The supernet"
) -> None:
    """Raise ValueError if a supernet has another number of classes than a data set."""
    if supernet.num_classes != dataset.num_classes:
        raise ValueError(
            f"{name} has {supernet.num_classes} classes, and {dataset.name} has "
            f"{dataset.num_classes}. Train a supernet on {dataset.name}: "
            "aebnas search supernet train."
        )


class Inherit:
    """The strategy; see `search.strategies`.

    Args:
        supernet: Where all weights come from.
        dataset: Statistics are computed on its `train` part, thresholds are chosen on
            `validation`.
        folder: Where answers are kept; see `search.supernet.answers`.
        images: How many of the first training images statistics are computed from.

    Raises:
        ValueError: The supernet has another number of classes.
    """

    def __init__(
        self,
        supernet: Supernet,
        dataset: Dataset,
        folder: str | os.PathLike,
        images: int | None = None,
    ) -> None:
        check_classes(supernet, dataset)
        if supernet.about.data not in (None, dataset.fingerprint):
            warnings.warn(
                f"The supernet was trained on other images (fingerprint "
                f"{supernet.about.data}) than those of {dataset.name} here "
                f"({dataset.fingerprint}). It may have seen the validation images, or "
                "not know such images at all.",
                stacklevel=2,
            )
        self.supernet = supernet
        self.images = dataset.train.images[: images or IMAGES]
        self.dataset = dataset
        self.answers = Answers(
            folder,
            {
                "supernet": supernet.digest,
                "origin": supernet.about.origin,
                "images": weights.digest((self.images, *dataset.validation)),
            },
        )

    @property
    def digest(self) -> str:
        """Of the supernet's weights, for records."""
        return self.supernet.digest

    def network(
        self, architecture: Architecture, num_classes: int, crop: float = 1.0
    ) -> SubNetwork:
        """What stands for a candidate's model."""
        return SubNetwork(self, architecture)

    def __call__(
        self,
        network: SubNetwork,
        dataset: Dataset,
        recipe: Any,
        *,
        choose: Any = None,
        convention: str = "standard",
        **_: Any,
    ) -> Fitted:
        """Measure a candidate, and choose its thresholds; see `zoo.fit`."""
        began = time.perf_counter()
        logits = network.logits
        labels, cost = dataset.validation.labels, network.cost(convention)
        if choose is not None and cost.branches:
            chosen = choose(logits, labels, cost, network.exit_rule)
            network.thresholds = chosen.thresholds
        data = (logits, labels, cost)
        return Fitted(
            TrainingResult(0, round(time.perf_counter() - began, 2), 0, {}),
            exits.evaluate(*data, network.thresholds, network.exit_rule),
            exits.frontier(*data, rule=network.exit_rule),
            logits,
        )

    def calibrate(self, architecture: Architecture) -> dict[str, Any]:
        """A candidate's batch-normalisation statistics."""
        return self.supernet.calibrate(architecture, self.images)

    def predict(self, architecture: Architecture, statistics: Any) -> Any:
        """A candidate's answers to the validation images."""
        images = self.dataset.validation.images
        return self.supernet.predict(architecture, images, statistics)


def answers_folder(
    supernet: str | os.PathLike, directory: str | os.PathLike
) -> pathlib.Path:
    """Where answers are kept by default: beside the supernet, for all its searches.

    Those of a pretrained supernet, or of one in a folder that cannot be written, are
    kept in the search's own folder.
    """
    folder = stored.path_of(supernet).parent
    if folder == stored.PRETRAINED or not os.access(folder, os.W_OK):
        folder = files.make_folder(directory)
    return folder / ANSWERS
