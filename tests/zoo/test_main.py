import argparse
import dataclasses
import functools
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import zoo
from zoo import benchmark, cards, data, exits, measure, pipeline, records, registry
from zoo.__main__ import commands, main
from zoo.commands import options as shared
from zoo.commands import train
from zoo.speeds import BenchmarkRecord

MODEL = "aebnas_digits"


@pytest.fixture(scope="module", autouse=True)
def every_model_is_built_once_and_asked_once():
    load, answers, predict = functools.cache(registry.load), {}, measure.predict

    def load_once(name, num_classes=None):
        model = load(name)
        if num_classes is not None:
            return model.with_new_classifiers(num_classes)
        if not registry.is_keras_file(name):
            model.thresholds = registry.record(name).config["thresholds"]
        return model

    def predict_once(model, images):
        if model is not load(MODEL):
            return predict(model, images)
        key = images.tobytes()
        if key not in answers:
            answers[key] = predict(model, images)
        return answers[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "load", load_once)  # first: it is taken from the registry
        patch.setattr(registry, "load", load_once)
        patch.setattr(measure, "predict", predict_once)
        patch.setattr(benchmark, "compiled", functools.cache(benchmark.compiled))
        yield


@pytest.fixture(scope="module")
def record():
    return registry.record(MODEL)


@pytest.fixture(scope="module")
def test(record):
    """What the record says of the test split."""
    return record.results["test"]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits").test


@pytest.fixture
def run(capsys):
    """Run a command that succeeds; returns what it prints, parsed if it is JSON."""

    def call(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert (code, err) == (0, "")
        return json.loads(out) if "--json" in arguments else out

    return call


@pytest.fixture
def fail(capsys):
    """Run a command that fails; returns its message."""

    def call(*arguments):
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 1
        out, err = capsys.readouterr()
        assert out == "" or out.startswith("Training on")
        assert err.startswith(f"zoo {arguments[0]}: ")
        return err

    return call


def folder(path):
    """The folder, made."""
    path.mkdir()
    return path


def plain(points):
    """Operating points as JSON shows them."""
    return [
        {k: v for k, v in records.to_dict(point).items() if k != "score"}
        for point in points
    ]


# Help

HELP = {
    "list": "List the pretrained models",
    "show": "results, data, training",
    "pareto": "the best settings of all models of a data set",
    "evaluate": "Measure accuracy, share and MACs of every exit",
    "predict": "Classify picture files",
    "frontier": "the accuracy at each average cost",
    "train": "Train a network",
    "benchmark": "Time skipping against the full network",
}


@pytest.mark.parametrize("command, text", HELP.items())
def test_help_of_a_command_says_what_it_does(capsys, command, text):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert f"python -m zoo {command}" in out
    assert text in out


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(text in " ".join(out.split()) for text in (*HELP, *HELP.values()))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "COMMAND"),
        (["classify"], "invalid choice: 'classify'"),
        (["show"], "MODEL"),
        (["pareto"], "DATA"),
        (["pareto", "digits", "--convention", "paper"], "invalid choice: 'paper'"),
        (["evaluate", MODEL, "--split", "all"], "invalid choice: 'all'"),
        (["evaluate", MODEL, "--max-macs", "few"], "invalid float value: 'few'"),
        (
            ["evaluate", MODEL, "--max-macs", "1e6", "--thresholds", "1,1"],
            "not allowed with argument",
        ),
        (["train", "--out", "x"], "one of the arguments --architecture --initial"),
    ],
)
def test_wrong_usage_exits_with_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


WITHOUT_KERAS = [
    ["--version"],
    ["train", "--help"],
    ["list"],
    ["show", MODEL],
    ["frontier", MODEL],
    ["pareto", "digits"],
    ["show", "no such model"],
]


def test_what_runs_no_model_takes_no_keras():
    code = f"""
import contextlib, sys
from zoo.__main__ import main
for arguments in {WITHOUT_KERAS}:
    with contextlib.suppress(SystemExit):
        main(arguments)
    for name in ("keras", "tensorflow", "jax", "torch"):
        assert name not in sys.modules, (name, arguments)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_prints_its_result_and_nothing_else():
    variables = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "evaluate", MODEL, "--split", "validation"],
        env=variables,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{MODEL} on the validation split of digits\n")


# list and show


def test_list_gives_the_recorded_numbers(run, record, test):
    (found,) = run("list", MODEL, "--json")
    assert found == {
        "name": MODEL,
        "data": "digits",
        "accuracy": test.accuracy,
        "average_macs": test.average_macs,
        "parameters": record.weights.parameters,
        "bytes": record.weights.bytes,
    }
    text = run("list", MODEL)
    assert MODEL in text
    assert cards.percent(found["accuracy"]) in text
    assert cards.million(found["average_macs"]["standard"]) in text


def test_list_gives_all_models_or_those_of_a_pattern(run):
    assert [model["name"] for model in run("list", "--json")] == zoo.list_models()
    assert run("list", "no such*", "--json") == []


def test_list_shows_models_of_which_nothing_was_measured(
    run, record, tmp_path, monkeypatch
):
    bare = dataclasses.replace(record, name="bare", data=None, results=None)
    records.write(folder(tmp_path / "bare") / "config.json", bare)
    monkeypatch.setattr(registry, "PRETRAINED", tmp_path)
    (found,) = run("list", "--json")
    assert (found["data"], found["accuracy"], found["average_macs"]) == (None,) * 3
    (line,) = [line for line in run("list").splitlines() if "bare" in line]
    assert line.split()[1:4] == ["–"] * 3


def test_show_gives_the_card_or_the_record(run, record, test):
    assert run("show", MODEL, "--json") == records.to_dict(record)
    text = run("show", MODEL)
    assert MODEL in text
    assert record.data.fingerprint in text
    assert cards.percent(test.accuracy) in text


# pareto


@pytest.fixture
def offered(record, tmp_path, monkeypatch):
    """Settings of two models in turn, each more accurate and dearer than the last."""
    points = [
        exits.OperatingPoint(
            thresholds=(0.5, 0.5),
            accuracy=0.5 + i / 100,
            average_macs=0,  # not looked at
            utilisation=(1 - i / 39, 0, i / 39),
        )
        for i in range(40)
    ]
    for i, name in enumerate(("even", "odd")):
        one = dataclasses.replace(record, name=name, frontier=tuple(points[i::2]))
        records.write(folder(tmp_path / name) / "config.json", one)
    monkeypatch.setattr(registry, "PRETRAINED", tmp_path)
    return points


@pytest.mark.parametrize("convention", zoo.cost.CONVENTIONS)
def test_pareto_gives_the_settings_of_all_models(run, record, offered, convention):
    costs = zoo.macs(record.architecture, 10, convention).per_exit
    command = ("pareto", "digits", "--convention", convention, "--json")
    found = run(*command)
    assert len(found) == 40
    for i, (point, offer) in enumerate(zip(found, offered)):
        macs = pytest.approx(np.dot(offer.utilisation, costs))
        (expected,) = plain([offer])
        assert point == expected | {
            "model": ("even", "odd")[i % 2],
            "average_macs": macs,
        }
    assert run(*command, "--max-macs", found[25]["average_macs"] + 1) == [found[25]]


def test_pareto_prints_a_row_per_setting_and_few_unless_all_are_asked_for(run, offered):
    few, everything = run("pareto", "digits"), run("pareto", "digits", "--all")
    assert "16 of 40 settings (standard MACs)" in few
    assert few.count(" M ") == 16
    assert "40 of 40 settings" in everything
    points = registry.pareto("digits")
    lines = [line for line in everything.splitlines() if " M " in line]
    for point, row, line in zip(
        points, cards.frontier_rows(points), lines, strict=True
    ):
        assert line.split()[0] == point.model
        assert all(cell in line for cell in row)
    for i in (0, -1):
        assert lines[i] in few
    (macs, *_), *_ = cards.frontier_rows(points[5:])
    best = run("pareto", "digits", "--max-macs", points[5].average_macs + 1)
    assert "1 of 40 settings" in best
    assert best.count(" M ") == best.count(macs) == 1


# evaluate


@pytest.mark.parametrize("split", ["test", "validation"])
def test_evaluate_agrees_with_the_record(run, record, split):
    found = run("evaluate", MODEL, "--split", split, "--json")
    assert (found["model"], found["data"], found["split"]) == (MODEL, "digits", split)
    assert found["fingerprint"] == record.data.fingerprint
    expected = records.to_dict(record.results[split])
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-6)
    assert found["average_macs"] == pytest.approx(expected["average_macs"])
    assert set(found["average_macs"]) == {"standard", "aebnas"}
    for key in ("thresholds", "utilisation", "exit_accuracy", "samples"):
        assert found[key] == pytest.approx(expected[key])
    assert found["macs"] == expected["macs"]


def test_evaluate_measures_the_confidence_of_exits_and_what_they_gain(run, digits):
    model = registry.load(MODEL)
    found = run("evaluate", MODEL, "--json")
    logits = model.predict(digits.images, batch_size=256, verbose=0)
    answers = logits, digits.labels
    evaluation = exits.evaluate(*answers, model.macs, model.thresholds)
    expected = {
        "calibration_error": exits.calibration_error(*answers),
        "failure_auroc": exits.failure_auroc(*answers),
        "oracle_accuracy": exits.oracle_accuracy(*answers),
        "gain_over_single_exits": exits.gain_over_single_exits(evaluation, model.macs),
    }
    assert {key: found[key] for key in expected} == {
        key: pytest.approx(value) for key, value in expected.items()
    }
    assert max(found["accuracy"], *found["exit_accuracy"]) <= found["oracle_accuracy"]
    (row,) = [line for line in run("evaluate", MODEL).splitlines() if "final" in line]
    ece, area = found["calibration_error"][-1], found["failure_auroc"][-1]
    assert row.split()[-3:] == [*cards.percent(ece).split(), f"{area:.3f}"]


def test_evaluate_prints_every_exit_and_a_summary(run, record, test):
    text = run("evaluate", MODEL)
    for row in cards.exit_rows(record.exit_names, test):
        assert all(cell in text for cell in row)
    assert cards.summary(test) in text


def test_evaluate_updates_a_record(run, record, fail, monkeypatch):
    updated = []

    def update(name, dataset):
        updated.append((name, dataset.name))
        return record

    monkeypatch.setattr(registry, "update", update)
    found = run("evaluate", MODEL, "--update", "--split", "validation", "--json")
    assert updated == [(MODEL, "digits")]
    assert found["accuracy"] == record.results["validation"].accuracy
    for options in (["--split", "train"], ["--thresholds", "1,1"], ["--max-macs", 1e6]):
        assert "at the model's own thresholds; leave out" in fail(
            "evaluate", MODEL, "--update", *options
        )
    assert len(updated) == 1


def test_evaluate_takes_thresholds(run, record):
    found = run("evaluate", MODEL, "--thresholds", "1,1", "--json")
    assert found["utilisation"] == [0, 0, 1]
    assert found["thresholds"] == [1, 1]
    assert found["accuracy"] == found["exit_accuracy"][-1]
    assert found["average_macs"]["standard"] == found["macs"]["standard"][-1]
    assert "off" in run("evaluate", MODEL, "--thresholds", "1,1")
    expected = list(record.config["thresholds"])
    assert run("evaluate", MODEL, "--json")["thresholds"] == expected


def test_evaluate_tunes_thresholds_for_a_target_by_the_score_of_the_paper(run):
    model, split = registry.load(MODEL), data.load("digits").validation
    logits = model.predict(split.images, batch_size=256, verbose=0)
    best = exits.tune_thresholds(logits, split.labels, model.macs, target_macs=9e5)
    found = run("evaluate", MODEL, "--target-macs", "9e5", "--json")
    assert found["thresholds"] == list(best.thresholds)


@pytest.mark.parametrize("convention", ["standard", "aebnas"])
def test_evaluate_chooses_thresholds_for_a_budget(run, record, convention):
    cost = record.cost(convention)
    budget = 1.1 * cost.per_exit[0]
    found = run(
        *("evaluate", MODEL, "--split", "validation", "--json"),
        *("--max-macs", budget, "--convention", convention),
    )
    assert cost.per_exit[0] <= found["average_macs"][convention] <= budget
    points = [exits.recount(p, cost) for p in registry.load(MODEL).frontier]
    best = max(p.accuracy for p in points if p.average_macs <= budget)
    assert found["accuracy"] >= best - 1e-6


# predict


@pytest.fixture
def pictures(tmp_path, digits):
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path, image in zip(paths, digits.images):
        keras.utils.save_img(path, image, scale=False)
    return paths


def test_predict_agrees_with_predict_early(run, pictures, digits, record):
    found = run("predict", MODEL, *pictures, "--json")
    model = registry.load(MODEL)
    expected = model.predict_early(digits.images[:6])
    assert [answer["file"] for answer in found] == [*map(str, pictures)]
    names = record.exit_names
    costs = model.macs.per_exit_with([t < 1 for t in model.thresholds])
    for i, answer in enumerate(found):
        label, leaving = expected.labels[i], expected.exits[i]
        assert (answer["label"], answer["class"]) == (label, str(label))
        assert (answer["exit"], answer["macs"]) == (names[leaving], costs[leaving])
        assert answer["probability"] == pytest.approx(
            expected.probabilities[i, label], rel=1e-3
        )
        assert answer["confidence"] == pytest.approx(expected.confidences[i], rel=1e-3)


def test_predict_prints_one_line_per_picture(run, pictures):
    answers = run("predict", MODEL, *pictures, "--json")
    text = run("predict", MODEL, *pictures)
    for answer in answers:
        (line,) = [line for line in text.splitlines() if answer["file"] in line]
        assert answer["exit"] in line
        assert cards.percent(answer["probability"]) in line


def test_predict_takes_grey_and_transparent_pictures(run, pictures, digits):
    grey = digits.images[0][..., :1]
    keras.utils.save_img(pictures[1], grey, scale=False)
    opaque = np.concatenate([digits.images[0], np.full_like(grey, 255)], axis=-1)
    keras.utils.save_img(pictures[2], opaque, scale=False)
    colour, *others = run("predict", MODEL, *pictures[:3], "--json")
    for other in others:
        assert other | {"file": colour["file"]} == colour


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "missing"])
def test_predict_names_a_picture_that_it_cannot_read(fail, pictures, kind):
    good, broken, *_ = pictures
    whole = broken.read_bytes()
    broken.unlink()
    if kind != "missing":
        broken.write_bytes(
            {"text": b"not a picture", "empty": b"", "cut": whole[: len(whole) // 2]}[
                kind
            ]
        )
    assert f"{broken} cannot be read as a picture" in fail("predict", MODEL, broken)


def test_predict_answers_for_the_others_if_a_picture_cannot_be_read(
    capsys, run, pictures
):
    good, broken, other, *_ = pictures
    expected = run("predict", MODEL, good, other, "--json")
    broken.write_bytes(b"not a picture")
    command = [*map(str, ("predict", MODEL, good, broken, other, "missing.png"))]
    assert main([*command, "--json"]) == 1
    out, err = capsys.readouterr()
    *answers, first, second = json.loads(out)
    assert answers == expected
    assert (first["file"], second["file"]) == (str(broken), "missing.png")
    assert err.splitlines() == [
        f"zoo predict: {each['error']}" for each in (first, second)
    ]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert (str(good) in out, str(other) in out, str(broken) in out) == (1, 1, 0)
    assert str(broken) in err


def test_predict_takes_folders(run, fail, pictures, tmp_path):
    (tmp_path / "empty folder").mkdir()
    (tmp_path / "notes.txt").write_text("none")
    found = run("predict", MODEL, tmp_path, "--json")
    assert found == run("predict", MODEL, *pictures, "--json")
    message = fail("predict", MODEL, tmp_path / "empty folder")
    assert "empty folder holds no picture" in message


def test_predict_names_the_likeliest_classes(run, fail, pictures, digits):
    (answer,) = run("predict", MODEL, pictures[0], "--top", 3, "--json")
    (plain,) = run("predict", MODEL, pictures[0], "--json")
    top = answer.pop("top")
    assert answer == plain
    assert top[0].items() <= answer.items()
    (expected,) = registry.load(MODEL).predict_early(digits.images[:1]).probabilities
    assert [each["label"] for each in top] == np.argsort(-expected)[:3].tolist()
    found = [each["probability"] for each in top]
    assert found == pytest.approx(sorted(expected)[::-1][:3], rel=1e-3)
    text = run("predict", MODEL, pictures[0], "--top", 3)
    assert f"{top[2]['class']} {cards.percent(top[2]['probability'])}" in text
    (every,) = run("predict", MODEL, pictures[0], "--top", 99, "--json")
    assert len(every["top"]) == 10
    assert "--top is 0; expected 1 or more" in fail("predict", MODEL, "a", "--top", 0)


def test_predict_uses_the_thresholds_that_it_is_given(run, fail, pictures, record):
    (last,) = run("predict", MODEL, pictures[0], "--thresholds", "1,1", "--json")
    assert (last["exit"], last["macs"]) == ("final", record.macs.backbone[-1])
    message = fail("predict", MODEL, pictures[0], "--max-macs", 1000)
    assert "1,000 average MACs cannot be reached" in message


def test_predict_chooses_thresholds_on_the_stored_frontier(adjustable):
    cheap = exits.OperatingPoint((0.1, 0.1), 0.7, 1e4, (1, 0, 0))
    dear = exits.OperatingPoint((0.9, 0.9), 0.8, 1e5, (0, 0, 1))
    budget = adjustable.macs.per_exit[0]
    given = {"model": "m", "thresholds": None, "convention": "standard"}
    options = argparse.Namespace(**given, max_macs=budget)
    with pytest.raises(ValueError, match="m has no stored frontier"):
        shared.stored_thresholds(adjustable, options)
    adjustable.frontier = (cheap, dear)
    shared.stored_thresholds(adjustable, options)
    assert adjustable.thresholds == cheap.thresholds
    options = argparse.Namespace(**given, max_macs=1e9)
    shared.stored_thresholds(adjustable, options)
    assert adjustable.thresholds == dear.thresholds


# frontier


def test_frontier_gives_the_stored_settings(run, record):
    assert run("frontier", MODEL, "--json") == plain(record.frontier)
    text, count = run("frontier", MODEL), len(record.frontier)
    assert f"{count} of {count} settings" in text
    for row in cards.frontier_rows(record.frontier):
        assert all(cell in text for cell in row)


def test_frontier_measured_again_is_the_stored_one(run, record):
    found = run("frontier", MODEL, "--data", "digits", "--json")
    for point, stored in zip(found, plain(record.frontier), strict=True):
        assert point == {key: pytest.approx(value) for key, value in stored.items()}


def test_a_long_frontier_is_thinned_unless_all_is_asked_for(run, record, tmp_path):
    points = tuple(
        dataclasses.replace(record.frontier[0], average_macs=1e6 + 1000 * i)
        for i in range(40)
    )
    long = dataclasses.replace(record, frontier=points)
    records.write(tmp_path / "config.json", long)
    few, everything = run("frontier", tmp_path), run("frontier", tmp_path, "--all")
    assert "16 of 40 settings" in few
    assert few.count(" M ") == 16
    assert everything.count(" M ") == 40
    assert all("1.000 M" in text and "1.039 M" in text for text in (few, everything))
    assert len(run("frontier", tmp_path, "--json")) == 40


# benchmark


@pytest.mark.compiled
def test_benchmark_times_each_batch_size_and_writes_a_record(
    run, fail, record, test, tmp_path
):
    out = tmp_path / "new" / "record.json"
    options = ("--images", 8, "--batch-sizes", 1, 8, "--out", out)
    found = run("benchmark", MODEL, *options, "--json")
    assert [speed["batch_size"] for speed in found] == [1, 8]
    macs = test.macs["standard"]
    for speed in found:
        assert speed["full_milliseconds"] == 1000 / speed["full_images_per_second"]
        assert speed["early_milliseconds"] == 1000 / speed["early_images_per_second"]
        assert speed["images"] == 8
        assert all(value > 0 for value in speed.values())
        assert 1 <= speed["macs_ratio"] <= macs[-1] / macs[0]
    assert found[0]["macs_ratio"] == pytest.approx(found[1]["macs_ratio"])

    written = records.read(out, BenchmarkRecord)
    for speed, shown in zip(written.speeds, found, strict=True):
        assert dataclasses.asdict(speed).items() <= shown.items()
    assert (written.model, written.weights) == (MODEL, record.weights.sha256)
    assert written.data.fingerprint == record.data.fingerprint
    assert written.thresholds == (0.5, 0.5)
    assert "leave out --training" in fail("benchmark", "--training", "--out", out)


@pytest.mark.compiled
def test_benchmark_prints_a_row_per_batch_size(run):
    options = ("--images", 8, "--batch-sizes", 8, "--thresholds", "0.25,1")
    text = run("benchmark", MODEL, *options)
    assert f"{MODEL} on digits, thresholds 0.25, 1" in text
    assert "ms/image" in text
    (row,) = [line.split() for line in text.splitlines() if line.split()[:1] == ["8"]]
    assert row.count("x") == 3


@pytest.mark.compiled
def test_benchmark_of_a_training_times_a_step_and_its_tracing(
    run, architecture, tmp_path, generic, monkeypatch
):
    trained = {}

    def build(architecture, num_classes):  # one that is traced sooner
        trained[architecture] = generic(num_classes=num_classes)
        return trained[architecture]

    monkeypatch.setattr(benchmark, "EarlyExitClassifier", build)
    path = tmp_path / "a.json"
    architecture.to_json(path)
    options = ("--training", path, "--images", 20, "--batch-sizes", 8)
    (found,) = run("benchmark", *options, "--json")
    assert list(trained) == [architecture]
    assert found["macs"] == trained[architecture].macs.per_exit[-1]
    assert (found["batch_size"], found["images"]) == (8, 16)
    assert found["images_per_second"] > 0
    # A step is traced once, in the first epoch, and that takes longer than two steps.
    assert found["tracing_seconds"] > 16 / found["images_per_second"]


def test_the_network_of_the_benchmark_of_training_is_static():
    assert benchmark.STATIC.resolution == 32
    assert benchmark.STATIC.exits == ()
    assert set(benchmark.STATIC.stages) == {zoo.Stage.uniform(2, 5, 3)}


# Errors


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["show", "aebnas_digit"], "Did you mean 'aebnas_digits'"),
        (["pareto", "digit"], "There is no data set with pretrained models 'digit'"),
        (["pareto", "digits", "--max-macs", "1000"], "1,000 average MACs cannot be"),
        (["evaluate", "resnet"], "no pretrained model 'resnet'"),
        (["predict", "resnet", "a.png"], "no pretrained model 'resnet'"),
        (["evaluate", MODEL, "--data", "digit"], "Did you mean 'digits'"),
        (["evaluate", MODEL, "--thresholds", "0.5"], "has 1 entries; expected 2"),
        (["evaluate", MODEL, "--thresholds", "0.5,2"], "is 2.0; expected 0 to 1"),
        (["evaluate", MODEL, "--thresholds", "a,b"], "--thresholds is 'a,b'; expected"),
        (["evaluate", MODEL, "--max-macs", "1000"], "1,000 average MACs cannot be rea"),
        (["evaluate", MODEL, "--max-macs", "nan"], "nan average MACs"),
        (["benchmark", MODEL, "--images", "8"], "8 images do not fill a batch of 256"),
        (["benchmark", MODEL, "--batch-sizes", "0"], "batch"),
        (["benchmark"], "There is no MODEL to time; name one, or pass --training"),
        (["benchmark", "--training", "--images", "8"], "do not fill a batch of 128"),
        (["benchmark", "--training", "--batch-sizes", "0"], "batch_size is 0"),
    ],
    ids=lambda value: " ".join(value[2:]) if isinstance(value, list) else "",
)
def test_a_wrong_value_is_named(fail, arguments, message):
    if arguments[1:] == [MODEL, "--images", "8"]:
        arguments = [*arguments, "--batch-sizes", "256"]
    assert message in fail(*arguments)


def test_data_of_other_classes_are_refused(fail, tmp_path):
    images, labels = np.zeros((5001, 1, 1, 3), np.uint8), np.arange(5001) % 100
    np.savez(
        tmp_path / "cifar100.npz",
        **{"x_train": images, "y_train": labels, "x_test": images, "y_test": labels},
    )
    options = ("--data", "cifar100", "--data-dir", tmp_path)
    message = f"{MODEL} has 10 classes, cifar100 has 100"
    assert message in fail("evaluate", MODEL, *options)


def test_missing_data_are_named_with_what_provides_them(fail, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    options = ("--data", "cifar10", "--data-dir", tmp_path)
    message = fail("evaluate", MODEL, *options)
    assert f"No cifar10.npz in {tmp_path}" in message
    assert "AEBNAS_DATA_DIR" in message


@pytest.mark.parametrize(
    "lacking, command, message",
    [
        ({"data": None}, "evaluate", "records no data set; name one with --data"),
        ({"frontier": ()}, "frontier", "has no stored frontier; name a data set"),
    ],
)
def test_a_record_without_figures_asks_for_data(
    fail, record, tmp_path, lacking, command, message
):
    kept = dataclasses.replace(record, **lacking)
    records.write(tmp_path / "config.json", kept)
    assert message in fail(command, tmp_path)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--architecture", "missing.json"], "no pretrained model 'missing.json'"),
        (["--architecture", "broken.json"], "Not a JSON architecture"),
        (["--architecture", "wrong.json"], "missing fields ['resolution', 'stages']"),
        (["--architecture", MODEL, "--epochs", "0"], "Recipe.epochs is 0"),
        (["--architecture", MODEL, "--data", "digit"], "Did you mean 'digits'"),
        (["--initial-weights", MODEL, "--teacher", "resnet"], "model 'resnet'"),
        (
            ["--initial-weights", MODEL, "--max-macs", "1000"],
            "max_macs is 1,000; the c",
        ),
        (["--initial-weights", MODEL, "--target-macs", "-1"], "target_macs is -1.0"),
        (["--architecture", MODEL, "--exit-weights", "1", "nan", "1"], "is nan"),
    ],
)
def test_train_names_what_is_wrong_and_writes_nothing(
    fail, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "wrong.json").write_text("{}", encoding="utf-8")
    assert message in fail("train", *options, "--json", "--out", "out")
    assert not (tmp_path / "out").exists()
    assert "--out is empty" in fail("train", *options, "--out", "")


@pytest.mark.parametrize(
    "text",
    [
        '{"model": "x"}',
        '{"model": {}}',
        '{"model": []}',
        '{"model": null}',
        '{"model": {}, "kind": "model", "format": 2}',
        '{"model": ' + "[" * 3000 + "]" * 3000 + "}",
        "[" * 50_000,
        "[]",
    ],
)
def test_a_broken_architecture_is_a_sentence(fail, tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    message = fail("train", "--architecture", path, "--out", tmp_path / "out")
    assert "is damaged" in message or "rchitecture" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "source, expected",
    [
        (("--initial-weights", "aebnas_cifar10_small"), "cifar10"),
        (("--initial-weights", MODEL, "--data", "cifar100"), "cifar100"),
        (("--architecture", "aebnas_cifar10_small"), "cifar10"),
        (("--architecture", __file__), "digits"),
    ],
)
def test_training_takes_the_data_of_the_model_unless_others_are_named(source, expected):
    options = commands().parser.parse_args(["train", *source, "--out", "out"])
    assert train._data(options) == expected


@pytest.mark.parametrize("source", ["own.keras", "folder"])
def test_training_asks_for_data_where_the_model_names_none(
    fail, record, tmp_path, monkeypatch, source
):
    monkeypatch.chdir(tmp_path)
    bare = dataclasses.replace(record, data=None)
    records.write(folder(tmp_path / "folder") / "config.json", bare)
    message = fail("train", "--initial-weights", source, "--out", "out")
    assert f"{source} records no data set; name one with --data" in message


@pytest.mark.parametrize("source", ["name", "folder", "record", "architecture"])
def test_train_takes_an_architecture_from_wherever_it_is(record, tmp_path, source):
    home = registry.PRETRAINED / MODEL
    record.architecture.to_json(tmp_path / "a.json")
    sources = {
        "name": MODEL,
        "folder": home,
        "record": home / "config.json",
        "architecture": tmp_path / "a.json",
    }
    assert shared.architecture(str(sources[source])) == record.architecture


def test_train_names_a_model_that_has_no_architecture(fail, record, tmp_path):
    config = {k: v for k, v in record.config.items() if k != "architecture"}
    other = {"class_name": "EarlyExitModel", "config": config}
    path = tmp_path / "config.json"
    records.write(path, dataclasses.replace(record, model=other))
    message = fail("train", "--architecture", path, "--out", tmp_path / "out")
    assert "is not a network of the paper's search space" in message


@pytest.mark.parametrize("own", [True, False], ids=["own", "other"])
def test_train_replaces_classifiers_for_other_data_than_the_model_s_own(
    own, adjustable, tmp_path, monkeypatch, fail
):
    part = {"x": np.zeros((20, 8, 8, 3), np.uint8), "y": np.arange(20) % 10}
    arrays = {f"{k}_{name}": v for k, v in part.items() for name in ("train", "test")}
    np.savez(tmp_path / "mine.npz", **arrays)
    mine = measure.describe(data.load("mine", tmp_path))
    noted = zoo.save(adjustable, tmp_path / "saved")
    if not own:
        mine = dataclasses.replace(mine, name="theirs")
    path = tmp_path / "saved" / "config.json"
    records.write(path, dataclasses.replace(noted, data=mine))

    trained = []

    def fit(model, *given, **options):
        trained.append(model)
        raise ValueError("this far")

    monkeypatch.setattr(pipeline, "fit", fit)
    options = ("--data", "mine", "--data-dir", tmp_path, "--out", tmp_path / "out")
    assert "this far" in fail(
        "train", "--initial-weights", tmp_path / "saved", *options
    )
    stored = registry.load(str(tmp_path / "saved"))
    changed = [
        layer.name
        for layer in stored.layers
        if not all(
            map(
                np.array_equal,
                layer.get_weights(),
                trained[0].get_layer(layer.name).get_weights(),
            )
        )
    ]
    names = ["exit1_classifier", "exit2_classifier", "final_classifier"]
    assert sorted(changed) == ([] if own else names)


def test_train_starts_from_a_file_of_keras(adjustable, tmp_path, first_digits):
    digits = first_digits(train=8, validation=8, test=8)
    adjustable.class_names = digits.class_names
    adjustable.save(tmp_path / "own.keras")
    adjustable.class_names = tuple("abcdefghij")
    adjustable.save(tmp_path / "other.keras")
    adjustable.class_names = None
    own, other = (
        train._initial(str(tmp_path / f"{name}.keras"), digits)
        for name in ("own", "other")
    )
    changed = []
    for before in adjustable.layers:
        for kind, model in (("own", own), ("other", other)):
            after = model.get_layer(before.name).get_weights()
            pairs = zip(before.get_weights(), after, strict=True)
            if not all(np.array_equal(a, b) for a, b in pairs):
                changed.append((kind, before.name))
    names = [layer.name for layer in adjustable.layers]
    classifiers = [name for name in names if name.endswith("classifier")]
    assert changed == [("other", name) for name in classifiers] != []


@pytest.fixture
def network(tmp_path):
    """A file with a network of two convolutions."""
    images = x = keras.Input((16, 16, 3))
    for k, width in enumerate((4, 8)):
        x = keras.layers.Conv2D(width, 3, 2, activation="relu", name=f"layer{k}")(x)
    path = tmp_path / "my network.keras"
    keras.Model(images, x).save(path)
    return path


def test_train_gives_exits_to_a_backbone(run, network, tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    part = {"x": rng.integers(0, 256, (40, 8, 8, 3), np.uint8), "y": np.arange(40) % 10}
    arrays = {f"{k}_{name}": v for k, v in part.items() for name in ("train", "test")}
    np.savez(tmp_path / "mine.npz", **arrays)
    monkeypatch.setenv(data.DATA_DIR_VARIABLE, str(tmp_path))
    given = {
        "--backbone": network,
        "--exits": "layer0",
        "--head": "linear",
        "--data": "mine",
        "--recipe": "short",
        "--epochs": 1,
    }
    out = tmp_path / "out"
    arguments = [argument for pair in given.items() for argument in pair]
    found = run("train", *arguments, "--json", "--out", out)
    assert found["training"]["exits"] == ["layer0"]
    model = zoo.load(out)
    assert model.exit_names() == ("exit 1", "final")
    assert model.exit_features[0].shape[1:] == (7, 7, 4)
    command = zoo.card(out).partition("aebnas zoo ")[2].partition("```")[0]
    again = dict(line.split(" ", 1) for line in command.split(" \\\n  ")[1:])
    assert again.items() >= {flag: str(value) for flag, value in given.items()}.items()
    hint = "All early exits are off. To use them, give a budget: --max-macs.\n"
    assert hint in run("train", *arguments, "--out", tmp_path / "off")
    budget = model.macs.per_exit[-1]
    assert hint not in run(
        "train", *arguments, "--max-macs", budget, "--out", tmp_path / "on"
    )


@pytest.mark.parametrize(
    "options, message",
    [
        (["--backbone", "lite"], "Did you mean 'lite"),
        (["--backbone", "plain", "--exits", "layer9"], "Did you mean 'layer"),
        (["--backbone", "plain", "--exits", "9"], "cut in 1 places"),
        (["--backbone", "plain", "--head", "token"], "'token' does not fit features"),
        (["--backbone", "plain", "--resolution", "32"], "leave the resolution out"),
        (
            ["--architecture", MODEL, "--head", "linear"],
            "--head can only be used with --b",
        ),
    ],
)
def test_train_refuses_what_does_not_fit_a_backbone(
    fail, network, tmp_path, options, message
):
    options = [network if option == "plain" else option for option in options]
    options += ["--data", "digits", "--out", tmp_path / "out"]
    assert message in fail("train", *options)
    assert not (tmp_path / "out").exists()


def test_logits_are_kept_for_distillation(run, fail, tmp_path, monkeypatch):
    digits = data.load("digits")
    few = dataclasses.replace(digits, train=digits.train.take(3))
    monkeypatch.setattr(data, "load", lambda *_, **__: few)
    path = tmp_path / "the logits.npy"
    assert f"--teacher {path}" in run("logits", MODEL, "--out", path)
    found = np.load(path)
    expected = registry.load(MODEL).predict(few.train.images, verbose=0)[:, -1]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-2, atol=1e-2)
    assert "expected a name that ends in .npy" in fail("logits", MODEL, "--out", "a")
    np.testing.assert_array_equal(train._teacher(str(path)), found)
