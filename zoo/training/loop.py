"""Training a model in place: batches, epochs, logs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import keras
import numpy as np

from zoo import backends, weights
from zoo.data import Dataset, Split
from zoo.model import EarlyExitModel
from zoo.training import checkpoints, teachers
from zoo.training.frozen import frozen_normalisation, on_cached_features
from zoo.training.recipes import Recipe, heads_first
from zoo.training.teachers import Teacher
from zoo.training.trainer import Trainer, augment, optimizer


@dataclass(frozen=True)
class TrainingResult:
    """How long a training took, and its last logs.

    Attributes:
        epochs: Number of epochs, including those before an interruption.
        seconds: Time of these epochs.
        images_per_second: Training images per second.
        final: The last epoch's logs.
    """

    epochs: int
    seconds: float
    images_per_second: int
    final: dict[str, float]


def train(
    model: EarlyExitModel,
    dataset: Dataset,
    recipe: Recipe,
    folder: str | os.PathLike | None = None,
    seed: int = 1,
    teacher: Teacher | None = None,
    verbose: str | int = "auto",
    validate: bool = True,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainingResult:
    """Train a model in place.

    With a folder, every epoch ends in a checkpoint. After an interruption (a kill, a
    full disk, a loss of power) the same call continues with the next epoch and gives
    the same result as an uninterrupted run. The folder also gets `log.csv` and, where
    TensorFlow and TensorBoard are installed, `tensorboard/`.

    Args:
        model: What to train.
        dataset: Trained on its `train` part, watched on `validation`.
        recipe: How to train.
        folder: Folder for checkpoint and logs; None: none are written.
        seed: Seed of the order of the images and of the augmentation. The initial
            weights are the model's.
        teacher: Another classifier of the same classes to learn from, where the recipe
            distils; if it gives several exits' logits, its last exit teaches. Or its
            logits, which `teacher_logits` computes once.
        verbose: Keras's: "auto" or 1 shows a progress bar, 2 a line per epoch, 0
            nothing.
        validate: Whether to measure the validation images after every epoch. Without,
            one graph fewer is compiled.
        callbacks: More of Keras's callbacks. Their model is a wrapper, whose `model`
            is the network.

    Raises:
        ValueError: The folder holds another training, or another process is training
            in it; the classes, the crop or the teacher do not match, or there are no
            images.
        OSError: The folder cannot be written, such as where the disk is full.
        FloatingPointError: The loss or a weight became NaN or infinite.
    """
    if dataset.num_classes != model.num_classes:
        raise ValueError(
            f"The model has {model.num_classes} classes, {dataset.name} has "
            f"{dataset.num_classes}."
        )
    for part in ("train", "validation"):
        if not len(getattr(dataset, part).labels):
            raise ValueError(f"{dataset.name} has no images in its {part} part.")
    crop = getattr(model, "crop", recipe.crop)
    if crop != recipe.crop:
        raise ValueError(
            f"The model's crop is {crop}, the recipe's is {recipe.crop}: build the "
            f"model with crop={recipe.crop}."
        )
    if teacher is not None:
        teachers.check(teacher, recipe, dataset)
    told: dict[str, Any] = {"verbose": verbose, "validate": validate}
    with contextlib.ExitStack() as stack:
        if folder is not None:
            folder = stack.enter_context(checkpoints.alone_in(folder))
        if recipe.heads_epochs:
            before = None if folder is None else folder / "heads"
            train(model, dataset, heads_first(recipe), before, seed, **told)
        settings = folder and {
            "model": _identity(model),
            "data": dataset.fingerprint,
            "recipe": asdict(recipe),
            "seed": seed,
            "teacher": _digest(teacher),
        }
        if recipe.scheme == "heads":
            model, dataset = on_cached_features(model, dataset)
            recipe = replace(recipe, augmentation="none", erase=0.0)
        if recipe.freeze_normalisation:
            stack.enter_context(frozen_normalisation(model))
        return _run(
            model, dataset, recipe, folder, settings, seed, teacher, callbacks, **told
        )


def _run(
    model: EarlyExitModel,
    dataset: Dataset,
    recipe: Recipe,
    folder: pathlib.Path | None,
    settings: dict[str, Any] | None,
    seed: int,
    teacher: Teacher | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: str | int,
    validate: bool,
) -> TrainingResult:
    """Train what is not frozen; with a folder, `settings` say which training it is."""
    batch_size = min(recipe.batch_size, len(dataset.train.labels))
    taught = teacher if isinstance(teacher, np.ndarray) else None
    mirrors = dataset.flip and recipe.augmentation != "none"
    batches = _Batches(dataset.train, batch_size, seed, taught, mirrors)
    steps = recipe.epochs * len(batches)
    augmented = augment(recipe, mirrors and taught is None, seed)
    trainer = Trainer(
        model, augmented, recipe, teacher if taught is None else None, steps
    )
    trainer.compile(optimizer(recipe, len(batches)))
    trainer.build((None, *dataset.train.images.shape[1:]))
    trainer.optimizer.build(trainer.trainable_variables)

    every: list[keras.callbacks.Callback] = [_Epoch(), backends.KeepFreedMemory()]
    log = checkpoints.Log()
    if folder is not None:
        checkpoint = folder / checkpoints.CHECKPOINT
        resumes = checkpoint.exists()
        checkpoints.check_same_training(folder, settings, resumes)
        if resumes:
            batches.start_at(checkpoints.restore(checkpoint, trainer))
        log = checkpoints.Log(folder / checkpoints.LOG, batches.epoch)
        every += [log, *_tensorboard(folder), checkpoints.Checkpoint(checkpoint)]
    else:
        every.append(log)
    model.weights_change()
    trainer.fit(
        batches,
        validation_data=tuple(dataset.validation) if validate else None,
        validation_batch_size=min(500, len(dataset.validation.labels)),
        initial_epoch=batches.epoch,
        epochs=recipe.epochs,
        callbacks=[*every, *callbacks],
        shuffle=False,  # Keras would shuffle the order of the batches anew
        verbose=verbose,
    )
    if not log.rows:
        raise ValueError(f"{folder} holds a finished training, but its log is missing.")
    seconds = sum(float(row["seconds"]) for row in log.rows)
    return TrainingResult(
        epochs=len(log.rows),
        seconds=round(seconds, 1),
        images_per_second=round(len(log.rows) * len(batches) * batch_size / seconds),
        final={k: float(value) for k, value in log.rows[-1].items() if k != "epoch"},
    )


def _digest(teacher: Teacher | None) -> str | None:
    """What says which teacher a training has."""
    if teacher is None:
        return None
    if isinstance(teacher, np.ndarray):
        return weights.digest([teacher])
    return weights.digest(teacher.get_weights())


def _identity(model: EarlyExitModel) -> dict[str, Any]:
    """What of a model's configuration its training depends on."""
    ignored = ("name", "thresholds", "frontier", "class_names")
    return {k: v for k, v in model.get_config().items() if k not in ignored}


class _Batches(keras.utils.PyDataset):
    """Full batches in an order that depends only on seed and epoch.

    With a teacher's logits, images are mirrored here, where their logits are known.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        taught: np.ndarray | None = None,
        mirrors: bool = False,
    ) -> None:
        super().__init__(workers=backends.INPUT_WORKERS)
        self.split = split
        self.batch_size = batch_size
        self.seed = seed
        self.taught = taught
        self.mirrors = mirrors
        self.start_at(0)

    def start_at(self, epoch: int) -> None:
        self.epoch = epoch
        rng = np.random.default_rng([self.seed, epoch])
        count = len(self.split.labels)
        self.order = rng.permutation(count)
        self.mirrored = rng.random(count) < (0.5 if self.mirrors else 0)

    def __len__(self) -> int:
        return len(self.order) // self.batch_size

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        images = self.split.images[rows].astype(np.float32)
        labels = self.split.labels[rows]
        if self.taught is None:
            return images, labels
        mirrored = self.mirrored[rows]
        images[mirrored] = images[mirrored, :, ::-1]
        taught = self.taught[rows, mirrored.astype(int)].astype(np.float32)
        return (images, taught), labels

    def on_epoch_end(self) -> None:
        self.start_at(self.epoch + 1)


class _Epoch(keras.callbacks.Callback):
    """Makes an epoch repeatable, times it and stops at a broken loss or weight."""

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()
        # A counter that depends on the epoch lets a resumed training draw the random
        # numbers that it would have drawn.
        for state in backends.seed_states(self.model):
            seed = np.asarray(state)[0]
            state.assign(np.array([seed, epoch << 20], state.dtype))

    def on_epoch_end(self, epoch, logs=None):
        if not np.isfinite(logs["loss"]):
            raise FloatingPointError(
                f"The loss is {logs['loss']} in epoch {epoch + 1}: the training "
                "diverged. A lower learning rate or clip_norm may help."
            )
        broken = weights.not_finite(self.model.model)
        if broken:  # an activation can hide it from the loss
            raise FloatingPointError(
                f"The weights {broken} are NaN or infinite after epoch {epoch + 1}: "
                "the training diverged. A lower learning rate or clip_norm may help."
            )
        logs["seconds"] = round(time.perf_counter() - self.started, 2)


def _tensorboard(folder: pathlib.Path) -> list[keras.callbacks.Callback]:
    """TensorBoard's callback where what it needs is installed."""
    if not all(map(importlib.util.find_spec, ("tensorflow", "tensorboard"))):
        return []
    return [keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False)]
