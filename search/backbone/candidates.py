"""Candidates of a search for exits in its folder: heads without their backbone."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from search.backbone import places
from search.records import CandidateRecord
from zoo import registry
from zoo import weights as weight_files
from zoo.files import write_bytes
from zoo.model import EarlyExitModel


def set_heads(model: EarlyExitModel, weights: Sequence[Sequence[np.ndarray]]) -> None:
    """Set the weights of a model's early exits, each in the order of its layers."""
    for head, own in zip(model.heads, weights):
        head.set_weights(own)


def write_heads(path: pathlib.Path, model: EarlyExitModel) -> None:
    """Write the weights of a model's early exits."""
    arrays = {
        f"exit{k}/{i}": value
        for k, head in enumerate(model.heads[:-1], 1)
        for i, value in enumerate(head.get_weights())
    }
    write_bytes(path, weight_files.dumps(arrays))


def load_exits(
    folder: pathlib.Path, record: CandidateRecord, path: pathlib.Path | None
) -> EarlyExitModel:
    """The model of a candidate, its thresholds set.

    Args:
        folder: Of its trial, in the folder of the search.
        record: Its record.
        path: File of its heads' weights; None: leave them random.

    Raises:
        ValueError: The file holds the weights of other heads.
    """
    backbone = registry.load(folder.parent / places.FOLDER)
    model = places.with_exits(backbone, record.heads)
    model.thresholds = record.evaluation.thresholds
    if path is not None:
        arrays, _ = weight_files.loads(path.read_bytes(), str(path))
        own = [head.get_weights() for head in model.heads[:-1]]
        expected = {
            f"exit{k}/{i}": value.shape
            for k, values in enumerate(own, 1)
            for i, value in enumerate(values)
        }
        if {name: value.shape for name, value in arrays.items()} != expected:
            raise ValueError(f"{path} holds the weights of other heads.")
        set_heads(
            model,
            [
                [arrays[f"exit{k}/{i}"] for i in range(len(values))]
                for k, values in enumerate(own, 1)
            ],
        )
    return model
