"""Early-exit networks: describe, build, train, load, run and measure them."""

from zoo import cost, data, exits, layers
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
