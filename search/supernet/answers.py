"""Answers of sub-networks to the validation images, kept on disk.

They depend on the architecture without its thresholds, on the supernet and on the
images, and on nothing else: one folder serves every method, seed and threshold.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from zoo import files, npz
from zoo.architecture import Architecture

FORMAT = 1


class Answers:
    """A folder with a file of logits for every architecture.

    Several processes may share it. A file is whole or not there; two processes that
    measure the same architecture at once write the same.

    Args:
        folder: Made when something is kept.
        facts: What else the logits depend on, plain numbers and text.
    """

    def __init__(self, folder: str | os.PathLike, facts: Mapping[str, Any]) -> None:
        self.folder = pathlib.Path(folder)
        self.facts = {"format": FORMAT, **facts}

    def of(
        self, architecture: Architecture, measure: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """The logits of an architecture, measured if they are not there yet.

        Args:
            architecture: The network; its thresholds do not matter.
            measure: Gives its logits, `(images, exits, classes)`.

        Returns:
            Single precision, rounded to half precision: the same whether they were
            measured now or before.

        Raises:
            FloatingPointError: A logit is not finite in half precision.
            OSError: They cannot be written.
        """
        description = self._description(architecture)
        name = hashlib.sha256(description.encode("utf-8")).hexdigest()[:32]
        path = self.folder / f"{name}.npz"
        kept = _read(path, description)
        if kept is None:
            with np.errstate(over="ignore"):
                kept = np.asarray(measure()).astype(np.float16)
            if not np.isfinite(kept).all():
                raise FloatingPointError(
                    "A logit is NaN, or larger than 65504. The supernet has diverged, "
                    "or its weights are damaged."
                )
            files.make_folder(self.folder)
            npz.write(path, {"logits": kept, "description": description})
        return kept.astype(np.float32)

    def _description(self, architecture: Architecture) -> str:
        """Everything that the logits depend on, as text."""
        network = architecture.to_dict()
        del network["thresholds"]
        return json.dumps({**self.facts, "architecture": network}, sort_keys=True)


def _read(path: pathlib.Path, description: str) -> np.ndarray | None:
    """What a file holds; None if there is none, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["description"]) == description:
                return arrays["logits"]
    except FileNotFoundError:
        pass
    except Exception:  # whatever a damaged archive can raise; it is written anew
        pass
    return None
