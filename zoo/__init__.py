"""Early-exit networks: describe, build, train, load, run and measure them."""

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
