"""The bicubic resize of an exit branch, from sizes known only in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from zoo.architecture import (
    RESOLUTIONS,
)
from zoo.heads import (
    BRANCH_KERNELS,
    BRANCH_SIZES,
)
from zoo.layers import bicubic_matrix


def resized(x: Any, size: Any, channels: Any) -> Any:
    """Bicubic resize, as `zoo.layers.BicubicResize`."""
    height, width = size_of(x)
    if all(isinstance(n, (int, np.integer)) for n in (size, height, width)):
        rows, columns = (
            _MATRICES[side, (size - 8) // 2, :size, :side] for side in (height, width)
        )
    else:
        table = tf.constant(_MATRICES)
        rows, columns = (
            table[side, (size - 8) // 2, :size, :side] for side in (height, width)
        )
    x = tf.matmul(rows, tf.reshape(x, (-1, height, width * channels)))
    x = tf.matmul(columns, tf.reshape(x, (-1, width, channels)))
    return tf.reshape(x, (-1, size, size, channels))


def resized_and_convolved(
    x: Any, filters: Any, size: Any, kernel: Any, inputs: Any, outputs: Any
) -> Any:
    """Bicubic resize and convolution of stride 2 as one dense layer.

    Both are linear, and the map is smaller than what it is resized to: from 2x2 pixels
    this is a sixth of the multiplications of resizing first, in large matrix products.
    """
    height, width = size_of(x)
    side = (size - kernel) // 2 + 1
    pixels, places = height * width, side * side
    taps = tf.constant(_TAPS)
    rows, columns = (
        taps[given, (size - 8) // 2, (kernel - 3) // 2, :side, :given, :kernel]
        for given in (height, width)
    )
    # Axes: place (row, column), pixel (row, column), tap (row, column).
    both = tf.transpose(tf.tensordot(rows, columns, 0), (0, 3, 1, 4, 2, 5))
    both = tf.reshape(both, (places * pixels, kernel * kernel))
    dense = tf.matmul(both, tf.reshape(filters, (kernel * kernel, inputs * outputs)))
    dense = tf.reshape(dense, (places, pixels * inputs, outputs))
    x = tf.matmul(tf.reshape(x, (1, -1, pixels * inputs)), dense)
    return tf.reshape(tf.transpose(x, (1, 0, 2)), (-1, side, side, outputs))


def size_of(x: Any) -> tuple[Any, Any]:
    """Height and width of a feature map, as integers where they are known."""
    return tuple(
        tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis] for axis in (1, 2)
    )


def _matrices() -> np.ndarray:
    """`bicubic_matrix` by input size and output size, padded with zeros."""
    largest = max(RESOLUTIONS)
    for _ in range(2):  # the stem and the first stage halve the image before an exit
        largest = (largest + 1) // 2
    shape = (largest + 1, len(BRANCH_SIZES), max(BRANCH_SIZES), largest)
    table = np.zeros(shape, np.float32)
    for inputs in range(1, largest + 1):
        for k, outputs in enumerate(BRANCH_SIZES):
            table[inputs, k, :outputs, :inputs] = bicubic_matrix(inputs, outputs)
    return table


def _taps() -> np.ndarray:
    """The rows of `_MATRICES` that every place of a convolution of stride 2 sees."""
    most = (BRANCH_SIZES[-1] - BRANCH_KERNELS[0]) // 2 + 1
    inputs = _MATRICES.shape[0]
    counts = (inputs, len(BRANCH_SIZES), len(BRANCH_KERNELS))
    table = np.zeros((*counts, most, inputs - 1, BRANCH_KERNELS[-1]), np.float32)
    for k, size in enumerate(BRANCH_SIZES):
        for j, kernel in enumerate(BRANCH_KERNELS):
            for place in range((size - kernel) // 2 + 1):
                seen = _MATRICES[:, k, 2 * place : 2 * place + kernel]
                table[:, k, j, place, :, :kernel] = seen.swapaxes(1, 2)
    return table


_MATRICES = _matrices()
_TAPS = _taps()
