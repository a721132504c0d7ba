"""What an exported folder says of itself, as typed records; see `zoo.records`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zoo.cost import Cost
from zoo.exits import OperatingPoint
from zoo.records import record


@dataclass(frozen=True)
class Resize:
    """The resize of images that stays outside the files, as `zoo.runtime` does it.

    Attributes:
        side: Height and width to resize to.
        kept: Height and width of the square in the middle that is kept.
    """

    side: int
    kept: int


@dataclass(frozen=True)
class SegmentFile:
    """A segment: features (of the first: images) to logits and the next features.

    Attributes:
        file: Name of the file in the folder.
        exit: Index of the exit that it ends at.
        bytes: Size of the file.
        sha256: Its checksum, hexadecimal.
    """

    file: str
    exit: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Agreement:
    """What the exported files answer, beside the Keras model.

    Attributes:
        images: What was compared on, such as "validation split of cifar10".
        count: Number of the images.
        equal_exits: Share of them that leave at the same exit, at the thresholds of
            the Keras model.
        equal_labels: Share of them that get the same label, at those thresholds.
        largest_logit_difference: Over all images, exits in use and classes.
        accuracy: Of the files, at the thresholds of the manifest; None: no labels.
        average_macs: What an image costs then, on average.
        model_accuracy: Of the Keras model, at its thresholds; None: no labels.
        model_average_macs: What an image costs then, on average.
    """

    images: str
    count: int
    equal_exits: float
    equal_labels: float
    largest_logit_difference: float
    accuracy: float | None
    average_macs: float
    model_accuracy: float | None
    model_average_macs: float


@record("export", format=1)
@dataclass(frozen=True)
class Manifest:
    """An exported network; the file is manifest.json.

    Attributes:
        name: The model's name.
        runtime: What runs the files, "litert" or "onnx".
        quantization: "float16", "dynamic", "int8" or None.
        segments: The files, first to last.
        num_exits: Number of exits of the model, the final classifier counted.
        exit_names: What to call them.
        thresholds: One per exit but the last; an exit at 1 is in no file.
        exit_rule: See `zoo.exits`.
        num_classes: Number of classes.
        class_names: Names of the classes; None: unknown.
        image_size: Height and width of what the first file takes, which is RGB in
            0..255, in single precision.
        resize: What is done to images outside the files; None: nothing. Everything
            else, such as normalisation, is inside; softmax and the exit rule are not.
        macs: Of the model, standard convention.
        shares: Share of the images that leaves at each exit in use.
        frontier: Pareto-optimal settings that use the same exits, cheapest first.
        agreement: What was verified.
        provenance: Versions and hardware.
    """

    name: str
    runtime: str
    quantization: str | None
    segments: tuple[SegmentFile, ...]
    num_exits: int
    exit_names: tuple[str, ...]
    thresholds: tuple[float, ...]
    exit_rule: str
    num_classes: int
    class_names: tuple[str, ...] | None
    image_size: tuple[int, int]
    resize: Resize | None
    macs: Cost
    shares: tuple[float, ...]
    frontier: tuple[OperatingPoint, ...]
    agreement: Agreement
    provenance: dict[str, Any]
