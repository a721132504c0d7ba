"""Depthwise convolution whose gradient is fast on small feature maps.

TensorFlow's CPU kernel for the gradient of the filters (oneDNN, 2.21) visits every tap
of a 7x7 filter even on a map of one pixel: 41 ms there for 960 channels and a batch of
128, nearly half of a training step. Here it is 1 ms.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

# Up to this many pairs of an input and an output pixel, the products of all pairs are
# faster; for 3x3 filters and for larger ones. Measured.
MOST_PAIRS = 16 * 16
MOST_PAIRS_OF_LARGE_FILTERS = 256 * 64


def depthwise(x: Any, filters: Any, stride: int) -> Any:
    """Depthwise convolution with "same" padding.

    Args:
        x: Shape `(batch, height, width, channels)`.
        filters: Shape `(kernel, kernel, channels, 1)`.
        stride: Of both axes.
    """
    filters = tf.convert_to_tensor(filters)  # the gradient is not for a variable

    @tf.custom_gradient
    def run(x: Any, filters: Any) -> tuple[Any, Any]:
        outputs = tf.raw_ops.DepthwiseConv2dNative(
            input=x, filter=filters, strides=_strides(stride), padding="SAME"
        )

        def gradient(upstream: Any) -> tuple[Any, Any]:
            to_inputs = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.shape(x),
                filter=filters,
                out_backprop=upstream,
                strides=_strides(stride),
                padding="SAME",
            )
            return to_inputs, filter_gradient(x, upstream, tf.shape(filters), stride)

        return outputs, gradient

    outputs = run(x, filters)
    if not tf.executing_eagerly():
        _forget_gradient()
    return outputs


def _forget_gradient() -> None:
    """Leave nothing of the last custom gradient behind, where nobody looks for it.

    TensorFlow registers it for good, and with it the whole graph, about 100 MB for
    every network that a process trains. A tape does not look there, but what
    differentiates the branches of `tf.cond` does.
    """
    if tf.compat.v1.get_default_graph().is_control_flow_graph:
        return
    registered = ops.gradient_registry._registry
    last = next(reversed(registered))
    if last.startswith("CustomGradient"):
        del registered[last]


def filter_gradient(x: Any, upstream: Any, shape: Any, stride: int) -> Any:
    """Gradient of the filters, by whichever way is faster for this size.

    Args:
        x: Input of the convolution, `(batch, height, width, channels)`.
        upstream: Gradient of its output.
        shape: Of the filters, four integers.
        stride: Of both axes.
    """
    pairs = tf.reduce_prod(tf.shape(x)[1:3]) * tf.reduce_prod(tf.shape(upstream)[1:3])
    most = tf.where(shape[0] > 3, MOST_PAIRS_OF_LARGE_FILTERS, MOST_PAIRS)

    def by_kernel() -> Any:
        return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=x,
            filter_sizes=shape,
            out_backprop=upstream,
            strides=_strides(stride),
            padding="SAME",
        )

    few = tf.get_static_value(pairs <= most)
    if few is not None:
        return by_pairs(x, upstream, shape, stride) if few else by_kernel()
    return tf.cond(
        pairs <= most, lambda: by_pairs(x, upstream, shape, stride), by_kernel
    )


def by_pairs(x: Any, upstream: Any, shape: Any, stride: int) -> Any:
    """Gradient of the filters from the products of all pairs of pixels.

    Every pair of an input pixel and an output pixel belongs to one tap, or to none.
    """
    given, made = tf.shape(x), tf.shape(upstream)
    channels, pixels, places = given[3], given[1] * given[2], made[1] * made[2]
    x = tf.transpose(tf.reshape(x, (-1, pixels, channels)), (2, 1, 0))
    upstream = tf.transpose(tf.reshape(upstream, (-1, places, channels)), (2, 1, 0))
    products = tf.matmul(x, upstream, transpose_b=True)
    rows, columns = (
        _taps(given[axis], made[axis], shape[axis - 1], stride) for axis in (1, 2)
    )
    taps = tf.transpose(tf.tensordot(rows, columns, 0), (2, 5, 0, 3, 1, 4))
    taps = tf.reshape(taps, (shape[0] * shape[1], pixels * places))
    products = tf.reshape(products, (channels, pixels * places))
    return tf.reshape(tf.matmul(taps, products, transpose_b=True), shape)


def _taps(inputs: Any, outputs: Any, kernel: Any, stride: int) -> Any:
    """Which tap joins two pixels along an axis: 0 or 1, `(inputs, outputs, kernel)`."""
    before = tf.maximum((outputs - 1) * stride + kernel - inputs, 0) // 2
    tap = tf.range(inputs)[:, None] - stride * tf.range(outputs)[None] + before
    return tf.one_hot(tap, kernel)


def _strides(stride: int) -> tuple[int, int, int, int]:
    return (1, stride, stride, 1)
