"""Accuracy on the pixel-exact test pictures of the copy of CIFAR-10 used here.

32 of the 10,000 test pictures of that copy are JPEG copies; `cifar10_jpeg_copies.json`
lists their positions in the published order. All others are as published.
"""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import numpy as np

from reproduce.records import (
    ExactRow,
    Measured,
    PixelExactRecord,
)
from search.records import DataSource
from zoo import data, registry
from zoo.measure import predict, provenance, report

COPIES = pathlib.Path(__file__).parent / "cifar10_jpeg_copies.json"


def copies() -> list[int]:
    """Positions in CIFAR-10's test split of the pictures that are JPEG copies."""
    return json.loads(COPIES.read_text(encoding="utf-8"))


def measure(data_dir: str | os.PathLike | None = None) -> PixelExactRecord:
    """Measure every CIFAR-10 model with and without those pictures.

    Args:
        data_dir: Folder of CIFAR-10; see `zoo.data.load`.

    Raises:
        FileNotFoundError: The data set cannot be found.
    """
    dataset = data.load("cifar10", data_dir)
    labels = dataset.test.labels
    kept = np.ones(len(labels), bool)
    kept[copies()] = False
    rows = []
    for name in registry.list_models("*cifar10_*"):
        model = registry.load(name)
        logits = predict(model, dataset.test.images)
        rows.append(
            ExactRow(
                name,
                registry.record(name).weights.sha256,
                all=_measured(model, logits, labels),
                exact=_measured(model, logits[kept], labels[kept]),
            )
        )
    return PixelExactRecord(
        DataSource(dataset.name, dataset.fingerprint),
        tuple(rows),
        provenance(),
    )


def _measured(model: Any, logits: np.ndarray, labels: np.ndarray) -> Measured:
    found = report(model, logits, labels)
    return Measured(found.samples, found.accuracy, found.average_macs)
