import dataclasses
import os
import pathlib
import sys
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from zoo import data
from zoo.data import DATA_DIR_VARIABLE, Split

REAL = pathlib.Path(os.environ.get(DATA_DIR_VARIABLE) or "missing")
PARTS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def no_data_by_default(monkeypatch):
    monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def arrays(train=5100, test=40, classes=10):
    """Training image i shows i, test image i shows 60000 + i; labels count up."""
    result = {}
    for part, first, count in (("train", 0, train), ("test", 60000, test)):
        number = np.arange(first, first + count)
        images = np.zeros((count, 2, 2, 3), np.uint8)
        images[:, 0, 0, 0], images[:, 1, 1, 2] = number % 256, number // 256
        result[f"x_{part}"] = images
        result[f"y_{part}"] = (number % classes).astype(np.uint8)[:, None]
    return result


def shown(split):
    return split.images[:, 0, 0, 0] + 256 * split.images[:, 1, 1, 2].astype(int)


def write(folder, name="cifar10", **changes):
    contents = {**arrays(), **changes}
    path = folder / f"{name}.npz"
    np.savez(path, **{k: v for k, v in contents.items() if v is not None})
    return path


def assert_split(dataset, train, validation, test):
    """Every image is in one part, with its own label."""
    sizes = [len(getattr(dataset, part).labels) for part in PARTS]
    assert sizes == [train, validation, test]
    seen = [shown(getattr(dataset, part)) for part in PARTS]
    everything = [*range(train + validation), *range(60000, 60000 + test)]
    assert sorted(np.concatenate(seen)) == everything
    for part, numbers in zip(PARTS, seen):
        split = getattr(dataset, part)
        assert split.labels.dtype == np.int64
        assert split.labels.tolist() == (numbers % dataset.num_classes).tolist()


# Digits


def test_digits_are_split_into_three_parts_that_make_up_all_of_them(digits):
    sizes = [len(getattr(digits, part).labels) for part in PARTS]
    assert sizes == [1258, 180, 359]
    assert sum(sizes) == 1797
    assert (digits.name, digits.num_classes, digits.flip) == ("digits", 10, False)


@pytest.mark.parametrize("part", PARTS)
def test_digits_are_enlarged_grey_scans_of_every_class(digits, part):
    images, labels = getattr(digits, part)
    assert images.dtype == np.uint8
    assert images.shape == (len(labels), 32, 32, 3)
    assert (images.min(), images.max()) == (0, 255)
    np.testing.assert_array_equal(images[..., :1].repeat(3, -1), images)
    scans = images[:, ::4, ::4]
    np.testing.assert_array_equal(scans.repeat(4, 1).repeat(4, 2), images)
    assert labels.dtype == np.int64
    assert set(labels) == set(range(10))


def test_digits_are_split_alike_at_every_call(digits):
    again = data.load("digits", "/nowhere")
    for part in PARTS:
        for one, other in zip(getattr(digits, part), getattr(again, part)):
            np.testing.assert_array_equal(one, other)
    assert again.fingerprint == digits.fingerprint


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("field", Split._fields)
def test_the_fingerprint_changes_with_one_value(digits, part, field):
    split = getattr(digits, part)
    changed = getattr(split, field).copy()
    changed.flat[-1] ^= 1
    other = dataclasses.replace(digits, **{part: split._replace(**{field: changed})})
    assert len(digits.fingerprint) == 16
    assert other.fingerprint != digits.fingerprint


def test_take_gives_the_first_samples(digits):
    few = digits.test.take(7)
    np.testing.assert_array_equal(few.images, digits.test.images[:7])
    np.testing.assert_array_equal(few.labels, digits.test.labels[:7])
    assert len(digits.test.take(None).labels) == 359


def test_a_data_set_is_printed_on_a_line_without_its_pixels(digits):
    shown = repr(digits)
    assert shown.startswith("Dataset(name='digits', class_names=('0', '1',")
    assert "test=Split(images of shape (359, 32, 32, 3))" in shown
    assert len(shown.splitlines()) == 1


# Files


def test_a_file_is_split_with_columns_of_labels_flattened(tmp_path):
    write(tmp_path)
    dataset = data.load("cifar10", tmp_path)
    assert_split(dataset, 100, 5000, 40)
    assert dataset.class_names == data.CIFAR10_CLASSES
    assert dataset.flip
    assert data.load("cifar10", str(tmp_path)).fingerprint == dataset.fingerprint


@pytest.mark.parametrize(
    "name, train, classes, validation, flip",
    [("cifar100", 5200, 100, 5000, True), ("svhn_cropped", 7400, 10, 7325, False)],
)
def test_other_sets_have_their_own_split(
    tmp_path, name, train, classes, validation, flip
):
    write(tmp_path, name, **arrays(train, 30, classes))
    dataset = data.load(name, tmp_path)
    assert_split(dataset, train - validation, validation, 30)
    assert (dataset.num_classes, dataset.flip) == (classes, flip)


def test_the_environment_names_the_folder_and_the_argument_wins(tmp_path, monkeypatch):
    for folder, count in (("default", 30), ("given", 20)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, **arrays(test=count))
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path / "default"))
    assert len(data.load("cifar10").test.labels) == 30
    assert len(data.load("cifar10", tmp_path / "given").test.labels) == 20


@pytest.mark.skipif(
    not (REAL / "cifar10.npz").is_file(),
    reason=f"needs cifar10.npz in the folder that {DATA_DIR_VARIABLE} names",
)
def test_real_cifar10_has_its_sizes_and_balanced_test_classes():
    dataset = data.load("cifar10", REAL)
    shapes = [getattr(dataset, part).images.shape for part in PARTS]
    assert shapes == [(n, 32, 32, 3) for n in (45000, 5000, 10000)]
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    both = np.concatenate([dataset.train.labels, dataset.validation.labels])
    assert np.bincount(both).tolist() == [5000] * 10


# tensorflow-datasets


def fake_tfds(monkeypatch, load):
    module = SimpleNamespace(load=load, as_numpy=lambda arrays: arrays)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", module)


@pytest.mark.parametrize("data_dir", [None, "folder"])
def test_without_a_file_tensorflow_datasets_is_asked(tmp_path, monkeypatch, data_dir):
    data_dir = data_dir and tmp_path / data_dir
    calls = []

    def load(name, split, **options):
        calls.append((name, split, options))
        return arrays()[f"x_{split}"], arrays()[f"y_{split}"][:, 0]

    fake_tfds(monkeypatch, load)
    assert_split(data.load("cifar10", data_dir), 100, 5000, 40)
    options = {"data_dir": data_dir, "batch_size": -1, "as_supervised": True}
    assert calls == [("cifar10", part, options) for part in ("train", "test")]


def test_a_file_comes_before_tensorflow_datasets(tmp_path, monkeypatch):
    fake_tfds(monkeypatch, lambda *_, **__: pytest.fail("asked"))
    write(tmp_path)
    assert_split(data.load("cifar10", tmp_path), 100, 5000, 40)


REMEDIES = ("svhn_cropped.npz", "data_dir", DATA_DIR_VARIABLE, "pip install tensorflow")


@pytest.mark.parametrize("data_dir", [None, "folder"])
def test_missing_data_names_the_remedies(data_dir):
    with pytest.raises(FileNotFoundError) as error:
        data.load("svhn_cropped", data_dir)
    assert all(remedy in str(error.value) for remedy in REMEDIES)
    assert ("in folder." in str(error.value)) == (data_dir is not None)


@pytest.mark.parametrize(
    "raised, reason",
    [
        (ConnectionError("no route\nto the host"), "ConnectionError: no route)"),
        (RuntimeError(), "RuntimeError: )"),
    ],
)
def test_a_failed_download_names_its_reason_and_the_remedies(
    monkeypatch, raised, reason
):
    def load(*_, **__):
        raise raised

    fake_tfds(monkeypatch, load)
    with pytest.raises(FileNotFoundError) as error:
        data.load("svhn_cropped")
    assert all(text in str(error.value) for text in (*REMEDIES, reason))


# Bad input


@pytest.mark.parametrize(
    "name, hint",
    [
        ("cifar", "Did you mean 'cifar10'"),
        ("digit", "Did you mean 'digits'?"),
        ("svhn", "Did you mean 'svhn_cropped'?"),
        ("xyz", "svhn_cropped."),
    ],
)
def test_an_unknown_name_gives_the_known_and_a_near_one(name, hint):
    with pytest.raises(ValueError) as error:
        data.load(name)
    message = str(error.value)
    assert message.startswith(f"There is no data set {name!r}; choose from cifar10, ")
    assert hint in message and message.endswith(f"or {DATA_DIR_VARIABLE}.")


def damage(path, kind):
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = bytearray(whole)
    flipped[middle] ^= 1
    path.write_bytes(
        {
            "empty": b"",
            "text": b"<html>404 Not Found</html>",
            "cut": whole[:middle],
            "flipped": flipped,
        }[kind]
    )


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "flipped"])
def test_a_damaged_file_is_named(tmp_path, kind):
    path = write(tmp_path)
    damage(path, kind)
    with pytest.raises(ValueError, match=r"cifar10\.npz is not readable as a data set"):
        data.load("cifar10", tmp_path)


@pytest.mark.parametrize(
    "member",
    [
        b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'shape': (3, (2,)".ljust(128),
        b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, "
        b"'shape': (9000000000000000000, 900)}".ljust(118),
        b"\x93NUMPY\x01\x00v\x00" + b"[" * 118,
        b"\x93NUMPY\x09\x00v\x00",
    ],
    ids=["header", "huge", "nested", "version"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_array_with_a_damaged_header_is_named(tmp_path, member):
    path = write(tmp_path, x_train=None)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("x_train.npy", member)
    with pytest.raises(ValueError, match=r"cifar10\.npz is not readable as a data set"):
        data.load("cifar10", tmp_path)


def test_an_archive_that_python_cannot_unpack_is_named(tmp_path):
    path = write(tmp_path)
    whole = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = whole.find(mark)
        while start >= 0:  # a kind of compression that does not exist
            whole[start + offset] = 97
            start = whole.find(mark, start + 1)
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"cifar10\.npz is not readable as a data set"):
        data.load("cifar10", tmp_path)


def test_a_single_array_is_not_a_data_set(tmp_path):
    with open(tmp_path / "cifar10.npz", "wb") as file:
        np.save(file, np.zeros((3, 2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"cifar10\.npz is not readable as a data set"):
        data.load("cifar10", tmp_path)


@pytest.mark.parametrize("missing", ["x_train", "y_train", "x_test", "y_test"])
def test_a_missing_array_is_named(tmp_path, missing):
    write(tmp_path, **{missing: None})
    with pytest.raises(ValueError, match=f"{missing}.* Expected the arrays"):
        data.load("cifar10", tmp_path)


NO_IMAGES = np.zeros((0, 2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"x_train": NO_IMAGES}, "train: there are no images"),
        ({"x_test": NO_IMAGES}, "test: there are no images"),
        ({"x_test": np.zeros((40, 2, 2, 3))}, r"test: images are float64 .*uint8"),
        ({"x_test": np.zeros((40, 2, 2), np.uint8)}, r"of shape \(40, 2, 2\)"),
        ({"x_test": np.zeros((40, 3, 2, 2), np.uint8)}, r"shape \(40, 3, 2, 2\)"),
        ({"y_test": np.zeros(39, int)}, "40 images but 39 labels"),
        ({"y_test": np.eye(9)[np.zeros(40, int)]}, r"shape \(40, 9\)"),
        ({"y_test": np.full(40, 2.7)}, "test: labels are float64; expected integers"),
        ({"y_test": np.full(40, np.nan)}, "test: labels are float64; expected integ"),
        ({"y_test": np.full(40, "cat")}, "test: labels are <U3; expected integers"),
        ({"y_test": np.array(3)}, "test: 40 images but 0 labels"),
        ({"x_test": np.array(3, np.uint8)}, r"images are uint8 of shape \(\)"),
        ({"x_test": np.zeros((40, 0, 0, 3), np.uint8)}, "have no pixels"),
        ({"x_test": np.zeros((40, 3, 2, 3), np.uint8)}, "train 2 x 2, test 3 x 2"),
        ({"y_train": np.full(5100, 2)}, "training images .* of the class bird; exp"),
        ({"y_test": np.full(40, 10)}, r"labels lie in 10\.\.10; expected 0\.\.9"),
        ({"y_train": np.arange(5100) % 11 - 1}, r"train: labels lie in -1\.\.9"),
    ],
)
def test_unusable_arrays_are_rejected(tmp_path, changes, message):
    write(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        data.load("cifar10", tmp_path)


def test_a_file_with_too_few_images_to_split_is_rejected(tmp_path):
    write(tmp_path, **arrays(train=5000))
    with pytest.raises(ValueError, match="5,?000"):
        data.load("cifar10", tmp_path)
