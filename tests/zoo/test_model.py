"""What every early-exit model does, on one that no `Architecture` describes."""

import copy
import json

import keras
import numpy as np
import pytest
from keras import ops

import zoo
from zoo import EarlyExitModel, cost, exits


def evaluated(model, images, labels, batch_size=64, **arguments):
    arguments |= {"batch_size": batch_size, "verbose": 0, "return_dict": True}
    return model.evaluate(images, labels, **arguments)


def cross_entropy(logits, labels):
    """Of every sample at every exit, in double precision."""
    logits = logits.astype(float)
    highest = logits.max(-1)
    total = np.log(np.exp(logits - highest[..., None]).sum(-1)) + highest
    return total - logits[np.arange(len(labels)), :, labels]


def assert_logged(logs, expected):
    assert set(logs) == {"loss", *expected}
    assert {key: logs[key] for key in expected} == pytest.approx(expected, rel=1e-5)


POINT = {
    "thresholds": [0.5, 1],
    "accuracy": 0.5,
    "average_macs": 1e4,
    "utilisation": [1, 0, 0],
}


@pytest.fixture(scope="module")
def twin(model, copy_of):
    """A compiled copy of the model, for evaluating."""
    twin = copy_of(model)
    twin.compile("sgd")
    return twin


# Inputs and outputs


def test_the_output_holds_the_logits_of_every_exit_the_final_one_last(
    model, images, logits
):
    names = ("exit1_classifier", "exit2_classifier", "final_classifier")
    classifiers = [model.get_layer(name).output for name in names]
    assert model.output.shape == (None, 3, 10)
    separate = keras.Model(model.input, classifiers)(images)
    np.testing.assert_allclose(np.stack(separate, 1), logits, atol=1e-5)
    assert model.num_exits == 3


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_images_of_other_types_give_the_same(model, images, logits, dtype):
    found = model.predict(images.astype(dtype), verbose=0)
    np.testing.assert_allclose(found, logits, atol=1e-5)


# Loss


@pytest.mark.parametrize("weights", [None, (0.5, 0, 2), [1, 1, 1]])
def test_the_loss_is_the_weighted_sum_of_the_cross_entropies(
    model, images, logits, labels, copy_of, weights
):
    weighted = copy_of(model, exit_weights=weights)
    weighted.compile("sgd", run_eagerly=True)
    found = evaluated(weighted, images, labels)["loss"]
    each = cross_entropy(logits, labels).mean(0)
    assert found == pytest.approx(np.dot(weights or (1, 1, 1), each), rel=1e-5)


def test_exit_weights_may_be_set_on_a_compiled_model(
    copy_of, model, images, logits, labels
):
    weighted = copy_of(model)
    weighted.compile("sgd")
    each = cross_entropy(logits, labels).mean(0)
    for weights in ((1, 1, 1), (1, 0, 0), None):
        weighted.exit_weights = weights
        found = evaluated(weighted, images, labels)["loss"]
        assert found == pytest.approx(np.dot(weights or (1, 1, 1), each), rel=1e-5)
    with pytest.raises(ValueError, match="has 2 entries; expected 3"):
        weighted.exit_weights = (1, 0)


def test_sample_weights_weigh_loss_and_metrics(twin, images, logits, labels):
    weights = np.linspace(0, 2, 64, dtype="float32")
    found = evaluated(twin, images, labels, sample_weight=weights)
    expected = (weights[:, None] * cross_entropy(logits, labels)).mean(0).sum()
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    right = logits[:, -1].argmax(-1) == labels
    share = np.average(right, weights=weights)
    assert found["final_accuracy"] == pytest.approx(share) != right.mean()


@keras.saving.register_keras_serializable(package="tests")
class Brier(keras.losses.Loss):
    def call(self, labels, logits):
        wanted = ops.one_hot(ops.cast(labels, "int32"), logits.shape[-1])
        return ops.sum((ops.softmax(logits) - wanted) ** 2, axis=-1)


def test_a_loss_object_is_applied_to_every_exit(model, images, logits, labels, copy_of):
    other = copy_of(model)
    other.compile("sgd", loss=Brier(), run_eagerly=True)
    found = evaluated(other, images, labels)["loss"]
    wanted = np.eye(10)[labels][:, None]
    expected = ((np.array(ops.softmax(logits)) - wanted) ** 2).sum(-1).mean(0).sum()
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("eagerly", [True, False])
@pytest.mark.parametrize(
    "loss",
    [
        "mse",
        keras.losses.sparse_categorical_crossentropy,
        keras.losses.SparseCategoricalCrossentropy(),
    ],
    ids=["name", "function", "probabilities"],
)
def test_a_loss_that_is_no_object_is_rejected(
    model, images, labels, copy_of, loss, eagerly
):
    other = copy_of(model)
    other.compile("sgd", loss=loss, run_eagerly=eagerly)
    with pytest.raises(
        ValueError, match="outputs are logits. Pass an .*from_logits=True"
    ):
        other.fit(images, labels, verbose=0)


# Metrics


def test_the_logs_follow_the_thresholds(
    twin, images, logits, labels, balanced, expected_metrics
):
    early = balanced(logits)
    seen = set()
    for thresholds in (early, (1, early[1]), (1, 1), (0, 0.5), early):
        twin.thresholds = thresholds
        logs = evaluated(twin, images, labels, batch_size=24)
        assert_logged(logs, expected_metrics(twin, logits, labels))
        seen.add((logs["accuracy"], logs["average_macs"]))
    assert len(seen) == 4


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
def test_the_logs_of_fit_follow_the_thresholds(
    model, images, logits, labels, copy_of, balanced, expected_metrics
):
    frozen = copy_of(model)
    frozen.trainable = False
    frozen.compile("sgd")
    for thresholds in (balanced(logits), (1, 1)):
        frozen.thresholds = thresholds
        history = frozen.fit(images, labels, verbose=0).history
        logs = {key: value for key, (value,) in history.items()}
        assert_logged(logs, expected_metrics(frozen, logits, labels))


def test_thresholds_may_change_while_training(model, images, labels, copy_of):
    class ChangeMind(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.thresholds = (0, 0.5)

    frozen = copy_of(model, thresholds=(1, 1))
    frozen.trainable = False
    frozen.compile("sgd")
    change = [ChangeMind()]
    history = frozen.fit(images, labels, epochs=2, callbacks=change, verbose=0).history
    macs = frozen.macs
    full = macs.backbone[-1]
    assert history["average_macs"] == pytest.approx([full, macs.per_exit[0]])


@pytest.mark.parametrize("rule", exits.RULES)
def test_the_logs_follow_the_rule_and_metrics_of_your_own_agree(
    model, images, logits, labels, copy_of, balanced, expected_metrics, rule
):
    ruled = copy_of(model, exit_rule=rule, thresholds=balanced(logits, rule))
    accuracy = keras.metrics.SparseCategoricalAccuracy
    ruled.compile(
        "sgd",
        metrics=["accuracy", accuracy("mine")],
        weighted_metrics=[accuracy("weighted")],
        run_eagerly=True,
    )
    logs = evaluated(ruled, images, labels)
    expected = expected_metrics(ruled, logits, labels)
    assert_logged(
        logs, expected | dict.fromkeys(("mine", "weighted"), expected["accuracy"])
    )


# Training


def test_fit_lowers_the_loss(model, images, labels, copy_of):
    learner = copy_of(model)
    learner.compile(keras.optimizers.SGD(0.1))
    history = learner.fit(images, labels, batch_size=32, epochs=6, verbose=0).history
    losses = history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda y: y + 8, r"labels lie in 8\.\.1\d; expected 0\.\.9 for 10 classes"),
        (lambda y: y - 1, r"labels lie in -1\.\."),
        (lambda y: y.astype(float), "labels are float64; expected integers"),
        (lambda y: np.eye(9)[y % 9], r"shape \(64, 9\); expected \(64,\)"),
        (lambda y: 2 * np.eye(10)[y], "a row is not a distribution"),
        (lambda y: np.full((64, 10), np.nan), "a row is not a distribution"),
    ],
)
def test_unusable_labels_are_rejected_before_anything_runs(
    twin, images, labels, method, change, message
):
    before = twin.get_weights()
    with pytest.raises(ValueError, match=message):
        getattr(twin, method)(images, change(labels), verbose=0)
    for old, new in zip(before, twin.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_labels_may_stand_in_a_column(twin, images, labels):
    column = labels[:, None].astype("uint8")
    expected = evaluated(twin, images, labels)
    assert evaluated(twin, images, column) == pytest.approx(expected)


def test_the_batch_size_may_be_given_by_position_as_in_keras(twin, images, labels):
    expected = twin.evaluate(images, labels, batch_size=16, verbose=0)
    assert twin.evaluate(images, labels, 16, verbose=0) == pytest.approx(expected)


# Arguments


@pytest.mark.parametrize(
    "thresholds, message",
    [
        ((), "thresholds has 0 entries; expected 2"),
        ((0.5,) * 3, "thresholds has 3 entries; expected 2"),
        ((0.5, 1.5), r"thresholds\[1\] is 1.5; expected 0 to 1"),
        ((-0.1, 1), r"thresholds\[0\] is -0.1"),
        ((float("nan"), 1), r"thresholds\[0\] is nan"),
        ((0.5, None), r"thresholds\[1\] is None"),
        (0.5, "thresholds is 0.5; expected one number per exit"),
    ],
)
def test_unusable_thresholds_are_rejected_and_the_old_ones_stay(
    adjustable, thresholds, message
):
    with pytest.raises(ValueError, match=message):
        adjustable.thresholds = thresholds
    assert adjustable.thresholds == (0.5, 0.5)


def test_thresholds_become_a_tuple_of_floats(adjustable):
    adjustable.thresholds = np.float32([0.25, 1])
    assert repr(adjustable.thresholds) == "(0.25, 1.0)"


def test_the_exit_rule_is_fixed(model):
    with pytest.raises(AttributeError):
        model.exit_rule = "entropy"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"thresholds": (0.5,)}, "thresholds has 1 entries; expected 2"),
        ({"exit_rule": "margin"}, "no exit rule 'margin'; choose from score_margin"),
        ({"exit_weights": (1, 1)}, "exit_weights has 2 entries; expected 3"),
        ({"exit_weights": (1, np.nan, 1)}, r"exit_weights\[1\] is nan; expected a n"),
        ({"exit_weights": (1, 1, -1)}, r"exit_weights\[2\] is -1.0; expected a num"),
        ({"frontier": [POINT | {"thresholds": [7, 1]}]}, r"frontier\[0\].thresholds"),
        ({"frontier": [POINT | {"utilisation": [1]}]}, r"utilisation has 1 entries"),
    ],
)
def test_unusable_arguments_of_a_generic_model_are_rejected(
    generic, arguments, message
):
    with pytest.raises(ValueError, match=message):
        generic(**arguments)


def test_every_exit_but_the_last_has_features(model):
    with pytest.raises(ValueError, match="1 features and logits of 3 exits; expected"):
        EarlyExitModel(model.inputs[0], model.exit_features[:1], model.exit_logits)


@pytest.mark.parametrize("kind", [tuple, list, np.array])
def test_exit_weights_may_be_any_sequence(generic, images, labels, kind):
    weighted = generic(exit_weights=kind([0.5, 0.5, 1.0]))
    logits = weighted(images[:8])
    expected = cross_entropy(np.array(logits), labels[:8]).mean(0) @ [0.5, 0.5, 1]
    found = weighted.compute_loss(y=labels[:8], y_pred=logits)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    config = json.loads(json.dumps(weighted.get_config()))
    assert config["exit_weights"] == [0.5, 0.5, 1]


# Budgets


@pytest.mark.parametrize("source", ["images", "frontier"])
def test_a_budget_sets_the_most_accurate_affordable_thresholds(
    adjustable, images, logits, source
):
    labels = logits[:, -1].argmax(-1)  # a larger budget buys more accuracy
    points = exits.frontier(logits, labels, adjustable.macs)
    budget = (points[0].average_macs + points[-1].average_macs) / 2
    if source == "frontier":
        adjustable.frontier = points
        chosen = adjustable.set_budget(budget)
    else:
        chosen = adjustable.set_budget(budget, images, labels)
    found = exits.evaluate(logits, labels, adjustable.macs, adjustable.thresholds)
    assert adjustable.thresholds == chosen.thresholds
    assert found.average_macs == pytest.approx(chosen.average_macs)
    assert found.average_macs <= budget
    best = max(p.accuracy for p in points if p.average_macs <= budget)
    assert found.accuracy == chosen.accuracy == best
    assert found.accuracy > points[0].accuracy


@pytest.mark.parametrize("call", ["cost", "set_budget"])
def test_a_generic_model_is_counted_only_in_standard_macs(model, call):
    assert model.conventions() == ("standard",)
    assert model.cost() == model.macs
    arguments = (1e9,) if call == "set_budget" else ()
    with pytest.raises(ValueError, match="convention is 'aebnas'.*'standard'"):
        getattr(model, call)(*arguments, convention="aebnas")


def test_a_budget_out_of_reach_names_the_cheapest_and_changes_nothing(
    adjustable, images, logits, labels
):
    cheapest = exits.frontier(logits, labels, adjustable.macs)[0].average_macs
    with pytest.raises(ValueError, match=f"cheapest .* needs {cheapest:,.0f} "):
        adjustable.set_budget(cheapest - 1, images, labels)
    assert adjustable.thresholds == (0.5, 0.5)


def test_a_budget_needs_a_frontier_or_images(model):
    with pytest.raises(ValueError, match="no measured frontier: pass images"):
        model.set_budget(1e9)


def test_a_budget_needs_the_labels_of_the_images(adjustable, images):
    with pytest.raises(ValueError, match="images but no labels"):
        adjustable.set_budget(1e9, images)


class Pairs(keras.utils.PyDataset):
    """Images and labels in batches, on any backend."""

    def __init__(self, images, labels, size=24):
        super().__init__()
        self.split, self.size = (images, labels), size

    def __len__(self):
        return -(-len(self.split[0]) // self.size)

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return tuple(part[rows] for part in self.split)


@pytest.mark.parametrize("given", ["arrays", "one-hot", "batches"])
def test_tune_measures_the_frontier_and_sets_the_best_thresholds(
    adjustable, images, logits, labels, given
):
    points = exits.frontier(logits, labels, adjustable.macs)
    one_hot = np.eye(10)[labels]
    arguments = {
        "arrays": (images, labels),
        "one-hot": (images, one_hot),
        "batches": (Pairs(images, one_hot),),
    }[given]
    budget = points[1].average_macs
    chosen = adjustable.tune(*arguments, max_macs=budget)
    assert chosen.thresholds == adjustable.thresholds == points[1].thresholds
    assert adjustable.frontier == points
    assert adjustable.tune(*arguments) == points[-1]
    by_score = exits.tune_thresholds(
        logits, labels, adjustable.macs, target_macs=budget
    )
    assert adjustable.tune(*arguments, target_macs=budget) == by_score
    assert adjustable.thresholds == by_score.thresholds


@pytest.mark.parametrize(
    "budget, message",
    [
        ({"max_macs": 1, "target_macs": 1}, "give one of them"),
        ({"max_macs": "1e6"}, "max_macs is '1e6'; expected a number"),
        ({"max_macs": True}, "max_macs is True; expected a number"),
        ({"target_macs": 0}, "target_macs is 0; expected more than 0"),
        ({"target_macs": float("inf")}, "target_macs is inf; expected more than 0"),
    ],
)
def test_a_budget_to_tune_for_is_checked_before_anything_runs(model, budget, message):
    with pytest.raises(ValueError, match=message):
        model.tune(None, None, **budget)


def test_a_budget_without_images_is_refused(model, images):
    with pytest.raises(ValueError, match="There are no images"):
        model.set_budget(9e5, images[:0], [])


# Data in batches, and what training leaves stale


def test_one_hot_labels_in_batches_train_and_measure(model, images, labels, copy_of):
    learner = copy_of(model)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)
    sgd = keras.optimizers.SGD(0.0)
    learner.compile(sgd, loss=loss, metrics=["accuracy"], run_eagerly=True)
    data = Pairs(images, np.eye(10, dtype="float32")[labels])
    trained = learner.fit(data, verbose=0).history
    found = learner.evaluate(data, verbose=0, return_dict=True)
    expected = learner.evaluate(images, labels, verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(trained["loss"]).all()


def test_predict_early_takes_batches_with_or_without_labels(adjustable, images, labels):
    expected = adjustable.predict_early(images)
    for data in (Pairs(images, labels), iter([images[:40], images[40:]])):
        found = adjustable.predict_early(data)
        np.testing.assert_array_equal(found.exits, expected.exits)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, 1e-4)


def test_training_empties_the_frontier_and_makes_thresholds_stale(
    model, images, logits, labels, copy_of
):
    points = exits.frontier(logits, labels, model.macs)
    learner = copy_of(model, frontier=points)
    learner.compile("sgd", run_eagerly=True)
    assert not learner.thresholds_are_stale
    with pytest.raises(ValueError, match="labels are float64"):
        learner.fit(images, labels / 2, verbose=0)
    assert learner.frontier == points  # nothing was trained
    learner.fit(images[:8], labels[:8], verbose=0)
    assert learner.frontier == ()
    assert learner.thresholds == model.thresholds
    assert learner.thresholds_are_stale
    learner.thresholds = (0.3, 0.4)
    assert not learner.thresholds_are_stale


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "predict_early"])
def test_images_that_are_not_finite_are_refused(twin, images, labels, method):
    broken = images.astype("float32")
    broken[[3, 5]] = np.nan
    arguments = (broken, labels) if method in ("fit", "evaluate") else (broken,)
    with pytest.raises(ValueError, match="2 of 64 images hold NaN"):
        getattr(twin, method)(*arguments)


def test_weights_that_become_nan_end_the_training(model, images, labels, copy_of):
    learner = copy_of(model)
    learner.compile("sgd", run_eagerly=True)
    broken = np.where(np.arange(8) == 3, np.nan, images[:8].T).T
    with pytest.raises(FloatingPointError, match=r"The weights \S+ became NaN"):
        learner.fit(Pairs(broken, labels[:8]), verbose=0)


def test_any_name_becomes_one_that_keras_takes(generic, images):
    named = generic(name="my modèle/2")
    assert named.name == "my_mod_le_2"
    named.predict_on_batch(images[:1])


# Cost


def test_the_cost_of_a_generic_model_is_counted_from_its_layers(model):
    classifiers = [8 * 8 * 8 * 10, 4 * 4 * 12 * 10, 4 * 4 * 16 * 10]
    stem, block1 = 8 * 8 * 8 * 3 * 9, 8 * 8 * 8 * 8 * 9
    block2, block3 = 4 * 4 * 12 * 8 * 9, 4 * 4 * 16 * 12
    first, second = stem + block1, stem + block1 + block2
    assert model.macs.backbone == (first, second, second + block3 + classifiers[2])
    assert model.macs.branches == tuple(classifiers[:2])
    assert model.macs.parameters == sum(
        int(np.prod(weight.shape)) for weight in model.trainable_weights
    )


def test_a_layer_of_unknown_cost_is_named_unless_the_cost_is_given(model):
    x = keras.layers.Flatten()(model.exit_features[0])
    x = keras.layers.SpectralNormalization(keras.layers.Dense(10), name="odd")(x)
    with pytest.raises(TypeError, match="'odd', a SpectralNormalization, are not"):
        EarlyExitModel(model.inputs[0], [], [x])
    given = cost.Cost((7,), (), 1)
    assert EarlyExitModel(model.inputs[0], [], [x], given).macs == given


# Saving, cloning


def plain_config(model):
    return json.loads(json.dumps(model.get_config()))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_saving_keeps_everything_that_a_model_notes(
    generic, images, logits, labels, tmp_path, policy
):
    with zoo.backends.dtype_policy(policy):
        saved = generic(exit_rule="entropy", exit_weights=[0.5, 0.25, 1], name="mine")
    saved.frontier = exits.frontier(logits, labels, saved.macs)
    saved.class_names = tuple("abcdefghij")
    saved.thresholds = saved.frontier[1].thresholds
    saved.compile(keras.optimizers.SGD(0.125), loss=Brier(), run_eagerly=True)
    saved.save(tmp_path / "model.keras")
    found = keras.saving.load_model(tmp_path / "model.keras")
    assert type(found) is EarlyExitModel
    assert found.frontier == saved.frontier and len(found.frontier) > 1
    assert found.class_names == saved.class_names
    assert found.thresholds == saved.thresholds
    assert (found.exit_rule, found.exit_weights) == ("entropy", (0.5, 0.25, 1))
    assert found.macs == saved.macs
    assert found.name == "mine"
    assert plain_config(found) == plain_config(saved)
    assert [layer.dtype_policy.name for layer in found.layers[1:]] == [
        layer.dtype_policy.name for layer in saved.layers[1:]
    ]
    assert (
        found.get_layer("block1").compute_dtype
        == saved.get_layer("block1").compute_dtype
        == (policy.removeprefix("mixed_"))
    )
    np.testing.assert_allclose(found(images), saved(images), atol=1e-5)
    assert float(found.optimizer.learning_rate) == 0.125
    assert isinstance(found.loss, Brier)


def test_the_configuration_is_plain_json_that_gives_the_same_network(
    model, images, logits
):
    config = plain_config(model)
    twin = EarlyExitModel.from_config(config)
    twin.set_weights(model.get_weights())
    assert plain_config(twin) == config
    np.testing.assert_allclose(twin(images), logits, atol=1e-5)


def test_a_deep_copy_is_the_same_network(model, images, logits):
    twin = copy.deepcopy(model)
    assert type(twin) is EarlyExitModel
    assert plain_config(twin) == plain_config(model)
    np.testing.assert_allclose(twin(images), logits, atol=1e-5)


@pytest.mark.parametrize("classes", [3, 10])
def test_new_classifiers_keep_the_rest_and_share_nothing(model, classes):
    new = model.with_new_classifiers(classes)
    assert new.output_shape == (None, 3, classes)
    assert new.num_classes == classes
    assert new.thresholds == model.thresholds
    assert new.macs.branches[0] == 8 * 8 * 8 * classes
    assert not {id(w) for w in model.weights} & {id(w) for w in new.weights}
    replaced = []
    for layer in model.layers:
        old, now = layer.get_weights(), new.get_layer(layer.name).get_weights()
        if layer.name.endswith("_classifier"):
            replaced.append(layer.name)
            assert now[0].shape[-1] == classes
            assert classes != 10 or (now[0] != old[0]).all()
        else:
            for a, b in zip(old, now, strict=True):
                np.testing.assert_array_equal(a, b)
    assert len(replaced) == 3
