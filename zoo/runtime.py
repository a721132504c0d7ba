"""The exit rule, and inference that skips, in plain NumPy.

Everything here works on arrays and on functions of arrays, so that it serves a Keras
model and an exported one alike. This file needs NumPy alone; `zoo.export` copies it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class EarlyPrediction(NamedTuple):
    """What `predict_early` returns; every array has one row per image.

    Attributes:
        labels: Predicted class, shape `(images,)`.
        probabilities: Softmax at the exit taken, shape `(images, classes)`.
        exits: Index of the exit taken, shape `(images,)`; the last is the final one.
        confidences: Confidence at the exit taken, shape `(images,)`.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    exits: np.ndarray
    confidences: np.ndarray


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in the precision of the logits."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def score_margin(logits: np.ndarray) -> np.ndarray:
    """Largest minus second largest softmax probability, in 0..1."""
    top = np.partition(softmax(logits), -2, axis=-1)
    return top[..., -1] - top[..., -2]


def max_probability(logits: np.ndarray) -> np.ndarray:
    """Largest softmax probability, in 1/classes..1."""
    return softmax(logits).max(-1)


def entropy(logits: np.ndarray) -> np.ndarray:
    """One minus the entropy of the softmax relative to its maximum, in 0..1."""
    shifted = logits - logits.max(-1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(-1, keepdims=True))
    entropies = -(softmax(logits) * (shifted - log_sum)).sum(-1)
    return np.clip(1 - entropies / math.log(logits.shape[-1]), 0, 1)


RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "score_margin": score_margin,
    "max_probability": max_probability,
    "entropy": entropy,
}
"""The confidence of each exit rule, by name, as a function of logits."""


def exit_limits(thresholds: Sequence[float]) -> np.ndarray:
    """The confidence that each exit requires, the final classifier's last.

    Args:
        thresholds: One per exit but the last; 1 switches an exit off.

    Returns:
        Single-precision numbers, one per exit: 2 for an exit that is off, which no
        confidence reaches, and -1 for the final classifier, which every one reaches.
    """
    limits = [2.0 if threshold == 1 else threshold for threshold in thresholds]
    return np.array([*limits, -1.0], np.float32)


def first_exit(confidences: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Index of the exit at which each sample leaves.

    Args:
        confidences: Shape `(samples, exits)`, the final classifier's last.
        thresholds: One per exit but the last.
    """
    leaves = np.asarray(confidences, np.float32) >= exit_limits(thresholds)
    return leaves.argmax(-1)


def resize_matrix(length: int, side: int, kept: int) -> np.ndarray:
    """The `(kept, length)` matrix of a bilinear resize along one axis, then a crop.

    Antialiased where it shrinks: the numbers of `zoo.layers.FitResolution`.

    Args:
        length: Pixels before.
        side: Pixels after the resize.
        kept: Pixels in the middle that are kept of these.
    """
    scale = length / side
    centres = (np.arange(side)[:, None] + 0.5) * scale
    distances = np.abs(np.arange(length) + 0.5 - centres) / max(scale, 1)
    weights = np.maximum(0, 1 - distances)
    low = (side - kept) // 2
    weights = weights[low : low + kept]
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def resized(images: np.ndarray, side: int, kept: int) -> np.ndarray:
    """Images as squares of `kept` pixels; see `resize_matrix`.

    Args:
        images: Shape `(images, height, width, channels)`, single precision.
        side: Height and width to resize to.
        kept: Height and width of the square in the middle that is kept.
    """
    for axis in (1, 2):
        if images.shape[axis] != side or kept != side:
            matrix = resize_matrix(images.shape[axis], side, kept)
            images = np.moveaxis(np.tensordot(matrix, images, (1, axis)), 0, axis)
    return np.ascontiguousarray(images)


Segment = Callable[[np.ndarray], Sequence[Any]]


def run_segments(
    segments: Sequence[Segment],
    exits: Sequence[int],
    images: np.ndarray,
    num_classes: int,
    thresholds: Sequence[float],
    rule: str = "score_margin",
    batch_size: int = 256,
) -> EarlyPrediction:
    """Predict with a network that is cut into segments, each on full batches.

    Images that stay at an exit wait until they fill a batch for the next segment. At
    most two batches of features wait before a segment, so memory does not grow with
    the number of images.

    Args:
        segments: One function per exit in use. It takes the features that the one
            before returned (the first takes images), and returns logits and, except
            for the last, the features for the next one.
        exits: Index of the exit that each segment ends at, the final one last.
        images: The input, one image per row.
        num_classes: Number of classes.
        thresholds: One per exit but the last; 1 switches an exit off.
        rule: The exit rule, one of `RULES`.
        batch_size: Images computed at once.
    """
    limits = exit_limits(thresholds)
    count = len(images)
    probabilities = np.zeros((count, num_classes), np.float32)
    chosen = np.zeros(count, int)
    confidences = np.zeros(count, np.float32)
    waiting: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in exits]

    def advance(level: int, rows: np.ndarray, batch: np.ndarray) -> None:
        logits, *onward = segments[level](batch)
        logits = np.asarray(logits, np.float32)
        found = RULES[rule](logits)
        leaves = found >= limits[exits[level]]
        probabilities[rows[leaves]] = softmax(logits[leaves])
        confidences[rows[leaves]] = found[leaves]
        chosen[rows[leaves]] = exits[level]
        if not leaves.all():
            features = np.asarray(onward[0])
            waiting[level + 1].append((rows[~leaves], features[~leaves]))

    def drain(level: int, at_least: int) -> None:
        while sum(len(rows) for rows, _ in waiting[level]) >= at_least:
            rows = np.concatenate([rows for rows, _ in waiting[level]])
            batch = np.concatenate([batch for _, batch in waiting[level]])
            rest = (rows[batch_size:], batch[batch_size:])
            waiting[level] = [rest] if len(rest[0]) else []
            advance(level, rows[:batch_size], batch[:batch_size])

    for start in range(0, count, batch_size):
        rows = np.arange(start, min(start + batch_size, count))
        advance(0, rows, images[start : start + batch_size])
        for level in range(1, len(exits)):
            drain(level, at_least=batch_size)
    for level in range(1, len(exits)):
        drain(level, at_least=1)
    return EarlyPrediction(probabilities.argmax(-1), probabilities, chosen, confidences)
