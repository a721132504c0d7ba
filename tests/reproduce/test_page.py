"""The page of results: what it shows is what the records say, and it is up to date."""

import pathlib

import pytest

from reproduce import finetune, page, records, tables
from reproduce.records import RESULTS, FinetuneRecord, PixelExactRecord
from reproduce.tables import models
from zoo import records as zoo_records
from zoo import registry
from zoo.cards import million, percent

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "results.md"


@pytest.fixture(scope="module")
def text():
    return page.render()


def test_the_committed_page_is_up_to_date(text):
    assert PAGE.read_text(encoding="utf-8") == text, f"run `{page.COMMAND}`"


def test_the_command_prints_or_writes_the_page(text, call, tmp_path):
    assert call("results-page") == text
    call("results-page", "--out", tmp_path / "docs" / "page.md")
    assert (tmp_path / "docs" / "page.md").read_text(encoding="utf-8") == text


def test_every_section_has_its_table(text):
    for section in page.SECTIONS:
        assert f"## {section.heading}\n\n{section.text}\n\n| " in text
        found = tables.table(section.table)
        for row in found.rows:
            shown = [
                cell
                for name, cell in zip(found.columns, row)
                if not section.columns or name in section.columns
            ]
            assert " | ".join(shown) in text


def test_every_pretrained_model_is_shown_with_its_accuracy_and_macs(text):
    part = text.partition("## Models\n")[2].partition("\n## ")[0]
    for name in registry.list_models():
        test = registry.record(name).results["test"]
        (row,) = [line for line in part.splitlines() if line.startswith(f"| `{name}`")]
        assert percent(test.accuracy) in row
        assert million(test.average_macs["standard"]) in row
        theirs = test.average_macs.get("aebnas")
        assert (" – " if theirs is None else million(theirs)) in row


def baseline(name):
    return zoo_records.read(RESULTS / records.BASELINES / f"{name}.json")


@pytest.mark.parametrize("name", models.DESCRIPTIONS)
def test_the_baselines_are_those_of_the_records(name, text):
    results = baseline(name).results
    test = results["test"]
    cells = [models.DESCRIPTIONS[name], "24", percent(results["validation"].accuracy)]
    cells += [percent(test.accuracy), million(test.average_macs["aebnas"])]
    assert f"| {' | '.join(cells)} |" in text


def test_the_lead_of_searched_branches_is_that_of_the_records(text):
    searched, fixed = (
        [
            (sum(s * m for s, m in zip(p.utilisation, cost)), p.accuracy)
            for p in record.frontier
            for cost in [record.cost("aebnas").per_exit_at(p.thresholds)]
        ]
        for record in map(baseline, (models.SEARCHED, models.FIXED))
    )
    spent = {average for average, _ in searched + fixed if 1.5e6 <= average <= 2.4e6}
    leads = [
        100
        * (
            max(a for average, a in searched if average <= budget + 1e-3)
            - max(a for average, a in fixed if average <= budget + 1e-3)
        )
        for budget in {1.5e6, *spent}
    ]
    assert f"by {min(leads):.1f} to {max(leads):.1f} points" in text


def test_the_search_and_the_guess_were_trained_alike(text):
    path = RESULTS / records.FROM_SCRATCH / f"{models.SMALL}.json"
    found, guess = zoo_records.read(path), baseline(models.GUESS)
    assert found.training["seed"] == guess.training["seed"]
    assert found.training["thresholds"] == guess.training["thresholds"]
    # The older recipe lacks the fields that recipes have got since.
    assert guess.recipe.items() <= found.recipe.items()
    for text_of, record in (
        (f"`{models.SMALL}` from scratch", found),
        (f"`{models.GUESS}`", guess),
    ):
        cheapest = min(point.average_macs for point in record.frontier)
        assert f"{text_of} {million(cheapest)}" in text


def test_earlier_and_present_models_are_those_of_the_records(text):
    part = text.partition("## Earlier and present models\n")[2].partition("\n## ")[0]
    for scratch in records.models(RESULTS, records.FROM_SCRATCH):
        for version, record in (
            ("earlier", scratch),
            ("present", registry.record(scratch.name)),
        ):
            test = record.results["test"]
            cells = (
                *(f"`{scratch.name}`", version),
                million(test.average_macs["aebnas"]),
                percent(test.accuracy),
            )
            assert f"| {' | '.join(cells)} |" in part


def test_the_pixel_exact_accuracies_are_those_of_the_record(text):
    record = zoo_records.read(RESULTS / records.PIXEL_EXACT, PixelExactRecord)
    assert {row.exact.samples for row in record.rows} == {9968}
    for row in record.rows:
        cells = f"| `{row.model}` | 9,968 | {percent(row.exact.accuracy)} | "
        assert cells in text


def test_the_gain_of_fine_tuning_is_that_of_the_record(text):
    record = zoo_records.read(RESULTS / records.FINETUNE, FinetuneRecord)
    assert {row.epochs for row in record.rows} == {3}
    pretrained, random = finetune.compare(record.rows)
    assert pretrained.seeds == random.seeds == 3
    assert pretrained.mean > random.mean
    for row in (pretrained, random):
        assert f"| 3 | 3 | {percent(row.mean)} | {percent(row.spread)} |" in text


def test_a_folder_without_the_records_of_the_page_says_what_makes_them(tmp_path, fail):
    message = fail("results-page", "--results", tmp_path)
    assert "pixel_exact.json" in message and "reproduce exact" in message
