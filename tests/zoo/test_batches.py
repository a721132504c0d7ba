"""Batches of images as data sets."""

import numpy as np
import pytest
import tensorflow as tf

from zoo import data

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 4, 5, 3), np.uint8)
LABELS = np.arange(30) % 3


def batches(images=IMAGES, labels=LABELS, size=8):
    return tf.data.Dataset.from_tensor_slices((images, labels)).batch(size)


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], np.eye(3)[LABELS]])
def test_datasets_of_tensorflow_become_arrays(labels):
    train = batches(IMAGES.astype(np.float32) + 0.3 * (IMAGES < 255), labels)
    train.class_names = ["ant", "bee", "cat"]
    found = data.from_batches("mine", train, batches(), batches(), flip=True)
    assert found.class_names == ("ant", "bee", "cat") and found.flip
    for part in (found.train, found.validation, found.test):
        assert part.images.dtype == np.uint8 and part.labels.dtype == np.int64
        np.testing.assert_array_equal(part.images, IMAGES)
        np.testing.assert_array_equal(part.labels, LABELS)


def test_single_images_may_be_black():
    black = np.zeros_like(IMAGES)
    black[7] = 200
    for images in (black, black.astype(np.float32)):
        found = data.from_batches("mine", batches(images, size=1), batches(), 5)
        assert found.train.images.max() == 200


@pytest.mark.parametrize("validation, count", [(None, 3), (5, 5)])
def test_validation_images_are_held_out(validation, count):
    plain = [(IMAGES[:20], list(LABELS[:20])), (IMAGES[20:], list(LABELS[20:]))]
    found = data.from_batches("mine", plain, plain, validation)
    assert found.class_names == ("0", "1", "2")
    assert (len(found.validation.labels), len(found.test.labels)) == (count, 30)


@pytest.mark.parametrize(
    "train, message",
    [
        (
            batches(IMAGES / 255),
            r"mine, train: images have values in 0\.\.1; exp",
        ),
        (batches(IMAGES - 20.0), "values in -20..235; expected 0..255"),
        (batches(np.full(IMAGES.shape, np.nan)), "values in nan..nan"),
        (batches().unbatch(), r"have the shape \(4, 5, 3\).* Call batch"),
        (batches().map(lambda x, y: x), "a batch is a .*Tensor; expected a pair"),
        (batches().repeat(), "repeats without end"),
        ([], "mine, train: there are no images"),
        ([(IMAGES, LABELS), (IMAGES[:, 1:], LABELS)], "images differ in size"),
        ([(IMAGES[..., :1], LABELS)], r"uint8 of shape \(30, 4, 5, 1\)"),
        ([(IMAGES, LABELS[1:])], "30 images but 29 labels"),
    ],
)
def test_unusable_batches_are_refused(train, message):
    with pytest.raises(ValueError, match=message):
        data.from_batches("mine", train, batches())
