"""Shared weights cut to a sub-network, by integers or by tensors of integers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf


def depthwise_kernel(
    weights: Mapping[str, Any], name: str, kernel: Any, middle: Any
) -> Any:
    """The filters of a block: the centre of the next larger ones, transformed.

    Args:
        weights: The shared weights.
        name: Of the layer.
        kernel: 3, 5 or 7.
        middle: Channels.

    Returns:
        Shape `(kernel, kernel, middle, 1)`.

    Reference:
        Cai et al., Once-for-All, ICLR 2020, section 3.3.
    """
    seven = leading(weights[f"{name}/kernel"], middle, 1)

    def shrunk(larger: Any, size: int) -> Any:
        centre = tf.reshape(larger[1:-1, 1:-1], (size**2, middle))
        smaller = tf.matmul(weights[f"{name}/to{size}"], centre)
        return tf.reshape(smaller, (size, size, middle, 1))

    return case(
        (kernel - 3) // 2,
        [lambda: shrunk(shrunk(seven, 5), 3), lambda: shrunk(seven, 5), lambda: seven],
    )


def is_static(value: Any) -> bool:
    """Whether a choice is compiled in."""
    return isinstance(value, (int, bool, np.integer, np.bool_, np.ndarray))


def leading(weights: Any, *sizes: Any) -> Any:
    """The first entries along each of the last axes."""
    known = weights.shape[-len(sizes) :]
    if all(map(is_static, sizes)) and tuple(known) == tuple(map(int, sizes)):
        return weights
    return weights[(..., *(slice(None, size) for size in sizes))]


def case(index: Any, branches: list[Callable]) -> Any:
    """`branches[index]()`, chosen now for an integer, in the graph for a tensor."""
    if is_static(index):
        return branches[int(index)]()
    if len(branches) == 2:
        return tf.cond(tf.cast(index, tf.bool), branches[1], branches[0])
    return tf.switch_case(index, branches)
