"""Weights in a file of our own: HDF5 in which every array is keyed by its layer's name.

Keras's own weight files name a group by the class and the order of its layer, so that
renaming a class breaks them, and reordering layers of equal shapes loads the wrong
weights silently. Here a weight is found by its layer's name, or not at all.
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

FORMAT = 2


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
            file.create_dataset(path, data=value)
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
                    if item.external or item.is_virtual or item.nbytes > len(data):
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
    if format < FORMAT:
        found = _from_keras(data)
    return found, attributes


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


def stored(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays as a model folder keeps them: kernels in half precision.

    Vectors, such as those of batch normalisation, and kernels that overflow half
    precision stay as they are.

    Raises:
        ValueError: A weight is NaN or infinite.
    """
    return {path: _stored(path, value) for path, value in values.items()}


def _stored(path: str, value: np.ndarray) -> np.ndarray:
    if value.dtype != np.float32:
        return value
    if not np.isfinite(value).all():
        raise ValueError(f"The weights {path} hold NaN or infinite values.")
    with np.errstate(over="ignore"):
        half = value.astype(np.float16)
    return half if value.ndim > 1 and np.isfinite(half).all() else value


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
