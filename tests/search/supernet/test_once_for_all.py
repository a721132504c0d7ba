"""Once-for-All's checkpoints, and the logits that `once_for_all.py` recorded."""

import io
import pathlib
import pickle
import runpy
import sys
import types
import zipfile

import numpy as np
import pytest

import zoo

pytest.importorskip("tensorflow")

from search.__main__ import main  # noqa: E402
from search.supernet import once_for_all, stored  # noqa: E402
from search.supernet.network import Supernet  # noqa: E402
from search.supernet.stored import About  # noqa: E402
from zoo.cost import count  # noqa: E402

theirs = types.SimpleNamespace(
    **runpy.run_path(str(pathlib.Path(__file__).with_name("once_for_all.py")))
)
CASES = list(theirs.subnets())


@pytest.fixture(scope="module")
def state():
    return theirs.state_dict()


@pytest.fixture(scope="module")
def converted(state):
    return once_for_all.converted(state, "made up")


@pytest.fixture(scope="module")
def supernet(converted):
    return Supernet(converted[0], once_for_all.ABOUT)


@pytest.fixture(scope="module")
def logits():
    with np.load(theirs.FIXTURE, allow_pickle=False) as arrays:
        return arrays["logits"]


def architecture(chosen):
    """Their lists have four entries a stage, whatever its depth."""
    stages = tuple(
        zoo.Stage(
            tuple(
                zoo.Block(chosen["ks"][4 * s + b], chosen["e"][4 * s + b])
                for b in range(depth)
            )
        )
        for s, depth in enumerate(chosen["d"])
    )
    return zoo.Architecture(chosen["r"], stages)


def statistics_of(supernet, converted):
    """The checkpoint's, and those of our exits, which take no part."""
    found = {
        name.removesuffix("/gamma"): np.ones((2, len(value)), np.float32)
        for name, value in converted[0].items()
        if name.endswith("/gamma")
    }
    return found | converted[1]


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{CASES[i][0]['r']}")
def test_sub_networks_give_the_logits_of_their_code(case, supernet, converted, logits):
    chosen, images = CASES[case]
    statistics = statistics_of(supernet, converted)
    found = supernet.predict(architecture(chosen), images, statistics)[:, 0]
    assert np.ptp(logits[case], axis=0).max() > 0.01  # the images make a difference
    np.testing.assert_allclose(found, logits[case], atol=1e-4)


@pytest.mark.parametrize("case", [1])  # odd sizes of feature maps, and even ones
def test_so_do_extracted_models(case, supernet, converted, logits):
    chosen, images = CASES[case]
    model = supernet.extract(
        architecture(chosen), statistics_of(supernet, converted), thresholds=()
    )
    again = zoo.EarlyExitClassifier.from_config(model.get_config())
    again.set_weights(model.get_weights())
    found = np.asarray(again(images, training=False))[:, 0]
    np.testing.assert_allclose(found, logits[case], atol=1e-4)
    assert count(again) == zoo.macs(again.architecture, again.num_classes)


def test_padding_and_normalisation_make_a_difference(supernet, converted, logits):
    ours = Supernet(converted[0], About())
    chosen, images = CASES[0]
    statistics = statistics_of(supernet, converted)
    found = ours.predict(architecture(chosen), images, statistics)[:, 0]
    assert np.abs(found - logits[0]).max() > 0.01


def write(path, state, monkeypatch):
    """A file as PyTorch writes it, without PyTorch."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    storage = type("FloatStorage", (), {"__module__": "torch"})
    torch.FloatStorage = storage

    def rebuild(*_):
        raise AssertionError("not called when written")

    rebuild.__module__ = "torch._utils"
    rebuild.__name__ = rebuild.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = rebuild

    class Key(str):
        """Stands for a storage."""

    class Tensor:
        def __init__(self, key, value):
            self.key, self.value = Key(key), value

        def __reduce__(self):
            strides = tuple(n // 4 for n in self.value.strides)
            given = (self.key, 0, self.value.shape, strides, False, {})
            return utils._rebuild_tensor_v2, given

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Key):
                return ("storage", storage, str(value), "cpu", 1)
            return None

    text = io.BytesIO()
    named = {name: Tensor(str(i), v) for i, (name, v) in enumerate(state.items())}
    Pickler(text, protocol=2).dump({"state_dict": named})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", text.getvalue())
        for i, value in enumerate(state.values()):
            archive.writestr(f"archive/data/{i}", value.tobytes())


def test_a_checkpoint_is_imported(state, converted, tmp_path, monkeypatch, capsys):
    write(tmp_path / "ofa.pth", state, monkeypatch)
    folder = tmp_path / "net"
    command = ["supernet", "import", str(tmp_path / "ofa.pth"), "--out", str(folder)]
    assert main(command) == 0
    assert f"Wrote {folder / stored.WEIGHTS}" in capsys.readouterr().out
    weights, about = stored.read(folder)
    assert about.origin == "once_for_all"
    assert all(np.array_equal(weights[n], v) for n, v in converted[0].items())


def test_another_checkpoint_is_refused(state):
    lacking = {k: v for k, v in state.items() if "5to3" not in k}
    with pytest.raises(ValueError, match="not a checkpoint of ofa_mbv3.*5to3_matrix"):
        once_for_all.converted(lacking, "file")
    wide = state | {"first_conv.conv.weight": np.ones((24, 3, 3, 3))}
    with pytest.raises(ValueError, match=r"stem_conv/kernel has the shape .*24\)"):
        once_for_all.converted(wide, "file")
    # Names as other versions of their code have them.
    renamed = {
        k.replace(".mobile_inverted_conv.", ".conv."): v for k, v in state.items()
    }
    again = once_for_all.converted(renamed, "file")[0]
    assert np.array_equal(
        again["stage5_block4_se_gate/bias"],
        state["blocks.20.mobile_inverted_conv.depth_conv.se.fc.expand.bias"],
    )
