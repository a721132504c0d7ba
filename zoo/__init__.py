"""Early-exit networks: describe, build, train, load, run and measure them."""

from typing import TYPE_CHECKING

from zoo import lazy

if TYPE_CHECKING:
    from zoo import cost, data, exits, heads, layers, registry, training
    from zoo.architecture import Architecture, Block, Stage
    from zoo.classifier import EarlyExitClassifier
    from zoo.cost import Cost, macs
    from zoo.heads import Branch, ConvModule, FixedBranch
    from zoo.model import EarlyExitModel
    from zoo.pipeline import fit
    from zoo.registry import card, list_models, load, pareto, save
else:
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "Architecture": "zoo.architecture",
            "Block": "zoo.architecture",
            "Branch": "zoo.heads",
            "ConvModule": "zoo.heads",
            "Cost": "zoo.cost",
            "EarlyExitClassifier": "zoo.classifier",
            "EarlyExitModel": "zoo.model",
            "FixedBranch": "zoo.heads",
            "Stage": "zoo.architecture",
            "card": "zoo.registry",
            "fit": "zoo.pipeline",
            "list_models": "zoo.registry",
            "load": "zoo.registry",
            "macs": "zoo.cost",
            "pareto": "zoo.registry",
            "save": "zoo.registry",
        },
        modules=("cost", "data", "exits", "heads", "layers", "registry", "training"),
    )

__version__ = "0.1.0"

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
    "card",
    "cost",
    "data",
    "exits",
    "fit",
    "heads",
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
        "aebnas>EarlyExitClassifier": "zoo.classifier",
        "aebnas>EarlyExitModel": "zoo.model",
        "aebnas>FitResolution": "zoo.layers",
        "aebnas>RandomResizedCrop": "zoo.training.augmentation",
        "aebnas>RandomShift": "zoo.training.augmentation",
    }
)
