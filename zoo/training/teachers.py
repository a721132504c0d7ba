"""Teachers: models to distil from, or their logits computed once and kept in a file."""

from __future__ import annotations

import io
import os

import keras
import numpy as np

from zoo import files
from zoo.data import Dataset
from zoo.training.recipes import Recipe

Teacher = keras.Model | np.ndarray


def teacher_logits(model: keras.Model, dataset: Dataset) -> np.ndarray:
    """The logits of a model for the training images and for their mirror images.

    Distilling from them costs next to nothing, however large the model is.

    Args:
        model: A classifier; if it gives several exits' logits, its last exit counts.
        dataset: Its `train` part is used.

    Returns:
        Half-precision numbers of shape `(images, 2, classes)`; the second of the two is
        for the mirror image.
    """
    from zoo import measure

    images = dataset.train.images
    views = [measure.predict(model, view) for view in (images, images[:, :, ::-1])]
    last = [view[:, -1] if view.ndim == 3 else view for view in views]
    return np.stack(last, 1).astype(np.float16)


def save(path: str | os.PathLike, logits: np.ndarray) -> None:
    """Write logits to an `.npy` file, whole or not at all."""
    file = io.BytesIO()
    np.save(file, logits, allow_pickle=False)
    files.write_bytes(path, file.getvalue())


def load(path: str | os.PathLike) -> np.ndarray:
    """Read logits that `save` wrote.

    Raises:
        ValueError: The file is no `.npy` file of numbers.
        OSError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except ValueError as error:
        raise ValueError(
            f"{path} is no .npy file of numbers, such as `zoo logits` writes: {error}"
        ) from error


def check(teacher: Teacher, recipe: Recipe, dataset: Dataset) -> None:
    """Raise unless a teacher fits a training.

    Raises:
        ValueError: The recipe does not distil, or the teacher does not fit the data.
    """
    if not recipe.distillation:
        raise ValueError(
            "There is a teacher, but Recipe.distillation is 0: nothing would be learnt "
            "from it."
        )
    if isinstance(teacher, keras.Model):
        if recipe.scheme == "heads":
            raise ValueError(
                "The recipe's scheme is 'heads', which computes the backbone's "
                "features once; pass the teacher's logits instead of the teacher."
            )
        if teacher.output_shape[-1] != dataset.num_classes:
            raise ValueError(
                f"The teacher has {teacher.output_shape[-1]} classes, {dataset.name} "
                f"has {dataset.num_classes}."
            )
        return
    expected = (len(dataset.train.labels), 2, dataset.num_classes)
    if np.shape(teacher) != expected:
        raise ValueError(
            f"The teacher's logits have the shape {np.shape(teacher)}; expected "
            f"{expected}: for each training image and its mirror image, each class."
        )
    if not np.isfinite(teacher).all():
        raise ValueError("The teacher's logits hold values that are NaN or infinite.")
