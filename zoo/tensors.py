"""The exit rule on the backend's tensors, for losses and metrics in a compiled step.

The same mathematics as in `zoo.runtime`, which works on arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

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
