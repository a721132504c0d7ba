"""The seam to Keras and TensorFlow: what is private, fragile or bound to one backend.

Everything here is vouched for by `tests/zoo/test_backends.py`, whose failures say what
a new version of a library broke.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

FUNCTIONS_KEPT = 8  # compiled functions of a model, one for each size of images


def is_tensorflow_on_cpu() -> bool:
    """Whether the backend is TensorFlow, and it sees no GPU."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def fused_batch_norm(
    inputs: Any, scale: Any, offset: Any, epsilon: float
) -> tuple[Any, Any, Any]:
    """Normalise a batch over all axes but the last, in one operation of TensorFlow.

    Keras does it in a dozen element-wise ones, which take longer on a CPU.

    Returns:
        The normalised inputs, and the batch's mean and variance for each channel.
    """
    import tensorflow as tf

    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=scale, offset=offset, mean=(), variance=(), epsilon=epsilon
    )
    # TensorFlow's variance is the sample's; Keras keeps that of the batch.
    count = tf.cast(tf.size(inputs) // inputs.shape[-1], "float32")
    return outputs, mean, variance * ((count - 1) / count)


def compiled(model: keras.Model) -> Callable[[Any], Any]:
    """The model's forward pass outside training as a compiled function of one batch.

    Lighter than `predict_on_batch`, which matters at batch 1. Weights are read at each
    call, so training in between is seen. Where a backend compiles for every size of
    images anew, the functions of the sizes used last are kept.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch.no_grad()(lambda x: model(x, training=False))
    make = _tensorflow_function if backend == "tensorflow" else _jax_function
    functions: dict[tuple, Any] = {}  # one for each image size, for any batch size

    def run(x):
        shape = (None, *x.shape[1:])
        function = functions.pop(shape, None)
        if function is None:
            function = make(model, shape, x.dtype)
        functions[shape] = function  # the most recently used one last
        if len(functions) > FUNCTIONS_KEPT:
            del functions[next(iter(functions))]
        return function(x)

    return run


def _tensorflow_function(model: keras.Model, shape: tuple, dtype: Any) -> Callable:
    import tensorflow as tf

    return tf.function(
        lambda x: model(x, training=False),
        input_signature=[tf.TensorSpec(shape, dtype)],
    )


def _jax_function(model: keras.Model, shape: tuple, dtype: Any) -> Callable:
    import jax

    @jax.jit
    def forward(trainable, frozen, x):
        return model.stateless_call(trainable, frozen, x, training=False)[0]

    return lambda x: forward(
        [v.value for v in model.trainable_variables],
        [v.value for v in model.non_trainable_variables],
        x,
    )


def on_arrays(function: Callable[[Any], Any], batch_size: int) -> Callable:
    """A compiled function of a tensor as one that takes and returns arrays.

    JAX compiles for every batch size anew: there a batch that is not full is filled up
    to the next power of two, so that few programs serve all.
    """
    fills = keras.backend.backend() == "jax"

    def call(batch: np.ndarray) -> list[np.ndarray]:
        count = len(batch)
        if fills and count < batch_size:
            size = min(batch_size, 1 << (count - 1).bit_length())
            padding = [(0, size - count)] + [(0, 0)] * (batch.ndim - 1)
            batch = np.pad(batch, padding)
        outputs = function(ops.convert_to_tensor(batch, "float32"))
        outputs = keras.tree.flatten(outputs)  # Keras gives a single one without a list
        return [ops.convert_to_numpy(output)[:count] for output in outputs]

    return call


@contextlib.contextmanager
def dtype_policy(policy: Any) -> Iterator[None]:
    """Layers built inside get this dtype policy, as a name or an object."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class SGD(keras.optimizers.SGD):
    """SGD that leaves nothing behind.

    TensorFlow keeps every graph with an all-reduce in it for good, about 100 MB for
    every network that a process trains. One replica has nothing to reduce.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        if self._distribution_strategy.num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)


def loss_tracker(model: keras.Model) -> keras.metrics.Metric:
    """The metric in which Keras's training step averages the loss."""
    return model._loss_tracker


def seed_states(layer: keras.layers.Layer) -> list[Any]:
    """The variables of all random generators in a layer: pairs (seed, counter)."""
    return [each for each in layer.variables if each.name == "seed_generator_state"]


class KeepFreedMemory(keras.callbacks.Callback):
    """Has glibc keep what TensorFlow frees, which saves page faults in every step.

    When TensorFlow (2.21) first reads batches from Python it tells glibc to return even
    small pieces to the system. A training step frees and asks again for all of its
    activations: with batches of 32 a third of the CPU's time went into that.
    """

    def __init__(self) -> None:
        super().__init__()
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        self.mallopt = getattr(libc, "mallopt", None)  # other C libraries have none

    def on_train_batch_begin(self, batch, logs=None):
        """Set both limits; TensorFlow resets them when it begins to read batches."""
        if self.mallopt is not None:
            self.mallopt(-1, 2**30)  # M_TRIM_THRESHOLD, bytes
            self.mallopt(-3, 2**25)  # M_MMAP_THRESHOLD, bytes: the most that is allowed


# Two threads have Keras switch off the autotuning of TensorFlow's input (2.21), the end
# of which can take as long as the training where cores are scarce.
INPUT_WORKERS = 2


def version() -> str:
    """Version of the backend's library."""
    return importlib.import_module(keras.backend.backend()).__version__


def devices() -> str:
    """Kinds of devices that the backend sees, such as "cpu"."""
    kinds = keras.distribution.list_devices() or ["cpu:0"]
    return ", ".join(sorted({device.split(":")[0] for device in kinds}))
