"""What `zoo.backends` takes for granted about Keras and TensorFlow.

Each failure says what a new version of a library broke, and what that costs.
"""

import sys

import keras
import numpy as np
import pytest

from zoo import backends

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
needs_tensorflow = pytest.mark.skipif(not ON_TENSORFLOW, reason="for TensorFlow")
VERSIONS = f"Keras {keras.version()}, {keras.backend.backend()} {backends.version()}"


def broken(what, effect):
    return f"With {VERSIONS}, {what}. {effect}"


@pytest.fixture(scope="module")
def dense():
    """The smallest model there is."""
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


@needs_tensorflow
def test_the_optimizer_asks_for_an_all_reduce(dense, monkeypatch):
    calls, own = [], backends.SGD._all_reduce_sum_gradients

    def counted(self, pairs):
        pairs = list(pairs)
        calls.append(len(pairs))
        return own(self, pairs)

    assert hasattr(keras.optimizers.SGD, "_all_reduce_sum_gradients"), broken(
        "keras.optimizers.SGD has no _all_reduce_sum_gradients",
        "backends.SGD no longer keeps TensorFlow from holding on to every graph.",
    )
    monkeypatch.setattr(backends.SGD, "_all_reduce_sum_gradients", counted)
    optimizer = backends.SGD(0.1)
    dense.compile(optimizer, "mse", run_eagerly=True)
    before = dense.get_weights()[0]
    dense.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    assert calls == [2], broken(
        "a step of SGD does not pass its gradients to _all_reduce_sum_gradients",
        "backends.SGD no longer keeps TensorFlow from holding on to every graph.",
    )
    assert (dense.get_weights()[0] != before).all()
    replicas = optimizer._distribution_strategy.num_replicas_in_sync
    assert replicas == 1, broken(
        f"SGD sees {replicas} replicas on one device",
        "backends.SGD does not skip the all-reduce.",
    )


def test_the_training_step_averages_the_loss_in_the_tracker(dense):
    dense.compile("sgd", "mse", run_eagerly=True)
    logs = dense.train_on_batch(np.ones((4, 2)), np.ones((4, 1)), return_dict=True)
    tracker = getattr(dense, "_loss_tracker", None)
    assert tracker is not None, broken(
        "a compiled model has no _loss_tracker", "training.Trainer logs no loss."
    )
    assert backends.loss_tracker(dense) is tracker
    assert float(tracker.result()) == pytest.approx(float(logs["loss"])), broken(
        "_loss_tracker is not what is logged as the loss", "Logs are wrong."
    )


def test_a_random_layer_keeps_seed_and_counter_in_one_variable():
    layer = keras.layers.RandomFlip("horizontal", seed=123)
    nested = keras.Sequential([keras.Input((4, 4, 3)), layer])
    states = backends.seed_states(nested)
    effect = "A resumed training would draw other random numbers; see loop._Epoch."
    assert len(states) == 1, broken(
        "a random layer has no variable called seed_generator_state", effect
    )
    (state,) = states
    found = np.asarray(state)
    assert found.shape == (2,) and found[0] == 123 and found[1] == 0, broken(
        f"the state of a seed generator is {found}, not [seed, counter]", effect
    )
    images = np.random.default_rng(0).uniform(size=(64, 4, 4, 3)).astype("float32")
    first = np.asarray(nested(images, training=True))
    after = np.asarray(state)
    assert after[0] == 123 and after[1] > 0, broken(
        f"a call takes the state of a seed generator to {after}", effect
    )
    second = np.asarray(nested(images, training=True))
    state.assign(found)
    again = np.asarray(nested(images, training=True))
    assert (first != second).any()
    assert (first == again).all(), broken(
        "setting the state of a seed generator does not repeat its numbers", effect
    )


@needs_tensorflow
@pytest.mark.parametrize("shape", [(8, 5, 5, 6), (64, 1, 1, 3)])
def test_the_fused_batch_norm_is_that_of_keras(shape):
    rng = np.random.default_rng(0)
    inputs = rng.normal(3, 2, shape).astype("float32")
    scale, offset = rng.uniform(0.5, 2, (2, shape[-1])).astype("float32")
    found = backends.fused_batch_norm(inputs, scale, offset, 1e-5)
    mean, variance = inputs.mean((0, 1, 2)), inputs.var((0, 1, 2))
    expected = (inputs - mean) / np.sqrt(variance + 1e-5) * scale + offset
    for name, one, other in zip(
        ("outputs", "mean", "variance"), found, (expected, mean, variance)
    ):
        np.testing.assert_allclose(
            one,
            other,
            rtol=1e-4,
            atol=1e-4,
            err_msg=broken(
                f"the {name} of FusedBatchNormV3 are others than Keras's",
                "zoo.layers.BatchNormalization trains differently.",
            ),
        )


@pytest.mark.skipif(sys.platform != "linux", reason="for glibc")
def test_glibc_takes_the_limits_that_keep_freed_memory():
    callback = backends.KeepFreedMemory()
    if callback.mallopt is None:
        pytest.skip("this C library has no mallopt")
    for option, value in ((-1, 2**30), (-3, 2**25)):
        assert callback.mallopt(option, value) == 1, broken(
            f"mallopt({option}, {value}) is refused",
            "Every training step pays for page faults.",
        )
    callback.on_train_batch_begin(0)


def test_data_sets_in_python_take_a_number_of_workers():
    class Batches(keras.utils.PyDataset):
        def __init__(self):
            super().__init__(workers=backends.INPUT_WORKERS)

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return np.zeros((1, 2)), np.zeros((1, 1))

    assert Batches().workers == backends.INPUT_WORKERS == 2, broken(
        "PyDataset has no workers", "The batches of a training are read otherwise."
    )


@needs_tensorflow
def test_two_workers_switch_off_the_autotuning_of_the_input():
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return np.zeros((1, 2), "float32"), np.zeros((1, 1), "float32")

    data = Batches(workers=backends.INPUT_WORKERS)
    adapter = PyDatasetAdapter(data, shuffle=False)
    options = adapter.get_tf_dataset().options()
    adapter.on_epoch_begin()
    assert options.autotune.enabled is False, broken(
        "two workers leave the autotuning of TensorFlow's input on",
        "A training may take up to twice as long; see backends.INPUT_WORKERS.",
    )
    adapter.on_epoch_end()


def test_a_dtype_policy_holds_inside_and_is_put_back():
    before = keras.config.dtype_policy().name
    with pytest.raises(RuntimeError), backends.dtype_policy("mixed_bfloat16"):
        assert keras.layers.Dense(1).compute_dtype == "bfloat16"
        raise RuntimeError
    assert keras.config.dtype_policy().name == before


def test_a_compiled_function_sees_new_weights_and_any_size(dense):
    function = backends.compiled(dense)
    for count in (3, 1):
        for scale in (1, 2):
            dense.set_weights([scale * np.ones((2, 1)), np.zeros(1)])
            x = keras.ops.ones((count, 2))
            found = np.asarray(keras.tree.flatten(function(x))[0])
            np.testing.assert_allclose(found, np.full((count, 1), 2 * scale))


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_function_on_arrays_gives_a_list_of_whole_batches(outputs):
    images = keras.Input((3,))
    x = keras.layers.Rescaling(2.0)(images)
    model = keras.Model(images, [x, images][:outputs])
    call = backends.on_arrays(backends.compiled(model), batch_size=8)
    given = np.arange(15, dtype="float64").reshape(5, 3)
    found = call(given)
    assert isinstance(found, list) and len(found) == outputs
    for array, expected in zip(found, (2 * given, given)):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="compiles nothing")
@pytest.mark.compiled
def test_few_compiled_functions_are_kept():
    images = keras.Input((None, 3))
    model = keras.Model(images, keras.layers.Rescaling(1.0)(images))
    function = backends.compiled(model)
    kept = function.__closure__
    for size in range(1, backends.FUNCTIONS_KEPT + 4):
        function(keras.ops.ones((1, size, 3)))
    (functions,) = [c.cell_contents for c in kept if isinstance(c.cell_contents, dict)]
    assert len(functions) == backends.FUNCTIONS_KEPT
    assert (None, backends.FUNCTIONS_KEPT + 3, 3) in functions


def test_versions_and_devices_are_reported():
    assert backends.version()[0].isdigit()
    assert "cpu" in backends.devices() or "gpu" in backends.devices()
