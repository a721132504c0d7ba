"""The exit rule on the backend's tensors, for losses and metrics in a compiled step.

The same mathematics as in `zoo.runtime`, which works on arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from zoo.runtime import exit_limits


def score_margin(logits: Any) -> Any:
    """Largest minus second largest softmax probability, in 0..1."""
    top = ops.top_k(ops.softmax(logits), 2)[0]
    return top[..., 0] - top[..., 1]


def max_probability(logits: Any) -> Any:
    """Largest softmax probability, in 1/classes..1."""
    return ops.max(ops.softmax(logits), axis=-1)


def entropy(logits: Any) -> Any:
    """One minus the entropy of the softmax relative to its maximum, in 0..1."""
    entropies = -ops.sum(ops.softmax(logits) * ops.log_softmax(logits), axis=-1)
    return ops.clip(1 - entropies / math.log(logits.shape[-1]), 0, 1)


RULES = {
    "score_margin": score_margin,
    "max_probability": max_probability,
    "entropy": entropy,
}


def first_exit(confidences: Any, thresholds: Sequence[float]) -> Any:
    """Index of the exit at which each sample leaves.

    Args:
        confidences: Shape `(samples, exits)`, the final classifier's last.
        thresholds: One per exit but the last.
    """
    limits = ops.convert_to_tensor(exit_limits(thresholds), confidences.dtype)
    return ops.argmax(ops.cast(confidences >= limits, "int32"), axis=-1)


def means(num_exits: int) -> list[keras.metrics.Metric]:
    """The metrics of a network with exits, in the order in which `measured` gives them.

    Args:
        num_exits: Number of exits, the final classifier counted.
    """
    early = [f"exit{k}_accuracy" for k in range(1, num_exits)]
    names = ("accuracy", *early, "final_accuracy", "average_macs")
    return [keras.metrics.Mean(name) for name in names]


def measured(
    logits: Any,
    classes: Any,
    thresholds: Sequence[float],
    rule: str,
    macs: Sequence[int],
) -> tuple[list[Any], Any]:
    """What exits do for each sample.

    Args:
        logits: Shape `(samples, exits, classes)`.
        classes: The labels, integers of shape `(samples,)`.
        thresholds: One per exit but the last.
        rule: The confidence to use.
        macs: MACs spent by a sample that leaves at each exit.

    Returns:
        Tensors of shape `(samples,)`: whether the exit rule is right, whether each exit
        is, MACs spent; and the logits that the rule chooses, `(samples, classes)`.
    """
    count = logits.shape[1]
    taken = ops.one_hot(first_exit(RULES[rule](logits), thresholds), count)
    answers = ops.cast(ops.argmax(logits, -1), "int32")
    correct = ops.cast(ops.equal(answers, classes[:, None]), "float32")
    spent = ops.convert_to_tensor(macs, "float32")
    values = [
        ops.sum(correct * taken, -1),
        *(correct[:, k] for k in range(count)),
        ops.sum(taken * spent, -1),
    ]
    return values, ops.sum(logits * ops.cast(taken[:, :, None], logits.dtype), axis=1)
