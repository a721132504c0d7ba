"""Exits on networks that are not of the paper's space."""

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from zoo import EarlyExitModel, exits, heads
from zoo.attachment import EXITS

SIDE = 16


def backbone(top=None, name="own"):
    """Convolutions with a skip connection that two cuts must not sever."""
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(4, 3, 2, "same", name="stem")(images)
    skip = x = layers.Activation("relu", name="stem_relu")(x)
    x = layers.Conv2D(4, 3, 1, "same", name="inner")(x)
    x = layers.BatchNormalization(name="inner_bn")(x)
    x = layers.Add(name="add")([skip, x])
    x = layers.Conv2D(6, 3, 2, "same", activation="relu", name="wide")(x)
    x = layers.DepthwiseConv2D(3, 1, "same", name="last")(x)
    if top:
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        x = layers.Dense(5, activation=top, name="answers")(x)
    return keras.Model(images, x, name=name)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (9, SIDE, SIDE, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return zoo.attach(backbone(), ["stem_relu", "add"], num_classes=5)


def test_a_single_tensor_crosses_every_cut_point():
    found = {point.layer: point for point in zoo.cut_points(backbone())}
    assert list(found)[1:] == ["stem", "stem_relu", "add", "wide", "last"]
    stem, inner = 8 * 8 * 4 * 3 * 9, 8 * 8 * 4 * 4 * 9
    wide, last = 4 * 4 * 6 * 4 * 9, 4 * 4 * 6 * 9
    assert found["add"].macs == stem + inner
    assert found["add"].shape == (8, 8, 4)
    assert found["last"].macs == stem + inner + wide + last
    assert found["wide"].share == (stem + inner + wide) / found["last"].macs


def test_cut_points_of_a_network_for_images_of_any_size_have_no_macs():
    images = keras.Input((None, None, 3))
    network = keras.Model(images, layers.Conv2D(4, 3, name="conv")(images))
    assert [(p.macs, p.share) for p in zoo.cut_points(network)] == [(0, None)] + [
        (None, None)
    ]


@pytest.mark.parametrize(
    "name, points",  # counted independently
    [("MobileNetV2", 76), ("EfficientNetB0", 86), ("NASNetMobile", 7)],
)
def test_cut_points_of_published_networks(name, points):
    network = getattr(keras.applications, name)(weights=None)
    found = zoo.cut_points(network)
    assert len(found) == points
    published = {"MobileNetV2": 300e6, "EfficientNetB0": 0.39e9, "NASNetMobile": 564e6}
    assert found[-1].macs == pytest.approx(published[name], rel=0.03)


def test_weights_and_final_features_are_the_backbones(model, images):
    keras.utils.set_random_seed(1)
    alone = backbone()
    attached = zoo.attach(alone, ["add"], num_classes=5)
    _, features = attached.backbone.predict(images, verbose=0)
    np.testing.assert_allclose(features, alone.predict(images, verbose=0), rtol=1e-5)
    assert attached.get_layer("wide") is alone.get_layer("wide")


def test_predict_early_is_the_rule_on_all_logits(model, images):
    logits = model.predict(images, verbose=0)
    assert logits.shape == (len(images), 3, 5)
    margins = exits.confidence(logits)[:, :-1]
    model.thresholds = tuple(np.median(margins, axis=0))
    early = model.predict_early(images, batch_size=4)
    taken = exits.decide(logits, model.thresholds)
    assert len(set(taken)) > 1
    np.testing.assert_array_equal(early.exits, taken)
    np.testing.assert_array_equal(
        early.labels, logits[np.arange(len(images)), taken].argmax(-1)
    )


def test_images_of_other_sizes_are_resized(model, images):
    large = images.repeat(2, axis=1).repeat(3, axis=2)
    fitted = zoo.layers.FitResolution(SIDE)(large.astype(np.float32))
    np.testing.assert_allclose(
        model.predict(large, verbose=0),
        model.predict(keras.ops.convert_to_numpy(fitted), verbose=0),
        rtol=1e-4,
        atol=1e-4,
    )


def test_costs_are_those_of_the_parts(model):
    stem, inner = 8 * 8 * 4 * 3 * 9, 8 * 8 * 4 * 4 * 9
    rest = 4 * 4 * 6 * 4 * 9 + 4 * 4 * 6 * 9
    assert model.macs.backbone == (stem, stem + inner, stem + inner + rest + 6 * 5)
    assert model.macs.branches == (4 * 5, 4 * 5)


@pytest.mark.parametrize("way", ["zoo", "keras"])
def test_a_saved_model_answers_alike(model, images, tmp_path, way):
    model.thresholds = (0.3, 0.4)
    if way == "zoo":
        zoo.save(model, tmp_path / "my model")
        loaded = zoo.load(tmp_path / "my model")
        tolerance = {"rtol": 2e-2, "atol": 2e-2}  # stored in half precision
    else:
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        tolerance = {"rtol": 1e-5, "atol": 1e-5}
    assert type(loaded) is EarlyExitModel
    assert loaded.thresholds == model.thresholds
    assert loaded.macs == model.macs
    assert len(loaded.heads) == 3
    np.testing.assert_allclose(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0), **tolerance
    )


def test_backbone_and_heads_freeze_in_the_way_of_keras():
    model = zoo.attach(backbone(), ["add"], num_classes=5)
    assert len(model.trainable_weights) == 2 * 7
    model.backbone.trainable = False
    assert {w.path.split("/")[0] for w in model.trainable_weights} == {
        "exit1_classifier",
        "final_classifier",
    }
    model.heads[0].trainable = False
    assert len(model.trainable_weights) == 2
    assert not model.backbone.trainable


@pytest.mark.parametrize("top", ["softmax", "linear"])
def test_a_classifier_of_its_own_is_kept_as_logits(images, top):
    own = backbone(top)
    model = zoo.attach(own, ["add"])
    logits = model.predict(images, verbose=0)[:, -1]
    answers = own.predict(images, verbose=0)
    if top == "softmax":
        logits = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    np.testing.assert_allclose(logits, answers, rtol=1e-4, atol=1e-5)


def test_a_classifier_is_replaced_for_other_classes():
    model = zoo.attach(backbone("softmax"), ["add"], num_classes=3)
    assert model.output_shape == (None, 2, 3)
    assert model.final_features.shape == (None, 6)


def test_a_nested_backbone_is_taken_apart(images):
    base = backbone()
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 255, name="rescale")(inputs)
    x = base(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    nested = keras.Model(inputs, layers.Dense(5, name="answers")(x))
    names = [point.layer for point in zoo.cut_points(nested)]
    assert {"rescale", "stem", "add", "wide", "pool"} <= set(names)
    assert "inner" not in names
    model = zoo.attach(nested, ["add"])
    answers = nested.predict(images, verbose=0)
    np.testing.assert_allclose(
        model.predict(images, verbose=0)[:, -1], answers, rtol=1e-4, atol=1e-5
    )


def test_a_sequential_model_and_preprocessing(images):
    network = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Conv2D(4, 3, name="first"),
            layers.Conv2D(4, 3, name="second"),
        ]
    )

    def halved(x):
        return x / 2 - 1

    model = zoo.attach(network, ["first"], num_classes=2, preprocessing=halved)
    first, _ = model.backbone.predict(images, verbose=0)
    expected = network.layers[0](halved(images.astype(np.float32)))
    np.testing.assert_allclose(first, expected, rtol=1e-4, atol=1e-3)
    again = EarlyExitModel.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(
        again.predict(images, verbose=0), model.predict(images, verbose=0), rtol=1e-5
    )


def test_exits_are_placed_at_equal_steps_of_macs():
    images = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(3, 1, name="conv0")(images)
    for k in range(1, 8):
        x = layers.Conv2D(3, 1, name=f"conv{k}")(x)
        x = layers.Activation("relu", name=f"relu{k}")(x)
    network = keras.Model(images, x)

    def places(exits):
        model = zoo.attach(network, exits, num_classes=2)
        return [tensor._keras_history.operation.name for tensor in model.exit_features]

    assert places("auto") == places(3) == ["relu1", "relu3", "relu5"]
    assert places(1) == ["relu3"]
    assert len(places(EXITS + 1)) == EXITS + 1
    with pytest.raises(ValueError, match="exits is 50; this network can be cut in 8"):
        zoo.attach(network, 50, num_classes=2)
    with pytest.raises(ValueError, match="exits is 0; expected 1 or more"):
        zoo.attach(network, 0, num_classes=2)


def test_each_exit_can_have_a_head_of_its_own():
    branch = heads.Branch([heads.ConvModule(8)])
    model = zoo.attach(
        backbone(), {"add": branch, "stem_relu": "linear"}, num_classes=5, head="fixed"
    )
    names = [layer.name for layer in model.layers]
    assert "exit1_pool" in names and "exit1_module1_conv" not in names
    assert "exit2_module1_conv" in names
    assert "final_wide" in names


def vit(**changes):
    small = dict(resolution=8, patch=4, width=8, depth=2, heads=2, mlp_width=16)
    return zoo.backbones.vit(**(small | changes))


@pytest.mark.parametrize("token", ["mean", "first"])
def test_a_transformer_gets_exits(images, token):
    head = heads.TokenHead(token)
    model = zoo.attach(vit(), ["block1_output"], num_classes=5, head=head)
    tokens, width = 4, 8
    patches = tokens * width * 4 * 4 * 3
    attention = 4 * tokens * width**2 + 2 * tokens**2 * width
    block = attention + 2 * tokens * width * 16
    assert model.macs.backbone == (patches + block, patches + 2 * block + width * 5)
    logits = model.predict(images, verbose=0)
    model.thresholds = (float(np.median(exits.confidence(logits)[:, 0])),)
    early = model.predict_early(images)
    np.testing.assert_array_equal(early.exits, exits.decide(logits, model.thresholds))
    again = EarlyExitModel.from_config(model.get_config())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again.predict(images, verbose=0), logits, rtol=1e-4)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"patch": 3}, "patch is 3; expected a divisor of the resolution, 8"),
        ({"heads": 3}, "heads is 3; expected a divisor of the width, 8"),
    ],
)
def test_an_impossible_transformer_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        vit(**arguments)


def subclassed():
    class Own(keras.Model):
        def call(self, x):
            return x

    return Own()


def two_inputs():
    a, b = keras.Input((SIDE, SIDE, 3)), keras.Input((SIDE, SIDE, 3))
    return keras.Model([a, b], layers.Add()([a, b]), name="two")


def grey():
    images = keras.Input((SIDE, SIDE, 1))
    return keras.Model(images, layers.Conv2D(2, 3)(images), name="grey")


def any_size():
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(2, 3, name="conv")(images)
    return keras.Model(images, layers.ReLU()(x))


@pytest.mark.parametrize(
    "make, arguments, message",
    [
        (subclassed, {}, "is a Own; expected a functional Keras model"),
        (two_inputs, {}, "'two' has 2 inputs and 1 outputs; expected one of each"),
        (grey, {}, "'grey' takes inputs of shape .*; expected images"),
        (any_size, {"num_classes": 2}, "resolution"),
        (backbone, {}, "ends in features of shape .* pass num_classes"),
        (lambda: backbone("sigmoid"), {}, "another activation than softmax"),
        (backbone, {"exits": ["ad"], "num_classes": 2}, "Did you mean 'add'"),
        (
            backbone,
            {"exits": ["inner"], "num_classes": 2},
            "cannot be cut after 'inner': the output of 'stem_relu' goes past it",
        ),
        (backbone, {"exits": ["last"], "num_classes": 2}, "'last' is where the final"),
        (
            backbone,
            {"exits": ["add"], "num_classes": 2, "head": "token"},
            "The head 'token' does not fit features of shape",
        ),
        (backbone, {"num_classes": 2, "head": "lineal"}, "Did you mean 'linear'"),
    ],
)
def test_what_cannot_be_attached_is_refused(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        zoo.attach(make(), **{"exits": 1} | arguments)
