"""Multiply-accumulate operations (MACs) and parameters, counted in two ways.

`macs` is pure arithmetic on an `Architecture`; `count` walks the layers of a built
Keras model. They share no code, so that each checks the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from zoo import arithmetic
from zoo.architecture import (
    HEAD_CHANNELS,
    STAGE_KINDS,
    STEM_CHANNELS,
    Architecture,
    StageKind,
)
from zoo.arithmetic import CONVENTIONS, Convolution, halved, make_divisible
from zoo.checks import whole_number
from zoo.heads import Head


@dataclass(frozen=True)
class Cost:
    """What a network computes for one image. All MACs are counts, not millions.

    Attributes:
        backbone: MACs of the backbone up to each exit, the final one last. Branches
            are not in it.
        branches: MACs of each branch, first exit first; one entry less.
        parameters: Trainable parameters of the whole network.
    """

    backbone: tuple[int, ...]
    branches: tuple[int, ...]
    parameters: int

    @property
    def per_exit(self) -> tuple[int, ...]:
        """MACs spent by a sample that leaves at each exit if every branch is run."""
        return self.per_exit_with((True,) * len(self.branches))

    def per_exit_with(self, active: Sequence[bool]) -> tuple[int, ...]:
        """Like `per_exit`, if only the `active` branches are run."""
        if len(active) != len(self.branches):
            raise ValueError(
                f"active has {len(active)} entries; the network has "
                f"{len(self.branches)} exit branches."
            )
        spent, total = 0, []
        for prefix, branch, on in zip(
            self.backbone, (*self.branches, 0), (*active, True)
        ):
            spent += branch if on else 0
            total.append(prefix + spent)
        return tuple(total)

    def per_exit_at(self, thresholds: Sequence[float]) -> tuple[int, ...]:
        """Like `per_exit`, without the branches that a threshold of 1 switches off."""
        return self.per_exit_with([threshold < 1 for threshold in thresholds])


def check_convention(convention: str) -> None:
    """Raise unless there is such a convention for counting MACs.

    Raises:
        ValueError: There is none.
    """
    if convention not in CONVENTIONS:
        raise ValueError(
            f"convention is {convention!r}; choose from {', '.join(CONVENTIONS)}."
        )


def macs(
    architecture: Architecture, num_classes: int, convention: str = "standard"
) -> Cost:
    """Count the MACs and parameters of an architecture.

    Args:
        architecture: The network.
        num_classes: Number of outputs of every classifier.
        convention: "standard" is what the literature means: convolutions, depthwise
            convolutions, dense layers and the two matrix products of the resize in a
            branch. "aebnas" is the accounting of the authors' tools, which their
            published figures use. In the backbone: convolutions and dense layers, plus
            one per element for the multiplication in each hard-swish and in the
            squeeze-excite gating, plus the elements that the two successive mean
            reductions (height, then width) of squeeze-excite and of global pooling
            produce. In the branches: convolutions and dense layers.

    Returns:
        A `Cost`. Resizing the input image to the network's resolution is never counted.

    Raises:
        ValueError: The convention is unknown, or the number of classes is not a whole
            number from 2.
        TypeError: The network is no `Architecture`.

    Reference:
        The rules of "aebnas" were established on the authors' published archive
        (arXiv 2512.10671).
    """
    check_convention(convention)
    if not isinstance(architecture, Architecture):
        kind = type(architecture).__name__
        raise TypeError(f"architecture is a {kind}; expected a zoo.Architecture.")
    num_classes = whole_number("num_classes", num_classes, 2)
    theirs = convention == "aebnas"
    total, parameters, size = _stem(architecture.resolution, theirs)
    channels = STEM_CHANNELS
    backbone, branches = [], []
    for position, (stage, kind) in enumerate(zip(architecture.stages, STAGE_KINDS)):
        for i, block in enumerate(stage.blocks):
            stride = kind.stride if i == 0 else 1
            block_macs, block_parameters = _block(
                channels, kind, block.kernel, block.expansion, size, stride, theirs
            )
            total += block_macs
            parameters += block_parameters
            size = halved(size) if stride == 2 else size
            channels = kind.channels
        branch = (*architecture.branches, None)[position]
        if branch is not None:
            branch_macs, branch_parameters = _branch(
                branch, channels, size, num_classes, convention
            )
            backbone.append(total)
            branches.append(branch_macs)
            parameters += branch_parameters
    head_macs, head_parameters = _head(channels, size, num_classes, theirs)
    backbone.append(total + head_macs)
    return Cost(tuple(backbone), tuple(branches), parameters + head_parameters)


@cache
def _stem(resolution: int, theirs: bool) -> tuple[int, int, int]:
    """MACs, parameters and output size of the stem and the first block."""
    size, channels = halved(resolution), STEM_CHANNELS
    convolution = Convolution(size, 3, channels, 3)
    depthwise = Convolution(size, 1, channels, 3)
    projection = Convolution(size, channels, channels)
    layers = (convolution, depthwise, projection)
    hard_swish = size**2 * channels if theirs else 0
    return (
        sum(layer.macs for layer in layers) + hard_swish,
        sum(layer.weights + 2 * channels for layer in layers),
        size,
    )


@cache
def _block(
    inputs: int,
    kind: StageKind,
    kernel: int,
    expansion: int,
    size: int,
    stride: int,
    theirs: bool,
) -> tuple[int, int]:
    """MACs and parameters of an inverted-residual block on a `size` x `size` map."""
    middle = make_divisible(inputs * expansion)
    out_size = halved(size) if stride == 2 else size
    expand = Convolution(size, inputs, middle)
    depthwise = Convolution(out_size, 1, middle, kernel)
    project = Convolution(out_size, middle, kind.channels)
    total = expand.macs + depthwise.macs + project.macs
    parameters = (
        expand.weights
        + depthwise.weights
        + project.weights
        + 2 * (2 * middle + kind.channels)
    )
    if theirs and kind.activation == "hard_swish":
        total += middle * (size**2 + out_size**2)
    if kind.squeeze_excite:
        reduced = make_divisible(middle / 4)
        total += 2 * middle * reduced
        if theirs:
            total += arithmetic.mean_reductions(out_size, middle)
            total += middle * out_size**2
        parameters += 2 * middle * reduced + middle + reduced
    return total, parameters


@cache
def _branch(
    branch: Head, channels: int, size: int, num_classes: int, convention: str
) -> tuple[int, int]:
    """MACs and parameters of an exit branch on a `size` x `size` feature map."""
    return branch.cost(channels, size, num_classes, convention)


@cache
def _head(channels: int, size: int, num_classes: int, theirs: bool) -> tuple[int, int]:
    """MACs and parameters of the backbone's own classifier."""
    total, parameters = arithmetic.pooled_head(
        channels, HEAD_CHANNELS, size, num_classes
    )
    if theirs:
        wide, last = HEAD_CHANNELS
        total += wide * size**2 + arithmetic.mean_reductions(size, wide) + last
    return total, parameters


def count(model: Any) -> Cost:
    """Count the MACs of an early-exit model by walking its Keras layers.

    Follows the standard convention and uses only the shapes of weights and tensors: an
    independent check of `macs`, and a count for networks that no `Architecture`
    describes. `zoo.layer_costs` says how each kind of layer is counted.

    Args:
        model: A `zoo.EarlyExitModel`.

    Raises:
        TypeError: A layer has weights, and there is no rule for its kind.
        ValueError: The size of a tensor is not fixed.
    """
    *branch_logits, final_logits = model.exit_logits
    images = model.inputs[0]
    ends = (*model.exit_features, final_logits)
    return Cost(
        tuple(count_layers(images, end)[0] for end in ends),
        tuple(
            count_layers(features, logits)[0]
            for features, logits in zip(model.exit_features, branch_logits)
        ),
        sum(math.prod(weight.shape) for weight in model.trainable_weights),
    )


def count_layers(inputs: Any, outputs: Any) -> tuple[int, int]:
    """MACs (a count) and trainable parameters of the layers between two tensors.

    Args:
        inputs: Symbolic tensor at which to begin.
        outputs: Symbolic tensor that is computed from it.

    Raises:
        TypeError: A layer has weights, and there is no rule for its kind.
        ValueError: The size of a tensor is not fixed.
    """
    from zoo import backends  # here, so that counting by arithmetic needs no Keras
    from zoo.layer_costs import node_macs

    total, weights = 0, {}
    for node in backends.nodes(outputs, inputs):
        total += node_macs(node)
        for weight in getattr(node.operation, "trainable_weights", ()):
            weights[id(weight)] = math.prod(weight.shape)
    return total, sum(weights.values())
