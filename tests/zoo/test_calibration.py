"""Calibration, risk control and the gain of early exits, on made-up logits."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from zoo import exits
from zoo.cost import Cost
from zoo.exits import (
    OperatingPoint,
    calibration_error,
    confidence,
    evaluate,
    failure_auroc,
    frontier,
    gain_over_single_exits,
    oracle_accuracy,
    single_exit_accuracy,
    temperatures,
    thresholds_for_risk,
)
from zoo.runtime import softmax

COST = Cost(backbone=(100, 300, 900), branches=(20, 60), parameters=1)
ALONE = (120, 360, 900)  # MACs of each exit with the others off


def honest(samples, classes=5, exits=3, scale=2.0, seed=0):
    """Logits whose softmax is the distribution that labels are drawn from.

    All exits have the same logits, in double precision.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(samples, classes)) * scale
    edges = softmax(logits).cumsum(-1)
    labels = (rng.random((samples, 1)) > edges[:, :-1]).sum(-1)
    return np.repeat(logits[:, None], exits, axis=1), labels


def growing(samples, seed=0, classes=4):
    """Logits of three exits, each better than the last, on easy and hard images."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=samples)
    ease = rng.gamma(2, 1.5, size=samples)
    logits = rng.normal(size=(samples, 3, classes))
    for k, skill in enumerate((0.6, 1.1, 1.9)):
        logits[np.arange(samples), k, labels] += skill * ease
    return (1.5 * logits).astype(np.float32), labels


def given(confidences, right, exits=1):
    """Logits of two classes with these largest probabilities, and whether right."""
    confidences = np.array(confidences, float)
    sure = np.log(confidences / (1 - confidences))
    logits = np.stack([sure, np.zeros_like(sure)], -1)[:, None]
    return np.repeat(logits, exits, axis=1), (~np.array(right, bool)).astype(int)


# Temperatures


def test_temperatures_recover_a_known_scaling_of_each_exit():
    logits, labels = honest(20_000)
    scaled = logits * np.array([0.5, 1.0, 3.0])[:, None]
    assert temperatures(scaled, labels) == pytest.approx([0.5, 1.0, 3.0], rel=0.03)


def test_temperatures_have_the_least_cross_entropy():
    logits, labels = honest(500, seed=3)

    def loss(temperature):
        shares = softmax(logits[:, 0].astype(np.float32).astype(float) / temperature)
        return -np.log(shares[range(500), labels]).mean()

    found = temperatures(logits, labels)
    assert len(set(found)) == 1
    assert all(loss(found[0]) < loss(found[0] * other) for other in (0.98, 1.02))


def test_temperatures_make_probabilities_honest_and_change_no_answer():
    logits, labels = honest(20_000)
    logits = 2.5 * logits
    tempered = logits / np.array(temperatures(logits, labels))[:, None]
    assert max(calibration_error(tempered, labels)) < 0.015
    assert min(calibration_error(logits, labels)) > 0.05
    assert np.array_equal(tempered.argmax(-1), logits.argmax(-1))


def test_temperatures_stay_finite_where_there_is_no_best():
    logits, labels = honest(50)
    best = logits[:, 0].argmax(-1)
    assert temperatures(logits, best) == pytest.approx([0.01] * 3)
    assert temperatures(logits, (best + 1) % 5)[0] == pytest.approx(100)
    assert temperatures(np.zeros((4, 1, 3)), np.array([0, 1, 2, 0]))[0] > 0


# Expected calibration error


def test_honest_probabilities_have_hardly_any_calibration_error():
    assert max(calibration_error(*honest(50_000))) < 0.01


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_calibration_error_of_one_confidence_is_its_gap_to_the_accuracy(bins):
    logits, labels = given([0.93] * 100, [1] * 80 + [0] * 20)
    assert calibration_error(logits, labels, bins) == (pytest.approx(0.13),)


def test_gaps_of_bins_do_not_cancel():
    # Two bins of the right mean, one too sure by 0.3 and one not sure enough by 0.3.
    logits, labels = given([0.9] * 10 + [0.6] * 10, [1] * 6 + [0] * 4 + [1] * 9 + [0])
    assert calibration_error(logits, labels) == (pytest.approx(0.3),)
    assert calibration_error(logits, labels, bins=1) == (pytest.approx(0, abs=1e-7),)


def test_a_bin_counts_by_its_samples():
    logits, labels = given([0.97] * 30 + [0.62] * 10, [1] * 24 + [0] * 6 + [1] * 10)
    expected = (30 * (0.97 - 0.8) + 10 * (1 - 0.62)) / 40
    assert calibration_error(logits, labels, bins=10) == (pytest.approx(expected),)


def test_the_calibration_error_of_certainty_is_the_error():
    logits = np.tile([[[1000.0, 0.0]]], (10, 2, 1))
    labels = np.array([0] * 7 + [1] * 3)
    assert calibration_error(logits, labels) == pytest.approx([0.3, 0.3])


def test_reliability_is_confidence_and_accuracy_by_bin():
    logits, labels = given([0.95, 0.85, 0.82], [True, False, True])
    found = exits.reliability(logits, labels, bins=10)
    assert [each.shape for each in found] == [(1, 10)] * 3
    np.testing.assert_allclose(found.share[0, 8:], [2 / 3, 1 / 3])
    np.testing.assert_allclose(found.confidence[0, 8:], [0.835, 0.95])
    np.testing.assert_allclose(found.accuracy[0, 8:], [0.5, 1])
    assert not found.share[0, :8].any()
    assert np.isnan(found.confidence[0, :8]).all()
    assert np.isnan(found.accuracy[0, :8]).all()


def test_bins_have_to_be_some():
    with pytest.raises(ValueError, match="bins is 0; expected 1 or more"):
        calibration_error(*honest(4), bins=0)


# Failure AUROC


@pytest.mark.parametrize("rule", exits.RULES)
def test_the_failure_auroc_is_that_of_scikit_learn(rule):
    logits, labels = growing(400)
    right = logits.argmax(-1) == labels[:, None]
    expected = [
        roc_auc_score(right[:, k], confidence(logits, rule)[:, k]) for k in range(3)
    ]
    assert failure_auroc(logits, labels, rule) == pytest.approx(expected)


def test_ties_of_confidences_count_half():
    sure = [0.6, 0.6, 0.6, 0.8, 0.8, 0.9]
    right = [1, 0, 0, 1, 0, 1]
    pairs = [
        (a > b) + (a == b) / 2
        for (a, hit), (b, other) in itertools.product(zip(sure, right), repeat=2)
        if hit and not other
    ]
    found = failure_auroc(*given(sure, right))
    assert found == (pytest.approx(sum(pairs) / len(pairs)),)


def test_without_a_wrong_or_a_right_answer_there_is_no_auroc():
    logits, _ = given([0.6, 0.7, 0.8], [1, 1, 1], exits=2)
    logits[:, 1] = -logits[:, 1]
    assert failure_auroc(logits, np.array([0, 0, 0])) == (None, None)
    assert failure_auroc(logits, np.array([0, 0, 1])) == (0.0, 1.0)


# Oracle accuracy and the gain over single exits


def test_the_oracle_is_right_if_any_exit_in_use_is():
    answers = np.array([[0, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 1]])
    logits, labels = 5.0 * np.eye(2)[answers], np.zeros(4, int)
    assert oracle_accuracy(logits, labels) == 0.75
    assert oracle_accuracy(logits, labels, (0.5, 0.5)) == 0.75
    assert oracle_accuracy(logits, labels, (1, 0.5)) == 0.5
    assert oracle_accuracy(logits, labels, (0.5, 1)) == 0.5
    assert oracle_accuracy(logits, labels, (1, 1)) == 0.25
    with pytest.raises(ValueError, match="has 1 entries; expected 2"):
        oracle_accuracy(logits, labels, (0.5,))


def test_no_setting_beats_the_oracle():
    logits, labels = growing(300)
    best = max(point.accuracy for point in frontier(logits, labels, COST))
    assert best <= oracle_accuracy(logits, labels) < 1


@pytest.mark.parametrize(
    "macs, expected",
    [
        (120, 0.6),
        (240, 0.7),  # half-way from exit 1 to exit 2
        (360, 0.8),
        (630, 0.85),  # half-way from exit 2 to the final one
        (900, 0.9),
        (5000, 0.9),  # more than the dearest
        (60, 0.6),  # less than the cheapest
    ],
)
def test_between_single_exits_accuracy_is_interpolated(macs, expected):
    accuracy = single_exit_accuracy((0.6, 0.8, 0.9), COST, macs)
    assert accuracy == pytest.approx(expected)


def test_an_exit_below_the_line_between_its_neighbours_does_not_count():
    # At 360 of 120 to 900 MACs the line from 0.6 to 0.9 is at 0.6923.
    found = single_exit_accuracy((0.6, 0.65, 0.9), COST, 360)
    assert found == pytest.approx(0.6 + 0.3 * 240 / 780)


def test_a_dearer_exit_that_is_worse_lowers_nothing():
    for macs in (360, 500, 900, 1000):
        assert single_exit_accuracy((0.6, 0.8, 0.7), COST, macs) == 0.8


def test_of_exits_of_one_cost_the_better_counts():
    level = Cost((100, 100, 900), (20, 20), 1)
    for macs in (60, 120):
        assert single_exit_accuracy((0.5, 0.6, 0.9), level, macs) == 0.6
    with pytest.raises(ValueError, match="exit_accuracy has 2 entries; expected 3"):
        single_exit_accuracy((0.5, 0.6), level, 100)


def test_a_single_exit_gains_nothing_and_off_exits_cost_nothing():
    logits, labels = growing(300)
    for k, thresholds in enumerate([(0, 1), (1, 0), (1, 1)]):
        found = evaluate(logits, labels, COST, thresholds)
        assert found.average_macs == ALONE[k]
        assert gain_over_single_exits(found, COST) == pytest.approx(0, abs=1e-12)


def test_the_gain_is_the_lead_over_the_line_between_exits():
    # Exit 1 is sure of what it has right: 3 of 4 leave there, the others go on.
    first = [[5.0, 0.0], [5.0, 0.0], [5.0, 0.0], [0.0, 0.1]]
    logits = np.array([first, [[0.0, 9.0]] * 4, [[9.0, 0.0]] * 4]).transpose(1, 0, 2)
    found = evaluate(logits, np.zeros(4, int), COST, (0.5, 1))
    assert found.exit_accuracy == (0.75, 0, 1)
    assert found.average_macs == (3 * 120 + 920) / 4 == 320
    expected = 1 - (0.75 + 0.25 * (320 - 120) / (900 - 120))
    assert gain_over_single_exits(found, COST) == pytest.approx(expected)


def test_exits_that_do_not_pay_have_a_gain_below_0():
    # Exit 1 is surest where it is wrong.
    first = [[5.0, 0.0]] * 2 + [[0.0, 0.1]] * 2
    logits = np.array([first, [[0.0, 0.0]] * 4, [[0.0, 9.0]] * 4]).transpose(1, 0, 2)
    found = evaluate(logits, np.ones(4, int), COST, (0.5, 1))
    assert (found.accuracy, found.average_macs) == (0.5, 520)
    expected = 0.5 - (0.5 + 0.5 * (520 - 120) / (900 - 120))
    assert gain_over_single_exits(found, COST) == pytest.approx(expected)


# Risk control


def point(thresholds, macs):
    return OperatingPoint(thresholds, accuracy=0.5, average_macs=macs, utilisation=())


def errors(wrong):
    """100 samples of which so many are wrong at exit 1, at exit 2 and at the end.

    All are sure at every exit, so a setting answers by its first exit in use.
    """
    labels = np.zeros(100, int)
    answers = np.stack([np.arange(100) < count for count in wrong], -1).astype(int)
    return 10 * np.eye(2)[answers], labels


CHEAP, MIDDLE, DEAR = point((0.5, 0.5), 120), point((1, 0.5), 360), point((1, 1), 900)


@pytest.mark.parametrize(
    "epsilon, expected",
    [
        (11 / 101, DEAR),
        (0.2, DEAR),
        (21 / 101 - 1e-9, DEAR),
        (21 / 101, MIDDLE),
        (31 / 101 - 1e-9, MIDDLE),
        (31 / 101, CHEAP),
        (1, CHEAP),
    ],
)
def test_the_cheapest_point_with_an_adjusted_risk_in_reach_is_chosen(epsilon, expected):
    for points in itertools.permutations([CHEAP, MIDDLE, DEAR]):
        found = thresholds_for_risk(epsilon, *errors((30, 20, 10)), points)
        assert found is expected


def test_the_walk_ends_at_the_first_unsafe_point():
    # The cheapest is safe by itself, but the one between is not.
    data = errors((12, 20, 10))
    assert thresholds_for_risk(0.15, *data, [CHEAP, DEAR]) is CHEAP
    assert thresholds_for_risk(0.15, *data, [CHEAP, MIDDLE, DEAR]) is DEAR


def test_all_points_of_one_cost_have_to_be_safe():
    data = errors((12, 20, 10))
    twins = [point((0.5, 0.5), 360), MIDDLE]
    for points in ([*twins, DEAR], [*twins[::-1], DEAR]):
        assert thresholds_for_risk(0.15, *data, points) is DEAR
        assert thresholds_for_risk(0.25, *data, points) is twins[0]


def test_the_gap_is_counted_from_the_final_classifier():
    data = errors((30, 20, 10))
    points = [CHEAP, MIDDLE, DEAR]
    for epsilon, expected in [(1 / 101, DEAR), (11 / 101, MIDDLE), (21 / 101, CHEAP)]:
        found = thresholds_for_risk(epsilon, *data, points, risk="gap")
        assert found is expected
    better_early = errors((5, 20, 10))
    found = thresholds_for_risk(1e-6, *better_early, [CHEAP], risk="gap")
    assert found is CHEAP


def test_a_risk_out_of_reach_says_what_is_in_reach():
    data = errors((30, 20, 10))
    with pytest.raises(ValueError, match="0.1, which no setting keeps.* is 0.1089 "):
        thresholds_for_risk(0.1, *data, [CHEAP, MIDDLE, DEAR])
    assert thresholds_for_risk(0.10892, *data, [CHEAP, MIDDLE, DEAR]) is DEAR


@pytest.mark.parametrize("risk", ["error", "gap"])
def test_risk_is_controlled_on_average_over_many_draws(risk):
    population, truth = growing(20_000, seed=1)
    points = frontier(*growing(2_000, seed=2), COST, values=(0.1, 0.3, 0.6, 0.9, 1))
    cells = [exits.decide(population, each.thresholds) for each in points]
    wrong = population.argmax(-1) != truth[:, None]
    base = wrong[:, -1].mean() if risk == "gap" else 0
    risks = {
        id(each): wrong[range(len(truth)), chosen].mean() - base
        for each, chosen in zip(points, cells)
    }
    epsilon = 0.5 * (min(risks.values()) + max(risks.values()))
    rng, found = np.random.default_rng(3), []
    for _ in range(300):
        drawn = rng.integers(len(truth), size=150)
        chosen = thresholds_for_risk(
            epsilon, population[drawn], truth[drawn], points, risk=risk
        )
        found.append(risks[id(chosen)])
    assert 0.75 * epsilon < np.mean(found) <= epsilon
    assert max(found) > epsilon  # a single draw may exceed it


# Bad input


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"epsilon": 0}, "epsilon is 0; expected more than 0, at most 1"),
        ({"epsilon": 1.5}, "epsilon is 1.5; expected more than 0, at most 1"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"points": []}, "no operating point to choose from"),
        ({"points": [point((0.5,), 1)]}, "has 1 entries; expected 2"),
        ({"risk": "gaps"}, "no risk 'gaps'.*Did you mean 'gap'"),
        ({"rule": "margin"}, "no exit rule 'margin'"),
    ],
)
def test_bad_arguments_of_risk_control_are_named(changes, message):
    logits, labels = errors((30, 20, 10))
    arguments = {"epsilon": 0.5, "points": [DEAR]} | changes
    with pytest.raises(ValueError, match=message):
        thresholds_for_risk(logits=logits, labels=labels, **arguments)


@pytest.mark.parametrize(
    "measure",
    [
        temperatures,
        calibration_error,
        failure_auroc,
        oracle_accuracy,
        lambda logits, labels: thresholds_for_risk(0.5, logits, labels, [DEAR]),
    ],
)
def test_bad_logits_and_labels_are_named(measure):
    logits, labels = errors((30, 20, 10))
    with pytest.raises(ValueError, match=r"logits have the shape \(100, 2\)"):
        measure(logits[:, 0], labels)
    with pytest.raises(ValueError, match="labels lie in 7..7; expected 0..1"):
        measure(logits, labels + 7)
    with pytest.raises(ValueError, match="no samples"):
        measure(logits[:0], labels[:0])
    with pytest.raises(ValueError, match="not finite"):
        measure(logits * np.nan, labels)


def test_an_unknown_rule_has_no_auroc():
    with pytest.raises(ValueError, match="no exit rule 'margin'"):
        failure_auroc(*honest(4), "margin")
