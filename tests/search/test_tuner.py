import collections
import dataclasses
import itertools
import json
import math
import pathlib

import keras
import keras_tuner
import numpy as np
import pytest

import zoo
from search import (
    CandidateRecord,
    Constraint,
    EarlyExitTuner,
    Objectives,
    ProposerOracle,
    RandomSearch,
    SearchSpace,
    metrics,
)
from search.candidates import (
    CANDIDATE,
    WEIGHTS,
    keep_front_weights,
    load_candidate,
    read_candidates,
    settings_front,
)
from search.candidates import read as read_candidate
from search.records import Training
from search.strategies import transfer
from zoo import benchmark, exits, records, training
from zoo.exits import Evaluation, OperatingPoint

SPACE = SearchSpace(resolutions=(32,))
BRIEF = training.recipe("short", epochs=1)
TARGET = 4e6


@pytest.fixture(scope="module")
def dataset(first_digits):
    """Without the test part, which a search has no business with."""
    digits = first_digits(train=32, validation=64, test=1)
    return dataclasses.replace(digits, test=None)


def make(folder, dataset, space=SPACE, trials=1, oracle_seed=1, **changes):
    oracle = ProposerOracle(
        RandomSearch(space),
        space,
        max_trials=trials,
        initial_trials=trials,
        seed=oracle_seed,
    )
    options = {"target_macs": TARGET} | changes
    return EarlyExitTuner(oracle, space, dataset, BRIEF, folder, **options)


def trial_folder(tuner, trial):
    return pathlib.Path(tuner.get_trial_dir(trial.trial_id))


def record_of(tuner, trial):
    return read_candidate(trial_folder(tuner, trial) / CANDIDATE)


def weights(layer):
    return [np.array(each) for each in layer.get_weights()]


# A real trial

Trained = collections.namedtuple(
    "Trained", "tuner, trial, record, architecture, model, logits, cost"
)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """One candidate, trained and measured, and what its folder gives."""
    folder = tmp_path_factory.mktemp("tuner") / "search"
    tuner = make(folder, dataset, oracle_seed=108)  # a small one with two exits
    tuner.search()
    (trial,) = tuner.oracle.completed_trials()
    record = record_of(tuner, trial)
    architecture = record.network
    model = tuner.load_model(trial)
    logits = model.predict(dataset.validation.images, batch_size=256, verbose=0)
    cost = zoo.macs(architecture, 10)
    return Trained(tuner, trial, record, architecture, model, logits, cost)


def test_the_candidate_is_the_one_of_the_genes(trained):
    assert trained.architecture == SPACE.decode(
        trained.tuner.oracle.genes(trained.trial)
    )
    assert trained.record.trial == trained.trial.trial_id
    assert len(trained.architecture.exits) == 2  # else the next tests show little


def test_metrics_are_those_of_the_kept_weights(trained, dataset):
    expected = exits.evaluate(
        trained.logits,
        dataset.validation.labels,
        trained.cost,
        trained.model.thresholds,
    )
    for name, value in vars(expected).items():
        assert getattr(trained.record.evaluation, name) == pytest.approx(value), name
    measured = trained.record.metrics
    assert measured == pytest.approx(
        {
            "error": 1 - expected.accuracy,
            "average_macs": expected.average_macs,
            "final_error": 1 - expected.exit_accuracy[-1],
            "parameters": trained.cost.parameters,
            "seconds": measured["seconds"],
        }
    )
    assert trained.record.training.images_per_second > 0
    assert measured["seconds"] >= trained.record.training.seconds > 0
    assert trained.tuner.oracle.values(trained.trial) == measured


def test_thresholds_are_tuned_for_the_target(trained, dataset):
    best = exits.tune_thresholds(
        *(trained.logits, dataset.validation.labels, trained.cost, SPACE.thresholds),
        TARGET,
    )
    assert trained.record.evaluation.thresholds == best.thresholds
    assert trained.model.thresholds == best.thresholds


def test_the_frontier_is_that_of_all_threshold_settings(trained, dataset):
    points = exits.frontier(trained.logits, dataset.validation.labels, trained.cost)
    found = trained.record.frontier
    assert len(found) == len(points)
    for point, stored in zip(points, found):
        assert stored.thresholds == point.thresholds
        assert stored.accuracy == pytest.approx(point.accuracy)
        assert stored.average_macs == pytest.approx(point.average_macs)
    both = np.array([[p.average_macs, p.accuracy] for p in found])
    assert (np.diff(both, axis=0) > 0).all()


def test_the_weights_have_been_trained(trained):
    keras.utils.set_random_seed(trained.record.training.seed)
    initial = zoo.EarlyExitClassifier(trained.architecture, 10)
    changed = [
        not np.array_equal(np.array(a), np.array(b))
        for a, b in zip(initial.trainable_weights, trained.model.trainable_weights)
    ]
    assert len(changed) > 50 and all(changed)


def test_a_candidate_without_kept_weights_can_only_be_built(trained, tmp_path):
    source = trial_folder(trained.tuner, trained.trial)
    text = (source / CANDIDATE).read_text(encoding="utf-8")
    (tmp_path / CANDIDATE).write_text(text, encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="only trials on a front keep them"):
        load_candidate(tmp_path)
    model = load_candidate(tmp_path, weights=False)
    assert model.architecture == trained.architecture
    assert model.thresholds == trained.model.thresholds
    with pytest.raises(FileNotFoundError, match=CANDIDATE):
        load_candidate(tmp_path / "nowhere")


# What a trial depends on


@pytest.fixture(scope="module")
def small(architecture):
    """Few MACs; exits after stages 1 and 3."""
    return architecture


def test_a_candidate_is_trained_by_the_recipe_with_a_seed_of_its_own(
    small, dataset, tmp_path, guessing
):
    class Seen(Exception):
        pass

    seeds, initial = [], []

    def train(model, *arguments, seed, **options):
        assert arguments == (dataset, BRIEF, None)
        seeds.append(seed)
        initial.append(np.array(model.guesses))
        raise Seen

    guessing.setattr(training, "train", train)
    tuner = make(tmp_path / "search", dataset)
    for tuner.seed, trial in ((1, "0"), (1, "0"), (1, "3"), (2, "0")):
        with pytest.raises(Seen):
            tuner.train(small, trial)
    assert seeds[0] == seeds[1] and len(set(seeds)) == 3
    np.testing.assert_array_equal(initial[0], initial[1])
    assert np.abs(initial[0] - initial[2]).max() > 0
    assert np.abs(initial[0] - initial[3]).max() > 0


def test_macs_follow_the_asked_convention(small, dataset, tmp_path, guessing):
    tuner = make(tmp_path / "search", dataset, convention="aebnas", target_macs=None)
    model, record = tuner.train(small, "0")
    cost = zoo.macs(small, 10, "aebnas")
    spent = cost.per_exit_at(model.thresholds)
    assert record.convention == "aebnas"
    assert record.evaluation.macs == spent
    assert spent != model.macs.per_exit_at(model.thresholds)
    average = np.dot(record.evaluation.utilisation, spent)
    assert record.metrics["average_macs"] == pytest.approx(average)
    for point in record.frontier:
        spent = cost.per_exit_at(point.thresholds)
        average = np.dot(point.utilisation, spent)
        assert point.average_macs == pytest.approx(average)


@pytest.mark.parametrize("exits, thresholds", [((0, 2), (0.5, 0.5)), ((), ())])
def test_thresholds_of_the_genes_stay_where_none_are_tuned(
    exits, thresholds, small, dataset, tmp_path, guessing
):
    space = SearchSpace((32,), exits, thresholds=(0.5, 1), tune_thresholds=not exits)
    if not exits:
        nothing = {"branches": (None,) * 4, "thresholds": (1,) * 4}
        small = dataclasses.replace(small, **nothing)
    _, record = make(tmp_path / "search", dataset, space).train(small, "0")
    assert record.evaluation.thresholds == thresholds
    if not exits:
        assert record.metrics["error"] == record.metrics["final_error"]


@pytest.mark.parametrize("limit", [1000.0, 2.1e6, 2.5e6, 1e9])
def test_with_a_limit_thresholds_are_the_most_accurate_within_it(
    limit, small, dataset, tmp_path, guessing
):
    labels = dataset.validation.labels
    right = np.eye(10)[labels][:, None] * [[[0.5], [1], [2]]]  # later exits know more
    logits = np.random.default_rng(0).normal(right, 1).astype("float32")
    network = "search.tuner.EarlyExitClassifier"
    guessing.setattr(f"{network}.predict", lambda *_, **__: logits)
    tuner = make(tmp_path / "s", dataset, target_macs=limit, target_is_limit=True)
    _, record = tuner.train(small, "0")
    settings = [
        exits.evaluate(logits, labels, zoo.macs(small, 10), thresholds)
        for thresholds in itertools.product(SPACE.thresholds, repeat=2)
    ]
    within = [point for point in settings if point.average_macs <= limit]
    found = record.metrics
    if limit == 1000:
        assert not within
        assert found["average_macs"] == min(point.average_macs for point in settings)
    else:
        assert found["average_macs"] <= limit
        assert found["error"] == 1 - max(point.accuracy for point in within)
        assert len(within) < len(settings) or limit == 1e9


def test_latency_is_measured_if_asked(small, dataset, tmp_path, untrained, monkeypatch):
    speeds = []

    once = benchmark.benchmark

    def timed(model, images, size):
        speeds.append(once(model, images, size, rounds=1))
        return speeds[-1]

    monkeypatch.setattr(benchmark, "benchmark", timed)
    tuner = make(tmp_path / "search", dataset, latency_batch_size=32)
    _, record = tuner.train(small, "0")
    (speed,) = speeds
    assert (speed.batch_size, speed.images) == (32, 64)
    expected = 1000 / speed.early_images_per_second
    assert record.metrics["latency_ms"] == pytest.approx(expected)


def test_weights_of_the_same_architecture_are_all_taken_over(
    small, model, dataset, tmp_path, untrained
):
    strategy = transfer(model)
    tuner = make(tmp_path / "search", dataset, strategy=strategy)
    found, record = tuner.train(small, "0")
    having = [layer for layer in model.layers if layer.weights]
    assert record.training.inherited_layers == len(having) > 50
    for one, other in zip(found.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other))


def test_weights_of_another_architecture_are_taken_over_where_they_fit(
    small, model, dataset, tmp_path, untrained
):
    stages = (zoo.Stage.uniform(3, 5, 3), *small.stages[1:])
    other = dataclasses.replace(small, stages=stages)
    strategy = transfer(model)
    tuner = make(tmp_path / "search", dataset, strategy=strategy)
    found, record = tuner.train(other, "0")
    known = {layer.name: weights(layer) for layer in model.layers}
    taken = 0
    for layer in found.layers:
        own, theirs = weights(layer), known.get(layer.name, [])
        fits = bool(own) and [w.shape for w in own] == [w.shape for w in theirs]
        same = fits and all(map(np.array_equal, own, theirs))
        assert same == fits, layer.name
        taken += same
    assert taken == record.training.inherited_layers
    having = [layer for layer in found.layers if layer.weights]
    assert 50 < taken < len(having)


# Failures


def test_what_goes_wrong_in_a_trial_is_recorded_and_the_search_goes_on(
    small, dataset, tmp_path, guessing
):
    guessing.setattr(SPACE, "decode", lambda genes: small)
    errors = [
        FloatingPointError("The loss became nan in epoch 1."),
        ValueError("Shapes (1, 2) and (3, 4) are incompatible."),
        None,
    ]

    def train(*arguments, **options):
        if error := errors.pop(0):
            raise error
        return training.TrainingResult(1, seconds=0.1, images_per_second=1, final={})

    guessing.setattr(training, "train", train)
    tuner = make(tmp_path / "search", dataset, trials=3)
    tuner.search()
    oracle = tuner.oracle
    diverged, misshapen, fine = oracle.trials.values()
    assert [t.status for t in (diverged, misshapen)] == ["FAILED", "FAILED"]
    assert oracle.pareto_trials() == oracle.completed_trials() == [fine]
    for trial, reason in (
        (diverged, "FloatingPointError: The loss became nan in epoch 1."),
        (misshapen, "ValueError: Shapes (1, 2) and (3, 4) are incompatible."),
    ):
        assert trial.message.strip().endswith(reason)
        folder = trial_folder(tuner, trial)
        assert not {CANDIDATE, WEIGHTS} & {path.name for path in folder.iterdir()}
        text = (folder / "failure.txt").read_text(encoding="utf-8")
        assert "in train\n" in text and text.strip().endswith(reason)
    assert tuner.load_model(fine).num_exits >= 1


def test_a_metric_that_is_not_finite_fails_the_trial(
    dataset, tmp_path, monkeypatch, guessing
):
    metric = dataclasses.replace(metrics.get("error"), measure=lambda _: math.nan)
    monkeypatch.setitem(metrics.METRICS, "error", metric)
    tuner = make(tmp_path / "search", dataset)
    tuner.search()
    (trial,) = tuner.oracle.trials.values()
    assert trial.status == "FAILED"
    assert "A metric is not finite" in trial.message
    assert "nan" in trial.message
    assert not (trial_folder(tuner, trial) / WEIGHTS).exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"objectives": ("error", "average_mac")}, "no metric 'average_mac'; choose"),
        ({"constraints": [Constraint("size", maximum=1)]}, "no metric 'size'; choose"),
        ({"objectives": ("error", "latency_ms")}, "with a latency_batch_size"),
    ],
    ids=str,
)
def test_a_metric_that_is_not_reported_is_refused(
    arguments, message, dataset, tmp_path
):
    oracle = ProposerOracle(RandomSearch(SPACE), SPACE, **arguments)
    with pytest.raises(ValueError, match=message):
        EarlyExitTuner(oracle, SPACE, dataset, BRIEF, tmp_path / "search")


def test_nothing_of_an_interrupted_attempt_is_left(dataset, tmp_path, monkeypatch):
    def train(*_):
        raise ValueError("again")

    monkeypatch.setattr(EarlyExitTuner, "train", train)
    tuner = make(tmp_path / "search", dataset)
    trial = tuner.oracle.create_trial("tuner0")
    folder = trial_folder(tuner, trial)
    for name in (CANDIDATE, WEIGHTS, "failure.txt"):
        (folder / name).write_text("left behind", encoding="utf-8")
    with pytest.raises(keras_tuner.errors.FailedTrialError, match="ValueError: again"):
        tuner.run_trial(trial)
    assert sorted(path.name for path in folder.iterdir()) == [
        "failure.txt",
        "trial.json",
    ]
    assert "left behind" not in (folder / "failure.txt").read_text(encoding="utf-8")


def test_an_interruption_is_no_failure(dataset, tmp_path, monkeypatch):
    def train(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(EarlyExitTuner, "train", train)
    tuner = make(tmp_path / "search", dataset)
    with pytest.raises(KeyboardInterrupt):
        tuner.search()
    (trial,) = make(tmp_path / "search", dataset).oracle.trials.values()
    assert trial.status == "RUNNING"


# Fronts of finished candidates


def random_candidates(architecture, count=12, settings=4, seed=2):
    """Small integers, so that there are equal points."""
    rng = np.random.default_rng(seed)
    candidates = []
    for trial in range(count):
        numbers = rng.integers(1, 9, (settings, 2)).tolist()
        points = [
            OperatingPoint((k / 10,), right / 16, float(macs), (0.5, 0.5))
            for k, (right, macs) in enumerate(numbers)
        ]
        measured = {
            "error": 1 - points[0].accuracy + 0.25,
            "average_macs": points[0].average_macs,
            "parameters": float(rng.integers(10)),
        }
        candidates.append(
            CandidateRecord(
                trial=str(trial),
                architecture=architecture.to_dict(),
                crop=1.0,
                num_classes=10,
                convention="standard",
                metrics=measured,
                evaluation=Evaluation(**vars(points[0])),
                training=Training(1, 0.5, 100.0),
                frontier=tuple(points),
            )
        )
    return candidates


def undominated(points):
    """Keys of the points that no other one dominates; all is minimised."""

    def dominates(one, other):
        return one != other and all(a <= b for a, b in zip(one, other))

    return {
        key
        for key, point in points.items()
        if not any(dominates(other, point) for other in points.values())
    }


def fine_points(candidates, constraint=None):
    """(average MACs, error) of the settings that keep a constraint, by their keys."""
    points = {}
    for candidate in candidates:
        for point in candidate.frontier:
            own = {"average_macs": point.average_macs, "error": 1 - point.accuracy}
            if keeps(constraint, candidate.metrics | own):
                key = candidate.trial, point.thresholds[0]
                points[key] = tuple(own.values())
    return points


def keeps(constraint, metrics):
    return constraint is None or metrics[constraint.metric] <= constraint.maximum


CONSTRAINTS = {
    "free": None,
    "parameters": Constraint("parameters", maximum=5),
    "error": Constraint("error", maximum=0.8),  # some settings of a candidate
}
constrained = pytest.mark.parametrize(
    "constraint", CONSTRAINTS.values(), ids=CONSTRAINTS
)


@constrained
def test_the_settings_front_is_that_of_all_settings_of_all_candidates(
    constraint, architecture
):
    candidates = random_candidates(architecture)
    found = settings_front(candidates, [constraint] if constraint else [])
    points = fine_points(candidates, constraint)
    assert {(p.trial, p.thresholds[0]) for p in found} == undominated(points)
    assert len(points) < 48 or not constraint
    assert len({point.trial for point in found}) > 1
    costs = [point.average_macs for point in found]
    assert costs == sorted(costs)
    assert all(point.error == 1 - point.accuracy for point in found)
    assert settings_front([]) == []


@constrained
@pytest.mark.parametrize(
    "objectives",
    [
        ("error", "average_macs"),
        ("error", keras_tuner.Objective("parameters", "max")),
    ],
    ids=["minimised", "maximised"],
)
def test_only_members_of_a_front_keep_their_weights(
    objectives, constraint, tmp_path, architecture
):
    candidates = random_candidates(architecture)
    for candidate in candidates:
        folder = tmp_path / f"trial_{candidate.trial}"
        folder.mkdir()
        records.write(folder / CANDIDATE, candidate)
        (folder / WEIGHTS).write_bytes(b"weights")
    (tmp_path / "trial_99").mkdir()  # under way
    (tmp_path / "trial_99" / WEIGHTS).write_bytes(b"weights")

    objectives = Objectives(objectives)
    keep_front_weights(tmp_path, objectives, [constraint] if constraint else [])
    signed = {
        c.trial: tuple(
            c.metrics[o.name] * (1 if o.direction == "min" else -1) for o in objectives
        )
        for c in candidates
        if keeps(constraint, c.metrics)
    }
    front = undominated(signed)
    fine = {trial for trial, _ in undominated(fine_points(candidates, constraint))}
    kept = {p.parent.name.split("_")[1] for p in tmp_path.glob(f"*/{WEIGHTS}")}
    assert kept == front | fine | {"99"}
    assert front and fine - front
    assert len(kept) < len(candidates)
    assert read_candidates(tmp_path) == candidates


def test_candidates_are_read_in_the_order_of_their_trials(tmp_path, architecture):
    (candidate,) = random_candidates(architecture, count=1)
    for name in ("10", "9", "011", "2"):
        (tmp_path / f"trial_{name}").mkdir()
        path = tmp_path / f"trial_{name}" / CANDIDATE
        records.write(path, dataclasses.replace(candidate, trial=name))
    (tmp_path / "trial_3").mkdir()
    found = [candidate.trial for candidate in read_candidates(tmp_path)]
    assert found == ["2", "9", "10", "011"]


def test_a_candidate_of_version_0_1_is_read(tmp_path, architecture):
    (candidate,) = random_candidates(architecture, count=1)
    old = records.to_dict(candidate)
    del old["kind"], old["format"]
    old["training"]["layers_from_start"] = old["training"].pop("inherited_layers")
    (tmp_path / CANDIDATE).write_text(json.dumps(old), encoding="utf-8")
    assert read_candidate(tmp_path / CANDIDATE) == candidate
