"""Candidates as integers: what every search space has in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from zoo.heads import Gene

OFF = "off"


class SpaceExhaustedError(ValueError):
    """There are no new candidates left."""


class Space(Protocol):
    """What the oracle, the proposers and the surrogates need of a search space.

    A candidate is a row of integers, its genes. `GeneSpace` implements all of it but
    `decode`, `encode` and `costs`.
    """

    tune_thresholds: bool
    thresholds: tuple[float, ...]

    @property
    def genes(self) -> tuple[Gene, ...]:
        """The genes, in their order, each after those that it needs."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the genes."""

    @property
    def counts(self) -> np.ndarray:
        """How many values each gene has: 0 to count - 1."""

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        """Options of the gene of that name, in the order of its values."""

    def sample(
        self, n: int, rng: np.random.Generator, known: Iterable[Sequence[int]] = ()
    ) -> np.ndarray:
        """Draw different candidates; canonical genes of shape `(n, genes)`."""

    def canonical(self, genes: Any) -> np.ndarray:
        """The genes that represent all those of the same network."""

    def decode(self, genes: Any) -> Any:
        """The network that genes mean."""

    def encode(self, network: Any) -> np.ndarray:
        """The genes of a network; the inverse of `decode`."""

    def costs(self, genes: Any) -> np.ndarray:
        """What can be counted of a candidate without training, for surrogates.

        Args:
            genes: Canonical genes of one candidate.

        Returns:
            Logarithms of MACs and parameters, always as many.
        """

    def to_values(self, genes: Any) -> dict[str, Any]:
        """Named hyperparameters of a candidate, only the active ones."""

    def from_values(self, values: Mapping[str, Any]) -> np.ndarray:
        """The canonical genes of named hyperparameters."""


class GeneSpace:
    """A search space made of genes; a `Space` once `decode` and the like are added.

    Args:
        genes: The genes, each after those that it needs.
    """

    def __init__(self, genes: Iterable[Gene]) -> None:
        self._genes = tuple(genes)
        self._index = {gene.name: i for i, gene in enumerate(self._genes)}
        self._counts = np.array([len(gene.options) for gene in self._genes])
        self._first = [self._first_values(gene) for gene in self._genes]
        self._needs = [
            [(self._index[name], np.isin(self[name], options)) for name, options in n]
            for n in (gene.needs for gene in self._genes)
        ]

    def _first_values(self, gene: Gene) -> np.ndarray:
        """For each value of a gene, the first value with the same meaning."""
        return np.array([gene.options.index(option) for option in gene.options])

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
        """How many values each gene has: 0 to count - 1. Shape `(genes,)`."""
        return self._counts.copy()

    def sample(
        self, n: int, rng: np.random.Generator, known: Iterable[Sequence[int]] = ()
    ) -> np.ndarray:
        """Draw different candidates, every value of every gene being equally likely.

        Options that are listed twice are thereby drawn twice as often.

        Args:
            n: How many.
            rng: Source of randomness.
            known: Canonical genes that are not to be drawn.

        Returns:
            Canonical genes of shape `(n, genes)`.

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

        Inactive genes become 0, and so do repeated options.

        Args:
            genes: Shape `(genes,)` or `(candidates, genes)`.

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

    def _options(self, genes: Any) -> dict[str, Any]:
        """The meanings of one candidate's genes, by name."""
        values = self._one(genes).tolist()
        return {gene.name: gene.options[i] for gene, i in zip(self._genes, values)}

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
            raise ValueError(
                f"genes have the shape {genes.shape}; expected ({len(self._genes)},)."
            )
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


def below(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values whose names begin with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in values.items()
        if name.startswith(prefix)
    }


def shown(name: str, option: Any) -> Any:
    """An option of the gene of that name as a hyperparameter's value."""
    if not name.endswith("/threshold"):
        return option
    return OFF if option == 1 else repr(option)
