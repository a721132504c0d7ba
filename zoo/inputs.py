"""What users give a model: images and labels as arrays, or data that comes in batches.

Nothing here looks at a network; `EarlyExitModel` asks before it computes.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from zoo.checks import check_labels

LARGEST = 511  # a resize may overshoot 255; what lies above has more than 8 bits


def check_images(images: Any) -> np.ndarray:
    """Return images as an array of shape `(n, height, width, 3)`, or raise.

    Raises:
        ValueError: The rank, the number of channels or the dtype is another, an image
            has no pixels, or one holds NaN or infinite values.
    """
    images = _as_array(images, "images")
    if images.ndim != 4 or images.shape[-1] != 3:
        hint = " For one image, pass image[None]." if images.ndim == 3 else ""
        raise ValueError(
            f"images have the shape {images.shape}; expected "
            f"(images, height, width, 3).{hint}"
        )
    check_values(images)
    return images


def check_shape(images: np.ndarray, expected: Sequence[int | None]) -> None:
    """Raise a ValueError if there are no images, or not of a model's input shape.

    Args:
        images: One image per row.
        expected: The shape of the input, None where any size will do.
    """
    fits = images.ndim == len(expected) and all(
        size is None or size == found for size, found in zip(expected, images.shape)
    )
    if not fits:
        shape = ", ".join("any" if size is None else str(size) for size in expected)
        raise ValueError(
            f"images have the shape {images.shape}; the model expects ({shape})."
        )
    if not len(images):
        raise ValueError("There are no images.")


def check_values(images: np.ndarray) -> None:
    """Raise if images cannot be RGB in 0..255; warn if they seem to be scaled.

    Args:
        images: One image per row.

    Raises:
        ValueError: The dtype is another, an image has no pixels, or one holds NaN or
            infinite values.
    """
    if images.dtype.kind not in "uif":
        raise ValueError(
            f"images are {images.dtype}; expected uint8 or float in 0..255."
        )
    if 0 in images.shape[1:]:
        raise ValueError(
            f"images have the shape {images.shape}: they have no pixels; expected a "
            "height and width of 1 or more."
        )
    if not len(images) or images.dtype == np.uint8:
        return
    low, high = float(images.min()), float(images.max())  # NaN if there is one
    if not np.isfinite(low + high):
        broken = ~np.isfinite(images).reshape(len(images), -1).all(1)
        raise ValueError(
            f"{broken.sum()} of {len(images)} images hold NaN or infinite values, the "
            f"first at index {broken.argmax()}; expected finite numbers in 0..255."
        )
    scaled = images.dtype.kind == "f" and 0 < max(-low, high) <= 1
    if scaled or high > LARGEST:
        advice = "Multiply them by 255" if scaled else "Scale them to 8 bits"
        warnings.warn(
            f"The images lie in {low:g}..{high:g}; the model expects RGB in 0..255, "
            f"and its answers mean nothing else. {advice}.",
            stacklevel=4,
        )


def check_kind(images: Any) -> None:
    """Raise a TypeError if Keras has no way to take images of this kind.

    Args:
        images: What does not come in batches: a tensor, a data frame, or a list or
            dictionary of such.
    """
    parts = images
    if isinstance(images, dict):
        parts = list(images.values())
    if not isinstance(parts, (list, tuple)):
        parts = [parts]
    arrays = [hasattr(part, "__array__") and np.ndim(part) > 0 for part in parts]
    if images is not None and arrays != [True]:
        raise TypeError(
            f"images are a {type(images).__name__}; expected an array, or data in "
            "batches such as a tf.data.Dataset."
        )


def check_arrays(
    images: Any, labels: Any, expected: Sequence[int | None], num_classes: int
) -> None:
    """Check what goes to Keras's `fit`, `evaluate` or `predict`, as far as is cheap.

    Data in batches and tensors pass unread.

    Args:
        images: What Keras calls x.
        labels: What it calls y, or None.
        expected: The shape of the model's input.
        num_classes: Number of classes.

    Raises:
        ValueError: Images or labels in arrays are not usable.
        TypeError: The images are nothing that Keras takes.
    """
    if isinstance(images, np.ndarray):
        check_shape(images, expected)
        check_values(images)
    elif not is_batched(images):
        check_kind(images)
    if isinstance(labels, np.ndarray):
        check_labels(labels, len(labels), num_classes)


def is_batched(data: Any) -> bool:
    """Whether data comes in batches: a `tf.data.Dataset`, `PyDataset` or iterable."""
    if isinstance(data, keras.utils.PyDataset):
        return True
    whole = (list, tuple, str, bytes, dict, set, range)
    if isinstance(data, whole) or hasattr(data, "__array__"):
        return False
    return isinstance(data, Iterable)


def batches(data: Any) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Images and labels, or None, of each batch, as arrays.

    Args:
        data: See `is_batched`. An item is images, or a pair of images and labels, which
            sample weights may follow.

    Raises:
        ValueError: The data never ends, or an item is something else.
    """
    for item in items(data):
        parts = item if isinstance(item, (tuple, list)) else (item,)
        if isinstance(item, dict) or not 1 <= len(parts) <= 3:
            raise ValueError(
                f"A batch is a {type(item).__name__}; expected images, or a pair of "
                "images and labels."
            )
        labels = _as_array(parts[1], "labels") if len(parts) > 1 else None
        yield _as_array(parts[0], "images"), labels


def items(data: Any) -> Iterable[Any]:
    """What data in batches consists of.

    Args:
        data: See `is_batched`.

    Raises:
        ValueError: The data never ends.
    """
    cardinality = getattr(data, "cardinality", None)
    endless = cardinality is not None and int(cardinality()) == -1
    found: Iterable[Any] = data
    if isinstance(data, keras.utils.PyDataset):
        endless = data.num_batches is None
        found = (data[i] for i in range(data.num_batches or 0))
    if endless:
        raise ValueError(
            "The data set repeats without end; pass one that ends, such as "
            "dataset.take(100)."
        )
    return found


def whole(images: Any, labels: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Checked images and labels of data in arrays (one batch) or in batches.

    Args:
        images: Images, or data whose batches hold labels, too.
        labels: Labels, or None for data in batches.

    Raises:
        ValueError: There are no images, or labels are missing or given twice.
    """
    if not is_batched(images):
        if labels is None:
            raise ValueError("There are images but no labels; pass both.")
        pairs: Iterable[tuple] = [(images, _as_array(labels, "labels"))]
    elif labels is not None:
        raise ValueError("The images come in batches; their labels belong in there.")
    else:
        pairs = batches(images)
    pairs = iter(pairs)
    first = next(pairs, None)
    if first is None or not len(check_images(first[0])):
        raise ValueError("There are no images.")
    for found, own in itertools.chain([first], pairs):
        if own is None:
            raise ValueError("The batches hold no labels; expected (images, labels).")
        found = check_images(found)
        if own.ndim == 0 or len(own) != len(found):
            raise ValueError(
                f"labels have the shape {own.shape}; expected one per image, of which "
                f"there are {len(found)}."
            )
        yield found, own


def _as_array(value: Any, name: str) -> np.ndarray:
    if keras.ops.is_tensor(value):
        return keras.ops.convert_to_numpy(value)
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of several lengths
        raise ValueError(f"{name} are not an array: {error}.") from error
