"""Heads: a kind that a file outside the package registers works everywhere."""

import dataclasses
import importlib.util
import json
import textwrap

import keras
import numpy as np
import pytest

import zoo
from zoo import heads

SOURCE = '''
import dataclasses

import keras

import zoo


@zoo.heads.register("test_wide")
@dataclasses.dataclass(frozen=True)
class Wide(zoo.heads.Head):
    """A pooled feature vector through one hidden layer."""

    units: int = 32
    activation: str = "relu"

    def __post_init__(self):
        if self.units < 1:
            raise ValueError(f"Wide.units is {self.units!r}; expected 1 or more.")

    def build(self, features, num_classes, name):
        x = zoo.layers.pooled(features, f"{name}_pool")
        x = keras.layers.Conv2D(
            self.units, 1, activation=self.activation, name=f"{name}_hidden"
        )(x)
        return zoo.layers.classifier(x, num_classes, name)
'''
STAGES = (zoo.Stage.uniform(2, 3, 3),) * 5


@pytest.fixture(scope="module")
def Wide(tmp_path_factory):
    """The class of a head in a file that is no part of the package."""
    path = tmp_path_factory.mktemp("mine") / "my_heads.py"
    path.write_text(textwrap.dedent(SOURCE), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("my_heads", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.Wide
    del heads._HEADS["test_wide"]


@pytest.fixture(scope="module")
def network(Wide):
    branches = (Wide(24), None, zoo.FixedBranch(), Wide(activation="gelu"))
    return zoo.Architecture(32, STAGES, branches, (0.5, 1, 0.5, 0.5))


def test_a_registered_head_is_known_by_its_name(Wide):
    assert heads.names()[:2] == ("searched", "fixed")
    assert "test_wide" in heads.names()
    assert heads.get("test_wide") is Wide
    assert Wide.name == "test_wide"
    assert Wide.genes() == ()
    assert Wide.from_genes({}) == Wide()
    assert Wide(5).to_genes() == {}


def test_a_registered_head_survives_json(network, tmp_path):
    text = network.to_json(tmp_path / "network.json")
    assert json.loads(text)["branches"] == [
        {"head": "test_wide", "units": 24, "activation": "relu"},
        None,
        "fixed",
        {"head": "test_wide", "units": 32, "activation": "gelu"},
    ]
    assert zoo.Architecture.from_json(tmp_path / "network.json") == network
    assert hash(zoo.Architecture.from_json(text)) == hash(network)


def test_what_is_left_out_in_json_has_its_default(Wide):
    assert heads.from_json("test_wide") == Wide()
    assert heads.from_json({"head": "test_wide", "units": 7}) == Wide(7)


@pytest.mark.parametrize(
    "data, words",
    [
        ({"head": "test_wild"}, ["place: ", "no head 'test_wild'", "'test_wide'?"]),
        ({"head": ["a"]}, ["place: ", "no head"]),
        ({"head": "test_wide", "width": 3}, ["place", "unknown fields ['width']"]),
        ({"head": "test_wide", "units": 0}, ["place: Wide.units is 0; expected 1"]),
        ("test_wild", ["place is 'test_wild'", "'fixed'", "null", "'test_wide'"]),
    ],
)
def test_json_of_no_head_is_named_with_its_place(Wide, data, words):
    with pytest.raises(ValueError) as error:
        heads.from_json(data, "place")
    assert [word for word in words if word not in str(error.value)] == []


def test_the_default_cost_counts_the_layers(Wide):
    expected = (24 * 20 + 20 * 10, 24 * 20 + 20 + 20 * 10 + 10)
    for convention in zoo.cost.CONVENTIONS:
        assert Wide(20).cost(24, 8, 10, convention) == expected


def test_the_cost_of_a_network_includes_its_registered_heads(network):
    without = dataclasses.replace(network, branches=(None,) * 4, thresholds=(1,) * 4)
    cost, static = zoo.macs(network, 10), zoo.macs(without, 10)
    wide = [24 * 24 + 24 * 10, 112 * 32 + 32 * 10]
    assert [cost.branches[0], cost.branches[2]] == wide
    assert cost.backbone[-1] == static.backbone[-1]


def test_a_network_with_registered_heads_is_built_counted_and_saved(network, tmp_path):
    keras.utils.set_random_seed(1)
    model = zoo.EarlyExitClassifier(network, 10)
    assert zoo.cost.count(model) == model.macs
    hidden = {n: model.get_layer(n).filters for n in ("exit1_hidden", "exit4_hidden")}
    assert hidden == {"exit1_hidden": 24, "exit4_hidden": 32}
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    logits = np.asarray(model(images))
    assert logits.shape == (4, 4, 10)

    zoo.save(model, tmp_path / "mine")
    assert zoo.registry.record(tmp_path / "mine").architecture == network
    loaded = zoo.load(tmp_path / "mine")
    assert loaded.architecture == network
    np.testing.assert_allclose(loaded(images), logits, atol=0.02 * np.ptp(logits))

    model.save(tmp_path / "mine.keras")
    again = keras.saving.load_model(tmp_path / "mine.keras")
    np.testing.assert_allclose(again(images), logits, atol=1e-5)


# What cannot be registered


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="already a head 'fixed'"):

        @heads.register("fixed")
        class Other(heads.Head):
            pass


def test_a_class_that_is_no_head_is_refused():
    with pytest.raises(TypeError, match="Other is not derived from zoo.heads.Head"):

        @heads.register("test_other")
        class Other:
            pass

    assert "test_other" not in heads.names()


def test_an_unknown_head_gives_a_near_match():
    with pytest.raises(ValueError, match="no head 'fixd'; .*Did you mean 'fixed'"):
        heads.get("fixd")


def test_a_head_without_a_build_says_so():
    class Bare(heads.Head):
        pass

    with pytest.raises(NotImplementedError, match="Bare defines no build"):
        Bare().build(None, 10, "exit")


# Genes of the searched branch


@pytest.mark.parametrize(
    "branch",
    [
        zoo.Branch([zoo.ConvModule(10, 5, 2, True)]),
        zoo.Branch([zoo.ConvModule(8), zoo.ConvModule(10, 3, 2, True)]),
    ],
)
def test_genes_describe_a_branch(branch):
    names = [gene.name for gene in zoo.Branch.genes()]
    fields = ("size", "kernel", "expansion", "pool")
    assert names == [f"module{m}/{field}" for m in (1, 2) for field in fields]
    genes = branch.to_genes()
    values = {gene.name: gene.options[0] for gene in zoo.Branch.genes()}
    values["module2/size"] = 0
    assert zoo.Branch.from_genes(values | genes) == branch
    for gene in zoo.Branch.genes():
        assert genes.get(gene.name, gene.options[0]) in gene.options
