"""A network as data: `Architecture` says everything about one candidate.

Cost, genes, JSON, model cards and the Keras model are all functions of it. The search
space is the one of AEBNAS (arXiv 2512.10671): a Once-for-All MobileNetV3 backbone of
width 1.0 (Cai et al., ICLR 2020) with up to four early exits, one after each of the
first four stages.
"""

from __future__ import annotations

import json
import numbers
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

KERNELS = (3, 5, 7)
EXPANSIONS = (3, 4, 6)
DEPTHS = (2, 3, 4)
RESOLUTIONS = tuple(range(32, 73, 4))
BRANCH_SIZES = (8, 10)
BRANCH_KERNELS = (3, 5)
BRANCH_EXPANSIONS = (1, 2)

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


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round to the nearest multiple of `divisor`, never more than 10 % below `value`.

    The channel rule of the MobileNet family (Sandler et al., CVPR 2018).
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _require(field: str, value: Any, allowed: Sequence[int]) -> int:
    """Return `value` as a plain int, or raise if it is not one of `allowed`."""
    if isinstance(value, (bool, str)) or value not in allowed:
        options = ", ".join(map(str, allowed))
        raise ValueError(f"{field} is {value!r}; expected {options}.")
    return int(value)


def _choose(instance: Any, name: str, allowed: Sequence[int]) -> None:
    """Validate one field of a frozen data class and store it as a plain int."""
    field = f"{type(instance).__name__}.{name}"
    object.__setattr__(
        instance, name, _require(field, getattr(instance, name), allowed)
    )


@dataclass(frozen=True)
class Block:
    """One inverted-residual block: depthwise `kernel` and channel `expansion`."""

    kernel: int
    expansion: int

    def __post_init__(self) -> None:
        _choose(self, "kernel", KERNELS)
        _choose(self, "expansion", EXPANSIONS)


@dataclass(frozen=True)
class Stage:
    """A run of two to four blocks at one width; the first one carries the stride."""

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", _tuple_of("Stage.blocks", self.blocks))
        _require("The number of Stage.blocks", len(self.blocks), DEPTHS)
        _require_types("Stage.blocks", self.blocks, Block)

    @classmethod
    def uniform(cls, depth: int, kernel: int, expansion: int) -> Stage:
        """A stage of `depth` equal blocks."""
        return cls((Block(kernel, expansion),) * depth)


@dataclass(frozen=True)
class ConvModule:
    """One module of a searched branch.

    Bicubic resize of the feature map to `size` x `size`, convolution with stride 2 and
    no padding to `expansion` times the channels, batch normalisation, ReLU, and with
    `pool` a 2x2 max pooling of stride 2.
    """

    size: int
    kernel: int = 3
    expansion: int = 1
    pool: bool = False

    def __post_init__(self) -> None:
        _choose(self, "size", BRANCH_SIZES)
        _choose(self, "kernel", BRANCH_KERNELS)
        _choose(self, "expansion", BRANCH_EXPANSIONS)
        if self.pool not in (0, 1):
            raise ValueError(f"ConvModule.pool is {self.pool!r}; expected True, False.")
        object.__setattr__(self, "pool", bool(self.pool))

    @property
    def convolved_size(self) -> int:
        """Height and width after the convolution."""
        return (self.size - self.kernel) // 2 + 1

    @property
    def output_size(self) -> int:
        """Height and width after the optional pooling."""
        return self.convolved_size // 2 if self.pool else self.convolved_size


@dataclass(frozen=True)
class Branch:
    """A searched exit branch: one or two modules, global pooling, classifier."""

    modules: tuple[ConvModule, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "modules", _tuple_of("Branch.modules", self.modules))
        _require("The number of Branch.modules", len(self.modules), (1, 2))
        _require_types("Branch.modules", self.modules, ConvModule)


@dataclass(frozen=True)
class FixedBranch:
    """The branch of EDANAS (Gambella and Roveri, IJCNN 2023), equal at every exit.

    1x1 convolution to 6c channels, batch normalisation, hard-swish; global average
    pooling; 1x1 convolution to 8c without normalisation or bias, hard-swish;
    classifier.
    """


@dataclass(frozen=True)
class Architecture:
    """One early-exit network.

    Args:
        resolution: Height and width, in pixels, at which the backbone sees an image.
        stages: Five `Stage`s.
        branches: Four entries, one after each of the stages 1 to 4: a `Branch`, a
            `FixedBranch`, or None where there is no exit. Default: no exits, which is
            the static baseline.
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
    branches: tuple[Branch | FixedBranch | None, ...] = (None,) * EXIT_POSITIONS
    thresholds: tuple[float, ...] = (1.0,) * EXIT_POSITIONS

    def __post_init__(self) -> None:
        for name in ("stages", "branches", "thresholds"):
            value = _tuple_of(f"Architecture.{name}", getattr(self, name))
            object.__setattr__(self, name, value)
        _choose(self, "resolution", RESOLUTIONS)
        _require_length("Architecture.stages", self.stages, len(STAGE_KINDS))
        _require_types("Architecture.stages", self.stages, Stage)
        _require_length("Architecture.branches", self.branches, EXIT_POSITIONS)
        _require_types(
            "Architecture.branches", self.branches, (Branch, FixedBranch, type(None))
        )
        _require_length("Architecture.thresholds", self.thresholds, EXIT_POSITIONS)
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
            "branches": [_branch_to_dict(branch) for branch in self.branches],
            "thresholds": list(self.thresholds),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Architecture:
        """Build from what `to_dict` returned.

        Raises:
            ValueError: A field is unknown, missing, of the wrong kind or out of range.
        """
        _check_fields("architecture", data, cls, optional=("branches", "thresholds"))
        stages = tuple(
            Stage(
                tuple(
                    _read(Block, block, f"stages[{i}][{j}]")
                    for j, block in enumerate(_list(f"stages[{i}]", stage))
                )
            )
            for i, stage in enumerate(_list("stages", data["stages"]))
        )
        rest = {}
        if "branches" in data:
            rest["branches"] = tuple(
                _branch_from_dict(branch, f"branches[{i}]")
                for i, branch in enumerate(_list("branches", data["branches"]))
            )
        if "thresholds" in data:
            rest["thresholds"] = tuple(_list("thresholds", data["thresholds"]))
        return cls(data["resolution"], stages, **rest)

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """JSON text of the architecture; also written to `path` if one is given."""
        text = json.dumps(self.to_dict(), indent=1)
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text + "\n")
        return text

    @classmethod
    def from_json(cls, source: str | os.PathLike) -> Architecture:
        """Read JSON text, or the file of that name.

        Raises:
            ValueError: The text is not JSON, or not an architecture.
            FileNotFoundError: There is no such file.
        """
        text = str(source)
        if not text.lstrip().startswith(("{", "[")):
            with open(source, encoding="utf-8") as file:
                text = file.read()
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"Not a JSON architecture: {error}.") from error
        return cls.from_dict(data)

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
        _require_length("d", depths, len(STAGE_KINDS))
        depths = [_require("A depth in d", depth, DEPTHS) for depth in depths]
        genes = list(zip(candidate["ks"], candidate["e"]))
        for key in ("ks", "e"):
            _require_length(key, candidate[key], sum(depths))

        stages, start = [], 0
        for s, depth in enumerate(depths):
            if legacy_alignment:
                used = (genes + [(7, 6)] * 20)[4 * s : 4 * s + depth]
            else:
                used = genes[start : start + depth]
            stages.append(Stage(tuple(Block(*gene) for gene in used)))
            start += depth

        thresholds = list(candidate.get("t", (1,) * EXIT_POSITIONS))
        _require_length("t", thresholds, EXIT_POSITIONS)
        if any(threshold != 1 for threshold in thresholds):
            _require_length("e_ks", candidate.get("e_ks", ()), EXIT_POSITIONS)
        branches = [
            None if threshold == 1 else _branch_from_ofa(candidate["e_ks"][i])
            for i, threshold in enumerate(thresholds)
        ]
        return cls(candidate["r"], tuple(stages), tuple(branches), tuple(thresholds))


def check_thresholds(
    thresholds: Sequence[float], field: str = "thresholds", count: int | None = None
) -> tuple[float, ...]:
    """Return the thresholds as floats, or raise a ValueError that names the bad one."""
    if not isinstance(thresholds, Iterable) or isinstance(thresholds, str):
        raise ValueError(f"{field} is {thresholds!r}; expected one number an exit.")
    thresholds = tuple(thresholds)
    if count is not None:
        _require_length(field, thresholds, count)
    for i, threshold in enumerate(thresholds):
        if not isinstance(threshold, numbers.Real) or not 0 <= threshold <= 1:
            raise ValueError(f"{field}[{i}] is {threshold!r}; expected 0 to 1.")
    return tuple(float(threshold) for threshold in thresholds)


def _branch_from_ofa(modules: Sequence[Sequence[int]]) -> Branch:
    if len(modules) != 2 or any(len(module) != 4 for module in modules):
        raise ValueError(
            f"A branch in e_ks is {modules!r}; expected two lists "
            "[size, kernel, expansion, pool]."
        )
    first, second = modules
    used = [first] if second[0] == 0 else [first, second]
    return Branch(tuple(ConvModule(*module) for module in used))


def _branch_to_dict(branch: Branch | FixedBranch | None) -> Any:
    if branch is None:
        return None
    if isinstance(branch, FixedBranch):
        return "fixed"
    return [asdict(module) for module in branch.modules]


def _branch_from_dict(data: Any, field: str) -> Branch | FixedBranch | None:
    if data is None:
        return None
    if data == "fixed":
        return FixedBranch()
    modules = _list(field, data, 'null, "fixed" or a list of modules')
    return Branch(
        tuple(_read(ConvModule, m, f"{field}[{i}]") for i, m in enumerate(modules))
    )


def _read(kind: type, data: Any, field: str) -> Any:
    """Build the data class `kind` from the dictionary found at `field`."""
    _check_fields(field, data, kind, optional=("expansion", "pool", "kernel"))
    try:
        return kind(**data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field}: {error}") from error


def _check_fields(
    field: str, data: Any, kind: type, optional: Sequence[str] = ()
) -> None:
    if not isinstance(data, Mapping):
        raise ValueError(f"{field} is {data!r}; expected an object with fields.")
    names = [f.name for f in fields(kind)]
    unknown = sorted(set(data) - set(names))
    missing = [n for n in names if n not in data and n not in optional]
    if unknown or missing:
        raise ValueError(
            f"{field} has "
            + " and ".join(
                [f"unknown fields {unknown}"] * bool(unknown)
                + [f"missing fields {missing}"] * bool(missing)
            )
            + f"; expected {names}."
        )


def _list(field: str, value: Any, expected: str = "a list") -> list:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{field} is {value!r}; expected {expected}.")
    return list(value)


def _tuple_of(field: str, value: Any) -> tuple:
    return tuple(_list(field, value))


def _require_length(field: str, value: Sequence[Any], count: int) -> None:
    if len(value) != count:
        raise ValueError(f"{field} has {len(value)} entries; expected {count}.")


def _require_types(field: str, values: Sequence[Any], kinds: Any) -> None:
    for i, value in enumerate(values):
        if not isinstance(value, kinds):
            names = [
                "None" if kind is type(None) else kind.__name__
                for kind in (kinds if isinstance(kinds, tuple) else (kinds,))
            ]
            raise ValueError(f"{field}[{i}] is {value!r}; expected {', '.join(names)}.")
