import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import KFold

from search.predictor import features
from search.space import SearchSpace
from search.surrogate import (
    SURROGATES,
    AdaptiveRegressor,
    kendall,
    quality,
    quiet,
    spearman,
    surrogate,
)
from zoo.architecture import Architecture

ARCHIVE = json.loads(
    (Path(__file__).parents[2] / "reproduce" / "authors_archive.json").read_text()
)
every_surrogate = pytest.mark.parametrize("name", SURROGATES)


def weighted_sum(X):
    return X @ np.arange(1, X.shape[1] + 1)


def growing(X):
    return np.exp(X @ np.linspace(0, 2, X.shape[1]))


def levelling_off(X):
    return np.log1p(weighted_sum(X))


def two_steps(X):
    return 4.0 * (X[:, 0] > 0.5) + 2.0 * (X[:, 1] > 0.5)


def product(X):
    return X.prod(1)


def drawn(samples=60, count=6, seed=0):
    return np.random.default_rng(seed).random((samples, count))


def fitted(name, X, y, seed=0):
    with quiet():
        return surrogate(name, seed).fit(X, y)


# Learning


@every_surrogate
@pytest.mark.parametrize("function", [weighted_sum, growing, levelling_off, two_steps])
def test_a_monotone_function_is_learnt(name, function):
    train, test = drawn(80, 12), drawn(60, 12, seed=1)
    predicted = fitted(name, train, function(train)).predict(test)
    truth = function(test)
    assert predicted.shape == (60,)
    assert spearman(truth, predicted) > 0.75
    constant = np.full(60, function(train).mean())
    rmse = quality(truth, predicted)["rmse"]
    assert rmse < 0.75 * quality(truth, constant)["rmse"]


@every_surrogate
def test_units_of_features_and_target_do_not_matter(name):
    X, test, units = drawn(), drawn(seed=1), np.logspace(-3, 6, 6)
    plain = fitted(name, X, weighted_sum(X)).predict(test)
    other = fitted(name, X * units, 5 + 1e7 * weighted_sum(X)).predict(test * units)
    np.testing.assert_allclose(other, 5 + 1e7 * plain, rtol=1e-3)


@every_surrogate
def test_the_same_seed_gives_the_same_predictions(name):
    X, test = drawn(30), drawn(seed=1)
    one, same, other = (
        fitted(name, X, two_steps(X), seed).predict(test) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@every_surrogate
def test_a_constant_target_is_predicted(name):
    predicted = fitted(name, drawn(10), np.full(10, 0.3)).predict(drawn(seed=1))
    np.testing.assert_allclose(predicted, 0.3, atol=0.01)


@every_surrogate
def test_two_samples_are_enough_to_predict(name):
    predicted = fitted(name, drawn(2), [0.1, 0.2]).predict(drawn(seed=1))
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize("name", ["forest", "", None])
def test_an_unknown_surrogate_is_named_with_the_known_ones(name):
    with pytest.raises(ValueError, match=f"{name!r}; choose from mlp, adaptive"):
        surrogate(name)


# The adaptive one


@pytest.mark.parametrize(
    "function, samples, count, expected",
    [
        (weighted_sum, 60, 6, "gp"),  # smooth
        (two_steps, 60, 6, "cart"),  # not smooth
        (product, 30, 40, "rbf"),  # few samples of many features
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_regressor_that_suits_is_chosen(function, samples, count, expected, seed):
    X = drawn(samples, count, seed)
    assert AdaptiveRegressor(seed).fit(X, function(X)).chosen == expected


def test_a_new_fit_chooses_anew():
    X, regressor = drawn(), AdaptiveRegressor()
    chosen = [regressor.fit(X, f(X)).chosen for f in (weighted_sum, two_steps)]
    assert chosen == ["gp", "cart"]


def test_scikit_learn_can_clone_it():
    assert clone(AdaptiveRegressor(seed=7)).seed == 7


# Warnings


@every_surrogate
def test_a_quiet_fit_gives_no_warnings(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(name, drawn(20), two_steps(drawn(20)))


def test_other_warnings_are_shown():
    with pytest.warns(UserWarning, match="something else"), quiet():
        warnings.warn("something else", stacklevel=1)


# Quality


def slow_ranks(values):
    return [
        sum(other < v for other in values) + (sum(o == v for o in values) + 1) / 2
        for v in values
    ]


def slow_kendall(truth, predicted):
    signs = [
        (np.sign(truth[i] - truth[j]), np.sign(predicted[i] - predicted[j]))
        for i in range(len(truth))
        for j in range(i)
    ]
    untied = [sum(pair[k] != 0 for pair in signs) for k in (0, 1)]
    if 0 in untied:
        return 0.0
    return sum(a * b for a, b in signs) / np.sqrt(untied[0] * untied[1])


def slow_spearman(truth, predicted):
    if len(set(truth)) == 1 or len(set(predicted)) == 1:
        return 0.0
    return np.corrcoef(slow_ranks(truth), slow_ranks(predicted))[0, 1]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), min_size=2, max_size=9)
)
def test_quality_is_what_its_definitions_say(pairs):
    truth, predicted = zip(*pairs)
    expected = {
        "n": len(pairs),
        "rmse": np.sqrt(sum((t - p) ** 2 for t, p in pairs) / len(pairs)),
        "spearman": slow_spearman(truth, predicted),
        "kendall": slow_kendall(truth, predicted),
    }
    assert quality(truth, predicted) == pytest.approx(expected, abs=1e-12)


def test_quality_by_hand():
    assert quality([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(
        {
            "n": 4,
            "rmse": np.sqrt((9**2 + 28**2 + 17**2 + 36**2) / 4),
            "spearman": 1 - 6 * 2 / (4 * 15),  # 1 - 6 sum(d^2) / (n (n^2 - 1))
            "kendall": (5 - 1) / 6,  # pairs in order and out of it
        }
    )


def test_quality_agrees_with_scipy():
    truth, predicted = drawn(40, 2).T
    scores = quality(truth, predicted)
    assert scores["spearman"] == pytest.approx(stats.spearmanr(truth, predicted)[0])
    assert scores["kendall"] == pytest.approx(stats.kendalltau(truth, predicted)[0])
    assert {type(value) for value in scores.values()} == {int, float}


@pytest.mark.parametrize(
    "truth, predicted",
    [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [0.3] * 3), ([1, 1], [1, 1])],
)
def test_a_constant_correlates_with_nothing(truth, predicted):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert spearman(truth, predicted) == 0
        assert kendall(truth, predicted) == 0


# The authors' archive: 32 candidates with error and average MACs


@pytest.fixture(scope="module")
def archive():
    space = SearchSpace()
    genes = [
        # As the MACs were counted.
        space.encode(Architecture.from_ofa(candidate, legacy_alignment=True))
        for candidate, *_ in ARCHIVE
    ]
    error = np.array([error for _, error, _, _ in ARCHIVE])
    average_macs = np.array([np.dot(per_exit, s) for _, _, per_exit, s in ARCHIVE])
    return features(space, genes), {"error": error, "average_macs": average_macs}


@pytest.mark.parametrize("metric, bound", [("error", 0.65), ("average_macs", 0.92)])
def test_the_authors_measurements_are_predicted(archive, metric, bound):
    X, y = archive[0], archive[1][metric]
    predicted = np.zeros(len(y))
    for rest, held_out in KFold(8).split(X):
        predicted[held_out] = fitted("adaptive", X[rest], y[rest]).predict(X[held_out])
    assert spearman(y, predicted) > bound
