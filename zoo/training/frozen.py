"""Training with parts of a network frozen: its normalisation, or its whole backbone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo import backends, graph
from zoo.data import Dataset, Split
from zoo.model import EarlyExitModel

BATCH = 250  # images whose features are computed at once


@contextlib.contextmanager
def frozen_normalisation(model: EarlyExitModel) -> Iterator[None]:
    """Within it, batch normalisation in the backbone keeps statistics and weights."""
    frozen = [
        layer
        for layer in model.backbone.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    for layer in frozen:
        layer.trainable = False
    try:
        yield
    finally:
        for layer in frozen:
            layer.trainable = True


def on_cached_features(
    model: EarlyExitModel, dataset: Dataset
) -> tuple[EarlyExitModel, Dataset]:
    """The heads of a model as a network of their own, and the data set it is fed.

    A head's input is taken as far into the head as no weights are passed, which is
    after the pooling of a linear head. All heads' inputs of an image are kept as one
    vector in half precision.

    Args:
        model: The whole model; the heads stay its own.
        dataset: Images.

    Returns:
        A model of vectors that shares the heads' layers, and the vectors as a data set.

    Raises:
        ValueError: A feature is too large for half precision.
    """
    features = (*model.exit_features, model.final_features)
    entries = [before_weights(*ends) for ends in zip(features, model.exit_logits)]
    shapes = [tuple(entry.shape[1:]) for entry in entries]
    sizes = [int(np.prod(shape)) for shape in shapes]
    vectors = keras.Input((sum(sizes),), name="features")
    starts = np.cumsum([0, *sizes])
    parts, logits = [], []
    for entry, shape, low, high, head in zip(
        entries, shapes, starts, starts[1:], model.exit_logits
    ):
        part = ops.reshape(vectors[:, int(low) : int(high)], (-1, *shape))
        parts.append(part)
        logits.append(graph.replay(entry, head, part))
    heads = EarlyExitModel(
        vectors,
        parts,
        logits,
        model.macs,
        model.thresholds,
        model.exit_rule,
        model.exit_weights,
        name=f"{model.name}_heads",
    )
    extract = backends.on_arrays(
        backends.compiled(keras.Model(model.inputs[0], entries)), BATCH
    )
    return heads, replace(
        dataset,
        flip=False,
        **{
            name: _features(getattr(dataset, name), extract, sum(sizes))
            for name in ("train", "validation")
        },
    )


def before_weights(features: Any, logits: Any) -> Any:
    """The tensor in a head before the first layer that has weights.

    Args:
        features: Symbolic tensor that the head is applied to.
        logits: Symbolic logits of the head.
    """
    entry = features
    for node, needed in graph.crossings(features, logits):
        if getattr(node.operation, "weights", ()):
            break
        if len(needed) == 1:
            (entry,) = needed
    return entry


def _features(split: Split, extract: Any, size: int) -> Split:
    vectors = np.empty((len(split.labels), size), np.float16)
    for start in range(0, len(vectors), BATCH):
        parts = extract(split.images[start : start + BATCH])
        flat = [part.reshape(len(part), -1) for part in parts]
        vectors[start : start + BATCH] = np.concatenate(flat, axis=1)
    if not np.isfinite(vectors).all():
        raise ValueError(
            "Features of the backbone are not finite in half precision; train with the "
            "scheme 'joint' or 'mixed'."
        )
    return Split(vectors, split.labels)
