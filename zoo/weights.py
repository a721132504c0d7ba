"""Weights in a file of our own: HDF5 in which every array is keyed by its layer's name.

Keras's own weight files name a group by the class and the order of its layer, so that
renaming a class breaks them, and reordering layers of equal shapes loads the wrong
weights silently. Here a weight is found by its layer's name, or not at all.

A large kernel may be stored in 6 or 8 bits: `dense/kernel` then holds integers, which
are compressed, and `dense/kernel:scale` what to multiply them by, a number per output
channel.
"""

from __future__ import annotations

import hashlib
import io
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np

from zoo.files import write_bytes

FORMAT = 3  # 2 had no scales
SCALE = ":scale"
WEIGHT_BITS = (6, 8, 16, 32)
DEFLATED = 1032  # bytes that a byte of deflated data can stand for, at most
LARGE = 8_192  # values in a kernel; rounding smaller ones saves little and costs more


def arrays(model: Any) -> dict[str, np.ndarray]:
    """The weights of a Keras model by layer and name, such as "stem_conv/kernel".

    Raises:
        ValueError: Two weights have the same path.
    """
    return {path: np.asarray(variable) for path, variable in _variables(model).items()}


def _variables(model: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for layer in model.layers:
        for index, variable in enumerate(layer.weights):
            path = _path(layer, variable, index)
            if path in found:
                raise ValueError(
                    f"Two weights are called {path!r}; give their layers names."
                )
            found[path] = variable
    return found


def _path(layer: Any, variable: Any, index: int) -> str:
    """The layer's name and what follows it; models around the layer do not matter.

    Keras counts variables that have no name; here they are counted within their layer.
    """
    if re.fullmatch(r"variable(_\d+)?", variable.name):
        return f"{layer.name}/variable{index}"
    path = variable.path
    _, within, rest = f"/{path}".partition(f"/{layer.name}/")
    return f"{layer.name}/{rest if within else path}"


def dumps(
    values: Mapping[str, np.ndarray], attributes: Mapping[str, Any] | None = None
) -> bytes:
    """Arrays by path as the bytes of an HDF5 file.

    Args:
        values: Arrays; a "/" in a path makes a group.
        attributes: Further facts, plain numbers and text.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["format"] = FORMAT
        for name, value in (attributes or {}).items():
            file.attrs[name] = value
        for path, value in values.items():
            packed = {}
            if value.dtype == np.int8:
                packed = {"compression": "gzip", "chunks": value.shape}
            file.create_dataset(path, data=value, **packed)
    return buffer.getvalue()


def loads(data: bytes, where: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and attributes of bytes that `dumps` gave.

    Raises:
        ValueError: They hold something else, or were written by a newer version.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            attributes = dict(file.attrs)
            found: dict[str, np.ndarray] = {}

            def keep(path: str, item: Any) -> str | None:
                if isinstance(item, h5py.Dataset):
                    most = item.id.get_storage_size() * (
                        DEFLATED if item.compression else 1
                    )
                    if item.external or item.is_virtual or item.nbytes > most:
                        return path
                    found[path] = item[()]
                return None

            elsewhere = file.visititems(keep)  # the path that was returned, if any
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{where} is damaged: it is not HDF5 ({error}).") from error
    if elsewhere is not None:  # another file is not read, nor what is not written
        raise ValueError(
            f"{where} is damaged: it does not hold the values of {elsewhere!r}."
        )
    format = int(attributes.pop("format", 1))
    if format > FORMAT:
        raise ValueError(
            f"{where} has format {format}, and this version reads up to {FORMAT}. "
            "Update aebnas-keras to read it."
        )
    if format == 1:
        found = _from_keras(data)
    return decoded(found, where), attributes


def save(path: str | os.PathLike, model: Any) -> None:
    """Write a model's weights in full precision, whole or not at all."""
    write_bytes(path, dumps(arrays(model)))


def load(path: str | os.PathLike, model: Any) -> None:
    """Set a model's weights to those of a file, of this format or of Keras's.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, a weight is NaN or infinite, or the weights are
            not the model's; the message names the first that differs.
    """
    assign(model, loads(pathlib.Path(path).read_bytes(), str(path))[0], str(path))


def assign(model: Any, values: Mapping[str, np.ndarray], where: str) -> None:
    """Set a model's weights to arrays by path; see `load`."""
    variables = _variables(model)
    if set(values) != set(variables) and _is_by_order(values):
        values = _by_layer_name(model, values, where)
    missing = [path for path in variables if path not in values]
    extra = [path for path in values if path not in variables]
    if missing or extra:
        raise ValueError(
            f"{where} holds the weights of another network: "
            + (f"{missing[0]} is missing" if missing else f"{extra[0]} is not in it")
            + f" ({len(missing)} missing, {len(extra)} unknown)."
        )
    for path, variable in variables.items():
        if tuple(values[path].shape) != tuple(variable.shape):
            raise ValueError(
                f"{where} holds the weights of another network: {path} has the shape "
                f"{values[path].shape}; expected {tuple(variable.shape)}."
            )
    broken = next((path for path in variables if not _is_finite(values[path])), None)
    if broken is not None:
        raise ValueError(f"{where} is damaged: {broken} holds NaN or infinite values.")
    for path, variable in variables.items():
        variable.assign(np.asarray(values[path], variable.dtype))


def not_finite(model: Any) -> str | None:
    """The path of the first weight that holds NaN or infinite values, if any."""
    found = arrays(model).items()
    return next((path for path, value in found if not _is_finite(value)), None)


def _is_finite(value: np.ndarray) -> bool:
    return value.dtype.kind not in "fcV" or bool(
        np.isfinite(np.asarray(value, np.float32)).all()
    )


def stored(
    values: Mapping[str, np.ndarray], weight_bits: int = 16
) -> dict[str, np.ndarray]:
    """Arrays as a file of weights keeps them, which `decoded` turns back.

    Vectors, such as those of batch normalisation, and kernels that overflow half
    precision stay as they are.

    Args:
        values: Arrays by path.
        weight_bits: 32 to keep everything; 16 for kernels in half precision; 8 or 6
            to round kernels of at least `LARGE` values, depthwise ones apart, to
            integers of so many bits with a scale per output channel, the other kernels
            being in half precision.

    Raises:
        ValueError: A weight is NaN or infinite, or there is no such precision.
    """
    check_bits(weight_bits)
    found: dict[str, np.ndarray] = {}
    for path, value in values.items():
        if value.dtype != np.float32:
            found[path] = value
            continue
        if not np.isfinite(value).all():
            raise ValueError(f"The weights {path} hold NaN or infinite values.")
        if weight_bits <= 8 and _is_large(value):
            largest = np.abs(value).max(axis=tuple(range(value.ndim - 1)))
            steps = 2 ** (weight_bits - 1) - 1
            scale = np.maximum(largest / steps, np.finfo(np.float32).tiny)
            found[path] = np.round(value / scale).astype(np.int8)
            found[path + SCALE] = scale
        else:
            found[path] = value if weight_bits == 32 else _halved(value)
    return found


def check_bits(weight_bits: int) -> None:
    """Raise if weights cannot be stored in so many bits."""
    if weight_bits not in WEIGHT_BITS:
        raise ValueError(f"weight_bits is {weight_bits!r}; expected 6, 8, 16 or 32.")


def _is_large(value: np.ndarray) -> bool:
    """Whether it is a kernel to round; a depthwise one ends in its multiplier, 1."""
    return value.ndim > 1 and value.shape[-1] > 1 and value.size >= LARGE


def _halved(value: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    return half if value.ndim > 1 and np.isfinite(half).all() else value


def decoded(values: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """The arrays that `stored` was given, as far as it kept them.

    Raises:
        ValueError: A scale has no kernel, or not one number per output channel.
    """
    found = {path: v for path, v in values.items() if not path.endswith(SCALE)}
    for path in values.keys() - found.keys():
        kernel, scale = found.get(path.removesuffix(SCALE)), values[path]
        if (
            kernel is None
            or (kernel.dtype.kind, scale.dtype.kind) != ("i", "f")
            or scale.shape != kernel.shape[-1:]
        ):
            raise ValueError(f"{where} is damaged: {path!r} does not fit a kernel.")
        found[path.removesuffix(SCALE)] = kernel.astype(np.float32) * scale
    return found


def digest(values: Iterable[np.ndarray]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of arrays, in order."""
    sha = hashlib.sha256()
    for value in values:
        sha.update(np.ascontiguousarray(value))
    return sha.hexdigest()[:16]


# Format 1: Keras's own files, where the Nth layer of a class is `layers/CLASS_N`.


def _from_keras(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of a Keras weights file, by the name of their layer and a number."""
    found: dict[str, np.ndarray] = {}
    with h5py.File(io.BytesIO(data), "r") as file:

        def keep(path: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and path.startswith("layers/"):
                group = item.parent
                name = group.attrs.get("name", path.split("/")[1])
                found[f"{name}/{path.rsplit('/', 1)[1]}"] = item[()]

        file.visititems(keep)
    return found


def _is_by_order(values: Mapping[str, np.ndarray]) -> bool:
    return bool(values) and all(path.rsplit("/", 1)[-1].isdigit() for path in values)


def _by_layer_name(
    model: Any, values: Mapping[str, np.ndarray], where: str
) -> dict[str, np.ndarray]:
    """Format 1's arrays under the paths of the model's weights.

    A Keras file notes each layer's name beside its arrays, which are numbered in the
    order of the layer's weights.
    """
    named = {}
    for layer in model.layers:
        for i, variable in enumerate(layer.weights):
            path = f"{layer.name}/{i}"
            if path in values:
                named[_path(layer, variable, i)] = values[path]
    unknown = {path.split("/")[0] for path in values}
    unknown -= {layer.name for layer in model.layers}
    if unknown:
        raise ValueError(
            f"{where} holds the weights of another network: it has a layer "
            f"{sorted(unknown)[0]}."
        )
    return named
