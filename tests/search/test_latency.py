"""Latency: a network is the sum of its parts, timed on the device or by a table."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import time
import types

import keras
import numpy as np
import pytest

import zoo
from search import SearchSpace, Settings, latency, metrics, run
from search.__main__ import main
from search.latency import LatencyTable
from search.metrics import Measurement
from search.reading import OtherSearchError, record
from zoo import heads, records
from zoo.cost import count_layers
from zoo.exits import Evaluation

needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None
    or keras.backend.backend() != "tensorflow",
    reason="needs TensorFlow and ai-edge-litert, which the extra [export] brings",
)


@pytest.fixture
def table():
    """Every part at 32 pixels takes a millisecond more than the one before."""
    parts = latency.every_part([32], 10)
    return LatencyTable(
        *("litert", None, 1, 10, (32,)),
        device={"processor": "a device", "cores": 2, "system": "none"},
        parts={part.name: float(ms) for ms, part in enumerate(parts)},
        scale=1.5,
        segment_ms=0.25,
        checked_on=12,
        error=0.04,
        provenance={"versions": {}},
    )


@pytest.fixture
def path(table, tmp_path):
    """The table in a file."""
    records.write(tmp_path / "table.json", table)
    return tmp_path / "table.json"


# The parts of a network


def test_every_part_of_every_network_is_known():
    space = SearchSpace()
    known = {part.name for part in latency.every_part(space.resolutions, 10)}
    used = set()
    for genes in space.sample(200, np.random.default_rng(0)):
        architecture = space.decode(genes)
        found = latency.segments(architecture, 10)
        assert len(found) == len(architecture.exits) + 1
        used |= {part.name for segment in found for part in segment}
    assert used <= known
    assert len(used) > len(known) / 2


def test_parts_of_one_name_are_the_same():
    shapes = {}
    for resolution in (32, 40, 72):
        for part in latency.every_part([resolution], 10):
            assert shapes.setdefault(part.name, part.shape) == part.shape


def test_parts_together_compute_what_the_network_does(architecture):
    branches = [heads.FixedBranch(), heads.Branch([heads.ConvModule(8)]), None, None]
    network = dataclasses.replace(
        architecture, branches=branches, thresholds=[0.5, 0.5, 1, 1]
    )
    total = np.zeros(2, int)
    for segment in latency.segments(network, 10):
        for part in segment:
            x = keras.Input(part.shape)
            total += count_layers(x, part.build(x))
    cost = zoo.macs(network, 10)
    assert tuple(total) == (cost.per_exit[-1], cost.parameters)


# Tables


def test_a_table_predicts_the_sum_of_the_parts(table, architecture):
    first, second, third = latency.segments(architecture, 10)
    sums = [sum(table.parts[p.name] for p in each) for each in (first, second, third)]
    expected = 1.5 * np.cumsum(sums) + 0.25 * np.array([1, 2, 3])
    np.testing.assert_allclose(table.per_exit(architecture, 10), expected)
    found = table.predict(architecture, 10, (0.5, 0.5), (0.5, 0.3, 0.2))
    assert found == pytest.approx(np.dot(expected, (0.5, 0.3, 0.2)))
    # An exit that is off costs nothing: its branch does not run.
    without = architecture.at((1.0, 0.5))
    found = table.predict(architecture, 10, (1.0, 0.5), (0, 0.7, 0.3))
    expected = table.per_exit(without, 10)
    assert len(expected) == 2
    assert found == pytest.approx(np.dot(expected, (0.7, 0.3)))


def test_what_a_table_lacks_is_named(table, architecture):
    other = dataclasses.replace(architecture, resolution=40)
    with pytest.raises(ValueError, match="resolutions 32; it lacks 40. Make one"):
        table.per_exit(other, 10)
    with pytest.raises(ValueError, match="is for 10 classes, and the data have 3"):
        table.per_exit(architecture, 3)
    parts = {k: v for k, v in table.parts.items() if not k.startswith("stem")}
    with pytest.raises(ValueError, match="has no 'stem: 32 px'"):
        dataclasses.replace(table, parts=parts).per_exit(architecture, 10)


def test_a_table_is_read_back(table, path):
    assert latency.read(path) == table
    noted = latency.source(path)
    assert noted.of == {
        **{"runtime": "litert", "quantization": None, "threads": 1},
        "processor": "a device",
    }


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"kind": "search"}, "is a record of kind 'search'; expected 'latency_table'"),
        ({"format": 2}, "has format 2, and this version reads up to 1"),
        ({"scale": "1"}, "is damaged: .*scale"),
        ({"scale": -1}, "is damaged: .*times of a latency table are 0 or more"),
        ({"parts": {}}, "is damaged: .*and there is one"),
    ],
)
def test_a_file_that_is_no_table_is_refused(path, changes, message):
    data = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=message):
        latency.read(path)


def test_predicting_needs_neither_keras_nor_a_runtime(path):
    code = f"""
import sys
from search import SearchSpace, latency
import numpy as np
space = SearchSpace([32])
one = space.decode(space.sample(1, np.random.default_rng(0))[0])
assert latency.read({str(path)!r}).per_exit(one, 10)[-1] > 0
assert not {{"keras", "tensorflow", "ai_edge_litert"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


# Searching


def candidate(architecture, **options):
    """A trained candidate without a model, at thresholds 0.5."""
    evaluation = Evaluation(
        **{"thresholds": (0.5, 0.5), "accuracy": 0.75, "average_macs": 1e6},
        **{"utilisation": (0.5, 0.3, 0.2), "exit_accuracy": (0.7, 0.7, 0.8)},
        **{"leaving_accuracy": (0.7, 0.7, 0.8), "macs": (1, 2, 3)},
    )
    model = types.SimpleNamespace(architecture=architecture, exit_rule="score_margin")
    data = types.SimpleNamespace(num_classes=10)
    cost = zoo.macs(architecture, 10)
    return Measurement(model, data, None, evaluation, cost, 1, **options)


def test_a_candidate_is_timed_by_a_table_without_a_model(table, path, architecture):
    settings = Settings(latency_table=str(path), space={"resolutions": [32]})
    assert settings.latency_batch_size == 1
    clock = latency.clock(settings, settings.search_space(), 10)
    measured = candidate(architecture, latency=clock)
    found = metrics.METRICS["latency_ms"].measure(measured)
    assert found == table.predict(architecture, 10, (0.5, 0.5), (0.5, 0.3, 0.2))
    wide = Settings(latency_table=str(path), space={"resolutions": [32, 36]})
    with pytest.raises(ValueError, match="it lacks 36"):
        latency.clock(wide, wide.search_space(), 10)
    assert latency.clock(Settings(), SearchSpace(), 10) is None


def test_a_search_notes_its_table_and_goes_on_with_the_same_alone(
    path, tmp_path, fake, few_digits
):
    space = {"resolutions": [32]}
    settings = Settings(method="random", trials=1, space=space, latency_table=str(path))
    run(settings, tmp_path / "s")
    assert record(tmp_path / "s").latency == latency.source(path)
    path.write_text(path.read_text().replace('"scale": 1.5', '"scale": 1.25'))
    with pytest.raises(OtherSearchError, match="content of the latency table"):
        run(dataclasses.replace(settings, trials=2), tmp_path / "s")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"runtime": "litret"}, "no runtime 'litret'; choose from litert, onnx"),
        ({"runtime": "litert", "quantization": "int8"}, "choose from float16, dynamic"),
        ({"quantization": "dynamic"}, "there is no runtime; choose from litert, onnx"),
        ({"runtime": "onnx", "latency_table": "t"}, "expected one of them"),
        ({"latency_table": "t", "latency_batch_size": 8}, "a latency_table is for 1"),
        ({"latency_table": "t", "backbone": "vit_digits"}, "not for exits on a backb"),
    ],
)
def test_unclear_settings_of_latency_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


def test_settings_of_before_are_as_they_were():
    known = Settings().to_dict()
    assert not {"runtime", "quantization", "latency_table"} & set(known)
    given = Settings(runtime="litert", quantization="dynamic")
    assert Settings.from_dict(given.to_dict()) == given


# Measuring


def test_factors_are_found_from_whole_networks(table):
    from search import timing

    space = SearchSpace([32])
    some = [space.decode(g) for g in space.sample(6, np.random.default_rng(0))]
    exits = [table.per_exit(each, 10) for each in some]
    scale, segment, error = timing.fit(table.parts, some, exits, 10)
    assert (scale, segment) == pytest.approx((1.5, 0.25))
    assert error == pytest.approx(0, abs=1e-9)
    exits[0] = 2 * exits[0]  # the others do not predict this one
    assert timing.fit(table.parts, some, exits, 10)[2] > 0.08


@pytest.fixture
def small():
    """A quick model of two exits."""
    inputs = x = keras.Input((8, 8, 3))
    for k in range(2):
        x = keras.layers.Conv2D(8, 3, 2, activation="relu", name=f"conv{k}")(x)
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    return zoo.attach(backbone, ["conv0"], 10, thresholds=(0.5,))


@needs_litert
def test_a_candidate_is_timed_as_deployed(small, architecture, monkeypatch):
    from search import timing

    noted = []
    honest = timing.timing.measure

    def measure(networks, sizes, rounds, clock):
        (network,) = networks.values()
        noted.append((network.manifest["shares"].tolist(), sizes))
        assert clock is time.process_time
        return honest(networks, sizes, 2, clock)

    monkeypatch.setattr(timing.timing, "measure", measure)
    settings = Settings(runtime="litert", quantization="dynamic")
    clock = latency.clock(settings, settings.search_space(), 10)
    measured = candidate(architecture, latency=clock)
    at = dataclasses.replace(
        measured.evaluation, thresholds=(0.5,), utilisation=(0.75, 0.25)
    )
    measured = dataclasses.replace(measured, model=small, evaluation=at)
    assert 0 < metrics.METRICS["latency_ms"].measure(measured) < 1000
    assert noted == [([0.75, 0.25], [1])]


@needs_litert
def test_a_table_is_made_and_written(small, tmp_path, monkeypatch, capsys):
    from search import timing

    every = latency.every_part([32], 10)
    keep = ("stem: 32 px", "classifier: 24 channels", every[1].name)
    few = [part for part in every if part.name in keep]
    monkeypatch.setattr(latency, "every_part", lambda *_: few)
    monkeypatch.setattr(timing, "EarlyExitClassifier", lambda *_: small)
    fitted = []

    def fit(times, architectures, exits, classes):
        fitted.append((set(times), len(architectures), [len(e) for e in exits]))
        assert all(ms >= 0 for ms in times.values())
        return 1.25, 0.5, 0.125

    monkeypatch.setattr(timing, "fit", fit)
    out = tmp_path / "made" / "table.json"
    words = ["latency-table", "--out", str(out), "--networks", "2"]
    assert main([*words, "--resolutions", "32"]) == 0
    shown = capsys.readouterr().out
    assert "1.25 times the sum of its parts, and 0.500 ms for each segment" in shown
    assert "12.5%" in shown
    assert fitted == [(set(keep), 2, [2, 2])]
    found = latency.read(out)
    assert set(found.parts) == set(keep)
    assert found.parts["stem: 32 px"] > 0
    assert (found.runtime, found.resolutions, found.checked_on) == ("litert", (32,), 2)
    assert main([*words, "--quantization", "int8"]) == 1
    assert "no quantization of candidates 'int8'" in capsys.readouterr().err
