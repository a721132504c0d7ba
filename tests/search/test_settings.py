import contextlib
import dataclasses
import importlib
import importlib.metadata
import json
import pathlib
import shutil
import sys

import numpy as np
import pytest

import search
import zoo
from search import (
    AEBNAS,
    METHODS,
    NSGA2,
    RandomSearch,
    SearchRecord,
    Settings,
    build,
    export,
    read,
    reading,
    record,
    run,
)
from search.candidates import CANDIDATE, WEIGHTS, load_candidate
from search.records import DataSource, FailedTrial
from search.strategies import scratch
from zoo import data, records, registry
from zoo.measure import provenance

QUICK = Settings(method="random", trials=5, space={"resolutions": [32]})
LEARNING = dataclasses.replace(
    QUICK, method="aebnas", trials=7, batch_size=3, population=6, generations=2
)
FULL = Settings(
    method="edanas",
    trials=20,
    convention="aebnas",
    seed=0,
    initial_trials=3,
    objectives=("error", "latency_ms"),
    constraints={"parameters": (None, 3e6), "final_error": (0.1, 0.9)},
    reference=(1.0, 50.0),
    space={"resolutions": (32, 40), "exits": [1, 3]},
    recipe="paper",
    recipe_changes={"epochs": 1, "phases": (0.1, 0.2)},
    train_images=640,
    initial_weights="aebnas_digits",
    latency_batch_size=1,
)


pytestmark = pytest.mark.usefixtures("quick_surrogate")


def change(settings, **changes):
    return dataclasses.replace(settings, **changes)


def genes(oracle):
    return [oracle.genes(trial).tolist() for trial in oracle.trials.values()]


def content(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished.folder, tmp_path / "copy")


# Settings


@pytest.mark.parametrize("settings", [Settings(), FULL, LEARNING])
def test_settings_survive_json(settings):
    text = json.dumps(settings.to_dict(), allow_nan=False)
    again = Settings.from_dict(json.loads(text))
    assert again == settings
    assert again.to_dict() == settings.to_dict()
    assert again.search_space().get_config() == settings.search_space().get_config()
    assert again.training_recipe() == settings.training_recipe()
    one, other = build.oracle(again), build.oracle(settings)
    assert type(one.proposer) is type(other.proposer)
    assert one.constraints == other.constraints
    assert one.reference_point() == other.reference_point()
    assert one.objectives.names == other.objectives.names == settings.objectives


def test_an_unknown_field_is_named():
    values = Settings().to_dict() | {"epochs": 3, "colour": "red"}
    with pytest.raises(ValueError, match="Unknown settings: colour, epochs"):
        Settings.from_dict(values)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"method": "grid"}, "no method 'grid'; choose from aebnas, edanas"),
        ({"trials": 0}, "trials is 0; expected 1 or more"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"initial_trials": 0}, "initial_trials is 0; expected 1 or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"population": 1}, "population is 1"),
        ({"generations": 0}, "generations is 0"),
        ({"surrogate": "forest"}, "surrogate is 'forest'"),
        ({"train_images": 0}, "train_images is 0; expected 1 or more"),
        ({"latency_batch_size": 0}, "latency_batch_size is 0; expected 1 or more"),
        ({"convention": "paper"}, "convention is 'paper'; expected standard"),
        ({"recipe": "quick"}, "no recipe 'quick'; choose from"),
        ({"recipe_changes": {"epochs": 0}}, "Recipe.epochs is 0"),
        ({"recipe_changes": {"epoch": 1}}, "epoch"),
        ({"space": {"resolution": [32]}}, "'resolution'"),
        ({"space": {"resolutions": [33]}}, "resolutions holds 33"),
        ({"space": {"exits": [4]}}, "exits holds 4"),
        ({"objectives": ()}, "objectives are .* at least one"),
        ({"objectives": ("eror", "average_macs")}, "eror"),
        ({"objectives": ("error", "latency_ms")}, "latency_batch_size"),
        ({"constraints": {"parameters": (None, None)}}, "parameters has no limit"),
        ({"constraints": {"size": (None, 1.0)}}, "size"),
        ({"reference": (1.0,)}, "reference is .* 2 finite numbers"),
        ({"method": "nachos"}, "nachos needs target_macs, its limit"),
        (
            {
                **{"method": "nachos", "target_macs": 2e6},
                "objectives": ("error", "parameters"),
            },
            "objectives are error, parameters; the method nachos .* needs error, avera",
        ),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named_before_anything_is_trained(changes, message):
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


@pytest.mark.parametrize("method", METHODS)
def test_target_macs_must_be_positive(method):
    assert Settings(method=method, target_macs=1.0).target_macs == 1
    with pytest.raises(ValueError, match="-1"):
        Settings(method=method, target_macs=-1.0)


@pytest.mark.parametrize(
    "method, kind, space, aims",
    [
        ("aebnas", AEBNAS, {}, {"target": 2e6, "limit": None}),
        (
            "edanas",
            AEBNAS,
            {"head": "fixed", "tune_thresholds": False},
            {"target": None, "limit": None},
        ),
        (
            "nachos",
            AEBNAS,
            {"resolutions": [32]},
            {"target": None, "limit": 2e6},
        ),
        ("static", AEBNAS, {"exits": []}, {"target": None, "limit": None}),
        ("nsga2", NSGA2, {}, {"population": 12}),
        ("random", RandomSearch, {}, {}),
    ],
)
def test_a_method_is_a_space_a_proposer_and_a_recipe(method, kind, space, aims):
    settings = Settings(
        method=method, target_macs=2e6, population=12, batch_size=3, trials=30
    )
    oracle = build.oracle(settings)
    assert type(oracle.proposer) is kind
    expected = search.SearchSpace().get_config() | space
    assert settings.search_space().get_config() == expected
    assert oracle.space.get_config() == expected
    found = {name: getattr(oracle.proposer, name) for name in aims}
    assert found == aims
    assert (oracle.batch_size, oracle.max_trials, oracle.initial_trials) == (3, 30, 12)
    assert oracle.proposer.batch_size == 3
    recipe = settings.training_recipe()
    assert recipe.soft_exits == (method == "nachos")
    assert recipe.macs_limit == (2e6 if method == "nachos" else None)


def test_macs_are_counted_alike_in_the_training_and_in_the_search():
    settings = Settings(method="nachos", target_macs=2e6, convention="aebnas")
    assert settings.training_recipe().convention == "aebnas"


def test_the_space_and_the_recipe_of_a_method_can_be_changed():
    settings = Settings(
        method="nachos",
        target_macs=2e6,
        space={"exits": [0]},
        recipe_changes={"macs_limit": 1e6, "epochs": 7},
    )
    assert settings.search_space().resolutions == (32,)
    assert settings.search_space().exits == (0,)
    recipe = settings.training_recipe()
    assert (recipe.macs_limit, recipe.epochs, recipe.soft_exits) == (1e6, 7, True)
    with pytest.raises(ValueError, match="nachos fixes resolutions"):
        change(settings, space={"resolutions": [40]})


def test_the_tuner_gets_what_the_settings_say(tmp_path, first_digits):
    dataset = first_digits(train=20, validation=10, test=10)
    settings = change(FULL, train_images=7)
    tuner = build.tuner(settings, tmp_path / "s", dataset, build.oracle(settings))
    assert tuner.strategy is not scratch
    assert tuner.recipe == settings.training_recipe()
    assert tuner.space.get_config() == settings.search_space().get_config()
    assert (tuner.convention, tuner.seed, tuner.latency_batch_size) == ("aebnas", 0, 1)
    np.testing.assert_array_equal(tuner.dataset.train.images, dataset.train.images[:7])
    assert len(tuner.dataset.validation.labels) == 10


# Running


def test_every_trial_is_reported_and_the_oracle_returned(tmp_path, fake):
    told = []
    oracle = run(QUICK, tmp_path / "s", on_trial=lambda o, t: told.append((o, t)))
    assert told == [(oracle, trial) for trial in oracle.completed_trials()]
    assert len(told) == 5
    assert read_json(tmp_path / "s" / "record.json")["front"]


def test_an_interrupted_search_continues(tmp_path, fake, monkeypatch):
    whole = run(LEARNING, tmp_path / "whole")
    train, count = search.EarlyExitTuner.train, iter(range(100))

    def interrupt(self, architecture, number):
        if next(count) in (2, 5):
            raise KeyboardInterrupt
        return train(self, architecture, number)

    monkeypatch.setattr(search.EarlyExitTuner, "train", interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(LEARNING, tmp_path / "parts")
        assert not (tmp_path / "parts" / "record.json").exists()
    assert genes(run(LEARNING, tmp_path / "parts")) == genes(whole)


def test_a_finished_search_returns_at_once(copy, finished):
    oracle = run(finished.settings, copy)  # would train for real
    assert genes(oracle) == genes(finished.oracle)
    assert oracle.hypervolume_history() == finished.oracle.hypervolume_history()


def test_a_folder_of_another_search_is_refused(finished):
    before = content(finished.folder)
    other = change(finished.settings, seed=2, population=7, space={"resolutions": [36]})
    with pytest.raises(
        ValueError, match="differs in seed, population, space.resolutions. Use"
    ):
        run(other, finished.folder)
    assert content(finished.folder) == before


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"settings": null}', "", "{"])
@pytest.mark.parametrize("name", ["search.json", "oracle.json", "trial_1/trial.json"])
def test_a_damaged_file_is_named(copy, name, text):
    (copy / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"{name} is (damaged|not a record)"):
        record(copy)


@pytest.mark.parametrize("name", ["oracle.json", "trial_1/trial.json", "search.json"])
def test_a_null_in_any_place_is_told_or_harmless(copy, name):
    whole = read_json(copy / name)
    for field in whole:
        (copy / name).write_text(json.dumps(whole | {field: None}), encoding="utf-8")
        with contextlib.suppress(ValueError):
            record(copy)


def test_a_trial_in_the_folder_of_another_is_damage(copy):
    shutil.copy(copy / "trial_1" / "trial.json", copy / "trial_3")
    with pytest.raises(ValueError, match="trial_3.* is damaged: it is trial 1"):
        record(copy)


def test_metrics_without_an_error_are_damage(copy):
    path = copy / "trial_1" / "candidate.json"
    path.write_text(json.dumps(read_json(path) | {"metrics": {}}), encoding="utf-8")
    with pytest.raises(ValueError, match="The metrics of trial 1 have no error"):
        record(copy)


def test_other_data_of_the_same_name_are_refused(finished, monkeypatch):
    digits = data.load("digits")
    other = dataclasses.replace(digits, test=digits.test.take(100))
    monkeypatch.setattr(data, "load", lambda *_: other)
    with pytest.raises(ValueError, match="differs in content of the data set"):
        run(finished.settings, finished.folder)


def test_more_trials_may_be_asked_for(tmp_path, fake):
    first = run(LEARNING, tmp_path)
    more = run(change(LEARNING, trials=12), tmp_path)  # one more digit
    assert len(more.completed_trials()) == 12
    assert genes(more)[:7] == genes(first)
    assert len(set(map(tuple, genes(more)))) == 12
    noted = read_json(tmp_path / "search.json")["settings"]
    assert (noted["trials"], noted["initial_trials"]) == (12, 3)
    assert more.initial_trials == first.initial_trials == 3
    assert more.reference_point() == first.reference_point()
    with pytest.raises(ValueError, match="differs in initial_trials"):
        run(change(LEARNING, trials=12, initial_trials=5), tmp_path)


def test_a_second_process_is_refused(tmp_path, fake):
    fcntl = pytest.importorskip("fcntl")
    with open(tmp_path / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=f"Another process .* in {tmp_path}"):
            run(QUICK, tmp_path)
    assert len(run(QUICK, tmp_path).trials) == 5


def test_candidates_start_from_the_model_that_is_named(tmp_path, fake, monkeypatch):
    train, used = search.EarlyExitTuner.train, []

    def note_strategy(self, *arguments):
        used.append(self.strategy)
        return train(self, *arguments)

    monkeypatch.setattr(search.EarlyExitTuner, "train", note_strategy)
    monkeypatch.setattr(build, "transfer", lambda source: f"from {source}")
    monkeypatch.setattr(registry, "load", lambda name: f"the model {name}")
    run(change(QUICK, trials=1, initial_weights="aebnas_digits"), tmp_path)
    assert used == ["from the model aebnas_digits"]


def test_initial_weights_that_do_not_exist_leave_the_folder_usable(tmp_path, fake):
    with pytest.raises(ValueError, match="no pretrained model 'aebnas_digit'"):
        run(change(QUICK, initial_weights="aebnas_digit"), tmp_path / "s")
    assert len(run(QUICK, tmp_path / "s").trials) == 5


def test_a_search_in_which_everything_fails_stops_until_it_is_mended(
    tmp_path, fake, monkeypatch
):
    mended = search.EarlyExitTuner.train

    def train(*_):
        raise ValueError("no such device")

    monkeypatch.setattr(search.EarlyExitTuner, "train", train)
    with pytest.raises(RuntimeError, match="10 trials in a row failed.*no such device"):
        run(change(QUICK, trials=30), tmp_path)
    written = read_json(tmp_path / "record.json")
    assert len(written["failed"]) == 10
    assert all("no such device" in each["reason"] for each in written["failed"])
    assert (written["candidates"], written["front"]) == ([], [])

    monkeypatch.setattr(search.EarlyExitTuner, "train", mended)
    oracle = run(change(QUICK, trials=30), tmp_path)
    assert len(oracle.completed_trials()) == 20


# Reading


def test_a_search_is_read_without_changing_it(finished):
    before = content(finished.folder)
    settings, oracle = read(finished.folder)
    assert content(finished.folder) == before
    assert settings.to_dict() == finished.settings.to_dict() | {"initial_trials": 2}
    assert genes(oracle) == genes(finished.oracle)
    front = [trial.trial_id for trial in finished.oracle.pareto_trials()]
    assert [trial.trial_id for trial in oracle.pareto_trials()] == front
    assert oracle.hypervolume_history() == finished.oracle.hypervolume_history()


def test_a_folder_without_a_search_is_no_search(tmp_path):
    for call in (read, record):
        with pytest.raises(ValueError, match="holds no search.*aebnas search run"):
            call(tmp_path)


def test_a_search_that_has_just_begun_can_be_read(tmp_path, copy):
    shutil.copy(copy / "search.json", tmp_path)
    _, oracle = read(tmp_path)
    assert oracle.pareto_trials() == oracle.completed_trials() == []
    assert record(tmp_path).hypervolume == ()


def test_a_search_can_be_read_while_a_trial_begins(tmp_path, fake):
    run(QUICK, tmp_path)
    run(change(QUICK, trials=6), tmp_path)
    oracle = read(tmp_path)[1]
    oracle.max_trials = 7
    trial = oracle.create_trial("w")
    assert len(read(tmp_path)[1].completed_trials()) == 6
    # The reader looked for trials before this one was written, then read the state.
    (tmp_path / f"trial_{trial.trial_id}" / "trial.json").unlink()
    assert len(read(tmp_path)[1].completed_trials()) == 6


# The record


@pytest.fixture(scope="module")
def written(finished):
    return records.read(finished.folder / "record.json", SearchRecord)


def test_the_record_is_complete_and_written(finished, written):
    assert record(finished.folder) == written
    oracle = finished.oracle
    assert written.settings == change(finished.settings, initial_trials=2)
    assert written.front == tuple(trial.trial_id for trial in oracle.pareto_trials())
    assert written.reference == oracle.reference_point()
    assert written.hypervolume == tuple(oracle.hypervolume_history())
    assert written.iterations == ()
    reason = "FloatingPointError: The loss became nan in epoch 1."
    assert written.failed == (FailedTrial("2", reason),)
    assert [c.trial for c in written.candidates] == ["0", "1", "3", "4"]
    seconds = sum(c.metrics["seconds"] for c in written.candidates)
    assert written.seconds == pytest.approx(seconds, abs=0.1)
    for candidate in written.candidates:
        trial = oracle.trials[candidate.trial]
        assert candidate.network == oracle.space.decode(oracle.genes(trial))
        assert candidate.metrics == oracle.values(trial)
        assert candidate.training.seed == int(candidate.trial)


def test_the_record_is_json_with_a_line_per_candidate(finished):
    text = (finished.folder / "record.json").read_text(encoding="utf-8")
    assert json.loads(text)["kind"] == "search"
    assert sum('"architecture"' in line for line in text.splitlines()) == 4


def test_the_record_says_what_it_was_made_from(written):
    assert written.data == DataSource("digits", data.load("digits").fingerprint)
    facts = written.provenance
    assert set(provenance()) | {"started"} == set(facts)
    versions = provenance()["versions"]
    assert versions.items() < facts["versions"].items()
    assert facts["versions"]["pymoo"] == importlib.metadata.version("pymoo")
    assert "keras-tuner" in facts["versions"]


def test_the_record_has_the_settings_of_front_members_only(written):
    shown = {*written.front, *(point.trial for point in written.settings_front)}
    having = {c.trial for c in written.candidates if c.frontier}
    assert having == shown
    assert shown < {c.trial for c in written.candidates}
    macs = [point.average_macs for point in written.settings_front]
    assert macs == sorted(macs) and len(macs) > len(written.front)


def test_a_candidate_of_the_record_is_found_by_its_trial(written):
    point = written.point(written.front[0])
    candidate = written.candidate(written.front[0])
    assert point.thresholds == candidate.evaluation.thresholds
    assert point.error == candidate.metrics["error"]
    with pytest.raises(ValueError, match="no trained trial '2'; there are 0, 1, 3, 4"):
        written.candidate("2")


def test_the_record_tells_how_good_the_surrogates_were(tmp_path, fake):
    oracle = run(LEARNING, tmp_path)
    written = records.read(tmp_path / "record.json", SearchRecord).iterations
    assert written == tuple(oracle.iterations())
    assert [each.trials for each in written] == [3, 6]
    assert [each.quality["error"].n for each in written] == [3, 1]


def test_a_record_is_read_from_its_file_alone(finished, tmp_path):
    file = shutil.copy(finished.folder / "record.json", tmp_path / "kept.json")
    assert record(file) == record(str(file)) == record(finished.folder)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"3", b'{"settings": {}, "candidates": []}', b"\xff"],
    ids=str,
)
def test_a_file_that_is_no_record_is_named(tmp_path, text):
    path = tmp_path / "record.json"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"record\.json is (damaged|not a record)"):
        record(path)


def test_a_record_that_says_more_than_a_search_is_read_as_one(finished, tmp_path):
    written = read_json(finished.folder / "record.json")
    path = tmp_path / "more.json"
    more = written | {"kind": "experiment", "selected": "3"}
    path.write_text(json.dumps(more), encoding="utf-8")
    assert record(path) == record(finished.folder)


# What version 0.1 wrote

RESULTS = pathlib.Path(__file__).parents[2] / "reproduce" / "results"


def as_version_0_1(value):
    """A record in the names of version 0.1, as far as `value` has them."""
    value = json.loads(json.dumps(value))
    value.pop("kind"), value.pop("format")
    settings = value["settings"]
    settings["start"] = settings.pop("initial_weights")
    if "head" in settings["space"]:
        settings["space"]["fixed_branches"] = settings["space"].pop("head") == "fixed"
    if "candidates" in value:
        for candidate in value["candidates"]:
            training = candidate["training"]
            training["layers_from_start"] = training.pop("inherited_layers")
            if not candidate["frontier"]:
                del candidate["frontier"]
        value["fine_front"] = value.pop("settings_front")
        value["surrogates"] = [
            {**i, **i.pop("quality")} for i in value.pop("iterations")
        ]
    return value


def test_a_record_of_version_0_1_is_read(tmp_path, fake):
    sought = change(LEARNING, space={"resolutions": [32], "head": "fixed"})
    run(sought, tmp_path)
    new = record(tmp_path)
    assert new.iterations and new.settings.space["head"] == "fixed"
    path = tmp_path / "old.json"
    path.write_text(json.dumps(as_version_0_1(records.to_dict(new))), encoding="utf-8")
    assert record(path) == new


def test_a_search_of_version_0_1_goes_on(tmp_path, fake):
    oracle = run(LEARNING, tmp_path)
    for path in (tmp_path / "search.json", *tmp_path.glob(f"*/{CANDIDATE}")):
        found = read_json(path)
        if path.name == CANDIDATE:
            training = found["training"]
            training["layers_from_start"] = training.pop("inherited_layers")
            del found["kind"], found["format"]
        else:
            found = as_version_0_1(found)
        path.write_text(json.dumps(found), encoding="utf-8")
    more = run(change(LEARNING, trials=9), tmp_path)
    assert genes(more)[:7] == genes(oracle)
    assert len(record(tmp_path).candidates) == 9


@pytest.mark.parametrize("path", RESULTS.glob("searches/*.json"), ids=lambda p: p.stem)
def test_the_recorded_searches_are_read(path):
    found = record(path)
    assert len(found.candidates) == found.settings.trials
    trials = {candidate.trial for candidate in found.candidates}
    assert {*found.front, *(p.trial for p in found.settings_front)} <= trials


def test_candidates_that_break_a_constraint_are_in_no_front(tmp_path, fake):
    free = record_of(QUICK, tmp_path / "free")
    parameters = {c.trial: c.metrics["parameters"] for c in free.candidates}
    limit = max(parameters[point.trial] for point in free.settings_front) - 1
    allowed = {trial for trial, count in parameters.items() if count <= limit}
    constrained = change(QUICK, constraints={"parameters": (None, limit)})
    found = record_of(constrained, tmp_path / "constrained")
    assert set(found.front) <= allowed
    fine = {point.trial for point in found.settings_front}
    assert set() < fine <= allowed
    for trial in fine:
        assert (tmp_path / "constrained" / f"trial_{trial}" / WEIGHTS).exists()


def record_of(settings, folder):
    run(settings, folder)
    return record(folder)


# A data set of the user's own


@pytest.fixture(scope="module")
def flowers(first_digits):
    """The digits, under a name that no registry knows."""
    digits = first_digits(train=64, validation=32, test=32)
    return dataclasses.replace(digits, name="flowers")


def test_a_data_set_of_ones_own_is_searched_on_read_exported_and_continued(
    tmp_path, flowers, untrained, request
):
    sought = change(QUICK, trials=1, seed=12)  # a small network
    run(sought, tmp_path / "s", dataset=flowers)
    found = record(tmp_path / "s")
    assert found.data == DataSource("flowers", flowers.fingerprint)
    assert found.settings.data == "flowers"
    assert found.candidates[0].evaluation.samples == 32
    assert record(tmp_path / "s" / "record.json") == found

    trial = found.front[0]
    written = export(tmp_path / "s", trial, tmp_path / "found", dataset=flowers)
    assert written.results["test"].samples == 32
    without = export(tmp_path / "s", trial, tmp_path / "without")
    assert without.results is None

    request.getfixturevalue("fake")  # what was trained so far is enough
    more = run(change(sought, trials=2), tmp_path / "s", dataset=flowers)
    assert len(more.completed_trials()) == 2


def test_a_data_set_of_ones_own_has_to_be_passed_again(tmp_path, flowers, fake):
    run(QUICK, tmp_path, dataset=flowers)
    again = read(tmp_path)[0]
    with pytest.raises(ValueError, match="no data set 'flowers'.*again, as `dataset`"):
        run(again, tmp_path)
    with pytest.raises(ValueError, match="differs in data. Use the same settings"):
        run(QUICK, tmp_path)
    other = dataclasses.replace(flowers, test=flowers.test.take(5))
    with pytest.raises(ValueError, match="differs in content of the data set"):
        run(QUICK, tmp_path, dataset=other)
    with pytest.raises(ValueError, match="flowers is not the one that .* trained on"):
        export(tmp_path, "0", tmp_path / "found", dataset=other)


# Export


def test_an_exported_candidate_is_a_model_of_the_zoo(
    finished, tmp_path, monkeypatch, first_digits
):
    digits = first_digits(train=64, validation=32, test=32)
    monkeypatch.setattr(data, "load", lambda *_: digits)
    trial = finished.oracle.pareto_trials()[0].trial_id
    known = reading.started(finished.folder).data.fingerprint
    monkeypatch.setattr(data.Dataset, "fingerprint", known)
    written = export(finished.folder, trial, tmp_path / "found")
    original = load_candidate(finished.folder / f"trial_{trial}")
    model = zoo.load(tmp_path / "found")
    assert model.architecture == original.architecture
    assert model.thresholds == original.thresholds
    images = digits.validation.images[:16]
    before, after = (np.array(m(images)) for m in (original, model))
    np.testing.assert_allclose(after, before, atol=0.01 * np.ptp(before))
    assert set(written.results) == {"validation", "test"}
    assert model.frontier and model.class_names
    candidate = read_json(finished.folder / f"trial_{trial}" / CANDIDATE)
    for key in ("seed", "seconds", "images_per_second"):
        assert written.training[key] == candidate["training"][key]
    assert written.recipe["name"] == "short"
    assert "versions" in written.training
    assert f"trial {trial} of 5 by the random search on digits" in written.notes[0]


def test_other_data_than_that_of_the_search_is_refused(
    finished, tmp_path, monkeypatch, first_digits
):
    few = first_digits(train=4, validation=4, test=4)
    trial = finished.oracle.pareto_trials()[0].trial_id
    expected = "digits is not the one that .*random trained"
    with pytest.raises(ValueError, match=expected):
        export(finished.folder, trial, tmp_path / "found", dataset=few)
    monkeypatch.setattr(data, "load", lambda *_: few)  # found by its name
    with pytest.raises(ValueError, match=expected):
        export(finished.folder, trial, tmp_path / "found")


def test_an_export_without_data_keeps_the_asked_thresholds(
    finished, tmp_path, monkeypatch
):
    def load(*_):
        raise FileNotFoundError

    monkeypatch.setattr(data, "load", load)
    front = [trial.trial_id for trial in finished.oracle.pareto_trials()]
    exits = {
        trial: len(record(finished.folder).candidate(trial).evaluation.thresholds)
        for trial in front
    }
    trial = max(front, key=exits.get)
    thresholds = tuple(np.linspace(0.25, 0.75, exits[trial]).tolist())
    written = export(finished.folder, trial, tmp_path / "found", thresholds)
    assert written.results is None
    assert zoo.load(tmp_path / "found").thresholds == thresholds != ()


def test_what_cannot_be_exported_is_named(copy, tmp_path):
    out = tmp_path / "found"
    with pytest.raises(ValueError, match="no trained trial '2'"):  # it failed
        export(copy, "2", out)
    with pytest.raises(ValueError, match="no trained trial '77'"):
        export(copy, "77", out)
    without = [p.parent for p in copy.glob(f"*/{CANDIDATE}")]
    (folder, *_) = [p for p in without if not (p / WEIGHTS).exists()]
    with pytest.raises(FileNotFoundError, match=f"{folder} has no weights"):
        export(copy, folder.name.removeprefix("trial_"), out)
    with pytest.raises(ValueError, match="holds no search"):
        export(tmp_path / "nothing", "0", out)
    assert not out.exists()


def test_without_keras_tuner_the_error_says_what_to_install(monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] == "search":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(records, "_KINDS", {})  # modules register their records anew
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    package = importlib.import_module("search")
    with pytest.raises(ModuleNotFoundError, match=r'pip install "aebnas-keras\[search'):
        _ = package.run


def test_a_name_that_does_not_exist_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        _ = search.serach
    assert {"run", "Settings", "ParetoOracle"} < set(dir(search))
