"""Do our MACs agree with the authors' archive, and under which reading of it?

Two findings, both needed for agreement: their supernet reads the genes of a block by
its position among four per stage (`Architecture.from_ofa(legacy_alignment=True)`), and
their counter adds some element-wise work (`zoo.macs(convention="aebnas")`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reproduce import archive
from zoo.architecture import Architecture
from zoo.cost import CONVENTIONS, macs

CLASSES = 10

EXPLANATION = """\
1. Alignment. The lists of kernels and expansions have an entry per block, stage after
   stage. The authors' supernet has four blocks per stage, active or not, and takes
   entry 4 s + j for block j of stage s; past the end of the list it keeps kernel 7 and
   expansion 6. So a network with shallow stages is not the one that was encoded.
2. Convention. `aebnas` adds to convolutions and dense layers one operation per element
   for the product in each hard-swish and in squeeze-excite's gating, and the elements
   that the two mean reductions of squeeze-excite and of the backbone's global pooling
   give; it leaves out the resizes in the branches, which `standard` counts.
"""

# Static networks (no exits, 10 classes) of EDANAS (IJCNN 2023), table I: the candidate,
# and its published MACs and parameters.
ANCHORS = (
    (
        {"ks": [3] * 10, "e": [3] * 10, "d": [2] * 5, "r": 40},
        10.64e6,
        3.40e6,
    ),
    (
        {
            "ks": [5, 3, 7, 7, 3, 7, 3, 5, 3, 7, 7, 7, 5],
            "e": [4, 3, 4, 4, 3, 3, 6, 4, 4, 3, 3, 6, 3],
            "d": [2, 2, 2, 3, 4],
            "r": 72,
        },
        37.21e6,
        5.33e6,
    ),
)


@dataclass(frozen=True)
class Deviation:
    """How far our MACs are from the archive's, under one reading of it.

    Attributes:
        alignment: "theirs" or "as encoded".
        convention: How MACs are counted.
        first_exit: Largest absolute deviation at the first exit, a count.
        all_exits: Largest absolute deviation at any exit, a count.
    """

    alignment: str
    convention: str
    first_exit: float
    all_exits: float


@dataclass(frozen=True)
class Size:
    """MACs, a count in the `aebnas` convention, and parameters of a network."""

    macs: float
    parameters: float


@dataclass(frozen=True)
class Anchor:
    """A published static network, and ours of the same dictionary.

    Attributes:
        resolution: Of its input.
        published: As published.
        theirs: Counted as their code builds it.
        as_encoded: Counted as the dictionary says.
    """

    resolution: int
    published: Size
    theirs: Size
    as_encoded: Size


@dataclass(frozen=True)
class Gene:
    """Kernel and expansion of a block, and their place in the lists.

    Attributes:
        kernel: Of its depthwise convolution.
        expansion: Of its channels.
        entry: Position in the lists; None: past their end.
    """

    kernel: int
    expansion: int
    entry: int | None


@dataclass(frozen=True)
class BlockReading:
    """A block as encoded, and as the authors' code builds it.

    Attributes:
        stage: Counted from 1.
        block: Within its stage, counted from 1.
        encoded: What its dictionary says.
        built: What their code reads.
    """

    stage: int
    block: int
    encoded: Gene
    built: Gene


@dataclass(frozen=True)
class ExitReading:
    """The MACs of an exit, counts; all but the last two as their code builds it.

    Attributes:
        recorded: In the archive.
        counted: By us, in the `aebnas` convention.
        layers: The part of it that comes from convolutions and dense layers.
        elementwise: The part that the `aebnas` convention adds.
        resizes: What the standard convention adds instead.
        aligned: Counted as encoded, in the `aebnas` convention.
    """

    recorded: float
    counted: int
    layers: int
    elementwise: int
    resizes: int
    aligned: int


@dataclass(frozen=True)
class Example:
    """A candidate of the archive, worked out.

    Attributes:
        number: Its place in the archive.
        blocks: All of its blocks.
        exits: All of its exits.
    """

    number: int
    blocks: tuple[BlockReading, ...]
    exits: tuple[ExitReading, ...]


def compare() -> list[Deviation]:
    """The largest deviations over all candidates, for every reading of the archive."""
    rows = []
    for legacy in (True, False):
        for convention in reversed(CONVENTIONS):
            deviations = []
            for entry in archive.read():
                architecture = Architecture.from_ofa(entry.candidate, legacy)
                counted = macs(architecture, CLASSES, convention).per_exit
                deviations.append(
                    np.abs(np.subtract(counted, np.multiply(entry.macs, 1e6)))
                )
            rows.append(
                Deviation(
                    "theirs" if legacy else "as encoded",
                    convention,
                    max(float(each[0]) for each in deviations),
                    max(float(each.max()) for each in deviations),
                )
            )
    return rows


def anchors() -> list[Anchor]:
    """The two published static networks under both alignments, in `aebnas` MACs."""
    return [_anchor(*each) for each in ANCHORS]


def _anchor(candidate: dict, published_macs: float, parameters: float) -> Anchor:
    readings = {
        legacy: Architecture.from_ofa(candidate, legacy) for legacy in (True, False)
    }
    sizes = {}
    for legacy, architecture in readings.items():
        cost = macs(architecture, CLASSES, "aebnas")
        sizes[legacy] = Size(cost.per_exit[-1], cost.parameters)
    return Anchor(
        readings[False].resolution,
        published=Size(published_macs, parameters),
        theirs=sizes[True],
        as_encoded=sizes[False],
    )


def example(number: int = 0) -> Example:
    """One candidate of the archive, worked out.

    Args:
        number: Its place in the archive, from 0.
    """
    entry = archive.read()[number]
    encoded, built = (
        Architecture.from_ofa(entry.candidate, legacy) for legacy in (False, True)
    )
    entries = sum(len(stage.blocks) for stage in encoded.stages)
    blocks, start = [], 0
    for s, (meant, got) in enumerate(zip(encoded.stages, built.stages)):
        for j, (one, other) in enumerate(zip(meant.blocks, got.blocks)):
            source = 4 * s + j if 4 * s + j < entries else None
            blocks.append(
                BlockReading(
                    *(s + 1, j + 1),
                    encoded=Gene(one.kernel, one.expansion, start + j),
                    built=Gene(other.kernel, other.expansion, source),
                )
            )
        start += len(meant.blocks)
    theirs, standard = (macs(built, CLASSES, c) for c in ("aebnas", "standard"))
    aligned = macs(encoded, CLASSES, "aebnas")
    rows = []
    for k, total in enumerate(theirs.per_exit):
        resizes = sum(
            s - t for s, t in zip(standard.branches[: k + 1], theirs.branches)
        )
        layers = standard.per_exit[k] - resizes
        rows.append(
            ExitReading(
                recorded=entry.macs[k] * 1e6,
                counted=total,
                layers=layers,
                elementwise=total - layers,
                resizes=resizes,
                aligned=aligned.per_exit[k],
            )
        )
    return Example(number, tuple(blocks), tuple(rows))
