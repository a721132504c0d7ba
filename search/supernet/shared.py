"""The shared weights: their names and shapes, and how they begin.

Names are those of the layers in `zoo.EarlyExitClassifier`, so that a sub-network's
weights are found by name and cut to shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from search.supernet.choices import BLOCKS, inputs_of
from zoo.architecture import (
    EXIT_POSITIONS,
    EXPANSIONS,
    HEAD_CHANNELS,
    KERNELS,
    STAGE_KINDS,
    STEM_CHANNELS,
)
from zoo.arithmetic import (
    make_divisible,
)
from zoo.heads import (
    BRANCH_EXPANSIONS,
    BRANCH_KERNELS,
)


def shapes(num_classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all shared weights, in the order of the network."""
    found: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, *shape: int) -> None:
        found[f"{name}/kernel"] = shape

    def normalisation(name: str, channels: int) -> None:
        found[f"{name}_bn/gamma"] = found[f"{name}_bn/beta"] = (channels,)

    def dense(name: str, inputs: int, outputs: int, *kernel: int) -> None:
        found[f"{name}/kernel"] = (*kernel, inputs, outputs)
        found[f"{name}/bias"] = (outputs,)

    def head(name: str, inputs: int, wide: int, last: int) -> None:
        convolution(f"{name}_conv", 1, 1, inputs, wide)
        normalisation(f"{name}_conv", wide)
        convolution(f"{name}_wide", 1, 1, wide, last)
        dense(f"{name}_classifier", last, num_classes)

    convolution("stem_conv", 3, 3, 3, STEM_CHANNELS)
    normalisation("stem", STEM_CHANNELS)
    convolution("first_depthwise", 3, 3, STEM_CHANNELS, 1)
    normalisation("first_depthwise", STEM_CHANNELS)
    convolution("first_project", 1, 1, STEM_CHANNELS, STEM_CHANNELS)
    normalisation("first_project", STEM_CHANNELS)
    for s, kind in enumerate(STAGE_KINDS):
        for b in range(BLOCKS):
            name, inputs = f"stage{s + 1}_block{b + 1}", inputs_of(s, b)
            middle = make_divisible(inputs * EXPANSIONS[-1])
            convolution(f"{name}_expand", 1, 1, inputs, middle)
            normalisation(f"{name}_expand", middle)
            convolution(f"{name}_depthwise", 7, 7, middle, 1)
            for size in KERNELS[-2::-1]:  # from the next larger kernel's centre
                found[f"{name}_depthwise/to{size}"] = (size**2, size**2)
            normalisation(f"{name}_depthwise", middle)
            if kind.squeeze_excite:
                reduced = make_divisible(middle / 4)
                dense(f"{name}_se_reduce", middle, reduced, 1, 1)
                dense(f"{name}_se_gate", reduced, middle, 1, 1)
            convolution(f"{name}_project", 1, 1, middle, kind.channels)
            normalisation(f"{name}_project", kind.channels)
        if s < EXIT_POSITIONS:
            name, channels = f"exit{s + 1}", kind.channels
            head(name, channels, 6 * channels, 8 * channels)
            for m in (1, 2):
                outputs = channels * BRANCH_EXPANSIONS[-1]
                kernel = BRANCH_KERNELS[-1]
                convolution(f"{name}_module{m}_conv", kernel, kernel, channels, outputs)
                normalisation(f"{name}_module{m}", outputs)
                # One classifier for each number of modules: what they see differs.
                dense(f"{name}_classifier_of{m}", outputs, num_classes)
                channels = outputs
    head("final", STAGE_KINDS[-1].channels, *HEAD_CHANNELS)
    return found


def initial(num_classes: int, seed: int) -> dict[str, np.ndarray]:
    """Random weights: as in `zoo.layers`, and every kernel transform the identity.

    The last batch normalisation of a block with a shortcut begins at zero, so that
    the block begins as the identity (Goyal et al., 2017).
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes(num_classes).items():
        layer, kind = name.split("/")
        if kind in ("beta", "bias"):
            value = np.zeros(shape)
        elif kind == "gamma":
            value = np.full(shape, 0.0 if _closes_residual(layer) else 1.0)
        elif kind.startswith("to"):
            value = np.eye(*shape)
        elif len(shape) == 2:
            limit = math.sqrt(6 / sum(shape))
            value = rng.uniform(-limit, limit, shape)
        else:
            fan_out = shape[0] * shape[1] * shape[3]
            value = rng.normal(0, math.sqrt(2 / fan_out), shape)
        weights[name] = value.astype(np.float32)
    return weights


def _closes_residual(layer: str) -> bool:
    if not layer.endswith("_project_bn"):
        return False
    if layer.startswith("first_"):
        return True
    stage, block = int(layer[5]) - 1, int(layer.split("_block")[1][0]) - 1
    return has_shortcut(stage, block)


def has_shortcut(stage: int, block: int) -> bool:
    """Whether a block adds its input to its output; both are counted from 0."""
    kind = STAGE_KINDS[stage]
    stride = kind.stride if block == 0 else 1
    return stride == 1 and inputs_of(stage, block) == kind.channels


def normalisations(num_classes: int) -> Iterator[str]:
    """Names of all batch normalisations."""
    for name in shapes(num_classes):
        if name.endswith("/gamma"):
            yield name.removesuffix("/gamma")
