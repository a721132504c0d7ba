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

from zoo import data, registry

COPIES = pathlib.Path(__file__).parent / "cifar10_jpeg_copies.json"


def copies() -> list[int]:
    """Positions in CIFAR-10's test split of the pictures that are JPEG copies."""
    return json.loads(COPIES.read_text(encoding="utf-8"))


def measure(data_dir: str | os.PathLike | None = None) -> dict[str, Any]:
    """Measure every CIFAR-10 model with and without those pictures.

    Args:
        data_dir: Where CIFAR-10 lies; see `zoo.data.load`.

    Returns:
        `data` (name and fingerprint) and `rows`, one a model: `model`, `weights` (their
        SHA-256), and `all` and `exact`, each with `samples`, `accuracy` and
        `average_macs`.

    Raises:
        FileNotFoundError: The data set is nowhere.
    """
    dataset = data.load("cifar10", data_dir)
    kept = np.ones(len(dataset.test.labels), bool)
    kept[copies()] = False
    rows = []
    for name in registry.list_models("*cifar10_*"):
        model = registry.load(name)
        logits = model.predict(dataset.test.images, batch_size=256, verbose=0)
        row = {"model": name, "weights": registry.config(name)["weights"]["sha256"]}
        for key, mask in (("all", np.ones_like(kept)), ("exact", kept)):
            found = registry.report(model, logits[mask], dataset.test.labels[mask])
            row[key] = {k: found[k] for k in ("samples", "accuracy", "average_macs")}
        rows.append(row)
    return {
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "rows": rows,
    }
