"""Pareto fronts and hypervolume of any number of objectives.

Points are arrays of shape `(points, objectives)` in which every objective is to be
minimised; `search.Objectives` turns metrics into such points.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from search import evolution


def fronts(points: Any) -> list[np.ndarray]:
    """Indices of the points by rank: the non-dominated first, then those below.

    Non-dominated sorting of Deb et al. (NSGA-II, 2002). Equal points share a rank.
    """
    points = _checked(points)
    return evolution.sort_by_dominance(points) if len(points) else []


def front(points: Any) -> np.ndarray:
    """Indices of the non-dominated points, by the first objective."""
    points = _checked(points)
    if not len(points):
        return np.array([], int)
    first = _front_of_two(points) if points.shape[1] == 2 else fronts(points)[0]
    return first[np.lexsort(points[first].T[::-1])]


def _front_of_two(points: np.ndarray) -> np.ndarray:
    """The non-dominated points of two objectives, in one pass: there may be many."""
    different, place = np.unique(points, axis=0, return_inverse=True)
    before = np.minimum.accumulate(np.concatenate([[np.inf], different[:-1, 1]]))
    return np.flatnonzero((different[:, 1] < before)[place.ravel()])


def reference_point(points: Any) -> np.ndarray:
    """1 % worse than the worst of the points in each objective, as in the paper."""
    worst = _checked(points).max(0)
    return worst + 0.01 * np.abs(worst)


def hypervolume(points: Any, reference: Any, ideal: Any = None) -> float:
    """Volume that the points dominate, up to a reference point.

    Args:
        points: Shape `(points, objectives)`, to minimise.
        reference: Worst point that counts, shape `(objectives,)`.
        ideal: Best possible point. If given, the volume is a share, 0..1, of the box
            between it and the reference (0 if the box is empty); else it is the plain
            product of the units.
    """
    points, reference = _checked(points), np.asarray(reference, float)
    if points.size and points.shape[1] != len(reference):
        raise ValueError(
            f"reference has {len(reference)} values; the points have "
            f"{points.shape[1]} objectives."
        )
    volume = evolution.hypervolume(points, reference) if len(points) else 0.0
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
