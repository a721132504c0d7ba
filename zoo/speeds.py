"""The record of `zoo benchmark`: how fast skipping is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zoo.model_record import DataRecord
from zoo.records import record


@dataclass(frozen=True)
class Speed:
    """What was measured at one batch size.

    Attributes:
        batch_size: Images computed at once.
        images: Images in each round.
        full_images_per_second: Of the full network: the backbone and every branch.
        early_images_per_second: Of `predict_early`.
        speedup: The second over the first; the median of the rounds' ratios.
        macs_ratio: MACs of the full network over average MACs with skipping: the
            speed-up if time were proportional to MACs.
        segments_speedup: The speed-up that the segments' own times allow: the sum of
            each segment's time on full batches x the share of images that reach it.
    """

    batch_size: int
    images: int
    full_images_per_second: float
    early_images_per_second: float
    speedup: float
    macs_ratio: float
    segments_speedup: float

    @property
    def full_milliseconds(self) -> float:
        """Time of an image in the full network."""
        return 1000 / self.full_images_per_second

    @property
    def early_milliseconds(self) -> float:
        """Time of an image with skipping, on average."""
        return 1000 / self.early_images_per_second


@record("benchmark", format=1)
@dataclass(frozen=True)
class BenchmarkRecord:
    """How fast a model is with skipping, beside the full network.

    Attributes:
        model: The model.
        weights: SHA-256 of its weights; None for a `.keras` file.
        data: The data set whose test images were used.
        thresholds: The model's, one per exit but the last.
        speeds: One per batch size.
        provenance: Versions and hardware.
    """

    model: str
    weights: str | None
    data: DataRecord
    thresholds: tuple[float, ...]
    speeds: tuple[Speed, ...]
    provenance: dict[str, Any]
