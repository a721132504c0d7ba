"""The loss of one exit, whichever way labels are written, and the labels' classes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

BY_NAME = ("sparse_categorical_crossentropy", "categorical_crossentropy")
_SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
_DENSE = keras.losses.CategoricalCrossentropy(from_logits=True)


def is_one_hot(y: Any, num_classes: int) -> bool:
    """Whether labels have a column per class, as one-hot and soft labels have."""
    return len(y.shape) == 2 and y.shape[-1] == num_classes


def classes(y: Any, num_classes: int) -> Any:
    """The classes of labels: integers of shape `(batch,)`.

    Args:
        y: Classes, or probabilities of all classes, of which the largest counts.
        num_classes: Number of classes.
    """
    if is_one_hot(y, num_classes):
        return ops.cast(ops.argmax(y, -1), "int32")
    return ops.cast(ops.reshape(y, (-1,)), "int32")


def of_logits(loss: Any, y: Any, num_classes: int) -> tuple[Any, Any]:
    """The loss to apply to an exit's logits, and the labels as it takes them.

    Args:
        loss: What was given to `compile`: None or the name of a cross-entropy for the
            cross-entropy that fits the labels, or an object that takes logits.
        y: Classes, shape `(batch,)` or `(batch, 1)`, or probabilities of all classes,
            shape `(batch, num_classes)`.
        num_classes: Number of classes.

    Raises:
        ValueError: The loss does not take logits, or takes other labels.
    """
    one_hot = is_one_hot(y, num_classes)
    if loss is None or loss in BY_NAME:
        return (_DENSE if one_hot else _SPARSE), y
    if not getattr(loss, "from_logits", isinstance(loss, keras.losses.Loss)):
        raise ValueError(
            f"loss is {loss!r}; the outputs are logits. Pass an object that takes "
            "logits, such as "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
        )
    if isinstance(loss, keras.losses.CategoricalCrossentropy) and not one_hot:
        return loss, ops.one_hot(classes(y, num_classes), num_classes)
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy) and one_hot:
        raise ValueError(
            "The labels have a column per class, which a sparse cross-entropy does not "
            "take. Pass keras.losses.CategoricalCrossentropy(from_logits=True)."
        )
    return loss, y
