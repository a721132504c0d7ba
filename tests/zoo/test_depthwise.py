"""The fast gradient of depthwise filters is TensorFlow's own."""

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from zoo import depthwise, layers  # noqa: E402


@pytest.mark.parametrize("stride", (1, 2))
@pytest.mark.parametrize("kernel", (3, 5, 7))
@pytest.mark.parametrize("size", (1, 2, 3, 5, 8))
def test_gradients(size, kernel, stride):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(3, size, size, 6)), tf.float32)
    filters = tf.constant(rng.normal(size=(kernel, kernel, 6, 1)), tf.float32)

    def gradients(convolution):
        with tf.GradientTape() as tape:
            tape.watch((x, filters))
            outputs = convolution()
            loss = tf.reduce_sum(outputs**3)
        return outputs, *tape.gradient(loss, (x, filters))

    ours = gradients(lambda: depthwise.depthwise(x, filters, stride))
    theirs = gradients(
        lambda: tf.nn.depthwise_conv2d(x, filters, (1, stride, stride, 1), "SAME")
    )
    for one, other in zip(ours, theirs):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-3)
    upstream = 3 * ours[0] ** 2
    pairs = depthwise.by_pairs(x, upstream, tf.shape(filters), stride)
    np.testing.assert_allclose(pairs, theirs[2], rtol=1e-4, atol=2e-3)


def test_gradient_where_sizes_are_known_only_in_the_graph():
    signature = [
        tf.TensorSpec((None, None, None, 2)),
        tf.TensorSpec((None, None, 2, 1)),
    ]

    @tf.function(input_signature=signature)
    def gradient(x, filters):
        with tf.GradientTape() as tape:
            tape.watch(filters)
            loss = tf.reduce_sum(depthwise.depthwise(x, filters, 1) ** 2)
        return tape.gradient(loss, filters)

    rng = np.random.default_rng(0)
    for size in (2, 20):  # by pairs, and by TensorFlow's kernel
        x = tf.constant(rng.normal(size=(2, size, size, 2)), tf.float32)
        filters = tf.constant(rng.normal(size=(3, 3, 2, 1)), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(filters)
            y = tf.nn.depthwise_conv2d(x, filters, (1, 1, 1, 1), "SAME")
            loss = tf.reduce_sum(y**2)
        expected = tape.gradient(loss, filters)
        np.testing.assert_allclose(gradient(x, filters), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.compiled
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("arguments", [{}, {"use_bias": True, "activation": "relu"}])
def test_the_layer_trains_as_that_of_keras(arguments, compiled):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(2, 6, 6, 4)), tf.float32)
    arguments = {"use_bias": False} | arguments
    ours = layers.DepthwiseConv2D(3, 2, "same", **arguments)
    theirs = keras.layers.DepthwiseConv2D(3, 2, "same", **arguments)
    for layer in (ours, theirs):
        layer.build(x.shape)
    theirs.set_weights(ours.get_weights())

    def step(layer, **training):
        with tf.GradientTape() as tape:
            outputs = layer(x, **training)
            loss = tf.reduce_sum(outputs**2)
        weights = [variable.value for variable in layer.trainable_variables]
        return outputs, *tape.gradient(loss, weights)

    run = tf.function(step) if compiled else step
    found, expected = run(ours, training=True), run(theirs)
    assert len(found) == (3 if arguments["use_bias"] else 2)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.compiled
def test_nothing_is_left_in_the_registry_of_gradients():
    from tensorflow.python.framework import ops

    x, filters = tf.ones((1, 4, 4, 2)), tf.ones((3, 3, 2, 1))

    @tf.function
    def step(x, filters):
        with tf.GradientTape() as tape:
            tape.watch(filters)
            loss = tf.reduce_sum(depthwise.depthwise(x, filters, 1) ** 2)
        return tape.gradient(loss, filters)

    before = set(ops.gradient_registry.list())
    assert before  # there is such a registry
    assert np.any(step(x, filters))
    assert set(ops.gradient_registry.list()) == before


@pytest.mark.compiled
@pytest.mark.parametrize("takes_part", [True, False])
def test_gradient_inside_a_condition(takes_part):
    x, filters = tf.ones((1, 4, 4, 2)), tf.ones((3, 3, 2, 1))

    @tf.function
    def step(takes_part):
        with tf.GradientTape() as tape:
            tape.watch(filters)
            outputs = tf.cond(
                takes_part, lambda: depthwise.depthwise(x, filters, 1), lambda: x
            )
        return tape.gradient(outputs, filters)

    found = step(tf.constant(takes_part))
    # Each tap meets the 4x4 pixels, or fewer by those that it leaves the map.
    expected = np.outer([3, 4, 3], [3, 4, 3])[..., None, None] * takes_part
    np.testing.assert_array_equal(found, np.broadcast_to(expected, (3, 3, 2, 1)))
