"""Is a pretrained model worth fine-tuning? Against the same network from random."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from zoo import data, registry


def finetune(
    name: str = "aebnas_cifar10_small",
    target: str = "digits",
    epochs: int = 3,
    seeds: Sequence[int] = (1, 2, 3),
    progress: Callable[[dict[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """Train a network on other data, once from its weights and once from random ones.

    Both get new classifiers, the same images in the same order, Keras's Adam with its
    defaults and no augmentation.

    Args:
        name: The pretrained model.
        target: The data set to fine-tune on.
        epochs: Of both.
        seeds: One pair of trainings for each.
        progress: Called with every row.

    Returns:
        `rows`, one per start ("pretrained", "random"), seed and training, with the
        `accuracy` on the test split by the exit rule and that of each exit
        (`exit_accuracy`), after `epochs`; `model`, `weights` (their SHA-256), `data`.
    """
    dataset = data.load(target)
    rows = []
    for seed in seeds:
        for start in ("pretrained", "random"):
            keras.utils.set_random_seed(seed)
            model = registry.load(
                name, num_classes=dataset.num_classes, weights=start == "pretrained"
            )
            model.compile("adam")
            began = time.perf_counter()
            model.fit(*dataset.train, epochs=epochs, verbose=0)
            seconds = time.perf_counter() - began
            logits = model.predict(dataset.test.images, batch_size=256, verbose=0)
            measured = registry.report(model, logits, dataset.test.labels)
            rows.append(
                {
                    "start": start,
                    "seed": seed,
                    "epochs": epochs,
                    "accuracy": measured["accuracy"],
                    "exit_accuracy": measured["exit_accuracy"],
                    "average_macs": measured["average_macs"],
                    "seconds": round(seconds, 1),
                }
            )
            progress(rows[-1])
    return {
        "model": name,
        "weights": registry.config(name)["weights"]["sha256"],
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "rows": rows,
    }


def compare(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and sample standard deviation of the accuracy of each start."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row["start"], []).append(row["accuracy"])
    return [
        {
            "start": start,
            "seeds": len(accuracies),
            "mean": float(np.mean(accuracies)),
            "spread": float(np.std(accuracies, ddof=1))
            if len(accuracies) > 1
            else None,
        }
        for start, accuracies in found.items()
    ]
