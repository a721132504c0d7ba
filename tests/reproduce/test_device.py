"""Models on a device: what is measured, shown in tables and cards, and verified."""

import dataclasses
import importlib.util
import json

import keras
import numpy as np
import pytest

import zoo
from reproduce import device, tables, verify
from reproduce.records import RESULTS, SURROGATES
from search import latency, pareto
from search.latency import LatencyTable
from zoo import backends, cards, data, records, registry
from zoo.device_record import DeviceRecord, FormatRow

needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None
    or keras.backend.backend() != "tensorflow",
    reason="needs TensorFlow and ai-edge-litert, which the extra [export] brings",
)
SHIPPED = "aebnas_digits"


def made_up(**changes):
    """A record of the shipped model for the digits, with made-up times."""
    noted = registry.record(SHIPPED)
    test = noted.results["test"]
    row = FormatRow(
        **{"runtime": "litert", "quantization": None, "bytes": 1_234_000},
        **{"equal_exits": 1.0, "equal_labels": 1.0, "accuracy": test.accuracy},
        **{"average_macs": 9e5, "tuned_accuracy": None, "tuned_macs": None},
        **{"segments_ms": (0.25, 0.5, 1.0), "image_ms": 0.625, "batched_ms": 0.375},
        static_ms=1.125,
    )
    quantised = dataclasses.replace(
        *(row,),
        quantization="dynamic",
        bytes=432_000,
        equal_exits=0.9375,
        **{"tuned_accuracy": 0.5, "tuned_macs": 8e5, "image_ms": 0.3125},
    )
    found = DeviceRecord(
        *(SHIPPED, noted.weights.sha256, "digits", noted.data.fingerprint, 359),
        device={"processor": "a device", "cores": 1, "system": "none"},
        threads=1,
        static_accuracy=test.exit_accuracy[-1],
        static_macs=noted.macs.backbone[-1],
        rows=(row, quantised),
        provenance={},
    )
    return dataclasses.replace(found, **changes)


@pytest.fixture
def results(tmp_path):
    """A folder with such a record, and the latency tables of two devices."""
    folder = tmp_path / "results"
    (folder / "device").mkdir(parents=True)
    records.write(folder / "device" / f"{SHIPPED}.json", made_up())
    (folder / "latency_tables").mkdir()
    parts = [part.name for part in latency.every_part([32, 36, 40, 44], 10)]
    rng = np.random.default_rng(0)
    for name in ("litert", "litert_dynamic"):
        table = LatencyTable(
            *("litert", name.partition("_")[2] or None, 1, 10, (32, 36, 40, 44)),
            device={"processor": "a device", "cores": 1, "system": "none"},
            parts={part: float(ms) for part, ms in zip(parts, rng.random(len(parts)))},
            **{"scale": 1.0, "segment_ms": 0.1, "checked_on": 9, "error": 0.03125},
            provenance={},
        )
        records.write(folder / "latency_tables" / f"{name}.json", table)
    (folder / "searches").mkdir()
    search = (RESULTS / "searches" / "cifar10_small.json").read_text("utf-8")
    (folder / "searches" / "cifar10_small.json").write_text(search, "utf-8")
    return folder


# Measuring


@needs_litert
def test_a_model_is_measured_beside_the_same_without_exits(
    tmp_path, first_digits, monkeypatch, call
):
    digits = first_digits(train=1, validation=40, test=50)
    monkeypatch.setattr(data, "load", lambda *_, **__: digits)
    monkeypatch.setattr(backends, "limit_threads", lambda count: None)
    for name, few in (("ROUNDS", 2), ("BATCHES", 1), ("BATCH", 8)):
        monkeypatch.setattr(device, name, few)
    keras.utils.set_random_seed(1)
    inputs = x = keras.Input((8, 8, 3))
    for k in range(2):
        x = keras.layers.Conv2D(8, 3, 2, activation="relu", name=f"conv{k}")(x)
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    model = zoo.attach(backbone, ["conv0"], 10)
    confidences = zoo.exits.confidence(model.predict(digits.test.images, verbose=0))
    model.thresholds = (float(np.median(confidences[:, 0])),)
    saved, out = tmp_path / "saved", tmp_path / "out"
    noted = zoo.save(model, saved, digits)
    words = ("device", saved, "--formats", "litert-dynamic", "--out", out)
    shown = call(*words, "--update")
    (path,) = out.glob("*.json")
    found = records.read(path, DeviceRecord)
    assert (found.weights, found.images) == (noted.weights.sha256, 50)
    test = noted.results["test"]
    assert found.static_accuracy == pytest.approx(test.exit_accuracy[-1])
    names = [row.name for row in found.rows]
    assert names == ["LiteRT, dynamic", "TensorFlow"]
    for row in found.rows:
        assert row.name in shown
        assert len(row.segments_ms) == 2
        assert min(*row.segments_ms, row.image_ms, row.batched_ms, row.static_ms) > 0
        exact = row.quantization is None
        assert (row.tuned_accuracy is None) == exact
        if exact:
            assert row.equal_exits == row.equal_labels == 1
            assert row.accuracy == pytest.approx(test.accuracy)
            assert row.average_macs == pytest.approx(test.average_macs["standard"])
    dynamic, in_keras = found.rows
    assert in_keras.bytes is None and dynamic.bytes > 1000
    assert dynamic.equal_labels > 0.5
    assert registry.record(saved).device == found
    card = (saved / "card.md").read_text("utf-8")
    assert "## On a device" in card and card == zoo.card(saved)


def test_int8_is_measured_only_with_enough_images_to_calibrate_it():
    digits = data.load("digits")
    images, labels = np.zeros((256, 8, 8, 3), np.uint8), np.zeros(256, int)
    fewer = data.Split(images[1:], labels[1:])
    all_formats = dataclasses.replace(digits, validation=data.Split(images, labels))
    assert device.formats_for(all_formats) == tuple(device.FORMATS)
    few = dataclasses.replace(all_formats, validation=fewer)
    assert {*device.FORMATS} - {*device.formats_for(few)} == {"litert-int8"}


def test_what_cannot_be_measured_is_refused(first_digits, monkeypatch):
    with pytest.raises(ValueError, match="There is no format 'litret'"):
        device.survey(SHIPPED, formats=["litret"])
    few = first_digits(train=1)
    monkeypatch.setattr(data, "load", lambda *_, **__: few)
    with pytest.raises(ValueError, match="are not those that aebnas_digits was"):
        device.survey(SHIPPED)


def test_a_device_is_noted_with_the_weights_that_were_measured_alone(tmp_path):
    with pytest.raises(ValueError, match="has other weights than those that were"):
        registry.note_device(SHIPPED, made_up(weights="0" * 64))


# Showing


def test_a_card_has_a_section_on_the_device():
    noted = dataclasses.replace(registry.record(SHIPPED), device=made_up())
    assert records.from_dict(records.to_dict(noted)) == noted
    card = cards.render(noted)
    section = card.partition("## On a device")[2].partition("\n## ")[0]
    accuracy = cards.percent(registry.record(SHIPPED).results["test"].accuracy)
    assert "a device, batch 1, one thread" in section
    assert f"| LiteRT | 1.23 MB | {accuracy} | 0.900 M | 0.62 | 1.12 |" in section
    assert "| LiteRT, dynamic | 0.43 MB | 50.00 % | 0.800 M | 0.31 | 1.12 |" in section
    assert "On a device" not in cards.render(dataclasses.replace(noted, device=None))


def test_tables_show_the_records(results):
    found = tables.table("device_agreement", results)
    assert [row[1:5] for row in found.rows] == [
        ("LiteRT", "1.23 MB", "100.00 %", "100.00 %"),
        ("LiteRT, dynamic", "0.43 MB", "93.75 %", "100.00 %"),
    ]
    assert [row[-1] for row in found.rows] == ["not quantised", "50.00 %, 0.800 M"]
    found = tables.table("device_latency", results)
    assert found.rows[0][2:] == ("0.25 0.50 1.00", "0.62", "0.38", "1.12")
    where = f"Timed on a device: `{SHIPPED}`. Accuracy without early exits"
    assert found.remark.startswith(where)
    assert len(tables.table("device", results).rows) == 2


def test_two_devices_have_two_fronts(results):
    found = tables.table("latency_fronts", results)
    search = records.read(results / "searches" / "cifar10_small.json")
    for place, name in enumerate(("litert", "litert_dynamic")):
        table = latency.read(results / "latency_tables" / f"{name}.json")
        points = []
        for each in search.candidates:
            at = each.evaluation
            given = (each.network, 10, at.thresholds, at.utilisation)
            points.append((table.predict(*given), each.metrics["error"]))
        front = {search.candidates[k].trial for k in pareto.front(points)}
        marked = {row[0] for row in found.rows if row[3 + place].endswith(" *")}
        assert marked == front
    assert found.columns[3:] == ("LiteRT, ms", "LiteRT, dynamic, ms")
    assert f"Of {len(search.candidates)} candidates" in found.remark
    (results / "latency_tables" / "litert.json").unlink()
    with pytest.raises(FileNotFoundError, match="There are 1 latency tables"):
        tables.table("latency_fronts", results)


def test_a_folder_without_devices_says_what_makes_a_record(tmp_path):
    with pytest.raises(FileNotFoundError, match="aebnas reproduce device --out"):
        tables.table("device", tmp_path)


# Verifying


def test_what_does_not_follow_is_found(results, monkeypatch):
    (results / "searches" / "cifar10_small.json").unlink()
    (results / SURROGATES).write_bytes((RESULTS / SURROGATES).read_bytes())
    shipped = registry.record
    noted = {SHIPPED: dataclasses.replace(shipped(SHIPPED), device=made_up())}
    monkeypatch.setattr(registry, "record", lambda n: noted.get(n) or shipped(n))
    assert verify.check(results)[1] == []
    noted.clear()
    (wrong,) = verify.check(results)[1]
    assert "in its card: recorded False, computed True" in wrong
    path = results / "latency_tables" / "litert.json"
    table = json.loads(path.read_text("utf-8"))
    table["parts"].pop("stem: 32 px")
    path.write_text(json.dumps(table))
    assert any("litert.json: parts" in each for each in verify.check(results)[1])
