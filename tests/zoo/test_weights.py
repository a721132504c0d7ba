"""Weights in files: keyed by the names of layers, or Keras's own of format 1."""

import io

import h5py
import keras
import numpy as np
import pytest

from zoo import weights


def values(model):
    return {path: value.copy() for path, value in weights.arrays(model).items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for path in one:
        np.testing.assert_array_equal(one[path], other[path], err_msg=path)


def test_weights_survive_exactly(generic, tmp_path):
    one, other = generic(seed=1), generic(seed=2)
    weights.save(tmp_path / "weights.h5", one)
    weights.load(tmp_path / "weights.h5", other)
    assert_same(values(one), values(other))


def test_a_file_is_keyed_by_the_names_of_layers(generic, tmp_path):
    model = generic()
    weights.save(tmp_path / "weights.h5", model)
    with h5py.File(tmp_path / "weights.h5") as file:
        assert file.attrs["format"] == weights.FORMAT == 3
        named = {layer.name for layer in model.layers if layer.weights}
        assert set(file) == named
        kernel = model.get_layer("block2").get_weights()[0]
        np.testing.assert_array_equal(file["block2/kernel"][()], kernel)
        assert file["block1_bn/moving_mean"].shape == (8,)


class Renamed(keras.layers.Conv2D):
    """A layer of another class, and the same weights."""


def stack(names, layer=keras.layers.Conv2D):
    """Layers of equal shapes in the order of their names."""
    x = images = keras.Input((4, 4, 3), name="images")
    for name in names:
        x = layer(3, 1, name=name, bias_initializer="normal")(x)
    return keras.Model(images, x)


def test_a_layer_of_another_class_loads_by_its_name(tmp_path):
    one, other = stack("abc"), stack("abc", Renamed)
    weights.save(tmp_path / "weights.h5", one)
    weights.load(tmp_path / "weights.h5", other)
    assert_same(values(one), values(other))


def test_layers_of_equal_shapes_in_another_order_load_by_their_names(tmp_path):
    one, other = stack("abc"), stack("cab")
    weights.save(tmp_path / "weights.h5", one)
    weights.load(tmp_path / "weights.h5", other)
    for name in "abc":
        for a, b in zip(
            one.get_layer(name).get_weights(),
            other.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "names, message",
    [
        ("abd", r"d/kernel is missing \(2 missing, 2 unknown\)"),
        ("abcd", r"d/kernel is missing \(2 missing, 0 unknown\)"),
        ("ab", r"c/bias is not in it \(0 missing, 2 unknown\)"),
    ],
)
def test_a_layer_of_another_name_is_named(tmp_path, names, message):
    weights.save(tmp_path / "weights.h5", stack("abc"))
    other = stack(names)
    before = values(other)
    with pytest.raises(ValueError, match=f"weights of another network: {message}"):
        weights.load(tmp_path / "weights.h5", other)
    assert_same(values(other), before)


def test_a_weight_of_another_shape_is_named(generic, tmp_path):
    weights.save(tmp_path / "weights.h5", generic(num_classes=7))
    other = generic()
    before = values(other)
    message = r"exit1_classifier/kernel has the shape \(512, 7\); expected \(512, 10\)"
    with pytest.raises(ValueError, match=message):
        weights.load(tmp_path / "weights.h5", other)
    assert_same(values(other), before)


def test_two_weights_of_one_name_are_refused():
    images = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, name="d")])
    inner.layers[0].kernel._path = inner.layers[0].bias._path = "d/w"
    with pytest.raises(ValueError, match="Two weights are called .*give their layers"):
        weights.arrays(keras.Model(images, inner(images)))


# Keras's own files


@pytest.mark.parametrize("half", [False, True])
def test_a_file_of_keras_loads_by_the_names_of_its_layers(generic, tmp_path, half):
    one, other = generic(seed=1), generic(seed=2)
    path = tmp_path / "model.weights.h5"
    one.save_weights(path)
    expected = values(one)
    if half:  # as in the folders of the first format
        with h5py.File(path, "r+") as file:
            kernels = []
            file.visititems(
                lambda name, item: (
                    kernels.append(name) if getattr(item, "ndim", 0) > 1 else None
                )
            )
            for name in kernels:
                kept = file[name][()].astype(np.float16)
                del file[name]
                file[name] = kept
        expected = {
            path: value.astype(np.float16).astype(value.dtype)
            if value.ndim > 1
            else value
            for path, value in expected.items()
        }
    weights.load(path, other)
    assert_same(values(other), expected)


def test_a_file_of_keras_of_another_network_is_refused(generic, tmp_path):
    stack("abc").save_weights(tmp_path / "model.weights.h5")
    model = generic()
    before = values(model)
    with pytest.raises(ValueError, match="weights of another network: it has a layer"):
        weights.load(tmp_path / "model.weights.h5", model)
    assert_same(values(model), before)


# Damage


@pytest.mark.parametrize(
    "data", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n" + b"0" * 99]
)
def test_a_damaged_file_is_named(generic, tmp_path, data):
    (tmp_path / "weights.h5").write_bytes(data)
    with pytest.raises(ValueError, match=r"weights\.h5 is damaged: it is not HDF5"):
        weights.load(tmp_path / "weights.h5", generic())


def test_half_a_file_is_damaged(generic, tmp_path):
    whole = weights.dumps(weights.arrays(generic()))
    (tmp_path / "weights.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"weights\.h5 is damaged"):
        weights.load(tmp_path / "weights.h5", generic())


def test_a_file_of_a_newer_version_says_so(generic, tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.attrs["format"] = 4
    with pytest.raises(ValueError, match="has format 4, and this .* reads up to 3"):
        weights.load(tmp_path / "weights.h5", generic())


def test_hdf5_of_something_else_is_refused(generic, tmp_path):
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["temperatures"] = np.arange(3)
    with pytest.raises(ValueError, match="weights of another network"):
        weights.load(tmp_path / "weights.h5", generic())


def test_a_missing_file_is_reported_as_such(generic, tmp_path):
    with pytest.raises(FileNotFoundError):
        weights.load(tmp_path / "missing.h5", generic())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_and_nothing_changes(generic, bad):
    model = generic()
    before = values(model)
    broken = values(model)
    broken["block1_bn/moving_mean"][3] = bad
    with pytest.raises(ValueError, match="file is damaged: block1_bn/moving_mean hol"):
        weights.assign(model, broken, "file")
    assert_same(values(model), before)
    assert weights.not_finite(model) is None
    model.get_layer("stem").kernel.assign(before["stem/kernel"] * bad)
    assert weights.not_finite(model) == "stem/kernel"


def test_kernels_are_stored_in_half_precision_unless_they_overflow():
    given = {
        "a/kernel": np.full((2, 2), 0.1, np.float32),
        "a/bias": np.full(2, 0.1, np.float32),
        "b/kernel": np.full((2, 2), 1e6, np.float32),
        "c/count": np.arange(4).reshape(2, 2),
    }
    stored = weights.stored(given)
    assert {path: value.dtype.name for path, value in stored.items()} == {
        **{"a/kernel": "float16", "a/bias": "float32"},
        **{"b/kernel": "float32", "c/count": "int64"},
    }
    np.testing.assert_array_equal(stored["b/kernel"], given["b/kernel"])
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="weights a/bias hold NaN or infinite"):
            weights.stored({"a/bias": np.array([bad], np.float32)})


@pytest.mark.parametrize("bits", [6, 8])
def test_large_kernels_can_be_rounded_to_integers_with_a_scale_per_channel(bits):
    rng = np.random.default_rng(1)
    given = {
        "a/kernel": rng.normal(size=(3, 3, 40, 40)) * 10 ** rng.normal(size=40),
        "depthwise/kernel": rng.normal(size=(7, 7, 400, 1)),
        "small/kernel": rng.normal(size=(20, 20)),
        "a/gamma": rng.normal(size=9_000),
        "zero/kernel": np.zeros((100, 100)),
    }
    given = {path: value.astype(np.float32) for path, value in given.items()}
    data = weights.dumps(weights.stored(given, weight_bits=bits))
    with h5py.File(io.BytesIO(data)) as file:
        assert {path: file[path].dtype.name for path in given} == {
            **{"a/kernel": "int8", "zero/kernel": "int8", "a/gamma": "float32"},
            **{"depthwise/kernel": "float16", "small/kernel": "float16"},
        }
    found, _ = weights.loads(data, "it")
    largest = np.abs(given["a/kernel"]).max((0, 1, 2))
    step = largest / (2 ** (bits - 1) - 1)
    assert (np.abs(found["a/kernel"] - given["a/kernel"]) <= step * 0.501).all()
    saved = (15 - bits) / 8 * given["a/kernel"].size + given["zero/kernel"].size
    assert len(data) < len(weights.dumps(weights.stored(given, 16))) - saved
    for path in given.keys() - {"a/kernel"}:
        np.testing.assert_allclose(found[path], given[path], rtol=1e-3, atol=1e-4)
    assert set(weights.stored(given, 32)) == set(given)
    with pytest.raises(ValueError, match="weight_bits is 4; expected 6, 8, 16 or 32"):
        weights.stored(given, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"a:scale": np.ones(2, np.float32)},
        {"a": np.ones((3, 2), np.int8), "a:scale": np.ones(3, np.float32)},
        {"a": np.ones((3, 2), np.int8), "a:scale": np.ones(2, np.int8)},
        {"a": np.ones((3, 2), np.float32), "a:scale": np.ones(2, np.float32)},
    ],
)
def test_a_scale_that_fits_no_kernel_is_damage(wrong):
    with pytest.raises(ValueError, match="it is damaged: 'a:scale' does not fit"):
        weights.loads(weights.dumps(wrong), "it")


def hostile(kind, path):
    """The bytes of an HDF5 file whose array is somewhere else, or nowhere."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["format"] = weights.FORMAT
        if kind == "external":
            file.create_dataset("a/kernel", (4,), "<f4", external=[(str(path), 0, 16)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((4,), "<f4")
            layout[:] = h5py.VirtualSource(str(path), "x", (4,))
            file.create_virtual_dataset("a/kernel", layout)
        else:
            packed = {"compression": "gzip"} if kind == "mostly unwritten" else {}
            kernel = file.create_dataset(
                "a/kernel", (10**6,) * 2, "<f4", chunks=(1000,) * 2, **packed
            )
            if packed:
                kernel[0, 0] = 1
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind", ["external", "virtual", "unwritten", "mostly unwritten"]
)
def test_a_file_makes_nobody_read_another_one_or_fill_the_memory(tmp_path, kind):
    secret = tmp_path / "secret"
    np.arange(4, dtype="<f4").tofile(secret)
    with pytest.raises(ValueError, match="damaged.*hold the values of 'a/kernel'"):
        weights.loads(hostile(kind, secret), "it")


def test_a_link_to_another_file_is_not_followed(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.arange(4)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["format"] = weights.FORMAT
        file["a"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x")
    assert weights.loads(buffer.getvalue(), "it") == ({}, {})
