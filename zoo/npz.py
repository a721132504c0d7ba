"""Data sets in `.npz` files: the layout of keras.datasets, and two arrays more.

The arrays are `x_train`, `y_train`, `x_test` and `y_test`; `class_names`, and `flip`,
whether a mirrored image keeps its class, may be there, too.
"""

from __future__ import annotations

import io
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from zoo import files

_PARTS = ("train", "test")
_ARRAYS = ("x_train", "y_train", "x_test", "y_test", "class_names", "flip")


def write(
    path: str | os.PathLike, arrays: Mapping[str, Any], compress: bool = False
) -> None:
    """Write arrays by name to an `.npz` file, whole or not at all."""
    file = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(file, **arrays)
    files.write_bytes(path, file.getvalue())


def find(name: str, folder: str | os.PathLike | None) -> pathlib.Path | None:
    """The file `<folder>/<name>.npz`, if there is a folder and it holds one."""
    path = pathlib.Path(folder, f"{name}.npz") if folder else None
    return path if path is not None and path.is_file() else None


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of a data set, by name. Nothing is unpickled.

    Raises:
        ValueError: The file cannot be read, or lacks images or labels.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key in _ARRAYS}
            for part in _PARTS:
                arrays[f"x_{part}"]
                arrays[f"y_{part}"]
    except Exception as error:  # a damaged archive can raise nearly anything
        raise ValueError(
            f"{path} is not readable as a data set: {str(error) or type(error)}. "
            "Expected the arrays x_train, y_train, x_test and y_test."
        ) from error
    return arrays


def parts(arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[np.ndarray, ...]]:
    """Images and labels of "train" and "test", unchecked, from what `read` gave."""
    return {part: (arrays[f"x_{part}"], arrays[f"y_{part}"]) for part in _PARTS}


def about(arrays: Mapping[str, np.ndarray], path: str | os.PathLike) -> dict[str, Any]:
    """What a file says of its data: the arguments of `zoo.data.from_arrays`.

    Args:
        arrays: What `read` gave.
        path: The file, for messages.

    Returns:
        `class_names`, a list of strings or None, and `flip`, a bool.

    Raises:
        ValueError: `flip` is no truth value.
    """
    named, flip = arrays.get("class_names"), arrays.get("flip", np.array(False))
    if flip.size != 1 or flip.dtype.kind not in "bui":
        raise ValueError(f"{path}: flip is {flip!r}; expected True or False.")
    return {
        "class_names": None if named is None else [str(n) for n in named.reshape(-1)],
        "flip": bool(flip.item()),
    }
