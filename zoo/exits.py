"""The exit rule, and everything that follows from logits alone.

Logits have the shape `(samples, exits, classes)`, the final classifier last. A sample
leaves at the first exit whose confidence is at least that exit's threshold, else at the
final classifier. A threshold of 1 switches an exit off: nothing leaves there, whatever
the confidence, and its branch is neither computed nor counted. How far the confidences
can be trusted is measured in `zoo.calibration`, whose functions are here, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo.calibration import (
    calibration_error,
    failure_auroc,
    gain_over_single_exits,
    oracle_accuracy,
    reliability,
    single_exit_accuracy,
    temperatures,
    thresholds_for_risk,
)
from zoo.checks import (
    check_answers,
    check_labels,
    check_logits,
    check_rule,
    check_target,
    check_thresholds,
)
from zoo.cost import Cost
from zoo.operating_points import (
    Evaluation,
    OperatingPoint,
    check_gain,
    mean_accuracy,
    pareto_optimal,
    recount,
    thinned,
    within_budget,
    worthwhile,
)
from zoo.runtime import RULES, first_exit

__all__ = [
    "GRID",
    "PAPER_VALUES",
    "RULES",
    "Evaluation",
    "OperatingPoint",
    "calibration_error",
    "check_gain",
    "check_grid",
    "check_labels",
    "check_rule",
    "confidence",
    "decide",
    "evaluate",
    "failure_auroc",
    "frontier",
    "gain_over_single_exits",
    "mean_accuracy",
    "oracle_accuracy",
    "paper_score",
    "pareto_optimal",
    "recount",
    "reliability",
    "single_exit_accuracy",
    "temperatures",
    "thinned",
    "thresholds_for_budget",
    "thresholds_for_risk",
    "tune_thresholds",
    "within_budget",
    "worthwhile",
]

PAPER_VALUES = (0.1, 0.2, 1.0)
"""The thresholds that the paper chooses from."""
GRID = (*(round(0.05 * i, 2) for i in range(1, 20)), 1.0)
"""The thresholds of a frontier: 0.05 to 0.95 in steps of 0.05, and 1 (off)."""
MAX_SETTINGS = 5_000_000


def confidence(logits: Any, rule: str = "score_margin") -> np.ndarray:
    """Confidence of every exit: the last axis of the logits is reduced.

    Args:
        logits: Array of any shape, classes last.
        rule: "score_margin" (the paper's), "max_probability" or "entropy".

    Raises:
        ValueError: The rule is unknown, the logits are no finite numbers, or there are
            fewer than two classes.
    """
    check_rule(rule)
    logits = np.asarray(logits)
    if not logits.ndim or logits.shape[-1] < 2 or logits.dtype.kind not in "biuf":
        raise ValueError(
            f"logits are {logits.dtype} of shape {logits.shape}; expected numbers, "
            "two classes or more last."
        )
    if not np.isfinite(logits).all():
        raise ValueError("logits hold values that are NaN or infinite.")
    return RULES[rule](logits)


def decide(
    logits: Any, thresholds: Sequence[float], rule: str = "score_margin"
) -> np.ndarray:
    """Index of the exit at which each sample leaves.

    Args:
        logits: Shape `(samples, exits, classes)`.
        thresholds: One per exit but the last, in 0..1; 1 switches the exit off.
        rule: The confidence to use; see `confidence`.

    Returns:
        Integers of shape `(samples,)` in 0..exits - 1, the last for the final
        classifier.

    Raises:
        ValueError: The shape of the logits or the number of thresholds is wrong.
    """
    logits = check_logits(logits)
    thresholds = check_thresholds(thresholds, count=logits.shape[1] - 1)
    return first_exit(confidence(logits, rule), thresholds)


def evaluate(
    logits: Any,
    labels: Any,
    cost: Cost,
    thresholds: Sequence[float],
    rule: str = "score_margin",
) -> Evaluation:
    """Measure a threshold setting.

    Args:
        logits: Shape `(samples, exits, classes)`.
        labels: Integers of shape `(samples,)`.
        cost: `zoo.macs(architecture, num_classes)`, in the convention you want.
        thresholds: One per exit but the last.
        rule: The confidence to use; see `confidence`.

    Raises:
        ValueError: Shapes do not match, a label is out of range, or there is no sample.
    """
    logits, labels = _check(logits, labels, cost)
    thresholds = check_thresholds(thresholds, count=logits.shape[1] - 1)
    chosen = decide(logits, thresholds, rule)
    correct = logits.argmax(-1) == labels[:, None]
    answered = correct[np.arange(len(labels)), chosen]
    count = np.bincount(chosen, minlength=logits.shape[1])
    hits = np.bincount(chosen, weights=answered, minlength=logits.shape[1])
    macs = cost.per_exit_at(thresholds)
    return Evaluation(
        thresholds=thresholds,
        accuracy=float(answered.mean()),
        average_macs=float(count @ np.array(macs, float) / len(labels)),
        utilisation=tuple((count / len(labels)).tolist()),
        exit_accuracy=tuple(correct.mean(0).tolist()),
        leaving_accuracy=tuple(
            float(h / n) if n else None for h, n in zip(hits, count)
        ),
        macs=macs,
        samples=len(labels),
    )


def paper_score(accuracy: Any, average_macs: Any, target_macs: float | None) -> Any:
    """The paper's score, to be maximised, of a network or of an array of settings.

    Accuracy in percent - 0.1 |average MACs - target| / target x 100; accuracy alone
    without a target.

    Args:
        accuracy: Share of correct answers, 0..1.
        average_macs: Average MACs per image, a count.
        target_macs: Average MACs to aim at, a count; None: no target.

    Reference:
        AEBNAS, arXiv 2512.10671.
    """
    if target_macs is None:
        return 100 * accuracy
    return 100 * accuracy - 0.1 * abs(average_macs - target_macs) / target_macs * 100


def tune_thresholds(
    logits: Any,
    labels: Any,
    cost: Cost,
    values: Sequence[float] = PAPER_VALUES,
    target_macs: float | None = None,
    rule: str = "score_margin",
) -> OperatingPoint:
    """Best combination of thresholds by the paper's score.

    See `paper_score`. The combination that switches every exit off is not considered.
    Ties go to the first combination; the last exit varies fastest.

    Args:
        logits: Shape `(samples, exits, classes)`, of samples not trained on.
        labels: Integers of shape `(samples,)`.
        cost: `zoo.macs(architecture, num_classes)`, in the convention of the target.
        values: Thresholds to try at each exit.
        target_macs: Average MACs to aim at, a count; None: no target.
        rule: The confidence to use; see `confidence`.

    Raises:
        ValueError: Shapes, labels, values or target are not usable.

    Reference:
        AEBNAS, arXiv 2512.10671.
    """
    if target_macs is not None:
        check_target("target_macs", target_macs)
    grid = _Grid(logits, labels, cost, values, rule)
    score = paper_score(grid.accuracy, grid.average_macs, target_macs)
    if grid.exits > 1:
        off = [value == 1 for value in grid.values]
        score[np.ix_(*[off] * (grid.exits - 1))] = -np.inf
        if not np.isfinite(score).any():
            raise ValueError("values holds only 1, which switches every exit off.")
    best = int(score.argmax())
    return grid.point(best, float(score.flat[best]))


def frontier(
    logits: Any,
    labels: Any,
    cost: Cost,
    values: Sequence[float] = GRID,
    rule: str = "score_margin",
) -> tuple[OperatingPoint, ...]:
    """All Pareto-optimal threshold settings over a grid, cheapest first.

    No other setting of the grid is as accurate with the same or fewer average MACs. The
    arguments are those of `tune_thresholds`.
    """
    grid = _Grid(logits, labels, cost, values, rule)
    accuracy, macs = grid.accuracy.ravel(), grid.average_macs.ravel()
    order = np.lexsort((-accuracy, macs))
    best_before = np.maximum.accumulate(np.concatenate([[-1.0], accuracy[order][:-1]]))
    return tuple(grid.point(int(i)) for i in order[accuracy[order] > best_before])


def thresholds_for_budget(
    logits: Any,
    labels: Any,
    cost: Cost,
    max_macs: float,
    values: Sequence[float] = GRID,
    rule: str = "score_margin",
) -> OperatingPoint:
    """The most accurate setting of a grid that spends at most `max_macs` on average.

    Raises:
        ValueError: The budget cannot be met; the message says what can.
    """
    return within_budget(frontier(logits, labels, cost, values, rule), max_macs)


def check_grid(num_exits: int, values: Sequence[float] = GRID) -> None:
    """Raise a ValueError if a grid has too many settings to count.

    Args:
        num_exits: Number of exits, the final classifier counted.
        values: Thresholds to try at each exit but that.
    """
    settings = len(values) ** (num_exits - 1)
    if settings > MAX_SETTINGS:
        raise ValueError(
            f"{len(values)} values at {num_exits - 1} exits are {settings:,} settings; "
            f"expected {MAX_SETTINGS:,} at most."
        )


class _Grid:
    """Counts over every combination of threshold values, without a loop over samples.

    Each sample is reduced once to a cell: at how many of the sorted values each exit
    lets it go. Sums over cells then give, for every combination, how many samples
    leave where and how many of them are right.
    """

    def __init__(self, logits, labels, cost, values, rule):
        logits, labels = _check(logits, labels, cost)
        if not len(values):
            raise ValueError("values is empty; expected at least one threshold.")
        self.values = check_thresholds(values, "values")
        self.samples, self.exits = logits.shape[:2]
        shape = (len(self.values),) * (self.exits - 1)
        check_grid(self.exits, self.values)
        # A value's rank says in which cells it lets a sample go: rank < cell.
        below_one = np.unique([v for v in self.values if v < 1]).astype(np.float32)
        ranks = np.searchsorted(below_one, np.array(self.values, np.float32))
        ranks[np.array(self.values) == 1] = len(below_one)
        confidences = confidence(logits, rule)[:, :-1]
        cells = np.searchsorted(below_one, confidences, side="right")
        correct = logits.argmax(-1) == labels[:, None]

        self.leaving, hits = [], np.zeros(shape)
        for k in range(self.exits):
            last = k == self.exits - 1
            axes = min(k + 1, self.exits - 1)
            sides = (len(below_one) + 1,) * axes
            flat = (
                np.ravel_multi_index(tuple(cells[:, :axes].T), sides)
                if axes
                else np.zeros(self.samples, int)
            )
            counts = []
            for weights in (None, correct[:, k]):
                table = np.bincount(flat, weights, math.prod(sides)).reshape(sides)
                for axis in range(axes):
                    stay = table.cumsum(axis).take(ranks, axis)
                    leaves = axis == k and not last
                    table = table.sum(axis, keepdims=True) - stay if leaves else stay
                counts.append(table.reshape(table.shape + (1,) * (len(shape) - axes)))
            self.leaving.append(np.broadcast_to(counts[0], shape))
            hits = hits + counts[1]
        self.accuracy = hits / self.samples

        spent = np.zeros(shape)
        self.average_macs = np.zeros(shape)
        on = np.array([value < 1 for value in self.values], float)
        for k in range(self.exits):
            if k < self.exits - 1:
                side = [1] * len(shape)
                side[k] = -1
                spent = spent + cost.branches[k] * on.reshape(side)
            self.average_macs += self.leaving[k] * (cost.backbone[k] + spent)
        self.average_macs /= self.samples

    def point(self, index: int, score: float | None = None) -> OperatingPoint:
        """The combination at a flat index of the grid."""
        chosen = np.unravel_index(index, self.accuracy.shape)
        return OperatingPoint(
            thresholds=tuple(self.values[i] for i in chosen),
            accuracy=float(self.accuracy[chosen]),
            average_macs=float(self.average_macs[chosen]),
            utilisation=tuple(float(n[chosen]) / self.samples for n in self.leaving),
            score=score,
        )


def _check(logits: Any, labels: Any, cost: Cost) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = check_answers(logits, labels)
    if not isinstance(cost, Cost):
        raise TypeError(f"cost is a {type(cost).__name__}; expected a zoo.Cost.")
    if len(cost.backbone) != logits.shape[1]:
        raise ValueError(
            f"The cost is of a network with {len(cost.backbone)} exits, including the "
            f"final one; the logits have {logits.shape[1]}."
        )
    return logits, labels
