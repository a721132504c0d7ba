"""Soft exits: training in which every exit answers in proportion to its confidence.

The losses of NACHOS (arXiv 2401.13330). A confidence c_i in 0..1 mixes an exit's answer
and cost with those of the exits after it: v~_i = c_i v_i + (1 - c_i) v~_(i+1), and the
last exit's are its own. NACHOS learns a confidence beside each classifier; here it is
the exit rule's, which is what decides at inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops


def weights(confidences: Any) -> Any:
    """Share of each exit in the mixture, so that it is a weighted sum.

    Args:
        confidences: Shape `(batch, exits)`; the last exit's is not used.

    Returns:
        Shape `(batch, exits)`, summing to 1 over the exits.
    """
    early = confidences[:, :-1]
    one = ops.ones_like(confidences[:, :1])
    reaching = ops.concatenate([one, ops.cumprod(1 - early, axis=1)], axis=1)
    return reaching * ops.concatenate([early, one], axis=1)


def cross_entropy(labels: Any, logits: Any, shares: Any) -> Any:
    """Cross-entropy of the mixture of the exits' answers, a scalar.

    Args:
        labels: Integers of shape `(batch,)`.
        logits: Shape `(batch, exits, classes)`.
        shares: What `weights` gave.
    """
    mixture = ops.sum(ops.softmax(logits) * shares[..., None], axis=1)
    truth = ops.one_hot(labels, logits.shape[-1], dtype=mixture.dtype)
    return -ops.mean(ops.log(ops.sum(mixture * truth, axis=-1) + 1e-7))


def cost(shares: Any, macs: Sequence[int], limit: float) -> Any:
    """L_cost: how far the mixed MACs exceed a limit, a scalar, 0 if they do not.

    max(0, mixed MACs - limit) / (MACs of the last exit - limit), with mixed MACs
    averaged over the batch. A network that cannot exceed the limit has none.

    Args:
        shares: What `weights` gave.
        macs: MACs spent at each exit, counts.
        limit: Average MACs not to exceed, a count.
    """
    most = max(macs)
    if most <= limit:
        return ops.zeros((), shares.dtype)
    relative = ops.convert_to_tensor([m / most for m in macs], shares.dtype)
    mixed = ops.mean(ops.sum(shares * relative, axis=-1))
    return ops.maximum(mixed - limit / most, 0.0) / (1 - limit / most)


def peak(labels: Any, logits: Any, confidences: Any) -> Any:
    """L_peak: distance of confidences from what each exit is worth, a scalar.

    Mean squared error between the early exits' confidences and each exit's accuracy on
    the class of the sample. NACHOS takes the accuracies from a class-balanced support
    set; here they are the batch's, and its samples are weighted so that every class in
    it counts the same.

    Args:
        labels: Integers of shape `(batch,)`.
        logits: Shape `(batch, exits, classes)`.
        confidences: Shape `(batch, exits)`.
    """
    truth = ops.one_hot(labels, logits.shape[-1], dtype=confidences.dtype)
    count = ops.matmul(truth, ops.sum(truth, axis=0))  # of each sample's class
    right = ops.equal(ops.argmax(logits, -1), ops.cast(labels, "int32")[:, None])
    right = ops.cast(right, confidences.dtype)
    accuracy = ops.matmul(truth, ops.matmul(ops.transpose(truth), right))
    accuracy = ops.stop_gradient(accuracy / count[:, None])
    errors = ops.mean((confidences - accuracy)[:, :-1] ** 2, axis=-1)
    return ops.sum(errors / count) / ops.sum(1 / count)
