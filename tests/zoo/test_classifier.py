"""The Keras model of an `Architecture`."""

import collections
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
    EarlyExitModel,
    FixedBranch,
    Stage,
    cost,
    exits,
    macs,
)
from zoo.architecture import DEPTHS, EXPANSIONS, KERNELS, RESOLUTIONS, STAGE_KINDS
from zoo.backbones import ofa_mobilenet_v3
from zoo.heads import BRANCH_EXPANSIONS, BRANCH_KERNELS, BRANCH_SIZES

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


@pytest.fixture(scope="module")
def classifier_logits(classifier, images):
    """The answers of `classifier` to `images`."""
    return classifier.predict(images, verbose=0)


# Inputs and outputs


@pytest.mark.parametrize("height, width", [(8, 8), (50, 28), (64, 64)])
def test_images_of_other_sizes_are_resized(classifier, images, height, width):
    images = np.resize(images, (8, height, width, 3)).astype("float32")
    resized = ops.image.resize(
        images, (32, 32), antialias=True, data_format="channels_last"
    )
    np.testing.assert_allclose(classifier(images), classifier(resized), atol=1e-4)


def test_the_summary_names_every_branch(classifier):
    lines = []
    classifier.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert "exit1_module1_conv" in text and "exit3_module1_conv" in text


# Every kind of network


Trained = collections.namedtuple("Trained", "network, history, logits")


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request, images, labels):
    """A network of another kind after a step, what it logged, and what it answers."""
    keras.utils.set_random_seed(1)
    network = EarlyExitClassifier(NETWORKS[request.param], num_classes=10)
    network.compile("sgd", run_eagerly=True)
    history = network.fit(images[:8], labels[:8], verbose=0).history
    logits = network.predict(images, batch_size=64, verbose=0)
    return Trained(network, history, logits)


def test_every_kind_of_network_logs_its_exits(
    trained, images, labels, expected_metrics
):
    network, history, logits = trained
    expected = expected_metrics(network, logits, labels)
    logs = network.evaluate(images, labels, batch_size=64, verbose=0, return_dict=True)
    assert logs.keys() == {"loss", *expected}
    assert {key: logs[key] for key in expected} == pytest.approx(expected, rel=1e-5)
    assert set(history) == {"loss", *expected}


def test_every_kind_of_network_predicts_early_by_the_rule(trained, images, balanced):
    network, _, logits = trained
    network.thresholds = balanced(logits)
    found = network.predict_early(images, batch_size=40)
    chosen = exits.decide(logits, network.thresholds)
    assert np.bincount(chosen, minlength=network.num_exits).all()
    assert found.exits.tolist() == chosen.tolist()
    assert found.labels.tolist() == logits.argmax(-1)[range(64), chosen].tolist()


def test_every_kind_of_network_survives_saving(trained, images, tmp_path):
    network, _, logits = trained
    network.save(tmp_path / "network.keras")
    found = keras.models.load_model(tmp_path / "network.keras")
    assert type(found) is EarlyExitClassifier
    assert found.get_config() == network.get_config()
    np.testing.assert_allclose(found(images[:9]), logits[:9], atol=1e-5)


# Arguments


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"thresholds": (0.5,)}, "thresholds has 1 entries; expected 2"),
        ({"exit_rule": "margin"}, "no exit rule 'margin'; choose from score_margin"),
        ({"exit_weights": (1, 1)}, "exit_weights has 2 entries; expected 3"),
        ({"crop": 0}, "crop is 0; expected more than 0, at most 1"),
        ({"crop": 1.1}, "crop is 1.1"),
        ({"num_classes": 1}, "num_classes is 1; expected 2 or more"),
    ],
)
def test_unusable_arguments_are_rejected(architecture, arguments, message):
    with pytest.raises(ValueError, match=message):
        EarlyExitClassifier(architecture, **{"num_classes": 10} | arguments)


# Saving, cloning, exporting


def test_the_configuration_is_plain_json_that_gives_the_same_network(
    classifier, images, classifier_logits
):
    config = json.loads(json.dumps(classifier.get_config()))
    twin = EarlyExitClassifier.from_config(config)
    twin.set_weights(classifier.get_weights())
    assert twin.get_config() == classifier.get_config()
    assert twin.architecture == classifier.architecture
    np.testing.assert_allclose(twin(images[:9]), classifier_logits[:9], atol=1e-5)


def test_a_deep_copy_is_the_same_network(classifier, images, classifier_logits):
    twin = copy.deepcopy(classifier)
    assert type(twin) is EarlyExitClassifier
    assert twin.get_config() == classifier.get_config()
    np.testing.assert_allclose(twin(images[:9]), classifier_logits[:9], atol=1e-5)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="writes a SavedModel"
)
def test_an_exported_network_serves_batches_of_any_size(images, tmp_path):
    import tensorflow as tf

    # One block and one exit: converting all of a network takes long.
    inputs = keras.Input((None, None, 3))
    x = ofa_mobilenet_v3.stem(ofa_mobilenet_v3.preprocess(inputs, 32))
    x = ofa_mobilenet_v3.inverted_residual(x, STAGE_KINDS[-1], 3, 3, 2, "block")
    exit1 = Branch([ConvModule(8)]).build(x, 10, "exit1")
    logits = [exit1, ofa_mobilenet_v3.final_head(x, 10)]
    model = EarlyExitModel(inputs, [x], logits)
    expected = model.predict(images, verbose=0)
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    for count in (1, 37):
        found = exported.serve(tf.constant(images[:count], tf.float32))
        np.testing.assert_allclose(found, expected[:count], atol=1e-4)
    assert exported.serve(tf.zeros((2, 50, 40, 3))).shape == (2, 2, 10)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_saving_keeps_answers_arguments_compilation_and_what_a_model_notes(
    classifier, images, classifier_logits, copy_of, tmp_path, policy
):
    saved = copy_of(
        classifier,
        thresholds=[0.25, 1],
        exit_rule="entropy",
        exit_weights=[0.5, 0.25, 1],
        crop=0.875,
        dtype=policy,
    )
    saved.frontier = (
        exits.OperatingPoint((0.25, 0.75), 0.5, 1e6, (0.25, 0.25, 0.5)),
        exits.OperatingPoint((1.0, 1.0), 0.75, 2e6, (0.0, 0.0, 1.0)),
    )
    saved.class_names = tuple("abcdefghij")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="mine")
    saved.compile(keras.optimizers.SGD(0.125), loss=loss, run_eagerly=True)
    saved.save(tmp_path / "model.keras")
    found = keras.saving.load_model(tmp_path / "model.keras")
    assert type(found) is EarlyExitClassifier
    assert found.architecture == classifier.architecture
    assert found.frontier == saved.frontier
    assert found.class_names == saved.class_names
    assert found.thresholds == (0.25, 1)
    assert found.exit_rule == "entropy"
    assert list(found.exit_weights) == [0.5, 0.25, 1]
    assert found.crop == 0.875
    assert found.get_config() == saved.get_config()
    assert found.compiled
    assert float(found.optimizer.learning_rate) == 0.125
    assert found.loss.name == "mine"
    for name, computes in (
        ("stem_conv", policy.removeprefix("mixed_")),
        ("exit1_module1_conv", policy.removeprefix("mixed_")),
        ("exit1_classifier", "float32"),
    ):
        assert found.get_layer(name).compute_dtype == computes, name
    answers = saved(images[:9])
    np.testing.assert_allclose(found(images[:9]), answers, atol=1e-5)
    assert np.abs(answers - classifier_logits[:9]).max() > 0.01  # cropped


# Budgets


@pytest.mark.parametrize("convention", cost.CONVENTIONS)
@pytest.mark.parametrize("source", ["images", "frontier"])
def test_a_budget_in_a_convention_sets_the_best_affordable_thresholds(
    classifier, images, classifier_logits, some_right, source, convention
):
    logits, labels = classifier_logits, some_right(classifier_logits)
    counted = macs(classifier.architecture, 10, convention)
    points = exits.frontier(logits, labels, counted)
    budget = (points[0].average_macs + points[-1].average_macs) / 2
    thresholds = classifier.thresholds
    try:
        if source == "frontier":
            classifier.frontier = exits.frontier(logits, labels, classifier.macs)
            chosen = classifier.set_budget(budget, convention=convention)
        else:
            chosen = classifier.set_budget(budget, images, labels, convention)
        found = exits.evaluate(logits, labels, counted, classifier.thresholds)
        assert classifier.thresholds == chosen.thresholds
    finally:
        classifier.thresholds, classifier.frontier = thresholds, ()
    assert found.average_macs == pytest.approx(chosen.average_macs)
    assert found.average_macs <= budget
    best = max(p.accuracy for p in points if p.average_macs <= budget)
    assert found.accuracy == chosen.accuracy == best
    assert found.accuracy > points[0].accuracy


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


# On JAX

# Two exits, a head of the search, and nothing that takes JAX long to compile. Keras
# imports what is set to None where it is installed, which takes long, and needs none.
NETWORK = """
import sys

sys.modules.update(matplotlib=None, pandas=None, sklearn=None)

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ImportError("TensorFlow is blocked")

blocked = Blocked()
sys.meta_path.insert(0, blocked)
import keras
import numpy as np

before = set(sys.modules)
import zoo
from zoo import layers

assert keras.backend.backend() == "jax"
keras.utils.set_random_seed(1)
inputs = keras.Input((None, None, 3))
x = layers.FitResolution(32)(inputs)
x = layers.normalised(layers.convolution(x, "stem", 8, 3, 4), "stem", "relu")
exit1 = zoo.Branch([zoo.ConvModule(8)]).build(x, 10, "exit1")
final = layers.classifier(layers.depthwise(x, "last", 3, 1), 10, "final")
model = zoo.EarlyExitModel(inputs, [x], [exit1, final])
"""


WITHOUT_TENSORFLOW = """
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

optional = "sklearn matplotlib tensorflow keras_tuner tensorflow_datasets".split()
loaded = (set(sys.modules) - before).intersection(optional)
assert not loaded, loaded
assert "tensorflow" not in sys.modules
"""


EXPORT = """
sys.meta_path.remove(blocked)
import tensorflow as tf


class Small(zoo.EarlyExitClassifier):
    def __init__(self, inputs, features, logits):
        zoo.EarlyExitModel.__init__(self, inputs, features, logits)
        self.architecture = zoo.Architecture(32, [zoo.Stage.uniform(2, 3, 3)] * 5)

    exit_names = ("exit1", "final")  # not of the architecture


model = Small(inputs, [x], [exit1, final])  # converting a whole classifier takes long
images = np.random.default_rng(0).uniform(0, 255, (5, 32, 32, 3)).astype("float32")
model.export(sys.argv[1], verbose=False)
loaded = tf.saved_model.load(sys.argv[1])
served = loaded.serve(images).numpy()
expected = model.predict(images, verbose=0)
assert expected.std() > 1e-3
np.testing.assert_allclose(served, expected, rtol=1e-4, atol=1e-4)
"""


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """Tracebacks of the checks that fail on JAX; one process makes them in order."""
    if not importlib.util.find_spec("jax"):
        pytest.skip("JAX is not installed")
    checks = {"without TensorFlow": WITHOUT_TENSORFLOW, "export": EXPORT}
    code = f"""{NETWORK}
import json, traceback
failures = {{}}
for check, code in {checks}.items():
    try:
        exec(code)
    except Exception:
        failures[check] = traceback.format_exc()
print(json.dumps(failures))
"""
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # they take most of the time
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path_factory.mktemp("jax") / "exported"],
        cwd=pathlib.Path(__file__).parents[2],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_jax_without_tensorflow_trains_and_predicts_early(failures):
    assert "without TensorFlow" not in failures, failures["without TensorFlow"]


def test_jax_exports_a_saved_model(failures):
    assert "export" not in failures, failures["export"]
