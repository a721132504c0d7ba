"""Training with parts frozen: heads on features computed once, normalisation."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from zoo import heads, training
from zoo.training.frozen import frozen_normalisation, on_cached_features


@pytest.fixture(scope="module")
def digits(first_digits):
    return first_digits(train=96, validation=32, test=32)


def attached(head="linear"):
    keras.utils.set_random_seed(1)
    images = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, 2, "same", activation="relu", name="first")(images)
    x = layers.BatchNormalization(name="first_bn")(x)
    x = layers.Conv2D(8, 3, 2, "same", activation="relu", name="second")(x)
    x = layers.BatchNormalization(name="second_bn")(x)
    network = keras.Model(images, x)
    return zoo.attach(network, ["first_bn"], num_classes=10, head=head)


def values(model, part):
    return [keras.ops.convert_to_numpy(w) for w in getattr(model, part).weights]


def head_values(model):
    found = (head.weights for head in model.heads)
    return [keras.ops.convert_to_numpy(w) for weights in found for w in weights]


def changed(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after)]


def recipe(**changes):
    plain = {"epochs": 1, "heads_epochs": 0, "batch_size": 32}
    return training.recipe("finetune", **plain | changes)


@pytest.mark.parametrize(
    "head, size", [("linear", 6 + 8), (heads.Branch([heads.ConvModule(8)]), 64 * 14)]
)
def test_heads_on_cached_features_answer_as_in_the_whole_model(digits, head, size):
    model = attached(head)
    small, features = on_cached_features(model, digits)
    if head == "linear":
        assert features.train.images.shape == (96, size)
    assert features.train.images.dtype == np.float16
    np.testing.assert_array_equal(features.train.labels, digits.train.labels)
    np.testing.assert_allclose(
        small.predict(features.validation.images.astype(np.float32), verbose=0),
        model.predict(digits.validation.images, verbose=0),
        rtol=2e-2,
        atol=2e-2 * 255,
    )
    assert small.macs == model.macs


def test_the_scheme_of_heads_trains_the_heads_alone(digits, tmp_path):
    model = attached()
    backbone, before = values(model, "backbone"), head_values(model)
    settings = recipe(scheme="heads", epochs=2, freeze_normalisation=False)
    told = training.train(model, digits, settings, tmp_path, verbose=0)
    assert not any(changed(backbone, values(model, "backbone")))
    assert all(changed(before, head_values(model)))
    assert "val_exit1_accuracy" in told.final
    # It is finished, and says so when it is asked for again.
    again = training.train(model, digits, settings, tmp_path, verbose=0)
    assert again == told


def test_heads_come_first_where_the_recipe_says_so(digits, tmp_path):
    model = attached()
    training.train(model, digits, recipe(heads_epochs=1), tmp_path, verbose=0)
    assert (tmp_path / "heads" / "log.csv").exists()
    assert (tmp_path / "log.csv").exists()


def test_frozen_normalisation_keeps_statistics_and_weights(digits):
    model = attached()
    layer = model.get_layer("first_bn")
    before = layer.get_weights()
    kernel = np.array(model.get_layer("first").kernel)
    training.train(model, digits, recipe(scheme="joint"), verbose=0)
    for old, new in zip(before, layer.get_weights()):
        np.testing.assert_array_equal(old, new)
    assert not np.array_equal(kernel, np.array(model.get_layer("first").kernel))
    assert layer.trainable
    training.train(
        model, digits, recipe(scheme="joint", freeze_normalisation=False), verbose=0
    )
    assert all(changed(before, layer.get_weights()))


def test_what_was_not_trainable_stays_so():
    model = attached()
    model.get_layer("first_bn").trainable = False
    with frozen_normalisation(model):
        assert not model.get_layer("second_bn").trainable
    assert model.get_layer("second_bn").trainable
    assert not model.get_layer("first_bn").trainable


def test_the_mixed_scheme_trains_the_final_exit_alone_at_first(digits):
    """One step of two: the first half of the training."""
    model = attached()
    first_head = [np.array(w) for w in model.heads[0].weights]
    kernel = np.array(model.get_layer("second").kernel)
    one_step = dataclasses.replace(digits, train=digits.train.take(32))

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.heads = [np.array(w) for w in model.heads[0].weights]
            self.model.stop_training = True

    stop = Stop()
    settings = recipe(epochs=2, clip_norm=None)
    training.train(model, one_step, settings, verbose=0, callbacks=[stop])
    assert not any(changed(first_head, stop.heads))
    assert not np.array_equal(kernel, np.array(model.get_layer("second").kernel))
    training.train(model, one_step, settings, verbose=0)
    assert all(changed(first_head, [np.array(w) for w in model.heads[0].weights]))


def test_smoothed_labels_are_keras_s(digits):
    model = attached()
    trainer = training.trainer.Trainer(
        model,
        keras.layers.Identity(),
        recipe(scheme="joint", label_smoothing=0.2),
        None,
    )
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 2, 10)).astype(np.float32)
    labels = np.array([1, 2, 3, 4])
    smooth = keras.losses.CategoricalCrossentropy(True, label_smoothing=0.2)
    expected = sum(float(smooth(np.eye(10)[labels], logits[:, k])) for k in (0, 1))
    found = trainer.compute_loss(None, labels, keras.ops.convert_to_tensor(logits))
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"optimizer": "adamw"}, "Recipe.optimizer is 'adamw'; expected sgd, adam"),
        ({"scheme": "both"}, "Recipe.scheme is 'both'; expected joint, mixed, heads"),
        ({"soft_exits": True}, "Recipe.scheme is 'mixed'; expected 'joint'"),
        ({"label_smoothing": 1.0}, "Recipe.label_smoothing is 1.0"),
        ({"heads_epochs": -1}, "Recipe.heads_epochs is -1"),
        ({"heads_epochs": 2.5}, "Recipe.heads_epochs is 2.5; expected a whole number"),
        ({"macs_limit": 10**400}, "Recipe.macs_limit is 1000"),
    ],
)
def test_impossible_recipes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        recipe(**changes)
