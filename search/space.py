"""The search space: architectures as integer genes and as named hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from zoo import heads
from zoo.architecture import (
    DEPTHS,
    EXIT_POSITIONS,
    EXPANSIONS,
    KERNELS,
    RESOLUTIONS,
    STAGE_KINDS,
    Architecture,
    Block,
    Stage,
)
from zoo.checks import check_thresholds
from zoo.heads import Gene

THRESHOLDS = (0.1, 0.2, 1.0)
OFF = "off"


class SpaceExhaustedError(ValueError):
    """There are no new candidates left."""


class SearchSpace:
    """Which networks a search may propose, and how they are written as integers.

    The full space is that of AEBNAS (arXiv 2512.10671): 82 genes, each in 0..2, the
    resolution in 0..10. Narrower spaces keep all genes, some with fewer values.

    Args:
        resolutions: Input resolutions to choose from.
        exits: Positions 0..3 at which an exit may exist; exit i follows stage i + 1.
            An empty sequence gives the space of static networks.
        head: What every exit is made of: "searched", the branch of AEBNAS, "fixed",
            that of EDANAS, or another registered head; see `zoo.heads`.
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
        head: str = "searched",
        thresholds: Sequence[float] = THRESHOLDS,
        tune_thresholds: bool = True,
    ) -> None:
        self.resolutions = _subset("resolutions", resolutions, RESOLUTIONS)
        if not self.resolutions:
            raise ValueError("resolutions is empty; expected at least one.")
        self.exits = _subset("exits", exits, range(EXIT_POSITIONS))
        self._kind = heads.get(head)
        self.head = head
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

    def _make_genes(self) -> Iterator[Gene]:
        for s in range(1, len(STAGE_KINDS) + 1):
            depth = f"stage{s}/depth"
            yield Gene(depth, DEPTHS)
            for name, options in (("kernel", KERNELS), ("expansion", EXPANSIONS)):
                for b in range(1, max(DEPTHS) + 1):
                    deep = tuple(d for d in DEPTHS if d >= b)
                    needs = ((depth, deep),) if len(deep) < len(DEPTHS) else ()
                    yield Gene(f"stage{s}/block{b}/{name}", options, needs)
        for e in range(EXIT_POSITIONS):
            options = self.thresholds if e in self.exits else (1.0,)
            yield Gene(f"exit{e + 1}/threshold", options)
        present = tuple(t for t in self.thresholds if t < 1)
        for e in range(EXIT_POSITIONS):
            exists = (f"exit{e + 1}/threshold", present)
            for gene in self._kind.genes():
                needs = (
                    (f"exit{e + 1}/{name}", options) for name, options in gene.needs
                )
                # Where there can be no exit there is nothing to choose.
                options = gene.options if e in self.exits else gene.options[:1]
                yield Gene(f"exit{e + 1}/{gene.name}", options, (exists, *needs))
        yield Gene("resolution", self.resolutions)

    def _first_values(self, gene: Gene) -> np.ndarray:
        """For each value of a gene, the first value with the same meaning."""
        if self.tune_thresholds and gene.name.endswith("/threshold"):
            meanings = [option == 1 for option in gene.options]
        else:
            meanings = list(gene.options)
        return np.array([meanings.index(meaning) for meaning in meanings])

    @property
    def genes(self) -> tuple[Gene, ...]:
        """The genes, in their order."""
        return self._genes

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
            SpaceExhaustedError: The space does not seem to hold that many.
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
                f"{n} new candidates could not be found: the space is exhausted."
            )
        return np.array(drawn, int).reshape(n, len(self._genes))

    def canonical(self, genes: Any) -> np.ndarray:
        """The genes that represent all those of the same network.

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
            None
            if threshold == 1
            else self._kind.from_genes(_below(f"exit{e + 1}/", value))
            for e, threshold in enumerate(thresholds)
        )
        return Architecture(value["resolution"], stages, branches, thresholds)

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
            if branch.name != self.head:
                raise ValueError(
                    f"branches[{e - 1}] is {branch}; expected a {self.head} one."
                )
            for name, option in branch.to_genes().items():
                value[f"exit{e}/{name}"] = option
        return self._from_options(value)

    def to_values(self, genes: Any) -> dict[str, Any]:
        """Named hyperparameters of a candidate, only the active ones.

        Thresholds are text, and "off" where there is no exit: keras-tuner sends floats
        between machines in single precision, which would change them.
        """
        genes = self.canonical(self._one(genes))
        return {
            gene.name: shown(gene.name, gene.options[value])
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
                meanings = {shown(name, option): option for option in self[name]}
                value = meanings.get(value, value)
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
                f"0..{self._counts[column] - 1}."
            )
        return genes.astype(int)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, plain numbers and lists."""
        return {
            "resolutions": list(self.resolutions),
            "exits": list(self.exits),
            "head": self.head,
            "thresholds": list(self.thresholds),
            "tune_thresholds": self.tune_thresholds,
        }


def _below(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }


def _subset(name: str, values: Iterable[int], allowed: Sequence[int]) -> tuple:
    values = tuple(values)
    for value in values:
        if value not in allowed:
            options = ", ".join(map(str, allowed))
            raise ValueError(f"{name} holds {value!r}; expected {options}.")
    return tuple(sorted(set(map(int, values))))


def shown(name: str, option: Any) -> Any:
    """An option of the gene of that name as a hyperparameter's value."""
    if not name.endswith("/threshold"):
        return option
    return OFF if option == 1 else repr(option)
