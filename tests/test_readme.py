import importlib
import json
import os
import pathlib
import re
import shlex

import numpy as np
import pytest

import zoo
from reproduce import finetune, tables
from zoo.cards import million, percent

README = pathlib.Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"
TEXT = README.read_text(encoding="utf-8")


def test_the_python_examples_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL):
        exec(compile(code, str(README), "exec"), names)
    assert names["result"].accuracy > 0.96
    assert names["point"].average_macs <= 870_000
    assert (tmp_path / "digits.keras").exists()


@pytest.mark.parametrize("path", re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT))
def test_every_file_that_is_linked_exists(path):
    assert os.path.exists(README.parent / path)


def commands():
    """The commands of all documentation: those that begin a line of a shell block."""
    texts = [TEXT, *(path.read_text("utf-8") for path in sorted(DOCS.glob("*.md")))]
    for block in re.findall(r"```bash\n(.*?)```", "".join(texts), re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        yield from (line for line in lines if line.startswith("python -m "))


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_documentation_is_understood(line):
    package, *arguments = shlex.split(line, comments=True)[2:]
    parser = importlib.import_module(f"{package}.__main__")._parser()
    assert parser.parse_args(arguments)


def test_every_pretrained_model_is_listed_with_its_accuracy():
    for name in zoo.list_models():
        test = zoo.registry.config(name)["results"]["test"]
        row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{name}`"))
        assert percent(test["accuracy"]) in row


def baseline(name):
    """The record of a network of the small size that is not shipped."""
    path = tables.BASELINES / f"cifar10_small_{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "row, name",
    [
        ("the small network that a search found", "searched"),
        ("the same backbone with EDANAS's fixed branches", "fixed"),
        ("static: two stages and one branch, no exit before", "static"),
    ],
)
def test_the_baselines_are_those_of_the_records(row, name):
    test = baseline(name)["results"]["test"]
    average = test["average_macs"]["aebnas"]
    assert f"| {row} | {percent(test['accuracy'])} | {million(average)} |" in TEXT


def test_the_lead_of_searched_branches_is_that_of_the_records():
    points = []
    for name in ("searched", "fixed"):
        record = baseline(name)
        architecture = zoo.Architecture.from_dict(record["model"]["architecture"])
        cost = zoo.macs(architecture, 10, "aebnas")
        points.append(
            [
                (np.dot(p["utilisation"], cost.per_exit_at(p["thresholds"])), p)
                for p in record["frontier"]
            ]
        )
    leads = []
    budgets = {spent for each in points for spent, _ in each if 1.5e6 <= spent <= 2.4e6}
    for budget in (1.5e6, *budgets):
        searched, fixed = (
            max(p["accuracy"] for spent, p in each if spent <= budget)
            for each in points
        )
        leads.append(100 * (searched - fixed))
    text = " ".join(TEXT.split())
    assert f"fixed ones by {min(leads):.1f} to {max(leads):.1f} points" in text


def test_what_the_static_network_lacks_is_that_of_the_records():
    searched, static = baseline("searched"), baseline("static")
    test, validation = (
        100
        * (
            searched["results"][split]["accuracy"]
            - static["results"][split]["accuracy"]
        )
        for split in ("test", "validation")
    )
    expected = f"{test:.1f} points behind the searched one on the test split and "
    assert f"{expected}{validation:.1f} on the validation" in " ".join(TEXT.split())


def test_the_search_against_a_good_guess_is_that_of_the_records():
    guess = baseline("by_hand")
    shipped = zoo.registry.config("aebnas_cifar10_small")
    for record in (guess, shipped):
        validation, test = (record["results"][s] for s in ("validation", "test"))
        cells = [percent(validation["accuracy"]), percent(test["accuracy"])]
        cells.append(million(test["average_macs"]["aebnas"]))
        assert f" | {' | '.join(cells)} |" in TEXT
    found = f"{cells[1]} on the test split at {cells[2]}."  # the shipped one's
    assert found in " ".join((DOCS / "search.md").read_text("utf-8").split())
    before, after = guess["training"], shipped["training"]
    assert before["seed"] == after["seed"]
    assert before["thresholds"] == after["thresholds"]
    # The older recipe lacks the fields that recipes have got since.
    assert before["recipe"].items() <= after["recipe"].items()
    searched, other = (
        million(min(point["average_macs"] for point in record["frontier"]))
        for record in (shipped, guess)
    )
    expected = f"from {searched} (standard convention), the other from {other}."
    assert expected in " ".join(TEXT.split())


def test_the_accuracies_on_pixel_exact_pictures_are_those_of_the_record():
    path = tables.BASELINES.parent / "pixel_exact.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    found = {row["model"]: row["exact"] for row in rows}
    assert {each["samples"] for each in found.values()} == {9968}
    small, medium, large = (
        f"{100 * found[f'aebnas_cifar10_{size}']['accuracy']:.2f}"
        for size in ("small", "medium", "large")
    )
    assert f"reach {small}, {medium} and {large} %" in " ".join(TEXT.split())


def test_the_gain_of_fine_tuning_is_that_of_the_record():
    path = tables.BASELINES.parent / "finetune_digits.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert {row["epochs"] for row in rows} == {3}
    text = " ".join(TEXT.split())
    for found in finetune.compare(rows):
        assert f"{100 * found['mean']:.2f} ± {100 * found['spread']:.2f} %" in text
        assert found["seeds"] == 3
