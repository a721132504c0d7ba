"""The examples of docs/extend.md, each a file outside the package."""

import pathlib
import re
import sys
import types

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.terminal import run_file

ROOT = pathlib.Path(__file__).parent.parent
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
    page = (ROOT / "docs" / "data.md").read_text("utf-8")
    names = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(code, "data.md", "exec"), names)
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
