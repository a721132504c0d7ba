import csv
import io
import json
import re
import statistics

import numpy as np
import pytest

from reproduce import experiments, published, tables
from reproduce.__main__ import main
from reproduce.experiments import EXPERIMENTS
from reproduce.tables import Row
from zoo import registry

# What the sources print for CIFAR-10 at about 2.44 M average MACs, in percent.
PUBLISHED = {"AEBNAS": 74.64, "NACHOS": 72.65, "EDANAS": 67.78}
SYSTEMS = {
    "cifar10_aebnas": "AEBNAS",
    "cifar10_nachos": "NACHOS",
    "cifar10_edanas": "EDANAS",
    "cifar10_static": "Static NAS",
}
TARGET = 2.44e6


@pytest.fixture
def write(tmp_path):
    """A function: write a record of made-up numbers."""
    (tmp_path / "reduced").mkdir()

    def write(name, seed=1, scale="reduced", accuracy=0.7, average=2.5e6):
        evaluation = {"accuracy": 0.99, "average_macs": 3e6}
        candidate = {"trial": "1", "evaluation": evaluation, "architecture": {}}
        record = {
            "experiment": name,
            "scale": scale,
            "settings": EXPERIMENTS[name].settings(scale, seed).to_dict(),
            "candidates": [candidate],
            **{"front": ["1"], "fine_front": [], "hypervolume": []},
            "selected": {
                "trial": "1",
                "test": {
                    "accuracy": accuracy,
                    "average_macs": {"aebnas": average, "standard": 2 * average},
                },
            },
        }
        path = tmp_path / scale / f"{name}_seed{seed}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(record))

    return write


def measured(rows):
    """Rows of searches, by system."""
    return {
        row["system"]: row
        for row in rows
        if row["kind"] == "measured" and row["protocol or source"].startswith("search")
    }


# Measured


def test_a_table_has_mean_spread_seeds_and_difference_of_searches(
    write, tmp_path, call
):
    values = {
        "cifar10_aebnas": [(0.7012, 2.4e6), (0.7244, 2.6e6)],
        "cifar10_nachos": [(0.6523, 2.1e6), (0.6391, 2.3e6)],
        "cifar10_static": [(0.5, 3e6), (0.6, 3e6)],
    }
    for name, runs in values.items():
        for seed, run in enumerate(runs, 1):
            write(name, seed, "reduced", *run)
    rows = measured(call("table", "cifar10", "--results", tmp_path, "--json"))
    assert set(rows) == {SYSTEMS[name] for name in values}
    for name, runs in values.items():
        accuracy, average = zip(*runs)
        accuracy = [100 * each for each in accuracy]
        average = [each / 1e6 for each in average]
        system, mean = SYSTEMS[name], statistics.mean(accuracy)
        row = rows[system]
        assert row["accuracy (%)"] == f"{mean:.2f} ± {statistics.stdev(accuracy):.2f}"
        assert row["average MACs (M, aebnas)"] == (
            f"{statistics.mean(average):.2f} ± {statistics.stdev(average):.2f}"
        )
        assert row["seeds"] == "2"
        score = [a - 10 * abs(m / 2.44 - 1) for a, m in zip(accuracy, average)]
        expected = f"{statistics.mean(score):.2f} ± {statistics.stdev(score):.2f}"
        assert row["score"] == expected
        assert row["target (M)"] == ("" if system == "Static NAS" else "2.44")
        if system in PUBLISHED:
            assert row["difference"] == f"{mean - PUBLISHED[system]:+.2f}"
            assert row["compared with"] == system
        else:
            assert row["difference"] == row["compared with"] == ""
        assert name in row["protocol or source"]
        assert experiments.SCALES["reduced"].summary in row["protocol or source"]


def test_one_seed_has_no_spread_and_scales_are_rows_of_their_own(write, tmp_path):
    write("cifar10_edanas", 3, "reduced", 0.61, 2.1e6)
    write("cifar10_edanas", 1, "paper", 0.66, 2.2e6)
    columns, rows, _ = tables.table("cifar10", tmp_path)
    rows = [dict(zip(columns, row)) for row in rows]
    rows = [row for row in rows if "`cifar10_edanas`" in row["protocol or source"]]
    cells = [(row["accuracy (%)"], row["average MACs (M, aebnas)"]) for row in rows]
    assert cells == [("61.00", "2.10"), ("66.00", "2.20")]
    assert [row["seeds"] for row in rows] == ["1", "1"]
    for row, scale in zip(rows, ("reduced", "paper")):
        assert experiments.SCALES[scale].summary in row["protocol or source"]


def test_a_record_that_run_wrote_becomes_a_row(ran, tmp_path):
    done = ran("cifar10_aebnas")
    (tmp_path / "reduced").mkdir()
    settings = EXPERIMENTS["cifar10_aebnas"].settings("reduced", 1).to_dict()
    record = json.dumps(done.record | {"scale": "reduced", "settings": settings})
    (tmp_path / "reduced" / done.path.name).write_text(record)
    columns, rows, _ = tables.table("cifar10", tmp_path)
    row = measured(dict(zip(columns, row)) for row in rows)["AEBNAS"]
    test = done.record["selected"]["test"]
    assert row["accuracy (%)"] == f"{100 * test['accuracy']:.2f}"
    assert (
        row["average MACs (M, aebnas)"] == f"{test['average_macs']['aebnas'] / 1e6:.2f}"
    )
    spent = test["average_macs"]["aebnas"]
    score = 100 * test["accuracy"] - 10 * abs(spent / TARGET - 1)
    assert float(row["score"]) == pytest.approx(score, abs=0.006)


def test_the_ablation_sets_tuned_thresholds_beside_fixed_ones(write, tmp_path, call):
    names = ("cifar10_threshold_02", "cifar10_aebnas", "cifar10_threshold_01")
    for name, accuracy in zip(names, (0.5, 0.6, 0.4)):
        write(name, accuracy=accuracy)
    write("cifar10_nachos")
    rows = call("table", "ablation", "--results", tmp_path, "--json")
    assert [(row["system"], row["accuracy (%)"]) for row in rows] == [
        ("AEBNAS", "60.00"),
        ("AEBNAS, thresholds 0.1", "40.00"),
        ("AEBNAS, thresholds 0.2", "50.00"),
    ]
    main_table = call("table", "cifar10", "--results", tmp_path, "--json")
    assert set(measured(main_table)) == {"AEBNAS", "NACHOS"}


@pytest.mark.parametrize(
    "name, data",
    [("cifar10", "cifar10"), ("svhn", "svhn_cropped"), ("cifar100", "cifar100")],
)
def test_every_pretrained_model_and_baseline_of_the_data_is_a_row(name, data):
    columns, rows, _ = tables.table(name)
    rows = {row[0]: dict(zip(columns, row)) for row in rows if row[0].startswith("`")}
    records = [registry.config(model) for model in registry.list_models()]
    for path in tables.BASELINES.glob("*.json"):
        records.append(json.loads(path.read_text(encoding="utf-8")))
    records = [r for r in records if r["data"]["name"] == data]
    assert set(rows) == {f"`{record['name']}`" for record in records}
    accuracies = {row.system: row.accuracy for row in published.rows(data)}
    for record in records:
        row, test = rows[f"`{record['name']}`"], record["results"]["test"]
        assert row["kind"] == "measured"
        assert row["accuracy (%)"] == f"{100 * test['accuracy']:.2f}"
        assert (
            row["average MACs (M, aebnas)"]
            == f"{test['average_macs']['aebnas'] / 1e6:.2f}"
        )
        assert (
            f"{record['training']['recipe']['epochs']} epochs"
            in (row["protocol or source"])
        )
        assert record["notes"][0] in row["protocol or source"]
        beside = accuracies.get(tables.BESIDE.get(record["name"]))
        difference = "" if beside is None else 100 * test["accuracy"] - beside
        assert row["difference"] == (difference and f"{difference:+.2f}")
        assert bool(row["compared with"]) == bool(row["difference"])


# Published


@pytest.mark.parametrize("data", ["cifar10", "svhn_cropped", "cifar100"])
def test_every_published_network_is_a_row_with_its_source(data):
    name = {"svhn_cropped": "svhn"}.get(data, data)
    rows = tables.table(name)[1]
    rows = [row for row in rows if row[1] in ("published", "derived")]
    expected = [row for row in published.PUBLISHED if row.data == data]
    assert sorted(row[0] for row in rows) == sorted(row.system for row in expected)
    spent = [row[3].split(" ± ")[0].removeprefix("~") for row in rows]
    spent = [float(each or "inf") for each in spent]
    assert spent == sorted(spent)
    for row in expected:
        cells = next(cells for cells in rows if cells[0] == row.system)
        accuracy, *spread = cells[2].split(" ± ")
        assert accuracy == ("" if row.accuracy is None else f"{row.accuracy:.2f}")
        assert spread == [f"{s:.2f}" for s in [row.accuracy_spread] if s is not None]
        assert cells[3].startswith("~") == row.approximate
        target = "" if row.target_macs is None else f"{row.target_macs / 1e6:.2f}"
        assert cells[4:9] == [target, "", "", "", ""]
        assert cells[9] == row.source != ""


def test_the_accuracy_of_aebnas_follows_from_both_statements():
    (row,) = [row for row in published.PUBLISHED if row.derived_from]
    assert (row.system, row.data, row.accuracy) == ("AEBNAS", "cifar10", 74.64)
    assert row.derived_from == (("EDANAS", 6.86), ("NACHOS", 1.99))
    assert published.derivations(row) == pytest.approx([67.78 + 6.86, 72.65 + 1.99])
    assert published.derivations(row) == pytest.approx([74.64] * 2)


@pytest.mark.parametrize("name", ["svhn", "cifar100"])
def test_accuracies_of_aebnas_that_are_not_available_are_empty(name, call):
    rows = call("table", name, "--json")
    (row,) = [
        row for row in rows if row["system"] == "AEBNAS" and row["kind"] == "published"
    ]
    assert row["accuracy (%)"] == ""
    assert row["average MACs (M, aebnas)"] == ""
    assert row["target (M)"] == {"svhn": "1.00", "cifar100": "17.00"}[name]


def test_a_search_is_not_set_beside_an_accuracy_that_is_not_available(write, tmp_path):
    write("svhn_aebnas")
    write("svhn_nachos", accuracy=0.8)
    columns, rows, _ = tables.table("svhn", tmp_path)
    rows = measured(dict(zip(columns, row)) for row in rows)
    assert rows["AEBNAS"]["difference"] == ""
    assert rows["NACHOS"]["difference"] == "+0.04"  # published: 79.96


# The order


def searched(system, score, spread=0.1):
    return Row(
        *(system, "measured", 70.0, 2.4e6, "search"), score=score, score_spread=spread
    )


@pytest.mark.parametrize(
    "scores, verdict, ranking",
    [
        ((50, 49, 48), "holds here", ("AEBNAS 50.00", "NACHOS 49.00", "EDANAS 48.00")),
        ((50, 48, 49), "not hold", ("AEBNAS 50.00", "EDANAS 49.00", "NACHOS 48.00")),
        ((1, 2, 3), "does not hold", ("EDANAS 3.00", "NACHOS 2.00", "AEBNAS 1.00")),
    ],
)
def test_the_order_holds_or_not_by_the_score(scores, verdict, ranking):
    rows = list(map(searched, ("AEBNAS", "NACHOS", "EDANAS"), scores))
    rows += [searched("Static NAS", 99), Row("NACHOS", "published", 99, 2e6, "a paper")]
    sentence = tables.order(rows)
    assert "AEBNAS > NACHOS > EDANAS" in sentence
    assert verdict in sentence and "spread" not in sentence
    assert sentence.endswith(f": {', '.join(f'{each} ± 0.10' for each in ranking)}.")


def test_the_order_names_methods_no_further_apart_than_their_spread():
    rows = [
        *(searched("AEBNAS", 50, 0.5), searched("NACHOS", 49, 1.2)),
        searched("EDANAS", 47, 0.1),
    ]
    sentence = tables.order(rows, "reduced")
    assert "at the scale reduced" in sentence
    assert sentence.endswith("No further apart than their spread: AEBNAS and NACHOS.")


def test_the_order_of_one_seed_is_said_to_say_little():
    rows = list(map(searched, ("AEBNAS", "NACHOS", "EDANAS"), (3, 2, 1), [None] * 3))
    assert tables.order(rows).endswith("EDANAS 1.00. One seed says little.")


@pytest.mark.parametrize("missing", range(3))
def test_the_order_is_not_tested_without_records_of_every_method(missing):
    rows = list(map(searched, ("AEBNAS", "NACHOS", "EDANAS"), (3, 2, 1)))
    rows[missing] = Row(rows[missing].system, "published", 70.0, 2e6, "a paper")
    assert "not tested" in tables.order(rows)


def test_the_table_ends_with_the_order(write, tmp_path, call):
    assert "not tested" in call("table", "cifar10", "--results", tmp_path)
    for name, accuracy in zip(SYSTEMS, (0.6, 0.5, 0.4)):
        write(name, accuracy=accuracy)
    assert "holds here" in call("table", "cifar10", "--results", tmp_path)
    write("cifar10_aebnas", accuracy=0.3)
    assert "does not hold" in call("table", "cifar10", "--results", tmp_path)


def test_the_order_compares_scores_of_one_scale(write, tmp_path, call):
    for name, accuracy in zip(SYSTEMS, (0.6, 0.5, 0.4)):
        write(name, accuracy=accuracy)
    write("cifar10_edanas", scale="paper", accuracy=0.7)
    assert "holds here" in call("table", "cifar10", "--results", tmp_path)


# Forms


def from_markdown(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines]
    assert set(cells.pop(1)) == {"---"}
    return cells


def from_latex(text):
    begin, top, head, middle, *body, bottom, end = text.splitlines()
    assert (top, middle, bottom) == (r"\toprule", r"\midrule", r"\bottomrule")
    columns = re.fullmatch(r"\\begin\{tabular\}\{(l+)\}", begin)[1]
    assert end == r"\end{tabular}"
    rows = []
    for line in (head, *body):
        line = line.removesuffix(r" \\").replace(r"$\pm$", "±")
        line = line.replace(r"$\sim$", "~")
        cells = re.split(r"(?<!\\) & ", line)
        assert not any(re.search(r"(?<!\\)[&%$#_{}]", cell) for cell in cells)
        rows.append(
            [
                re.sub(
                    r"\\(textbackslash |[&%$#_{}])",
                    lambda m: "\\" if len(m[1]) > 1 else m[1],
                    cell,
                )
                for cell in cells
            ]
        )
    assert len(columns) == len(rows[0])
    return rows


def from_csv(text):
    return list(csv.reader(io.StringIO(text)))


FORMATS = {"markdown": from_markdown, "latex": from_latex, "csv": from_csv}


@pytest.mark.parametrize("name", tables.TABLES)
@pytest.mark.parametrize("form", FORMATS)
def test_every_form_holds_the_same_cells(form, name, write, tmp_path, call):
    for experiment in (*SYSTEMS, "cifar10_threshold_01", "svhn_nachos"):
        for seed in (1, 2):
            write(experiment, seed, accuracy=0.6 + seed / 100)
    options = ("table", name, "--results", tmp_path)
    columns, *rows = FORMATS[form](call(*options, "--format", form))
    expected = call(*options, "--json")
    assert len(rows) == len(expected) >= 1
    for row, cells in zip(rows, expected):
        plain = {
            k: v.replace("`", "") if form == "latex" else v for k, v in cells.items()
        }
        assert dict(zip(columns, row, strict=True)) == plain


@pytest.mark.parametrize("form", FORMATS)
def test_special_characters_survive(form):
    rows = [["50 % & $5 #1", r"a_b {x} \y", "1 ± 2", ""]]
    columns = ["a, b", 'the "c"', "d", "e"]
    assert set(FORMATS) == set(tables.FORMATS)
    text = tables.FORMATS[form](columns, rows)
    assert FORMATS[form](text) == [columns, *rows]


def test_the_table_of_surrogates_is_that_of_the_record(call):
    path = experiments.RESULTS.parent / "surrogates_archive.json"
    recorded = json.loads(path.read_text(encoding="utf-8"))["rows"]
    theirs, *rows = call("table", "surrogates", "--json")
    assert theirs["kind"] == "published" and theirs["Spearman"] == "0.921"
    assert len(rows) == len(recorded)
    for row, values in zip(rows, recorded):
        assert row["surrogate"] == f"{values['surrogate']}, {values['inputs']}"
        assert row["target"] == values["target"]
        for column, key in (("RMSE", "rmse"), ("Spearman", "spearman")):
            assert float(row[column]) == pytest.approx(values[key], abs=0.00051)
        if values["target"] == "error":
            difference = float(row["difference (Spearman)"])
            assert difference == pytest.approx(values["spearman"] - 0.921, abs=0.00051)
        else:
            assert row["difference (Spearman)"] == ""
        assert row["seed"] == "1"


def test_the_convention_is_said_in_every_form(write, tmp_path, capsys):
    for form in FORMATS:
        assert main(["table", "svhn", "--format", form]) == 0
        out, err = capsys.readouterr()
        assert "aebnas" in out.splitlines()[0 if form != "latex" else 2]
        assert "MACs in the `aebnas` convention" in (out if form == "markdown" else err)


@pytest.mark.parametrize("command", [("table", "cifar10"), ("list",), ("verify",)])
def test_a_folder_of_records_that_does_not_exist_is_an_error(command, tmp_path, fail):
    missing = tmp_path / "reslts"
    assert str(missing) in fail(*command, "--results", missing)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text(path.read_text()[:50]),
        lambda path: path.write_text(path.read_text().replace('"selected"', '"x"')),
        lambda path: path.write_text(path.read_text().replace('"front"', '"x"')),
        lambda path: path.rename(path.with_name("cifar10_aebnas_seed2.json")),
        lambda path: path.rename(path.with_name("cifar10_nachos_seed1.json")),
        lambda path: path.write_text(path.read_text().replace("reduced", "smoke")),
    ],
)
def test_a_record_that_is_damaged_or_misplaced_is_named(damage, write, tmp_path, fail):
    write("cifar10_aebnas")
    damage(tmp_path / "reduced" / "cifar10_aebnas_seed1.json")
    (path,) = (tmp_path / "reduced").iterdir()
    assert str(path) in fail("table", "cifar10", "--results", tmp_path)


def test_a_record_of_other_settings_is_named_with_what_differs(write, tmp_path, fail):
    write("cifar10_nachos")
    path = tmp_path / "reduced" / "cifar10_nachos_seed1.json"
    record = json.loads(path.read_text())
    record["settings"]["recipe_changes"] = {}
    path.write_text(json.dumps(record))
    message = fail("table", "cifar10", "--results", tmp_path)
    assert str(path) in message
    assert "differ in recipe_changes." in message


def test_a_folder_without_a_scale_is_an_error_that_says_what_is_expected(
    write, tmp_path, fail
):
    write("cifar10_aebnas")
    message = fail("table", "cifar10", "--results", tmp_path / "reduced")
    assert "smoke, reduced, paper" in message


def test_an_unknown_table_is_an_error_that_names_the_known_ones(capsys):
    with pytest.raises(ValueError, match="'cifar11'.*cifar10, svhn, cifar100"):
        tables.table("cifar11")
    with pytest.raises(SystemExit):
        main(["table", "cifar11"])
    err = capsys.readouterr().err
    assert "'cifar11'" in err and all(name in err for name in tables.TABLES)


def test_the_documented_results_are_those_of_the_records():
    text = (tables.BASELINES.parents[2] / "docs" / "reproduce.md").read_text("utf-8")
    rows = tables.searched("reduced", list(SYSTEMS))
    ablation = tables.searched("reduced", tables.TUNED)
    assert [row.system for row in rows] == list(SYSTEMS.values())
    assert len(ablation) == len(tables.TUNED)
    for row in rows + ablation:
        assert row.seeds == 3
        system, _, accuracy, average, _, _, score, *_ = tables._cells(row)
        assert f"| {system} | {accuracy} | {average} | {score} |" in text
    verdict = tables.order(rows, "reduced")
    assert verdict in " ".join(text.split())
    readme = (tables.BASELINES.parents[2] / "README.md").read_text("utf-8")
    scores = verdict.split("test split: ")[1].split(". No")[0]
    assert scores in " ".join(readme.split())


def test_what_the_documentation_says_of_single_seeds_is_so():
    text = (tables.BASELINES.parents[2] / "docs" / "reproduce.md").read_text("utf-8")

    def accuracy(name):
        return tables.searched("reduced", [name])[0].accuracy

    def scores(name):
        tests = [
            r["selected"]["test"] for r in experiments.load("reduced", names=[name])
        ]
        return [
            experiments.score(t["accuracy"], t["average_macs"]["aebnas"], TARGET)
            for t in tests
        ]

    ours, nachos, edanas = map(scores, list(SYSTEMS)[:3])
    assert all(a > b > c for a, b, c in zip(ours, nachos, edanas, strict=True))
    behind = np.mean(ours) - np.mean(edanas)
    cost = behind - (accuracy("cifar10_aebnas") - accuracy("cifar10_edanas"))
    assert f"{cost:.1f} of the {behind:.1f} points of score" in text
    for name in tables.TUNED[1:]:
        assert all(a > b for a, b in zip(scores("cifar10_aebnas"), scores(name)))
    tuned, _, fixed = (
        [r["selected"]["test"] for r in experiments.load("reduced", names=[name])]
        for name in tables.TUNED
    )
    for test in tuned:
        assert test["thresholds"][:2] == [0.1, 0.1] and set(test["thresholds"][2:]) == {
            1
        }
    final = [100 * test["utilisation"][-1] for test in fixed]
    assert f"{min(final):.0f} to {max(final):.0f} % of the images" in text
    rows = tables.searched("reduced", tables.TUNED)
    for row in rows[1:]:
        assert rows[0].score - row.score > max(rows[0].score_spread, row.score_spread)
    by_accuracy = [
        [
            r["selected"]["test"]["accuracy"]
            for r in experiments.load("reduced", names=[n])
        ]
        for n in list(SYSTEMS)[:3]
    ]
    ours, nachos, edanas = map(np.array, by_accuracy)
    assert [(nachos > ours).sum(), (edanas > nachos).sum()] == [1, 1]
    within = [
        sum(c["evaluation"]["average_macs"] <= TARGET for c in record["candidates"])
        for record in experiments.load("reduced", names=["cifar10_nachos"])
    ]
    assert sorted(within) == [0, 0, 7]
    minutes = [
        r["wall_seconds"] / 60
        for n in SYSTEMS
        for r in experiments.load("reduced", names=[n])
    ]
    assert f"took {min(minutes):.0f} to {max(minutes):.0f}, with" in text
    assert f"{sum(minutes) / 120:.1f} hours on two cores" in text
    for first, second in zip(
        *(experiments.load("reduced", names=[n]) for n in list(SYSTEMS)[:2])
    ):
        initial = first["settings"]["initial_trials"]
        assert [c["architecture"]["stages"] for c in first["candidates"][:initial]] == [
            c["architecture"]["stages"] for c in second["candidates"][:initial]
        ]


def test_the_documented_scores_with_thresholds_chosen_alike_are_those_of_the_records():
    text = (tables.BASELINES.parents[2] / "docs" / "reproduce.md").read_text("utf-8")

    def best(points):
        return max(
            experiments.score(point["accuracy"], point["average_macs"], TARGET)
            for point in points
        )

    alike, chosen = {}, {}
    for name, system in list(SYSTEMS.items())[:3]:
        records = experiments.load("reduced", names=[name])
        alike[system] = [best(record["fine_front"]) for record in records]
        chosen[system] = []
        for record in records:
            trial = experiments.choose(record)
            found = [c for c in record["candidates"] if c["trial"] == trial]
            chosen[system].append(best([found[0]["evaluation"]]))
    text = " ".join(text.split())
    means = [f"{system} {np.mean(scores):.1f}" for system, scores in alike.items()]
    assert ", ".join(means) in text
    ours, nachos, edanas = (f"{np.mean(chosen[s]):.1f}" for s in alike)
    assert f"{ours}, {nachos} and {edanas} on that split" in text
    assert sum(np.greater(alike["NACHOS"], alike["AEBNAS"])) == 1
