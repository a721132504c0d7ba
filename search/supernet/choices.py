"""Which sub-network: the integers that slice the shared weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from zoo.architecture import (
    DEPTHS,
    EXIT_POSITIONS,
    EXPANSIONS,
    KERNELS,
    STAGE_KINDS,
    STEM_CHANNELS,
    Architecture,
)
from zoo.arithmetic import (
    make_divisible,
)
from zoo.heads import (
    BRANCH_EXPANSIONS,
    BRANCH_KERNELS,
    BRANCH_SIZES,
    Branch,
    FixedBranch,
)

BLOCKS = max(DEPTHS)
MODULES = 2
ABSENT, ONE, TWO, FIXED = range(4)  # what an exit is made of


class Choice(NamedTuple):
    """One sub-network as integers: NumPy arrays, or tensors inside a compiled step.

    A step that is given arrays is compiled for this one sub-network; a step that is
    given tensors serves every one.

    Attributes:
        resolution: Height and width of the images, in pixels, shape `()`.
        depth: Blocks in each stage, `(5,)`.
        kernel: Of the depthwise convolution of each block, `(5, 4)`.
        middle: Channels between expansion and projection, `(5, 4)`.
        reduced: Channels inside squeeze-excite, `(5, 4)`.
        branch: What each exit is made of, `(4,)`: 0 there is none, 1 or 2 modules,
            3 the fixed branch.
        size: Height and width to which each module resizes, `(4, 2)`.
        branch_kernel: Of each module's convolution, `(4, 2)`.
        branch_expansion: Channels out per channel in, `(4, 2)`.
        pool: Whether each module ends in a max pooling, 0 or 1, `(4, 2)`.
    """

    resolution: Any
    depth: Any
    kernel: Any
    middle: Any
    reduced: Any
    branch: Any
    size: Any
    branch_kernel: Any
    branch_expansion: Any
    pool: Any


class Branches(NamedTuple):
    """The part of a `Choice` that describes its exits."""

    branch: Any
    size: Any
    branch_kernel: Any
    branch_expansion: Any
    pool: Any


def inputs_of(stage: int, block: int) -> int:
    """Channels that go into a block, both counted from 0."""
    if block:
        return STAGE_KINDS[stage].channels
    return STAGE_KINDS[stage - 1].channels if stage else STEM_CHANNELS


def _choice(resolution, depth, kernel, expansion, branches: Branches) -> Choice:
    inputs = [[inputs_of(s, b) for b in range(BLOCKS)] for s in range(len(STAGE_KINDS))]
    middle = np.vectorize(make_divisible)(np.multiply(inputs, expansion))
    values = (
        resolution,
        depth,
        kernel,
        middle,
        np.vectorize(make_divisible)(middle / 4),
        *branches,
    )
    return Choice(*(np.asarray(value, np.int32) for value in values))


def from_architecture(architecture: Architecture) -> Choice:
    """The sub-network of an architecture; thresholds play no part.

    Raises:
        ValueError: An exit is made of something that a supernet does not have.
    """
    kernel = np.full((len(STAGE_KINDS), BLOCKS), KERNELS[0])
    expansion = np.full_like(kernel, EXPANSIONS[0])
    for s, stage in enumerate(architecture.stages):
        for b, block in enumerate(stage.blocks):
            kernel[s, b], expansion[s, b] = block.kernel, block.expansion
    branches = smallest_branches()
    for e, branch in enumerate(architecture.branches):
        branches.branch[e] = ABSENT
        if isinstance(branch, FixedBranch):
            branches.branch[e] = FIXED
        elif isinstance(branch, Branch):
            branches.branch[e] = len(branch.modules)
            for m, module in enumerate(branch.modules):
                branches.size[e, m] = module.size
                branches.branch_kernel[e, m] = module.kernel
                branches.branch_expansion[e, m] = module.expansion
                branches.pool[e, m] = module.pool
        elif branch is not None:
            raise ValueError(
                f"branches[{e}] is {branch}; expected a searched or a fixed branch: a "
                "supernet has no others."
            )
    depth = [len(stage.blocks) for stage in architecture.stages]
    return _choice(architecture.resolution, depth, kernel, expansion, branches)


def _uniform_branches(branch, size, kernel, expansion, pool) -> Branches:
    shape = (EXIT_POSITIONS, MODULES)
    return Branches(
        np.full(EXIT_POSITIONS, branch, np.int32),
        *(np.full(shape, x, np.int32) for x in (size, kernel, expansion, pool)),
    )


def largest_branches() -> Branches:
    """Two modules of the largest size, kernel and width at every exit."""
    return _uniform_branches(
        TWO, BRANCH_SIZES[-1], BRANCH_KERNELS[-1], BRANCH_EXPANSIONS[-1], 0
    )


def smallest_branches() -> Branches:
    """One module of the smallest size, kernel and width at every exit."""
    return _uniform_branches(
        ONE, BRANCH_SIZES[0], BRANCH_KERNELS[0], BRANCH_EXPANSIONS[0], 0
    )


def random_branches(
    rng: np.random.Generator, fixed: float = 0.25, largest: float = 0.0
) -> Branches:
    """Branches drawn evenly and independently at every exit.

    Args:
        rng: Source of the random numbers.
        fixed: Share of exits that get the fixed branch.
        largest: Share of exits that get the largest branch.
    """
    shape = (EXIT_POSITIONS, MODULES)
    drawn = Branches(
        rng.choice((ONE, TWO), EXIT_POSITIONS),
        rng.choice(BRANCH_SIZES, shape),
        rng.choice(BRANCH_KERNELS, shape),
        rng.choice(BRANCH_EXPANSIONS, shape),
        rng.choice((0, 0, 1), shape),
    )
    kind = rng.random(EXIT_POSITIONS)
    for array, value in zip(drawn, largest_branches()):
        array[kind < largest] = value[kind < largest]
    drawn.branch[kind >= 1 - fixed] = FIXED
    return Branches(*(array.astype(np.int32) for array in drawn))


def _uniform(resolution, depth, kernel, expansion, branches) -> Choice:
    stages = len(STAGE_KINDS)
    return _choice(
        resolution,
        np.full(stages, depth),
        np.full((stages, BLOCKS), kernel),
        np.full((stages, BLOCKS), expansion),
        branches,
    )


def largest(resolution: int) -> Choice:
    """The deepest and widest sub-network, with the largest branches."""
    return _uniform(
        resolution, DEPTHS[-1], KERNELS[-1], EXPANSIONS[-1], largest_branches()
    )


def smallest(resolution: int) -> Choice:
    """The shallowest and narrowest sub-network, with the smallest branches."""
    return _uniform(
        resolution, DEPTHS[0], KERNELS[0], EXPANSIONS[0], smallest_branches()
    )


def random(resolution: int, rng: np.random.Generator, fixed: float = 0.25) -> Choice:
    """A sub-network with every depth, kernel, expansion and branch drawn evenly."""
    shape = (len(STAGE_KINDS), BLOCKS)
    return _choice(
        resolution,
        rng.choice(DEPTHS, len(STAGE_KINDS)),
        rng.choice(KERNELS, shape),
        rng.choice(EXPANSIONS, shape),
        random_branches(rng, fixed),
    )
