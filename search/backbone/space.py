"""The search space of exits on a backbone: where they are and what they are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from search.genes import OFF, GeneSpace, below
from zoo import heads as kinds
from zoo.checks import check_thresholds, whole_number
from zoo.exits import GRID, check_grid
from zoo.heads import Gene, Head
from zoo.names import unknown

HEADS = ("linear", "fixed", "token")  # of searched ones there are too many
MAX_EXITS = 3


class ExitSpace(GeneSpace):
    """Which exits a search may give a backbone, and how they are written as integers.

    Every exit has a gene for its place, one for the kind of its head, and those of the
    heads that have genes. Exits are sorted by their place, and a place has one exit at
    most. A head that a place cannot have stands for the first one that it can.

    Args:
        places: Layers that an exit may follow, first to last. The other arguments about
            places are filled in when the backbone is read; see
            `search.backbone.places`.
        shapes: Of the features after each of these layers, without the batch.
        fitting: Names of the heads that each place can have.
        macs: MACs up to each place and, last, of the whole backbone; counts.
        num_classes: Number of classes.
        heads: What an exit may be made of; see `zoo.heads`.
        max_exits: The most exits of a candidate, the final classifier not counted.
        thresholds: Values to try when the thresholds of a candidate are tuned.
        tune_thresholds: Always true: thresholds are no genes.

    Raises:
        ValueError: There is no such head, or a number is out of range.
    """

    def __init__(
        self,
        places: Sequence[str] = (),
        shapes: Sequence[Sequence[int]] = (),
        fitting: Sequence[Sequence[str]] = (),
        macs: Sequence[int] = (),
        num_classes: int = 2,
        heads: Sequence[str] = HEADS,
        max_exits: int = MAX_EXITS,
        thresholds: Sequence[float] = GRID,
        tune_thresholds: bool = True,
    ) -> None:
        self.places = _names("places", places)
        self.heads = _names("heads", heads)
        if not self.heads:
            raise ValueError("heads is empty; expected at least one.")
        for name in self.heads:
            kinds.get(name)
        self.shapes = tuple(tuple(map(int, shape)) for shape in shapes)
        self.fitting = tuple(map(tuple, fitting)) or (self.heads,) * len(self.places)
        self.macs = tuple(map(int, macs))
        self.num_classes = whole_number("num_classes", num_classes, 2)
        self.max_exits = whole_number("max_exits", max_exits, 1)
        self.thresholds = check_thresholds(thresholds)
        check_grid(self.max_exits + 1, self.thresholds)
        if not tune_thresholds:
            raise ValueError(
                "tune_thresholds is off; expected on: the thresholds of exits on a "
                "backbone are tuned."
            )
        self.tune_thresholds = True
        self._slots = min(self.max_exits, len(self.places))
        # The head that stands for each one at each place.
        self._head = np.array(
            [
                [self.heads.index(h if h in fits else fits[0]) for h in self.heads]
                for fits in self.fitting
            ]
        )
        super().__init__(self._make_genes())

    def _make_genes(self) -> Iterator[Gene]:
        for k in range(1, self._slots + 1):
            yield Gene(f"exit{k}/place", (*self.places, OFF))
            exists = (f"exit{k}/place", self.places)
            yield Gene(f"exit{k}/head", self.heads, (exists,))
            for name in self.heads:
                is_it = (f"exit{k}/head", (name,))
                for gene in kinds.get(name).genes():
                    prefix = f"exit{k}/{name}/"
                    needs = ((f"{prefix}{other}", o) for other, o in gene.needs)
                    yield Gene(
                        f"{prefix}{gene.name}", gene.options, (exists, is_it, *needs)
                    )

    def canonical(self, genes: Any) -> np.ndarray:
        """The genes that represent all those of the same network.

        The exits are sorted by their place, those that are off come last, and of two at
        a place the first one stays. Inactive genes become 0.

        Args:
            genes: Shape `(genes,)` or `(candidates, genes)`.

        Raises:
            ValueError: A gene is out of range; the message names it.
        """
        genes = self._checked(genes)
        if not self._slots:
            return genes
        off = len(self.places)
        exits = genes.reshape(-1, self._slots, len(self._genes) // self._slots)
        exits = _sorted(exits)
        places = exits[:, :, 0]  # a view
        places[:, 1:][places[:, 1:] == places[:, :-1]] = off
        exits = _sorted(exits)
        on = exits[:, :, 0] < off
        chosen = exits[on]
        chosen[:, 1] = self._head[chosen[:, 0], chosen[:, 1]]
        exits[on] = chosen
        return super().canonical(exits.reshape(genes.shape))

    def decode(self, genes: Any) -> dict[str, Head]:
        """The head of each exit by the layer that it follows, first to last.

        Raises:
            ValueError: The count is wrong or a gene is out of range.
        """
        value = self._options(self.canonical(self._one(genes)))
        exits = {}
        for k in range(1, self._slots + 1):
            place, name = value[f"exit{k}/place"], value[f"exit{k}/head"]
            if place != OFF:
                fields = below(f"exit{k}/{name}/", value)
                exits[place] = kinds.get(name).from_genes(fields)
        return exits

    def encode(self, exits: Mapping[str, Head]) -> np.ndarray:
        """The genes of exits; the inverse of `decode`.

        Raises:
            ValueError: The exits are not in this space; the message says why.
        """
        for place in exits:
            if place not in self.places:
                raise ValueError(unknown("place", place, self.places))
        if len(exits) > self._slots:
            raise ValueError(
                f"There are {len(exits)} exits; expected {self._slots} at most."
            )
        value: dict[str, Any] = {}
        for k in range(1, self._slots + 1):
            value[f"exit{k}/place"] = OFF
        for k, place in enumerate(sorted(exits, key=self.places.index), 1):
            head = exits[place]
            fits = self.fitting[self.places.index(place)]
            if head.name not in fits:
                raise ValueError(unknown("head", head.name, fits))
            value |= {f"exit{k}/place": place, f"exit{k}/head": head.name}
            for name, option in head.to_genes().items():
                value[f"exit{k}/{head.name}/{name}"] = option
        return self.canonical(self._from_options(value))

    def costs(self, genes: Any) -> np.ndarray:
        """What can be counted of a candidate without training, for surrogates.

        Args:
            genes: Genes of one candidate.

        Returns:
            Logarithms of the MACs up to each exit (of the whole backbone where there is
            none), of each head, of the first and of the last way through the network,
            and of the heads' parameters.
        """
        before = np.full(self._slots, float(self.macs[-1]))
        own = np.zeros(self._slots)
        parameters = 0
        for k, (place, head) in enumerate(self.decode(genes).items()):
            i = self.places.index(place)
            before[k] = self.macs[i]
            own[k], count = head_cost(head, self.shapes[i], self.num_classes)
            parameters += count
        first, last = before[:1] + own[:1], self.macs[-1] + own.sum()
        return np.log1p([*before, *own, *first, last, parameters])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, plain numbers, text and lists."""
        return {
            "places": list(self.places),
            "shapes": [list(shape) for shape in self.shapes],
            "fitting": [list(names) for names in self.fitting],
            "macs": list(self.macs),
            "num_classes": self.num_classes,
            "heads": list(self.heads),
            "max_exits": self.max_exits,
            "thresholds": list(self.thresholds),
            "tune_thresholds": self.tune_thresholds,
        }


def _sorted(exits: np.ndarray) -> np.ndarray:
    """The exits of each candidate, shape `(candidates, exits, genes)`, by place."""
    order = exits[:, :, 0].argsort(axis=1, kind="stable")
    return np.take_along_axis(exits, order[:, :, None], axis=1)


@cache
def head_cost(head: Head, shape: tuple[int, ...], num_classes: int) -> tuple[int, int]:
    """MACs (a count) and parameters of a head on features of that shape."""
    if len(shape) == 3 and shape[0] == shape[1]:
        return head.cost(shape[2], shape[0], num_classes, "standard")
    import keras

    from zoo.cost import count_layers

    features = keras.Input(shape)
    return count_layers(features, head.build(features, num_classes, "exit"))


def _names(field: str, names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str) or len(set(names)) < len(tuple(names)):
        raise ValueError(f"{field} is {names!r}; expected different names.")
    return tuple(map(str, names))
