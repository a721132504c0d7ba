"""Weights out of PyTorch's files, without PyTorch and without running anything in them.

A PyTorch file is a pickle that may call any function. The reader here knows tensors of
numbers and the containers around them, and refuses everything else.
"""

from __future__ import annotations

import math
import os
import pathlib
import pickle
import zipfile
from collections import OrderedDict
from typing import Any, BinaryIO, NamedTuple

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C  # first object of the format before PyTorch 1.6
_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("<i1"),
    "ByteStorage": np.dtype("<u1"),
    "BoolStorage": np.dtype("?"),
}


class _Storage(NamedTuple):
    """One flat array of numbers in the file, read later."""

    key: str
    dtype: np.dtype
    count: int


class _Tensor(NamedTuple):
    """A view of a storage: where it starts, its shape and its strides, in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self, storages: dict[str, np.ndarray]) -> np.ndarray:
        flat = storages[self.storage.key]
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides))
        if math.prod(self.shape) and not 0 <= last < len(flat):
            raise ValueError("a tensor reaches beyond its storage")
        if min((self.offset, *self.shape, *self.strides)) < 0:
            raise ValueError("a tensor has a negative size, stride or offset")
        view = np.lib.stride_tricks.as_strided(
            flat[self.offset :],
            self.shape,
            [stride * flat.itemsize for stride in self.strides],
        )
        return view.copy()


def _rebuild_tensor(storage, offset, shape, strides, *_ignored) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _Tensor(storage, int(offset), tuple(shape), tuple(strides))


def _rebuild_parameter(tensor, *_ignored) -> _Tensor:
    if not isinstance(tensor, _Tensor):
        raise pickle.UnpicklingError("a parameter that is not a tensor")
    return tensor


_KNOWN = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Knows the names in `_KNOWN` and no others."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, and only tensors are read"
            )
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _device, count, *_view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("an unknown kind of storage")
        return _Storage(str(key), dtype, int(count))


def read_state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a PyTorch state dictionary.

    Both file formats are read: zip archives and the older sequence of pickles. A
    dictionary that wraps the state in the key "state_dict" is unwrapped.

    Args:
        path: A file that `torch.save` wrote.

    Returns:
        Arrays by name, in the file's order, in PyTorch's axis order.

    Raises:
        ValueError: The file is damaged, or holds anything but tensors.
        OSError: The file cannot be read.
    """
    path = pathlib.Path(path)
    try:
        if zipfile.is_zipfile(path):
            content, storages = _read_zip(path)
        else:
            with path.open("rb") as file:
                content, storages = _read_sequence(file)
        if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
            content = content["state_dict"]
        if not isinstance(content, dict):
            raise ValueError("it holds no dictionary")
        return {
            str(name): value.array(storages)
            for name, value in content.items()
            if isinstance(value, _Tensor)
        }
    except OSError:
        raise
    except Exception as error:  # whatever a damaged pickle or archive can raise
        raise ValueError(
            f"{path} is not readable as a PyTorch state dictionary: {error}. Expected "
            "a file that torch.save(model.state_dict(), ...) wrote."
        ) from error


def _read_sequence(file: BinaryIO) -> tuple[Any, dict[str, np.ndarray]]:
    """Magic number, protocol, system, content, storage keys, then raw storages."""
    if _Unpickler(file).load() != _MAGIC:
        raise ValueError("it does not begin as such a file does")
    _protocol, _system = _Unpickler(file).load(), _Unpickler(file).load()
    used: dict[str, np.dtype] = {}

    class Noting(_Unpickler):
        def persistent_load(self, pid: Any) -> _Storage:
            storage = super().persistent_load(pid)
            used[storage.key] = storage.dtype
            return storage

    content = Noting(file).load()
    storages = {}
    for key in _Unpickler(file).load():
        count = int.from_bytes(file.read(8), "little")
        dtype = used[str(key)]
        data = file.read(count * dtype.itemsize)
        storages[str(key)] = np.frombuffer(data, dtype, count)
    return content, storages


def _read_zip(path: pathlib.Path) -> tuple[Any, dict[str, np.ndarray]]:
    """`data.pkl`, and a file `data/KEY` for each storage, below one folder."""
    with zipfile.ZipFile(path) as archive:
        index = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = index.removesuffix("data.pkl")
        storages: dict[str, np.ndarray] = {}

        class Reading(_Unpickler):
            def persistent_load(self, pid: Any) -> _Storage:
                storage = super().persistent_load(pid)
                if storage.key not in storages:
                    data = archive.read(f"{folder}data/{storage.key}")
                    storages[storage.key] = np.frombuffer(data, storage.dtype)
                return storage

        with archive.open(index) as file:
            content = Reading(file).load()
    return content, storages
