"""Networks as the report draws them: parts of the backbone, and exits with layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.architecture import HEAD_CHANNELS, STAGE_KINDS, STEM_CHANNELS, Architecture
from zoo.arithmetic import halved
from zoo.cost import Cost
from zoo.exits import Evaluation, OperatingPoint
from zoo.model_record import Report


@dataclass(frozen=True)
class Part:
    """A part of a backbone, such as a stage.

    Attributes:
        name: Such as "stage 1".
        detail: Its channels and the size of its feature map.
        blocks: What its blocks are, such as "k3 e4"; empty for what has none.
    """

    name: str
    detail: str
    blocks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exit:
    """An exit, or the final classifier.

    Attributes:
        name: Such as "after stage 1".
        part: Index of the part that it follows; None: the parts are not known.
        layers: What it is made of, a line each.
        backbone: MACs of the backbone up to here.
        branch: MACs of its own layers; 0 for the final classifier.
    """

    name: str
    part: int | None
    layers: tuple[str, ...]
    backbone: int
    branch: int


@dataclass(frozen=True)
class Network:
    """A network: its parts from input to output, and its exits.

    Attributes:
        parts: Empty for a network that is not of the paper's space, whose exits are
            drawn along its MACs instead.
        exits: The final classifier last.
    """

    parts: tuple[Part, ...]
    exits: tuple[Exit, ...]


@dataclass(frozen=True)
class Setting:
    """Thresholds and what they give.

    Attributes:
        thresholds: One per exit but the last; 1: switched off.
        accuracy: 0..1.
        average_macs: Per image.
        shares: Of the images that leave at each exit.
        macs: Of an image that leaves at each exit; empty: not known.
    """

    thresholds: tuple[float, ...]
    accuracy: float
    average_macs: float
    shares: tuple[float, ...]
    macs: tuple[int, ...]


@dataclass(frozen=True)
class Measured:
    """A network at the thresholds that it was saved with.

    Attributes:
        split: The images it was measured on.
        setting: The thresholds, and what they give.
        exit_accuracy: Of each exit on all images.
        leaving_accuracy: Of each exit on those that leave there; None: none does.
    """

    split: str
    setting: Setting
    exit_accuracy: tuple[float, ...]
    leaving_accuracy: tuple[float | None, ...]


def network(
    architecture: Architecture | None, names: Sequence[str], cost: Cost
) -> Network:
    """Describe a network.

    Args:
        architecture: The network; None: it is not of the paper's space.
        names: Of its exits, the final classifier last.
        cost: What it computes.
    """
    parts, places, layers = (), [None] * len(names), [()] * len(names)
    if architecture is not None:
        parts = _parts(architecture)
        places = [*(position + 2 for position in architecture.exits), len(parts) - 1]
        heads = (architecture.branches[position] for position in architecture.exits)
        layers = [*(_lines(head.to_json()) for head in heads), ("classifier",)]
    exits = zip(names, places, layers, cost.backbone, (*cost.branches, 0))
    return Network(parts, tuple(Exit(*each) for each in exits))


def attached(heads: Mapping[str, Any], found: Evaluation) -> Network:
    """Describe exits on a backbone by what was measured of them.

    Args:
        heads: The JSON of each head by the layer that it follows, first to last.
        found: At their own thresholds; its MACs place the exits.
    """
    exits = [
        Exit(name, None, _lines(head), spent, 0)
        for (name, head), spent in zip(heads.items(), found.macs)
    ]
    final = Exit("final", None, ("classifier",), found.macs[-1], 0)
    return Network((), (*exits, final))


def setting(point: OperatingPoint, cost: Cost | None) -> Setting:
    """An operating point, its MACs by that cost; None: as it was measured."""
    if cost is None:
        macs, average = getattr(point, "macs", ()), point.average_macs
    else:
        macs = cost.per_exit_at(point.thresholds)
        average = sum(share * each for share, each in zip(point.utilisation, macs))
    return Setting(
        point.thresholds, point.accuracy, float(average), point.utilisation, macs
    )


def measured(split: str, found: Evaluation | Report, cost: Cost | None) -> Measured:
    """An evaluation, its MACs by that cost."""
    return Measured(
        split, setting(found, cost), found.exit_accuracy, found.leaving_accuracy
    )


def _parts(architecture: Architecture) -> tuple[Part, ...]:
    size = architecture.resolution
    parts = [Part("input", f"{size} × {size} pixels")]
    size = halved(size)
    parts.append(Part("stem", _map(STEM_CHANNELS, size)))
    for i, (stage, kind) in enumerate(zip(architecture.stages, STAGE_KINDS), 1):
        size = halved(size) if kind.stride == 2 else size
        blocks = tuple(f"k{block.kernel} e{block.expansion}" for block in stage.blocks)
        parts.append(Part(f"stage {i}", _map(kind.channels, size), blocks))
    widths = " and ".join(map(str, HEAD_CHANNELS))
    return (*parts, Part("head", f"pooling, {widths} channels"))


def _map(channels: int, size: int) -> str:
    return f"{channels} channels, {size} × {size}"


def _lines(head: Any) -> tuple[str, ...]:
    """What a head's JSON says, a line for each of its modules."""
    if isinstance(head, (list, tuple)):
        return tuple(line for each in head for line in _lines(each))
    if not isinstance(head, Mapping):
        return (f"{head} head",)
    said = [f"{head['head']} head"] if "head" in head else []
    for key, value in head.items():
        if key != "head" and value is not False:
            said.append(key if value is True else f"{key} {value}")
    return (", ".join(said),)
