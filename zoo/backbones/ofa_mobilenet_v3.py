"""The backbone of AEBNAS's networks: Once-for-All's MobileNetV3 of width 1.0.

Reference:
    Howard et al., Searching for MobileNetV3, ICCV 2019; Cai et al., Once-for-All, ICLR
    2020.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
from zoo.names import find


class Origin(NamedTuple):
    """What a network must do as the one that its weights come from did.

    Attributes:
        mean: Of the pixels of each colour, in 0..1; they are normalised by it.
        std: Their standard deviation.
        symmetric: Whether a convolution of stride 2 has as many zeros before as after
            the image, as in PyTorch, and not TensorFlow's "same", which has fewer
            before where the size is even.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    symmetric: bool

    @property
    def rescaling(self) -> tuple[list[float], list[float]]:
        """Factors and offsets for the three colours in 0..255."""
        return (
            [1 / (255 * s) for s in self.std],
            [-m / s for m, s in zip(self.mean, self.std)],
        )


ORIGINS = {
    # Trained here: CIFAR-10's training images.
    "aebnas": Origin((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), False),
    # Once-for-All's checkpoints, trained in PyTorch on ImageNet.
    "once_for_all": Origin((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), True),
}


def build(
    architecture: Architecture,
    num_classes: int,
    crop: float = 1.0,
    origin: str = "aebnas",
) -> tuple[Any, list[Any], list[Any]]:
    """Build a network, its exits included.

    Args:
        architecture: The network.
        num_classes: Number of classes.
        crop: See `zoo.layers.FitResolution`.
        origin: One of `ORIGINS`.

    Returns:
        Symbolic tensors: images, the feature map at each exit but the last, and the
        logits of each exit. This is what `zoo.EarlyExitModel` is made of.

    Raises:
        ValueError: There is no such origin.
    """
    symmetric = find(ORIGINS, "origin", origin).symmetric
    images = keras.Input((None, None, 3), name="images")
    x = preprocess(images, architecture.resolution, crop, origin)
    x = stem(x, symmetric)
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
                symmetric=symmetric,
            )
        if position in architecture.exits:
            head = architecture.branches[position]
            features.append(x)
            logits.append(head.build(x, num_classes, f"exit{position + 1}"))
    return images, features, [*logits, final_head(x, num_classes)]


def preprocess(
    images: Any, resolution: int, crop: float = 1.0, origin: str = "aebnas"
) -> Any:
    """Images in 0..255 of any size to normalised ones of the network's resolution."""
    x = FitResolution(resolution, crop, name="fit_resolution")(images)
    return normalise(x, origin)


def normalise(images: Any, origin: str = "aebnas") -> Any:
    """Images in 0..255 to normalised ones."""
    rescaling = ORIGINS[origin].rescaling
    return keras.layers.Rescaling(*rescaling, name="rescale")(images)


def stem(x: Any, symmetric: bool = False) -> Any:
    """3x3 convolution of stride 2, then the first block (expansion 1, no gating)."""
    x, padding = _padded(x, "stem_conv", 3, 2, symmetric)
    x = convolution(
        x, "stem_conv", STEM_CHANNELS, 3, 2, use_bias=False, padding=padding
    )
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
    x: Any,
    kind: StageKind,
    kernel: int,
    expansion: int,
    stride: int,
    name: str,
    symmetric: bool = False,
) -> Any:
    """MobileNetV3's block: expand, depthwise convolution, gate, project, add."""
    shortcut, inputs = x, x.shape[-1]
    middle = make_divisible(inputs * expansion)
    x = convolution(x, f"{name}_expand", middle, use_bias=False)
    x = normalised(x, f"{name}_expand", kind.activation)
    x, padding = _padded(x, f"{name}_depthwise", kernel, stride, symmetric)
    x = depthwise(x, f"{name}_depthwise", kernel, stride, padding)
    x = normalised(x, f"{name}_depthwise", kind.activation)
    if kind.squeeze_excite:
        x = squeeze_excite(x, f"{name}_se")
    x = convolution(x, f"{name}_project", kind.channels, use_bias=False)
    x = normalised(x, f"{name}_project")
    if stride == 1 and inputs == kind.channels:
        x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _padded(
    x: Any, name: str, kernel: int, stride: int, symmetric: bool
) -> tuple[Any, str]:
    """Zeros around a map where "same" would not be symmetric; what is left to add."""
    if stride == 1 or not symmetric:
        return x, "same"
    x = keras.layers.ZeroPadding2D(
        kernel // 2, data_format="channels_last", name=f"{name}_pad"
    )(x)
    return x, "valid"


def final_head(x: Any, num_classes: int) -> Any:
    """The backbone's own classifier."""
    return pooled_head(x, num_classes, HEAD_CHANNELS, "final")
