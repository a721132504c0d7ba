"""Augmented batches, in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from search.supernet.plan import Plan
from zoo.data import Dataset

SHIFT = 4  # pixels, each way; black moves in


class Batches:
    """Full batches, shifted and mirrored, that depend only on seed and epoch.

    Args:
        dataset: Its `train` part is used.
        plan: How to train.
        teacher: Logits of a teacher for the training images, `(images, classes)` or
            `(1, images, classes)`, or for them and their mirror images, `(2, images,
            classes)` or `(images, 2, classes)`.

    Raises:
        ValueError: There are too few images, or the teacher does not match.
    """

    def __init__(
        self, dataset: Dataset, plan: Plan, teacher: np.ndarray | None = None
    ) -> None:
        split, classes = dataset.train, dataset.num_classes
        border = ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))
        self.padded = np.pad(split.images, border)
        self.labels = split.labels
        self.plan = plan
        self.flip = dataset.flip
        self.identity = np.eye(classes, dtype=np.float32)
        self.answers = None
        if len(split.labels) < plan.batch_size:
            raise ValueError(
                f"{dataset.name} has {len(split.labels)} training images; expected "
                f"{plan.batch_size} or more, which is a batch."
            )
        if teacher is not None:
            self.answers = _probabilities(teacher, len(split.labels), classes)

    def __len__(self) -> int:
        return len(self.labels) // self.plan.batch_size

    def of(self, epoch: int, first: int) -> Iterator[tuple[Any, Any, Any]]:
        """Images, labels and targets, from batch `first` of an epoch on."""
        rng = np.random.default_rng([self.plan.seed, 1, epoch])
        count, side = len(self.labels), self.padded.shape[1] - 2 * SHIFT
        order = rng.permutation(count)
        top, left = rng.integers(0, 2 * SHIFT + 1, (2, count))
        mirrored = rng.random(count) < (0.5 if self.flip else 0)
        pixels = np.arange(side)
        for index in range(first, len(self)):
            start = index * self.plan.batch_size
            rows = order[start : start + self.plan.batch_size]
            down = top[rows, None] + pixels
            across = left[rows, None] + pixels
            flips = mirrored[rows]
            across[flips] = across[flips, ::-1]
            images = self.padded[rows[:, None, None], down[:, :, None], across[:, None]]
            labels = self.labels[rows]
            targets = self.identity[labels]
            if self.answers is not None:
                share = np.float32(self.plan.teacher_share)
                view = flips.astype(int) % len(self.answers)
                taught = self.answers[view, rows]
                targets = (1 - share) * targets + share * taught
            yield images, labels, targets


def _probabilities(logits: np.ndarray, images: int, classes: int) -> np.ndarray:
    """A teacher's logits, checked, as probabilities `(views, images, classes)`."""
    shape = np.shape(logits)
    logits = np.asarray(logits, np.float32)
    if logits.ndim == 2:
        logits = logits[None]
    elif shape == (images, 2, classes):  # as `zoo.training` keeps them
        logits = logits.swapaxes(0, 1)
    if logits.shape not in [(views, images, classes) for views in (1, 2)]:
        raise ValueError(
            f"The teacher's logits have the shape {shape}; expected "
            f"{(images, classes)} for the training images, or {(2, images, classes)} "
            "for them and their mirror images."
        )
    if not np.isfinite(logits).all():
        raise ValueError("The teacher's logits hold values that are NaN or infinite.")
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)
