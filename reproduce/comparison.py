"""Early-exit and static networks, trained alike: the record, and how they did in it.

`reproduce.compare` makes such a record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.records import DataSource
from zoo.cost import Cost
from zoo.records import record

BUDGETS = (2.6e6, 5e6, 8e6)  # average MACs at which accuracies are compared
TIMES = (0.4, 0.6, 1.0)  # likewise milliseconds
CURVE = 40  # points of a mean frontier


@dataclass(frozen=True)
class Setting:
    """A setting of the thresholds, on two splits; shares are 0..1.

    Attributes:
        thresholds: One per exit but the last; 1: switched off.
        chosen_accuracy: On the validation split.
        chosen_macs: Average MACs there.
        accuracy: On the test split.
        average_macs: Average MACs there.
        utilisation: Share of the test images that leave at each exit.
    """

    thresholds: tuple[float, ...]
    chosen_accuracy: float
    chosen_macs: float
    accuracy: float
    average_macs: float
    utilisation: tuple[float, ...]


@record("contender", format=1)
@dataclass(frozen=True, kw_only=True)
class ContenderRecord:
    """One training of `reproduce.compare`, and what it came to.

    Attributes:
        contender: Which network.
        seed: Of its weights and of its training.
        data: Fingerprint of the data.
        recipe: How it was trained.
        architecture: As `Architecture.to_dict` gives it; None: another kind of network.
        macs: What the network computes for one image, in standard MACs.
        exit_accuracy: Of each exit on all test images.
        frontier: Settings that are Pareto-optimal on the validation split, cheapest
            first; a network without early exits has one.
        seconds: Of the training.
    """

    contender: str
    seed: int
    data: str
    recipe: dict[str, Any]
    architecture: dict[str, Any] | None
    macs: Cost
    exit_accuracy: tuple[float, ...]
    frontier: tuple[Setting, ...]
    seconds: float


@dataclass(frozen=True)
class SegmentTime:
    """How long an exported segment takes for one image.

    Attributes:
        begin: Exit, counted from 1, with whose features it begins; 0: with the image.
        exit: Exit that it ends at.
        ms: Milliseconds.
    """

    begin: int
    exit: int
    ms: float


@record("latency", format=1)
@dataclass(frozen=True)
class LatencyRecord:
    """How long networks take for one image, by one thread; see `reproduce.latency`.

    Attributes:
        runtime: What ran them.
        rounds: How often each segment was timed; its time is the fastest tenth.
        segments: Of each network.
        provenance: Versions and hardware.
    """

    runtime: str
    rounds: int
    segments: dict[str, tuple[SegmentTime, ...]]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class ComparedNetwork:
    """A network of a comparison.

    Attributes:
        name: Its name.
        family: One of `reproduce.contenders.FAMILIES`.
        text: What it is, in a few words.
        changes: Fields of the recipe in which its training differs from the others'.
    """

    name: str
    family: str
    text: str
    changes: dict[str, Any]


@record("comparison", format=1)
@dataclass(frozen=True, kw_only=True)
class ComparisonRecord:
    """Early-exit networks and static ones, trained alike.

    Attributes:
        data: The data set, with the training images that were used.
        num_classes: Its classes.
        images: How many training images those were.
        test_images: How many the accuracies are of.
        recipe: Of all networks, but for their changes.
        networks: Which were compared.
        rows: One per network and seed.
        latency: How long the networks take.
        provenance: Versions and hardware.
    """

    data: DataSource
    num_classes: int
    images: int
    test_images: int
    recipe: dict[str, Any]
    networks: tuple[ComparedNetwork, ...]
    rows: tuple[ContenderRecord, ...]
    latency: LatencyRecord
    provenance: dict[str, Any]


def milliseconds(
    segments: Sequence[SegmentTime],
    thresholds: Sequence[float],
    utilisation: Sequence[float],
) -> float:
    """Average time of an image at a setting of the thresholds.

    Args:
        segments: Of the network.
        thresholds: One per exit but the last; 1: switched off.
        utilisation: Share of the images that leave at each exit, the final one last.
    """
    took = {(each.begin, each.exit): each.ms for each in segments}
    total, spent, begin = 0.0, 0.0, 0
    for exit, threshold in enumerate((*thresholds, 0), 1):
        if threshold < 1:
            spent += took[begin, exit]
            total += utilisation[exit - 1] * spent
            begin = exit
    return total


def within(points: Sequence[tuple[float, float]], budget: float) -> float | None:
    """Accuracy at a budget, on straight lines between the measured settings.

    Choosing for each image by lot between two settings gives what is between them. A
    network that cannot spend so much keeps the accuracy of its dearest setting.

    Args:
        points: Cost and accuracy of each setting.
        budget: In the unit of the cost.

    Returns:
        The accuracy; None: the cheapest setting is too dear.
    """
    costs, accuracies = zip(*sorted(points))
    if costs[0] > budget:
        return None
    return float(np.interp(budget, costs, accuracies))


@dataclass(frozen=True)
class Standing:
    """How a network did, as means over its seeds.

    Attributes:
        network: Which.
        seeds: How many trainings.
        macs: Average MACs of its cheapest setting, and of its dearest.
        times: Likewise average milliseconds.
        at_macs: Mean and sample standard deviation of the accuracy at each of
            `BUDGETS`; None: out of reach of a seed. The deviation is None for one seed.
        at_times: Likewise at each of `TIMES`.
    """

    network: ComparedNetwork
    seeds: int
    macs: tuple[float, float]
    times: tuple[float, float]
    at_macs: tuple[tuple[float, float | None] | None, ...]
    at_times: tuple[tuple[float, float | None] | None, ...]


Points = list[list[tuple[float, float]]]  # cost and accuracy of every seed's settings


def points(comparison: ComparisonRecord, name: str) -> tuple[Points, Points]:
    """Average MACs and test accuracy of a network's settings; and milliseconds."""
    segments = comparison.latency.segments[name]
    rows = [row for row in comparison.rows if row.contender == name]
    spent = [[(p.average_macs, p.accuracy) for p in row.frontier] for row in rows]
    took = [
        [
            (milliseconds(segments, p.thresholds, p.utilisation), p.accuracy)
            for p in row.frontier
        ]
        for row in rows
    ]
    return spent, took


def standings(comparison: ComparisonRecord) -> Iterator[Standing]:
    """How each network of a record did, in the record's order."""
    for network in comparison.networks:
        spent, took = points(comparison, network.name)
        yield Standing(
            network,
            len(spent),
            *(_ends(spent), _ends(took)),
            *(_levels(spent, BUDGETS), _levels(took, TIMES)),
        )


def _ends(points: Points) -> tuple[float, float]:
    """Mean cost of the cheapest and of the dearest setting."""
    costs = [[cost for cost, _ in each] for each in points]
    return float(np.mean([*map(min, costs)])), float(np.mean([*map(max, costs)]))


def _levels(
    points: Points, budgets: Sequence[float]
) -> tuple[tuple[float, float | None] | None, ...]:
    found: list[tuple[float, float | None] | None] = []
    for budget in budgets:
        seeds = [within(each, budget) for each in points]
        if None in seeds:
            found.append(None)
            continue
        spread = float(np.std(seeds, ddof=1)) if len(seeds) > 1 else None
        found.append((float(np.mean(seeds)), spread))
    return tuple(found)


def curve(points: Points) -> tuple[list[float], list[float]]:
    """Costs that all seeds can spend, and the mean accuracy at each.

    A network of a single setting has a single point.
    """
    costs = [[cost for cost, _ in each] for each in points]
    low, high = max(map(min, costs)), min(map(max, costs))
    if high <= low:
        best = [max(accuracy for _, accuracy in each) for each in points]
        return [_ends(points)[1]], [float(np.mean(best))]
    spent = [float(cost) for cost in np.geomspace(low, high, CURVE)]
    spent[0], spent[-1] = low, high  # exactly, whatever the rounding
    means = [np.mean([within(each, cost) for each in points]) for cost in spent]
    return spent, [float(mean) for mean in means]


COLUMNS = (
    *("network", "seeds", "MACs (M)"),
    *(f"at {budget / 1e6:g} M" for budget in BUDGETS),
    "time (ms)",
    *(f"at {time:g} ms" for time in TIMES),
)


def cells(comparison: ComparisonRecord) -> list[tuple[str, ...]]:
    """The standings as text, a cell for each of `COLUMNS`; accuracies in percent."""
    return [
        (
            *(row.network.text, str(row.seeds)),
            _range([cost / 1e6 for cost in row.macs]),
            *map(_accuracy, row.at_macs),
            _range(row.times),
            *map(_accuracy, row.at_times),
        )
        for row in standings(comparison)
    ]


def _range(ends: Sequence[float]) -> str:
    low, high = (f"{end:.2f}" for end in ends)
    return low if low == high else f"{low} to {high}"


def _accuracy(level: tuple[float, float | None] | None) -> str:
    if level is None:
        return "–"
    mean, spread = level
    return f"{100 * mean:.1f}" + ("" if spread is None else f" ± {100 * spread:.1f}")
