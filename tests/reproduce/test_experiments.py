import dataclasses
import json
import types

import numpy as np
import pytest

import search
import zoo
from reproduce import experiments, runs, verify
from reproduce.__main__ import main
from reproduce.experiments import EXPERIMENTS, SCALES, Experiment
from reproduce.records import RESULTS, RunRecord
from search import running
from search.candidates import load_candidate
from zoo import FixedBranch, data, exits, macs, records, training
from zoo.exits import paper_score

METHODS = {
    "cifar10_aebnas": "aebnas",
    "cifar10_edanas": "edanas",
    "cifar10_nachos": "nachos",
    "cifar10_static": "static",
    "cifar10_threshold_02": "aebnas",
}


@pytest.fixture(params=METHODS)
def done(request, ran):
    return ran(request.param)


def architectures(record):
    return [candidate.network for candidate in record.candidates]


# With inherited weights


@pytest.fixture
def inheriting(tmp_path, first_digits, untrained, monkeypatch):
    """Experiments inherit from an untrained supernet, and try one candidate."""
    pytest.importorskip("tensorflow")
    from search.supernet import stored
    from search.supernet.network import Supernet

    digits = first_digits(train=16, validation=24, test=12)
    for module in (runs.data, running.data):
        monkeypatch.setattr(module, "load", lambda *_, **__: digits)
    small = dataclasses.replace(
        SCALES["inherited"], trials=1, initial_trials=1, train_images=16, data="digits"
    )
    monkeypatch.setitem(SCALES, "inherited", small)
    monkeypatch.setattr(stored, "PRETRAINED", tmp_path)
    about = stored.About(resolutions=(32,))
    weights = Supernet.random(10, 3).values()
    Supernet(weights, about).save(tmp_path / "aebnas_cifar10.npz")
    return digits


def test_a_candidate_of_inherited_weights_is_trained_further_and_reported(
    inheriting, tmp_path, call, run_arguments, monkeypatch
):
    recipes = []
    train = training.train
    monkeypatch.setattr(
        training, "train", lambda *a, **k: recipes.append(a[2]) or train(*a, **k)
    )
    arguments = run_arguments("cifar10_aebnas", tmp_path, "inherited")
    call(*arguments, "--seed", 12)  # which draws a small network
    (recipe,) = recipes
    assert recipe == training.recipe("paper", crop=1.0, augmentation="shift")
    assert recipe.epochs == 5
    (record,) = runs.load("inherited", tmp_path / "results")
    assert all(c.training.supernet for c in record.candidates)
    folder = tmp_path / "runs" / "inherited"
    assert len(list((folder / runs.ANSWERS).iterdir())) == 1
    model = zoo.load(folder / "cifar10_aebnas_seed12" / runs.TUNED)
    selected, images = record.selected, inheriting.test.images
    assert selected.test.thresholds == selected.tuned.thresholds == model.thresholds
    found = exits.evaluate(
        model.predict(images, verbose=0),
        inheriting.test.labels,
        model.cost("aebnas"),
        model.thresholds,
    )
    assert selected.test.accuracy == pytest.approx(found.accuracy)
    count, wrong = verify.check(tmp_path / "results")
    assert count > 100 and wrong == []


# Experiments as data


def test_every_data_set_of_the_paper_has_every_method():
    for prefix, data_name in (
        ("cifar10", "cifar10"),
        ("svhn", "svhn_cropped"),
        ("cifar100", "cifar100"),
    ):
        found = {name: EXPERIMENTS[f"{prefix}_{name}"] for name in METHODS.values()}
        assert {name: each.method for name, each in found.items()} == {
            name: name for name in found
        }
        assert {each.data for each in found.values()} == {data_name}
        assert len({each.target_macs for each in found.values()}) == 1


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_can_be_set_up_at_every_scale(name, scale):
    wanted, size = EXPERIMENTS[name], SCALES[scale]
    settings = wanted.settings(scale, 7)
    assert settings.data == ("digits" if scale == "smoke" else wanted.data)
    assert (settings.method, settings.seed) == (wanted.method, 7)
    assert (settings.trials, settings.initial_trials) == (
        size.trials,
        size.initial_trials,
    )
    assert (settings.target_macs, settings.convention) == (wanted.target_macs, "aebnas")
    resolutions = settings.search_space().resolutions
    if wanted.method == "nachos":
        assert resolutions == (32,)
    else:
        assert resolutions == size.resolutions or not size.resolutions
    epochs = {"smoke": 1, "reduced": 2, "inherited": 5, "paper": 5}[scale]
    assert settings.supernet == (f"aebnas_{wanted.data}" if size.inherited else None)
    recipe = settings.training_recipe()
    assert wanted.name == name and recipe.epochs == epochs
    assert recipe.soft_exits == (wanted.method == "nachos" and scale != "reduced")


def test_all_methods_train_alike_at_the_reduced_scale():
    recipes = {e.settings("reduced", 1).training_recipe() for e in EXPERIMENTS.values()}
    assert recipes == {training.recipe("short")}


def test_an_unknown_experiment_is_an_error_that_names_the_known_ones(fail):
    message = fail("run", "cifar10_aebna")
    assert "'cifar10_aebna'" in message
    assert all(name in message for name in EXPERIMENTS)


def test_an_unknown_scale_is_an_error_that_names_the_known_ones(capsys):
    with pytest.raises(ValueError, match="'huge'.*smoke, reduced, inherited, paper"):
        EXPERIMENTS["cifar10_aebnas"].settings("huge", 1)
    with pytest.raises(SystemExit):
        main(["run", "cifar10_aebnas", "--scale", "huge"])
    err = capsys.readouterr().err
    assert "'huge'" in err and all(scale in err for scale in SCALES)


def test_a_seed_below_zero_is_an_error(fail, tmp_path, run_arguments):
    message = fail(*run_arguments("cifar10_aebnas", tmp_path), "--seed", -1)
    assert "seed is -1" in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("as_json", [False, True])
def test_list_names_every_experiment_and_counts_its_records(call, as_json):
    counts = {
        scale: [
            path.name.rsplit("_seed", 1)[0]
            for path in (RESULTS / "experiments" / scale).glob("*.json*")
        ]
        for scale in SCALES
    }
    if as_json:
        rows = {row["name"]: row for row in call("list", "--json")}
        assert list(rows) == list(EXPERIMENTS)
        for name, row in rows.items():
            found = {scale: names.count(name) for scale, names in counts.items()}
            assert row["records"] == found
            assert row["target_macs"] == EXPERIMENTS[name].target_macs
    else:
        text = call("list")
        for name in EXPERIMENTS:
            (line,) = [line for line in text.splitlines() if line.split()[:1] == [name]]
            for scale, names in counts.items():
                count = names.count(name)
                assert (f"{count} {scale}" in line) == (count > 0)
        assert all(scale.summary in text for scale in SCALES.values())


# Running


def test_the_record_of_a_large_search_is_compressed(
    ran, tmp_path, monkeypatch, without_training
):
    done = ran("cifar10_aebnas")
    monkeypatch.setattr(runs, "MANY", 3)
    with without_training():
        path = runs.run(
            done.name, scale="smoke", directory=done.root / "runs", results=tmp_path
        )
    folder = tmp_path / "experiments" / "smoke"
    assert path == folder / f"{done.name}_seed1.json.gz"
    (found,) = runs.load("smoke", tmp_path)
    assert found.candidates == done.record.candidates
    assert verify.check(tmp_path)[1] == []


def test_a_continued_run_trains_only_the_interrupted_candidate_again(done):
    before, again = done.trained[:3], done.trained[3:]
    assert again[0] == before[2]
    assert len(again) == 2
    assert architectures(done.record) == [*before[:2], *again]
    assert len(set(done.trained)) == SCALES["smoke"].trials == 4


def test_the_record_says_what_was_run(done):
    record, settings = done.record, done.record.settings
    assert (record.experiment, record.scale) == (done.name, "smoke")
    files = [path for path in (done.root / "results").rglob("*") if path.is_file()]
    assert files == [done.path]
    assert settings == dataclasses.replace(
        EXPERIMENTS[done.name].settings("smoke", 1),
        **{"data": "digits", "method": METHODS[done.name], "seed": 1},
        **{"trials": 4, "train_images": 320, "recipe_changes": {"epochs": 1}},
        **{"target_macs": 2.44e6, "convention": "aebnas"},
    )
    digits = data.load("digits")
    assert record.data.name == "digits"
    assert record.data.fingerprint == digits.fingerprint
    assert [c.trial for c in record.candidates] == ["0", "1", "2", "3"]
    assert record.failed == ()


def test_the_record_reports_the_best_of_the_front_on_the_test_split(done, guessing):
    record, target = done.record, done.record.settings.target_macs
    trial, reported = record.selected.trial, record.selected.test
    assert trial in record.front
    measured = {c.trial: c.evaluation for c in record.candidates}

    def worth(trial):  # a tenth of a point for each percent beside the target
        each = measured[trial]
        return each.accuracy * 100 - 10 * abs(each.average_macs / target - 1)

    assert worth(trial) == max(map(worth, record.front))

    test = data.load("digits").test
    model = load_candidate(done.folder / f"trial_{trial}")
    logits = model.predict(test.images)
    assert reported.thresholds == tuple(model.thresholds)
    chosen = exits.decide(logits, model.thresholds)
    answers = logits.argmax(-1)[np.arange(len(chosen)), chosen]
    assert reported.samples == len(test.labels) == 359
    assert reported.accuracy == pytest.approx(np.mean(answers == test.labels))
    for convention, average in reported.average_macs.items():
        cost = macs(model.architecture, 10, convention)
        spent = np.array(cost.per_exit_at(model.thresholds))
        assert reported.macs[convention] == tuple(spent)
        assert average == pytest.approx(spent[chosen].mean())
    assert set(reported.average_macs) == {"standard", "aebnas"}


def test_candidates_are_those_of_the_method(done):
    method = done.name.removeprefix("cifar10_")
    found = architectures(done.record)
    thresholds = [c.evaluation.thresholds for c in done.record.candidates]
    used = {threshold for each in thresholds for threshold in each}
    branches = {type(b) for each in found for b in each.branches if b is not None}
    assert (used == set()) == (branches == set()) == (method == "static")
    assert (branches == {FixedBranch}) == (method == "edanas")
    if method == "threshold_02":
        assert used == {0.2}
    else:
        assert used <= {0.1, 0.2, 1}
    if method == "edanas":  # as searched, not tuned
        own = [tuple(t for t in each.thresholds if t < 1) for each in found]
        assert thresholds == own
    recipe = done.record.settings.training_recipe()
    assert recipe.soft_exits == (method == "nachos")
    assert recipe.macs_limit == (2.44e6 if method == "nachos" else None)


TIMES = ("seconds", "wall_seconds")


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in TIMES}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def test_a_continued_run_ends_as_an_uninterrupted_one(
    ran, tmp_path, run_arguments, guessing, call
):
    interrupted = ran("cifar10_aebnas")
    out = call(*run_arguments("cifar10_aebnas", tmp_path))
    path = tmp_path / interrupted.path.relative_to(interrupted.root)
    assert out == f"Wrote {path}.\n"
    whole, other = (
        json.loads(each.read_text(encoding="utf-8"))
        for each in (path, interrupted.path)
    )
    assert without_times(whole) == without_times(other)


def test_a_finished_run_writes_its_record_again_without_training(
    ran, run_arguments, guessing, call
):
    done = ran("cifar10_aebnas")
    before = done.path.read_bytes()
    done.path.unlink()
    guessing.delattr(search.EarlyExitTuner, "train")
    call(*run_arguments(done.name, done.root))
    assert done.path.read_bytes() == before


def test_the_choice_is_among_the_front_and_weighs_accuracy_against_the_target():
    def candidate(trial, accuracy, average_macs):
        measured = types.SimpleNamespace(accuracy=accuracy, average_macs=average_macs)
        return types.SimpleNamespace(trial=trial, evaluation=measured)

    record = types.SimpleNamespace(
        settings=types.SimpleNamespace(target_macs=2e6),
        front=("1", "2", "3"),
        candidates=(
            candidate("0", 0.99, 2e6),  # not on the front
            candidate("1", 0.70, 2e6),  # 70
            candidate("2", 0.74, 3e6),  # 74 - 5
            candidate("3", 0.75, 1.2e6),  # 75 - 4
        ),
    )
    assert runs.choose(record) == "3"
    assert paper_score(0.75, 1.2e6, 2e6) == pytest.approx(71)
    record.settings.target_macs = 3e6
    assert runs.choose(record) == "2"


def test_records_are_read_by_scale_name_and_seed(tmp_path, write):
    write("svhn_nachos", 1)
    write("cifar10_aebnas", 2)
    write("cifar10_aebnas", 1, "paper")

    def found(*arguments):
        return [f"{r.experiment}_{r.settings.seed}" for r in runs.load(*arguments)]

    assert found("reduced", tmp_path) == ["cifar10_aebnas_2", "svhn_nachos_1"]
    assert found("reduced", tmp_path, ["svhn_nachos"]) == ["svhn_nachos_1"]
    assert found("smoke", tmp_path) == []


def test_a_record_of_a_run_is_read_as_it_was_written(done, tmp_path):
    records.write(tmp_path / "record.json", done.record)
    again = records.read(tmp_path / "record.json", RunRecord)
    assert again == done.record
    text = (tmp_path / "record.json").read_text(encoding="utf-8")
    assert text.count("\n") < 100  # a line per candidate, not per number


# Experiments of one's own

MINE = """
from reproduce import experiments

experiments.register(
    experiments.Experiment("mine", "random", "digits", 1e6, "Random search")
)
"""


def test_an_experiment_of_a_file_is_listed(own, call):
    rows = call("list", "--load", own(MINE), "--json")
    assert rows[-1]["name"] == "mine" and rows[-1]["method"] == "random"


def test_an_experiment_of_a_file_is_run(own, tmp_path, call, run_arguments, guessing):
    call(*run_arguments("mine", tmp_path), "--load", own(MINE))
    (record,) = runs.load("smoke", tmp_path / "results")
    assert (record.experiment, record.settings.method) == ("mine", "random")


def test_a_file_to_load_that_does_not_exist_is_named(fail, tmp_path):
    missing = tmp_path / "own.py"
    assert str(missing) in fail("list", "--load", missing)


def test_an_experiment_is_registered_once():
    with pytest.raises(ValueError, match="already an experiment 'cifar10_aebnas'"):
        experiments.register(
            Experiment("cifar10_aebnas", "aebnas", "cifar10", 1e6, "AEBNAS")
        )


# SVHN, through tensorflow-datasets

COUNTS = {"train": 7400, "test": 30}


class Begun(BaseException):
    """The training of a first candidate began."""


@pytest.fixture
def svhn(tmp_path):
    """Made-up SVHN: image i of a split shows i and has the label i modulo 10."""
    tfds = pytest.importorskip("tensorflow_datasets")
    tf = pytest.importorskip("tensorflow")
    version = str(tfds.builder_cls("svhn_cropped").VERSION)
    splits = [
        {"name": split, "numBytes": "1", "shardLengths": [str(count)]}
        for split, count in COUNTS.items()
    ]
    info = {"name": "svhn_cropped", "version": version, "splits": splits}
    path = tmp_path / "tfds" / "svhn_cropped" / version / "dataset_info.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(info))

    def as_dataset(builder, split, **_):
        number = np.arange(COUNTS[str(split)])
        images = np.zeros((len(number), 32, 32, 3), np.uint8)
        images[:, 0, 0, 0], images[:, 0, 0, 1] = number % 256, number // 256
        return tf.data.Dataset.from_tensor_slices(
            {"image": images, "label": number % 10}
        )

    with tfds.testing.mock_data(
        as_dataset_fn=as_dataset, data_dir=str(tmp_path / "tfds")
    ):
        yield


def test_svhn_experiments_train_on_what_tensorflow_datasets_gives(
    svhn, tmp_path, run_arguments, monkeypatch
):
    monkeypatch.delenv(data.DATA_DIR_VARIABLE, raising=False)
    begun = []

    def train(tuner, architecture, number):
        begun.append(tuner)
        raise Begun

    monkeypatch.setattr(search.EarlyExitTuner, "train", train)
    with pytest.raises(Begun):
        main(run_arguments("svhn_aebnas", tmp_path, "reduced"))
    (tuner,) = begun
    dataset = tuner.dataset
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [len(part.labels) for part in parts] == [75, 7325, 30]
    shown = [p.images[:, 0, 0].astype(int) @ [1, 256, 0] for p in parts]
    assert sorted(np.concatenate(shown[:2])) == list(range(7400))
    assert all((s % 10 == p.labels).all() for s, p in zip(shown, parts))
    assert (dataset.name, dataset.flip) == ("svhn_cropped", False)
    assert (tuner.target_macs, tuner.convention) == (1e6, "aebnas")
