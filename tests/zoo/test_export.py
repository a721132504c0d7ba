"""Exported folders answer as the model does, without Keras, or refuse to answer."""

import ast
import dataclasses
import errno
import hashlib
import importlib.util
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo import layers, records, runtime
from zoo.__main__ import main
from zoo.deploy import (
    benchmark,
    export,
    formats,
    graphs,
    runner,
    sensitivity,
    timing,
    verify,
)
from zoo.deploy.manifest import Manifest

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow exports"
)
needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None,
    reason="needs ai-edge-litert, which the extra [export] brings",
)
needs_onnx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("tf2onnx", "onnxruntime")),
    reason="needs tf2onnx and onnxruntime, which the extra [export] brings",
)


@pytest.fixture(scope="module")
def network(generic, images, balanced):
    """A model that images leave at every exit."""
    model = generic(seed=3)
    model.thresholds = balanced(model.predict(images, verbose=0))
    return model


@pytest.fixture(scope="module")
def folder(network, images, tmp_path_factory):
    """The network exported for LiteRT."""
    pytest.importorskip("ai_edge_litert")
    folder = tmp_path_factory.mktemp("exported") / "small"
    zoo.export(network, folder, images=images, described="noise of the tests")
    return folder


@pytest.fixture(scope="module")
def manifest(folder):
    return records.read(folder / "manifest.json", Manifest)


@pytest.fixture
def copied(folder, tmp_path):
    return pathlib.Path(shutil.copytree(folder, tmp_path / "copied"))


def python(folder, *words, code=None):
    """Run Python in a process that has neither TensorFlow nor Keras nor this package.

    What is imported is checked there, so that a hidden import is found.
    """
    blocked = "tensorflow", "keras", "zoo", "jax", "torch"
    start = (
        "import sys, runpy\n"
        f"sys.modules.update(dict.fromkeys({blocked!r}))\n"  # None: ImportError
        f"sys.argv = {['run.py', *map(str, words)]!r}\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
    )
    code = code or f"runpy.run_path({str(folder / 'run.py')!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def same(found, expected, atol=1e-4):
    np.testing.assert_array_equal(found.exits, expected.exits)
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=atol)
    np.testing.assert_allclose(found.confidences, expected.confidences, atol=atol)


# What is exported


@needs_litert
def test_the_manifest_says_what_is_there(network, folder, manifest):
    assert manifest.name == network.name
    assert (manifest.runtime, manifest.quantization) == ("litert", None)
    assert manifest.thresholds == network.thresholds
    assert manifest.exit_rule == network.exit_rule
    assert manifest.macs == network.macs
    assert [segment.exit for segment in manifest.segments] == [0, 1, 2]
    for segment in manifest.segments:
        data = (folder / segment.file).read_bytes()
        assert segment.bytes == len(data)
        assert segment.sha256 == hashlib.sha256(data).hexdigest()
    assert manifest.resize == graphs.Resize(side=16, kept=16)
    assert manifest.image_size == (16, 16)
    named = {segment.file for segment in manifest.segments}
    assert {path.name for path in folder.iterdir()} == named | {
        "manifest.json",
        "run.py",
        "runtime.py",
        "timing.py",
    }


@needs_litert
def test_the_manifest_says_how_well_files_and_model_agree(network, images, manifest):
    found = manifest.agreement
    assert found.images == "noise of the tests"
    assert found.count == len(images)
    assert found.equal_exits == found.equal_labels == 1
    assert 0 <= found.largest_logit_difference < 1e-3
    assert found.accuracy is None
    leaving = network.predict_early(images).exits
    shares = np.bincount(leaving, minlength=3) / len(images)
    assert (shares > 0).all()
    np.testing.assert_allclose(manifest.shares, shares)
    spent = np.array(network.macs.per_exit)[leaving].mean()
    assert found.average_macs == found.model_average_macs == pytest.approx(spent)


@needs_litert
@pytest.mark.parametrize("count, batch_size", [(1, 1), (64, 10), (7, 256)])
def test_a_loaded_folder_answers_like_the_model(
    network, images, folder, count, batch_size
):
    loaded = runner.load(folder)
    found = loaded.predict(images[:count], batch_size=batch_size)
    same(found, network.predict_early(images[:count]))


@needs_litert
@pytest.mark.parametrize("size", [(16, 16), (9, 12), (40, 21)])
def test_images_of_any_size_are_resized_outside_as_the_model_does(
    network, folder, size
):
    images = np.random.default_rng(1).uniform(0, 255, (5, *size, 3))
    found = verify.logits_of(runner.load(folder), images)
    np.testing.assert_allclose(found, network.predict(images, verbose=0), atol=1e-4)


def test_the_crop_is_done_outside_as_the_layer_does():
    images = np.random.default_rng(1).uniform(0, 255, (3, 40, 21, 3)).astype("float32")
    layer = layers.FitResolution(14, crop=0.875)
    found = runtime.resized(images, layer.side, layer.resolution)
    np.testing.assert_allclose(found, layer(images), atol=1e-3)


@needs_litert
def test_an_exit_that_is_off_is_in_no_file(network, images, copy_of, tmp_path):
    twin = copy_of(network, thresholds=(1.0, network.thresholds[1]))
    manifest = zoo.export(twin, tmp_path / "two")
    assert manifest.agreement.images == "noise"
    assert [segment.exit for segment in manifest.segments] == [1, 2]
    assert manifest.thresholds == twin.thresholds
    assert len(manifest.shares) == 2
    same(runner.load(tmp_path / "two").predict(images), twin.predict_early(images))


@needs_litert
def test_exits_attached_to_a_network_of_ones_own_are_exported(tmp_path):
    inputs = x = keras.Input((24, 24, 3))
    for k in range(2):
        x = keras.layers.Conv2D(8, 3, 2, activation="relu", name=f"conv{k}")(x)
    backbone = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    own = zoo.attach(backbone, ["conv0"], 5, thresholds=(0.01,))
    manifest = zoo.export(own, tmp_path / "own")
    assert (manifest.num_classes, manifest.image_size) == (5, (24, 24))
    images = np.random.default_rng(0).integers(0, 256, (9, 24, 24, 3))
    same(runner.load(tmp_path / "own").predict(images), own.predict_early(images))


def test_large_depthwise_kernels_are_split_without_changing_the_numbers():
    rng = np.random.default_rng(0)
    for size, kernel, stride, padding in (
        (8, 7, 2, "same"),
        (4, 7, 1, "same"),
        (2, 7, 1, "same"),
        (1, 7, 2, "same"),
        (9, 9, 2, "same"),
        (11, 6, 1, "valid"),
    ):
        layer = keras.layers.DepthwiseConv2D(
            kernel, stride, padding, bias_initializer="normal", activation="relu"
        )
        x = rng.normal(size=(2, size, size + 3, 5)).astype("float32")
        expected = layer(x)
        found = graphs.split_depthwise(layer, keras.ops.convert_to_tensor(x))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert graphs.split_depthwise(keras.layers.DepthwiseConv2D(5), x) is None


@needs_litert
def test_a_quantised_network_gets_thresholds_of_its_own(
    network, images, some_right, tmp_path
):
    labels = some_right(network.predict(images, verbose=0))
    manifest = zoo.export(
        network, tmp_path / "q", "litert", "dynamic", images, labels=labels
    )
    found, loaded = manifest.agreement, runner.load(tmp_path / "q")
    answers = loaded.predict(images)
    assert found.accuracy == pytest.approx((answers.labels == labels).mean())
    spent = np.array(network.macs.per_exit)[answers.exits].mean()
    assert found.average_macs == pytest.approx(spent)
    ours = verify.logits_of(loaded, images)
    points = zoo.exits.frontier(ours, labels, network.macs, verify.VALUES)
    assert manifest.frontier == points
    best = zoo.exits.within_budget(
        points, max(found.model_average_macs, points[0].average_macs)
    )
    assert manifest.thresholds == best.thresholds
    cheapest = runner.load(tmp_path / "q", max_macs=points[0].average_macs)
    assert tuple(cheapest.thresholds) == points[0].thresholds
    assert tuple(cheapest.manifest["shares"]) == points[0].utilisation
    with pytest.raises(ValueError, match="average MACs cannot be reached"):
        runner.load(tmp_path / "q", max_macs=1)


@needs_litert
def test_layers_that_do_not_bear_8_bits_are_found_and_kept():
    inputs = x = keras.Input((8, 8, 3))
    x = first = layers.convolution(x, "first", 8, 3)
    x = layers.normalised(first, "first", "relu")
    x = layers.convolution(x, "second", 8, 3, activation="relu")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    segment = keras.Model(inputs, layers.classifier(x, 4, "last"))
    pixels = np.random.default_rng(0).uniform(0, 1, (64, 8, 8, 3)).astype("float32")
    assert not sensitivity.float_layers(segment, pixels)
    kernel = segment.get_layer("second").kernel
    kernel.assign(kernel * keras.ops.reshape([1e-3] + [1.0] * 7, (8, 1)))
    norm = segment.get_layer("first_bn")
    norm.gamma.assign([1e3] + [1.0] * 7)  # one channel is larger, and matters as much
    assert sensitivity.float_layers(segment, pixels) == {
        *("first", "first_bn", "first_act", "second")
    }


@needs_litert
def test_int8_holds_in_one_piece(network, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    images = np.random.default_rng(0).integers(0, 256, (256, 16, 16, 3))
    manifest = zoo.export(network, tmp_path / "q", "litert", "int8", images)
    assert manifest.agreement.equal_labels > 0.9
    for segment in manifest.segments:
        interpreter = Interpreter(str(tmp_path / "q" / segment.file))
        interpreter.allocate_tensors()
        names = [each["op_name"] for each in interpreter._get_ops_details()]
        assert names.count("DELEGATE") == 1
        assert "QUANTIZE" in names


@needs_onnx
def test_onnx_answers_like_the_model(network, images, tmp_path):
    manifest = zoo.export(network, tmp_path / "onnx", "onnx", images=images)
    assert manifest.agreement.equal_exits == 1
    assert {path.suffix for path in (tmp_path / "onnx").iterdir()} == {
        *(".onnx", ".json", ".py")
    }
    same(runner.load(tmp_path / "onnx").predict(images), network.predict_early(images))


@needs_onnx
def test_gelu_is_in_operations_that_onnx_has():
    inputs = keras.Input((6,))
    segment = keras.Model(inputs, [keras.layers.Dense(4, activation="gelu")(inputs)])
    x = np.random.default_rng(0).normal(0, 2, (5, 6)).astype("float32")
    (found,) = runner.open_onnx(formats.onnx(segment, (6,), None, None), 1)(x)
    np.testing.assert_allclose(found, segment.predict(x, verbose=0), atol=1e-5)


# What runs on the device


def test_the_runner_is_short_and_needs_nothing_else():
    source = pathlib.Path(runner.__file__).read_text("utf-8")
    assert len(source.splitlines()) < 250
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    standard = {n for n in imported if n.split(".")[0] in sys.stdlib_module_names}
    assert imported - standard == {*("numpy", "zoo.runtime", "zoo.deploy.timing")}
    timing_too = pathlib.Path(timing.__file__).read_text("utf-8")
    names = re.findall(r"^(?:from|import) ([\w.]+)", timing_too, re.MULTILINE)
    others = {n for n in names if n.split(".")[0] not in sys.stdlib_module_names}
    assert others == {"numpy"}


@needs_litert
def test_run_py_answers_without_tensorflow(network, images, folder, tmp_path):
    np.save(tmp_path / "images.npy", images)
    code = f"""
import numpy as np, run
found = run.load({str(folder)!r}).predict(np.load({str(tmp_path / "images.npy")!r}))
np.savez({str(tmp_path / "found.npz")!r}, **found._asdict())
"""
    status, _, told = python(folder, code=code)
    assert status == 0, told
    with np.load(tmp_path / "found.npz") as found:
        same(runtime.EarlyPrediction(**found), network.predict_early(images))


@needs_litert
def test_run_py_classifies_pictures_and_times_the_network(
    network, images, folder, manifest, tmp_path
):
    Image.fromarray(images[0]).save(tmp_path / "a.png")
    status, shown, told = python(folder, tmp_path / "a.png")
    assert status == 0, told
    (answer,) = json.loads(shown)
    expected = network.predict_early(images[:1])
    assert answer["class"] == str(expected.labels[0])
    assert answer["probability"] == pytest.approx(expected.probabilities.max(), 1e-3)
    assert answer["exit"] == network.exit_names()[expected.exits[0]]
    status, shown, told = python(
        *(folder, "--benchmark", "--rounds", 2, "--batch-sizes", 1, 3)
    )
    assert status == 0, told
    found = json.loads(shown)
    assert (found["runtime"], found["threads"]) == ("litert", 1)
    assert [speed["batch_size"] for speed in found["speeds"]] == [1, 3]
    for speed in found["speeds"]:
        assert len(speed["segments"]) == 3
        assert len(speed["exits"]) == 3
        for times in (*speed["segments"], *speed["exits"], speed["rule"]):
            assert 0 < times["p10_ms"] <= times["median_ms"] <= times["p90_ms"]
        low = [times["p10_ms"] for times in speed["exits"]]
        assert speed["image_ms"] == pytest.approx(np.dot(manifest.shares, low))


class Fake:
    """A network of two exits whose calls take no time."""

    size, exits, manifest = (4, 4), [0, 2], {"shares": [3, 1]}
    segments = [lambda x: [x], lambda x: [x]]

    def prepare(self, images):
        return images

    def predict(self, images, size, thresholds):
        assert thresholds in ([0.0, 0.0], [1.0, 1.0])


def test_times_are_weighted_by_the_shares_of_the_exits(monkeypatch):
    orders = []

    class Rng:
        def permutation(self, count):
            orders.append(np.roll(np.arange(count), len(orders)))
            return orders[-1]

    ticks = iter(range(100_000))

    def clock():  # call number k, from 0, takes 4 k + 1 milliseconds
        return next(ticks) ** 2 / 1000

    with monkeypatch.context() as patch:
        patch.setattr(timing.np.random, "default_rng", lambda seed: Rng())
        found = timing.taken([int] * 4, 1, clock)
    # Two rounds of four warm up; the third began with the last but one.
    assert orders[2].tolist() == [2, 3, 0, 1]
    np.testing.assert_allclose(found, [[4 * k + 1 for k in (10, 11, 8, 9)]])
    given = np.array([[1.0, 2, 4, 8]])
    monkeypatch.setattr(timing, "taken", lambda calls, rounds, clock: given)
    (found,) = timing.measure({"fake": Fake()}, [2], 1)
    assert [each["p10_ms"] for each in found["segments"]] == [1, 2]
    assert [each["p10_ms"] for each in found["exits"]] == [2, 4]
    assert found["image_ms"] == pytest.approx(0.75 * 2 + 0.25 * 4)
    assert 2 <= found["rule"]["mean_ms"] <= 4
    for sizes, rounds in (([0], 1), ([1], 0)):
        with pytest.raises(ValueError, match="is 0; expected 1 or more"):
            timing.measure({"fake": Fake()}, sizes, rounds)
    assert timing.cpu_time(1) is time.process_time
    assert timing.cpu_time(2) is time.perf_counter


@needs_litert
@pytest.mark.parametrize(
    "given, message",
    [
        (np.zeros((0, 16, 16, 3)), r"shape \(0, 16, 16, 3\); expected one image or"),
        (np.zeros((16, 16, 3)), r"expected one image or more, \(images, any, any, 3\)"),
        (np.zeros((1, 16, 16, 1)), r"shape \(1, 16, 16, 1\)"),
        (np.zeros((1, 16, 16, 3), bool), "images are bool; expected finite numbers"),
        (np.full((1, 16, 16, 3), np.nan), "expected finite numbers"),
    ],
)
def test_unusable_images_are_refused_on_the_device(folder, given, message):
    with pytest.raises(ValueError, match=message):
        runner.load(folder).predict(given)


@needs_litert
def test_without_a_resize_only_the_size_of_the_network_is_taken(folder):
    loaded = runner.load(folder)
    loaded.manifest["resize"] = None
    with pytest.raises(ValueError, match=r"\(images, 16, 16, 3\)"):
        loaded.predict(np.zeros((1, 20, 16, 3)))
    with pytest.raises(ValueError, match="batch_size is 0; expected 1 or more"):
        loaded.predict(np.zeros((1, 16, 16, 3)), batch_size=0)


@needs_litert
def test_a_damaged_folder_is_refused(copied, manifest):
    path = copied / manifest.segments[1].file
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"{path.name} is damaged: its SHA-256"):
        runner.load(copied)
    status, _, told = python(copied, "picture.png")
    assert status == 1
    assert "is damaged" in told and "Traceback" not in told
    (copied / "manifest.json").write_text('{"kind": "model", "format": 2}')
    with pytest.raises(ValueError, match="is of another kind"):
        runner.load(copied)


@needs_litert
def test_run_py_says_how_to_install_what_is_missing(folder):
    hidden = "sys.modules['ai_edge_litert'] = None\n"
    run = f"runpy.run_path({str(folder / 'run.py')!r}, run_name='__main__')"
    status, _, told = python(folder, "a.png", code=hidden + run)
    assert status == 1
    assert told == (
        "run.py: ai-edge-litert is missing here; install it with: pip install "
        "ai-edge-litert\n"
    )
    with pytest.raises(ImportError, match="pip install onnx_runtime"):
        runner.needed("onnx_runtime")


# Whatever goes wrong, nothing is lost


@needs_litert
def test_a_new_export_takes_the_place_of_the_old_one(network, images, copied):
    old = {path.name for path in copied.glob("*.tflite")}
    zoo.export(network, copied, quantization="float16")
    new = {path.name for path in copied.glob("*.tflite")}
    assert len(new) == 3 and not new & old
    assert runner.load(copied).manifest["quantization"] == "float16"


@needs_litert
def test_an_export_that_is_interrupted_leaves_the_old_one(
    network, images, copied, monkeypatch
):
    def full(path, record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export.records, "write", full)
    with pytest.raises(OSError, match="No space left"):
        zoo.export(network, copied, quantization="float16")
    monkeypatch.undo()
    assert runner.load(copied).manifest["quantization"] is None
    same(runner.load(copied).predict(images), network.predict_early(images))


@needs_litert
@pytest.mark.parametrize("step, number", [("write", "ENOSPC"), ("open", "EROFS")])
def test_a_disk_that_fails_at_any_file_keeps_the_old_export(
    step, number, images, copied, manifest, monkeypatch
):
    before = runner.load(copied).predict(images)
    data = [(copied / s.file).read_bytes() for s in reversed(manifest.segments)]
    named = [
        dataclasses.replace(s, file=f"new{k}.tflite", sha256=export._sha256(each))
        for k, (s, each) in enumerate(zip(manifest.segments, data))
    ]
    new = dataclasses.replace(manifest, segments=tuple(named), quantization="float16")
    real, code, failures = getattr(os, step), getattr(errno, number), 0

    def fail(*given):
        if step == "write" or given[1] & os.O_CREAT:
            if next(left) == 0:
                raise OSError(code, os.strerror(code))
        return real(*given)

    for good in range(8):  # three segments, three files of code, the manifest
        left = itertools.count(good, -1)
        with monkeypatch.context() as patch:
            patch.setattr(f"zoo.files.os.{step}", fail)
            try:
                export._write(copied, new, data)
            except OSError as error:
                failures += 1
                assert error.errno == code
            else:
                break
        assert not list(copied.glob(".partial*"))
        same(runner.load(copied).predict(images), before)
    assert failures == 7
    assert runner.load(copied).manifest["quantization"] == "float16"
    assert len(list(copied.glob("*.tflite"))) == 3


@needs_litert
def test_files_that_disagree_are_not_written(network, images, tmp_path, monkeypatch):
    honest = verify.logits_of
    monkeypatch.setattr(verify, "logits_of", lambda *given: honest(*given)[:, ::-1])
    with pytest.raises(ValueError, match="disagree with the model: .* Nothing was"):
        zoo.export(network, tmp_path / "wrong", images=images)
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"format": "onxx"}, "There is no format 'onxx'; choose from litert, onnx"),
        ({"quantization": "int4"}, "There is no quantization 'int4'; .* 'int8'"),
        ({"quantization": "int8"}, "int8 is calibrated on images; expected 256"),
        ({"images": np.zeros((4, 8, 8))}, r"images have the shape \(4, 8, 8\)"),
        (
            {"images": np.zeros((4, 8, 8, 3), "uint8"), "labels": np.arange(3)},
            r"labels have the shape \(3,\)",
        ),
    ],
)
@needs_litert
def test_what_cannot_be_exported_is_refused(network, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        zoo.export(network, tmp_path / "x", **arguments)
    assert not (tmp_path / "x").exists()


def test_a_missing_library_is_named_with_the_command_that_installs_it():
    known = formats.FORMATS["litert"]
    with pytest.raises(ValueError, match=r'pip install "aebnas-keras\[export\]"'):
        formats.require(dataclasses.replace(known, needs=("no_such_module",)))


def test_a_network_for_images_of_any_size_needs_images():
    images = x = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, 2)(x)
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    first, last = (keras.layers.Dense(5)(pooled) for _ in range(2))
    cost = zoo.Cost((1, 2), (1,), parameters=1)
    small = zoo.EarlyExitModel(images, [pooled], [first, last], cost, thresholds=[0.5])
    with pytest.raises(ValueError, match="takes images of any size; pass images"):
        graphs.cut(small)
    assert graphs.cut(small, (20, 30)).shapes == ((20, 30, 3), (4,))


# The command line, and timing


@needs_litert
def test_the_commands_export_and_benchmark(network, tmp_path, capsys):
    zoo.registry.save(network, tmp_path / "saved")
    out = str(tmp_path / "out")
    words = ["export", str(tmp_path / "saved"), "--out", out, "--quantization"]
    assert main([*words, "float16"]) == 0
    shown, told = capsys.readouterr()
    assert "verifying on noise" in told
    assert "leave at the same exit as in the model" in shown
    words = ["benchmark", out, "--runtime", "litert", "--batch-sizes", "1", "--json"]
    assert main(words) == 0
    (speed,) = json.loads(capsys.readouterr().out)["speeds"]
    assert speed["network"] == "litert" and len(speed["segments"]) == 3
    with pytest.raises(ValueError, match="is exported for litert"):
        benchmark.benchmark(out, ["onnx"])
    with pytest.raises(ValueError, match="There is no runtime 'litret'"):
        benchmark.benchmark(out, ["litret"])
    with pytest.raises(ValueError, match="does not record how many images leave"):
        benchmark.benchmark(tmp_path / "saved", ["litert"])


# Keras's own export, of all exits


@needs_litert
def test_the_plain_export_has_a_fixed_size(network, images, tmp_path):
    _, (default,) = graphs.of_fixed_size(network, None)
    assert default.shape == (None, 16, 16, 3)
    path, size = tmp_path / "m.tflite", (None, 32, 20, 3)  # the model resizes to 16
    network.export(path, "litert", False, [keras.InputSpec("float32", size)])
    batch = np.asarray(images[:3, :, :20], np.float32)
    (found,) = runner.open_litert(path.read_bytes(), 1)(batch)
    np.testing.assert_allclose(found, network.predict(batch, verbose=0), atol=1e-4)
    anywhere = [keras.InputSpec("float32", (None, None, None, 3))]
    with pytest.raises(ValueError, match="expected a height and a width"):
        network.export(tmp_path / "any.tflite", "litert", False, anywhere)
    assert not (tmp_path / "any.tflite").exists()
