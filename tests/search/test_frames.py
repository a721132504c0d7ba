"""Trials and fronts as rows, as CSV and as data frames."""

import csv
import io
import sys

import pytest

from reproduce.records import RESULTS
from search import frames
from search.__main__ import main
from search.records import SearchRecord
from zoo import records

SEARCH = RESULTS / "searches" / "cifar10_small.json"


@pytest.fixture(scope="module")
def record():
    return records.read(SEARCH, SearchRecord)


def test_every_trial_has_a_row_with_its_metrics(record):
    rows = frames.rows_of(record)
    for row, candidate in zip(rows, record.candidates, strict=True):
        assert row["trial"] == candidate.trial
        assert {name: row[name] for name in candidate.metrics} == candidate.metrics
        assert row["front"] == (candidate.trial in record.front)
        assert row["exits"] == len(candidate.network.exits)
        thresholds = tuple(map(float, row["thresholds"].split()))
        assert thresholds == candidate.evaluation.thresholds


def test_a_front_has_a_row_for_each_setting(record):
    rows = frames.rows_of(record, "settings_front")
    assert [(row["trial"], row["error"], row["average_macs"]) for row in rows] == [
        (point.trial, point.error, point.average_macs)
        for point in record.settings_front
    ]
    own = [row for row in frames.rows_of(record, "front") if "parameters" in row]
    assert [row["trial"] for row in own] == list(record.front)


def test_an_unknown_part_is_an_error(record):
    with pytest.raises(ValueError, match="part of a search 'fronts'.*'front'"):
        record.to_dataframe("fronts")


@pytest.mark.parametrize("fine", [False, True])
def test_the_command_prints_csv(fine, capsys, record):
    assert main(["front", str(SEARCH), "--csv", *["--fine"] * fine]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    points = record.settings_front if fine else map(record.point, record.front)
    for row, point in zip(rows, points, strict=True):
        assert row["trial"] == point.trial
        assert float(row["average_macs"]) == point.average_macs
        assert len(row["thresholds"].split()) == len(point.thresholds)


def test_a_missing_value_is_empty():
    assert frames.to_csv([{"a": 1}, {"b": "x, y"}]) == 'a,b\n1,\n,"x, y"\n'


def test_a_data_frame_has_the_rows(record):
    pytest.importorskip("pandas")
    frame = record.to_dataframe("front")
    assert frame["trial"].tolist() == list(record.front)
    assert frame["error"].min() == min(c.metrics["error"] for c in record.candidates)


def test_without_pandas_the_error_says_what_to_install(record, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        record.to_dataframe()
