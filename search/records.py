"""What a search leaves behind, as typed records; see `zoo.records`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zoo.architecture import Architecture
from zoo.exits import Evaluation, OperatingPoint
from zoo.records import record


@dataclass(frozen=True)
class DataSource:
    """Which data set was used: its name, and the fingerprint of its images."""

    name: str
    fingerprint: str


@record("candidate", format=2, upgrade=dict)
@dataclass(frozen=True)
class CandidateRecord:
    """A trained candidate and what was measured of it.

    Attributes:
        trial: Its number in the search, as text.
        architecture: The network, as `zoo.Architecture.to_dict` gives it.
        crop: Share of an image's height and width that is looked at.
        num_classes: Number of classes.
        convention: How its MACs are counted.
        metrics: What the search may minimise or limit, by name.
        evaluation: At its own thresholds, on the validation split.
        frontier: Its Pareto-optimal threshold settings; empty for a candidate whose
            settings are on no front.
        training: Seed, seconds, images per second, layers with inherited weights.
    """

    trial: str
    architecture: dict[str, Any]
    crop: float
    num_classes: int
    convention: str
    metrics: dict[str, float]
    evaluation: Evaluation
    frontier: tuple[OperatingPoint, ...] = ()
    training: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        _ = self.network  # a broken architecture is told when it is read

    @cached_property
    def network(self) -> Architecture:
        """The architecture."""
        return Architecture.from_dict(self.architecture)


@dataclass(frozen=True)
class FailedTrial:
    """A trial without a result, and why."""

    trial: str
    reason: str


@dataclass(frozen=True)
class FrontPoint(OperatingPoint):
    """A threshold setting of a candidate on the front of all settings of all of them.

    Attributes:
        trial: The candidate.
        error: 1 - accuracy.
    """

    trial: str = ""
    error: float = 1.0


@dataclass(frozen=True)
class Ranking:
    """How well predictions agreed with what was measured afterwards."""

    n: int
    rmse: float
    spearman: float
    kendall: float


@dataclass(frozen=True)
class Iteration:
    """One iteration of a search with surrogates.

    Attributes:
        trials: Completed trials that the surrogates were fitted to.
        seconds: What the iteration took, training left out.
        surrogates: Regressor used, by metric.
        quality: How well each metric was predicted.
    """

    trials: int
    seconds: float
    surrogates: dict[str, str]
    quality: dict[str, Ranking]
