"""Is fine-tuning worth it? A pretrained model beside the same random network."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from reproduce.records import FinetuneRecord, Tuning
from search.records import DataSource
from zoo import data, registry
from zoo.measure import predict, provenance, report


def finetune(
    name: str = "aebnas_cifar10_small",
    target: str = "digits",
    epochs: int = 3,
    seeds: Sequence[int] = (1, 2, 3),
    progress: Callable[[Tuning], None] = lambda row: None,
) -> FinetuneRecord:
    """Train a network on other data, once from its weights and once from random ones.

    Both get new classifiers, the same images in the same order, Keras's Adam with its
    defaults and no augmentation.

    Args:
        name: The pretrained model.
        target: The data set to fine-tune on.
        epochs: Epochs of each training.
        seeds: One pair of trainings for each.
        progress: Called after every training.
    """
    dataset = data.load(target)
    rows = []
    for seed in seeds:
        for initial_weights in ("pretrained", "random"):
            keras.utils.set_random_seed(seed)
            model = registry.load(
                name,
                num_classes=dataset.num_classes,
                weights=initial_weights == "pretrained",
            )
            model.compile("adam")
            began = time.perf_counter()
            model.fit(*dataset.train, epochs=epochs, verbose=0)
            seconds = time.perf_counter() - began
            logits = predict(model, dataset.test.images)
            measured = report(model, logits, dataset.test.labels)
            rows.append(
                Tuning(
                    initial_weights,
                    seed,
                    epochs,
                    accuracy=measured.accuracy,
                    exit_accuracy=measured.exit_accuracy,
                    average_macs=measured.average_macs,
                    seconds=round(seconds, 1),
                )
            )
            progress(rows[-1])
    return FinetuneRecord(
        name,
        registry.record(name).weights.sha256,
        DataSource(dataset.name, dataset.fingerprint),
        tuple(rows),
        provenance(),
    )


@dataclass(frozen=True)
class Comparison:
    """The accuracy of trainings that started in the same way.

    Attributes:
        initial_weights: "pretrained" or "random".
        seeds: How many trainings.
        mean: Of the accuracy on the test split, 0..1.
        spread: Its sample standard deviation; None for a single training.
    """

    initial_weights: str
    seeds: int
    mean: float
    spread: float | None


def compare(rows: Sequence[Tuning]) -> list[Comparison]:
    """Mean and spread of the accuracy for each kind of initial weights."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.initial_weights, []).append(row.accuracy)
    return [
        Comparison(
            initial_weights,
            len(accuracies),
            float(np.mean(accuracies)),
            float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        )
        for initial_weights, accuracies in found.items()
    ]
