"""How far the confidence of each exit can be trusted, and what early exits gain.

Like `zoo.exits`, which exports these functions too, this needs no network: logits have
the shape `(samples, exits, classes)`, the final classifier last. What is measured of an
exit is measured on all samples, not on those that leave there alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from zoo.checks import (
    check_answers,
    check_rule,
    check_thresholds,
    require_length,
    whole_number,
)
from zoo.cost import Cost
from zoo.names import unknown
from zoo.operating_points import Evaluation, Point
from zoo.runtime import RULES, first_exit, max_probability, softmax

BINS = 15
HOTTEST = 100.0  # temperatures lie between its inverse and it
RISKS = ("error", "gap")


def temperatures(logits: Any, labels: Any) -> tuple[float, ...]:
    """The temperature of each exit: logits divided by it have the least cross-entropy.

    A temperature above 1 says that the exit is too sure of itself. It makes
    probabilities honest and changes no answer; confidences change, so thresholds have
    to be chosen again.

    Args:
        logits: Shape `(samples, exits, classes)`, of samples not trained on.
        labels: Integers of shape `(samples,)`.

    Returns:
        One per exit, the final one last, in 0.01..100. An end is reached where the
        cross-entropy has no minimum: 0.01 if every answer is right, 100 if the logits
        say nothing about the labels.

    Raises:
        ValueError: Shapes do not fit, a label is out of range, or there is no sample.

    Reference:
        Guo et al., "On calibration of modern neural networks", ICML 2017.

    Example:
        >>> found = zoo.exits.temperatures(logits, labels)
        >>> honest = logits / np.array(found)[:, None]
    """
    logits, labels = check_answers(logits, labels)
    return tuple(
        _temperature(logits[:, k].astype(float), labels) for k in range(logits.shape[1])
    )


def _temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of one exit, by bisection.

    In the inverse of the temperature the cross-entropy is convex. Its slope is the
    expected logit minus that of the label.
    """
    low, high = -np.log(HOTTEST), np.log(HOTTEST)
    of_label = logits[np.arange(len(labels)), labels].mean()
    for _ in range(40):
        middle = (low + high) / 2
        expected = (softmax(np.exp(middle) * logits) * logits).sum(-1).mean()
        low, high = (middle, high) if expected < of_label else (low, middle)
    return float(np.exp(-(low + high) / 2))


def calibration_error(logits: Any, labels: Any, bins: int = BINS) -> tuple[float, ...]:
    """Expected calibration error (ECE) of each exit, in 0..1.

    Samples are sorted into bins of equal width by the largest probability. The error is
    the gap between its mean and the accuracy in a bin, averaged over all samples.

    Args:
        logits: Shape `(samples, exits, classes)`.
        labels: Integers of shape `(samples,)`.
        bins: Number of bins.

    Returns:
        One per exit, the final one last. The exit rule has no part in it.

    Raises:
        ValueError: Shapes do not fit, a label is out of range, there is no sample or
            no bin.

    Reference:
        Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    found = reliability(logits, labels, bins)
    gaps = np.abs(found.confidence - found.accuracy)
    return tuple(np.where(found.share > 0, found.share * gaps, 0).sum(1).tolist())


class Reliability(NamedTuple):
    """Confidence and accuracy by bin, each an array of shape `(exits, bins)`.

    Attributes:
        share: Of the samples, that lie in the bin.
        confidence: Mean of their largest probabilities; NaN where there is none.
        accuracy: Share of right answers among them; NaN where there is none.
    """

    share: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability(logits: Any, labels: Any, bins: int = BINS) -> Reliability:
    """What a reliability diagram shows: how accurate each exit is where it is sure.

    Args:
        logits: Shape `(samples, exits, classes)`.
        labels: Integers of shape `(samples,)`.
        bins: Number of bins of equal width, by the largest probability.

    Raises:
        ValueError: Shapes do not fit, a label is out of range, there is no sample or
            no bin.

    Reference:
        Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    logits, labels = check_answers(logits, labels)
    bins = whole_number("bins", bins, 1)
    sure = max_probability(logits.astype(float))
    right = _right(logits, labels)
    places = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    count, confidence, hits = (
        np.array([np.bincount(at, w, bins) for at, w in zip(places.T, weights.T)])
        for weights in (np.ones_like(sure), sure, right)
    )
    with np.errstate(invalid="ignore"):
        return Reliability(count / len(labels), confidence / count, hits / count)


def failure_auroc(
    logits: Any, labels: Any, rule: str = "score_margin"
) -> tuple[float | None, ...]:
    """How well the confidence of each exit tells right answers from wrong ones.

    The area under the ROC curve: the probability that a right answer has a higher
    confidence than a wrong one, ties counted half. 1 is perfect, 0.5 is chance. It is
    what early exits live on, and a temperature hardly changes it.

    Args:
        logits: Shape `(samples, exits, classes)`.
        labels: Integers of shape `(samples,)`.
        rule: The confidence to use; see `zoo.exits.confidence`.

    Returns:
        One per exit, the final one last; None where all answers are right or all wrong.

    Raises:
        ValueError: Shapes do not fit, a label is out of range, there is no sample, or
            the rule is unknown.
    """
    check_rule(rule)
    logits, labels = check_answers(logits, labels)
    right = _right(logits, labels)
    return tuple(map(_auroc, RULES[rule](logits).T, right.T))


def _auroc(confidences: np.ndarray, right: np.ndarray) -> float | None:
    """The Mann-Whitney statistic, by ranks."""
    wins, losses = int(right.sum()), int((~right).sum())
    if not wins or not losses:
        return None
    _, place, count = np.unique(confidences, return_inverse=True, return_counts=True)
    ranks = (count.cumsum() - (count - 1) / 2)[place]
    return float((ranks[right].sum() - wins * (wins + 1) / 2) / (wins * losses))


def oracle_accuracy(
    logits: Any, labels: Any, thresholds: Sequence[float] | None = None
) -> float:
    """Share of the samples for which an exit in use is right, 0..1.

    No exit rule is more accurate with the same exits.

    Args:
        logits: Shape `(samples, exits, classes)`.
        labels: Integers of shape `(samples,)`.
        thresholds: One per exit but the last; those of 1 are off. Default: every exit
            is in use.

    Raises:
        ValueError: Shapes do not fit, a label is out of range, or there is no sample.
    """
    logits, labels = check_answers(logits, labels)
    in_use = np.ones(logits.shape[1], bool)
    if thresholds is not None:
        checked = check_thresholds(thresholds, count=logits.shape[1] - 1)
        in_use[:-1] = np.array(checked) < 1
    return float(_right(logits, labels)[:, in_use].any(1).mean())


def single_exit_accuracy(
    exit_accuracy: Sequence[float], cost: Cost, average_macs: float
) -> float:
    """The most accurate that a network is at a cost without an exit rule, 0..1.

    One exit answers for all samples, and only its own branch is run; or two do, and
    which of them answers is drawn by lot, which reaches every cost between theirs on
    a straight line. So this is the upper concave envelope of the single exits' costs
    and accuracies. Beyond the most accurate one it stays level, as one may spend less.
    Below the cheapest it is the cheapest one's accuracy.

    Args:
        exit_accuracy: Of each exit on all samples, the final one last.
        cost: Of the network.
        average_macs: What an image may cost on average, a count.

    Raises:
        ValueError: The accuracies are not as many as the exits.
    """
    count = len(cost.backbone)
    require_length("exit_accuracy", exit_accuracy, count)
    alone = [
        cost.per_exit_with([i == k for i in range(count - 1)])[k] for k in range(count)
    ]
    points = sorted(zip(alone, exit_accuracy))
    cheapest = max(accuracy for spent, accuracy in points if spent == points[0][0])
    reached = [accuracy for spent, accuracy in points if spent <= average_macs]
    for (less, first), (more, second) in combinations(points, 2):
        if less < average_macs < more:
            part = (average_macs - less) / (more - less)
            reached.append(first + part * (second - first))
    return float(max(reached, default=cheapest))


def gain_over_single_exits(found: Evaluation, cost: Cost) -> float:
    """What the exit rule adds to the accuracy at equal average MACs.

    Args:
        found: What `zoo.exits.evaluate` gave.
        cost: The cost that it was given.

    Returns:
        Accuracy by the exit rule minus `single_exit_accuracy` at its average MACs, in
        -1..1. Below 0 the exits do not pay.
    """
    without = single_exit_accuracy(found.exit_accuracy, cost, found.average_macs)
    return found.accuracy - without


def thresholds_for_risk(
    epsilon: float,
    logits: Any,
    labels: Any,
    points: Sequence[Point],
    rule: str = "score_margin",
    risk: str = "error",
) -> Point:
    """The cheapest operating point whose risk is at most `epsilon`, by risk control.

    Conformal risk control: points are tried from the dearest to the cheapest, and the
    walk ends before the first one whose adjusted risk, (n risk + 1) / (n + 1) on n
    samples, exceeds `epsilon`. So every point at least as dear as the chosen one is
    safe, too.

    What follows: the risk on a new sample is at most `epsilon` on average over draws
    of the samples given here. A single draw may exceed it, and so may a class of
    images. What is assumed: the samples are drawn like those to come; they were used
    neither for training nor for choosing `points` (temperatures, if any, included);
    and a sample's loss does not rise from a point to a dearer one. The last holds for
    networks only roughly, since a later exit may be wrong where an earlier one is
    right. Without it the promise holds in the limit of many samples.

    Args:
        epsilon: The most that the risk may be, more than 0 and at most 1.
        logits: Shape `(samples, exits, classes)`, of samples that `points` were not
            measured on.
        labels: Integers of shape `(samples,)`.
        points: Operating points in any order, such as the frontier of a model.
        rule: The confidence to use; see `zoo.exits.confidence`.
        risk: "error" is the share of wrong answers; "gap" is by how much that exceeds
            the share of the final classifier.

    Returns:
        The chosen one of `points`, as it is: its accuracy and average MACs are those
        measured elsewhere.

    Raises:
        ValueError: No point is safe (the message says what can be reached), there is
            none, or an argument is not usable.

    Reference:
        Jazbec et al., "Fast yet Safe: early-exiting with risk control", NeurIPS 2024;
        Angelopoulos et al., "Conformal risk control", ICLR 2024.

    Example:
        >>> point = zoo.exits.thresholds_for_risk(0.1, logits, labels, model.frontier)
        >>> model.thresholds = point.thresholds
    """
    if not 0 < epsilon <= 1:
        raise ValueError(f"epsilon is {epsilon!r}; expected more than 0, at most 1.")
    if risk not in RISKS:
        raise ValueError(unknown("risk", risk, RISKS))
    if not points:
        raise ValueError("There is no operating point to choose from.")
    check_rule(rule)
    logits, labels = check_answers(logits, labels)
    confidences, wrong = RULES[rule](logits), ~_right(logits, labels)
    samples, last = np.arange(len(labels)), logits.shape[1] - 1
    least = int(wrong[:, last].sum()) if risk == "gap" else 0

    def adjusted(point: Point) -> float:
        thresholds = check_thresholds(point.thresholds, count=last)
        chosen = first_exit(confidences, thresholds)
        return (int(wrong[samples, chosen].sum()) - least + 1) / (len(labels) + 1)

    # Of points of one cost the riskiest comes first, as all of them have to be safe.
    tried = [(point.average_macs, adjusted(point), point) for point in points]
    tried.sort(key=lambda entry: (-entry[0], -entry[1]))
    if tried[0][1] > epsilon:
        raise ValueError(
            f"epsilon is {epsilon:g}, which no setting keeps: on these {len(labels):,} "
            f"samples the smallest that can be promised is {tried[0][1]:.4g} (the "
            f"dearest setting, {tried[0][0]:,.0f} average MACs)."
        )
    unsafe = [spent for spent, found, _ in tried if found > epsilon]
    safe = [entry for entry in tried if not unsafe or entry[0] > unsafe[0]]
    return safe[-1][2]


def _right(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether each exit is right, shape `(samples, exits)`."""
    return logits.argmax(-1) == labels[:, None]
