"""The search space: architectures as integer genes and as named hyperparameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras_tuner
import numpy as np

from zoo.architecture import (
    BRANCH_SIZES,
    DEPTHS,
    EXIT_POSITIONS,
    EXPANSIONS,
    KERNELS,
    RESOLUTIONS,
    STAGE_KINDS,
    Architecture,
    Block,
    Branch,
    ConvModule,
    FixedBranch,
    Stage,
    check_thresholds,
)

MODULES = 2
# The authors' own lists; a repeated option is only drawn more often.
SIZES = ((8, 8, 10), (0, 8, 10))  # 0: no second module
BRANCH_GENES = {"kernel": (3, 3, 5), "expansion": (1, 1, 2), "pool": (0, 0, 1)}
THRESHOLDS = (0.1, 0.2, 1.0)
OFF = "off"


class _Gene(NamedTuple):
    """One integer: its hyperparameter's name and what its values 0, 1, ... mean.

    It is active where each gene in `needs` has one of the given meanings.
    """

    name: str
    options: tuple[Any, ...]
    needs: tuple[tuple[str, tuple[Any, ...]], ...] = ()


class SpaceExhaustedError(ValueError):
    """There are no more candidates that are not known yet."""


class SearchSpace:
    """Which networks a search may propose, and how they are written as integers.

    The full space is that of AEBNAS (arXiv 2512.10671): 82 genes, each in 0..2, the
    resolution in 0..10. Narrower spaces keep all genes, some with fewer values.

    Args:
        resolutions: Input resolutions to choose from.
        exits: Positions 0..3 at which an exit may exist; exit i follows stage i + 1.
            None at all is the space of static networks.
        fixed_branches: Give every exit the branch of EDANAS instead of a searched one.
        thresholds: Options of every exit's threshold; 1 means that the exit is absent.
        tune_thresholds: Whether thresholds are chosen after the training of a
            candidate. If so, a threshold gene only says whether the exit exists, and
            candidates that differ in nothing else count as the same.

    Raises:
        ValueError: An option is not allowed.

    Example:
        >>> space = search.SearchSpace()
        >>> genes = space.sample(1, np.random.default_rng(0))[0]
        >>> space.decode(genes).resolution
        64
    """

    def __init__(
        self,
        resolutions: Sequence[int] = RESOLUTIONS,
        exits: Sequence[int] = tuple(range(EXIT_POSITIONS)),
        fixed_branches: bool = False,
        thresholds: Sequence[float] = THRESHOLDS,
        tune_thresholds: bool = True,
    ) -> None:
        self.resolutions = _subset("resolutions", resolutions, RESOLUTIONS)
        if not self.resolutions:
            raise ValueError("resolutions is empty; expected at least one.")
        self.exits = _subset("exits", exits, range(EXIT_POSITIONS))
        self.fixed_branches = bool(fixed_branches)
        self.thresholds = check_thresholds(thresholds)
        if self.exits and not any(threshold < 1 for threshold in self.thresholds):
            raise ValueError(
                f"thresholds is {thresholds!r}; expected at least one below 1, or "
                "no exits."
            )
        self.tune_thresholds = bool(tune_thresholds)
        self._genes = tuple(self._make_genes())
        self._index = {gene.name: i for i, gene in enumerate(self._genes)}
        self._counts = np.array([len(gene.options) for gene in self._genes])
        self._first = [self._first_values(gene) for gene in self._genes]
        self._needs = [
            [(self._index[name], np.isin(self[name], options)) for name, options in n]
            for n in (gene.needs for gene in self._genes)
        ]

    def _make_genes(self) -> Iterator[_Gene]:
        for s in range(1, len(STAGE_KINDS) + 1):
            depth = f"stage{s}/depth"
            yield _Gene(depth, DEPTHS)
            for name, options in (("kernel", KERNELS), ("expansion", EXPANSIONS)):
                for b in range(1, max(DEPTHS) + 1):
                    deep = tuple(d for d in DEPTHS if d >= b)
                    needs = ((depth, deep),) if len(deep) < len(DEPTHS) else ()
                    yield _Gene(f"stage{s}/block{b}/{name}", options, needs)
        for e in range(EXIT_POSITIONS):
            options = self.thresholds if e in self.exits else (1.0,)
            yield _Gene(f"exit{e + 1}/threshold", options)
        present = tuple(t for t in self.thresholds if t < 1)
        for e in range(EXIT_POSITIONS):
            searched = e in self.exits and not self.fixed_branches
            for m in range(MODULES):
                module = f"exit{e + 1}/module{m + 1}"
                needs = ((f"exit{e + 1}/threshold", present),)
                sizes = SIZES[m] if searched else SIZES[m][:1]
                yield _Gene(f"{module}/size", sizes, needs)
                if m > 0:
                    exists = tuple(size for size in BRANCH_SIZES if size in sizes)
                    needs = (*needs, (f"{module}/size", exists))
                for name, options in BRANCH_GENES.items():
                    options = options if searched else options[:1]
                    yield _Gene(f"{module}/{name}", options, needs)
        yield _Gene("resolution", self.resolutions)

    def _first_values(self, gene: _Gene) -> np.ndarray:
        """For each value of a gene, the first value that stands for the same."""
        if self.tune_thresholds and gene.name.endswith("/threshold"):
            meanings = [option == 1 for option in gene.options]
        else:
            meanings = list(gene.options)
        return np.array([meanings.index(meaning) for meaning in meanings])

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        """Options of the gene of that name, in the order of its values."""
        if name not in self._index:
            raise ValueError(f"This search space has no {name!r}.")
        return self._genes[self._index[name]].options

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the genes, such as `stage2/block3/kernel`, in their order."""
        return tuple(gene.name for gene in self._genes)

    @property
    def counts(self) -> np.ndarray:
        """How many values each gene has: 0 to count - 1. Shape `(82,)`."""
        return self._counts.copy()

    def sample(
        self, n: int, rng: np.random.Generator, known: Iterable[Sequence[int]] = ()
    ) -> np.ndarray:
        """Draw different candidates, every value of every gene being equally likely.

        Options that the authors list twice are thereby drawn twice as often.

        Args:
            n: How many.
            rng: Source of randomness.
            known: Canonical genes that are not to be drawn.

        Returns:
            Canonical genes of shape `(n, 82)`.

        Raises:
            SpaceExhaustedError: The space seems not to hold so many.
        """
        seen = {tuple(map(int, genes)) for genes in known}
        drawn: list[tuple[int, ...]] = []
        for _ in range(100 * n + 1000):
            if len(drawn) >= n:
                break
            genes = tuple(self.canonical(rng.integers(self._counts)).tolist())
            if genes not in seen:
                seen.add(genes)
                drawn.append(genes)
        if len(drawn) < n:
            raise SpaceExhaustedError(
                f"{n} candidates that are not known yet could not be found: the space "
                "is exhausted."
            )
        return np.array(drawn, int).reshape(n, len(self._genes))

    def canonical(self, genes: Any) -> np.ndarray:
        """The genes that stand for all that give the same network.

        Inactive genes (blocks past a stage's depth, branches that do not exist) become
        0, and so do repeated options. See `tune_thresholds` for thresholds.

        Args:
            genes: Shape `(82,)` or `(candidates, 82)`.

        Raises:
            ValueError: A gene is out of range; the message names it.
        """
        genes = self._checked(genes).copy()
        columns = np.moveaxis(genes, -1, 0)
        for i, (first, needs) in enumerate(zip(self._first, self._needs)):
            values = first[columns[i]]
            for parent, allowed in needs:
                values = np.where(allowed[columns[parent]], values, 0)
            columns[i] = values
        return genes

    def decode(self, genes: Any) -> Architecture:
        """The architecture that 82 genes mean.

        Raises:
            ValueError: The count is wrong or a gene is out of range.
        """
        genes = self._one(genes)
        value = {
            gene.name: gene.options[i] for gene, i in zip(self._genes, genes.tolist())
        }
        stages = tuple(
            Stage(
                tuple(
                    Block(
                        value[f"{s}/block{b}/kernel"], value[f"{s}/block{b}/expansion"]
                    )
                    for b in range(1, value[f"{s}/depth"] + 1)
                )
            )
            for s in (f"stage{i + 1}" for i in range(len(STAGE_KINDS)))
        )
        thresholds = tuple(
            value[f"exit{e + 1}/threshold"] for e in range(EXIT_POSITIONS)
        )
        branches = tuple(
            None if threshold == 1 else self._branch(value, f"exit{e + 1}")
            for e, threshold in enumerate(thresholds)
        )
        return Architecture(value["resolution"], stages, branches, thresholds)

    def _branch(self, value: Mapping[str, Any], name: str) -> Branch | FixedBranch:
        if self.fixed_branches:
            return FixedBranch()
        modules = (f"{name}/module{m + 1}" for m in range(MODULES))
        return Branch(
            tuple(
                ConvModule(
                    value[f"{module}/size"],
                    **{field: value[f"{module}/{field}"] for field in BRANCH_GENES},
                )
                for module in modules
                if value[f"{module}/size"]
            )
        )

    def encode(self, architecture: Architecture) -> np.ndarray:
        """The 82 genes of an architecture; inactive ones are 0.

        `decode(encode(architecture))` is the architecture again, thresholds included.

        Raises:
            ValueError: The architecture is not in this space; the message says why.
        """
        value: dict[str, Any] = {"resolution": architecture.resolution}
        for s, stage in enumerate(architecture.stages, 1):
            value[f"stage{s}/depth"] = len(stage.blocks)
            for b, block in enumerate(stage.blocks, 1):
                value[f"stage{s}/block{b}/kernel"] = block.kernel
                value[f"stage{s}/block{b}/expansion"] = block.expansion
        for e, branch in enumerate(architecture.branches, 1):
            value[f"exit{e}/threshold"] = architecture.thresholds[e - 1]
            if branch is None:
                continue
            if isinstance(branch, FixedBranch) != self.fixed_branches:
                kind = "fixed" if self.fixed_branches else "searched"
                raise ValueError(
                    f"branches[{e - 1}] is {branch}; expected a {kind} one."
                )
            for m, module in enumerate(getattr(branch, "modules", ()), 1):
                value[f"exit{e}/module{m}/size"] = module.size
                for field in BRANCH_GENES:
                    option = getattr(module, field)
                    value[f"exit{e}/module{m}/{field}"] = int(option)
        return self._from_options(value)

    def hyperparameters(self) -> keras_tuner.HyperParameters:
        """The space as keras-tuner's conditional hyperparameters, for any oracle."""
        hyperparameters = keras_tuner.HyperParameters()
        for gene in self._genes:
            options = [_shown(gene.name, option) for option in gene.options]
            with contextlib.ExitStack() as scopes:
                for name, needed in gene.needs:
                    shown = [_shown(name, o) for o in needed if o in self[name]]
                    if not shown:
                        break  # never active
                    scopes.enter_context(hyperparameters.conditional_scope(name, shown))
                else:
                    hyperparameters.Choice(gene.name, list(dict.fromkeys(options)))
        return hyperparameters

    def to_values(self, genes: Any) -> dict[str, Any]:
        """Named hyperparameters of a candidate, the active ones alone.

        Thresholds are text, and "off" where there is no exit: keras-tuner sends floats
        between machines in single precision, which would change them.
        """
        genes = self.canonical(self._one(genes))
        return {
            gene.name: _shown(gene.name, gene.options[value])
            for gene, value, needs in zip(self._genes, genes.tolist(), self._needs)
            if all(allowed[genes[parent]] for parent, allowed in needs)
        }

    def from_values(self, values: Mapping[str, Any]) -> np.ndarray:
        """The canonical genes of named hyperparameters; the inverse of `to_values`.

        Raises:
            ValueError: A name or a value is not of this space.
        """
        options = {}
        for name, value in values.items():
            if name.endswith("/threshold"):
                shown = {_shown(name, option): option for option in self[name]}
                value = shown.get(value, value)
            options[name] = value
        return self.canonical(self._from_options(options))

    def _from_options(self, value: Mapping[str, Any]) -> np.ndarray:
        genes = np.zeros(len(self._genes), int)
        for name, option in value.items():
            options = self[name]
            if option not in options:
                allowed = ", ".join(map(str, dict.fromkeys(options)))
                raise ValueError(
                    f"{name} is {option!r}; this search space allows {allowed}."
                )
            genes[self._index[name]] = options.index(option)
        return genes

    def _one(self, genes: Any) -> np.ndarray:
        genes = self._checked(genes)
        if genes.ndim != 1:
            raise ValueError(f"genes have the shape {genes.shape}; expected (82,).")
        return genes

    def _checked(self, genes: Any) -> np.ndarray:
        genes = np.asarray(genes)
        if genes.ndim not in (1, 2) or genes.shape[-1] != len(self._genes):
            raise ValueError(
                f"genes have the shape {genes.shape}; expected ({len(self._genes)},)"
                f" or (candidates, {len(self._genes)})."
            )
        if not np.issubdtype(genes.dtype, np.integer):
            raise ValueError(f"genes are {genes.dtype}; expected integers.")
        wrong = np.argwhere((genes < 0) | (genes >= self._counts))
        if len(wrong):
            *row, column = wrong[0]
            raise ValueError(
                f"The gene {self.names[column]} is {genes[(*row, column)]}; expected "
                f"is 0..{self._counts[column] - 1}."
            )
        return genes.astype(int)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, plain numbers and lists."""
        return {
            "resolutions": list(self.resolutions),
            "exits": list(self.exits),
            "fixed_branches": self.fixed_branches,
            "thresholds": list(self.thresholds),
            "tune_thresholds": self.tune_thresholds,
        }


def _subset(name: str, values: Iterable[int], allowed: Sequence[int]) -> tuple:
    values = tuple(values)
    for value in values:
        if value not in allowed:
            options = ", ".join(map(str, allowed))
            raise ValueError(f"{name} holds {value!r}; expected {options}.")
    return tuple(sorted(set(map(int, values))))


def _shown(name: str, option: Any) -> Any:
    """An option as a hyperparameter's value."""
    if not name.endswith("/threshold"):
        return option
    return OFF if option == 1 else repr(option)
