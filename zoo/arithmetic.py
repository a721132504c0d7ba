"""Counting by arithmetic: MACs and parameters of the parts that networks share.

A convention says what is counted. "standard" is what the literature means:
convolutions, depthwise convolutions, dense layers and the two matrix products of the
resize in a branch. "aebnas" is the accounting of the authors' tools; see `zoo.macs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

CONVENTIONS = ("standard", "aebnas")


class Convolution(NamedTuple):
    """A convolution's output height (and width), channels in and out, and kernel."""

    size: int
    inputs: int
    outputs: int
    kernel: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations, a count."""
        return self.size**2 * self.inputs * self.outputs * self.kernel**2

    @property
    def weights(self) -> int:
        """Weights of the kernel."""
        return self.inputs * self.outputs * self.kernel**2


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round to the nearest multiple of `divisor`, never more than 10 % below `value`.

    The channel rule of the MobileNet family (Sandler et al., CVPR 2018).
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def halved(size: int) -> int:
    """Output height of a convolution with stride 2 and 'same' padding."""
    return (size + 1) // 2


def mean_reductions(size: int, channels: int) -> int:
    """Elements that a mean over the height and then one over the width produce."""
    return channels * size + channels


def resize_products(channels: int, inputs: int, outputs: int) -> int:
    """MACs of a resize as two matrix products, rows first, then columns."""
    return channels * outputs * inputs * (inputs + outputs)


def pooled_head(
    channels: int, widths: Sequence[int], size: int, num_classes: int
) -> tuple[int, int]:
    """MACs and parameters of `zoo.layers.pooled_head`, by the standard convention."""
    wide, last = widths
    layers = (
        Convolution(size, channels, wide),
        Convolution(1, wide, last),
        Convolution(1, last, num_classes),
    )
    parameters = sum(layer.weights for layer in layers) + 2 * wide + num_classes
    return sum(layer.macs for layer in layers), parameters
