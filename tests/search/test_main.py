import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

import search
import zoo
from search import Settings, launch, methods, metrics, progress, running
from search.__main__ import main
from search.candidates import CANDIDATE, load_candidate
from zoo import cards, data, records
from zoo.records import to_dict

BRIEF = "--method random --resolutions 32 --train-images 64".split()


@pytest.fixture
def run(capsys):
    """Run a command that succeeds; returns what it printed, from JSON if asked."""

    def call(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        call.err = err
        return json.loads(out) if "--json" in arguments else out

    return call


@pytest.fixture
def fail(capsys):
    """Run a command that fails; returns its message."""

    def call(*arguments):
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"search {arguments[0]}: ")
        assert "Traceback" not in err
        return err

    return call


@pytest.fixture(scope="module")
def record(finished):
    return search.record(finished.folder)


# Help


@pytest.mark.parametrize("name", ["run", "front", "benchmark"])
def test_help_of_a_command_says_how_to_call_it(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert f"python -m search {name}" in capsys.readouterr().out


def test_help_lists_commands_and_methods(capsys):
    for arguments, texts in (
        (["--help"], ["run", "front", "benchmark", "it continues"]),
        (["run", "--help"], [*search.METHODS, "(default: 340)", "at most 100"]),
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        out = capsys.readouterr().out
        assert all(text in out for text in texts)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "COMMAND"),
        (["run"], "--directory"),
        (["run", "--directory", "d", "--trials", "few"], "invalid int value: 'few'"),
        (["run", "--directory", "d", "--exits", "5"], "invalid choice: 5"),
        (["front"], "directory"),
        (["front", "d", "--max-macs", "few"], "invalid float value: 'few'"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


# front


def test_front_gives_its_members_as_json(run, finished, record):
    points = run("front", finished.folder, "--json")
    assert [point["trial"] for point in points] == list(record.front)
    assert len(points) > 1
    for point in points:
        candidate = record.candidate(point["trial"])
        assert point["metrics"] == candidate.metrics
        for key in ("error", "average_macs"):
            assert point[key] == candidate.metrics[key]
        for key in ("thresholds", "accuracy", "utilisation"):
            assert point[key] == to_dict(candidate.evaluation)[key]


def test_front_prints_a_row_per_member(run, finished, record):
    text = run("front", finished.folder)
    volume = record.hypervolume[-1][1]
    assert f"random on digits: 4 of 5 trials, hypervolume {volume:.4f}" in text
    rows = [line.split() for line in text.splitlines()]
    for point in run("front", finished.folder, "--json"):
        (row,) = [row for row in rows if row[:1] == [point["trial"]]]
        row = " ".join(row)
        for text in (
            cards.percent(point["error"]),
            cards.million(point["average_macs"]),
            " / ".join(map(cards.percent, point["utilisation"])),
            ", ".join(f"{threshold:g}" for threshold in point["thresholds"]),
        ):
            assert text in row


def test_front_fine_gives_every_setting_on_the_front(run, finished, record):
    points = run("front", finished.folder, "--fine", "--json")
    assert points == to_dict(record.settings_front)
    assert run("front", finished.folder, "--fine").count(" M ") == len(points)


def test_front_finds_the_best_setting_within_a_budget(run, finished, record):
    fine = to_dict(record.settings_front)
    budget = fine[len(fine) // 2]["average_macs"] + 0.5
    (found,) = run("front", finished.folder, "--max-macs", budget, "--json")
    within = [point for point in fine if point["average_macs"] <= budget]
    assert found in within
    assert found["accuracy"] == max(point["accuracy"] for point in within)
    (found,) = run("front", finished.folder, "--max-macs", "1e12", "--json")
    assert found["accuracy"] == max(point["accuracy"] for point in fine)


def test_a_budget_that_nothing_meets_says_what_is_reachable(fail, finished, record):
    message = fail("front", finished.folder, "--max-macs", 1000)
    cheapest = record.settings_front[0].average_macs
    assert f"the cheapest setting needs {cheapest:,.0f}" in message


def test_front_of_a_search_that_has_just_begun_is_empty(run, fail, finished, tmp_path):
    shutil.copy(finished.folder / "search.json", tmp_path)
    assert run("front", tmp_path, "--json") == []
    assert "0 of 5 trials, hypervolume 0.0000" in run("front", tmp_path)
    assert "no operating point" in fail("front", tmp_path, "--max-macs", 1e9)


@pytest.fixture
def kept(finished, tmp_path):
    """The record of a search, without its folder."""
    return shutil.copy(finished.folder / "record.json", tmp_path / "kept.json")


def test_front_reads_a_record_as_it_reads_the_folder(run, finished, record, kept):
    for options in (
        (),
        ("--fine",),
        ("--max-macs", record.settings_front[1].average_macs),
        ("--trial", record.front[-1]),
    ):
        for form in ((), ("--json",)):
            found = run("front", kept, *options, *form)
            assert found == run("front", finished.folder, *options, *form) != []


def test_front_of_a_file_that_is_no_record(fail, finished):
    path = finished.folder / "search.json"
    message = fail("front", path)
    assert f"{path} is a record of kind 'started_search'; expected 'search'" in message


# Architecture


def test_the_architecture_of_a_member_is_written_from_just_the_record(
    run, finished, record, kept, tmp_path
):
    out, trial = tmp_path / "found.json", record.front[-1]
    (point,) = run("front", kept, "--trial", trial, "--architecture", out, "--json")
    assert run.err == f"Wrote {out}.\n"
    found = zoo.Architecture.from_json(out)
    assert found.exit_thresholds == tuple(point["thresholds"])
    oracle = finished.oracle
    trained = oracle.space.decode(oracle.genes(oracle.trials[trial]))
    assert found.stages == trained.stages
    assert found.branches == trained.branches


def test_an_architecture_has_the_exits_that_the_setting_within_a_budget_uses(
    run, record, kept, tmp_path
):
    point = max(record.settings_front, key=lambda point: len(point.thresholds))
    count = len(point.thresholds)
    assert count > 1
    thresholds = [1.0, *[0.25] * (count - 1)]
    fine = [
        dataclasses.replace(each, thresholds=thresholds) if each == point else each
        for each in record.settings_front
    ]
    records.write(kept, dataclasses.replace(record, settings_front=fine))
    out = tmp_path / "found.json"
    run("front", kept, "--max-macs", point.average_macs, "--architecture", out)
    found = zoo.Architecture.from_json(out)
    trained = record.candidate(point.trial).network
    assert found.exits == trained.exits[1:]
    assert found.exit_thresholds == tuple(thresholds[1:])
    costs = zoo.macs(trained, 10).per_exit_at(thresholds)
    assert zoo.macs(found, 10).per_exit == costs[1:]


# Export


def no_data(*_):
    raise FileNotFoundError


def test_a_member_is_exported_by_its_trial_to_a_folder_of_any_name(
    run, finished, record, tmp_path, monkeypatch
):
    name = "my modèle 1.0"
    monkeypatch.setattr(data, "load", no_data)
    trial = record.front[-1]
    points = run(
        *("front", finished.folder, "--json"),
        *("--trial", trial, "--export", tmp_path / name),
    )
    assert [point["trial"] for point in points] == [trial]
    assert f"Wrote {tmp_path / name} (no data set to measure it on)" in run.err
    model = zoo.load(tmp_path / name)
    original = record.candidate(trial)
    assert re.fullmatch("[A-Za-z0-9_.]+", model.name)  # else TensorFlow fails later
    assert model.architecture == original.network
    assert model.thresholds == original.evaluation.thresholds


def test_a_member_is_exported_by_its_budget_with_the_setting_that_meets_it(
    run, finished, record, tmp_path, monkeypatch
):
    monkeypatch.setattr(data, "load", no_data)
    settings = {c.trial: c.evaluation.thresholds for c in record.candidates}
    fine = record.settings_front
    (point, *_) = [p for p in fine if p.thresholds != settings[p.trial]]
    run(
        *("front", finished.folder, "--max-macs", point.average_macs),
        *("--export", tmp_path / "found"),
    )
    found = zoo.registry.record(tmp_path / "found")
    assert tuple(found.config["thresholds"]) == point.thresholds


@pytest.mark.parametrize("option", ["--export", "--architecture"])
def test_writing_asks_which_member(fail, finished, tmp_path, option):
    message = fail("front", finished.folder, option, tmp_path / "found")
    assert "Say which member to write: --max-macs N, --max METRIC N or" in message
    assert not (tmp_path / "found").exists()


def test_a_member_is_not_exported_from_just_a_record(fail, record, kept, tmp_path):
    options = ("--trial", record.front[0], "--export", tmp_path / "found")
    assert f"{kept} holds no search" in fail("front", kept, *options)
    assert not (tmp_path / "found").exists()


def test_a_member_without_weights_is_not_exported(fail, finished, record, tmp_path):
    candidates = {c.trial for c in record.candidates}
    front = {*record.front, *(p.trial for p in record.settings_front)}
    trial = min(candidates - front)
    out = tmp_path / "found"
    message = fail("front", finished.folder, "--trial", trial, "--export", out)
    assert "has no weights" in message
    assert not out.exists()


@pytest.mark.parametrize("trial", ["2", "77", "x"])
def test_a_trial_that_was_not_trained_is_named_with_those_that_were(
    fail, finished, trial
):
    message = fail("front", finished.folder, "--trial", trial)
    assert f"no trained trial '{trial}'; there are 0, 1, 3, 4" in message


def test_front_of_a_folder_without_a_search(fail, tmp_path):
    message = fail("front", tmp_path)
    assert f"{tmp_path} holds no search" in message


# run


def test_run_searches_and_shows_the_progress(run, tmp_path, guessing, few_digits):
    folder = tmp_path / "s"
    out = run("run", "--directory", folder, *BRIEF, "--trials", 2)
    assert out == f"Done. python -m search front {folder}\n"
    first, second = run.err.strip().splitlines()
    assert first.startswith("1/2 trials, front 1, hypervolume 0.")
    assert second.startswith("2/2 trials, front ")
    assert second.endswith(", 0 min left")
    best = min(
        (c.metrics for c in search.record(folder).candidates), key=lambda m: m["error"]
    )
    assert f", best {cards.percent(best['error'])} error at " in second
    trials = {p.parent.name: p for p in folder.glob(f"trial_*/{CANDIDATE}")}
    assert set(trials) == {"trial_0", "trial_1"}
    for member in run("front", folder, "--json"):
        assert load_candidate(folder / f"trial_{member['trial']}").num_exits


def test_a_finished_search_says_so_when_run_again(run, tmp_path, fake):
    arguments = ("run", "--directory", tmp_path, *BRIEF, "--trials", 2)
    said = run(*arguments)
    assert said.startswith("Done. python -m search front") and run.err
    assert run(*arguments) == said
    assert run.err == ""


def test_progress_counts_failures_and_renews_its_line_on_a_terminal(
    run, tmp_path, fake, monkeypatch, capsys
):
    train = search.EarlyExitTuner.train

    def fail_once(self, architecture, trial):
        if trial == "1":
            raise ValueError("no")
        return train(self, architecture, trial)

    monkeypatch.setattr(search.EarlyExitTuner, "train", fail_once)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run("run", "--directory", tmp_path, *BRIEF, "--trials", 3)
    _, *lines = run.err.split("\r\x1b[K")
    assert [line.split(" ")[0] for line in lines] == ["1/3", "2/3", "3/3"]
    assert [line.strip().endswith(", 1 failed") for line in lines] == [0, 1, 1]
    assert run.err.endswith("\n")


def test_progress_with_a_target_shows_the_best_score(run, tmp_path, fake):
    target = 3e6
    run("run", "--directory", tmp_path, *BRIEF, "--trials", 3, "--target-macs", target)
    scores = [
        100 * (1 - c.metrics["error"])
        - 0.1 * abs(c.metrics["average_macs"] - target) / target * 100
        for c in search.record(tmp_path).candidates
    ]
    last = run.err.strip().splitlines()[-1]
    assert f"best score {max(scores):.2f} (" in last and " M MACs)" in last


def test_run_refuses_a_folder_of_another_search(fail, finished):
    message = fail("run", "--directory", finished.folder, *BRIEF, "--seed", 3)
    assert "holds a search that differs in --seed" in message
    options = ("--epochs", 9, "--train-batch-size", 9, "--max", "parameters", 9)
    message = fail("run", "--directory", finished.folder, *options, "--exits", 1)
    for each in ("--epochs", "--train-batch-size", "--max or --min parameters"):
        assert each in message
    assert "--exits" in message and "recipe_changes" not in message


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--trials", "0"], "run: --trials is 0"),
        (["--train-batch-size", "0"], "--train-batch-size is 0"),
        (["--max", "latency_ms", "1"], "only with a --latency-batch-size"),
        (["--method", "grid"], "no method 'grid'; choose from aebnas, edanas"),
        (["--load", "nowhere.py"], "There is no file nowhere.py to load"),
        (["--objectives", "eror"], "Did you mean 'error'"),
        (["--data", "digit"], "Did you mean 'digits'"),
        (["--resolutions", "33"], "resolutions holds 33; expected 32, 36"),
        (["--epochs", "0"], "--epochs is 0"),
        (["--max", "parameters", "few"], "--max has 'few'; expected a number"),
        (["--target-macs", "-1"], "--target-macs is -1.0; expected more than 0"),
        (["--initial-weights", "aebnas_digit"], "Did you mean 'aebnas_digits'"),
    ],
    ids=" ".join,
)
def test_a_wrong_value_is_named(fail, tmp_path, fake, arguments, message):
    assert message in fail("run", "--directory", tmp_path / "s", *arguments)


def test_too_many_failures_end_with_the_reason(capsys, tmp_path, fake, monkeypatch):
    def train(*_):
        raise FloatingPointError("The loss became nan in epoch 1.")

    monkeypatch.setattr(search.EarlyExitTuner, "train", train)
    assert main(["run", "--directory", str(tmp_path), *BRIEF, "--trials", "30"]) == 1
    *lines, last = capsys.readouterr().err.strip().splitlines()
    progress = [line for line in lines if "/30 trials, front 0" in line]
    assert progress[-1].endswith(", 10 failed") and len(progress) == 10
    assert last.startswith("search run: 10 trials in a row failed")
    assert last.endswith("FloatingPointError: The loss became nan in epoch 1.")


def test_an_interruption_says_how_to_go_on(capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run", interrupt)
    assert main(["run", "--directory", "d"]) == 130
    assert "interrupted; repeat the command to continue" in capsys.readouterr().err


OPTIONS = {
    "": {},
    "--data cifar10 --method nachos --trials 9 --target-macs 2e6": {
        **{"data": "cifar10", "method": "nachos", "trials": 9, "target_macs": 2e6},
    },
    "--target-macs 2.44e6 --convention aebnas --seed 0": {
        **{"target_macs": 2.44e6, "convention": "aebnas", "seed": 0},
    },
    "--initial-trials 5 --batch-size 4 --surrogate mlp": {
        **{"initial_trials": 5, "batch_size": 4, "surrogate": "mlp"},
    },
    "--population 6 --generations 7 --latency-batch-size 2": {
        **{"population": 6, "generations": 7, "latency_batch_size": 2},
    },
    "--objectives error latency_ms --latency-batch-size 1": {
        **{"objectives": ("error", "latency_ms"), "latency_batch_size": 1},
    },
    "--objectives error latency_ms --runtime litert --quantization dynamic": {
        **{"objectives": ("error", "latency_ms"), "latency_batch_size": 1},
        **{"runtime": "litert", "quantization": "dynamic"},
    },
    "--objectives error latency_ms --latency-table t.json": {
        **{"objectives": ("error", "latency_ms"), "latency_table": "t.json"},
    },
    "--max parameters 3e6 --max final_error 0.5": {
        "constraints": {"parameters": (None, 3e6), "final_error": (None, 0.5)},
    },
    "--resolutions 32 40 --exits 1 3": {
        "space": {"resolutions": [32, 40], "exits": [0, 2]},
    },
    "--exits": {"space": {"exits": []}},
    "--recipe paper --epochs 3 --learning-rate 0.1 --train-batch-size 8": {
        "recipe": "paper",
        "recipe_changes": {"epochs": 3, "learning_rate": 0.1, "batch_size": 8},
    },
    "--min final_error 0.1 --max final_error 0.5": {
        "constraints": {"final_error": (0.1, 0.5)},
    },
    "--train-images 64 --initial-weights aebnas_digits": {
        **{"train_images": 64, "initial_weights": "aebnas_digits"},
    },
}


@pytest.mark.parametrize("options, expected", OPTIONS.items(), ids=OPTIONS)
def test_options_become_settings(options, expected, run, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        running, "run", lambda *given, **named: calls.append((*given, named))
    )
    folder = tmp_path / "s"
    run("run", "--directory", folder, "--data-dir", tmp_path, *options.split())
    ((settings, where, named),) = calls
    assert settings == Settings(**expected)
    assert (where, named["data_dir"]) == (folder, str(tmp_path))


def test_the_data_may_be_a_folder_of_pictures(capsys, tmp_path, monkeypatch):
    loaded = []

    def oracle(settings):
        raise ValueError(f"That is all about {settings.data}.")

    load = running.data.load
    monkeypatch.setattr(
        running.data, "load", lambda *a, **b: loaded.append(load(*a, **b)) or loaded[-1]
    )
    monkeypatch.setattr(running.build, "oracle", oracle)
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2", "b/3"):
        (tmp_path / "my pets" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "my pets" / f"{name}.png")
    options = ("--data", tmp_path / "my pets", "--size", 40, "--no-flip")
    arguments = ("run", "--directory", tmp_path / "s", *options)
    assert main([str(argument) for argument in arguments]) == 1
    (dataset,) = loaded
    assert capsys.readouterr().err == "search run: That is all about my pets.\n"
    assert dataset.train.images.shape == (2, 40, 40, 3) and not dataset.flip


def test_workers_run_the_same_command(monkeypatch):
    launched, ran = [], []
    monkeypatch.setattr(launch, "launch", lambda *call: launched.append(call) or 3)
    monkeypatch.setattr(running, "run", lambda *call, **_: ran.append(call))
    arguments = ["run", "--directory", "d", *BRIEF, "--workers", "2"]
    monkeypatch.setattr(sys, "argv", ["search", *arguments])
    assert main(arguments) == 3
    assert launched == [([sys.executable, "-m", "search", *arguments], 2)]
    assert not ran
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    assert main(arguments) == 0
    assert len(launched) == len(ran) == 1


def test_less_than_one_worker_is_refused(fail):
    assert "--workers is 0" in fail("run", "--directory", "d", "--workers", 0)


# benchmark


def test_benchmark_times_an_iteration_with_each_surrogate(run):
    found = run("benchmark", "--trials", 6, "--json")
    assert [each["surrogate"] for each in found] == ["mlp", "adaptive"]
    assert all(each["trials"] == 6 and each["seconds"] > 0 for each in found)


# Metrics and methods of the user's own

OBJECTIVE = """
from search import metrics

metrics.register(
    metrics.Metric(
        "worst_class",
        "max",
        lambda m: min((m.answers[m.labels == c] == c).mean() for c in m.classes),
        "accuracy of the worst class, 0..1",
    )
)
"""
METHOD = """
import numpy as np
from search import methods


class Mutations:
    def __init__(self, space):
        self.space = space

    def propose(self, trials, rng, known):
        best = min(trials, key=lambda trial: trial.metrics["error"])
        children = np.tile(best.genes, (8, 1))
        some = rng.random(children.shape) < 0.1
        children[some] = rng.integers(np.tile(self.space.counts, (8, 1)))[some]
        return children


methods.register(
    methods.Method(
        "mutations",
        "changes a tenth of the best candidate's genes",
        lambda settings, space: Mutations(space),
    )
)
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """A function: writes a file outside the package; gives the option that loads it."""
    monkeypatch.setattr(metrics, "METRICS", dict(metrics.METRICS))
    monkeypatch.setattr(methods, "METHODS", dict(methods.METHODS))

    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(text, encoding="utf-8")
        return "--load", path

    return write


def test_an_objective_from_a_file_is_maximised(
    run, fail, load, tmp_path, guessing, few_digits
):
    loaded, folder = load(OBJECTIVE), tmp_path / "s"
    run(
        *("run", "--directory", folder, *BRIEF, "--trials", 3, *loaded),
        *("--objectives", "worst_class", "average_macs"),
    )
    found = search.record(folder)
    points = {
        c.trial: (-c.metrics["worst_class"], c.metrics["average_macs"])
        for c in found.candidates
    }
    front = {
        trial
        for trial, (a, b) in points.items()
        if not any(x <= a and y <= b and (x, y) != (a, b) for x, y in points.values())
    }
    assert len(points) == 3 and set(found.front) == front
    assert all(0 <= -worst <= 1 for worst, _ in points.values())
    table = run("front", folder)
    assert "worst_class" in table
    worst = -points[found.front[0]][0]
    assert f" {worst:.4g} " in table

    metrics.METRICS.pop("worst_class")
    assert "no metric 'worst_class'" in fail("front", folder)


def test_a_method_from_a_file_proposes(run, load, tmp_path, fake):
    folder = tmp_path / "s"
    options = "--trials 9 --initial-trials 4 --resolutions 32 --train-images 64".split()
    run("run", "--directory", folder, "--method", "mutations", *options, *load(METHOD))
    _, oracle = search.read(folder)
    genes = [oracle.genes(trial) for trial in oracle.trials.values()]
    assert len({tuple(each) for each in genes}) == 9
    first = oracle.completed_trials()[:4]
    best = min(first, key=lambda trial: oracle.values(trial)["error"])
    changed = [np.mean(each != oracle.genes(best)) for each in genes[4:]]
    assert max(changed) < 0.25 < np.mean(genes[0] != genes[1])


@pytest.mark.parametrize(
    "text, message",
    [
        ("1 / 0", "mine.py cannot be loaded: ZeroDivisionError: division by zero"),
        (OBJECTIVE.replace("worst_class", "error"), "already a metric 'error'"),
        (METHOD.replace("mutations", "random"), "already a method 'random'"),
        (OBJECTIVE.replace('"max"', '"up"'), "worst_class is 'up'; expected min, max"),
    ],
    ids=["broken", "metric", "method", "direction"],
)
def test_a_file_that_cannot_be_loaded_says_why(fail, load, tmp_path, text, message):
    assert message in fail("run", "--directory", tmp_path / "s", *load(text))
    assert not (tmp_path / "s").exists()


def test_a_proposer_that_fails_ends_the_search_with_its_reason(
    load, tmp_path, fake, capsys
):
    broken = load(METHOD.replace("best = min(", "best = mim("))
    options = "--trials 9 --initial-trials 2 --resolutions 32 --train-images 64".split()
    arguments = ("--method", "mutations", *options, *broken)
    command = ["run", "--directory", tmp_path / "s", *arguments]
    assert main([str(argument) for argument in command]) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "The proposer failed: name 'mim' is not defined" in last
    assert len(search.read(tmp_path / "s")[1].completed_trials()) == 2


@pytest.fixture
def timed(record, kept):
    """Candidates of a record have a latency; what it is, by trial."""
    latencies = {c.trial: 1.5 + int(c.trial) for c in record.candidates}
    measured = tuple(
        dataclasses.replace(c, metrics=c.metrics | {"latency_ms": latencies[c.trial]})
        for c in record.candidates
    )
    records.write(kept, dataclasses.replace(record, candidates=measured))
    return latencies


def test_what_has_a_latency_shows_it(run, record, kept, timed):
    table = run("front", kept)
    assert "latency_ms" in table
    for trial in record.front:
        assert f" {timed[trial]:g} " in table


def test_a_member_is_chosen_by_its_latency(run, fail, record, kept, timed):
    errors = {t: record.candidate(t).metrics["error"] for t in record.front}
    for limit in (timed[trial] for trial in record.front):
        (found,) = run("front", kept, "--max", "latency_ms", limit, "--json")
        within = [error for t, error in errors.items() if timed[t] <= limit]
        assert found["error"] == min(within)
        assert found["metrics"]["latency_ms"] == timed[found["trial"]]
    least = min(timed[trial] for trial in record.front)
    message = fail("front", kept, "--max", "latency_ms", 0.1)
    assert (
        f"No member has at most 0.1 of latency_ms; the least is {least:g}." in message
    )
    assert "Did you mean 'latency_ms'" in fail("front", kept, "--max", "latency", 1)
    assert "expected a number" in fail("front", kept, "--max", "latency_ms", "x")


def test_progress_tells_the_best_value_of_another_objective(capsys):
    class Oracle:
        objectives = search.Objectives(("error", "latency_ms"))
        end_order = ["0"]
        hypervolume_history = pareto_trials = list
        completed_trials = is_feasible = lambda self, trial=None: ["0"]

        def values(self, trial):
            return {"error": 0.25, "average_macs": 2e6, "latency_ms": 0.125}

    progress.Progress(1)(Oracle(), "0")
    told = capsys.readouterr().err
    assert "best 25.00 % error at 2.000 M MACs, latency_ms 0.125, " in told


def test_the_time_left_is_that_of_the_latest_trials(monkeypatch, capsys):
    """The first trial took ten times as long: it computed what all of them use."""
    moments = iter([0, 600, 660, 720, 780])
    clock = types.SimpleNamespace(monotonic=lambda: next(moments))
    monkeypatch.setattr(progress, "time", clock)
    oracle = types.SimpleNamespace(
        objectives=search.Objectives(("error",)),
        end_order=[],
        **dict.fromkeys(("hypervolume_history", "pareto_trials"), list),
        completed_trials=list,
        is_feasible=bool,
    )
    show = progress.Progress(10)
    for trial in "0123":
        oracle.end_order.append(trial)
        show(oracle, trial)
    left = re.findall(r"(\d+) min left", capsys.readouterr().err)
    assert left == ["90", "8", "7", "6"]


# Starting quickly

PROBE = """
import contextlib, sys
import search.__main__
for arguments in ["--help"], ["run", "--help"], ["--version"]:
    with contextlib.suppress(SystemExit):
        search.__main__.main(arguments)
    heavy = {"keras_tuner", "pymoo"} & set(sys.modules)
    assert not heavy, (heavy, arguments)
"""


def test_help_and_version_import_no_search_library():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_the_extra_one_line_says_what_to_install(tmp_path):
    text = """
import sys
import types
sys.modules["keras_tuner"] = sys.modules["pymoo"] = None
from search.__main__ import main
sys.exit(main(["run", "--directory", sys.argv[1]]))
"""
    command = [sys.executable, "-c", text, tmp_path / "s"]
    environment = os.environ | {"KERAS_BACKEND": "jax"}  # it starts faster
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == search.NEEDS
    assert "Traceback" not in done.stderr
