"""Checkpoints: what an interrupted training continues from, bit for bit."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from zoo import files, weights
from zoo.files import write_bytes, write_text

CHECKPOINT, SETTINGS, LOG = "checkpoint.h5", "training.json", "log.csv"


@contextlib.contextmanager
def alone_in(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Make a training's folder, and keep other processes from training in it.

    Raises:
        ValueError: Another process is training there.
        DiskFullError: The disk is full, whatever was writing to it.
    """
    folder = files.make_folder(folder)
    refusal = f"Another process is training in {folder}."
    with files.locked(folder / files.LOCK, refusal), files.naming_full_disk(folder):
        for name in (CHECKPOINT, SETTINGS, LOG):
            files.remove_partial(folder, name)
        yield folder


class Checkpoint(keras.callbacks.Callback):
    """Saves weights and optimizer after each epoch, whole or not at all.

    Args:
        path: The file.
    """

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        """Write the checkpoint of the epoch that ended."""
        values = {
            f"model/{path}": value
            for path, value in weights.arrays(self.model.model).items()
        }
        for i, variable in enumerate(self.model.optimizer.variables):
            values[f"optimizer/{i}"] = np.asarray(variable)
        write_bytes(self.path, weights.dumps(values, {"epochs": epoch + 1}))


def restore(path: pathlib.Path, trainer: Any) -> int:
    """Set a trainer's weights and optimizer to a checkpoint's.

    Returns:
        How many epochs it had done.

    Raises:
        ValueError: The file is damaged or belongs to another training.
    """
    values, attributes = weights.loads(path.read_bytes(), str(path))
    own = {
        name.removeprefix("model/"): value
        for name, value in values.items()
        if name.startswith("model/")
    }
    variables = trainer.optimizer.variables
    try:
        found = [values[f"optimizer/{i}"] for i in range(len(variables))]
        epochs = int(attributes["epochs"])
    except KeyError as error:
        raise ValueError(
            f"{path} is not a checkpoint of this training: {error} is missing. Use "
            "another folder."
        ) from error
    weights.assign(trainer.model, own, str(path))
    for variable, value in zip(variables, found):
        variable.assign(value)
    return epochs


def check_same_training(
    folder: pathlib.Path, settings: dict[str, Any], resumes: bool
) -> None:
    """Note the settings in the folder, or raise if it holds a training with others."""
    path = folder / SETTINGS
    settings = json.loads(json.dumps(settings))
    if resumes and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = sorted(key for key in settings if settings[key] != before.get(key))
        if changed:
            raise ValueError(
                f"{folder} holds a training that differs in {', '.join(changed)}. Use "
                "the same settings to continue it, or another folder."
            )
    write_text(path, json.dumps(settings, indent=1))


class Log(keras.callbacks.Callback):
    """Keeps what every epoch came to, and writes it to a file.

    Args:
        path: The file; None: none.
        epochs: Epochs that are done. Later lines of the file belong to one that was
            interrupted.

    Attributes:
        rows: The epochs' logs, those before an interruption included.
    """

    def __init__(self, path: pathlib.Path | None = None, epochs: int = 0) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path is not None and path.exists():
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            self.rows = [row for row in rows if int(row["epoch"]) < epochs]

    def on_train_begin(self, logs=None):
        """Drop the lines of an epoch that was interrupted from the file, too."""
        self._write()

    def on_epoch_end(self, epoch, logs=None):
        """Add the epoch that ended."""
        self.rows.append({"epoch": epoch, **(logs or {})})
        self._write()

    def _write(self) -> None:
        if self.path is not None and self.rows:
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, self.rows[0], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)
            write_text(self.path, text.getvalue())
