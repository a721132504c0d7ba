"""Pareto fronts and hypervolume of any number of objectives.

Points are arrays of shape `(points, objectives)` in which every objective is to be
minimised; `Objectives` turns metrics into such points.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras_tuner
import numpy as np
from pymoo.indicators.hv import HV
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting


@dataclass(frozen=True)
class Constraint:
    """A metric that must stay within limits.

    Args:
        metric: Its name.
        minimum: Least allowed value; None: no limit.
        maximum: Largest allowed value; None: no limit.

    Raises:
        ValueError: There is no limit, or they leave nothing.
    """

    metric: str
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        if self.minimum is None and self.maximum is None:
            raise ValueError(f"The constraint on {self.metric} has no limit.")
        for limit in (self.minimum, self.maximum):
            if limit is not None and not np.isfinite(limit):
                raise ValueError(f"The constraint on {self.metric} has limit {limit}.")
        if None not in (self.minimum, self.maximum) and self.minimum > self.maximum:
            raise ValueError(
                f"The constraint on {self.metric} is empty: its minimum "
                f"{self.minimum} is above its maximum {self.maximum}."
            )

    def violation(self, value: Any) -> Any:
        """By how much a value (or each of an array) is outside the limits; 0 within."""
        below = 0.0 if self.minimum is None else self.minimum - np.asarray(value, float)
        above = 0.0 if self.maximum is None else np.asarray(value, float) - self.maximum
        return np.maximum(np.maximum(below, above), 0.0)


class Objectives(keras_tuner.Objective):
    """Several objectives, kept apart.

    keras-tuner's own list of objectives is summed up to one number. This keeps a
    direction for each; where keras-tuner wants one name and one direction, it gets
    those of the first.

    Args:
        objectives: `keras_tuner.Objective`s, or names of metrics to minimise.

    Raises:
        ValueError: There is none, or a name or a direction is wrong.
    """

    def __init__(self, objectives: Sequence[keras_tuner.Objective | str]) -> None:
        self.objectives = tuple(
            keras_tuner.Objective(each, "min") if isinstance(each, str) else each
            for each in objectives
        )
        self.names = tuple(each.name for each in self.objectives)
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(
                f"objectives are {self.names}; expected at least one, each once."
            )
        for each in self.objectives:
            if each.direction not in ("min", "max"):
                raise ValueError(
                    f"The direction of {each.name} is {each.direction!r}; expected "
                    "min, max."
                )
        super().__init__(self.names[0], self.objectives[0].direction)
        self.signs = np.array(
            [1.0 if each.direction == "min" else -1.0 for each in self.objectives]
        )

    def __iter__(self):
        return iter(self.objectives)

    def point(self, metrics: Mapping[str, float]) -> np.ndarray:
        """The metrics as a point to minimise, shape `(objectives,)`."""
        return self.signs * [metrics[name] for name in self.names]


def fronts(points: Any) -> list[np.ndarray]:
    """Indices of the points by rank: the non-dominated first, then those below.

    Non-dominated sorting of Deb et al. (NSGA-II, 2002). Equal points share a rank.
    """
    points = _checked(points)
    return NonDominatedSorting().do(points) if len(points) else []


def front(points: Any) -> np.ndarray:
    """Indices of the non-dominated points, by the first objective."""
    points = _checked(points)
    if not len(points):
        return np.array([], int)
    first = fronts(points)[0]
    return first[np.lexsort(points[first].T[::-1])]


def reference_point(points: Any) -> np.ndarray:
    """1 % worse than the worst of the points in each objective, as in the paper."""
    worst = _checked(points).max(0)
    return worst + 0.01 * np.abs(worst)


def hypervolume(points: Any, reference: Any, ideal: Any = None) -> float:
    """Volume that the points dominate, up to a reference point.

    Args:
        points: Shape `(points, objectives)`, to minimise.
        reference: Worst point that counts, shape `(objectives,)`.
        ideal: Best conceivable point. If given, the volume is a share, 0..1, of the box
            between it and the reference (0 if the box is empty); else it is the plain
            product of the units.
    """
    points, reference = _checked(points), np.asarray(reference, float)
    if points.size and points.shape[1] != len(reference):
        raise ValueError(
            f"reference has {len(reference)} values; the points have "
            f"{points.shape[1]} objectives."
        )
    volume = float(HV(ref_point=reference)(points)) if len(points) else 0.0
    if ideal is None:
        return volume
    sides = reference - np.asarray(ideal, float)
    return volume / float(np.prod(sides)) if (sides > 0).all() else 0.0


def _checked(points: Any) -> np.ndarray:
    points = np.asarray(points, float)
    if points.size and (points.ndim != 2 or not np.isfinite(points).all()):
        raise ValueError(
            f"points have the shape {points.shape}; expected finite numbers of "
            "shape (points, objectives)."
        )
    return points


def check_numbers(name: str, values: Sequence[float], count: int) -> np.ndarray:
    """Return so many finite numbers as an array, or raise a ValueError."""
    values = list(values)
    if len(values) != count or not all(
        isinstance(v, numbers.Real) and np.isfinite(v) for v in values
    ):
        raise ValueError(f"{name} is {values!r}; expected {count} finite numbers.")
    return np.array(values, float)
