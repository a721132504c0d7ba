"""Early-exit networks: describe, build, train, load, run and measure them."""

from zoo import cost, data, exits, heads, layers, registry, training
from zoo.architecture import Architecture, Block, Stage
from zoo.classifier import EarlyExitClassifier
from zoo.cost import Cost, macs
from zoo.heads import Branch, ConvModule, FixedBranch
from zoo.model import EarlyExitModel
from zoo.pipeline import fit
from zoo.registry import card, list_models, load, pareto, save

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
