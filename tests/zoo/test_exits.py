import dataclasses
from itertools import product

import keras
import numpy as np
import pytest

from zoo import runtime, tensors
from zoo.cost import Cost
from zoo.exits import (
    GRID,
    PAPER_VALUES,
    RULES,
    OperatingPoint,
    confidence,
    decide,
    evaluate,
    frontier,
    mean_accuracy,
    pareto_optimal,
    recount,
    thinned,
    thresholds_for_budget,
    tune_thresholds,
    within_budget,
    worthwhile,
)

COSTS = {
    0: Cost((900,), (), 1),
    1: Cost((300, 900), (70,), 1),
    2: Cost((100, 400, 900), (60, 10), 1),
    3: Cost((100, 250, 410, 900), (60, 10, 200), 1),
}
GRIDS = [
    PAPER_VALUES,
    (1.0, 0.3, 0.7, 0.05),
    (0.6, 0.2),
    (0.5, 1, 0.5, 0.0),
    (0.85,),
    (np.float32(0.4), 1.0, 0.9),
]
ON = [(exits, values) for exits in (1, 2, 3) for values in GRIDS]
ALL = [(0, PAPER_VALUES), *ON]
CERTAIN = [1000.0, 0.0, 0.0]


def make(exits, samples=60, classes=5, seed=0):
    rng = np.random.default_rng(100 * exits + seed)
    labels = rng.integers(classes, size=samples)
    logits = rng.normal(size=(samples, exits + 1, classes))
    for k in range(exits + 1):
        logits[np.arange(samples), k, labels] += 0.5 + 0.7 * k
    return (1.5 * logits).astype(np.float32), labels, COSTS[exits]


# Slow and obvious


def slow_softmax(logits):
    powers = [np.exp(float(z) - float(max(logits))) for z in logits]
    return [power / sum(powers) for power in powers]


def slow_confidence(logits, rule="score_margin"):
    p = sorted(slow_softmax(logits))
    if rule == "score_margin":
        return p[-1] - p[-2]
    if rule == "max_probability":
        return p[-1]
    return 1 + sum(q * np.log(q) for q in p) / np.log(len(p))


def slow_decide(logits, thresholds, rule="score_margin"):
    chosen = []
    for sample in logits:
        leaves = len(sample) - 1
        for k in reversed(range(len(thresholds))):
            sure = slow_confidence(sample[k], rule) >= thresholds[k]
            if thresholds[k] != 1 and sure:
                leaves = k
        chosen.append(leaves)
    return chosen


def slow_macs(cost, thresholds, exit_index):
    total = cost.backbone[exit_index]
    for k, threshold in enumerate(thresholds):
        if k <= exit_index and threshold != 1:
            total += cost.branches[k]
    return total


def slow_point(logits, labels, cost, thresholds, rule="score_margin"):
    correct = spent = 0
    leaving = [0] * logits.shape[1]
    for sample, label, k in zip(logits, labels, slow_decide(logits, thresholds, rule)):
        correct += int(np.argmax(sample[k]) == label)
        spent += slow_macs(cost, thresholds, k)
        leaving[k] += 1
    n = len(labels)
    return OperatingPoint(
        tuple(map(float, thresholds)),
        correct / n,
        spent / n,
        tuple(x / n for x in leaving),
    )


def slow_grid(logits, labels, cost, values, rule="score_margin"):
    settings = product(values, repeat=logits.shape[1] - 1)
    return [slow_point(logits, labels, cost, setting, rule) for setting in settings]


def slow_score(point, target):
    miss = 0 if target is None else abs(point.average_macs - target) / target * 100
    return 100 * point.accuracy - 0.1 * miss


def slow_tune(points, target):
    best = None
    for point in points:
        if point.thresholds and all(t == 1 for t in point.thresholds):
            continue
        score = slow_score(point, target)
        if best is None or score > best.score + 1e-9:
            best = dataclasses.replace(point, score=score)
    return best


def slow_frontier(points):
    def place(i):
        return points[i].average_macs, -points[i].accuracy, i

    kept = [
        i
        for i in range(len(points))
        if not any(
            points[j].accuracy >= points[i].accuracy
            and points[j].average_macs <= points[i].average_macs
            and place(j) < place(i)
            for j in range(len(points))
        )
    ]
    return [points[i] for i in sorted(kept, key=place)]


def slow_budget(points, budget):
    best = None
    for point in sorted(points, key=lambda p: p.average_macs):
        if point.average_macs <= budget and (
            best is None or point.accuracy > best.accuracy
        ):
            best = point
    return best


def assert_equal(point, expected):
    for field in dataclasses.fields(OperatingPoint):
        ours, theirs = getattr(point, field.name), getattr(expected, field.name)
        if theirs is not None:
            theirs = pytest.approx(theirs, rel=1e-9, abs=1e-9)
        assert ours == theirs, field.name


# Confidence


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_rules_match_their_formula(rule, classes):
    logits = (
        np.random.default_rng(0).normal(size=(20, 3, classes)).astype("float32") * 3
    )
    expected = [[slow_confidence(row, rule) for row in sample] for sample in logits]
    np.testing.assert_allclose(confidence(logits, rule), expected, atol=1e-5)


@pytest.mark.parametrize(
    "rule, certain, even, half",
    [
        ("score_margin", 1, 0, 0),
        ("max_probability", 1, 0.25, 0.5),
        ("entropy", 1, 0, 0.5),
    ],
)
def test_rules_at_the_ends_of_their_range(rule, certain, even, half):
    logits = np.array([[1000, 0, 0, 0], [7, 7, 7, 7], [500, 500, 0, 0]], "float32")
    np.testing.assert_allclose(
        confidence(logits, rule), [certain, even, half], atol=1e-6
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("classes", [2, 3, 7, 10, 100])
def test_confidence_lies_in_0_to_1(rule, classes):
    rng = np.random.default_rng(classes)
    flat = np.repeat(rng.normal(size=(200, 1)), classes, 1)
    peaked = 300 * np.eye(classes)[rng.integers(classes, size=200)]
    found = np.array(confidence(np.concatenate([flat, peaked]).astype("float32"), rule))
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("rule", RULES)
def test_confidence_works_on_symbolic_tensors(rule):
    assert tensors.RULES[rule](keras.Input((4, 10))).shape == (None, 4)


# The exit rule


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("exits", [0, 1, 2, 3])
def test_decide_takes_the_first_exit_that_is_sure_enough(exits, rule):
    logits, _, _ = make(exits)
    for thresholds in product((0.0, 0.35, 0.8, 1.0), repeat=exits):
        chosen = decide(logits, thresholds, rule)
        assert chosen.tolist() == slow_decide(logits, thresholds, rule)
    assert np.issubdtype(chosen.dtype, np.integer)


def test_samples_leave_at_every_exit_of_the_test_data():
    logits, _, _ = make(3)
    assert set(decide(logits, (0.8, 0.35, 0.35))) == {0, 1, 2, 3}


@pytest.mark.parametrize("rule", RULES)
def test_a_threshold_of_1_lets_nobody_go(rule):
    logits = np.tile(np.float32(CERTAIN), (4, 3, 1))
    assert np.all(np.array(confidence(logits, rule)) == 1)
    assert decide(logits, (1, 1.0), rule).tolist() == [2] * 4
    assert decide(logits, (1, 0.999), rule).tolist() == [1] * 4
    assert decide(logits, (0.999, 1), rule).tolist() == [0] * 4


@pytest.mark.parametrize("budget, where", [(160, 0), (410, 1), (900, 1)])
@pytest.mark.parametrize("values", [(0.9, 1.0), (1.0, 0.9)])
def test_a_threshold_of_1_lets_nobody_go_on_a_grid(values, budget, where):
    logits = np.tile(np.float32(CERTAIN), (4, 3, 1))
    data = logits, np.zeros(4, int), COSTS[2]
    found = tune_thresholds(*data, values, target_macs=budget)
    assert_equal(found, slow_tune(slow_grid(*data, values), budget))
    assert found.utilisation[where] == 1


def test_a_threshold_just_below_1_spoils_no_threshold_of_1():
    logits = np.tile(np.float32(CERTAIN), (4, 2, 1))
    data = logits, np.zeros(4, int), Cost((300, 900), (700,), 1)
    (found,) = frontier(*data, (1 - 1e-9, 1.0))
    assert_equal(found, evaluate(*data, found.thresholds))


@pytest.mark.parametrize("rule", RULES)
def test_confidence_equal_to_the_threshold_is_enough(rule):
    logits, labels, cost = make(1, samples=30)
    for sure in np.array(confidence(logits, rule))[:, 0]:
        expected = np.array(confidence(logits, rule))[:, 0] >= sure
        assert (decide(logits, (float(sure),), rule) == 0).tolist() == expected.tolist()
        point = tune_thresholds(logits, labels, cost, (float(sure),), rule=rule)
        assert point.utilisation[0] == pytest.approx(expected.mean())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("classes", [2, 3, 7, 10, 100])
def test_a_threshold_of_0_lets_everybody_go(rule, classes):
    logits = np.ones((3, 2, classes), np.float32)
    assert decide(logits, (0,), rule).tolist() == [0, 0, 0]


def test_decide_takes_lists_integers_and_no_samples():
    assert decide([[[9, 0], [0, 0]], [[1, 1], [0, 9]]], [0.5]).tolist() == [0, 1]
    assert decide(np.zeros((0, 3, 4)), (0.5, 0.5)).shape == (0,)


@pytest.mark.parametrize("module", [runtime, tensors])
def test_first_exit_agrees_with_decide(module):
    logits, _, _ = make(3)
    confidences = keras.ops.convert_to_tensor(confidence(logits))
    for thresholds in product((0.3, 1), repeat=3):
        chosen = module.first_exit(confidences, thresholds)
        assert np.array(chosen).tolist() == decide(logits, thresholds).tolist()


# Evaluation


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("exits", [0, 1, 2, 3])
def test_evaluate_counts_samples_one_by_one(exits, rule):
    logits, labels, cost = make(exits)
    for thresholds in product((0.0, 0.35, 0.8, 1), repeat=exits):
        found = evaluate(logits, labels, cost, thresholds, rule)
        assert_equal(found, slow_point(logits, labels, cost, thresholds, rule))
        assert sum(found.utilisation) == pytest.approx(1)
        assert found.samples == 60
        assert found.macs == tuple(
            slow_macs(cost, thresholds, k) for k in range(exits + 1)
        )


@pytest.mark.parametrize("thresholds", [(0.3, 0.6, 0.9), (1, 0.5, 1), (0, 0.5, 0.5)])
def test_evaluate_measures_each_exit_alone_and_where_it_decides(thresholds):
    logits, labels, cost = make(3)
    found = evaluate(logits, labels, cost, thresholds)
    chosen = np.array(slow_decide(logits, thresholds))
    for k in range(4):
        right = np.array([np.argmax(sample[k]) for sample in logits]) == labels
        assert found.exit_accuracy[k] == pytest.approx(right.mean())
        here = right[chosen == k]
        expected = here.mean() if len(here) else None
        assert found.leaving_accuracy[k] == pytest.approx(expected)


def test_an_exit_that_is_off_costs_nothing():
    logits, labels, cost = make(3)
    on = evaluate(logits, labels, cost, (0.5, 0.5, 0.5))
    off = evaluate(logits, labels, cost, (0.5, 1, 0.5))
    assert on.macs == (160, 320, 680, 1170)
    assert off.macs == (160, 310, 670, 1160)
    assert off.utilisation[1] == 0
    assert off.leaving_accuracy[1] is None


def test_evaluate_takes_labels_in_a_column_and_small_integers():
    logits, labels, cost = make(2)
    column = labels.astype(np.uint8)[:, None]
    thresholds = (0.4, 0.4)
    assert evaluate(logits, column, cost, thresholds) == evaluate(
        logits, labels, cost, thresholds
    )


# Tuning


@pytest.mark.parametrize("target", [None, 150, 400.5, 5000])
@pytest.mark.parametrize("exits, values", ALL)
def test_tuning_finds_the_best_score(exits, values, target):
    logits, labels, cost = make(exits)
    points = slow_grid(logits, labels, cost, values)
    expected = slow_tune(points, target)
    assert_equal(tune_thresholds(logits, labels, cost, values, target), expected)


@pytest.mark.parametrize("rule", RULES)
def test_tuning_follows_the_rule(rule):
    logits, labels, cost = make(2, seed=1)
    expected = slow_tune(slow_grid(logits, labels, cost, PAPER_VALUES, rule), 300)
    found = tune_thresholds(logits, labels, cost, target_macs=300, rule=rule)
    assert_equal(found, expected)


def test_the_score_takes_off_a_tenth_of_the_miss_in_percent():
    logits = np.zeros((4, 2, 3), np.float32)
    logits[:, :, 0] = 50
    found = tune_thresholds(logits, [0, 0, 0, 1], COSTS[1], (0.5, 1), target_macs=400)
    # 75 % right at 370 MACs, 7.5 % below the target
    assert found.score == pytest.approx(75 - 0.1 * 7.5)
    assert found.average_macs == 370


def test_tuning_does_not_consider_all_exits_off():
    logits, _, cost = make(2)
    labels = logits[:, -1].argmax(-1)  # the final classifier is always right
    found = tune_thresholds(logits, labels, cost, target_macs=900)
    assert found.thresholds != (1, 1)
    off = evaluate(logits, labels, cost, (1, 1))
    assert off.accuracy == 1
    assert off.accuracy * 100 > found.score


def test_ties_go_to_the_first_combination_the_last_exit_varying_fastest():
    logits = np.full((5, 3, 3), 0, np.float32)  # margin 0: all leave at the end
    labels, cost = np.zeros(5, int), Cost((100, 400, 900), (0, 0), 1)
    found = tune_thresholds(logits, labels, cost, (1.0, 0.7, 0.3), target_macs=900)
    assert found.thresholds == (1.0, 0.7)
    found = tune_thresholds(logits, labels, cost, (0.7, 0.3))
    assert found.thresholds == (0.7, 0.7)


# Frontier and budgets


@pytest.mark.parametrize("exits, values", ALL)
def test_frontier_holds_every_setting_that_none_beats(exits, values):
    logits, labels, cost = make(exits)
    expected = slow_frontier(slow_grid(logits, labels, cost, values))
    found = frontier(logits, labels, cost, values)
    assert [p.thresholds for p in found] == [p.thresholds for p in expected]
    for point, other in zip(found, expected):
        assert_equal(point, other)


@pytest.mark.parametrize("rule", RULES)
def test_frontier_agrees_with_evaluate(rule):
    logits, labels, cost = make(2)
    found = frontier(logits, labels, cost, rule=rule)
    assert len(found) > 2
    for point in found:
        assert_equal(point, evaluate(logits, labels, cost, point.thresholds, rule))
    assert all(np.diff([p.average_macs for p in found]) > 0)
    assert all(np.diff([p.accuracy for p in found]) > 0)


@pytest.mark.parametrize("exits, values", ALL)
def test_thresholds_for_budget_are_the_most_accurate_affordable(exits, values):
    logits, labels, cost = make(exits)
    points = slow_grid(logits, labels, cost, values)
    costs = sorted({point.average_macs for point in points})
    for budget in (*costs[::3], costs[-1], costs[0] + 0.5, 1e9):
        found = thresholds_for_budget(logits, labels, cost, budget, values)
        expected = slow_budget(points, budget)
        assert found.accuracy == pytest.approx(expected.accuracy)
        assert found.average_macs == pytest.approx(expected.average_macs)
        assert found.average_macs <= budget


def test_all_exits_off_is_on_the_frontier_if_it_is_best():
    logits, _, cost = make(2)
    labels = logits[:, -1].argmax(-1)
    cost = dataclasses.replace(cost, branches=(1000, 1000))
    assert frontier(logits, labels, cost)[-1].thresholds == (1, 1)
    assert thresholds_for_budget(logits, labels, cost, 900).thresholds == (1, 1)


def test_the_default_grid_runs_from_a_twentieth_to_1():
    np.testing.assert_allclose(GRID, np.arange(1, 21) / 20)


POINTS = [
    OperatingPoint((0.3,), 0.5, 100, (1, 0)),
    OperatingPoint((0.6,), 0.7, 300, (0.5, 0.5)),
    OperatingPoint((0.8,), 0.7, 250, (0.5, 0.5)),
    OperatingPoint((0.9,), 0.6, 800, (0, 1)),
]


def points(*pairs):
    """Operating points of given average MACs and accuracies."""
    return [OperatingPoint((0.5,), accuracy, macs, (1, 0)) for macs, accuracy in pairs]


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (1e6, 4e6, (0.6 + 0.8) / 2),  # half of the octaves each
        (1e6, 8e6, (0.6 + 2 * 0.8) / 3),  # it stays at its best
        (2e6, 4e6, 0.8),
        (1e6, 2e6, 0.6),
        (1.5e6, 1.8e6, 0.6),  # the budget lies between two settings
    ],
)
def test_the_mean_accuracy_is_the_area_over_log_macs(low, high, expected):
    curve = points((2e6, 0.8), (1e6, 0.6), (1.2e6, 0.5))
    assert mean_accuracy(curve, low, high) == pytest.approx(expected)


def test_a_mean_accuracy_is_that_of_many_budgets():
    curve = points((1e6, 0.5), (1.7e6, 0.62), (3e6, 0.7), (9e6, 0.9))
    budgets = np.geomspace(1.1e6, 20e6, 20_001)
    best = [within_budget(curve, budget).accuracy for budget in budgets]
    assert mean_accuracy(curve, 1.1e6, 20e6) == pytest.approx(np.mean(best), abs=1e-4)


@pytest.mark.parametrize(
    "low, high, message",
    [
        (0.5e6, 4e6, "500,000 average MACs cannot be reached"),
        (2e6, 2e6, "high is 2000000.0; expected more than low"),
        (2e6, float("inf"), "high"),
        (2e6, "4e6", "high"),
    ],
)
def test_a_mean_accuracy_needs_two_budgets_that_can_be_reached(low, high, message):
    with pytest.raises((TypeError, ValueError), match=message):
        mean_accuracy(points((1e6, 0.6)), low, high)


@pytest.mark.parametrize(
    "budget, best", [(100, 0), (249, 0), (250, 2), (300, 2), (1e9, 2)]
)
def test_within_budget_prefers_accuracy_then_fewer_macs(budget, best):
    assert within_budget(POINTS, budget) is POINTS[best]


@pytest.mark.parametrize("least_gain", [0.05, 0.1, 0.5, 2.0])
@pytest.mark.parametrize("budget", [2e6, 5e6, 1e9])
def test_from_a_worthwhile_point_no_dearer_one_gains_enough(least_gain, budget):
    rng = np.random.default_rng(0)
    curve = points(*zip(np.sort(rng.uniform(1e6, 9e6, 60)), np.sort(rng.random(60))))
    affordable = [point for point in curve if point.average_macs <= budget]

    def pays(dearer, point):
        steps = np.log(dearer.average_macs / point.average_macs) / np.log(1.1)
        gained = 100 * (dearer.accuracy - point.accuracy)
        return dearer.average_macs > point.average_macs and gained >= least_gain * steps

    settled = [p for p in affordable if not any(pays(q, p) for q in affordable)]
    cheapest = min(settled, key=lambda point: point.average_macs)
    assert worthwhile(curve, budget, least_gain) is cheapest


def test_without_a_gain_to_ask_for_the_most_accurate_point_is_worthwhile():
    assert worthwhile(POINTS, 1e9, 0) is within_budget(POINTS, 1e9)


@pytest.mark.parametrize("least_gain", [-0.1, 101, float("nan"), "1", True])
def test_a_gain_that_is_none_is_refused(least_gain):
    with pytest.raises(ValueError, match="least_gain is .*; expected"):
        worthwhile(POINTS, 1e9, least_gain)


@pytest.mark.parametrize("budget", [99.9, 0, -5])
def test_a_budget_out_of_reach_names_the_cheapest(budget):
    message = r"cannot be reached: the cheapest .* 100 \(accuracy 50\.00 %\)"
    with pytest.raises(ValueError, match=message):
        within_budget(POINTS, budget)


def test_thresholds_for_an_unreachable_budget_name_the_cheapest_of_the_grid():
    logits, labels, cost = make(3)
    points = slow_grid(logits, labels, cost, PAPER_VALUES)
    cheapest = slow_frontier(points)[0]
    with pytest.raises(ValueError) as error:
        thresholds_for_budget(logits, labels, cost, 12.4, PAPER_VALUES)
    message = str(error.value)
    assert message.startswith("12 average MACs cannot be reached")
    assert f"{cheapest.average_macs:,.0f}" in message
    assert f"{100 * cheapest.accuracy:.2f} %" in message


def test_thinned_keeps_the_ends_and_settings_evenly_spaced_by_the_logarithm_of_macs():
    points = [
        OperatingPoint((0.5,), 0.5 + 0.0004 * k, 1e6 * 1.01**k, (0.5, 0.5))
        for k in range(1000)
    ]
    assert thinned(points[:20], 20) == points[:20]
    worse = [dataclasses.replace(each, accuracy=0.1) for each in points[1:]]
    kept = thinned(points + worse, 10)
    assert len(kept) == 10
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    steps = np.diff(np.log([each.average_macs for each in kept]))
    assert steps == pytest.approx(steps.mean(), rel=0.02)
    with pytest.raises(ValueError, match="count is 1; expected 2 or more"):
        thinned(points, 1)


@pytest.mark.parametrize("seed", range(8))
def test_pareto_optimal_keeps_what_no_other_point_matches_at_no_more_cost(seed):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(6, size=(12 * seed, 2))  # of few values, so that some tie
    points = [
        OperatingPoint((i / 100,), accuracy / 6, float(macs), (0.5, 0.5))
        for i, (accuracy, macs) in enumerate(pairs)
    ]
    assert pareto_optimal(points) == slow_frontier(points)


# Recounting


@pytest.mark.parametrize("exits", [0, 1, 2, 3])
def test_recount_gives_what_the_other_cost_would_have_given(exits):
    logits, labels, cost = make(exits)
    other = Cost(
        tuple(7 * b + 3 for b in cost.backbone), tuple(b + 11 for b in cost.branches), 1
    )
    for thresholds in product((0.35, 1), repeat=exits):
        expected = slow_point(logits, labels, other, thresholds)
        point = slow_point(logits, labels, cost, thresholds)
        assert_equal(recount(point, other), expected)
        assert_equal(recount(expected, cost), point)


def test_a_recounted_evaluation_has_the_macs_of_the_other_cost():
    logits, labels, cost = make(2)
    other = Cost((11, 22, 33), (4, 5), 1)
    found = recount(evaluate(logits, labels, cost, (0.4, 0.4)), other)
    expected = evaluate(logits, labels, other, (0.4, 0.4))
    assert found.macs == expected.macs
    assert_equal(found, expected)


@pytest.mark.parametrize("exits", [1, 3])
def test_recount_rejects_the_cost_of_another_network(exits):
    point = slow_point(*make(2), (0.4, 0.4))
    with pytest.raises(ValueError, match="exits|entries|branches"):
        recount(point, COSTS[exits])


# Bad input

FUNCTIONS = {
    "evaluate": lambda *data: evaluate(*data, (0.5, 0.5)),
    "tune_thresholds": tune_thresholds,
    "frontier": frontier,
    "thresholds_for_budget": lambda *data: thresholds_for_budget(*data, 1e9),
}


def bad(position, value):
    logits = make(2)[0].astype(np.float64)
    logits[position] = value
    return logits


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"logits": np.zeros((60, 5))}, r"shape \(60, 5\).*samples, exits, classes"),
        ({"logits": np.zeros((60, 3, 5, 1))}, r"shape \(60, 3, 5, 1\)"),
        ({"logits": np.zeros((60, 3, 1))}, r"shape \(60, 3, 1\).* two classes"),
        ({"logits": bad((3, 0, 0), np.nan)}, "not finite"),
        ({"logits": bad((-1, -1, -1), -np.inf)}, "not finite"),
        ({"logits": bad((3, 0, 0), 1e300)}, "not finite"),
        ({"labels": np.full(60, 5)}, r"labels lie in 5\.\.5; expected 0\.\.4"),
        ({"labels": np.arange(60) % 5 - 1}, r"labels lie in -1\.\.3"),
        ({"labels": np.zeros(60)}, "labels are float64; expected integers"),
        ({"labels": np.zeros(60, bool)}, "labels are bool; expected integers"),
        ({"labels": np.zeros(59, int)}, r"shape \(59,\); expected \(60,\)"),
        ({"labels": np.zeros((60, 4), int)}, r"shape \(60, 4\); expected \(60,\)"),
        ({"labels": np.zeros((60, 5), int)}, "a row is not a distribution"),
        ({"labels": 3}, r"shape \(\); expected \(60,\)"),
        ({"cost": COSTS[1]}, "network with 2 exits.*the logits have 3"),
        ({"cost": COSTS[3]}, "network with 4 exits.*the logits have 3"),
        ({"logits": np.zeros((0, 3, 5)), "labels": []}, "There are no samples"),
    ],
)
def test_unusable_data_is_rejected(function, changes, message):
    data = dict(zip(("logits", "labels", "cost"), make(2)))
    with pytest.raises(ValueError, match=message):
        function(*{**data, **changes}.values())


@pytest.mark.parametrize(
    "logits, message",
    [
        (np.zeros((60, 5)), r"shape \(60, 5\)"),
        (np.zeros((60, 3, 1)), "two classes"),
        (bad((0, 0, 0), np.nan), "not finite"),
    ],
)
def test_decide_rejects_unusable_logits(logits, message):
    with pytest.raises(ValueError, match=message):
        decide(logits, (0.5, 0.5))


@pytest.mark.parametrize(
    "thresholds, message",
    [
        ((), "thresholds has 0 entries; expected 2"),
        ((0.5,), "thresholds has 1 entries; expected 2"),
        ((0.5,) * 3, "thresholds has 3 entries; expected 2"),
        ((0.5, 1.5), r"thresholds\[1\] is 1.5; expected 0 to 1"),
        ((-0.1, 1), r"thresholds\[0\] is -0.1; expected 0 to 1"),
        ((float("nan"), 1), r"thresholds\[0\] is nan; expected 0 to 1"),
        ((0.5, None), r"thresholds\[1\] is None; expected 0 to 1"),
    ],
)
def test_unusable_thresholds_are_rejected(thresholds, message):
    logits, labels, cost = make(2)
    with pytest.raises(ValueError, match=message):
        decide(logits, thresholds)
    with pytest.raises(ValueError, match=message):
        evaluate(logits, labels, cost, thresholds)


@pytest.mark.parametrize("function", [tune_thresholds, frontier])
@pytest.mark.parametrize(
    "values, message",
    [
        ((), "values is empty"),
        ((0.5, 1.2), r"values\[1\] is 1.2; expected 0 to 1"),
        ((None,), r"values\[0\] is None; expected 0 to 1"),
        (np.linspace(0, 1, 2237), r"2237 values at 2 exits are 5,004,169 .* 5,000,000"),
    ],
)
def test_unusable_values_are_rejected(function, values, message):
    with pytest.raises(ValueError, match=message):
        function(*make(2), values=values)


def test_tuning_needs_a_value_below_1():
    with pytest.raises(ValueError, match="switches every exit off"):
        tune_thresholds(*make(2), values=(1, 1.0))


def test_tuning_a_static_network_takes_any_values():
    assert tune_thresholds(*make(0), values=(1,)).thresholds == ()


@pytest.mark.parametrize("target", [0, -1, float("nan")])
def test_an_unusable_target_is_rejected(target):
    with pytest.raises(ValueError, match=f"target_macs is {target}; .* more than 0"):
        tune_thresholds(*make(2), target_macs=target)


@pytest.mark.parametrize(
    "call",
    [
        lambda: confidence(np.zeros((2, 3)), "margin"),
        lambda: decide(make(2)[0], (0.5, 0.5), "margin"),
        lambda: evaluate(*make(2), (0.5, 0.5), "margin"),
        lambda: tune_thresholds(*make(2), rule="margin"),
        lambda: frontier(*make(2), rule="margin"),
        lambda: thresholds_for_budget(*make(2), 1e9, rule="margin"),
    ],
)
def test_an_unknown_rule_is_named_with_the_known_ones(call):
    message = (
        "no exit rule 'margin'; choose from score_margin, max_probability, entropy"
    )
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("logits", [3.0, [1.0], [[1.0], [2.0]], ["a", "b"]])
def test_a_confidence_needs_numbers_of_two_classes(logits):
    with pytest.raises(ValueError, match="logits are .* two classes or more last"):
        confidence(logits)


def test_a_cost_is_a_cost():
    logits, labels, _ = make(2)
    with pytest.raises(TypeError, match="cost is a dict; expected a zoo.Cost"):
        evaluate(logits, labels, {}, (0.5, 0.5))
