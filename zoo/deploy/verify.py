"""Do exported files answer as the model does? Everything here works on logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zoo import exits
from zoo.cost import Cost
from zoo.deploy.manifest import Agreement
from zoo.deploy.runner import Network
from zoo.exits import OperatingPoint
from zoo.runtime import RULES, exit_limits

BATCH = 250
TIE = 1e-3  # confidences that differ by less may fall on both sides of a threshold
VALUES = exits.GRID[:-1]  # every exit in use stays in use


def logits_of(network: Network, images: np.ndarray) -> np.ndarray:
    """Logits of every exit in use for all images, shape `(images, exits, classes)`."""
    found = []
    for start in range(0, len(images), BATCH):
        x, answers = network.prepare(images[start : start + BATCH]), []
        for segment in network.segments:
            logits, *features = segment(x)
            answers.append(logits)
            x = features[0] if features else x
        found.append(np.stack(answers, axis=1))
    return np.concatenate(found)


class Decisions:
    """What a rule makes of logits of the exits in use.

    Attributes:
        leaving: Place among these exits at which each image leaves.
        labels: Predicted classes.
        doubtful: Whether a confidence of the image lies at a threshold.
    """

    def __init__(
        self, logits: np.ndarray, thresholds: Sequence[float], rule: str
    ) -> None:
        confidences, limits = RULES[rule](logits), exit_limits(thresholds)
        self.leaving = (confidences >= limits).argmax(1)
        self.labels = logits[np.arange(len(logits)), self.leaving].argmax(1)
        self.doubtful = (np.abs(confidences - limits) < TIE).any(1)

    def accuracy(self, labels: np.ndarray | None) -> float | None:
        """Share of right answers; None without labels."""
        return None if labels is None else float((self.labels == labels).mean())

    def shares(self, count: int) -> tuple[float, ...]:
        """Share of the images that leaves at each of so many exits."""
        counts = np.bincount(self.leaving, minlength=count)
        return tuple((counts / len(self.leaving)).tolist())


def part_of(cost: Cost, used: Sequence[int]) -> Cost:
    """The cost of a network that has only the exits in use, the final one last."""
    return Cost(
        backbone=tuple(cost.backbone[k] for k in used),
        branches=tuple(cost.branches[k] for k in used[:-1]),
        parameters=cost.parameters,
    )


def agreement(
    described: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    labels: np.ndarray | None,
    thresholds: tuple[Sequence[float], Sequence[float]],
    rule: str,
    cost: Cost,
    exact: bool,
) -> Agreement:
    """Compare the logits of files with those of the model.

    Args:
        described: What the images are.
        ours: Logits of the files at the exits in use.
        theirs: Logits of the model at the same exits.
        labels: Of the images, or None.
        thresholds: Of the manifest, and of the model, at the exits in use.
        rule: The exit rule.
        cost: Of the network with these exits alone.
        exact: Whether every image has to leave at the same exit.

    Raises:
        ValueError: One does not, and has to.
    """
    tuned, given = thresholds
    before, model = Decisions(ours, given, rule), Decisions(theirs, given, rule)
    after = before if tuned == given else Decisions(ours, tuned, rule)
    differ = before.leaving != model.leaving
    broken = int((differ & ~model.doubtful).sum())
    distance = float(np.abs(ours - theirs).max())
    if exact and broken:
        raise ValueError(
            f"The exported files disagree with the model: {broken} of {len(ours)} "
            f"images leave at another exit, and logits differ by up to {distance:.3g}. "
            "Nothing was written."
        )
    spent = np.array(cost.per_exit, float)
    return Agreement(
        images=described,
        count=len(ours),
        equal_exits=float(1 - differ.mean()),
        equal_labels=float((before.labels == model.labels).mean()),
        largest_logit_difference=distance,
        accuracy=after.accuracy(labels),
        average_macs=float(spent[after.leaving].mean()),
        model_accuracy=model.accuracy(labels),
        model_average_macs=float(spent[model.leaving].mean()),
    )


def retuned(
    logits: np.ndarray, labels: np.ndarray, budget: float, rule: str, cost: Cost
) -> tuple[OperatingPoint, tuple[OperatingPoint, ...]]:
    """The most accurate thresholds within a budget, and all Pareto-optimal ones.

    Args:
        logits: Of the files, at the exits in use.
        labels: Of the images.
        budget: The most that an image may cost on average; where no setting keeps it,
            the cheapest one is taken.
        rule: The exit rule.
        cost: Of the network with these exits alone.
    """
    points = exits.frontier(logits, labels, cost, VALUES, rule)
    budget = max(budget, points[0].average_macs)
    return exits.within_budget(points, budget), points


def spread(values: Sequence[Any], used: Sequence[int], rest: float) -> tuple:
    """One value for each exit, of which those in use have the given ones."""
    found = [rest] * (used[-1] + 1)
    for place, value in zip(used, values):
        found[place] = value
    return tuple(found)
