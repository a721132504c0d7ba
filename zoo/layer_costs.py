"""MACs of single Keras layers, from the shapes that go in and come out.

`zoo.cost.count` adds them up over a network. A rule for a layer of your own:

    @zoo.layer_costs.rule(MyLayer)
    def my_layer(layer, inputs, outputs):
        return math.prod(layer.kernel.shape)  # MACs for one image
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from keras import layers

from zoo.backends import Node
from zoo.layers import BicubicResize, PositionEmbedding

Shape: TypeAlias = tuple[int | None, ...]  # with the batch
Rule: TypeAlias = Callable[[Any, Sequence[Shape], Sequence[Shape]], int]

_RULES: dict[type, Rule] = {}
# Operations and layers that Keras uses in graphs but does not export as classes.
_BY_NAME: dict[str, Rule] = {}
_FREE = (
    layers.BatchNormalization,
    layers.Embedding,
    layers.GroupNormalization,
    layers.LayerNormalization,
    layers.Normalization,
    layers.PReLU,
    layers.RMSNormalization,
    PositionEmbedding,
)


def rule(*kinds: type | str) -> Callable[[Rule], Rule]:
    """Decorator for the function that counts the MACs of kinds of layers.

    Args:
        *kinds: Classes; derived ones are counted alike unless they have their own rule.
            The name of a class stands for one that cannot be imported.

    The function gets the layer, the shapes of its inputs and those of its outputs, both
    with the batch, and returns the MACs for one image, a count.
    """

    def add(function: Rule) -> Rule:
        for kind in kinds:
            (_BY_NAME if isinstance(kind, str) else _RULES)[kind] = function
        return function

    return add


class UnknownSizeError(ValueError):
    """A layer's MACs are not known because it takes images of any size."""


def node_macs(node: Node) -> int:
    """MACs of one call of a layer for one image, a count.

    Raises:
        TypeError: The layer has weights, and there is no rule for its kind.
        UnknownSizeError: It takes images of any size.
    """
    layer = node.operation
    found = _find(layer)
    if found is None:
        if getattr(layer, "weights", ()):
            raise TypeError(
                f"The MACs of {layer.name!r}, a {type(layer).__name__}, are not known; "
                "expected a kind of layer that has a rule, see zoo.layer_costs.rule."
            )
        return 0
    inputs = [tuple(tensor.shape) for tensor in node.inputs]
    outputs = [tuple(tensor.shape) for tensor in node.outputs]
    if any(None in shape[1:] for shape in (*inputs, *outputs)):
        raise UnknownSizeError(
            f"{layer.name!r} takes images of any size, so its MACs are not known; "
            "expected a fixed height and width, as resolution sets it in zoo.attach."
        )
    return int(found(layer, inputs, outputs))


def _find(layer: Any) -> Rule | None:
    for kind in type(layer).__mro__:
        found = _RULES.get(kind) or _BY_NAME.get(kind.__name__)
        if found is not None:
            return found
    return None


@rule(*_FREE, "LayerScale")
def _free(*_: Any) -> int:
    """Work for each element, which the literature does not count."""
    return 0


@rule(
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
)
def _convolution(layer: Any, _: Any, outputs: Sequence[Shape]) -> int:
    return _positions(layer, outputs[0]) * math.prod(layer.kernel.shape)


@rule(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def _transposed(layer: Any, inputs: Sequence[Shape], _: Any) -> int:
    return _positions(layer, inputs[0]) * math.prod(layer.kernel.shape)


@rule(layers.SeparableConv1D, layers.SeparableConv2D)
def _separable(layer: Any, _: Any, outputs: Sequence[Shape]) -> int:
    kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
    each = sum(math.prod(kernel.shape) for kernel in kernels)
    return _positions(layer, outputs[0]) * each


def _positions(layer: Any, shape: Shape) -> int:
    """Places of a feature map: its height times its width."""
    first = layer.data_format == "channels_first"
    return math.prod(shape[2:] if first else shape[1:-1])


@rule(layers.Dense)
def _dense(layer: Any, inputs: Sequence[Shape], _: Any) -> int:
    return math.prod(inputs[0][1:-1]) * math.prod(layer.kernel.shape)


@rule(layers.EinsumDense)
def _einsum_dense(layer: Any, inputs: Sequence[Shape], _: Any) -> int:
    return _einsum(layer.equation, (inputs[0], tuple(layer.kernel.shape)))


@rule("Einsum")
def _einsum_operation(operation: Any, inputs: Sequence[Shape], _: Any) -> int:
    return _einsum(operation.subscripts, inputs)


def _einsum(equation: str, shapes: Sequence[Shape]) -> int:
    """The product of the sizes of all indices, the batch's left out."""
    sizes: dict[str, int] = {}
    for indices, shape in zip(equation.split("->")[0].split(","), shapes):
        indices = indices.strip()
        before, dots, after = indices.partition("...")
        middle = len(shape) - len(before) - len(after)
        names = [*before, *(f"...{k}" for k in range(middle) if dots), *after]
        sizes |= {n: s for n, s in zip(names, shape) if s is not None}
    return math.prod(sizes.values())


@rule("Matmul", layers.Dot)
def _products(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """A matrix product: every element of the result is a sum over one axis."""
    axes = getattr(layer, "axes", -1)
    axis = axes if isinstance(axes, int) else axes[0]
    return math.prod(outputs[0][1:]) * inputs[0][axis]


@rule(layers.MultiHeadAttention)
def _attention(layer: Any, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
    """Four projections, the scores, and the sums weighted by them."""
    query, value, *more = inputs if len(inputs) > 1 else (inputs[0], inputs[0])
    key = more[0] if more else value
    queries, values = math.prod(query[1:-1]), math.prod(value[1:-1])
    keys_width = layer.num_heads * layer.key_dim
    values_width = layer.num_heads * (layer.value_dim or layer.key_dim)
    projections = (
        queries * query[-1] * keys_width
        + values * key[-1] * keys_width
        + values * value[-1] * values_width
        + queries * values_width * outputs[0][-1]
    )
    return projections + queries * values * (keys_width + values_width)


@rule(BicubicResize)
def _resize(layer: Any, inputs: Sequence[Shape], _: Any) -> int:
    _, height, width, channels = inputs[0]
    return channels * layer.size * width * (height + layer.size)
