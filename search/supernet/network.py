"""A trained supernet: what its sub-networks answer, and their extraction."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from search.supernet import choices, elastic, shared, slicing, stored
from search.supernet.stored import About
from zoo.architecture import (
    RESOLUTIONS,
    Architecture,
)
from zoo.classifier import EarlyExitClassifier
from zoo.heads import (
    FixedBranch,
)

BATCH_SIZE = 250
Statistics = Mapping[str, np.ndarray]


class Supernet:
    """Shared weights, and one compiled step for every sub-network.

    Args:
        weights: By name, as `shared.shapes` lists them.
        about: What else is known of them.

    Raises:
        ValueError: A weight is missing, unknown, or has another shape.

    Example:
        >>> supernet = Supernet.load("supernet.npz")
        >>> statistics = supernet.calibrate(architecture, dataset.train.images[:2000])
        >>> logits = supernet.predict(architecture, dataset.test.images, statistics)
        >>> model = supernet.extract(architecture, statistics)
    """

    def __init__(
        self, weights: Mapping[str, np.ndarray], about: About | None = None
    ) -> None:
        self.about = about or About()
        if "final_classifier/bias" not in weights:
            raise ValueError(
                "These are not weights of a supernet: they have no final classifier."
            )
        self.num_classes = len(weights["final_classifier/bias"])
        expected = shared.shapes(self.num_classes)
        wrong = [
            name
            for name in sorted(expected.keys() | weights.keys())
            if name not in expected
            or name not in weights
            or expected[name] != np.shape(weights[name])
        ]
        if wrong:
            raise ValueError(
                f"Weights of a supernet are missing, unknown or of another shape: "
                f"{', '.join(wrong[:5])}{', ...' if len(wrong) > 5 else ''}."
            )
        self.weights = {n: tf.constant(weights[n], tf.float32) for n in expected}
        # One graph each, whatever the sub-network, the resolution and the batch.
        images = tf.TensorSpec((None, None, None, 3), tf.uint8)
        choice = choices.Choice(
            *(
                tf.TensorSpec(value.shape, tf.int32)
                for value in choices.smallest(RESOLUTIONS[0])
            )
        )
        statistics = {
            name: tf.TensorSpec((2, len(weights[f"{name}/gamma"])), tf.float32)
            for name in shared.normalisations(self.num_classes)
        }
        self._batch_statistics = tf.function(
            self._collect, input_signature=(images, choice), autograph=False
        )
        self._logits = tf.function(
            self._answer, input_signature=(images, choice, statistics), autograph=False
        )

    @classmethod
    def random(cls, num_classes: int, seed: int = 0) -> Supernet:
        """Untrained."""
        return cls(shared.initial(num_classes, seed))

    @classmethod
    def load(cls, path: str | os.PathLike) -> Supernet:
        """Read a supernet.

        Args:
            path: A pretrained supernet's name, a file, the folder of one or that of a
                training; see `search.supernet.stored.path_of`.

        Raises:
            ValueError: The file holds no supernet.
            FileNotFoundError: There is no such file.
        """
        weights, about = stored.read(path)
        try:
            return cls(weights, about)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, path: str | os.PathLike, weight_bits: int = 16) -> None:
        """Write the weights as a NumPy archive, in half precision by default."""
        stored.write(path, self.values(), self.about, weight_bits)

    def values(self) -> dict[str, np.ndarray]:
        """The weights by name."""
        return {name: weight.numpy() for name, weight in self.weights.items()}

    @cached_property
    def digest(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the weights."""
        return stored.digest(self.values())

    def calibrate(
        self,
        architecture: Architecture,
        images: np.ndarray,
        batch_size: int = BATCH_SIZE,
    ) -> dict[str, np.ndarray]:
        """Batch-normalisation statistics of a sub-network.

        They start anew: those of other sub-networks, or moving averages over a
        training, would be wrong (Yu and Huang, ICCV 2019).

        Args:
            architecture: The sub-network.
            images: Training images, `(images, height, width, 3)`, RGB in 0..255.
            batch_size: Images that are normalised together.

        Returns:
            By name of the layer the mean and the variance, shape `(2, channels)`,
            zeros for channels and layers that do not take part.
        """
        if not len(images):
            raise ValueError("There are no images; expected one or more to calibrate.")
        choice = _tensors(choices.from_architecture(architecture))
        sums: dict[str, np.ndarray] = {}
        for start in range(0, len(images), batch_size):
            batch = images[start : start + batch_size]
            for name, found in self._batch_statistics(batch, choice).items():
                sums[name] = sums.get(name, 0) + found.numpy() * (
                    len(batch) / len(images)
                )
        for name, (mean, square) in sums.items():
            sums[name] = np.stack([mean, np.maximum(square - mean**2, 0)])
        return sums

    def predict(
        self,
        architecture: Architecture,
        images: np.ndarray,
        statistics: Statistics,
        batch_size: int = BATCH_SIZE,
    ) -> np.ndarray:
        """Logits of a sub-network, without building it.

        Args:
            architecture: The sub-network.
            images: Shape `(images, height, width, 3)`, RGB in 0..255.
            statistics: From `calibrate`, of this architecture.
            batch_size: Images computed at once.

        Returns:
            Shape `(images, exits, classes)`, the existing exits, the final one last.
        """
        choice = _tensors(choices.from_architecture(architecture))
        given = {name: tf.constant(value) for name, value in statistics.items()}
        exits = [*architecture.exits, -1]
        return np.concatenate(
            [
                self._logits(images[start : start + batch_size], choice, given).numpy()
                for start in range(0, len(images), batch_size)
            ]
        )[:, exits]

    def extract(
        self, architecture: Architecture, statistics: Statistics, **options: Any
    ) -> EarlyExitClassifier:
        """The Keras model of a sub-network, with inherited weights.

        Args:
            architecture: The sub-network.
            statistics: From `calibrate`, of this architecture.
            **options: Of `EarlyExitClassifier`.
        """
        options = {"origin": self.about.origin} | options
        model = EarlyExitClassifier(architecture, self.num_classes, **options)
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(
                    [
                        self._inherited(
                            architecture, layer.name, w.name, w.shape, statistics
                        )
                        for w in layer.weights
                    ]
                )
        return model

    def _inherited(
        self,
        architecture: Architecture,
        layer: str,
        weight: str,
        shape: tuple[int, ...],
        statistics: Statistics,
    ) -> np.ndarray:
        """One weight of an extracted model."""
        if weight in ("moving_mean", "moving_variance"):
            row = ("moving_mean", "moving_variance").index(weight)
            return statistics[layer][row, : shape[0]]
        if layer.endswith("_depthwise") and layer.startswith("stage"):
            kernel, _, middle, _ = shape
            return slicing.depthwise_kernel(self.weights, layer, kernel, middle).numpy()
        if "_module" in layer and weight == "bias":
            return np.zeros(shape)  # the normalisation that follows takes it away
        if layer.startswith("exit") and layer.endswith("_classifier"):
            branch = architecture.branches[int(layer[4]) - 1]
            if not isinstance(branch, FixedBranch):
                layer += f"_of{len(branch.modules)}"
        value = self.weights[f"{layer}/{weight}"].numpy()
        if "_module" in layer and weight == "kernel":
            border = (value.shape[0] - shape[0]) // 2
            kept = slice(border, border + shape[0])
            value = value[kept, kept]
        return value[tuple(map(slice, shape))]

    def _collect(self, images: Any, choice: choices.Choice) -> dict[str, Any]:
        _, found = elastic.forward(
            self.weights, images, choice, collect=True, origin=self.about.origin
        )
        return found

    def _answer(self, images: Any, choice: choices.Choice, statistics: Any) -> Any:
        logits, _ = elastic.forward(
            self.weights, images, choice, statistics, origin=self.about.origin
        )
        return logits


def _tensors(choice: choices.Choice) -> choices.Choice:
    return choices.Choice(*map(tf.constant, choice))
