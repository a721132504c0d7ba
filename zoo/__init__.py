"""Early-exit networks: describe, build, train, load, run and measure them."""

from typing import TYPE_CHECKING

from zoo import lazy

if TYPE_CHECKING:
    from zoo import (
        backbones,
        cost,
        data,
        exits,
        heads,
        layer_costs,
        layers,
        registry,
        training,
    )
    from zoo.architecture import Architecture, Block, Stage
    from zoo.attachment import attach
    from zoo.classifier import EarlyExitClassifier
    from zoo.cost import Cost, macs
    from zoo.deploy.export import export
    from zoo.graph import cut_points
    from zoo.heads import Branch, ConvModule, FixedBranch
    from zoo.model import EarlyExitModel
    from zoo.pipeline import fit
    from zoo.registry import card, list_models, load, pareto, save
else:
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "zoo.attachment": ("attach",),
            "zoo.architecture": ("Architecture", "Block", "Stage"),
            "zoo.classifier": ("EarlyExitClassifier",),
            "zoo.cost": ("Cost", "macs"),
            "zoo.deploy.export": ("export",),
            "zoo.graph": ("cut_points",),
            "zoo.heads": ("Branch", "ConvModule", "FixedBranch"),
            "zoo.model": ("EarlyExitModel",),
            "zoo.pipeline": ("fit",),
            "zoo.registry": ("card", "list_models", "load", "pareto", "save"),
        },
        modules=(
            "backbones",
            "cost",
            "data",
            "exits",
            "heads",
            "layer_costs",
            "layers",
            "registry",
            "training",
        ),
    )

__version__ = "1.0.0"

__all__ = [
    "Architecture",
    "Block",
    "Branch",
    "ConvModule",
    "Cost",
    "EarlyExitClassifier",
    "EarlyExitModel",
    "FixedBranch",
    "Stage",
    "attach",
    "backbones",
    "card",
    "cost",
    "cut_points",
    "data",
    "exits",
    "export",
    "fit",
    "heads",
    "layer_costs",
    "layers",
    "list_models",
    "load",
    "macs",
    "pareto",
    "registry",
    "save",
    "training",
]

lazy.register(
    {
        "aebnas>BatchNormalization": "zoo.layers",
        "aebnas>BicubicResize": "zoo.layers",
        "aebnas>Conv2D": "zoo.layers",
        "aebnas>DepthwiseConv2D": "zoo.layers",
        "aebnas>EarlyExitClassifier": "zoo.classifier",
        "aebnas>EarlyExitModel": "zoo.model",
        "aebnas>FirstToken": "zoo.layers",
        "aebnas>FitResolution": "zoo.layers",
        "aebnas>PositionEmbedding": "zoo.layers",
        "aebnas>RandomResizedCrop": "zoo.training.augmentation",
        "aebnas>RandomShift": "zoo.training.augmentation",
    }
)
