import keras
import numpy as np
import pytest

import zoo
from zoo import backends, layers

pytestmark = pytest.mark.skipif(
    not backends.is_tensorflow_on_cpu(), reason="for TensorFlow on a CPU"
)


def train_step(layer, inputs, upstream):
    """Output in training, gradients of inputs and weights, and the weights after."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        inputs = tf.constant(inputs)
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        loss = tf.reduce_sum(outputs * upstream)
    sources = [inputs, *(weight.value for weight in layer.trainable_weights)]
    return [outputs, *tape.gradient(loss, sources), *layer.get_weights()]


def twins(shape, **arguments):
    """Our layer and Keras's, of the same weights."""
    ours, theirs = (
        module.BatchNormalization(**arguments) for module in (layers, keras.layers)
    )
    rng = np.random.default_rng(0)
    for layer in (ours, theirs):
        layer.build(shape)
    values = [rng.uniform(0.5, 2, w.shape).astype("float32") for w in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    return ours, theirs


@pytest.mark.parametrize("shape", [(8, 5, 5, 6), (2, 1, 1, 3), (3, 4, 7, 1)])
def test_a_batch_normalisation_trains_as_that_of_keras(shape):
    ours, theirs = twins(shape, momentum=0.9, epsilon=1e-5)
    rng = np.random.default_rng(1)
    inputs = rng.normal(3, 2, shape).astype("float32")
    upstream = rng.normal(size=shape).astype("float32")
    for one, other in zip(
        train_step(ours, inputs, upstream), train_step(theirs, inputs, upstream)
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_frozen_batch_normalisation_stays_as_it_is():
    ours, theirs = twins((4, 3, 3, 2))
    inputs = np.random.default_rng(1).normal(size=(4, 3, 3, 2)).astype("float32")
    before = ours.get_weights()
    ours.trainable = theirs.trainable = False
    np.testing.assert_allclose(
        ours(inputs, training=True), theirs(inputs, training=True), rtol=1e-5
    )
    np.testing.assert_equal(ours.get_weights(), before)


def test_the_fast_way_is_taken_in_training_only(monkeypatch, architecture):
    import tensorflow as tf

    calls, original = [], tf.raw_ops.FusedBatchNormV3

    def counted(**arguments):
        calls.append(arguments)
        return original(**arguments)

    monkeypatch.setattr(tf.raw_ops, "FusedBatchNormV3", counted)
    model = zoo.EarlyExitClassifier(architecture, 10)
    images = np.zeros((2, 32, 32, 3), "float32")
    model(images)
    assert not calls
    model(images, training=True)
    normalisations = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(calls) == len(normalisations) > 30
