"""Schedules and plans."""

import math

import pytest

from search.supernet.plan import Phase, Plan


def test_rate_rises_to_its_peak_and_falls_to_zero():
    phase = Phase(epochs=10, learning_rate=0.4, ramp=2)
    assert phase.rate(0) == 0
    assert phase.rate(1) == pytest.approx(0.2)
    assert phase.rate(2) == pytest.approx(0.4)
    assert phase.rate(6) == pytest.approx(0.2)
    assert phase.rate(10) == pytest.approx(0)


def test_epochs_belong_to_phases_in_order():
    plan = Plan((Phase(2, 0.1), Phase(3, 0.1, subnets=2)))
    assert plan.epochs == 5
    assert [plan.at(epoch) for epoch in range(5)] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    with pytest.raises(ValueError, match="no epoch 6; it has 5"):
        plan.at(5)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Phase(0, 0.1), "Phase.epochs is 0; expected 1 or more"),
        (lambda: Phase(2, math.nan), "Phase.learning_rate is nan"),
        (
            lambda: Phase(2, 0.1, ramp=3),
            "Phase.ramp is 3; expected 0 or more",
        ),
        (lambda: Phase(2, 0.1, resolutions=(32, 33)), "expected some of 32, 36"),
        (lambda: Plan(()), "Plan.phases is empty"),
        (lambda: Plan((Phase(2, 0.1),), fixed=1.5), "Plan.fixed is 1.5"),
    ],
)
def test_values_out_of_range(build, message):
    with pytest.raises(ValueError, match=message):
        build()
