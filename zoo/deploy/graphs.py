"""The segments of a network as graphs that a converter takes, for TensorFlow.

Some layers are written in operations that runtimes compute faster, or can compute at
all, with the same results but for rounding; see `REWRITES` and `INT8_REWRITES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from zoo import backends, graph
from zoo.deploy.manifest import Resize
from zoo.inference import Segments
from zoo.layers import BicubicResize, FitResolution
from zoo.model import EarlyExitModel
from zoo.runtime import resize_matrix

TAPS = 25  # of the largest depthwise kernel for which XNNPACK has fast code


@dataclass(frozen=True)
class Cut:
    """A network cut into segments.

    Attributes:
        segments: Keras models, one per exit in use; see `zoo.inference.Segments`.
        exits: Index of the exit that each ends at.
        shapes: Shape of what each takes, without the batch.
        resize: What has to be done to images before the first; None: nothing.
    """

    segments: tuple[keras.Model, ...]
    exits: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    resize: Resize | None


def cut(model: EarlyExitModel, size: Sequence[int] | None = None) -> Cut:
    """Cut a network at its exits in use, after the resize if it begins with one.

    Args:
        model: The network.
        size: Height and width of the images, for a network that takes any size and
            does not resize them.

    Raises:
        ValueError: The size is needed and not given, or the network does not compute
            in single precision.
    """
    start, resize = after_resize(model)
    found = Segments(start, model.exit_features, model.exit_logits, model.thresholds)
    shape = tuple(start.shape[1:])
    if None in shape:
        if size is None:
            raise ValueError(
                f"{model.name} takes images of any size; pass images of the size that "
                "the exported network shall have."
            )
        shape = (*size, shape[-1])
    shapes = []
    for segment in found.models:
        shapes.append(shape)
        outputs = segment.compute_output_shape((None, *shape))
        shape = tuple(outputs[-1][1:]) if len(segment.outputs) > 1 else shape
        kinds = {tensor.dtype for tensor in (*segment.inputs, *segment.outputs)}
        if kinds - {"float32", "uint8"}:
            raise ValueError(
                f"{model.name} computes in {', '.join(sorted(kinds))}; expected "
                "float32: build it with that dtype policy, and load its weights."
            )
    return Cut(tuple(found.models), tuple(found.exits), tuple(shapes), resize)


def after_resize(model: EarlyExitModel) -> tuple[Any, Resize | None]:
    """The symbolic tensor after a network's first layer if that resizes images.

    Returns:
        The tensor, and what the resize does; else the network's input, and None.
    """
    images = model.inputs[0]
    first = [layer for layer in model.layers if isinstance(layer, FitResolution)]
    for layer in first:
        node = backends.call_of(layer.output)
        if len(first) == 1 and node.inputs[0] is images:
            return layer.output, Resize(layer.side, layer.resolution)
    return images, None


def of_fixed_size(
    model: EarlyExitModel, signature: Sequence[Any] | None
) -> tuple[keras.Model, list[keras.InputSpec]]:
    """A network that shares the model's layers, for images of one size.

    A resize at its beginning is done by matrix products, which there are everywhere.

    Args:
        model: The network.
        signature: One specification of the input, with a height and a width; None: the
            size of the network.

    Returns:
        The network, and the specification of its input.

    Raises:
        ValueError: The size is not known.
    """
    start, resize = after_resize(model)
    shape = tuple(model.inputs[0].shape)
    if resize is not None:
        shape = (None, resize.side, resize.side, 3)
    given, dtype = None, "float32"
    if signature is not None:
        (given,) = keras.tree.flatten(signature)
        shape, dtype = tuple(given.shape), given.dtype
    if len(shape) != 4 or None in shape[1:]:
        raise ValueError(
            f"The input has the shape {shape}; expected a height and a width. Set them "
            "with input_signature=[keras.InputSpec(shape=(None, 64, 64, 3), "
            'dtype="float32")].'
        )
    specification = keras.InputSpec(shape=shape, dtype=dtype, name="images")
    if resize is None:
        return model, [specification]
    images = x = keras.Input(batch_shape=shape, dtype=dtype, name="images")
    x = ops.cast(x, start.dtype)
    _, height, width, _ = shape
    if (height, width) != (resize.kept, resize.kept):
        sides = (resize.side, resize.kept)
        rows, columns = (resize_matrix(n, *sides) for n in (height, width))
        x = ops.matmul(rows, ops.reshape(x, (-1, height, width * 3)))
        x = ops.matmul(columns, ops.reshape(x, (-1, width, 3)))
        x = ops.reshape(x, (-1, *start.shape[1:]))
    rest = keras.Model(start, model.outputs[0])
    return keras.Model(images, rest(x), name=model.name), [specification]


Rewrite = Callable[..., Any]


def function(
    segment: keras.Model,
    shape: Sequence[int],
    rewrites: Iterable[Rewrite],
    kept: frozenset[str] = frozenset(),
):
    """A segment as a function of TensorFlow, its weights constants.

    Args:
        segment: One of `Cut.segments`.
        shape: Of its input, without the batch.
        rewrites: Functions of a layer and its arguments, which return its outputs, or
            None to leave the layer as it is. Where `norm` is given, the outputs are
            those of that batch normalisation, which follows the layer.
        kept: Names of layers that stay in single precision: for them there is only
            `REWRITES`.

    Returns:
        A `tf.function` that gives logits and, except for the last segment, features.
    """
    import tensorflow as tf

    values = [(v, v.numpy()) for v in segment.variables]
    norms, done = _norms(segment), set()

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer in done:
            return args[0]
        norm = norms.get(layer)
        for rewrite in REWRITES if layer.name in kept else rewrites:
            with tf.name_scope(layer.name):
                outputs = rewrite(layer, *args, norm=norm)
            if outputs is not None:
                if norm is not None:
                    done.add(norm)
                return outputs
        return layer(*args, **kwargs)

    def forward(x):
        constants = [(v, tf.constant(value)) for v, value in values]
        start, (logits, *features) = segment.inputs[0], segment.outputs
        with keras.StatelessScope(constants):
            passed = []
            if features:
                x = graph.replay(start, features[0], x, call)
                start, passed = features[0], [x]
            return [graph.replay(start, logits, x, call), *passed]

    # Plain Python all of it: tracing takes half the time without autograph.
    signature = [tf.TensorSpec((None, *shape))]
    return tf.function(forward, input_signature=signature, autograph=False)


def _norms(segment: keras.Model) -> dict[Any, Any]:
    """The batch normalisation after each linear depthwise convolution without bias."""
    found: dict[Any, Any] = {}
    for output in segment.outputs:
        for node in backends.nodes(output, segment.inputs[0]):
            layer = node.operation
            if isinstance(layer, layers.BatchNormalization):
                before = backends.call_of(node.inputs[0]).operation
                linear = isinstance(before, layers.DepthwiseConv2D) and (
                    backends.name_of_activation(before) == "linear"
                )
                if linear and not before.use_bias:
                    found[before] = layer
    return found


def split_depthwise(layer: Any, x: Any, *_: Any, norm: Any = None) -> Any:
    """A depthwise convolution with a large kernel as the sum of smaller ones.

    XNNPACK takes five times as long for a 7x7 kernel, in 8 bits twenty times. What of
    the kernel only ever meets padding is left out.
    """
    import tensorflow as tf

    if not isinstance(layer, layers.DepthwiseConv2D) or None in x.shape[1:]:
        return None
    plain = layer.data_format == "channels_last" and max(layer.dilation_rate) == 1
    if not plain or math.prod(layer.kernel_size) <= TAPS:
        return None
    same = layer.padding == "same"
    sizes = zip(x.shape[1:3], layer.kernel_size, layer.strides)
    rows, columns = (_Axis.of(*each, same) for each in sizes)
    padding = [(0, 0), (rows.before, rows.after), (columns.before, columns.after)]
    x = tf.pad(x, [*padding, (0, 0)])[:, :, columns.seen(columns.first, columns.last)]
    kernel, strides = ops.convert_to_tensor(layer.kernel), (1, *layer.strides, 1)
    kernel = kernel[:, columns.first : columns.last]
    bias = ops.convert_to_tensor(layer.bias) if layer.use_bias else None
    if norm is not None:
        scale = ops.rsqrt(norm.moving_variance + norm.epsilon)
        scale = scale * norm.gamma if norm.scale else scale
        kernel = kernel * scale[:, None]
        bias = (norm.beta if norm.center else 0) - norm.moving_mean * scale
    step = max(TAPS // kernel.shape[1], 1)
    parts = []
    for top in range(rows.first, rows.last, step):
        bottom = min(top + step, rows.last)
        part = x[:, rows.seen(top, bottom)]
        parts.append(tf.nn.depthwise_conv2d(part, kernel[top:bottom], strides, "VALID"))
    if bias is not None:
        parts[0] = parts[0] + bias  # which converters make part of the convolution
    return layer.activation(sum(parts[1:], parts[0]))


@dataclass(frozen=True)
class _Axis:
    """One axis of a convolution that needs part of its kernel alone.

    Attributes:
        first: The first tap that meets more than padding.
        last: The one after the last such tap.
        before: Padding before the input that these taps need.
        after: Padding after it.
        offset: Where the kernel's first tap lies at the first output.
        reach: From the first output to the one after the last, in the input.
    """

    first: int
    last: int
    before: int
    after: int
    offset: int
    reach: int

    @classmethod
    def of(cls, length: int, kernel: int, stride: int, same: bool) -> _Axis:
        outputs = -(-length // stride) if same else (length - kernel) // stride + 1
        reach = (outputs - 1) * stride
        offset = -(max(reach + kernel - length, 0) // 2) if same else 0
        taps = [
            tap
            for tap in range(kernel)
            if any(
                0 <= offset + place + tap < length
                for place in range(0, reach + 1, stride)
            )
        ]
        first, last = taps[0], taps[-1] + 1
        before = max(0, -(offset + first))
        after = max(0, offset + reach + last - length)
        return cls(first, last, before, after, offset, reach)

    def seen(self, first: int, last: int) -> slice:
        """What some of the taps see of the padded input."""
        start = self.before + self.offset + first
        return slice(start, start + self.reach + last - first)


def flatten(layer: Any, x: Any, *_: Any, norm: Any = None) -> Any:
    """A flatten layer without looking at the number of images."""
    if not isinstance(layer, layers.Flatten) or None in x.shape[1:]:
        return None
    return ops.reshape(x, (-1, int(np.prod(x.shape[1:]))))


def dense_resize(layer: Any, x: Any, *_: Any, norm: Any = None) -> Any:
    """The bicubic resize as two dense layers, which there are in 8 bits."""
    if not isinstance(layer, BicubicResize):
        return None
    _, height, width, channels = x.shape
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2)), (-1, width))
    x = ops.matmul(x, layer._columns.T)
    x = ops.reshape(x, (-1, height, channels, layer.size))
    x = ops.reshape(ops.transpose(x, (0, 3, 2, 1)), (-1, height))
    x = ops.matmul(x, layer._rows.T)
    x = ops.reshape(x, (-1, layer.size, channels, layer.size))
    return ops.transpose(x, (0, 3, 1, 2))


def hard_swish(layer: Any, *inputs: Any, norm: Any = None) -> Any:
    """Hard-swish in steps that there are in 8 bits; converters know the usual ones."""
    x = _before(layer, keras.activations.hard_swish, inputs)
    return None if x is None else ops.multiply(x / 6, ops.relu6(x + 3))


def gelu(layer: Any, *inputs: Any, norm: Any = None) -> Any:
    """GELU by the error function; ONNX lacks the complement that TensorFlow takes."""
    x = _before(layer, keras.activations.gelu, inputs)
    return None if x is None else 0.5 * x * (1 + ops.erf(x / math.sqrt(2)))


def _before(layer: Any, activation: Callable, inputs: Sequence[Any]) -> Any:
    """What a layer gives before its activation; None if it has another one."""
    if getattr(layer, "activation", None) is not activation:
        return None
    layer.activation = keras.activations.linear
    try:
        return layer(*inputs)
    finally:
        layer.activation = activation


REWRITES: tuple[Rewrite, ...] = (split_depthwise, flatten)
INT8_REWRITES: tuple[Rewrite, ...] = (*REWRITES, dense_resize, hard_swish)
