"""Records: typed data in files that say what they are."""

import dataclasses
import gzip
import json

import numpy as np
import pytest

from zoo import records


@dataclasses.dataclass(frozen=True)
class Point:
    macs: float
    shares: tuple[float, ...]


@records.record("test_measurement", format=2, upgrade=lambda old: old | {"points": []})
@dataclasses.dataclass(frozen=True)
class Measurement:
    name: str
    points: tuple[Point, ...]
    note: str | None = None


@records.record("test_other", format=1)
@dataclasses.dataclass(frozen=True)
class Other:
    value: int


MEASUREMENT = Measurement("two", (Point(1e6, (0.5, 0.5)), Point(2.5, (1.0,))))


def test_a_record_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "measurement.json"
    records.write(path, MEASUREMENT)
    assert records.read(path) == MEASUREMENT
    assert records.read(path, Measurement, Other) == MEASUREMENT
    data = json.loads(path.read_text(encoding="utf-8"))
    assert (data["kind"], data["format"]) == ("test_measurement", 2)


def test_a_record_may_be_compressed(tmp_path):
    for name in ("one.json", "two.json.gz", "below/three.json.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        records.write(tmp_path / name, MEASUREMENT)
        assert records.read(tmp_path / name) == MEASUREMENT
    data = (tmp_path / "two.json.gz").read_bytes()
    assert gzip.decompress(data) == (tmp_path / "one.json").read_bytes()
    found = [tmp_path / name for name in ("one.json", "two.json.gz")]
    assert records.paths(tmp_path) == found
    assert [records.stem(path) for path in found] == ["one", "two"]
    assert len(records.paths(tmp_path, below=True)) == 3
    assert records.paths(tmp_path / "nowhere") == []
    for damaged in (data[:-9], b"{}", data[:30] + b"####" + data[34:]):
        (tmp_path / "two.json.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged: it is not gzip"):
            records.read(tmp_path / "two.json.gz")


def test_a_file_that_has_not_changed_is_read_once(tmp_path):
    path = tmp_path / "measurement.json"
    records.write(path, MEASUREMENT)
    found = records.read_once(path, Measurement)
    assert found == MEASUREMENT and records.read_once(path, Measurement) is found
    changed = dataclasses.replace(MEASUREMENT, name="three")
    records.write(path, changed)
    assert records.read_once(path, Measurement) == changed
    with pytest.raises(ValueError, match="expected 'test_other'"):
        records.read_once(path, Other)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        records.read_once(path, Measurement)


def test_every_item_of_a_list_has_a_line_of_its_own():
    lines = records.dumps(MEASUREMENT).splitlines()
    assert lines[0] == "{" and lines[-1] == "}"
    assert [json.loads(line.strip().rstrip(",")) for line in lines[5:7]] == [
        {"macs": 1e6, "shares": [0.5, 0.5]},
        {"macs": 2.5, "shares": [1.0]},
    ]


def test_numpy_values_are_written_as_plain_numbers():
    point = Point(np.float32(0.5), np.array([0.25, 0.75]))
    assert records.to_dict(point) == {"macs": 0.5, "shares": [0.25, 0.75]}


@pytest.mark.parametrize("number", [np.nan, np.inf, np.float32(-np.inf)])
def test_numbers_that_json_cannot_say_are_refused(number):
    with pytest.raises(ValueError, match="expected finite numbers"):
        records.dumps(Point(number, ()))


def test_an_older_format_is_upgraded():
    old = {"kind": "test_measurement", "format": 1, "name": "old"}
    assert records.from_dict(old) == Measurement("old", ())
    del old["kind"]
    assert records.from_dict(old, assume=Measurement) == Measurement("old", ())


@pytest.mark.parametrize(
    "data, message",
    [
        ([], "is not a record: it holds a list"),
        ({"format": 1}, "does not say what kind"),
        ({"kind": "test_other", "format": 1, "value": 1}, "expected 'test_measurement"),
        ({"kind": "test_measurement", "format": 3}, "reads up to 2. Update"),
        ({"kind": "test_measurement", "format": "2"}, "has format '2'"),
        ({"kind": "test_measurement", "format": True}, "has format True"),
        (
            {"kind": "test_measurement", "format": 2, "name": 5, "points": []},
            r"damaged: Expected `str`, got `int` - at `\$.name`",
        ),
        (
            {"kind": "test_measurement", "format": 2, "name": "no points"},
            "missing required field `points`",
        ),
    ],
)
def test_what_is_wrong_is_said(data, message):
    with pytest.raises(ValueError, match=message):
        records.from_dict(data, Measurement)


def test_an_array_is_no_dictionary():
    @dataclasses.dataclass(frozen=True)
    class Named:
        values: dict[str, float]

    with pytest.raises(ValueError, match="a value is damaged"):
        records.convert({"values": np.zeros(())}, Named, "a value")


def test_a_format_that_cannot_be_upgraded_is_refused():
    @records.record("test_without_upgrade", format=2)
    @dataclasses.dataclass(frozen=True)
    class WithoutUpgrade:
        pass

    with pytest.raises(ValueError, match="has format 1; this version reads 2"):
        records.from_dict({"kind": "test_without_upgrade", "format": 1})


@pytest.mark.parametrize("text", ["", "{", "\x00", "[" * 100_000])
def test_damaged_files_are_refused(tmp_path, text):
    path = tmp_path / "damaged.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="is damaged: it is not JSON"):
        records.read(path)


def test_a_kind_is_registered_once():
    with pytest.raises(ValueError, match="already a record of kind 'test_other'"):
        records.record("test_other", format=1)(Other)
