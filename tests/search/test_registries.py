"""Proposers, metrics and methods that are not the package's own, in Python."""

import ast
import pathlib

import numpy as np
import pytest

import search
from search import (
    CompletedTrial,
    Measurement,
    Method,
    Metric,
    Objective,
    Proposal,
    ProposerOracle,
    SearchSpace,
    Settings,
    methods,
    metrics,
    run,
)
from search.proposers import Predictions
from zoo import exits

SPACE = SearchSpace(resolutions=(32,))


class Fixed:
    """Proposes what it was given, and notes what it was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def propose(self, trials, rng, known):
        self.asked.append((trials, known))
        return self.answers.pop(0)


def drive(folder, proposer, trials, **options):
    oracle = ProposerOracle(
        proposer, SPACE, initial_trials=2, max_trials=trials, **options
    )
    oracle.use_folder(folder)
    while (trial := oracle.create_trial("w")).status != "STOPPED":
        value = float(oracle.genes(trial).sum())
        metrics = {"error": value, "average_macs": -value}
        oracle.update_trial(trial.trial_id, metrics)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return oracle


def tried(oracle):
    return [oracle.genes(trial).tolist() for trial in oracle.trials.values()]


@pytest.fixture
def genes():
    return SPACE.sample(6, np.random.default_rng(5))


def test_a_proposer_sees_plain_trials_and_what_is_known(tmp_path, genes):
    limit = search.Constraint("error", maximum=50)
    proposer = Fixed(genes[:3], genes[3:5])
    oracle = drive(tmp_path / "s", proposer, 7, constraints=[limit])
    assert tried(oracle)[2:] == genes[:5].tolist()
    (first, known), (second, _) = proposer.asked
    assert (len(first), len(second)) == (2, 5)
    assert known == {trial.genes for trial in first}
    for trial, each in zip(second, oracle.completed_trials()[:5], strict=True):
        assert isinstance(trial, CompletedTrial)
        assert trial.genes == tuple(oracle.genes(each).tolist())
        assert trial.metrics == oracle.values(each)
        assert trial.feasible == (trial.metrics["error"] <= 50)
    assert len({trial.feasible for trial in second}) == 2


def test_genes_need_not_be_canonical_nor_new(tmp_path, genes):
    repeated = genes[0].copy()
    index = SPACE.names.index("exit1/module1/kernel")
    repeated[SPACE.names.index("exit1/threshold")] = 2  # no exit, so that the next
    repeated[index] = 2  # has no effect
    canonical = SPACE.canonical(repeated).tolist()
    assert canonical[index] == 0
    proposer = Fixed([repeated, canonical, genes[1], genes[1]], [genes[1], genes[2]])
    oracle = drive(tmp_path / "s", proposer, 5)
    assert tried(oracle)[2:] == [canonical, genes[1].tolist(), genes[2].tolist()]


def test_a_proposer_without_a_new_candidate_ends_the_search(tmp_path, genes):
    oracle = drive(tmp_path / "s", Fixed(genes[:1], genes[:1]), 9)
    assert len(oracle.trials) == 3
    assert "All of its candidates have been proposed before" in oracle.stopped


def test_predictions_are_judged_also_after_a_reload(tmp_path, genes):
    proposal = Proposal(
        genes[:3],
        Predictions(
            *(2, genes[:3].tolist(), {"error": genes[:3].sum(1).tolist()}),
            *({"error": "oracle"}, 0.5),
        ),
    )
    oracle = drive(tmp_path / "s", Fixed(proposal), 5)
    again = ProposerOracle(Fixed(), SPACE, initial_trials=2, max_trials=5)
    again.use_folder(tmp_path / "s")
    for each in (oracle, again):
        (iteration,) = each.iterations()
        assert (iteration.trials, iteration.seconds) == (2, 0.5)
        assert iteration.surrogates == {"error": "oracle"}
        quality = iteration.quality["error"]
        assert (quality.n, quality.rmse, quality.kendall) == (3, 0, 1)


# Registries


@pytest.fixture
def empty(monkeypatch):
    """What is registered in a test is forgotten after it."""
    monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))


def test_a_name_is_registered_once(empty):
    metric = Metric("error", "min", lambda m: 0, "nothing")
    with pytest.raises(ValueError, match="already a metric 'error'"):
        metrics.register(metric)
    method = Method("random", "nothing", lambda settings, space: Fixed())
    with pytest.raises(ValueError, match="already a method 'random'"):
        methods.register(method)


def test_a_metric_says_its_direction(empty):
    with pytest.raises(ValueError, match="direction of x is 'more'; expected min, max"):
        Metric("x", "more", lambda m: 0, "nothing")
    metrics.register(Metric("x", "max", lambda m: 0, "nothing"))
    found = metrics.objectives(["x", "error"])
    assert list(found) == [Objective("x", "max"), Objective("error", "min")]


def test_a_target_needs_objectives_of_its_own(empty):
    metrics.register(Metric("x", "max", lambda m: 0, "nothing"))
    settings = Settings(target_macs=1e6, objectives=("error", "x"))
    proposer = methods.get("aebnas").proposer(settings, settings.search_space())
    assert proposer.target is None
    assert proposer.objectives.signs.tolist() == [1, -1]


def test_a_metric_is_measured_where_its_setting_is_given(classifier, first_digits):
    model, digits = classifier, first_digits(train=1, validation=64, test=1)
    logits = model.predict(digits.validation.images, verbose=0)
    labels = digits.validation.labels
    evaluation = exits.evaluate(logits, labels, model.macs, model.thresholds)
    measurement = Measurement(model, digits, logits, evaluation, model.macs)
    found = metrics.measure(measurement)
    assert set(found) == set(metrics.METRICS) - {"latency_ms"}
    assert found["error"] == 1 - evaluation.accuracy
    right = np.mean(measurement.answers == measurement.labels)
    assert right == pytest.approx(evaluation.accuracy)
    assert measurement.classes == range(10)


def test_a_method_of_ones_own_may_change_space_and_recipe(empty, tmp_path, fake, genes):
    methods.register(
        Method(
            *("mine", "what I like", lambda settings, space: Fixed(genes[:1])),
            space={"resolutions": (32,)},
            recipe={"epochs": 7},
        )
    )
    settings = Settings(method="mine", trials=3, initial_trials=2)
    assert settings.training_recipe().epochs == 7
    oracle = run(settings, tmp_path / "s")
    assert tried(oracle)[2] == genes[0].tolist()


# Seams


@pytest.mark.parametrize(
    "library, home", [("keras_tuner", "engine"), ("pymoo", "evolution.py")]
)
def test_one_module_uses_a_library(library, home):
    package = pathlib.Path(search.__file__).parent
    users = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == library for name in names):
                users.add(path.relative_to(package).parts[0])
    assert users == {home}
