"""A small generic model and its answers, shared by the tests of the zoo."""

import keras
import numpy as np
import pytest

from zoo import EarlyExitModel, exits, layers


def small_network(seed=1, num_classes=10, **arguments):
    """A generic model of three exits, quick to compile, with a skip connection."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((None, None, 3), name="images")
    x = layers.FitResolution(16, name="fit_resolution")(images)
    x = keras.layers.Rescaling(1 / 16, -8, name="rescale")(x)
    first = layers.convolution(x, "stem", 8, 3, 2, activation="relu")
    x = layers.normalised(layers.convolution(first, "block1", 8, 3), "block1", "relu")
    first = keras.layers.Add(name="block1_add")([first, x])
    x = layers.convolution(first, "block2", 12, 3, 2, use_bias=False)
    second = layers.normalised(x, "block2", "relu")
    third = layers.convolution(second, "block3", 16, activation="relu")
    features = {"exit1": first, "exit2": second, "final": third}
    logits = [layers.classifier(x, num_classes, name) for name, x in features.items()]
    return EarlyExitModel(images, [first, second], logits, **arguments)


@pytest.fixture(scope="session")
def generic():
    """A function: a model that no `Architecture` describes; see `small_network`."""
    return small_network


@pytest.fixture(scope="session")
def model():
    """A generic model of random weights, not compiled. Change only `adjustable`."""
    return small_network(thresholds=(0.5, 0.5))


@pytest.fixture
def adjustable(model):
    """`model`, whose thresholds and frontier a test may set."""
    thresholds, frontier = model.thresholds, model.frontier
    yield model
    model.thresholds, model.frontier = thresholds, frontier


@pytest.fixture(scope="session")
def copy_of():
    """A function: the model anew, with the same weights and other arguments."""

    def copy(model, **changes):
        twin = type(model).from_config(model.get_config() | changes)
        twin.set_weights(model.get_weights())
        return twin

    return copy


@pytest.fixture(scope="session")
def images():
    """64 images of noise, uint8."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (64, 32, 32, 3)).astype("uint8")


@pytest.fixture(scope="session")
def logits(model, images):
    """The answers of `model` to `images`."""
    return model.predict(images, verbose=0)


@pytest.fixture(scope="session")
def some_right():
    """A function: labels of which every exit has some right."""

    def labels(logits):
        rng, count = np.random.default_rng(0), len(logits)
        lucky = logits[range(count), rng.integers(logits.shape[1], size=count)]
        return np.where(rng.random(count) < 0.8, lucky.argmax(-1), 0)

    return labels


@pytest.fixture(scope="session")
def labels(logits, some_right):
    """Labels for `images` of which every exit of `model` has some right."""
    return some_right(logits)


@pytest.fixture(scope="session")
def balanced():
    """A function: thresholds at which a fair share of the samples takes every exit.

    Each lies in the widest gap between the confidences of the middle third of those
    that are still there, so that rounding errors decide nothing.
    """

    def balanced(logits, rule="score_margin"):
        staying, thresholds = np.array(exits.confidence(logits, rule)), []
        for k in range(logits.shape[1] - 1):
            ordered = np.sort(staying[:, k])
            middle = ordered[len(ordered) // 3 : -(len(ordered) // 3)]
            gap = np.diff(middle).argmax()
            thresholds.append(float(middle[gap : gap + 2].mean()))
            staying = staying[staying[:, k] < thresholds[-1]]
        return tuple(thresholds)

    return balanced


@pytest.fixture(scope="session")
def expected_metrics():
    """A function: what a model has to log of these logits, but the loss."""

    def expected(model, logits, labels):
        found = exits.evaluate(
            logits, labels, model.macs, model.thresholds, model.exit_rule
        )
        *early, final = found.exit_accuracy
        return {
            "accuracy": found.accuracy,
            **{f"exit{k}_accuracy": value for k, value in enumerate(early, 1)},
            "final_accuracy": final,
            "average_macs": found.average_macs,
        }

    return expected
