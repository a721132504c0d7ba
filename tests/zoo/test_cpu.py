import keras
import numpy as np
import pytest

import zoo
from zoo import cpu

pytestmark = pytest.mark.skipif(
    not cpu._on_cpu_with_tensorflow(), reason="for TensorFlow on a CPU"
)
SHAPES = [(9, 9), (14, 14), (5, 8), (3, 3), (2, 2), (1, 1)]


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


def twins(kind, shape, **arguments):
    """Our layer and Keras's, of the same weights."""
    ours, theirs = (
        getattr(module, kind)(**arguments) for module in (cpu, keras.layers)
    )
    rng = np.random.default_rng(0)
    for layer in (ours, theirs):
        layer.build(shape)
    values = [rng.uniform(0.5, 2, w.shape).astype("float32") for w in ours.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    return ours, theirs


def fast_ops(monkeypatch, name):
    """Counts the calls of one of TensorFlow's raw operations."""
    import tensorflow as tf

    calls, original = [], getattr(tf.raw_ops, name)

    def counted(**arguments):
        calls.append(arguments)
        return original(**arguments)

    monkeypatch.setattr(tf.raw_ops, name, counted)
    return calls


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_a_depthwise_convolution_trains_as_that_of_keras(kernel, stride, shape):
    shape = (4, *shape, 6)
    ours, theirs = twins(
        *("DepthwiseConv2D", shape),
        **{"kernel_size": kernel, "strides": stride, "padding": "same"},
        use_bias=False,
    )
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=shape).astype("float32")
    upstream = rng.normal(size=ours(inputs).shape).astype("float32")
    for one, other in zip(
        train_step(ours, inputs, upstream), train_step(theirs, inputs, upstream)
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(8, 5, 5, 6), (2, 1, 1, 3), (3, 4, 7, 1)])
def test_a_batch_normalisation_trains_as_that_of_keras(shape):
    ours, theirs = twins("BatchNormalization", shape, momentum=0.9, epsilon=1e-5)
    rng = np.random.default_rng(1)
    inputs = rng.normal(3, 2, shape).astype("float32")
    upstream = rng.normal(size=shape).astype("float32")
    for one, other in zip(
        train_step(ours, inputs, upstream), train_step(theirs, inputs, upstream)
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_frozen_batch_normalisation_stays_as_it_is():
    ours, theirs = twins("BatchNormalization", (4, 3, 3, 2))
    inputs = np.random.default_rng(1).normal(size=(4, 3, 3, 2)).astype("float32")
    before = ours.get_weights()
    ours.trainable = theirs.trainable = False
    np.testing.assert_allclose(
        ours(inputs, training=True), theirs(inputs, training=True), rtol=1e-5
    )
    np.testing.assert_equal(ours.get_weights(), before)


@pytest.mark.parametrize("kind", ["BatchNormalization", "DepthwiseConv2D"])
def test_the_fast_way_is_taken_in_training_only(monkeypatch, kind):
    operation = {
        "BatchNormalization": "FusedBatchNormV3",
        "DepthwiseConv2D": "DepthwiseConv2dNativeBackpropFilter",
    }[kind]
    own = {"kernel_size": 5, "padding": "same", "use_bias": False}
    arguments = own if kind == "DepthwiseConv2D" else {}
    ours, _ = twins(kind, (2, 6, 6, 3), **arguments)
    inputs = np.ones((2, 6, 6, 3), "float32")
    calls = fast_ops(monkeypatch, operation)
    ours(inputs)
    assert not calls
    train_step(ours, inputs, np.ones_like(inputs))
    assert len(calls) == (1 if kind == "BatchNormalization" else 4)


def test_every_network_is_built_of_them():
    stage = zoo.Stage.uniform(depth=2, kernel=5, expansion=3)
    model = zoo.EarlyExitClassifier(zoo.Architecture(32, (stage,) * 5), 10)
    for kind in (keras.layers.DepthwiseConv2D, keras.layers.BatchNormalization):
        layers = [layer for layer in model.layers if isinstance(layer, kind)]
        assert layers
        assert all(type(layer).__module__ == "zoo.cpu" for layer in layers)
