"""Test images, and at which exit each leaves at every setting of a model."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo import data, registry
from zoo.exits import decide
from zoo.model_record import ModelRecord


@dataclass(frozen=True)
class Picture:
    """A test image.

    Attributes:
        source: The image as a data address.
        truth: Name of its class.
        answers: What each exit answers.
    """

    source: str
    truth: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Examples:
    """Pictures, and where they leave.

    Attributes:
        pictures: In the order of the test split.
        saved: Index of the exit of each at the thresholds that the model has.
        settings: The same at each setting of its frontier, cheapest first.
    """

    pictures: tuple[Picture, ...]
    saved: tuple[int, ...]
    settings: tuple[tuple[int, ...], ...]


def examples(
    source: str | os.PathLike,
    record: ModelRecord,
    count: int,
    data_dir: str | os.PathLike | None = None,
) -> Examples:
    """Run a model on the first test images.

    Args:
        source: The model's name or folder.
        record: What is recorded of it.
        count: How many images.
        data_dir: Folder of the data set; see `zoo.data.load`.

    Raises:
        ValueError: The model records no data set.
        FileNotFoundError: The data set or the weights cannot be found.
    """
    if record.data is None:
        raise ValueError(f"{source} records no data set, so there are no pictures.")
    dataset = data.load(record.data.name, data_dir)
    images, labels = dataset.test.take(count)
    model = registry.load(source)
    logits = model.predict(images, verbose=0)

    def leaving(thresholds: tuple[float, ...]) -> tuple[int, ...]:
        return tuple(decide(logits, thresholds, model.exit_rule).tolist())

    names = record.class_names or tuple(map(str, range(record.num_classes)))
    points = sorted(record.frontier, key=lambda point: point.average_macs)
    return Examples(
        pictures=tuple(
            Picture(_png(image), names[truth], tuple(names[k] for k in answers))
            for image, truth, answers in zip(images, labels, logits.argmax(-1))
        ),
        saved=leaving(tuple(model.thresholds)),
        settings=tuple(leaving(point.thresholds) for point in points),
    )


def _png(pixels: Any) -> str:
    """An image, shape `(height, width, 3)`, values 0..255, as a data address."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels).round().clip(0, 255).astype(np.uint8)).save(
        file, "png"
    )
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
