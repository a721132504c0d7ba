"""Operating points: threshold settings with what each gives, and choices among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from zoo.checks import (
    check_number,
    check_shares,
    check_thresholds,
    require_types,
    whole_number,
)
from zoo.cost import Cost


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold setting and what it gives on the samples it was measured on.

    Attributes:
        thresholds: One per exit but the last; 1: switched off.
        accuracy: Share of correct answers by the exit rule, 0..1.
        average_macs: MACs for one image, averaged over the samples.
        utilisation: Share of the samples that leave at each exit, the final one last.
        score: What `tune_thresholds` maximised, in points; None elsewhere.
    """

    thresholds: tuple[float, ...]
    accuracy: float
    average_macs: float
    utilisation: tuple[float, ...]
    score: float | None = None


Point = TypeVar("Point", bound=OperatingPoint)


@dataclass(frozen=True)
class Evaluation(OperatingPoint):
    """An operating point with what each exit does.

    Attributes:
        exit_accuracy: Accuracy of each exit on all samples.
        leaving_accuracy: Accuracy of each exit on the samples that leave there; None
            where none does.
        macs: MACs spent by a sample that leaves at each exit, with the exits that are
            switched off left out.
        samples: Number of samples.
    """

    exit_accuracy: tuple[float, ...] = ()
    leaving_accuracy: tuple[float | None, ...] = ()
    macs: tuple[int, ...] = ()
    samples: int = 0


def check_points(
    points: Sequence[OperatingPoint], num_exits: int, field: str = "frontier"
) -> None:
    """Raise a ValueError if points are not of a network with so many exits.

    Args:
        points: What a file gave.
        num_exits: Number of exits, the final classifier counted.
        field: What messages call the points.
    """
    for i, point in enumerate(points):
        where = f"{field}[{i}]"
        check_thresholds(point.thresholds, f"{where}.thresholds", num_exits - 1)
        check_shares(f"{where}.utilisation", point.utilisation, num_exits)
        check_shares(f"{where}.accuracy", (point.accuracy,), 1)
        if not 0 <= point.average_macs < math.inf:  # so that NaN is refused, too
            raise ValueError(
                f"{where}.average_macs is {point.average_macs}; expected 0 or more."
            )


def within_budget(points: Sequence[OperatingPoint], max_macs: float) -> OperatingPoint:
    """The most accurate of `points` at no more than `max_macs` average MACs.

    Raises:
        ValueError: None is (the message says what is reachable), or the budget is no
            number.
    """
    require_types("points", points, OperatingPoint)
    if not points:
        raise ValueError("There is no operating point to choose from.")
    check_number("max_macs", max_macs)
    limit = max_macs * (1 + 1e-9)  # an average may be rounded
    affordable = [point for point in points if point.average_macs <= limit]
    if not affordable:
        cheapest = min(points, key=lambda point: point.average_macs)
        raise ValueError(
            f"{max_macs:,.0f} average MACs cannot be reached: the cheapest setting "
            f"needs {cheapest.average_macs:,.0f} "
            f"(accuracy {100 * cheapest.accuracy:.2f} %)."
        )
    return max(affordable, key=lambda point: (point.accuracy, -point.average_macs))


def check_gain(least_gain: float) -> None:
    """Raise a ValueError if this cannot be points of accuracy to gain."""
    check_number("least_gain", least_gain)
    if not 0 <= least_gain <= 100:
        raise ValueError(f"least_gain is {least_gain}; expected points from 0 to 100.")


def worthwhile(
    points: Sequence[OperatingPoint], max_macs: float, least_gain: float
) -> OperatingPoint:
    """The cheapest of `points` beyond which MACs buy too little accuracy.

    From it, no dearer point within the budget gains `least_gain` for every 10 % that
    its average MACs are higher.

    Args:
        points: Operating points in any order, such as the frontier of a model.
        max_macs: Highest allowed average MACs per image, a count.
        least_gain: In percentage points of accuracy, such as 0.1; 0 gives the most
            accurate point, as `within_budget` does.

    Raises:
        ValueError: None is within the budget, or a value is not usable.
    """
    check_gain(least_gain)
    best = within_budget(points, max_macs)
    limit = best.average_macs
    chosen, *dearer = [p for p in pareto_optimal(points) if p.average_macs <= limit]
    for point in dearer:
        steps = math.log(point.average_macs / chosen.average_macs) / math.log(1.1)
        if 100 * (point.accuracy - chosen.accuracy) >= least_gain * steps:
            chosen = point
    return chosen


def mean_accuracy(points: Sequence[OperatingPoint], low: float, high: float) -> float:
    """Accuracy averaged over all budgets from `low` to `high`, 0..1.

    The area under the best accuracy within a budget, against the logarithm of the
    budget, divided by the width: a budget from 1 to 2 million MACs counts as much as
    one from 2 to 4 million. One number for a whole curve; compare curves between the
    same two budgets only.

    Args:
        points: Operating points in any order, such as the frontier of a model.
        low: The smallest budget, average MACs per image; at least those of the
            cheapest point.
        high: The largest budget, more than `low`.

    Raises:
        ValueError: There is no point, or the budgets are not usable.
    """
    start = within_budget(points, low)
    check_number("high", high)
    if not low < high < math.inf:
        raise ValueError(f"high is {high!r}; expected more than low, which is {low}.")
    steps = [start, *(p for p in pareto_optimal(points) if low < p.average_macs < high)]
    steps = pareto_optimal(steps)
    ends = [*(point.average_macs for point in steps[1:]), high]
    starts = [low, *ends[:-1]]
    area = sum(
        point.accuracy * math.log(end / begin)
        for point, begin, end in zip(steps, starts, ends)
    )
    return area / math.log(high / low)


def pareto_optimal(points: Sequence[Point]) -> list[Point]:
    """The Pareto-optimal points, cheapest first."""
    order = sorted(points, key=lambda point: (point.average_macs, -point.accuracy))
    kept: list[Point] = []
    for point in order:
        if not kept or point.accuracy > kept[-1].accuracy:
            kept.append(point)
    return kept


def thinned(points: Sequence[Point], count: int) -> list[Point]:
    """At most `count` of the Pareto-optimal points, cheapest first.

    The cheapest and the dearest stay, and between them the best within each of as many
    budgets, evenly spaced by their logarithm.
    """
    count, optimal = whole_number("count", count, 2), pareto_optimal(points)
    if len(optimal) <= count:
        return optimal
    ends = optimal[0].average_macs, optimal[-1].average_macs
    budgets = np.geomspace(*ends, count)
    kept = {within_budget(optimal, float(budget)) for budget in budgets}
    return pareto_optimal(list(kept))


def recount(point: OperatingPoint, cost: Cost) -> OperatingPoint:
    """The same operating point with its average MACs in another convention."""
    macs = cost.per_exit_at(point.thresholds)
    average = float(np.dot(point.utilisation, np.array(macs, float)))
    changes = {"macs": macs} if isinstance(point, Evaluation) else {}
    return replace(point, average_macs=average, score=None, **changes)
