"""Search methods as configurations of one space, one oracle and one tuner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from search.oracle import AEBNASOracle, NSGA2Oracle, RandomOracle


@dataclass(frozen=True)
class Method:
    """What a method does differently from the others.

    Attributes:
        summary: One line.
        oracle: Its class.
        space: Arguments of `SearchSpace` that differ from the defaults.
        recipe: Fields of the training recipe that differ.
        macs_as: What a number of MACs given by the user is to the oracle: its "target",
            its "limit", or None: nothing. The tuning of thresholds aims at it anyway.
    """

    summary: str
    oracle: type[RandomOracle] = AEBNASOracle
    space: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    macs_as: str | None = None


METHODS = {
    "aebnas": Method(
        "searched branches, tuned thresholds, surrogates, a target of average MACs",
        macs_as="target",
    ),
    "edanas": Method(
        "fixed branches, thresholds searched and not tuned, surrogates",
        space={"fixed_branches": True, "tune_thresholds": False},
    ),
    "nachos": Method(
        "resolution 32, soft-exit training, surrogates, a limit of average MACs",
        space={"resolutions": (32,)},
        recipe={"soft_exits": True, "distillation": 0.0},
        macs_as="limit",
    ),
    "static": Method("no exits (NSGANetV2), surrogates", space={"exits": ()}),
    "nsga2": Method("aebnas's space, NSGA-II on trained candidates", NSGA2Oracle),
    "random": Method("aebnas's space, random candidates", RandomOracle),
}
