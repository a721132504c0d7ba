"""Data sets of one's own: arrays, files of any name, and registered functions."""

import importlib.util
import textwrap

import numpy as np
import pytest

from zoo import data
from zoo.data import Split


def split(count, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return Split(images, np.arange(count) % classes)


def test_arrays_make_a_data_set_with_a_tenth_held_out():
    train, test = split(50), split(9, seed=1)
    mine = data.from_arrays("mine", train, test)
    assert [len(p.labels) for p in (mine.train, mine.validation, mine.test)] == [
        *(45, 5, 9)
    ]
    assert (mine.name, mine.class_names, mine.flip) == ("mine", ("0", "1", "2"), False)
    together = np.concatenate([mine.train.images, mine.validation.images])
    np.testing.assert_array_equal(
        np.sort(together.reshape(50, -1), axis=0),
        np.sort(train.images.reshape(50, -1), axis=0),
    )
    assert data.from_arrays("mine", train, test).fingerprint == mine.fingerprint


def test_a_validation_split_may_be_given():
    own = data.from_arrays(
        "mine", split(20), split(5), split(7, seed=2), ["a", "b", "c"], flip=True
    )
    assert len(own.train.labels) == 20 and len(own.validation.labels) == 7
    assert own.class_names == ("a", "b", "c") and own.flip


@pytest.mark.parametrize(
    "train, test, options, message",
    [
        (split(5), split(5), {}, "expected more than 0"),
        (split(20), split(5), {"validation": 20}, "expected more than 20"),
        (split(20), split(0), {}, "mine, test: there are no images"),
        (split(20), split(5), {"class_names": ["a", "b"]}, r"labels lie in 0\.\.2"),
        (split(20), split(5), {"class_names": ["a"]}, "mine has 1 classes; expected"),
        (split(20), split(5), {"validation": 0.1}, "validation is 0.1; expected a who"),
        (Split(split(9).images, [1.5] * 9), split(5), {}, "train: labels are float64"),
        (Split(split(9).images, [0] * 9), split(5), {}, "All training images of mine"),
        (split(20), Split(split(5).images[:, 1:], [1] * 5), {}, "train 8 x 8, test 7"),
        (
            Split(split(20).images / 255, split(20).labels),
            *(split(5), {}),
            "mine, train: images are float64",
        ),
    ],
)
def test_unusable_arrays_are_refused(train, test, options, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays("mine", train, test, **options)


def test_any_npz_in_the_folder_is_a_data_set(tmp_path):
    train, test = split(40), split(6, seed=1)
    arrays = {
        **{"x_train": train.images, "y_train": train.labels},
        **{"x_test": test.images, "y_test": test.labels[:, None]},
    }
    np.savez(tmp_path / "plain.npz", **arrays)
    names = np.array(["ant", "bee", "cat"])
    np.savez(tmp_path / "named.npz", **arrays, class_names=names, flip=True)
    plain, named = (data.load(name, tmp_path) for name in ("plain", "named"))
    assert plain.class_names == ("0", "1", "2") and not plain.flip
    assert named.class_names == ("ant", "bee", "cat") and named.flip
    assert (len(plain.train.labels), len(plain.validation.labels)) == (36, 4)
    np.testing.assert_array_equal(plain.test.images, test.images)
    np.testing.assert_array_equal(plain.test.labels, test.labels)


def test_a_file_outside_the_package_registers_a_data_set(tmp_path):
    path = tmp_path / "my_data.py"
    path.write_text(
        textwrap.dedent(
            """
            import numpy as np
            from zoo import data

            @data.register("stripes")
            def stripes(data_dir):
                images = np.zeros((30, 8, 8, 3), np.uint8)
                labels = np.arange(30) % 2
                images[labels == 1, ::2] = 255
                part = data.Split(images, labels)
                return data.from_arrays("stripes", part, part)
            """
        ),
        encoding="utf-8",
    )
    spec = importlib.util.spec_from_file_location("my_data", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert "stripes" in data.names()
    found = data.load("stripes")
    assert found.name == "stripes" and len(found.train.labels) == 27
    with pytest.raises(ValueError, match="already a data set 'stripes'"):
        data.register("stripes")(lambda data_dir: found)
    with pytest.raises(ValueError, match="Did you mean 'stripes'"):
        data.load("stripe")


def test_a_name_of_the_package_cannot_be_taken():
    with pytest.raises(ValueError, match="already a data set 'digits'"):
        data.register("digits")(lambda data_dir: None)
