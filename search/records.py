"""What a search leaves behind, as typed records; see `zoo.records`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search.latency import LatencySource
from search.settings import Settings
from search.settings import upgrade as upgrade_settings
from zoo import heads
from zoo.architecture import Architecture
from zoo.exits import Evaluation, OperatingPoint
from zoo.heads import Head
from zoo.records import added, record


@dataclass(frozen=True)
class DataSource:
    """Which data set was used: its name, and the fingerprint of its images."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class SupernetSource:
    """Which supernet candidates inherit from: its name, and its weights' digest."""

    name: str
    digest: str


@dataclass(frozen=True)
class Training:
    """How a candidate got its weights.

    Attributes:
        seed: Of initial weights, order and augmentation.
        seconds: Time for training.
        images_per_second: Its speed; None if nothing was trained.
        inherited_layers: Layers that began with the weights of another model.
        supernet: Digest of the supernet that all weights come from; None: there is
            none.
    """

    seed: int
    seconds: float
    images_per_second: float | None = None
    inherited_layers: int = 0
    supernet: str | None = added()


def _upgrade_candidate(data: dict[str, Any]) -> dict[str, Any]:
    training = dict(data["training"])
    training["inherited_layers"] = training.pop("layers_from_start")
    return data | {"training": training}


@record("candidate", format=2, upgrade=_upgrade_candidate)
@dataclass(frozen=True)
class CandidateRecord:
    """A trained candidate and what was measured of it.

    Attributes:
        trial: Its number in the search, as text.
        architecture: The network, as `zoo.Architecture.to_dict` gives it; None for
            exits on a backbone.
        crop: Share of an image's height and width that is used.
        num_classes: Number of classes.
        convention: How its MACs are counted.
        metrics: Everything that was measured, by name; see `search.METRICS`.
        evaluation: At its own thresholds, on the validation split.
        frontier: Its Pareto-optimal threshold settings; empty for a candidate whose
            settings are on no front.
        training: How it got its weights.
        exits: For exits on a backbone, the JSON of each head by the layer that it
            follows, first to last; None for a network of the paper's space.
        origin: How the network pads and normalises, see `zoo.EarlyExitClassifier`;
            None: as "aebnas" does.
    """

    trial: str
    architecture: dict[str, Any] | None
    crop: float
    num_classes: int
    convention: str
    metrics: dict[str, float]
    evaluation: Evaluation
    training: Training
    frontier: tuple[OperatingPoint, ...] = ()
    exits: dict[str, Any] | None = added()
    origin: str | None = added()

    def __post_init__(self) -> None:
        # What is broken raises when it is read.
        _ = self.network if self.exits is None else self.heads
        for name in ("error", "average_macs"):
            if name not in self.metrics:
                raise ValueError(f"The metrics of trial {self.trial} have no {name}.")

    @cached_property
    def network(self) -> Architecture:
        """The architecture.

        Raises:
            ValueError: The candidate is one of exits on a backbone.
        """
        if self.architecture is None:
            raise ValueError(
                f"Trial {self.trial} has no architecture; it is made of exits on a "
                "backbone."
            )
        return Architecture.from_dict(self.architecture)

    @cached_property
    def heads(self) -> dict[str, Head]:
        """For exits on a backbone, each head by the layer that it follows."""
        return {
            place: heads.from_json(data, f"exits.{place}")
            for place, data in (self.exits or {}).items()
        }


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
        seconds: Time for the iteration, without training.
        surrogates: Regressor used, by metric.
        quality: How well each metric was predicted.
    """

    trials: int
    seconds: float
    surrogates: dict[str, str]
    quality: dict[str, Ranking]


def _upgrade_started(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"settings": upgrade_settings(data["settings"])}


@record("started_search", format=2, upgrade=_upgrade_started)
@dataclass(frozen=True)
class StartedSearch:
    """What a search was started with: `search.json` in its folder.

    Attributes:
        settings: What it does.
        data: What it trains on.
        provenance: Versions and hardware.
        supernet: Where weights come from; None: candidates are trained.
        latency: Where latencies come from; None: they are measured, or not known.
    """

    settings: Settings
    data: DataSource
    provenance: dict[str, Any]
    supernet: SupernetSource | None = added()
    latency: LatencySource | None = added()


def upgrade_search(data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a search's record of format 1 in those of format 2."""
    iterations = [
        {
            **{key: each[key] for key in ("trials", "seconds", "surrogates")},
            "quality": {metric: each[metric] for metric in each["surrogates"]},
        }
        for each in data["surrogates"]
    ]
    return data | {
        "settings": upgrade_settings(data["settings"]),
        "candidates": [_upgrade_candidate(each) for each in data["candidates"]],
        "settings_front": data["fine_front"],
        "iterations": iterations,
    }


@record("search", format=2, upgrade=upgrade_search)
@dataclass(frozen=True)
class SearchRecord:
    """A search and what it found.

    Attributes:
        settings: What it did.
        data: What it trained on.
        provenance: Versions and hardware.
        candidates: The trained candidates; those on no front without their frontier.
        failed: Trials without a result.
        front: Trials on the Pareto front of the objectives, sorted by the first.
        settings_front: Pareto front of all threshold settings of all candidates in
            error and average MACs, cheapest first.
        reference: Reference point of the hypervolume; None if nothing was trained.
        hypervolume: (trial, hypervolume) after each trained candidate.
        iterations: How good the surrogates' predictions were, by iteration.
        seconds: Of all trials together.
        supernet: Where weights come from; None: candidates are trained.
        latency: Where latencies come from; None: they are measured, or not known.
    """

    settings: Settings
    data: DataSource
    provenance: dict[str, Any]
    candidates: tuple[CandidateRecord, ...]
    failed: tuple[FailedTrial, ...]
    front: tuple[str, ...]
    settings_front: tuple[FrontPoint, ...]
    reference: tuple[float, ...] | None
    hypervolume: tuple[tuple[str, float], ...]
    iterations: tuple[Iteration, ...]
    seconds: float
    supernet: SupernetSource | None = added()
    latency: LatencySource | None = added()

    def candidate(self, trial: str) -> CandidateRecord:
        """The trained candidate of a trial.

        Raises:
            ValueError: There is none.
        """
        for candidate in self.candidates:
            if candidate.trial == trial:
                return candidate
        known = ", ".join(candidate.trial for candidate in self.candidates)
        raise ValueError(
            f"There is no trained trial {trial!r}; there are {known or 'none'}."
        )

    def point(self, trial: str) -> FrontPoint:
        """A candidate at its own thresholds.

        Raises:
            ValueError: There is no such candidate.
        """
        candidate = self.candidate(trial)
        at = candidate.evaluation
        return FrontPoint(
            at.thresholds,
            at.accuracy,
            at.average_macs,
            at.utilisation,
            trial=trial,
            error=candidate.metrics["error"],
        )

    def to_dataframe(self, what: str = "trials") -> Any:
        """Trials or fronts as a pandas data frame; see `search.frames.rows_of`.

        Args:
            what: "trials", "front" or "settings_front".

        Raises:
            ModuleNotFoundError: pandas is not installed.
            ValueError: There is no such part.
        """
        from search import frames

        return frames.to_dataframe(frames.rows_of(self, what))
