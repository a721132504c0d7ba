"""The backbone of AEBNAS's networks: Once-for-All's MobileNetV3 of width 1.0.

Reference:
    Howard et al., Searching for MobileNetV3, ICCV 2019; Cai et al., Once-for-All, ICLR
    2020.
"""

from __future__ import annotations

from typing import Any

import keras

from zoo.architecture import (
    HEAD_CHANNELS,
    STAGE_KINDS,
    STEM_CHANNELS,
    Architecture,
    StageKind,
)
from zoo.arithmetic import make_divisible
from zoo.layers import (
    FitResolution,
    convolution,
    depthwise,
    normalised,
    pooled,
    pooled_head,
)

MEAN = (0.4914, 0.4822, 0.4465)  # of CIFAR-10's training images, in 0..1
STD = (0.2470, 0.2435, 0.2616)


def build(
    architecture: Architecture, num_classes: int, crop: float = 1.0
) -> tuple[Any, list[Any], list[Any]]:
    """Build a network, its exits included.

    Args:
        architecture: The network.
        num_classes: Number of classes.
        crop: See `zoo.layers.FitResolution`.

    Returns:
        Symbolic tensors: images, the feature map at each exit but the last, and the
        logits of each exit. This is what `zoo.EarlyExitModel` is made of.
    """
    images = keras.Input((None, None, 3), name="images")
    x = stem(preprocess(images, architecture.resolution, crop))
    features, logits = [], []
    for position, (stage, kind) in enumerate(zip(architecture.stages, STAGE_KINDS)):
        for i, block in enumerate(stage.blocks):
            x = inverted_residual(
                x,
                kind,
                block.kernel,
                block.expansion,
                stride=kind.stride if i == 0 else 1,
                name=f"stage{position + 1}_block{i + 1}",
            )
        if position in architecture.exits:
            head = architecture.branches[position]
            features.append(x)
            logits.append(head.build(x, num_classes, f"exit{position + 1}"))
    return images, features, [*logits, final_head(x, num_classes)]


def preprocess(images: Any, resolution: int, crop: float = 1.0) -> Any:
    """Images in 0..255 of any size to normalised ones of the network's resolution."""
    x = FitResolution(resolution, crop, name="fit_resolution")(images)
    return keras.layers.Rescaling(
        [1 / (255 * s) for s in STD],
        [-m / s for m, s in zip(MEAN, STD)],
        name="rescale",
    )(x)


def stem(x: Any) -> Any:
    """3x3 convolution of stride 2, then the first block (expansion 1, no gating)."""
    x = convolution(x, "stem_conv", STEM_CHANNELS, 3, 2, use_bias=False)
    x = shortcut = normalised(x, "stem", "hard_swish")
    x = depthwise(x, "first_depthwise", 3, 1)
    x = normalised(x, "first_depthwise", "relu")
    x = convolution(x, "first_project", STEM_CHANNELS, use_bias=False)
    x = normalised(x, "first_project")
    return keras.layers.Add(name="first_add")([shortcut, x])


def squeeze_excite(x: Any, name: str) -> Any:
    """Channel gating with reduction 4 (Hu et al., CVPR 2018; MobileNetV3's form)."""
    channels = x.shape[-1]
    gate = pooled(x, f"{name}_pool")
    gate = convolution(
        gate, f"{name}_reduce", make_divisible(channels / 4), activation="relu"
    )
    gate = convolution(gate, f"{name}_gate", channels, activation="hard_sigmoid")
    return keras.layers.Multiply(name=f"{name}_scale")([x, gate])


def inverted_residual(
    x: Any, kind: StageKind, kernel: int, expansion: int, stride: int, name: str
) -> Any:
    """MobileNetV3's block: expand, depthwise convolution, gate, project, add."""
    shortcut, inputs = x, x.shape[-1]
    middle = make_divisible(inputs * expansion)
    x = convolution(x, f"{name}_expand", middle, use_bias=False)
    x = normalised(x, f"{name}_expand", kind.activation)
    x = depthwise(x, f"{name}_depthwise", kernel, stride)
    x = normalised(x, f"{name}_depthwise", kind.activation)
    if kind.squeeze_excite:
        x = squeeze_excite(x, f"{name}_se")
    x = convolution(x, f"{name}_project", kind.channels, use_bias=False)
    x = normalised(x, f"{name}_project")
    if stride == 1 and inputs == kind.channels:
        x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def final_head(x: Any, num_classes: int) -> Any:
    """The backbone's own classifier."""
    return pooled_head(x, num_classes, HEAD_CHANNELS, "final")
