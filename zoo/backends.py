"""The seam to Keras and TensorFlow: what is private, fragile or bound to one backend.

Everything here is vouched for by `tests/zoo/test_backends.py`, whose failures say what
a new version of a library broke.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

FUNCTIONS_KEPT = 8  # compiled functions of a model, one for each size of images


class Node(NamedTuple):
    """One call of an operation in a functional model.

    Attributes:
        operation: The layer or operation that was called.
        inputs: Symbolic tensors that it was called with.
        outputs: Symbolic tensors that it gave.
        arguments: What it was called with, as Keras keeps it.
    """

    operation: Any
    inputs: list[Any]
    outputs: list[Any]
    arguments: Any

    def again(self, tensors: dict[int, Any]) -> tuple[tuple, dict[str, Any]]:
        """The arguments of the call with other tensors, by the `id` of the first."""
        return self.arguments.convert(lambda x: tensors.get(id(x), x))


def nodes(output: Any, start: Any) -> list[Node]:
    """The calls between two symbolic tensors, each after those it depends on.

    Args:
        output: Symbolic tensor at which to end.
        start: Symbolic tensor at which to begin; what made it is left out.

    Raises:
        ValueError: The output also depends on something that `start` does not give.
    """
    found: dict[tuple[int, int], Node] = {}
    waiting = [(output, False)]
    while waiting:
        tensor, inputs_are_found = waiting.pop()
        if tensor is start:
            continue
        node = call_of(tensor)
        key = (id(node.operation), tensor._keras_history.node_index)
        if key in found:
            continue
        if not node.inputs:
            raise ValueError(
                f"{output.name} also depends on {node.operation.name}; expected it to "
                f"be computed from {start.name} alone."
            )
        if inputs_are_found:
            found[key] = node
            continue
        waiting.append((tensor, True))
        waiting.extend((each, False) for each in reversed(node.inputs))
    return list(found.values())


def call_of(tensor: Any) -> Node:
    """The call that gave a symbolic tensor."""
    operation, index, _ = tensor._keras_history
    call = operation._inbound_nodes[index]
    return Node(operation, call.input_tensors, call.output_tensors, call.arguments)


def name_of_activation(layer: Any) -> str:
    """Name of the activation of a layer, such as "softmax"."""
    return getattr(layer.activation, "__name__", str(layer.activation))


def is_functional(layer: Any) -> bool:
    """Whether a layer is a functional or sequential model that only runs its layers."""
    if isinstance(layer, keras.Sequential):
        return type(layer).call is keras.Sequential.call
    functional = isinstance(layer, keras.Model) and isinstance(layer, keras.Function)
    return functional and not any(
        "call" in vars(cls) and not cls.__module__.startswith("keras.")
        for cls in type(layer).__mro__
    )


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


class _LeavesNoGraph:
    """For an optimizer that leaves nothing behind.

    TensorFlow keeps every graph with an all-reduce in it for good, about 100 MB for
    every network that a process trains. One replica has nothing to reduce.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        if self._distribution_strategy.num_replicas_in_sync == 1:
            return grads_and_vars
        return super()._all_reduce_sum_gradients(grads_and_vars)


class SGD(_LeavesNoGraph, keras.optimizers.SGD):
    """Keras's, leaving no graph behind."""


class Adam(_LeavesNoGraph, keras.optimizers.Adam):
    """Keras's, leaving no graph behind."""


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


def limit_threads(count: int) -> None:
    """Have the backend compute on so many threads; only before it computes anything.

    Raises:
        ValueError: It has begun, or it knows no such setting.
    """
    if keras.backend.backend() != "tensorflow":
        if count != (os.cpu_count() or 1):
            raise ValueError(
                f"threads is {count}, and {keras.backend.backend()} takes all; "
                f"expected {os.cpu_count()}."
            )
        return
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError as error:
        raise ValueError(
            "TensorFlow is running already: threads are limited in a new process."
        ) from error


def version() -> str:
    """Version of the backend's library."""
    return importlib.import_module(keras.backend.backend()).__version__


def devices() -> str:
    """Kinds of devices that the backend sees, such as "cpu"."""
    kinds = keras.distribution.list_devices() or ["cpu:0"]
    return ", ".join(sorted({device.split(":")[0] for device in kinds}))
