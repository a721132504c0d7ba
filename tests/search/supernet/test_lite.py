"""Supernets from EfficientNet-Lite1, its published weights stood in for by random."""

import keras
import numpy as np
import pytest

import zoo

pytest.importorskip("tensorflow")

from search.__main__ import main  # noqa: E402
from search.supernet import lite, shared, stored  # noqa: E402
from search.supernet.network import Supernet  # noqa: E402
from zoo.backbones import efficientnet_lite  # noqa: E402


@pytest.fixture(scope="module")
def network():
    """Lite1 with random weights, normalisations included."""
    keras.utils.set_random_seed(1)
    model = efficientnet_lite("lite1", weights=None, resolution=32)
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if layer.name.endswith("_bn"):
            low, high = [0.2, -0.2, -0.2, 0.5], [0.6, 0.2, 0.2, 1.5]
            channels = layer.gamma.shape[0]
            layer.set_weights(rng.uniform(low, high, (channels, 4)).T)
    return model


@pytest.fixture(scope="module")
def given(network):
    return {f"{x.name}/{w.name}": w.numpy() for x in network.layers for w in x.weights}


@pytest.fixture(scope="module")
def weights(given):
    return lite.converted(given)


def test_every_weight_has_its_shape(weights):
    assert {n: w.shape for n, w in weights.items()} == shared.shapes(lite.CLASSES)


def features(model, first, last):
    """From the tensor that one layer takes to the one that another gives."""
    return keras.Model(model.get_layer(first).input, model.get_layer(last).output)


def statistics(weights, given, blocks, stage):
    """Lite1's, in the order of a stage's channels, and ones for everything else."""
    found = {
        name: np.ones((2, len(weights[f"{name}/gamma"])), np.float32)
        for name in shared.normalisations(lite.CLASSES)
    }
    for b, block in enumerate(blocks):
        middle = lite._important(given, block, len(given[f"{block}_expand_bn/gamma"]))
        for part in ("expand", "depthwise", "project"):
            rows = np.stack(
                [given[f"{block}_{part}_bn/moving_{m}"] for m in ("mean", "variance")]
            )
            kept = rows if part == "project" else rows[:, middle]
            found[f"stage{stage}_block{b + 1}_{part}_bn"] = kept
    return found


@pytest.mark.parametrize("stage, kernel", [(1, 3), (2, 5)])
def test_a_stage_of_lite1s_depth_and_kernel_gives_its_features(
    network, given, weights, stage, kernel
):
    blocks = [f"block{i}" for i in lite.BLOCKS_OF_LITE1[stage - 1]]
    others = zoo.Stage.uniform(2, 3, 3)
    stages = [others] * 5
    stages[stage - 1] = zoo.Stage.uniform(len(blocks), kernel, 6)
    supernet = Supernet(weights)
    model = supernet.extract(
        zoo.Architecture(32, tuple(stages)), statistics(weights, given, blocks, stage)
    )
    first, last = f"stage{stage}_block1_expand", f"stage{stage}_block{len(blocks)}_add"
    ours = features(model, first, last)
    theirs = features(network, f"{blocks[0]}_expand", f"{blocks[-1]}_add")
    # So small that ReLU6, where we have ReLU, does not come to 6.
    x = np.random.default_rng(2).normal(0, 0.5, (2, *ours.input_shape[1:]))
    expected = theirs(x.astype(np.float32)).numpy()
    assert expected.std() > 0.1
    np.testing.assert_allclose(ours(x.astype(np.float32)), expected, atol=1e-4)


def test_narrow_blocks_keep_the_channels_that_the_projection_weighs_most(weights):
    for name, kernel in weights.items():
        if name.endswith("_project/kernel") and "block4" not in name:
            size = np.abs(kernel[0, 0]).sum(1)
            if name.startswith("stage5"):  # it has some of Lite1's outputs only
                size = np.convolve(size, np.ones(200) / 200, "valid")[::200]
            assert (np.diff(size) <= 1e-5).all(), name


def test_import_by_name_writes_a_supernet_to_start_from(monkeypatch, tmp_path, network):
    monkeypatch.setattr("zoo.backbones.lite.efficientnet_lite", lambda variant: network)
    main(["supernet", "import", "lite1", "--out", str(tmp_path)])
    found, about = stored.read(tmp_path)
    assert about == lite.ABOUT
    layer = network.get_layer("block1_expand")
    # Its columns are those of Lite1, in another order.
    columns = found["stage1_block1_expand/kernel"][0, 0].T.tolist()
    assert sorted(columns) == sorted(layer.kernel.numpy()[0, 0].T.tolist())
