import dataclasses
import json
import shutil

import pytest

from reproduce import published, verify
from reproduce.records import (
    EXITS,
    RESULTS,
    SURROGATES,
    ExactRow,
    FinetuneRecord,
    Measured,
    PixelExactRecord,
    Tuning,
)
from search.records import DataSource
from zoo import records, registry


@pytest.fixture
def results(ran, tmp_path):
    """A folder with the record of an experiment, and that of the surrogates."""
    shutil.copytree(ran("cifar10_aebnas").root / "results", tmp_path / "results")
    shutil.copy(RESULTS / SURROGATES, tmp_path / "results")
    return tmp_path / "results"


def tamper(results, name, change):
    """Change a record; returns what `check` finds."""
    (path,) = results.rglob(name)
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record))
    return verify.check(results)[1]


def test_the_shipped_records_agree(call):
    count, wrong = verify.check()
    assert wrong == []
    assert call("verify") == f"All {count:,} derived values agree.\n"


def set_macs(record):
    record["settings"]["space"]["macs"][0] += 1000  # up to the first place


def set_head(record):
    candidate = next(
        c for c in record["candidates"] if "block3_project_bn" in c["exits"]
    )
    candidate["exits"]["block3_project_bn"] = "fixed"


@pytest.mark.parametrize(
    "change, found",
    [(set_macs, "MACs"), (set_head, "MACs"), (set_head, "parameters of the backbone")],
)
def test_exits_of_a_backbone_are_counted_anew(change, found, tmp_path):
    shutil.copy(RESULTS / EXITS / "linear_heads_seed1.json", tmp_path)
    assert verify.check(tmp_path)[1] == []
    wrong = tamper(tmp_path, "linear_heads_seed1.json", change)
    assert any(found in line for line in wrong)


@pytest.mark.parametrize(
    "name",
    [
        *("cifar10_aebnas", "cifar10_edanas", "cifar10_nachos", "cifar10_static"),
        "cifar10_threshold_02",
    ],
)
def test_what_run_wrote_agrees(name, ran, tmp_path):
    shutil.copy(RESULTS / SURROGATES, tmp_path)
    before, _ = verify.check(tmp_path)
    shutil.copytree(ran(name).root / "results", tmp_path / "results")
    count, wrong = verify.check(tmp_path)
    assert wrong == []
    assert count > before + 4 * 4  # at least four values a candidate


def other_trial(record):
    trials = [c["trial"] for c in record["candidates"]]
    return next(trial for trial in trials if trial != record["selected"]["trial"])


def another_front(record):
    behind = {c["trial"] for c in record["candidates"]} - set(record["front"])
    record["front"] = record["front"] + [min(behind)] if behind else record["front"][1:]


def set_in(*path):
    """A change: makes the number at a path of keys a little larger."""

    def change(record):
        for key in path[:-1]:
            record = record[key]
        value = record[path[-1]]
        record[path[-1]] = (
            value + 1 if isinstance(value, int) else 1.001 * value + 0.001
        )

    return change


def select_another(record):
    record["selected"]["trial"] = other_trial(record)


def swap_kernels(record):
    block = record["candidates"][0]["architecture"]["stages"][0][0]
    block["kernel"] = 3 if block["kernel"] == 7 else 7


def with_frontier(record):
    return next(i for i, c in enumerate(record["candidates"]) if c["frontier"])


def change_frontier(record):
    set_in("candidates", with_frontier(record), "frontier", 0, "average_macs")(record)


def move_share(shares):
    """Let another share of the images leave at the first and the last exit."""
    shares[0], shares[-1] = shares[0] + 0.001, shares[-1] - 0.001


CHANGES = {
    "macs": (set_in("candidates", 1, "evaluation", "macs", 0), "trial 1: MACs"),
    "average macs": (
        set_in("candidates", 1, "metrics", "average_macs"),
        "trial 1: average MACs",
    ),
    "shares": (
        lambda record: move_share(record["candidates"][2]["evaluation"]["utilisation"]),
        "trial 2: average MACs",
    ),
    "error": (set_in("candidates", 1, "metrics", "error"), "trial 1: error"),
    "parameters": (
        set_in("candidates", 3, "metrics", "parameters"),
        "trial 3: parameters",
    ),
    "architecture": (swap_kernels, "trial 0: MACs"),
    "frontier": (change_frontier, "frontier[0]"),
    "front": (another_front, ": front:"),
    "settings front, macs": (
        set_in("settings_front", 0, "average_macs"),
        ": settings front:",
    ),
    "settings front, error": (
        set_in("settings_front", -1, "error"),
        ": settings front:",
    ),
    "settings front, a point": (
        lambda r: r["settings_front"].pop(),
        ": settings front:",
    ),
    "hypervolume": (set_in("hypervolume", 2, 1), "hypervolume after trial 2"),
    "reference": (set_in("reference", 0), ": reference:"),
    "no reference": (lambda record: record.update(reference=None), ": reference:"),
    "hypervolume, a trial": (
        lambda record: record["hypervolume"].pop(),
        ": trials with a hypervolume:",
    ),
    "seed": (set_in("settings", "seed"), ": place:"),
    "settings": (set_in("settings", "trials"), ": changed settings:"),
    "settings, recipe": (
        set_in("settings", "recipe_changes", "epochs"),
        ": changed settings: recorded ['recipe_changes.epochs']",
    ),
    "selected": (select_another, ": selected trial:"),
    "test, accuracy": (
        set_in("selected", "test", "accuracy"),
        "selected on test: accuracy",
    ),
    "test, aebnas average": (
        set_in("selected", "test", "average_macs", "aebnas"),
        "selected on test: average MACs (aebnas)",
    ),
    "test, standard average": (
        set_in("selected", "test", "average_macs", "standard"),
        "selected on test: average MACs (standard)",
    ),
    "test, aebnas macs": (
        set_in("selected", "test", "macs", "aebnas", 0),
        "selected on test: MACs (aebnas)",
    ),
    "test, standard macs": (
        set_in("selected", "test", "macs", "standard", -1),
        "selected on test: MACs (standard)",
    ),
    "test, shares": (
        lambda record: move_share(record["selected"]["test"]["utilisation"]),
        "selected on test: average MACs (aebnas)",
    ),
    "test, thresholds": (
        set_in("selected", "test", "thresholds", 0),
        "selected thresholds",
    ),
    "accuracy": (set_in("candidates", 1, "evaluation", "accuracy"), "trial 1"),
    "measured average": (
        set_in("candidates", 1, "evaluation", "average_macs"),
        "trial 1",
    ),
    "final error": (set_in("candidates", 1, "metrics", "final_error"), "trial 1"),
    "settings front, accuracy": (
        set_in("settings_front", 0, "accuracy"),
        "settings front",
    ),
    "settings front, shares": (
        lambda record: move_share(record["settings_front"][0]["utilisation"]),
        "settings front",
    ),
    "settings front, trial": (
        lambda record: record["settings_front"][0].update(trial="none"),
        "settings front",
    ),
    "seconds": (set_in("seconds"), "seconds"),
    "unknown trial": (
        lambda record: record["selected"].update(trial="99"),
        ": selected trial:",
    ),
}


@pytest.mark.parametrize(
    "change, named",
    CHANGES.values(),
    ids=CHANGES,
)
def test_a_changed_number_is_named_with_its_record(change, named, results):
    wrong = tamper(results, "cifar10_aebnas_seed1.json", change)
    where = "experiments/smoke/cifar10_aebnas_seed1.json"
    assert [line for line in wrong if line.startswith(where) and named in line]
    assert all(line.startswith(where) for line in wrong)


@pytest.mark.parametrize("key", ["n", "rmse", "spearman", "kendall"])
def test_a_changed_quality_of_a_surrogate_is_named(key, results):
    (line,) = tamper(results, SURROGATES, set_in("rows", 3, "quality", key))
    assert "mlp on genes and costs, average MACs: " + key in line


def test_a_changed_prediction_of_a_surrogate_is_named(results):
    change = set_in("rows", 0, "predicted", 5)
    wrong = tamper(results, SURROGATES, change)
    assert any("mlp on genes, error: rmse" in line for line in wrong)


@pytest.mark.parametrize("change", ["accuracy", "points", "source"])
def test_a_published_accuracy_that_does_not_follow_is_named(
    change, monkeypatch, results
):
    rows = {row.system: row for row in published.PUBLISHED if row.data == "cifar10"}
    if change == "accuracy":
        changed = dataclasses.replace(rows["AEBNAS"], accuracy=74.65)
    elif change == "points":
        moved = (("EDANAS", 6.86), ("NACHOS", 1.98))
        changed = dataclasses.replace(rows["AEBNAS"], derived_from=moved)
    else:
        changed = dataclasses.replace(rows["EDANAS"], accuracy=67.77)
    known = tuple(
        changed if (row.data, row.system) == ("cifar10", changed.system) else row
        for row in published.PUBLISHED
    )
    monkeypatch.setattr(published, "PUBLISHED", known)
    _, wrong = verify.check(results)
    assert len(wrong) == (2 if change == "accuracy" else 1)
    assert all(line.startswith("published AEBNAS on cifar10: ") for line in wrong)


@pytest.mark.parametrize(
    "path, named",
    [
        (("weights", "parameters"), "parameters"),
        (("macs", "branches", 0), "MACs"),
        (("frontier", 1, "average_macs"), "frontier[1]: average MACs"),
        (("results", "test", "accuracy"), "test: accuracy"),
        (("results", "validation", "accuracy"), "validation: accuracy"),
        (("results", "test", "gain_over_single_exits"), "test: gain over single exits"),
        (("results", "test", "macs", "standard", 0), "test: MACs (standard)"),
        (("results", "test", "macs", "aebnas", 1), "test: MACs (aebnas)"),
        (
            ("results", "test", "average_macs", "standard"),
            "test: average MACs (standard)",
        ),
        (
            ("results", "validation", "average_macs", "aebnas"),
            "validation: average MACs (aebnas)",
        ),
    ],
)
def test_a_changed_number_of_a_pretrained_model_is_named(
    path, named, monkeypatch, results
):
    found = records.to_dict(registry.record("aebnas_digits"))
    set_in(*path)(found)
    changed = records.from_dict(found)
    monkeypatch.setattr(registry, "list_models", lambda: ["aebnas_digits"])
    monkeypatch.setattr(verify.registry, "record", lambda name: changed)
    (line,) = verify.check(results)[1]
    assert line.startswith("aebnas_digits") and named in line


def test_the_command_names_what_differs_and_fails(results, fail):
    tamper(results, "cifar10_aebnas_seed1.json", set_in("hypervolume", 2, 1))
    count = verify.check(results)[0]
    message = fail("verify", "--results", results)
    assert f"1 of {count:,} values differ" in message
    assert "hypervolume after trial 2: recorded" in message


def test_a_damaged_record_is_named(results, fail):
    (path,) = results.rglob("cifar10_aebnas_seed1.json")
    path.write_text(path.read_text(encoding="utf-8")[:1000])
    assert path.name in fail("verify", "--results", results)


def without(*path):
    def lose(record):
        for key in path[:-1]:
            record = record[key]
        del record[path[-1]]

    return lose


@pytest.mark.parametrize(
    "change, named",
    [
        (without("candidates"), "candidates"),
        (without("front"), "front"),
        (without("settings"), "settings"),
        (without("selected"), "selected"),
        (without("kind"), "what kind of record"),
        (without("candidates", 1, "evaluation", "utilisation"), "utilisation"),
        (lambda record: record.update(kind="rnu"), "'rnu'"),
        (lambda record: record.update(format=99), "format 99"),
        (
            lambda record: record["candidates"][1]["metrics"].update(error=None),
            "candidates",
        ),
    ],
)
def test_a_record_that_is_not_whole_is_named(change, named, results, fail):
    (path,) = results.rglob("cifar10_aebnas_seed1.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record))
    message = fail("verify", "--results", results)
    assert path.name in message and named in message


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_a_folder_without_records_fails(folder, tmp_path, fail):
    wanted = tmp_path / folder
    assert f"no records in {wanted};" in fail("verify", "--results", wanted)


@pytest.mark.parametrize(
    "command",
    [("verify",), ("list",), ("table", "cifar10"), ("oracles",), ("results-page",)],
)
def test_an_installed_package_without_records_says_where_they_are(
    command, monkeypatch, tmp_path, fail
):
    missing = tmp_path / "results"
    monkeypatch.setattr("reproduce.records.RESULTS", missing)
    message = fail(*command, "--results", missing)
    assert "clone the repository" in message and "--results DIR" in message
    assert message.count("\n") == 1


DIGITS = DataSource("digits", "0")


def test_a_measurement_of_other_weights_is_named(results):
    weights = registry.record("aebnas_digits").weights.sha256
    row = Tuning("random", 1, 1, 0.5, (0.5,), {"standard": 1e6}, 1.0)
    record = FinetuneRecord("aebnas_digits", weights, DIGITS, (row,), {})
    records.write(results / "finetune.json", record)
    assert verify.check(results)[1] == []
    (line,) = tamper(results, "finetune.json", lambda r: r.update(weights="other"))
    assert line.startswith("finetune.json: weights of aebnas_digits")


@pytest.mark.parametrize("key", ["accuracy", "samples"])
def test_all_images_of_exact_are_those_of_the_model(key, results):
    shipped = registry.record("aebnas_digits")
    test = shipped.results["test"]
    every = Measured(test.samples, test.accuracy, test.average_macs)
    row = ExactRow("aebnas_digits", shipped.weights.sha256, every, every)
    records.write(results / "exact.json", PixelExactRecord(DIGITS, (row,), {}))
    assert verify.check(results)[1] == []
    (line,) = tamper(results, "exact.json", set_in("rows", 0, "all", key))
    assert line.startswith(f"exact.json: aebnas_digits, {key}")


def test_a_record_with_a_constraint_agrees(results):
    """Trials that break a constraint are in no front and add no hypervolume."""

    def constrain(record):
        cheapest = min(c["metrics"]["average_macs"] for c in record["candidates"])
        record["settings"]["constraints"] = {"average_macs": [None, cheapest / 2]}
        record["hypervolume"] = [[trial, 0.0] for trial, _ in record["hypervolume"]]
        record["front"], record["settings_front"] = [], []
        record["kind"] = "search"  # an experiment would have to select a trial

    assert tamper(results, "cifar10_aebnas_seed1.json", constrain) == []


def test_equal_points_of_two_candidates_are_both_in_the_settings_front(results):
    def repeat(record):
        first = record["candidates"][with_frontier(record)]
        metrics = first["metrics"] | {"seconds": 0.0}
        record["candidates"].append(first | {"trial": "4", "metrics": metrics})
        record["hypervolume"].append(["4", record["hypervolume"][-1][1]])
        if first["trial"] in record["front"]:
            record["front"].append("4")
        for point in list(record["settings_front"]):
            if point["trial"] == first["trial"]:
                record["settings_front"].append(point | {"trial": "4"})
        record["settings_front"].sort(key=lambda point: point["average_macs"])

    assert tamper(results, "cifar10_aebnas_seed1.json", repeat) == []
