import copy
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from zoo import (
    Architecture,
    Block,
    Branch,
    ConvModule,
    EarlyExitClassifier,
    FixedBranch,
    Stage,
    cost,
    exits,
    macs,
)
from zoo.architecture import (
    BRANCH_EXPANSIONS,
    BRANCH_KERNELS,
    BRANCH_SIZES,
    DEPTHS,
    EXPANSIONS,
    KERNELS,
    RESOLUTIONS,
)

STAGES = [Stage.uniform(2, 3, 3)] * 5
NETWORKS = {
    "static": Architecture(32, STAGES),
    "fixed branches": Architecture(
        36, STAGES, [FixedBranch(), None, None, FixedBranch()], [0.2, 1, 1, 0.3]
    ),
    "pooled branch of two modules": Architecture(
        32,
        STAGES,
        [None, Branch([ConvModule(10, 3, 2, True), ConvModule(8, 5)]), None, None],
        [1, 0.1, 1, 1],
    ),
}


def evaluated(model, images, labels, batch_size=64, **arguments):
    arguments |= {"batch_size": batch_size, "verbose": 0, "return_dict": True}
    return model.evaluate(images, labels, **arguments)


def cross_entropy(logits, labels):
    """Of every sample at every exit, in double precision."""
    logits = logits.astype(float)
    highest = logits.max(-1)
    total = np.log(np.exp(logits - highest[..., None]).sum(-1)) + highest
    return total - logits[np.arange(len(labels)), :, labels]


def expected_metrics(model, logits, labels):
    """What has to be logged, but the loss."""
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


def assert_logged(logs, expected):
    assert set(logs) == {"loss", *expected}
    assert {key: logs[key] for key in expected} == pytest.approx(expected, rel=1e-5)


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
    names = ("exit1_classifier", "exit3_classifier", "final_classifier")
    classifiers = [model.get_layer(name).output for name in names]
    assert model.output.shape == (None, 3, 10)
    separate = keras.Model(model.input, classifiers)(images)
    np.testing.assert_allclose(np.stack(separate, 1), logits, atol=1e-5)
    assert model.num_exits == 3


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_images_of_other_types_give_the_same(model, images, logits, dtype):
    found = model.predict(images.astype(dtype), verbose=0)
    np.testing.assert_allclose(found, logits, atol=1e-5)


@pytest.mark.parametrize("height, width", [(8, 8), (50, 28), (64, 64)])
def test_images_of_other_sizes_are_resized(model, images, height, width):
    images = np.resize(images, (8, height, width, 3)).astype("float32")
    resized = ops.image.resize(
        images, (32, 32), antialias=True, data_format="channels_last"
    )
    np.testing.assert_allclose(model(images), model(resized), atol=1e-4)


def test_the_summary_names_every_branch(model):
    lines = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert "exit1_module1_conv" in text and "exit3_module1_conv" in text


# Every kind of network


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, images, labels):
    """A network of another kind after one epoch, and what it logged."""
    keras.utils.set_random_seed(1)
    network = EarlyExitClassifier(NETWORKS[request.param], num_classes=10)
    network.compile("sgd", run_eagerly=True)
    history = network.fit(images, labels, batch_size=64, verbose=0).history
    return network, history


def test_every_kind_of_network_logs_its_exits(network, images, labels):
    network, history = network
    expected = expected_metrics(network, network.predict(images, verbose=0), labels)
    logs = evaluated(network, images, labels)
    assert_logged(logs, expected)
    assert set(history) == {"loss", *expected}


def test_every_kind_of_network_predicts_early_by_the_rule(network, images, balanced):
    network, _ = network
    logits = network.predict(images, verbose=0)
    network.thresholds = balanced(logits)
    found = network.predict_early(images, batch_size=30)
    chosen = exits.decide(logits, network.thresholds)
    assert np.bincount(chosen, minlength=network.num_exits).all()
    assert found.exits.tolist() == chosen.tolist()
    assert found.labels.tolist() == logits.argmax(-1)[range(64), chosen].tolist()


def test_every_kind_of_network_survives_saving(network, images, tmp_path):
    network, _ = network
    network.save(tmp_path / "network.keras")
    found = keras.models.load_model(tmp_path / "network.keras")
    assert type(found) is EarlyExitClassifier
    assert found.get_config() == network.get_config()
    np.testing.assert_allclose(found(images[:9]), network(images[:9]), atol=1e-5)


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
        "sparse_categorical_crossentropy",
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
    with pytest.raises(ValueError, match=r"leave the loss out.*from_logits=True"):
        other.fit(images, labels, verbose=0)


# Metrics


def test_the_logs_follow_the_thresholds(twin, images, logits, labels, balanced):
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
    model, images, logits, labels, copy_of, balanced
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
    model, images, logits, labels, copy_of, balanced, rule
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
    learner.compile(keras.optimizers.SGD(0.02))
    history = learner.fit(images, labels, batch_size=64, epochs=6, verbose=0).history
    losses = history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda y: y + 8, r"labels lie in 8\.\.14; expected 0\.\.9 for 10 classes"),
        (lambda y: y - 1, r"labels lie in -1\.\."),
        (lambda y: y.astype(float), "labels are float64; expected integers"),
        (lambda y: np.eye(10, dtype=int)[y], r"shape \(64, 10\); expected \(64,\)"),
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
        (0.5, "thresholds is 0.5; expected one number an exit"),
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
        ({"exit_rule": "margin"}, "rule is 'margin'; choose from score_margin"),
        ({"exit_weights": (1, 1)}, "exit_weights has 2 entries; expected 3"),
        ({"crop": 0}, "crop is 0; expected above 0, at most 1"),
        ({"crop": 1.1}, "crop is 1.1"),
        ({"num_classes": 1}, "num_classes is 1; expected 2 or more"),
    ],
)
def test_unusable_arguments_are_rejected(architecture, arguments, message):
    with pytest.raises(ValueError, match=message):
        EarlyExitClassifier(architecture, **{"num_classes": 10} | arguments)


@pytest.mark.parametrize("kind", [tuple, list, np.array])
def test_exit_weights_may_be_any_sequence(architecture, images, labels, kind):
    weighted = EarlyExitClassifier(architecture, 10, exit_weights=kind([0.5, 0.5, 1.0]))
    logits = weighted(images[:8])
    expected = cross_entropy(np.array(logits), labels[:8]).mean(0) @ [0.5, 0.5, 1]
    found = weighted.compute_loss(y=labels[:8], y_pred=logits)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    config = json.loads(json.dumps(weighted.get_config()))
    assert config["exit_weights"] == [0.5, 0.5, 1]


# Saving, cloning, exporting


def test_the_configuration_is_plain_json_that_gives_the_same_network(
    model, images, logits, copy_of
):
    config = json.loads(json.dumps(model.get_config()))
    twin = EarlyExitClassifier.from_config(config)
    twin.set_weights(model.get_weights())
    assert twin.get_config() == model.get_config()
    assert twin.architecture == model.architecture
    np.testing.assert_allclose(twin.predict(images, verbose=0), logits, atol=1e-5)


def test_a_deep_copy_is_the_same_network(model, images, logits):
    twin = copy.deepcopy(model)
    assert type(twin) is EarlyExitClassifier
    assert twin.get_config() == model.get_config()
    np.testing.assert_allclose(twin.predict(images, verbose=0), logits, atol=1e-5)


def test_saving_keeps_answers_arguments_and_compilation(
    model, images, labels, copy_of, tmp_path
):
    saved = copy_of(
        model,
        thresholds=[0.25, 1],
        exit_rule="entropy",
        exit_weights=[0.5, 0.25, 1],
        crop=0.875,
    )
    saved.compile(keras.optimizers.SGD(0.125), loss=Brier(), run_eagerly=True)
    saved.save(tmp_path / "model.keras")
    found = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(found(images), saved(images), atol=1e-5)
    assert np.abs(saved(images) - model(images)).max() > 0.01  # cropped
    assert found.thresholds == (0.25, 1)
    assert found.exit_rule == "entropy"
    assert list(found.exit_weights) == [0.5, 0.25, 1]
    assert found.crop == 0.875
    assert found.compiled
    assert float(found.optimizer.learning_rate) == 0.125
    assert isinstance(found.loss, Brier)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="writes a SavedModel"
)
def test_an_exported_network_serves_batches_of_any_size(
    model, images, logits, tmp_path
):
    import tensorflow as tf

    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    for count in (1, 37):
        found = exported.serve(tf.constant(images[:count], tf.float32))
        np.testing.assert_allclose(found, logits[:count], atol=1e-4)
    assert exported.serve(tf.zeros((2, 50, 40, 3))).shape == (2, 3, 10)


# Budgets


@pytest.mark.parametrize("convention", cost.CONVENTIONS)
@pytest.mark.parametrize("source", ["images", "frontier"])
def test_a_budget_sets_the_most_accurate_affordable_thresholds(
    adjustable, images, logits, labels, source, convention
):
    counted = macs(adjustable.architecture, 10, convention)
    points = exits.frontier(logits, labels, counted)
    budget = (points[0].average_macs + points[-1].average_macs) / 2
    if source == "frontier":
        adjustable.frontier = exits.frontier(logits, labels, adjustable.macs)
        chosen = adjustable.set_budget(budget, convention=convention)
    else:
        chosen = adjustable.set_budget(budget, images, labels, convention)
    found = exits.evaluate(logits, labels, counted, adjustable.thresholds)
    assert adjustable.thresholds == chosen.thresholds
    assert found.average_macs == pytest.approx(chosen.average_macs)
    assert found.average_macs <= budget
    best = max(p.accuracy for p in points if p.average_macs <= budget)
    assert found.accuracy == chosen.accuracy == best
    assert found.accuracy > points[0].accuracy


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
    with pytest.raises(ValueError, match=r"labels have the shape \(\)"):
        adjustable.set_budget(1e9, images)


# Cost: the layers of the built network against the arithmetic


def sample(seed):
    """A random architecture; every fourth has no exits."""
    rng = np.random.default_rng(seed)

    def module():
        options = (BRANCH_SIZES, BRANCH_KERNELS, BRANCH_EXPANSIONS, (0, 1))
        return ConvModule(*map(rng.choice, options))

    def stage():
        depth = rng.choice(DEPTHS)
        return Stage(
            [Block(rng.choice(KERNELS), rng.choice(EXPANSIONS)) for _ in range(depth)]
        )

    pool = [None, FixedBranch(), Branch([module()]), Branch([module(), module()])]
    branches = [pool[i] if seed % 4 else None for i in rng.permutation(4)]
    thresholds = [1 if branch is None else 0.5 for branch in branches]
    stages = [stage() for _ in range(5)]
    return Architecture(rng.choice(RESOLUTIONS), stages, branches, thresholds)


@pytest.mark.parametrize("seed", range(8))
def test_the_layers_cost_what_the_arithmetic_says(seed):
    architecture, classes = sample(seed), 3 + seed
    built = EarlyExitClassifier(architecture, classes)
    assert cost.count(built) == macs(architecture, classes) == built.macs


# Without TensorFlow

WITHOUT_TENSORFLOW = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ImportError("TensorFlow is blocked")

sys.meta_path.insert(0, Blocked())
import keras
import numpy as np

before = set(sys.modules)
import zoo

assert keras.backend.backend() == "jax"
optional = "sklearn matplotlib tensorflow keras_tuner tensorflow_datasets".split()
loaded = (set(sys.modules) - before).intersection(optional)  # Keras takes sklearn
assert not loaded, loaded
assert "tensorflow" not in sys.modules

keras.utils.set_random_seed(1)
branch = zoo.Branch([zoo.ConvModule(8)])
stages = [zoo.Stage.uniform(2, 3, 3)] * 5
architecture = zoo.Architecture(32, stages, [branch] + [None] * 3, [0.5, 1, 1, 1])
model = zoo.EarlyExitClassifier(architecture, 10)
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (32, 32, 32, 3)).astype("uint8")
model.compile("sgd")
history = model.fit(images, rng.integers(0, 10, 32), verbose=0).history
assert np.isfinite(history["loss"]).all()
assert {"accuracy", "exit1_accuracy", "average_macs"} < set(history)

logits = model.predict(images, verbose=0)
assert logits.shape == (32, 2, 10)
confidences = np.array(zoo.exits.confidence(logits))
model.thresholds = [float(np.median(confidences[:, 0]))]
chosen = zoo.exits.decide(logits, model.thresholds)
assert np.bincount(chosen).tolist() == [16, 16]
found = model.predict_early(images, batch_size=32)
assert (found.exits == chosen).all()
assert (found.labels == logits.argmax(-1)[range(32), chosen]).all()
taken = confidences[range(32), chosen]
np.testing.assert_allclose(found.confidences, taken, atol=1e-5)
"""


EXPORT = """
import sys
import numpy as np
import tensorflow as tf
import zoo

model = zoo.load("aebnas_digits")
images = zoo.data.load("digits").test.images[:5].astype("float32")
model.export(sys.argv[1], verbose=False)
loaded = tf.saved_model.load(sys.argv[1])
served = loaded.serve(images).numpy()
expected = model.predict(images, verbose=0)
np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-4)
"""


def run_on_jax(*arguments):
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", *arguments],
        cwd=pathlib.Path(__file__).parents[2],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


needs_jax = pytest.mark.skipif(
    not importlib.util.find_spec("jax"), reason="JAX is not installed"
)


@needs_jax
def test_jax_alone_trains_and_predicts_early():
    run_on_jax(WITHOUT_TENSORFLOW)


@needs_jax
def test_jax_exports_a_saved_model(tmp_path):
    run_on_jax(EXPORT, str(tmp_path / "exported"))
