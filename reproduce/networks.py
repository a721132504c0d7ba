"""Two published networks with early exits, rebuilt: a ResNet-20 and an MSDNet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from zoo.attachment import attach
from zoo.heads import Head
from zoo.layers import FitResolution, classifier, convolution, normalised, pooled
from zoo.model import EarlyExitModel

SIZE = 32  # pixels
BLOCKS = 3  # of a ResNet-20, in each of its three stages
BOTTLENECK = 4  # channels before a 3x3 convolution of an MSDNet, per channel after it


@dataclass(frozen=True)
class ConvolutionalHead(Head):
    """An exit of BranchyNet's kind: a 3x3 convolution, pooling, a dense layer."""

    def build(self, features: Any, num_classes: int, name: str) -> Any:
        """Apply the head's layers; see `Head.build`."""
        x = _convolved(features, f"{name}_conv", features.shape[-1], stride=2)
        return classifier(pooled(x, f"{name}_pool"), num_classes, name)


def resnet20(width: int) -> keras.Model:
    """ResNet-20 for images of 32 pixels in 0..255, without a classifier.

    Args:
        width: Channels of its first stage; 16 in the publication.

    Reference:
        He et al., CVPR 2016, section 4.2, with projections where shapes differ.
    """
    images = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, -1, name="rescale")(images)
    x = _convolved(x, "stem", width)
    for stage in range(1, 4):
        for block in range(1, BLOCKS + 1):
            name, channels = f"stage{stage}_block{block}", width * 2 ** (stage - 1)
            stride = 2 if stage > 1 and block == 1 else 1
            y = _convolved(x, f"{name}_conv1", channels, stride=stride)
            y = _convolved(y, f"{name}_conv2", channels, activation=None)
            if stride == 2:
                x = _convolved(x, f"{name}_skip", channels, 1, 2, activation=None)
            x = layers.Add(name=f"{name}_add")([x, y])
            x = layers.Activation("relu", name=name)(x)
    return keras.Model(images, x, name=f"resnet20_{width}")


def branchynet(width: int, num_classes: int) -> EarlyExitModel:
    """ResNet-20 with an exit after its first block and after its first two stages.

    Args:
        width: Channels of its first stage.
        num_classes: Number of classes.

    Reference:
        BranchyNet, Teerapittayanon et al., ICPR 2016.
    """
    places = ("stage1_block1", f"stage1_block{BLOCKS}", f"stage2_block{BLOCKS}")
    exits = dict.fromkeys(places, ConvolutionalHead())
    return attach(resnet20(width), exits, num_classes)


def msdnet(
    num_classes: int,
    growth: int = 6,
    channels: int = 12,
    blocks: Sequence[tuple[int, int]] = ((2, 3), (2, 3), (2, 2), (2, 1)),
) -> EarlyExitModel:
    """A multi-scale dense network with an exit after every block.

    Feature maps of several scales go from block to block. They are packed into one
    vector at an exit, so that the network can be cut there.

    Args:
        num_classes: Number of classes.
        growth: Channels that a layer adds at the finest scale, an even number; twice as
            many at each coarser one.
        channels: Of the finest scale at the beginning; likewise.
        blocks: Layers and scales of each block. Where the scales become fewer, the
            finest is left out and a 1x1 convolution halves the channels of the others.

    Reference:
        Huang et al., Multi-scale dense networks for resource efficient image
        classification, ICLR 2018. On CIFAR-10 its first convolution has stride 1; here
        it has stride 2, which makes the network about four times as cheap.
    """
    images = keras.Input((None, None, 3), name="images")
    x = FitResolution(SIZE, name="fit_resolution")(images)
    x = layers.Rescaling(1 / 127.5, -1, name="rescale")(x)
    before = most = max(scales for _, scales in blocks)
    maps: list[Any] = []  # one per scale, the finest first
    for scale in range(most):
        x = _convolved(x, f"stem{scale}", channels * 2**scale, stride=2)
        maps.append(x)
    features, logits = [], []
    for k, (depth, scales) in enumerate(blocks, 1):
        if scales < before:
            maps = [
                _convolved(x, f"block{k}_half{i}", x.shape[-1] // 2, 1)
                for i, x in enumerate(maps)
            ]
        for layer in range(1, depth + 1):
            name, added = f"block{k}_layer{layer}", growth * 2 ** (most - scales)
            maps = _dense_layer(maps, name, added)
        if k < len(blocks):
            packed, maps = _packed(maps[-blocks[k][1] :], f"block{k}")
            features.append(packed)
        x = _convolved(maps[-1], f"exit{k}_conv", maps[-1].shape[-1], stride=2)
        logits.append(classifier(pooled(x, f"exit{k}_pool"), num_classes, f"exit{k}"))
        before = scales
    return EarlyExitModel(images, features, logits, name="msdnet")


def _dense_layer(maps: Sequence[Any], name: str, growth: int) -> list[Any]:
    """Add channels to every scale, from its own map and the next finer one.

    Args:
        maps: One per scale, the finest first.
        name: What the layers' names begin with.
        growth: Channels to add at the first scale.
    """
    found = []
    for i, x in enumerate(maps):
        sources = [(x, 1, "same")]
        if i > 0:
            sources.append((maps[i - 1], 2, "finer"))
        channels, parts = growth * 2**i // len(sources), [x]
        for source, stride, which in sources:
            each = f"{name}_scale{i}_{which}"
            inside = min(source.shape[-1], BOTTLENECK * channels)
            y = _convolved(source, f"{each}_in", inside, 1)
            parts.append(_convolved(y, each, channels, stride=stride))
        found.append(layers.Concatenate(name=f"{name}_scale{i}")(parts))
    return found


def _packed(maps: Sequence[Any], name: str) -> tuple[Any, list[Any]]:
    """Feature maps as one vector, and what is unpacked from that."""
    if len(maps) == 1:
        return maps[0], list(maps)
    flat = [layers.Flatten(name=f"{name}_flat{i}")(x) for i, x in enumerate(maps)]
    packed = layers.Concatenate(name=f"{name}_packed")(flat)
    found, start = [], 0
    for i, x in enumerate(maps):
        end = start + math.prod(x.shape[1:])
        part = layers.Reshape(x.shape[1:], name=f"{name}_map{i}")
        found.append(part(packed[:, start:end]))
        start = end
    return packed, found


def _convolved(
    x: Any,
    name: str,
    channels: int,
    kernel: int = 3,
    stride: int = 1,
    activation: str | None = "relu",
) -> Any:
    """Convolution, batch normalisation and activation."""
    x = convolution(x, name, channels, kernel, stride, use_bias=False)
    return normalised(x, name, activation)
