"""Backbones by name, for `zoo train --backbone`. A registry.

To add one, register it in a file of your own, and name that file on the command line
with `--load FILE`:

    import keras
    import zoo

    @zoo.backbones.register("plain", "three convolutions", recipe="long")
    def plain(resolution):
        images = x = keras.Input((resolution or 32, resolution or 32, 3))
        for width in (16, 32, 64):
            x = keras.layers.Conv2D(width, 3, 2, activation="relu")(x)
        return keras.Model(images, x)
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo.names import add, find

if TYPE_CHECKING:
    import keras

Build = Callable[[int | None], "keras.Model"]


@dataclass(frozen=True)
class Backbone:
    """A network that `zoo.attach` can give exits to.

    Attributes:
        name: Its name.
        summary: A few words.
        build: Function of the resolution in pixels, or None for the network's own. It
            gives a functional Keras model of images in 0..255.
        recipe: Name of the recipe that suits it; see `zoo.training`.
    """

    name: str
    summary: str
    build: Build
    recipe: str


BACKBONES: dict[str, Backbone] = {}
"""The backbones that `zoo train --backbone` knows, by name."""


def register(
    name: str, summary: str, recipe: str = "finetune"
) -> Callable[[Build], Build]:
    """Decorator that registers the function which builds a backbone; see `Backbone`.

    Raises:
        ValueError: There is already a backbone of that name.
    """

    def note(build: Build) -> Build:
        add(BACKBONES, "backbone", name, Backbone(name, summary, build, recipe))
        return build

    return note


def get(name: str | os.PathLike) -> Backbone:
    """The backbone of that name, or the one in a `.keras` file.

    Raises:
        ValueError: There is none.
    """
    if pathlib.Path(name).suffix == ".keras":
        return Backbone(str(name), "", lambda size: _from_file(name, size), "finetune")
    return find(BACKBONES, "backbone", str(name))


def _from_file(path: str | os.PathLike, resolution: int | None) -> keras.Model:
    """The network in a file that Keras's `model.save` wrote."""
    import keras

    from zoo import graph
    from zoo.model import EarlyExitModel

    model = keras.saving.load_model(path, compile=False)
    if isinstance(model, EarlyExitModel):
        raise ValueError(
            f"{path} has exits already; use --initial-weights to train it further."
        )
    size = model.input_shape[1]
    if resolution is None or resolution == size:
        return model
    if size is not None:
        raise ValueError(
            f"The network in {path} takes images of {size} pixels; leave the "
            "resolution out."
        )
    images = keras.Input((resolution, resolution, 3), name="images")
    return keras.Model(images, graph.apply(model, images), name=model.name)


@register("lite0", "EfficientNet-Lite0 with ImageNet weights, 224 pixels")
def _lite0(resolution: int | None) -> keras.Model:
    return _lite("lite0", resolution)


@register("lite1", "EfficientNet-Lite1 with ImageNet weights, 240 pixels")
def _lite1(resolution: int | None) -> keras.Model:
    return _lite("lite1", resolution)


@register("lite2", "EfficientNet-Lite2 with ImageNet weights, 260 pixels")
def _lite2(resolution: int | None) -> keras.Model:
    return _lite("lite2", resolution)


def _lite(variant: str, resolution: int | None) -> keras.Model:
    from zoo.backbones.lite import efficientnet_lite

    return efficientnet_lite(variant, resolution=resolution)


@register(
    "vit", "a small vision transformer with random weights, 32 pixels", "transformer"
)
def _vit(resolution: int | None) -> keras.Model:
    from zoo.backbones.transformer import vit

    return vit(resolution or 32)
