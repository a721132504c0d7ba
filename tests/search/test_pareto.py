from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search import pareto
from search.objectives import Constraint, Objective, Objectives, check_numbers

LEAST, MOST = -2, 3

every_count = pytest.mark.parametrize("count", [1, 2, 3])
some_examples = settings(deadline=None, max_examples=60)
MAX_ACCURACY = Objective("accuracy", "max")


def one_point(count):
    return st.tuples(*[st.integers(LEAST, MOST)] * count)


def points_of(data, count, least=0):
    return data.draw(st.lists(one_point(count), min_size=least, max_size=9))


# Slow and obvious


def dominates(one, other):
    return one != other and all(a <= b for a, b in zip(one, other))


def slow_fronts(points):
    left, ranks = set(range(len(points))), []
    while left:
        rank = {
            i for i in left if not any(dominates(points[j], points[i]) for j in left)
        }
        ranks.append(sorted(rank))
        left -= rank
    return ranks


def slow_volume(points, reference):
    """Count the unit cubes between a point and the reference."""
    cubes = product(*(range(LEAST, r) for r in reference))
    return sum(
        any(all(p <= c for p, c in zip(point, cube)) for point in points)
        for cube in cubes
    )


# Fronts


@every_count
@some_examples
@given(data=st.data())
def test_fronts_are_those_of_repeated_removal(count, data):
    points = points_of(data, count)
    found = [rank.tolist() for rank in pareto.fronts(points)]
    assert [sorted(rank) for rank in found] == slow_fronts(points)


@every_count
@some_examples
@given(data=st.data())
def test_the_front_is_what_nothing_dominates_in_order(count, data):
    points = points_of(data, count)
    first = [
        i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)
    ]
    expected = sorted(first, key=lambda i: (points[i], i))
    assert pareto.front(points).tolist() == expected


def test_equal_points_share_a_rank():
    points = [(2, 2), (1, 1), (2, 2), (1, 1), (0, 2)]
    ranks = [sorted(rank.tolist()) for rank in pareto.fronts(points)]
    assert ranks == [[1, 3, 4], [0, 2]]
    assert pareto.front(points).tolist() == [4, 1, 3]


def test_a_front_by_hand():
    points = [(0.15, 3e6), (0.30, 1e6), (0.20, 2e6), (0.20, 2.5e6), (0.31, 1e6)]
    assert pareto.front(points).tolist() == [0, 2, 1]


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 2))])
def test_without_points_there_is_no_front(nothing):
    assert pareto.fronts(nothing) == []
    assert pareto.front(nothing).tolist() == []


# Hypervolume


@every_count
@some_examples
@given(data=st.data())
def test_hypervolume_is_the_count_of_dominated_cubes(count, data):
    points, reference = points_of(data, count), data.draw(one_point(count))
    expected = slow_volume(points, reference)
    assert pareto.hypervolume(points, reference) == pytest.approx(expected)


@every_count
@some_examples
@given(data=st.data())
def test_with_an_ideal_hypervolume_is_a_share(count, data):
    points, ideal = points_of(data, count), [LEAST - 1] * count
    reference = data.draw(one_point(count))
    box = np.prod([r - LEAST + 1 for r in reference])
    share = pareto.hypervolume(points, reference, ideal)
    assert share == pytest.approx(slow_volume(points, reference) / box)
    assert 0 <= share < 1


@pytest.mark.parametrize(
    "points, reference, expected",
    [
        ([(1.5,), (2,), (9,)], (4,), 2.5),
        ([(1, 3), (2, 2), (3, 1)], (4, 4), 3 + 2 + 1),
        ([(1, 3), (2, 2), (3, 1), (3, 3), (2, 2)], (4, 4), 3 + 2 + 1),
        ([(1, 3), (0, 5), (4, 0)], (4, 4), 3),  # two lie behind the reference
        ([(0, 0, 1), (1, 1, 0)], (2, 2, 2), 4 + 2 - 1),
        ([(-0.9, 2), (-0.8, 1)], (-0.5, 3), 0.4 + 0.3),  # accuracy, maximised
    ],
)
def test_hypervolume_by_hand(points, reference, expected):
    assert pareto.hypervolume(points, reference) == pytest.approx(expected)


@pytest.mark.parametrize(
    "points, expected",
    [
        ([(1, 2)], 2 * 4 / (4 * 6)),
        ([(-1, 0)], 1),
        ([(3, 0)], 0),
        ([], 0),
        (np.zeros((0, 2)), 0),
    ],
)
def test_the_share_of_the_box_by_hand(points, expected):
    share = pareto.hypervolume(points, (3, 6), ideal=(-1, 0))
    assert share == pytest.approx(expected)


@pytest.mark.parametrize("points", [[], [(0, 1)], [(0, 2), (0, 1)]])
def test_the_share_of_an_empty_box_is_0(points):
    assert pareto.hypervolume(points, (0, 2), ideal=(0, 0)) == 0


@pytest.mark.parametrize(
    "points, expected",
    [
        ([(0.2, 3e6), (0.3, 1e6)], (0.303, 3.03e6)),
        ([(-0.9, 5), (-0.8, 5)], (-0.792, 5.05)),  # accuracy, maximised
        ([(0, -1)], (0, -0.99)),
    ],
)
def test_the_reference_is_1_percent_worse_than_the_worst(points, expected):
    assert pareto.reference_point(points) == pytest.approx(expected)


@every_count
@some_examples
@given(data=st.data())
def test_no_point_is_worse_than_the_reference(count, data):
    points = np.array(points_of(data, count, least=1))
    reference = pareto.reference_point(points)
    assert reference.shape == (count,)
    assert ((points < reference) | (points == 0)).all()


@pytest.mark.parametrize(
    "points", [[1.0, 2.0], [[[1.0]]], [[np.nan, 1]], [[1, 2], [np.inf, 0]]]
)
@pytest.mark.parametrize(
    "function",
    [
        pareto.fronts,
        pareto.front,
        pareto.reference_point,
        lambda points: pareto.hypervolume(points, (4, 4)),
    ],
)
def test_unusable_points_are_rejected(function, points):
    with pytest.raises(ValueError, match="expected finite numbers of shape"):
        function(points)


# Constraints


@pytest.mark.parametrize(
    "limits, value, expected",
    [
        ({"maximum": 3}, 5, 2),
        ({"maximum": 3}, 3, 0),
        ({"maximum": 3}, -9, 0),
        ({"minimum": 0.8}, 0.5, 0.3),
        ({"minimum": 0.8}, 0.8, 0),
        ({"minimum": 0.8}, 9, 0),
        ({"minimum": 1, "maximum": 2}, 0, 1),
        ({"minimum": 1, "maximum": 2}, 1.5, 0),
        ({"minimum": 1, "maximum": 2}, 4, 2),
        ({"minimum": 0, "maximum": 0}, -1, 1),
        ({"minimum": 1, "maximum": 2}, [0, 1, 2, 5], [1, 0, 0, 3]),
    ],
)
def test_a_violation_is_the_distance_to_the_limits(limits, value, expected):
    violation = Constraint("error", **limits).violation(value)
    np.testing.assert_allclose(violation, expected)


def test_a_value_that_is_not_a_number_is_not_within_limits():
    assert Constraint("error", maximum=1).violation(float("nan")) != 0


@pytest.mark.parametrize(
    "limits, message",
    [
        ({}, "constraint on error has no limit"),
        ({"minimum": 2, "maximum": 1}, "constraint on error is empty.*2.*above.*1"),
    ],
)
def test_an_unusable_constraint_is_rejected(limits, message):
    with pytest.raises(ValueError, match=message):
        Constraint("error", **limits)


# Objectives


def test_maximised_objectives_are_points_with_the_sign_turned():
    objectives = Objectives(["macs", MAX_ACCURACY])
    assert objectives.names == ("macs", "accuracy")
    assert objectives.signs.tolist() == [1, -1]
    metrics = {"accuracy": 0.9, "other": 7, "macs": 20.0}
    assert objectives.point(metrics).tolist() == [20, -0.9]


def test_the_front_of_a_maximised_objective():
    objectives = Objectives([MAX_ACCURACY, "macs"])
    measured = [(0.8, 10), (0.9, 20), (0.7, 15), (0.9, 30)]
    points = [objectives.point({"accuracy": a, "macs": m}) for a, m in measured]
    assert pareto.front(points).tolist() == [1, 0]


def test_objectives_can_be_walked_through():
    assert [
        (each.name, each.direction) for each in Objectives([MAX_ACCURACY, "b"])
    ] == [
        ("accuracy", "max"),
        ("b", "min"),
    ]


@pytest.mark.parametrize(
    "objectives, message",
    [
        ([], "at least one, each once"),
        (["error", "error"], "'error', 'error'.*each once"),
        (["accuracy", MAX_ACCURACY], "each once"),
        ([Objective("error", "down")], "error is 'down'; expected min"),
        (["macs", Objective("error", None)], "error is None; expected"),
    ],
)
def test_unusable_objectives_are_rejected(objectives, message):
    with pytest.raises(ValueError, match=message):
        Objectives(objectives)


# Numbers


@pytest.mark.parametrize("values", [(1, 2.5), np.array([1, 2.5], np.float32)])
def test_finite_numbers_become_an_array(values):
    checked = check_numbers("ideal", values, 2)
    assert checked.dtype == float
    assert checked.tolist() == [1, 2.5]


@pytest.mark.parametrize("values", [(1,), (1, 2, 3), (1, "2"), (1, None), (1, np.inf)])
def test_other_numbers_are_rejected(values):
    with pytest.raises(ValueError, match="ideal is .*; expected 2 finite numbers"):
        check_numbers("ideal", values, 2)
