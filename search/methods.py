"""Search methods as configurations of one space, one tuner and a proposer. A registry.

To add one, register it in a file of your own, and name that file on the command line
with `--load FILE` (in Python, importing it is enough):

    import numpy as np
    from search import methods

    class Mutations:
        def __init__(self, space):
            self.space = space

        def propose(self, trials, rng, known):
            best = min(trials, key=lambda trial: trial.metrics["error"])
            children = np.tile(best.genes, (8, 1))
            some = rng.random(children.shape) < 0.1
            children[some] = rng.integers(np.tile(self.space.counts, (8, 1)))[some]
            return children

    methods.register(
        methods.Method(
            "mutations",
            "changes a tenth of the best candidate's genes",
            lambda settings, space: Mutations(space),
        )
    )
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.names import add, find

if TYPE_CHECKING:
    from search.genes import Space
    from search.proposers import Proposer
    from search.settings import Settings


@dataclass(frozen=True)
class Method:
    """What a method does differently from the others.

    Attributes:
        name: Its name.
        summary: One line.
        proposer: A function of the settings and of the space that gives the proposer;
            see `search.proposers.Proposer`. It raises a ValueError if a setting is not
            usable.
        space: Arguments of `SearchSpace` that differ from the defaults.
        recipe: Fields of the training recipe that differ.
        macs_as: How the method uses `target_macs`: as its "target", as its "limit", or
            not at all (None). The tuning of thresholds aims at it in any case.
    """

    name: str
    summary: str
    proposer: Callable[[Settings, Space], Proposer]
    space: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    macs_as: str | None = None


METHODS: dict[str, Method] = {}
"""The search methods by name."""
ERROR_AND_MACS = ("error", "average_macs")


def register(method: Method) -> Method:
    """Register a method.

    Raises:
        ValueError: There is already one of that name.
    """
    return add(METHODS, "method", method.name, method)


def get(name: str) -> Method:
    """The method of that name.

    Raises:
        ValueError: There is none.
    """
    return find(METHODS, "method", name)


def _surrogates(settings: Settings, space: Space, **aim: float | None) -> Proposer:
    from search.aebnas import AEBNAS

    return AEBNAS(
        space,
        settings.objectives_in_order(),
        settings.limits(),
        surrogate=settings.surrogate,
        population=settings.population,
        generations=settings.generations,
        batch_size=settings.batch_size,
        **aim,
    )


def _with_target(settings: Settings, space: Space) -> Proposer:
    known = settings.objectives == ERROR_AND_MACS
    return _surrogates(settings, space, target=settings.target_macs if known else None)


def _with_limit(settings: Settings, space: Space) -> Proposer:
    if settings.objectives != ERROR_AND_MACS:
        raise ValueError(
            f"The objectives are {', '.join(settings.objectives)}; the method "
            f"{settings.method} limits average MACs and needs "
            f"{', '.join(ERROR_AND_MACS)}."
        )
    return _surrogates(settings, space, limit=settings.target_macs)


def _nsga2(settings: Settings, space: Space) -> Proposer:
    from search.proposers import NSGA2

    return NSGA2(
        space,
        settings.objectives_in_order(),
        settings.limits(),
        settings.population,
        settings.batch_size,
    )


def _random(settings: Settings, space: Space) -> Proposer:
    from search.proposers import RandomSearch

    return RandomSearch(space, settings.batch_size)


for _method in (
    Method(
        "aebnas",
        "searched branches, tuned thresholds, surrogates, a target of average MACs",
        _with_target,
        macs_as="target",
    ),
    Method(
        "edanas",
        "fixed branches, thresholds searched and not tuned, surrogates",
        _surrogates,
        space={"head": "fixed", "tune_thresholds": False},
    ),
    Method(
        "nachos",
        "resolution 32, soft-exit training, surrogates, a limit of average MACs",
        _with_limit,
        space={"resolutions": (32,)},
        recipe={"soft_exits": True, "distillation": 0.0},
        macs_as="limit",
    ),
    Method("static", "no exits (NSGANetV2), surrogates", _surrogates, {"exits": ()}),
    Method("nsga2", "aebnas's space, NSGA-II on trained candidates", _nsga2),
    Method("random", "aebnas's space, random candidates", _random),
):
    register(_method)
