"""Early-exit networks: describe, build, train, load, run and measure them."""

from typing import TYPE_CHECKING

from zoo import lazy

if TYPE_CHECKING:
    from zoo import cost, data, exits, layers, registry, training
    from zoo.architecture import (
        Architecture,
        Block,
        Branch,
        ConvModule,
        FixedBranch,
        Stage,
    )
    from zoo.cost import Cost, macs
    from zoo.model import EarlyExitClassifier
    from zoo.registry import card, list_models, load, pareto, save
else:
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "Architecture": "zoo.architecture",
            "Block": "zoo.architecture",
            "Branch": "zoo.architecture",
            "ConvModule": "zoo.architecture",
            "Cost": "zoo.cost",
            "EarlyExitClassifier": "zoo.model",
            "FixedBranch": "zoo.architecture",
            "Stage": "zoo.architecture",
            "card": "zoo.registry",
            "list_models": "zoo.registry",
            "load": "zoo.registry",
            "macs": "zoo.cost",
            "pareto": "zoo.registry",
            "save": "zoo.registry",
        },
        modules=("cost", "data", "exits", "layers", "registry", "training"),
    )

__version__ = "0.1.0"

__all__ = [
    "Architecture",
    "Block",
    "Branch",
    "ConvModule",
    "Cost",
    "EarlyExitClassifier",
    "FixedBranch",
    "Stage",
    "card",
    "cost",
    "data",
    "exits",
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
        "aebnas>EarlyExitClassifier": "zoo.model",
        "aebnas>FitResolution": "zoo.layers",
        "aebnas>RandomResizedCrop": "zoo.augmentation",
        "aebnas>RandomShift": "zoo.augmentation",
    }
)
