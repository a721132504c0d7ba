import dataclasses

import numpy as np
import pytest

from zoo import exits, training
from zoo.training import soft_exits


@pytest.fixture(scope="module")
def confidences(logits):
    return np.array(exits.confidence(logits))


def recursively(confidences, values):
    """NACHOS's own recursion, from the last exit backwards."""
    mixed = values[:, -1]
    for k in range(values.shape[1] - 2, -1, -1):
        c = confidences[:, k].reshape(-1, *[1] * (values.ndim - 2))
        mixed = c * values[:, k] + (1 - c) * mixed
    return mixed


def test_weights_unroll_the_recursion(confidences, logits):
    shares = np.array(soft_exits.weights(confidences))
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(
        (shares[..., None] * logits).sum(1), recursively(confidences, logits), rtol=1e-4
    )


def test_a_sure_exit_takes_all():
    shares = np.array(soft_exits.weights(np.array([[0.0, 1.0, 0.5]], "float32")))
    assert shares.tolist() == [[0, 1, 0]]


def test_cross_entropy_is_that_of_the_mixture(confidences, logits, labels):
    softmax = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mixture = recursively(confidences, softmax)
    expected = -np.log(mixture[np.arange(len(labels)), labels]).mean()
    shares = soft_exits.weights(confidences)
    got = soft_exits.cross_entropy(labels, logits, shares)
    assert float(got) == pytest.approx(expected, rel=1e-4)


def test_cost_is_relative_to_what_is_above_the_limit(confidences):
    macs = [1e6, 2e6, 5e6]
    shares = soft_exits.weights(confidences)
    mixed = recursively(confidences, np.tile(macs, (len(confidences), 1))).mean()
    limit = 0.9 * mixed
    expected = (mixed - limit) / (5e6 - limit)
    assert float(soft_exits.cost(shares, macs, limit)) == pytest.approx(expected, 1e-3)
    assert float(soft_exits.cost(shares, macs, 1.1 * mixed)) == 0
    assert float(soft_exits.cost(shares, macs, 6e6)) == 0


def test_peak_by_hand():
    # Two samples of class 0, one of which exit 1 gets right, and one of class 1.
    logits = np.zeros((3, 2, 2), "float32")
    logits[:, 0] = [[5, 0], [0, 5], [0, 5]]
    confidences = np.array([[0.5, 0], [0.9, 0], [0.8, 0]], "float32")
    accuracy = [0.5, 0.5, 1]
    errors = (confidences[:, 0] - accuracy) ** 2
    expected = (errors[:2].mean() + errors[2]) / 2  # classes count the same
    got = soft_exits.peak(np.array([0, 0, 1]), logits, confidences)
    assert float(got) == pytest.approx(expected, rel=1e-5)


SOFT = training.Recipe(
    "soft", epochs=2, batch_size=32, learning_rate=0.05, augmentation="none",
    soft_exits=True,
)  # fmt: skip


def trained(generic, dataset, recipe):
    model = generic()
    before = model.get_layer("exit1_classifier").get_weights()[0]
    training.train(model, dataset, recipe, verbose=0, validate=False)
    return model, np.abs(model.get_layer("exit1_classifier").get_weights()[0] - before)


def test_the_first_phase_leaves_the_branches_alone(generic, first_digits):
    few = first_digits(train=64, validation=32)
    alone = dataclasses.replace(SOFT, phases=(1.0, 0.0))
    assert trained(generic, few, alone)[1].max() == 0
    assert trained(generic, few, SOFT)[1].max() > 0


def test_the_cost_term_makes_exits_confident(generic, first_digits):
    few = first_digits(train=64, validation=32)
    slow = {"epochs": 3, "learning_rate": 0.004, "phases": (0.0, 1.0)}
    long = dataclasses.replace(SOFT, **slow)
    frugal = dataclasses.replace(long, macs_limit=1.0, cost_weight=20.0)

    def confidence(recipe):
        model, _ = trained(generic, few, recipe)
        logits = model.predict(few.train.images, verbose=0)
        return float(np.mean(exits.confidence(logits[:, 0])))

    assert confidence(frugal) > confidence(long) + 0.1


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"phases": (0.8, 0.4)}, "together at most 1"),
        ({"phases": (0.5,)}, "two shares"),
        ({"distillation": 0.3}, "no teacher"),
        ({"macs_limit": 0}, "macs_limit"),
        ({"peak_weight": -1}, "peak_weight"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SOFT, **changes)
