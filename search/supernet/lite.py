"""Supernets from EfficientNet-Lite1, which was trained on ImageNet.

Its stages are as wide as a supernet's and nearly as deep, with one width and one kernel
for each. What it does not have begins so that it changes little: squeeze-excite lets
five sixths of everything through, which the next convolution makes up for, further
blocks begin as the identity, and kernels of 3x3 and 5x5 lie in the middle of 7x7 ones.
The channels between expansion and projection are sorted by importance, so that narrow
sub-networks have the most important ones, as in Once-for-All. The head, the classifier
and the exits begin at random.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from search.supernet import shared
from search.supernet.choices import BLOCKS
from search.supernet.elastic import EPSILON
from search.supernet.stored import About
from zoo.architecture import STAGE_KINDS, STEM_CHANNELS
from zoo.backbones import lite

NAME = "lite1"
ABOUT = About()
CLASSES = 1000
BLOCKS_OF_LITE1 = (range(1, 4), range(4, 7), range(7, 11), range(11, 15), range(15, 20))
GATE = 2.0  # hard_sigmoid(2) is 5/6, and has a gradient
Weights = Mapping[str, np.ndarray]


def read(seed: int = 0) -> dict[str, np.ndarray]:
    """The shared weights by name.

    Args:
        seed: Of those that Lite1 does not have.

    Raises:
        ImportError: The package with Lite1's weights is not installed.
    """
    return converted(
        {
            f"{layer.name}/{weight.name}": weight.numpy()
            for layer in lite.efficientnet_lite(NAME).layers
            for weight in layer.weights
        },
        seed,
    )


def converted(given: Weights, seed: int = 0) -> dict[str, np.ndarray]:
    """The shared weights from Lite1's, by layer and weight; see `read`."""
    weights = shared.initial(CLASSES, seed)

    def normalisation(ours: str, theirs: str, channels: np.ndarray) -> None:
        """Scale and offset, as if the small number in the root were ours."""
        variance = given[f"{theirs}_bn/moving_variance"]
        scale = np.sqrt((variance + EPSILON) / (variance + lite.EPSILON))
        weights[f"{ours}_bn/gamma"] = (given[f"{theirs}_bn/gamma"] * scale)[channels]
        weights[f"{ours}_bn/beta"] = given[f"{theirs}_bn/beta"][channels]

    def depthwise(ours: str, theirs: str, channels: np.ndarray) -> None:
        kernel = given[f"{theirs}_depthwise/kernel"][:, :, channels]
        border = (len(weights[f"{ours}_depthwise/kernel"]) - len(kernel)) // 2
        around = [(border, border), (border, border), (0, 0), (0, 0)]
        weights[f"{ours}_depthwise/kernel"] = np.pad(kernel, around)
        normalisation(f"{ours}_depthwise", f"{theirs}_depthwise", channels)

    def one_by_one(
        ours: str, theirs: str, inputs: np.ndarray, outputs: np.ndarray
    ) -> None:
        kernel = given[f"{theirs}/kernel"][:, :, inputs]
        weights[f"{ours}/kernel"] = kernel[..., outputs]
        normalisation(ours, theirs, outputs)

    stem = _important(given, "block0", STEM_CHANNELS)
    weights["stem_conv/kernel"] = given["stem/kernel"][..., stem]
    normalisation("stem", "stem", stem)
    depthwise("first", "block0", stem)
    inputs = np.arange(STEM_CHANNELS)
    one_by_one("first_project", "block0_project", stem, inputs)
    for s, (kind, blocks) in enumerate(zip(STAGE_KINDS, BLOCKS_OF_LITE1)):
        outputs = _strongest(given, [f"block{b}" for b in blocks], kind.channels)
        for b, theirs in enumerate(f"block{b}" for b in blocks[:BLOCKS]):
            ours = f"stage{s + 1}_block{b + 1}"
            count = weights[f"{ours}_project/kernel"].shape[2]
            middle = _important(given, theirs, count)
            one_by_one(f"{ours}_expand", f"{theirs}_expand", inputs, middle)
            depthwise(ours, theirs, middle)
            one_by_one(f"{ours}_project", f"{theirs}_project", middle, outputs)
            if kind.squeeze_excite:
                weights[f"{ours}_se_gate/kernel"] *= 0
                weights[f"{ours}_se_gate/bias"] += GATE
                weights[f"{ours}_project/kernel"] /= (GATE + 3) / 6
            inputs = outputs
    return {
        name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()
    }


def _important(given: Weights, block: str, count: int) -> np.ndarray:
    """The channels that a block's projection weighs most, in this order."""
    weight = np.abs(given[f"{block}_project/kernel"][0, 0]).sum(1)
    return np.argsort(-weight, kind="stable")[:count]


def _strongest(given: Weights, blocks: list[str], count: int) -> np.ndarray:
    """The channels of a stage to which its blocks add most, in the old order."""
    scale = sum(np.abs(given[f"{block}_project_bn/gamma"]) for block in blocks)
    return np.sort(np.argsort(-scale, kind="stable")[:count])
