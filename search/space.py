"""The search space: architectures as integer genes and as named hyperparameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from search.genes import OFF, GeneSpace, SpaceExhaustedError, below, shown
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
from zoo.cost import macs
from zoo.heads import FixedBranch, Gene

__all__ = ["OFF", "THRESHOLDS", "SearchSpace", "SpaceExhaustedError", "shown"]

THRESHOLDS = (0.1, 0.2, 1.0)


class SearchSpace(GeneSpace):
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
        super().__init__(self._make_genes())

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

    def decode(self, genes: Any) -> Architecture:
        """The architecture that 82 genes mean.

        Raises:
            ValueError: The count is wrong or a gene is out of range.
        """
        value = self._options(genes)
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
            else self._kind.from_genes(below(f"exit{e + 1}/", value))
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

    def costs(self, genes: Any) -> np.ndarray:
        """What can be counted of a candidate without training, for surrogates.

        Args:
            genes: Genes of one candidate, shape `(82,)`.

        Returns:
            Logarithms of the MACs up to each position, of each branch (0 where there is
            none), and of the parameters, in the standard convention and for ten classes
            (as inputs, any would do). Shape `(12,)`.
        """
        architecture = self.decode(genes)
        everywhere = replace(
            architecture,
            branches=(FixedBranch(),) * EXIT_POSITIONS,
            thresholds=(0.5,) * EXIT_POSITIONS,
        )
        backbone = macs(everywhere, 10).backbone
        own = macs(architecture, 10)
        branches = np.zeros(EXIT_POSITIONS)
        branches[list(architecture.exits)] = own.branches
        totals = (own.per_exit[0], own.per_exit[-1], own.parameters)
        return np.log1p(np.array([*backbone, *branches, *totals], float))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, plain numbers and lists."""
        return {
            "resolutions": list(self.resolutions),
            "exits": list(self.exits),
            "head": self.head,
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
