"""One small early-exit network and its answers, shared by all tests."""

import dataclasses

import keras
import numpy as np
import pytest

from zoo import (
    Architecture,
    Branch,
    ConvModule,
    EarlyExitClassifier,
    EarlyExitModel,
    Stage,
    data,
    exits,
    layers,
    training,
)


@pytest.fixture(scope="session")
def architecture():
    """The cheapest stages at 32 pixels, exits after stages 1 and 3."""
    branch = Branch([ConvModule(8)])
    stages = [Stage.uniform(2, 3, 3)] * 5
    return Architecture(32, stages, [branch, None, branch, None], [0.5, 1, 0.5, 1])


@pytest.fixture(scope="session")
def model(architecture):
    """A network of random weights, not compiled. Change only `adjustable`."""
    keras.utils.set_random_seed(1)
    return EarlyExitClassifier(architecture, num_classes=10)


def small_network(seed=1, num_classes=10, **arguments):
    """A generic model of three exits, quick to compile, with a skip connection."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((None, None, 3), name="images")
    x = layers.FitResolution(16, name="fit_resolution")(images)
    x = keras.layers.Rescaling(1 / 64, -2, name="rescale")(x)
    first = layers.convolution(x, "stem", 8, 3, 2, activation="relu")
    x = layers.normalised(layers.convolution(first, "block1", 8, 3), "block1", "relu")
    first = keras.layers.Add(name="block1_add")([first, x])
    x = layers.convolution(first, "block2", 12, 3, 2, use_bias=False)
    second = layers.normalised(x, "block2", "relu")
    third = layers.convolution(second, "block3", 16, activation="relu")
    features = {"exit1": first, "exit2": second, "final": third}
    logits = [
        layers.classifier(layers.pooled(x, f"{name}_pool"), num_classes, name)
        for name, x in features.items()
    ]
    return EarlyExitModel(images, [first, second], logits, **arguments)


@pytest.fixture(scope="session")
def generic():
    """A function: a model that no `Architecture` describes; see `small_network`."""
    return small_network


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
def labels(logits):
    """Labels for `images` of which every exit of `model` has some right."""
    rng = np.random.default_rng(0)
    lucky = logits[range(len(logits)), rng.integers(logits.shape[1], size=len(logits))]
    return np.where(rng.random(len(logits)) < 0.8, lucky.argmax(-1), 0)


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
def first_digits():
    """The digits, with so many of the first images in each part."""

    def first(**parts):
        digits = data.load("digits")
        taken = {part: getattr(digits, part).take(n) for part, n in parts.items()}
        return dataclasses.replace(digits, **taken)

    return first


@pytest.fixture(scope="session")
def skip_training():
    """In place of `zoo.training.train`: does nothing, and says that it took a while."""
    told = training.TrainingResult(1, seconds=0.1, images_per_second=1, final={})
    return lambda *_, **__: told


@pytest.fixture
def untrained(monkeypatch, skip_training):
    """Networks are built and measured, but keep their initial weights."""
    monkeypatch.setattr(training, "train", skip_training)
