"""Walking a functional Keras model: its operations, and where it can be cut."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from zoo import backends
from zoo.backends import Node


@dataclass(frozen=True)
class CutPoint:
    """A layer after which a network can be cut: one tensor is all that goes on.

    Attributes:
        layer: The layer's name.
        shape: Of the tensor, without the batch.
        macs: MACs spent up to there for one image, a count; None where the network
            takes images of any size.
        share: Those of the whole network's, 0..1, or None.
    """

    layer: str
    shape: tuple[int | None, ...]
    macs: int | None
    share: float | None


def cut_points(backbone: keras.Model) -> tuple[CutPoint, ...]:
    """The layers after which a network can be cut in two, first to last.

    The input layer and the last layer are among them. A nested model counts as the
    layers that it holds.

    Args:
        backbone: A functional or sequential model with one input and one output.

    Raises:
        ValueError: The model is not functional, or has several inputs or outputs.
        TypeError: The MACs of a layer are not known; see `zoo.layer_costs`.

    Example:
        >>> for point in zoo.cut_points(keras.applications.MobileNetV2()):
        ...     print(f"{point.share:6.1%}  {point.layer}")
    """
    check_functional(backbone)
    (images,), (output,) = backbone.inputs, backbone.outputs
    spent: int | None = 0
    found = [(backends.call_of(images).operation.name, images.shape[1:], spent)]
    for node, needed in crossings(images, output):
        if spent is not None:
            spent = _sum(spent, node)
        if len(needed) == 1:
            found.append((node.operation.name, needed[0].shape[1:], spent))
    return tuple(
        CutPoint(name, tuple(shape), macs, macs / spent if spent else None)
        for name, shape, macs in found
    )


def _sum(spent: int, node: Node) -> int | None:
    from zoo.layer_costs import UnknownSizeError, node_macs

    try:
        return spent + node_macs(node)
    except UnknownSizeError:
        return None


def check_functional(model: Any) -> None:
    """Raise unless a model is functional and has one input and one output.

    Raises:
        ValueError: It is not.
    """
    if not (backends.is_functional(model) and model.built):
        raise ValueError(
            f"{getattr(model, 'name', model)!r} is a {type(model).__name__}; expected "
            "a functional Keras model, such as keras.Model(inputs, outputs), or a "
            "Sequential model that is built."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{model.name!r} has {len(model.inputs)} inputs and {len(model.outputs)} "
            "outputs; expected one of each."
        )


def crossings(
    images: Any, output: Any, beside: tuple[Any, ...] = ()
) -> Iterator[tuple[Node, tuple[Any, ...]]]:
    """Every operation of a network, in order, and the tensors needed after it.

    Where a single tensor is needed does not depend on the order of operations that are
    independent: all that comes before such a place leads to the tensor, and all that
    comes after it begins there.

    Args:
        images: Symbolic input of the network.
        output: Symbolic output.
        beside: Tensors that are needed, too, where the network is part of another.
    """
    nodes = backends.nodes(output, images)
    uses = collections.Counter(id(t) for node in nodes for t in node.inputs)
    uses[id(output)] += 1
    needed = {id(images): images}
    for node in nodes:
        for tensor in node.inputs:
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                needed.pop(id(tensor), None)
        rest = beside + tuple(needed.values())
        needed |= {id(t): t for t in node.outputs if uses[id(t)]}
        if backends.is_functional(node.operation):
            (source,), (end,) = node.operation.inputs, node.operation.outputs
            yield from crossings(source, end, rest)
        else:
            yield node, beside + tuple(needed.values())


def _call(layer: Any, *args: Any, **kwargs: Any) -> Any:
    return layer(*args, **kwargs)


def apply(model: keras.Model, inputs: Any, call: Callable[..., Any] = _call) -> Any:
    """Apply the layers of a model, which it shares, to another tensor.

    Nested models are taken apart.

    Args:
        model: Functional or sequential, with one input and one output.
        inputs: The tensor, symbolic or not.
        call: What to do for each layer, given it and its arguments. Default: call it.
    """
    return replay(model.inputs[0], model.outputs[0], inputs, call)


def replay(start: Any, end: Any, inputs: Any, call: Callable[..., Any] = _call) -> Any:
    """Like `apply`, with the part of a network between two of its tensors."""
    made = {id(start): inputs}
    for node in backends.nodes(end, start):
        args, kwargs = node.again(made)
        layer = node.operation
        if backends.is_functional(layer):
            outputs = [apply(layer, args[0], call)]
        else:
            outputs = keras.tree.flatten(call(layer, *args, **kwargs))
        made |= {id(old): new for old, new in zip(node.outputs, outputs)}
    return made[id(end)]
