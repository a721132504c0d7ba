"""Multiply-accumulate operations (MACs) and parameters, counted in two ways.

`macs` is pure arithmetic on an `Architecture`; `count` walks the layers of a built
Keras model. They share no code, so that each checks the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from zoo.architecture import (
    HEAD_CHANNELS,
    STAGE_KINDS,
    STEM_CHANNELS,
    Architecture,
    Branch,
    FixedBranch,
    StageKind,
    make_divisible,
)

CONVENTIONS = ("standard", "aebnas")


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
        """MACs spent by a sample that leaves at each exit, every branch being run."""
        return self.per_exit_with((True,) * len(self.branches))

    def per_exit_with(self, active: Sequence[bool]) -> tuple[int, ...]:
        """Like `per_exit`, with only the `active` branches being run."""
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
        """Like `per_exit`, without the branches whose threshold of 1 is off."""
        return self.per_exit_with([threshold < 1 for threshold in thresholds])


class _Conv(NamedTuple):
    """A convolution's output height (and width), channels in and out, and kernel."""

    size: int
    inputs: int
    outputs: int
    kernel: int = 1

    @property
    def macs(self) -> int:
        return self.size**2 * self.inputs * self.outputs * self.kernel**2

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs * self.kernel**2


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
        ValueError: The convention is unknown, or there are fewer than two classes.

    Reference:
        The rules of "aebnas" were established on the authors' published archive
        (arXiv 2512.10671).
    """
    if convention not in CONVENTIONS:
        raise ValueError(
            f"convention is {convention!r}; expected {', '.join(CONVENTIONS)}."
        )
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}; expected 2 or more.")
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
            size = _halved(size) if stride == 2 else size
            channels = kind.channels
        branch = (*architecture.branches, None)[position]
        if branch is not None:
            branch_macs, branch_parameters = _branch(
                branch, channels, size, num_classes, theirs
            )
            backbone.append(total)
            branches.append(branch_macs)
            parameters += branch_parameters
    head_macs, head_parameters = _head(channels, size, num_classes, theirs)
    backbone.append(total + head_macs)
    return Cost(tuple(backbone), tuple(branches), parameters + head_parameters)


def _halved(size: int) -> int:
    """Output height of a convolution with stride 2 and 'same' padding."""
    return (size + 1) // 2


def _pooling(size: int, channels: int, theirs: bool) -> int:
    """Elements that a mean over the height and one over the width produce."""
    return channels * size + channels if theirs else 0


@cache
def _stem(resolution: int, theirs: bool) -> tuple[int, int, int]:
    """MACs, parameters and output size of the stem and the first block."""
    size, channels = _halved(resolution), STEM_CHANNELS
    convolution = _Conv(size, 3, channels, 3)
    depthwise = _Conv(size, 1, channels, 3)
    projection = _Conv(size, channels, channels)
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
    out_size = _halved(size) if stride == 2 else size
    expand = _Conv(size, inputs, middle)
    depthwise = _Conv(out_size, 1, middle, kernel)
    project = _Conv(out_size, middle, kind.channels)
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
        total += 2 * middle * reduced + _pooling(out_size, middle, theirs)
        total += middle * out_size**2 if theirs else 0
        parameters += 2 * middle * reduced + middle + reduced
    return total, parameters


@cache
def _branch(
    branch: Branch | FixedBranch,
    channels: int,
    size: int,
    num_classes: int,
    theirs: bool,
) -> tuple[int, int]:
    """MACs and parameters of an exit branch on a `size` x `size` feature map."""
    if isinstance(branch, FixedBranch):
        return _classifier(
            channels, (6 * channels, 8 * channels), size, num_classes, theirs=False
        )
    total = parameters = 0
    for module in branch.modules:
        if not theirs:  # rows first (s x h), then columns (s x w), for every channel
            total += channels * module.size * size * (size + module.size)
        outputs = channels * module.expansion
        convolution = _Conv(module.convolved_size, channels, outputs, module.kernel)
        total += convolution.macs
        parameters += convolution.weights + 3 * outputs
        channels, size = outputs, module.output_size
    return (
        total + channels * num_classes,
        parameters + channels * num_classes + num_classes,
    )


@cache
def _head(channels: int, size: int, num_classes: int, theirs: bool) -> tuple[int, int]:
    return _classifier(channels, HEAD_CHANNELS, size, num_classes, theirs)


def _classifier(
    channels: int, widths: tuple[int, int], size: int, num_classes: int, theirs: bool
) -> tuple[int, int]:
    """1x1 convolution, global pooling, 1x1 convolution, dense classifier."""
    wide, last = widths
    layers = (
        _Conv(size, channels, wide),
        _Conv(1, wide, last),
        _Conv(1, last, num_classes),
    )
    total = sum(layer.macs for layer in layers)
    if theirs:
        total += wide * size**2 + _pooling(size, wide, theirs) + last
    return total, sum(layer.weights for layer in layers) + 2 * wide + num_classes


def count(model) -> Cost:
    """Count the MACs of a built `EarlyExitClassifier` by walking its layers.

    Follows the standard convention from the shapes of weights and outputs alone, as an
    independent check of `macs`.

    Args:
        model: The Keras model.

    Raises:
        TypeError: A layer has weights of a kind that is not known here.
    """
    # Here, so that counting by arithmetic needs no Keras.
    import keras

    from zoo.layers import BicubicResize

    def layer_macs(layer) -> int:
        if isinstance(layer, BicubicResize):
            _, height, width, channels = layer.input.shape
            return channels * layer.size * width * (height + layer.size)
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)):
            _, height, width, _ = layer.output.shape
            return height * width * math.prod(layer.kernel.shape)
        if isinstance(layer, keras.layers.Dense):
            return math.prod(layer.kernel.shape)
        if layer.weights and not isinstance(layer, keras.layers.BatchNormalization):
            raise TypeError(f"{layer.name} is a {type(layer).__name__}.")
        return 0

    def between(inputs, outputs) -> int:
        return sum(map(layer_macs, keras.Model(inputs, outputs).layers))

    *branch_logits, final_logits = model.exit_logits
    images = model.inputs[0]
    return Cost(
        tuple(between(images, x) for x in (*model.exit_features, final_logits)),
        tuple(map(between, model.exit_features, branch_logits)),
        sum(math.prod(w.shape) for w in model.trainable_weights),
    )
