import keras
import numpy as np
import pytest

from zoo import backends, layers


def twins(kernel, **arguments):
    """Our layer and Keras's, of the same weights, for maps of 6 channels."""
    made = [
        module.Conv2D(4, kernel, activation="relu", **arguments)
        for module in (layers, keras.layers)
    ]
    rng = np.random.default_rng(0)
    for layer in made:
        layer.build((None, 1, 1, 6))
    values = [rng.normal(size=w.shape).astype("float32") for w in made[0].weights]
    for layer in made:
        layer.set_weights(values)
    return made


def images(*shape):
    return np.random.default_rng(1).normal(size=shape).astype("float32")


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_convolution_of_one_pixel_trains_as_that_of_keras(use_bias):
    tf = pytest.importorskip("tensorflow")
    inputs, found = tf.constant(images(8, 1, 1, 6)), []
    for layer in twins(1, use_bias=use_bias):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(outputs**2)
        sources = [inputs, *(weight.value for weight in layer.trainable_weights)]
        found.append([outputs, *tape.gradient(loss, sources)])
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "kernel, shape, training, is_keras",
    [
        (1, (2, 1, 1, 6), True, not backends.is_tensorflow_on_cpu()),
        (1, (2, 1, 1, 6), False, True),
        (1, (2, 2, 1, 6), True, True),
        (3, (2, 1, 1, 6), True, True),
    ],
)
def test_only_one_pixel_in_training_is_convolved_in_another_way(
    monkeypatch, kernel, shape, training, is_keras
):
    ours, theirs = twins(kernel, padding="same")
    inputs = images(*shape)
    expected, calls = np.asarray(theirs(inputs)), []
    original = keras.layers.Conv2D.call
    monkeypatch.setattr(
        keras.layers.Conv2D, "call", lambda *args: calls.append(1) or original(*args)
    )
    outputs = ours(inputs, training=training)
    np.testing.assert_allclose(np.asarray(outputs), expected, rtol=1e-5, atol=1e-5)
    assert bool(calls) == is_keras
