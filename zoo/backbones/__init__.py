"""Backbones: the paper's, EfficientNet-Lite with ImageNet weights, a small ViT."""

from typing import TYPE_CHECKING

from zoo import lazy
from zoo.backbones.registry import BACKBONES, Backbone, get, register

if TYPE_CHECKING:
    from zoo.backbones.lite import efficientnet_lite
    from zoo.backbones.transformer import vit
else:
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "zoo.backbones.lite": ("efficientnet_lite",),
            "zoo.backbones.transformer": ("vit",),
        },
    )

__all__ = ["BACKBONES", "Backbone", "efficientnet_lite", "get", "register", "vit"]
