"""A network as data: `Architecture` says everything about one candidate.

Cost, genes, JSON, model cards and the Keras model are all functions of it. The search
space is the one of AEBNAS (arXiv 2512.10671): a Once-for-All MobileNetV3 backbone of
width 1.0 (Cai et al., ICLR 2020) with up to four early exits, one after each of the
first four stages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from zoo import heads
from zoo.checks import (
    check_fields,
    check_thresholds,
    choose,
    list_of,
    read_fields,
    require,
    require_length,
    require_types,
    tuple_of,
)
from zoo.files import write_text

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
DEPTHS = (2, 3, 4)
RESOLUTIONS = tuple(range(32, 73, 4))

STEM_CHANNELS = 16
HEAD_CHANNELS = (960, 1280)


@dataclass(frozen=True)
class StageKind:
    """What every candidate's stage at one position has in common."""

    channels: int
    stride: int
    activation: str
    squeeze_excite: bool


STAGE_KINDS = (
    StageKind(24, 2, "relu", False),
    StageKind(40, 2, "relu", True),
    StageKind(80, 2, "hard_swish", False),
    StageKind(112, 1, "hard_swish", True),
    StageKind(160, 2, "hard_swish", True),
)
EXIT_POSITIONS = 4  # an exit may follow stages 1 to 4


@dataclass(frozen=True)
class Block:
    """One inverted-residual block: depthwise `kernel` and channel `expansion`."""

    kernel: int
    expansion: int

    def __post_init__(self) -> None:
        choose(self, "kernel", KERNELS)
        choose(self, "expansion", EXPANSIONS)


@dataclass(frozen=True)
class Stage:
    """A run of two to four blocks at one width; the first one carries the stride."""

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple_of("Stage.blocks", self.blocks))
        require("The number of Stage.blocks", len(self.blocks), DEPTHS)
        require_types("Stage.blocks", self.blocks, Block)

    @classmethod
    def uniform(cls, depth: int, kernel: int, expansion: int) -> Stage:
        """A stage of `depth` equal blocks."""
        depth = require("The depth of a stage", depth, DEPTHS)
        return cls((Block(kernel, expansion),) * depth)


@dataclass(frozen=True)
class Architecture:
    """One early-exit network.

    Args:
        resolution: Height and width, in pixels, at which the backbone sees an image.
        stages: Five `Stage`s.
        branches: Four entries, one after each of the stages 1 to 4: a head, such as a
            `Branch` (see `zoo.heads`), or None where there is no exit. Default: no
            exits, which is the static baseline.
        thresholds: Four numbers in 0..1; a sample leaves at the first exit whose
            confidence reaches its threshold. Exactly 1 where there is no exit.

    Raises:
        ValueError: A value is not allowed; the message names field, value and options.

    Example:
        >>> import zoo
        >>> stage = zoo.Stage.uniform(depth=2, kernel=5, expansion=3)
        >>> branch = zoo.Branch((zoo.ConvModule(size=8),))
        >>> zoo.Architecture(
        ...     32, (stage,) * 5, (None, branch, None, branch), (1, 0.5, 1, 0.5)
        ... ).exits
        (1, 3)
    """

    resolution: int
    stages: tuple[Stage, ...]
    branches: tuple[heads.Head | None, ...] = (None,) * EXIT_POSITIONS
    thresholds: tuple[float, ...] = (1.0,) * EXIT_POSITIONS

    def __post_init__(self) -> None:
        for name in ("stages", "branches", "thresholds"):
            value = tuple_of(f"Architecture.{name}", getattr(self, name))
            object.__setattr__(self, name, value)
        choose(self, "resolution", RESOLUTIONS)
        require_length("Architecture.stages", self.stages, len(STAGE_KINDS))
        require_types("Architecture.stages", self.stages, Stage)
        require_length("Architecture.branches", self.branches, EXIT_POSITIONS)
        require_types("Architecture.branches", self.branches, (heads.Head, type(None)))
        require_length("Architecture.thresholds", self.thresholds, EXIT_POSITIONS)
        thresholds = check_thresholds(self.thresholds, "Architecture.thresholds")
        object.__setattr__(self, "thresholds", thresholds)
        for i, (branch, threshold) in enumerate(zip(self.branches, thresholds)):
            if (branch is None) != (threshold == 1):
                raise ValueError(
                    f"Architecture.thresholds[{i}] is {threshold} but "
                    f"Architecture.branches[{i}] is {branch}: a threshold of 1 means "
                    "that there is no exit, and only an absent exit has it. Set "
                    f"branches[{i}] to None and the threshold to 1, or give both."
                )

    @property
    def exits(self) -> tuple[int, ...]:
        """Positions 0..3 of the existing exits; exit i follows stage i + 1."""
        return tuple(i for i, branch in enumerate(self.branches) if branch is not None)

    @property
    def exit_names(self) -> tuple[str, ...]:
        """What to call the exits: by the stage before each; the final one last."""
        return (*(f"after stage {i + 1}" for i in self.exits), "final")

    @property
    def exit_thresholds(self) -> tuple[float, ...]:
        """Thresholds of the existing exits only."""
        return tuple(self.thresholds[i] for i in self.exits)

    def at(self, thresholds: Sequence[float]) -> Architecture:
        """This network with other thresholds, exits that are switched off left out.

        Args:
            thresholds: One per existing exit, in 0..1; 1 removes the exit.

        Raises:
            ValueError: Their count or a value is wrong.
        """
        values = check_thresholds(thresholds, count=len(self.exits))
        branches, every = [None] * EXIT_POSITIONS, [1.0] * EXIT_POSITIONS
        for position, threshold in zip(self.exits, values):
            if threshold < 1:
                branches[position] = self.branches[position]
                every[position] = threshold
        return replace(self, branches=tuple(branches), thresholds=tuple(every))

    def to_dict(self) -> dict[str, Any]:
        """A dictionary of plain numbers and lists; `from_dict` reads it back."""
        return {
            "resolution": self.resolution,
            "stages": [[asdict(b) for b in stage.blocks] for stage in self.stages],
            "branches": [b if b is None else b.to_json() for b in self.branches],
            "thresholds": list(self.thresholds),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Build from what `to_dict` returned.

        Raises:
            ValueError: A field is unknown, missing, of the wrong kind or out of range.
        """
        check_fields("architecture", data, cls, optional=("branches", "thresholds"))
        stages = tuple(
            Stage(
                tuple(
                    read_fields(Block, block, f"stages[{i}][{j}]")
                    for j, block in enumerate(list_of(f"stages[{i}]", stage))
                )
            )
            for i, stage in enumerate(list_of("stages", data["stages"]))
        )
        rest = {}
        if "branches" in data:
            rest["branches"] = tuple(
                b if b is None else heads.from_json(b, f"branches[{i}]")
                for i, b in enumerate(list_of("branches", data["branches"]))
            )
        if "thresholds" in data:
            rest["thresholds"] = tuple(list_of("thresholds", data["thresholds"]))
        return cls(data["resolution"], stages, **rest)

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """JSON text of the architecture; also written to `path` if one is given."""
        text = json.dumps(self.to_dict(), indent=1)
        if path is not None:
            write_text(path, text + "\n")
        return text

    @classmethod
    def from_json(cls, source: str | os.PathLike) -> Architecture:
        """Read JSON text, or the file of that name.

        Raises:
            ValueError: The text is not JSON, or not an architecture.
            FileNotFoundError: There is no such file.
            TypeError: The source is neither text nor a path.
        """
        text = os.fspath(source)  # raises for numbers, which would be open files
        if not text.lstrip().startswith(("{", "[")):
            with open(source, "rb") as file:
                text = file.read()
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"Not a JSON architecture: {error}.") from error
        try:
            return cls.from_dict(data)
        except RecursionError as error:
            raise ValueError("Not an architecture: it is nested too deep.") from error

    @classmethod
    def from_ofa(
        cls, candidate: Mapping[str, Any], legacy_alignment: bool = False
    ) -> Architecture:
        """Read a dictionary of the authors' code.

        Args:
            candidate: `ks` and `e` (kernel and expansion of every block, stage after
                stage), `d` (five depths), `r` (resolution) and, for networks with
                exits, `t` (four thresholds) and `e_ks` (four branches, each two lists
                [size, kernel, expansion, pool]; size 0: no second module).
            legacy_alignment: Give every block the genes that the authors' code really
                hands it. Their supernet has four blocks per stage, active or not, and
                reads the unpadded lists by that count: block j of stage s gets entry
                4 s + j, and kernel 7, expansion 6 where the list has ended. Their
                published MACs can only be reproduced this way. The default reads the
                lists as the encoding means them.

        Raises:
            ValueError: A key is missing or a value is not allowed.
        """
        missing = [key for key in ("ks", "e", "d", "r") if key not in candidate]
        if missing:
            raise ValueError(f"The candidate has no {', '.join(missing)}.")
        depths = list(candidate["d"])
        require_length("d", depths, len(STAGE_KINDS))
        depths = [require("A depth in d", depth, DEPTHS) for depth in depths]
        genes = list(zip(candidate["ks"], candidate["e"]))
        for key in ("ks", "e"):
            require_length(key, candidate[key], sum(depths))

        stages, start = [], 0
        for s, depth in enumerate(depths):
            if legacy_alignment:
                used = (genes + [(7, 6)] * 20)[4 * s : 4 * s + depth]
            else:
                used = genes[start : start + depth]
            stages.append(Stage(tuple(Block(*gene) for gene in used)))
            start += depth

        thresholds = list(candidate.get("t", (1,) * EXIT_POSITIONS))
        require_length("t", thresholds, EXIT_POSITIONS)
        if any(threshold != 1 for threshold in thresholds):
            require_length("e_ks", candidate.get("e_ks", ()), EXIT_POSITIONS)
        branches = [
            None if threshold == 1 else heads.Branch.from_ofa(candidate["e_ks"][i])
            for i, threshold in enumerate(thresholds)
        ]
        return cls(candidate["r"], tuple(stages), tuple(branches), tuple(thresholds))
