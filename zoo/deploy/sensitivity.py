"""Which layers of a segment do not bear 8 bits, found by rounding one at a time.

A runtime has one scale for a whole feature map. Where a few channels are many times as
large as the others, such as after the first convolution of a network, little is left of
the small ones. Those layers stay in single precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from zoo import backends
from zoo.backends import Node

TOLERANCE = 0.02  # error of logits or features, relative to their standard deviation
IMAGES = 128


def float_layers(segment: keras.Model, features: np.ndarray) -> frozenset[str]:
    """Names of the layers to keep in single precision.

    Args:
        segment: One of `zoo.deploy.graphs.Cut.segments`.
        features: What it takes, of images to calibrate with.

    Returns:
        The layers that give or take a feature map whose rounding to 8 bits, alone,
        changes logits or features by more than `TOLERANCE`.
    """
    walk = _Walk(segment)
    values = walk.forward({id(segment.inputs[0]): features[:IMAGES]})
    found: set[str] = set()
    for place, node in enumerate(walk.nodes):
        if walk.fused_into(node) is not None or walk.error(place, values) <= TOLERANCE:
            continue
        found |= set(walk.producers(node))
        for consumer in walk.consumers(node):
            found |= set(walk.chain(consumer))
    return frozenset(found)


class _Walk:
    """The operations of a segment, and which of them a converter fuses."""

    def __init__(self, segment: keras.Model) -> None:
        self.start, self.outputs = segment.inputs[0], segment.outputs
        known: dict[int, Node] = {}
        for output in reversed(self.outputs):
            for node in backends.nodes(output, self.start):
                known.setdefault(id(node.outputs[0]), node)
        self.made_by, self.nodes = known, list(known.values())
        self.taken_by: dict[int, list[Node]] = {}
        for node in self.nodes:
            for tensor in node.inputs:
                self.taken_by.setdefault(id(tensor), []).append(node)

    def forward(self, values: dict[int, Any], start: int = 0) -> dict[int, Any]:
        """Values of all tensors, computed from a place in the list of nodes on."""
        values = dict(values)
        for node in self.nodes[start:]:
            args, kwargs = node.again(values)
            outputs = keras.tree.flatten(node.operation(*args, **kwargs))
            values |= {id(old): new for old, new in zip(node.outputs, outputs)}
        return values

    def error(self, place: int, values: dict[int, Any]) -> float:
        """Relative error of the outputs if one tensor is rounded to 8 bits."""
        tensor = id(self.nodes[place].outputs[0])
        y = ops.convert_to_numpy(values[tensor])
        low, high = min(float(y.min()), 0.0), max(float(y.max()), 0.0)
        if y.dtype.kind != "f" or high == low:
            return 0.0
        scale = (high - low) / 255
        rounded = (np.round(y / scale) * scale).astype(y.dtype)
        changed = self.forward(
            values | {tensor: ops.convert_to_tensor(rounded)}, place + 1
        )
        errors = []
        for output in self.outputs:
            before, after = (
                ops.convert_to_numpy(each[id(output)]) for each in (values, changed)
            )
            spread = float(before.std()) or 1.0
            errors.append(float(np.sqrt(np.mean((after - before) ** 2))) / spread)
        return max(errors)

    def consumers(self, node: Node) -> Sequence[Node]:
        """The operations that take what one gives."""
        return self.taken_by.get(id(node.outputs[0]), [])

    def fused_into(self, node: Node) -> Node | None:
        """The normalisation or ReLU that a converter makes one with an operation."""
        taken = self.consumers(node)
        if len(taken) != 1:
            return None
        layer = taken[0].operation
        relu = isinstance(layer, (layers.Activation, layers.ReLU)) and (
            isinstance(layer, layers.ReLU)
            or backends.name_of_activation(layer) in ("relu", "relu6")
        )
        return taken[0] if relu or _normalises(layer) else None

    def chain(self, node: Node) -> list[str]:
        """Names of an operation and of those that it is fused into."""
        names = [node.operation.name]
        while (following := self.fused_into(node)) is not None:
            node = following
            names.append(node.operation.name)
        return names

    def producers(self, node: Node) -> list[str]:
        """Names of an operation and of those that are fused into it."""
        names = [node.operation.name]
        while len(node.inputs) == 1:
            before = self.made_by.get(id(node.inputs[0]))
            if before is None or self.fused_into(before) is not node:
                break
            node = before
            names.append(node.operation.name)
        return names


def _normalises(layer: Any) -> bool:
    return isinstance(layer, layers.BatchNormalization)
