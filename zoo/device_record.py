"""What a model is on a device, in several formats, as a typed record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zoo.checks import check_shares
from zoo.records import record


@dataclass(frozen=True)
class FormatRow:
    """A model in one format, on the test split and on a clock.

    Times are the processor's, on one thread, 10th percentiles: other work on the
    machine hardly disturbs them. Images have the network's own size: resizing them is
    not timed.

    Attributes:
        runtime: "litert", "onnx" or "tensorflow", which is Keras itself.
        quantization: "float16", "dynamic", "int8" or None.
        bytes: Of all segments; None for Keras.
        equal_exits: Share of the images that leave at the same exit as in Keras, at the
            model's thresholds.
        equal_labels: Share of them that get the same label.
        accuracy: At the model's thresholds, 0..1.
        average_macs: What an image then costs on average.
        tuned_accuracy: At the thresholds that the export chose on the validation split;
            None: not quantised.
        tuned_macs: What an image then costs on average.
        segments_ms: Milliseconds of each segment, batch 1.
        image_ms: Milliseconds of an image under the exit rule, batch 1: the mean over
            the exits, weighted by the shares of the test images.
        batched_ms: The same in batches of 256.
        static_ms: Milliseconds of an image, batch 1, if there are no exits but the
            final one.
    """

    runtime: str
    quantization: str | None
    bytes: int | None
    equal_exits: float
    equal_labels: float
    accuracy: float
    average_macs: float
    tuned_accuracy: float | None
    tuned_macs: float | None
    segments_ms: tuple[float, ...]
    image_ms: float
    batched_ms: float
    static_ms: float

    def __post_init__(self) -> None:
        for name in ("equal_exits", "equal_labels", "accuracy"):
            check_shares(name, (getattr(self, name),), 1)

    @property
    def name(self) -> str:
        """What to call the format."""
        return name_of(self.runtime, self.quantization)


def name_of(runtime: str, quantization: str | None) -> str:
    """What to call a format, such as "LiteRT, dynamic"."""
    name = {"litert": "LiteRT", "onnx": "ONNX", "tensorflow": "TensorFlow"}[runtime]
    return name if quantization is None else f"{name}, {quantization}"


@record("device", format=1)
@dataclass(frozen=True)
class DeviceRecord:
    """A model on a device; all formats were timed in turns, in one process.

    Attributes:
        model: The model.
        weights: SHA-256 of its weights.
        data: Name of the data set.
        fingerprint: Of its images.
        images: Test images.
        device: `processor`, `cores` and `system`.
        threads: Number of threads that computed.
        static_accuracy: Of the final exit on all test images, in Keras: what the
            network without its other exits answers.
        static_macs: What an image costs there.
        rows: One per format.
        provenance: Versions and hardware.
    """

    model: str
    weights: str
    data: str
    fingerprint: str
    images: int
    device: dict[str, Any]
    threads: int
    static_accuracy: float
    static_macs: int
    rows: tuple[FormatRow, ...]
    provenance: dict[str, Any]
