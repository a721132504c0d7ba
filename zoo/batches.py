"""Batches of images as data sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from zoo.data import Dataset, Split


def from_batches(
    name: str,
    train: Iterable[tuple[Any, Any]],
    test: Iterable[tuple[Any, Any]],
    validation: Iterable[tuple[Any, Any]] | int | None = None,
    class_names: Sequence[str] | None = None,
    flip: bool = False,
) -> Dataset:
    """A data set from tf.data datasets, or other finite iterables of batches.

    All images are kept in memory, one byte a value. `fit` and `evaluate` of a model
    take such datasets as they are; this is for `zoo.fit` and all else that needs a
    `Dataset`.

    Args:
        name: What records call it.
        train: Batches to train on, such as those of
            `keras.utils.image_dataset_from_directory`: images of shape
            `(batch, height, width, 3)`, values in 0..255, rounded if they are no
            integers, and labels, integers of shape `(batch,)` or one-hot.
        test: Batches to report on.
        validation: Batches to choose thresholds on, or what `from_arrays` takes.
        class_names: One per class. Default: those of `train`, if it names them.
        flip: Whether a mirrored image keeps its class.

    Raises:
        ValueError: Images or labels are not usable, see `from_arrays`, or the batches
            repeat without end.

    Example:
        >>> train, test = keras.utils.image_dataset_from_directory(
        ...     "flowers", image_size=(96, 96), validation_split=0.2, subset="both",
        ...     seed=1,
        ... )
        >>> flowers = zoo.data.from_batches("flowers", train, test)
    """
    from zoo import data

    if validation is not None and not isinstance(validation, int):
        validation = _collected(validation, f"{name}, validation")
    return data.from_arrays(
        name,
        _collected(train, f"{name}, train"),
        _collected(test, f"{name}, test"),
        validation,
        class_names or getattr(train, "class_names", None),
        flip,
    )


def _collected(batches: Iterable[tuple[Any, Any]], where: str) -> Split:
    """All images, as bytes, and all labels, as they are."""
    from zoo import inputs
    from zoo.data import Split

    images, labels = [], []
    fractions = True  # whether all values lie in 0..1 and are no bytes
    for batch in inputs.items(batches):
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(
                f"{where}: a batch is a {type(batch).__name__}; expected a pair of "
                "images and labels."
            )
        values = np.asarray(batch[0])
        images.append(_bytes(values, where))
        fractions &= values.dtype.kind == "f" and values.max(initial=0) <= 1
        labels.append(np.asarray(batch[1]))
    if not images:
        raise ValueError(f"{where}: there are no images.")
    if len({each.shape[1:] for each in images}) > 1:
        raise ValueError(f"{where}: images differ in size; expected one size.")
    if fractions:
        raise ValueError(
            f"{where}: images have values in 0..1; expected 0..255. Leave out what "
            "rescales them."
        )
    return Split(np.concatenate(images), np.concatenate(labels))


def _bytes(images: np.ndarray, where: str) -> np.ndarray:
    if images.ndim != 4:
        raise ValueError(
            f"{where}: images have the shape {images.shape}; expected "
            "(batch, height, width, 3). Call batch on the dataset."
        )
    low, high = images.min(initial=255), images.max(initial=0)
    if not (0 <= low and high <= 255):  # so written, NaN is refused, too
        raise ValueError(
            f"{where}: images have values in {low:g}..{high:g}; expected 0..255."
        )
    return np.rint(images).astype(np.uint8)
