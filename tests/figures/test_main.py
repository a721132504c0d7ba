import json
import sys

import pytest

import zoo
from figures.__main__ import FIGURES, main
from reproduce.records import RESULTS
from zoo import records, registry

(SEARCH, *_) = sorted((RESULTS / "searches").glob("*.json"))
COMMANDS = {
    "frontier": ["aebnas_digits"],
    "models": ["cifar10"],
    "exits": ["aebnas_digits"],
    "network": ["aebnas_digits"],
    "reliability": ["aebnas_digits"],
    "thresholds": ["aebnas_digits"],
    "examples": ["aebnas_digits"],
    "search": [str(SEARCH)],
    "contenders": ["COMPARISON"],
    "ranking": ["RANKING"],
    "surrogates": [],
}
LABELS = {
    "frontier": [
        "aebnas_digits on the validation split of digits",
        *("after stage 1", "as shipped"),
    ],
    "models": ["Models of cifar10, and published networks", "AEBNAS (derived)"],
    "exits": [
        *("images that leave here", "accuracy of those", "accuracy on all images"),
        *("aebnas_digits on the test split of digits", "final", "%"),
    ],
    "network": ["aebnas_digits and its exits", "stage 1", "exit after stage 1"],
    "reliability": [
        *("aebnas_digits on the test split of digits", "largest probability"),
        *("accuracy (%)", "images (%)"),
    ],
    "thresholds": [
        *("accuracy (%)", "average MACs (millions)", "off"),
        "threshold after stage 1",
    ],
    "examples": ["after stage 1", "final"],
    "search": [
        *("random candidates", "proposed candidates", "front of candidates"),
        *("front of all thresholds", "target", "hypervolume (share of the box)"),
        *("aebnas on cifar10", "validation error (%)", "proposed from here on"),
    ],
    "contenders": ["an early-exit network", "test accuracy (%)"],
    "ranking": [
        *("accuracy with inherited weights (%)", "accuracy after short training (%)"),
        *("MACs (millions)", "accuracy after separate training (%)"),
    ],
    "surrogates": ["true error (%)", "predicted average MACs (millions)"],
}
BEGINS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", BEGINS)
@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_is_drawn_in_the_format_of_the_suffix(
    figure, suffix, tmp_path, made_up_comparison, ranked, capsys
):
    out, ranking = tmp_path / f"{figure}.{suffix}", tmp_path / "ranking.json"
    records.write(ranking, ranked)
    made_up = {"COMPARISON": str(made_up_comparison[1]), "RANKING": str(ranking)}
    given = [made_up.get(each, each) for each in COMMANDS[figure]]
    assert main([figure, *given, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"Wrote {out}.\n"
    assert out.read_bytes().startswith(BEGINS[suffix])
    if suffix == "svg":
        text = out.read_text(encoding="utf-8")  # glyphs are paths, text in comments
        for label in LABELS[figure]:
            assert f"<!-- {label} -->" in text


@pytest.mark.parametrize(
    "figure",
    ["frontier", "exits", "network", "reliability", "thresholds", "examples"],
)
def test_an_unknown_model_is_an_error_that_names_near_ones(figure, fail):
    assert "'aebnas_digits'" in fail(figure, "aebnas_digit")


def test_data_without_a_pretrained_model_are_an_error(fail):
    message = fail("models", "cifar11")
    assert "'cifar11'" in message and "digits" in message


def test_a_model_without_results_has_no_figure_of_its_exits(tmp_path, fail):
    record = records.to_dict(registry.record("aebnas_digits"))
    del record["results"]
    (tmp_path / "config.json").write_text(json.dumps(record))
    assert "no recorded results" in fail("exits", tmp_path)


@pytest.mark.parametrize("exits", [(0, 1), (1, 1), (1, 9), (-1, 1)])
def test_exits_that_a_model_lacks_are_an_error(exits, fail):
    message = fail("thresholds", "aebnas_digits", "--exits", *exits)
    last = len(registry.record("aebnas_digits").exit_names) - 1
    assert f"exits is {exits}" in message and f"1 to {last}," in message


@pytest.mark.parametrize("figure", ["reliability", "thresholds", "examples"])
def test_missing_data_are_an_error(figure, fail, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    message = fail(figure, "aebnas_cifar10_small", "--data-dir", tmp_path)
    assert f"No cifar10.npz in {tmp_path}" in message


def test_a_folder_without_a_search_is_an_error(fail, tmp_path):
    assert "holds no search" in fail("search", tmp_path)


def test_a_file_that_is_no_record_is_an_error(fail, tmp_path):
    path = tmp_path / "record.json"
    path.write_text('{"settings": {}}')
    assert "record.json" in fail("search", path)


def test_a_search_without_candidates_is_an_error(fail, tmp_path):
    path = tmp_path / "record.json"
    empty = {"candidates": [], "front": [], "settings_front": [], "hypervolume": []}
    path.write_text(json.dumps(json.loads(SEARCH.read_text("utf-8")) | empty))
    assert "no trained candidates yet" in fail("search", path)


def test_an_unknown_format_and_a_missing_folder_are_errors(fail):
    assert "xyz" in fail("exits", "aebnas_digits", out="figure.xyz")
    assert "missing" in fail("exits", "aebnas_digits", out="missing/figure.png")


def test_without_matplotlib_the_error_says_what_to_install(
    monkeypatch, tmp_path, capsys
):
    for name in ("figures.exits", "figures.style"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    out = tmp_path / "figure.png"
    assert main(["exits", "aebnas_digits", "--out", str(out)]) == 1
    assert 'pip install ".[figures,search]"' in capsys.readouterr().err


def test_a_file_of_the_user_is_run_first(fail, tmp_path):
    path = tmp_path / "own.py"
    path.write_text("raise RuntimeError('mine')", encoding="utf-8")
    assert "own.py cannot be loaded: RuntimeError: mine" in fail(
        "exits", "aebnas_digits", "--load", path
    )


@pytest.fixture(scope="module")
def saved_without_data(model, tmp_path_factory):
    """The folder of a model."""
    folder = tmp_path_factory.mktemp("models") / "saved"
    point = zoo.exits.OperatingPoint((0.5, 0.5), 0.5, 1e6, (0.4, 0.4, 0.2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "frontier", (point,))
        zoo.save(model, folder)
    return folder


@pytest.mark.parametrize(
    "figure", ["frontier", "reliability", "thresholds", "examples"]
)
def test_a_model_that_was_saved_without_data_is_an_error(
    figure, saved_without_data, fail
):
    assert "saved" in fail(figure, saved_without_data)
