import keras
import numpy as np
import pytest

from zoo import losses

LABELS = np.array([3, 1, 4])
ONE_HOT = np.eye(5, dtype="float32")[LABELS]
LOGITS = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")


def cross_entropy(targets):
    shifted = LOGITS - np.log(np.exp(LOGITS).sum(1, keepdims=True))
    return -(targets * shifted).sum(1).mean()


def value(loss, labels):
    loss, labels = losses.of_logits(loss, labels, 5)
    return float(loss(labels, LOGITS))


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], ONE_HOT])
@pytest.mark.parametrize("loss", [None, *losses.BY_NAME])
def test_the_cross_entropy_fits_the_labels(loss, labels):
    assert value(loss, labels) == pytest.approx(cross_entropy(ONE_HOT), rel=1e-5)


def test_soft_labels_are_taken_as_they_are():
    soft = 0.7 * ONE_HOT + 0.3 * ONE_HOT[::-1]
    assert value(None, soft) == pytest.approx(cross_entropy(soft), rel=1e-5)


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], ONE_HOT])
def test_label_smoothing_takes_classes_and_one_hot_labels(labels):
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    expected = cross_entropy(0.9 * ONE_HOT + 0.02)
    assert value(loss, labels) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None], ONE_HOT, 0.6 * ONE_HOT])
def test_classes_of_labels(labels):
    np.testing.assert_array_equal(losses.classes(labels, 5), LABELS)


def test_a_sparse_loss_does_not_take_one_hot_labels():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match=r"Pass keras.*\.CategoricalCrossentropy"):
        value(loss, ONE_HOT)
