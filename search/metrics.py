"""Metrics: what a search may minimise, maximise or limit. A registry.

To add one, register it in a file of your own, and name that file on the command line
with `--load FILE` (in Python, importing it is enough):

    from search import metrics

    metrics.register(
        metrics.Metric(
            "worst_class",
            "max",
            lambda m: min((m.answers[m.labels == c] == c).mean() for c in m.classes),
            "accuracy of the worst class, 0..1",
        )
    )

Every registered metric is measured for every candidate, and kept in its record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from search.objectives import Objective, Objectives, check_direction
from zoo.names import add, unknown

if TYPE_CHECKING:
    from zoo.cost import Cost
    from zoo.data import Dataset
    from zoo.exits import Evaluation
    from zoo.model import EarlyExitModel


@dataclass(frozen=True)
class Measurement:
    """A trained candidate, to be measured on the validation images.

    Attributes:
        model: The network, its thresholds set; `model.architecture` describes it.
        dataset: What it was trained on.
        logits: Its answers to the validation images, shape `(images, exits, classes)`.
        evaluation: By the exit rule at its thresholds.
        cost: Its MACs in the search's convention, and its parameters.
        latency_batch_size: Batch size for measuring latency; None: do not measure it.
        began: When the trial began, by `time.perf_counter`.
        latency: How to measure it, a function of a `Measurement` that gives
            milliseconds per image; see `search.latency.clock`. None: in TensorFlow.
    """

    model: EarlyExitModel
    dataset: Dataset
    logits: np.ndarray
    evaluation: Evaluation
    cost: Cost
    latency_batch_size: int | None = None
    began: float = 0.0
    latency: Callable[[Measurement], float] | None = None

    @property
    def labels(self) -> np.ndarray:
        """Labels of the validation images, shape `(images,)`."""
        return self.dataset.validation.labels

    @property
    def classes(self) -> range:
        """All labels."""
        return range(self.dataset.num_classes)

    @property
    def answers(self) -> np.ndarray:
        """The class that the exit rule answers for each validation image."""
        from zoo.exits import decide

        rule = self.model.exit_rule
        leaving = decide(self.logits, self.evaluation.thresholds, rule)
        return self.logits[np.arange(len(leaving)), leaving].argmax(-1)


@dataclass(frozen=True)
class Metric:
    """Something that is measured of a candidate.

    Attributes:
        name: Its name.
        direction: "min" or "max": which values are better.
        measure: The measurement, a function of a `Measurement`.
        summary: One line, with the unit.
        needs: The setting without which it is not measured, or None.

    Raises:
        ValueError: There is no such direction.
    """

    name: str
    direction: str
    measure: Callable[[Measurement], float]
    summary: str
    needs: str | None = None

    def __post_init__(self) -> None:
        check_direction(self)


METRICS: dict[str, Metric] = {}
"""What a search can minimise, maximise or limit, by name."""


def register(metric: Metric) -> Metric:
    """Register a metric.

    Raises:
        ValueError: There is already one of that name.
    """
    return add(METRICS, "metric", metric.name, metric)


def get(name: str) -> Metric:
    """The metric of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in METRICS:
        raise ValueError(
            f"{unknown('metric', name, METRICS)} One of your own has to be registered "
            "first: --load FILE."
        )
    return METRICS[name]


def objectives(names: Iterable[str]) -> Objectives:
    """Metrics as objectives, each in its own direction.

    Raises:
        ValueError: There is no such metric, none is named, or one is named twice.
    """
    return Objectives([Objective(name, get(name).direction) for name in names])


def check(names: Iterable[str], settings: Mapping[str, Any]) -> None:
    """Raise a ValueError if a metric does not exist, or would not be measured.

    Args:
        names: Names of metrics.
        settings: The settings that metrics may need, by name.
    """
    for name in names:
        needs = get(name).needs
        if needs is not None and settings.get(needs) is None:
            raise ValueError(f"{name} is measured only with a {needs}.")


def measure(measurement: Measurement) -> dict[str, float]:
    """Every registered metric of a candidate, by name.

    Raises:
        FloatingPointError: One is not finite.
    """
    values = {
        name: float(metric.measure(measurement))
        for name, metric in METRICS.items()
        if metric.needs is None or getattr(measurement, metric.needs) is not None
    }
    if not all(map(np.isfinite, values.values())):
        raise FloatingPointError(f"A metric is not finite: {values}.")
    return values


def _latency_ms(measurement: Measurement) -> float:
    if measurement.latency is not None:
        return measurement.latency(measurement)
    from zoo.benchmark import benchmark

    size, images = measurement.latency_batch_size, measurement.dataset.validation.images
    speed = benchmark(measurement.model, images[: 64 * size], size)
    return 1000 / speed.early_images_per_second


def _seconds(measurement: Measurement) -> float:
    return round(time.perf_counter() - measurement.began, 2)


for _metric in (
    Metric(
        "error",
        "min",
        lambda m: 1 - m.evaluation.accuracy,
        "share of wrong answers by the exit rule, 0..1",
    ),
    Metric(
        "average_macs",
        "min",
        lambda m: m.evaluation.average_macs,
        "average MACs per image",
    ),
    Metric(
        "final_error",
        "min",
        lambda m: 1 - m.evaluation.exit_accuracy[-1],
        "share of wrong answers by the final exit, 0..1",
    ),
    Metric("parameters", "min", lambda m: m.cost.parameters, "a count"),
    Metric(
        "latency_ms",
        "min",
        _latency_ms,
        "milliseconds per image, with skipping, on this machine or by a table",
        needs="latency_batch_size",
    ),
    Metric("seconds", "min", _seconds, "time for training and measuring"),
):
    register(_metric)
