"""The seam to LiteRT's and ONNX's converters: a segment as the bytes of a file.

Each format has a function that converts one segment. The converters come with
`pip install "aebnas-keras[export]"`.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import pathlib
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from zoo.deploy import graphs
from zoo.deploy.sensitivity import float_layers

QUANTIZATIONS = ("float16", "dynamic", "int8")
OPSET = 17
NEEDS = 'Install what is needed with: pip install "aebnas-keras[export]"'

Convert = Callable[[keras.Model, Sequence[int], str | None, np.ndarray | None], bytes]


@dataclass(frozen=True)
class Format:
    """A file format for segments.

    Attributes:
        suffix: Of the file's name.
        needs: Modules that exporting imports beside TensorFlow.
        package: What the device needs beside NumPy, as pip calls it.
        convert: Converts a segment, given the shape of its input without the batch, a
            quantization or None, and for "int8" features to calibrate with.
    """

    suffix: str
    needs: tuple[str, ...]
    package: str
    convert: Convert


def require(format: Format) -> None:
    """Raise a ValueError if this process cannot export in a format."""
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            f"The Keras backend is {backend}; networks are exported with TensorFlow. "
            "Set KERAS_BACKEND=tensorflow: saved models load with every backend."
        )
    for module in format.needs:
        if importlib.util.find_spec(module) is None:
            raise ValueError(f"The export needs {module}, which is missing. {NEEDS}")


def litert(
    segment: keras.Model,
    shape: Sequence[int],
    quantization: str | None,
    features: np.ndarray | None,
) -> bytes:
    """A segment for LiteRT, which takes any number of images."""
    import tensorflow as tf

    if quantization == "int8":
        return _int8_litert(segment, shape, features)
    # In 8-bit weights its own code for depthwise kernels is faster.
    rewrites = (graphs.flatten,) if quantization == "dynamic" else graphs.REWRITES
    function = graphs.function(segment, shape, rewrites)
    # The module has nothing to hold: the weights are constants.
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], tf.Module()
    )
    if quantization is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _int8_litert(
    segment: keras.Model, shape: Sequence[int], features: np.ndarray | None
) -> bytes:
    """A segment in 8 bits but for the layers that do not bear it."""
    import tensorflow as tf

    kept = float_layers(segment, features)
    function = graphs.function(segment, shape, graphs.INT8_REWRITES, kept)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], tf.Module()
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([row[None]] for row in features)
    sets = tf.lite.OpsSet
    converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS_INT8]
    if not kept:
        return converter.convert()
    converter.target_spec.supported_ops.append(sets.TFLITE_BUILTINS)
    options = tf.lite.experimental.QuantizationDebugOptions()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it runs an interpreter of TensorFlow's own
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=lambda: ([row[None]] for row in features[:1]),
            debug_options=options,
        )
        debugger.run()
    with io.StringIO() as table:
        debugger.layer_statistics_dump(table)
        nodes = [
            row["tensor_name"] for row in csv.DictReader(table.getvalue().splitlines())
        ]
    options.denylisted_nodes = [node for node in nodes if _layers(node) & kept]
    debugger.options = options
    return debugger.get_nondebug_quantized_model()


def _layers(node: str) -> set[str]:
    """Names of the layers that one operation of a converted file comes from.

    Example:
        >>> _layers("stem_bn_1/batchnorm/add_1;stem_conv_1/convolution")
        {'stem_bn', 'stem_bn_1', 'stem_conv', 'stem_conv_1'}
    """
    scopes = {part.split("/")[0] for part in node.split(";") if "/" in part}
    return scopes | {re.sub(r"_\d+$", "", scope) for scope in scopes}


def onnx(
    segment: keras.Model,
    shape: Sequence[int],
    quantization: str | None,
    features: np.ndarray | None,
) -> bytes:
    """A segment for ONNX Runtime, which takes any number of images."""
    import tensorflow as tf
    import tf2onnx

    function = graphs.function(segment, shape, (graphs.flatten, graphs.gelu))
    signature = [tf.TensorSpec((None, *shape))]
    made, _ = tf2onnx.convert.from_function(function, signature, opset=OPSET)
    if quantization == "float16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        made = convert_float_to_float16(made, keep_io_types=True)
    if quantization in ("dynamic", "int8"):
        return _quantized_onnx(made, quantization, features)
    return made.SerializeToString()


def _quantized_onnx(made: Any, quantization: str, features: Any) -> bytes:
    """ONNX Runtime's quantizer works on files."""
    from onnxruntime import quantization as quantizer

    class Reader(quantizer.CalibrationDataReader):
        def __init__(self) -> None:
            name = made.graph.input[0].name
            self.batches = ({name: row[None]} for row in features)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder:
        source, target = (pathlib.Path(folder) / name for name in ("a.onnx", "b.onnx"))
        source.write_bytes(made.SerializeToString())
        if quantization == "dynamic":
            quantizer.quantize_dynamic(source, target, per_channel=True)
        else:
            quantizer.quantize_static(source, target, Reader(), per_channel=True)
        return target.read_bytes()


FORMATS: dict[str, Format] = {
    "litert": Format(".tflite", ("ai_edge_litert",), "ai-edge-litert", litert),
    "onnx": Format(".onnx", ("tf2onnx", "onnxruntime"), "onnxruntime", onnx),
}
