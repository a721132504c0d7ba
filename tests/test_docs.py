"""The examples of the pages in docs/; those of extend.md are files of their own."""

import inspect
import pathlib
import re
import shutil
import sys
import types
from unittest import mock

import keras
import numpy as np
import pytest
from PIL import Image

import search
import zoo
from reproduce.records import RESULTS
from search.supernet import network
from zoo.deploy import runner
from zoo.terminal import run_file

ROOT = pathlib.Path(__file__).parent.parent
PRETRAINED = pathlib.Path(zoo.__file__).parent / "pretrained"
TEXT = (ROOT / "docs" / "extend.md").read_text("utf-8")
CODE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
NAMES = re.findall(r"Save this\s+as\s+`(\w+\.py)`", TEXT)


@pytest.fixture
def forget():
    """A function: what is added to a registry from now on is forgotten afterwards."""
    known = []

    def forget(registry):
        known.append((registry, dict(registry)))

    yield forget
    for registry, before in known:
        registry.clear()
        registry.update(before)


@pytest.fixture
def example(tmp_path, monkeypatch):
    """A function: write the example of that name in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(name):
        (code,) = [code for code, saved in zip(files(), NAMES) if saved == name]
        path = tmp_path / name
        path.write_text(code, encoding="utf-8")
        return path

    return write


def files():
    """The examples that are files: all but those that use one of them."""
    return [code for code in CODE if not re.search("^from bottleneck", code, re.M)]


def run_examples(page, **names):
    """Run the Python blocks of a page in order; the names that they leave."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(code, page, "exec"), names)
    return names


def test_the_examples_of_the_quick_start_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(PRETRAINED / "aebnas_digits", "my_model")  # as the commands make it
    names = run_examples("quickstart.md")
    assert len(list(pathlib.Path("pictures").glob("[0-9]/*.png"))) == 600
    shown = np.asarray(Image.open("pictures/3/0.png"))
    digits = zoo.data.load("digits").train
    assert (shown == digits.images[digits.labels == 3][0]).all()
    model = names["model"]
    (point,) = [p for p in model.frontier if p.thresholds == model.thresholds]
    assert point.average_macs <= 2e6


def test_the_example_of_the_page_on_figures_compares_two_models(capsys):
    run_examples("figures.md")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in lines] == [
        *("aebnas_cifar10_medium", "aebnas_cifar10_large"),
    ]
    assert all(0.8 < float(accuracy) < 0.95 for _, accuracy in lines)


def test_the_example_of_the_page_on_the_report_writes_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(RESULTS / "searches" / "cifar10_small.json", "my_search")
    run_examples("report.md")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "my_search" in text and "aebnas_cifar10_small" in text


def test_the_examples_of_the_page_on_devices_call_what_there_is(monkeypatch):
    """tests/zoo/test_export.py and the README's commands really export and run."""
    exported, loaded = [], []
    model = zoo.load("aebnas_digits")

    def load(*given, **named):
        loaded.append(inspect.signature(runner.load).bind(*given, **named).arguments)
        return types.SimpleNamespace(predict=len)

    def export(function):
        signature = inspect.signature(function)
        return lambda *given, **named: exported.append(
            signature.bind(*given, **named).arguments
        )

    monkeypatch.setitem(sys.modules, "run", types.SimpleNamespace(load=load))
    monkeypatch.setattr(zoo, "load", lambda name: model)
    monkeypatch.setattr(zoo, "export", export(zoo.export))
    monkeypatch.setattr(model, "export", export(model.export))
    names = run_examples("deploy.md", images=range(3), keras=keras)
    assert names["prediction"] == 3
    assert [each["folder"] for each in loaded] == [".", "."]
    first, *rest = exported
    assert first["model"] is model
    assert first["images"].shape[0] == first["labels"].shape[0]
    assert [str(each["filepath"]) for each in rest] == ["model.tflite", "model.onnx"]


def test_the_examples_on_searches_call_what_there_is(monkeypatch, tmp_path):
    """tests/search really searches, and extracts from a supernet."""
    monkeypatch.setattr(search, "run", mock.create_autospec(search.run))
    settings = run_examples("search.md")["settings"]
    search.run.assert_called_once_with(settings, "python_search")
    assert hasattr(search.ParetoOracle, "pareto_trials")

    supernet = mock.create_autospec(network.Supernet)
    monkeypatch.setattr(network, "Supernet", supernet)
    digits = zoo.data.load("digits")
    monkeypatch.setattr(zoo.data, "load", lambda name: {"cifar10": digits}[name])
    monkeypatch.chdir(tmp_path)
    architecture = zoo.load("aebnas_digits").architecture
    architecture.to_json("architecture.json")
    names = run_examples("supernet.md")
    loaded = supernet.load.return_value
    loaded.extract.assert_called_once_with(architecture, names["statistics"])
    loaded.save.assert_called_once_with("supernet.npz")


def test_the_examples_of_the_page_on_data_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (9, 6), "orange").save(f"photos/{name}/{i}.png")
    fitted = []
    model = types.SimpleNamespace(
        compile=lambda optimizer: None,
        fit=lambda *given, **named: fitted.append((*given, *named.values())),
    )
    monkeypatch.setattr(zoo, "load", lambda *_, **__: model)
    names = run_examples("data.md")
    ((train, test),) = fitted
    assert train.cardinality() == test.cardinality() == 1
    assert names["photos"].class_names == ("cat", "dog")
    assert len(names["photos"].test.labels) == 3
    assert names["mine"].class_names == ("dark", "top", "bottom")


def test_every_file_has_a_name():
    assert len(files()) == len(NAMES) == len(set(NAMES)) == 6


def test_a_head_of_ones_own(example, forget, tmp_path):
    forget(zoo.heads._HEADS)
    example("bottleneck.py")
    (use,) = [code for code in CODE if code not in files()]
    names = {}
    exec(compile(use, "extend.md", "exec"), names)
    sys.modules.pop("bottleneck")
    written = zoo.Architecture.from_json(tmp_path / "architecture.json")
    assert written == names["architecture"]
    assert [branch and branch.width for branch in written.branches] == [
        32,
        None,
        64,
        None,
    ]
    model = names["model"]
    assert model(np.zeros((2, 32, 32, 3), "float32")).shape == (2, 3, 10)
    assert model.get_layer("exit3_hidden").units == 64
    assert zoo.cost.count(model) == zoo.macs(written, 10)
    # Pooled channels times the hidden width, and the hidden width times the classes.
    channels = model.get_layer("exit1_hidden").kernel.shape[0]
    assert zoo.macs(written, 10).branches[0] == channels * 32 + 32 * 10


def test_a_backbone_of_ones_own(example, forget):
    forget(zoo.backbones.BACKBONES)
    run_file(example("plain.py"))
    found = zoo.backbones.get("plain")
    assert found.recipe == "short"
    model = zoo.attach(found.build(None), 1, num_classes=10)
    assert model(np.zeros((2, 32, 32, 3), "float32")).shape == (2, 2, 10)


def test_a_data_set_of_ones_own(example, forget):
    forget(zoo.data._LOADERS)
    run_file(example("squares.py"))
    squares = zoo.data.load("squares")
    sizes = [len(part.labels) for part in (squares.train, squares.validation)]
    assert (sizes, len(squares.test.labels), squares.num_classes) == ([540, 60], 100, 4)
    for image, label in zip(*squares.test):
        corners = image.reshape(2, 16, 2, 16, 3).mean((1, 3, 4)).reshape(4)
        assert corners.argmax() == label


def test_an_objective_of_ones_own(example, forget):
    from search import metrics

    forget(metrics.METRICS)
    run_file(example("worst_class.py"))
    metric = metrics.get("worst_class")
    measured = types.SimpleNamespace(
        answers=np.array([0, 0, 1, 1, 0, 2]), labels=np.array([0, 0, 1, 1, 1, 2])
    )
    assert metric.direction == "max"
    assert metric.measure(measured) == pytest.approx(2 / 3)


def test_a_method_of_ones_own(example, forget):
    from search import SearchSpace, methods
    from search.proposers import CompletedTrial

    forget(methods.METHODS)
    run_file(example("mutations.py"))
    space = SearchSpace()
    rng = np.random.default_rng(0)
    genes = space.sample(2, rng)
    trials = [
        CompletedTrial(tuple(row), {"error": error}, True)
        for row, error in zip(genes, (0.5, 0.4))
    ]
    proposer = methods.get("mutations").proposer(None, space)
    children = proposer.propose(trials, rng, set())
    assert children.shape == (8, len(space.counts))
    assert np.all((0 <= children) & (children < space.counts))
    changed = np.mean(children != genes[1])
    assert 0 < changed < 0.2 < np.mean(children != genes[0])


def test_a_table_of_ones_own(example, forget):
    from reproduce import runs, tables

    forget(tables.TABLES)
    run_file(example("seconds.py"))
    table = tables.table("seconds")
    assert len(table.rows) == len(runs.load("reduced")) > 0
    assert all(float(seconds) > 0 for *_, seconds in table.rows)
