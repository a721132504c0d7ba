"""Measuring a model for its record, and noting how it was made."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import exits
from zoo.data import Dataset
from zoo.exits import OperatingPoint
from zoo.model_record import DataRecord, Report

if TYPE_CHECKING:
    from zoo.model import EarlyExitModel

BATCH = 256


def predict(model: EarlyExitModel, images: Any) -> np.ndarray:
    """Logits of every exit, shape `(images, exits, classes)`."""
    return model.predict(images, batch_size=BATCH, verbose=0)


def describe(dataset: Dataset) -> DataRecord:
    """What a record says of a data set: name, fingerprint, sizes."""
    height, width = dataset.train.images.shape[1:3]
    return DataRecord(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        train=len(dataset.train.labels),
        validation=len(dataset.validation.labels),
        test=len(dataset.test.labels),
        image_size=(int(height), int(width)),
    )


def report(model: EarlyExitModel, logits: Any, labels: Any) -> Report:
    """Evaluate logits at the model's thresholds, MACs in every convention.

    See `zoo.calibration` for what is measured beside accuracy and MACs.

    Args:
        model: The model.
        logits: Shape `(samples, exits, classes)`.
        labels: Integers of shape `(samples,)`.
    """
    found = exits.evaluate(
        logits, labels, model.macs, model.thresholds, model.exit_rule
    )
    counted = {
        convention: exits.recount(found, model.cost(convention))
        for convention in model.conventions()
    }
    return Report(
        thresholds=found.thresholds,
        accuracy=found.accuracy,
        average_macs={name: each.average_macs for name, each in counted.items()},
        utilisation=found.utilisation,
        exit_accuracy=found.exit_accuracy,
        leaving_accuracy=found.leaving_accuracy,
        macs={name: each.macs for name, each in counted.items()},
        samples=found.samples,
        calibration_error=exits.calibration_error(logits, labels),
        failure_auroc=exits.failure_auroc(logits, labels, model.exit_rule),
        oracle_accuracy=exits.oracle_accuracy(logits, labels, model.thresholds),
        gain_over_single_exits=exits.gain_over_single_exits(found, model.macs),
    )


def frontier(
    model: EarlyExitModel, logits: Any, labels: Any
) -> tuple[OperatingPoint, ...]:
    """The Pareto-optimal threshold settings, in standard MACs."""
    return exits.frontier(logits, labels, model.macs, rule=model.exit_rule)


def facts(model: EarlyExitModel, dataset: Dataset) -> dict[str, Any]:
    """What a record says of a model's measurement: `data`, `results`, `frontier`.

    Args:
        model: The model, with its thresholds.
        dataset: Its validation and its test part are measured, the frontier on the
            first.
    """
    parts = {"validation": dataset.validation, "test": dataset.test}
    logits = {part: predict(model, split.images) for part, split in parts.items()}
    return {
        "data": describe(dataset),
        "results": {
            part: report(model, logits[part], split.labels)
            for part, split in parts.items()
        },
        "frontier": frontier(model, logits["validation"], dataset.validation.labels),
    }


Choice = Callable[[Any, Any, Any, str], OperatingPoint]


def within(max_macs: float, least_gain: float = 0.0) -> Choice:
    """A way to choose thresholds: the most accurate within a budget.

    Args:
        max_macs: Highest allowed average MACs per image, a count.
        least_gain: Points of accuracy that 10 % more MACs must gain; see
            `zoo.exits.worthwhile`.

    Returns:
        A function of logits, labels, cost and exit rule, for `zoo.fit`.
    """
    return lambda logits, labels, cost, rule: exits.worthwhile(
        exits.frontier(logits, labels, cost, rule=rule), max_macs, least_gain
    )


def towards(target_macs: float | None, values: Any = exits.PAPER_VALUES) -> Choice:
    """A way to choose thresholds: the best by the paper's score.

    Args:
        target_macs: Average MACs to aim at, a count; None: accuracy only.
        values: Thresholds to try at each exit.

    Returns:
        A function of logits, labels, cost and exit rule, for `zoo.fit`.
    """
    return lambda logits, labels, cost, rule: exits.tune_thresholds(
        logits, labels, cost, values, target_macs, rule
    )


def provenance(**facts: Any) -> dict[str, Any]:
    """Facts about a training, with the versions and the hardware it ran on."""
    import keras

    from zoo import backends

    return {
        **facts,
        "backend": keras.backend.backend(),
        "versions": {
            "python": platform.python_version(),
            "keras": keras.version(),
            keras.backend.backend(): backends.version(),
            "numpy": np.__version__,
        },
        "hardware": (
            f"{backends.devices()}, {os.cpu_count()} {platform.machine()} CPU cores"
        ),
    }
