"""Inference that really skips: one compiled sub-model per exit, survivors gathered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from zoo import exits


class EarlyPrediction(NamedTuple):
    """What `predict_early` returns; every array has one row per image.

    Attributes:
        labels: Predicted class, shape `(images,)`.
        probabilities: Softmax at the exit taken, shape `(images, classes)`.
        exits: Index of the exit taken, shape `(images,)`; the last is the final one.
        confidences: Confidence at the exit taken, shape `(images,)`.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    exits: np.ndarray
    confidences: np.ndarray


def compiled(model: keras.Model) -> Callable[[Any], Any]:
    """The model's forward pass outside training as a compiled function of one batch.

    Lighter than `predict_on_batch`, which matters at batch 1. Weights are read at each
    call, so training in between is seen.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        functions = {}  # one for each image size, for any batch size

        def run(x):
            shape = (None, *x.shape[1:])
            if shape not in functions:
                functions[shape] = tf.function(
                    lambda x: model(x, training=False),
                    input_signature=[tf.TensorSpec(shape, x.dtype)],
                )
            return functions[shape](x)

        return run
    if backend == "jax":
        import jax

        @jax.jit
        def forward(trainable, frozen, x):
            return model.stateless_call(trainable, frozen, x, training=False)[0]

        return lambda x: forward(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            x,
        )
    import torch

    return torch.no_grad()(lambda x: model(x, training=False))


class Segments:
    """A network cut at the exits in use.

    Segment k takes what segment k - 1 left (the first takes images) and gives the
    features for the next one, and the probabilities and confidence at its exit. The
    branch of an exit that is off belongs to no segment, so it is not computed.

    Args:
        images: The network's symbolic input.
        features: Symbolic feature map at each exit but the last.
        logits: Symbolic logits of each exit.
        thresholds: One per exit but the last; 1 switches the exit off.
        rule: The exit rule; see `zoo.exits.confidence`.
    """

    def __init__(
        self,
        images: Any,
        features: Sequence[Any],
        logits: Sequence[Any],
        thresholds: Sequence[float],
        rule: str,
    ) -> None:
        last = len(features)
        self.exits = [i for i in range(last) if thresholds[i] < 1] + [last]
        self.models = []
        source = images
        for i in self.exits:
            answer = [ops.softmax(logits[i]), exits.confidence(logits[i], rule)]
            onward = [] if i == last else [features[i]]
            self.models.append(keras.Model(source, answer + onward))
            source = features[i] if onward else None
        self.functions = [compiled(model) for model in self.models]

    def run(
        self, images: np.ndarray, thresholds: Sequence[float], batch_size: int
    ) -> EarlyPrediction:
        """Predict, each segment always working on as full a batch as there is.

        At most two batches of features wait before a segment, so memory does not grow
        with the number of images.
        """
        count = len(images)
        classes = self.models[0].outputs[0].shape[-1]
        probabilities = np.empty((count, classes), np.float32)
        confidences = np.empty(count, np.float32)
        chosen = np.empty(count, int)
        waiting: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in self.exits]

        def advance(level: int, rows: np.ndarray, batch: np.ndarray) -> None:
            p, c, *onward = _call(self.functions[level], batch, batch_size)
            c = ops.convert_to_numpy(c)[: len(rows)]
            leaves = np.ones(len(rows), bool)
            if onward:
                leaves = c >= np.float32(thresholds[self.exits[level]])
            out = rows[leaves]
            probabilities[out] = ops.convert_to_numpy(p)[: len(rows)][leaves]
            confidences[out] = c[leaves]
            chosen[out] = self.exits[level]
            if len(out) < len(rows):
                kept = ops.convert_to_numpy(onward[0])[: len(rows)][~leaves]
                waiting[level + 1].append((rows[~leaves], kept))

        def drain(level: int, at_least: int) -> None:
            while sum(len(rows) for rows, _ in waiting[level]) >= at_least:
                rows = np.concatenate([rows for rows, _ in waiting[level]])
                batch = np.concatenate([batch for _, batch in waiting[level]])
                rest = (rows[batch_size:], batch[batch_size:])
                waiting[level] = [rest] if len(rest[0]) else []
                advance(level, rows[:batch_size], batch[:batch_size])

        for start in range(0, count, batch_size):
            rows = np.arange(start, min(start + batch_size, count))
            advance(0, rows, images[start : start + batch_size])
            for level in range(1, len(self.exits)):
                drain(level, at_least=batch_size)
        for level in range(1, len(self.exits)):
            drain(level, at_least=1)
        return EarlyPrediction(
            probabilities.argmax(-1), probabilities, chosen, confidences
        )


def _call(function: Callable, batch: np.ndarray, batch_size: int) -> Any:
    """Run a compiled function on a batch that may not be full.

    JAX compiles for every batch size anew: there the batch is filled up to the next
    power of two, so that few programs serve all.
    """
    if keras.backend.backend() == "jax" and len(batch) < batch_size:
        size = min(batch_size, 1 << (len(batch) - 1).bit_length())
        padding = [(0, size - len(batch))] + [(0, 0)] * (batch.ndim - 1)
        batch = np.pad(batch, padding)
    return function(ops.convert_to_tensor(batch, "float32"))


def check_images(images: Any) -> np.ndarray:
    """Return images as an array of shape `(n, height, width, 3)`, or raise.

    Raises:
        ValueError: The rank, the number of channels or the dtype is another.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3:
        hint = " For one image, pass image[None]." if images.ndim == 3 else ""
        raise ValueError(
            f"images have the shape {images.shape}; expected "
            f"(images, height, width, 3).{hint}"
        )
    if images.dtype.kind not in "uif":
        raise ValueError(
            f"images are {images.dtype}; expected uint8 or float in 0..255."
        )
    return images
