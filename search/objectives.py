"""Objectives and constraints: what a search improves, and within which limits."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

DIRECTIONS = ("min", "max")


class Directed(Protocol):
    """Anything with a `name` and a `direction`, such as a `keras_tuner.Objective`."""

    name: str
    direction: str


@dataclass(frozen=True)
class Objective:
    """A metric to minimise or to maximise.

    Attributes:
        name: The metric.
        direction: "min" or "max".
    """

    name: str
    direction: str = "min"


def check_direction(each: Directed) -> None:
    """Raise a ValueError if something is neither to minimise nor to maximise."""
    if each.direction not in DIRECTIONS:
        raise ValueError(
            f"The direction of {each.name} is {each.direction!r}; expected "
            f"{', '.join(DIRECTIONS)}."
        )


class Objectives:
    """Several objectives, kept apart.

    Args:
        objectives: Objects with a name and a direction, or names of metrics to
            minimise.

    Attributes:
        names: Their names.
        signs: 1 for each to minimise, -1 for each to maximise; shape `(objectives,)`.

    Raises:
        ValueError: There is none, or a name or a direction is wrong.
    """

    def __init__(self, objectives: Iterable[Directed | str]) -> None:
        self.objectives = tuple(
            Objective(each)
            if isinstance(each, str)
            else Objective(each.name, each.direction)
            for each in objectives
        )
        self.names = tuple(each.name for each in self.objectives)
        if not self.names or len(set(self.names)) < len(self.names):
            raise ValueError(
                f"objectives are {self.names}; expected at least one, each once."
            )
        for each in self.objectives:
            check_direction(each)
        self.signs = np.array(
            [1.0 if each.direction == "min" else -1.0 for each in self.objectives]
        )

    def __iter__(self) -> Iterator[Objective]:
        return iter(self.objectives)

    def __len__(self) -> int:
        return len(self.objectives)

    def point(self, metrics: Mapping[str, float]) -> np.ndarray:
        """The metrics as a point to minimise, shape `(objectives,)`."""
        return self.signs * [metrics[name] for name in self.names]

    def points(self, metrics: Iterable[Mapping[str, float]]) -> np.ndarray:
        """The metrics of several candidates, shape `(candidates, objectives)`."""
        points = [self.point(each) for each in metrics]
        return np.array(points).reshape(len(points), len(self.names))


@dataclass(frozen=True)
class Constraint:
    """A metric that must stay within limits.

    Args:
        metric: Its name.
        minimum: Least allowed value; None: no limit.
        maximum: Largest allowed value; None: no limit.

    Raises:
        ValueError: There is no limit, or no value satisfies both.
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

    def relative_violation(self, value: Any) -> Any:
        """The violation relative to the limits, so that units do not matter."""
        return self.violation(value) / (
            max(abs(self.minimum or 0), abs(self.maximum or 0)) or 1
        )


def is_feasible(
    metrics: Mapping[str, float], constraints: Iterable[Constraint]
) -> bool:
    """Whether metrics satisfy all constraints."""
    return all(c.violation(metrics[c.metric]) == 0 for c in constraints)


def violations(
    metrics: Mapping[str, Any], constraints: Sequence[Constraint]
) -> list[Any]:
    """Relative violation of every constraint; metrics are numbers or arrays."""
    return [c.relative_violation(metrics[c.metric]) for c in constraints]


def check_numbers(name: str, values: Sequence[float], count: int) -> np.ndarray:
    """Return `count` finite numbers as an array, or raise a ValueError."""
    values = list(values)
    if len(values) != count or not all(
        isinstance(v, numbers.Real) and np.isfinite(v) for v in values
    ):
        raise ValueError(f"{name} is {values!r}; expected {count} finite numbers.")
    return np.array(values, float)
