import warnings

import keras
import numpy as np
import pytest

from zoo import inputs


def pictures(count=4, dtype="float32"):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, 6, 5, 3)).astype(dtype)


def changed(row, value):
    images = pictures()
    images[row, 0, 0, 0] = value
    return images


@pytest.mark.parametrize("dtype", ["uint8", "int64", "uint16", "float16", "float64"])
def test_images_of_every_number_pass_without_a_warning(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = inputs.check_images(pictures(dtype=dtype))
        inputs.check_images(np.zeros((2, 6, 5, 3)))  # black is no sign of a scale
        inputs.check_images(changed(1, 260.0))  # as a bicubic resize leaves it
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, pictures())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_that_are_not_finite_are_counted(value):
    images = changed(2, value)
    images[3, 1, 1, 1] = value
    with pytest.raises(ValueError, match="2 of 4 images hold NaN .* at index 2"):
        inputs.check_images(images)


@pytest.mark.parametrize(
    "images, message",
    [
        (pictures()[0], r"shape \(6, 5, 3\).* pass image\[None\]"),
        (pictures()[..., :1], r"shape \(4, 6, 5, 1\); expected"),
        (pictures()[:, :0], r"shape \(4, 0, 5, 3\): they have no pixels"),
        (pictures() > 9, "images are bool"),
        (np.full((1, 2, 2, 3), "a"), "images are <U1"),
        ([[1], [2, 3]], "images are not an array"),
    ],
)
def test_unusable_images_are_named(images, message):
    with pytest.raises(ValueError, match=message):
        inputs.check_images(images)


@pytest.mark.parametrize(
    "images, message",
    [
        (pictures() / 255, r"lie in 0\.\.1; .* Multiply them by 255"),
        (pictures() / 128 - 1, r"lie in -1\.\..*Multiply them by 255"),
        (pictures(dtype="uint16") * 257, r"lie in .*\.\.6\d+; .*Scale them to 8 bits"),
    ],
)
def test_images_on_another_scale_are_warned_of(images, message):
    with pytest.warns(UserWarning, match=message):
        inputs.check_images(images)


@pytest.mark.parametrize(
    "shape, message",
    [
        ((4, 6, 5, 3), None),
        ((4, 6, 5, 1), r"shape \(4, 6, 5, 1\); the model expects \(any, 6, any, 3\)"),
        ((4, 5, 5, 3), "the model expects"),
        ((6, 5, 3), "the model expects"),
        ((0, 6, 5, 3), "There are no images"),
    ],
)
def test_the_shape_is_that_of_the_models_input(shape, message):
    images = np.zeros(shape)
    if message is None:
        return inputs.check_shape(images, (None, 6, None, 3))
    with pytest.raises(ValueError, match=message):
        inputs.check_shape(images, (None, 6, None, 3))


def test_a_warning_is_shown_once_for_a_line_of_the_users():
    def predict_early():
        inputs.check_images(pictures() / 255)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for _ in range(3):
            predict_early()
    assert [warning.filename for warning in shown] == [__file__]


class InBatches(keras.utils.PyDataset):
    def __init__(self, items):
        super().__init__()
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return pictures(), np.arange(4)


def as_tf_data(images, labels):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(3)


BATCHED = {
    "generator": lambda x, y: (pair for pair in [(x[:3], y[:3]), (x[3:], y[3:])]),
    "PyDataset": lambda x, y: InBatches([(x[:3], y[:3]), (x[3:], y[3:])]),
    "tf.data": as_tf_data,
}


@pytest.mark.parametrize("kind", BATCHED)
def test_batches_give_what_is_in_them(kind):
    images, labels = pictures(), np.arange(4)
    data = BATCHED[kind](images, labels)
    assert inputs.is_batched(data)
    found = list(inputs.whole(data, None))
    assert [len(part) for part, _ in found] == [3, 1]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), images)
    np.testing.assert_array_equal(np.concatenate([y for _, y in found]), labels)


@pytest.mark.parametrize(
    "images", ["a", 3, [], {}, {1}, [1, 2], [pictures(), "a"], np.float32(2)]
)
def test_what_keras_cannot_take_is_refused(images):
    with pytest.raises(TypeError, match="expected an array, or data in batches"):
        inputs.check_kind(images)


@pytest.mark.parametrize("images", [None, pictures(), [pictures()], {"x": pictures()}])
def test_arrays_in_lists_and_dictionaries_are_left_to_keras(images):
    inputs.check_kind(images)


@pytest.mark.parametrize("data", [pictures(), [1, 2], (1,), "a", None, 3, set()])
def test_arrays_and_lists_do_not_come_in_batches(data):
    assert not inputs.is_batched(data)


@pytest.mark.parametrize(
    "images, labels, message",
    [
        (pictures(), None, "images but no labels"),
        (pictures()[:0], [], "There are no images"),
        (pictures(), [1, 2], r"labels have the shape \(2,\); expected one per image"),
        (pictures(), 3, r"labels have the shape \(\)"),
        (iter([]), None, "There are no images"),
        (iter([pictures()]), None, "The batches hold no labels"),
        (iter([(pictures(), [1])]), None, "one per image, of which there are 4"),
        (iter([{"image": 1}]), None, "A batch is a dict; expected images"),
        (iter([pictures()]), [1], "their labels belong in there"),
        (iter([(changed(0, np.nan), range(4))]), None, "1 of 4 images hold NaN"),
        (Endless(), None, "repeats without end"),
    ],
)
def test_data_that_cannot_be_used_are_named(images, labels, message):
    with pytest.raises(ValueError, match=message):
        list(inputs.whole(images, labels))


def test_tf_data_that_repeat_without_end_are_refused():
    data = as_tf_data(pictures(), np.arange(4)).repeat()
    with pytest.raises(ValueError, match="repeats without end"):
        list(inputs.batches(data))
