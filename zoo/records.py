"""Records: what a model, a candidate, a search or a run leaves behind, as typed data.

A record is a frozen data class with a `kind` and a `format`. It is written as JSON in
which every item of a list has a line of its own, and read in one place, which checks
every field. A file whose name ends in `.gz` is compressed. A module that defines
records registers each with `record`.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import json
import math
import os
import pathlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np

from zoo.files import write_bytes

R = TypeVar("R")
Upgrade = Callable[[dict[str, Any]], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A registered class of records."""

    name: str
    format: int
    record: type
    upgrade: Upgrade | None


_KINDS: dict[str, _Kind] = {}
ADDED = "added"
COMPRESSED = ".gz"


def record(
    kind: str, format: int, upgrade: Upgrade | None = None
) -> Callable[[type[R]], type[R]]:
    """Class decorator that registers a frozen data class as a kind of record.

    Args:
        kind: Its name in files.
        format: Number of the layout that the class describes, 1 or more.
        upgrade: Turns the fields of an older format, a dictionary that still has its
            `format`, into those of this one.

    Raises:
        ValueError: Another class has that kind.

    Example:
        >>> @record("measurement", format=1)
        ... @dataclasses.dataclass(frozen=True)
        ... class Measurement:
        ...     accuracy: float
    """

    def register(cls: type[R]) -> type[R]:
        if kind in _KINDS:
            raise ValueError(f"There is already a record of kind {kind!r}.")
        _KINDS[kind] = _Kind(kind, format, cls, upgrade)
        return cls

    return register


def added() -> Any:
    """A field that older records of the same format lack; None: it is not known.

    It is not written where it is None, so that an older record stays as it is.

    Example:
        >>> oracle_accuracy: float | None = added()
    """
    return dataclasses.field(default=None, metadata={ADDED: True})


def to_dict(value: Any) -> Any:
    """A record, or any part of one, as plain dictionaries, lists, numbers and text.

    A registered record begins with its `kind` and `format`; a record inside another
    one does not repeat them.

    Raises:
        ValueError: A number is NaN or infinite, which JSON has no way to say.
    """
    kinds = [kind for kind in _KINDS.values() if kind.record is type(value)]
    head = {"kind": kinds[0].name, "format": kinds[0].format} if kinds else {}
    plain = _plain(value)
    return head | plain if kinds else plain


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {
            f.name: _plain(item)
            for f, item in items
            if item is not None or not f.metadata.get(ADDED)
        }
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"A record cannot hold {value}; expected finite numbers.")
    return value


def dumps(value: Any) -> str:
    """JSON text of a record: a line for every field, and for every item of a list."""
    data = to_dict(value)
    if not isinstance(data, dict):
        return json.dumps(data, ensure_ascii=False) + "\n"
    lines = []
    for key, item in data.items():
        text = json.dumps(item, ensure_ascii=False)
        if isinstance(item, list) and any(isinstance(i, (dict, list)) for i in item):
            rows = [f"  {json.dumps(i, ensure_ascii=False)}" for i in item]
            text = "[\n" + ",\n".join(rows) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write(path: str | os.PathLike, value: Any) -> None:
    """Write a record to a file, whole or not at all."""
    data = dumps(value).encode("utf-8")
    if pathlib.Path(path).suffix == COMPRESSED:
        data = gzip.compress(data, mtime=0)
    write_bytes(path, data)


def paths(folder: str | os.PathLike, below: bool = False) -> list[pathlib.Path]:
    """The files of records in a folder, sorted.

    Args:
        folder: The folder; it need not exist.
        below: Whether to look in the folders in it, too.
    """
    folder = pathlib.Path(folder)
    search = folder.rglob if below else folder.glob
    return sorted(path for end in ("", COMPRESSED) for path in search(f"*.json{end}"))


def stem(path: str | os.PathLike) -> str:
    """The name of a record's file without its endings."""
    return pathlib.Path(pathlib.Path(path).name.removesuffix(COMPRESSED)).stem


def read(path: str | os.PathLike, *kinds: type[R], assume: type[R] | None = None) -> R:
    """Read a record from a file.

    Args:
        path: The file.
        *kinds: Classes of records to accept. Default: every registered one.
        assume: The class of a file that does not say its kind, as those of the first
            format do not.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, holds another kind, or was written by a newer
            version; the message says which.
    """
    return from_dict(read_json(path), *kinds, where=str(path), assume=assume)


def read_once(
    path: str | os.PathLike, kind: type[R], assume: type[R] | None = None
) -> R:
    """Like `read`, but a file that has not changed since it was read is not read again.

    The caller must not change what is inside the record.
    """
    path = pathlib.Path(path)
    about = path.stat()
    return _read_version(path, about.st_mtime_ns, about.st_size, kind, assume)


@functools.lru_cache(maxsize=4096)
def _read_version(
    path: pathlib.Path, changed: int, size: int, kind: type[R], assume: type[R] | None
) -> R:
    """The record in a file of that time and size."""
    return read(path, kind, assume=assume)


def read_json(path: str | os.PathLike) -> Any:
    """What a file of a record holds, unchecked.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not JSON.
    """
    data = pathlib.Path(path).read_bytes()
    try:
        if pathlib.Path(path).suffix == COMPRESSED:
            data = gzip.decompress(data)
        return json.loads(data.decode("utf-8"))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged: it is not gzip ({error}).") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is not JSON ({error}).") from error


def from_dict(
    data: Any,
    *kinds: type[R],
    where: str = "The record",
    assume: type[R] | None = None,
) -> R:
    """A record from the dictionary that `to_dict` gave; see `read`.

    Args:
        data: The dictionary.
        *kinds: Classes of records to accept. Default: every registered one.
        where: What messages call the source.
        assume: The class of a dictionary without a kind.

    Raises:
        ValueError: It is not such a record.
    """
    if not isinstance(data, dict):
        raise ValueError(
            f"{where} is not a record: it holds a {type(data).__name__}; expected an "
            "object."
        )
    known = [kind for kind in _KINDS.values() if not kinds or kind.record in kinds]
    names = " or ".join(repr(kind.name) for kind in known)
    named = data.get("kind")
    if named is None and assume is not None:
        kind = next(kind for kind in known if kind.record is assume)
    else:
        kind = next((kind for kind in known if kind.name == named), None)
    if kind is None:
        raise ValueError(
            f"{where} is a record of kind {named!r}; expected {names}."
            if named is not None
            else f"{where} does not say what kind of record it is; expected {names}."
        )
    format = data.get("format", 1)
    if not isinstance(format, int) or isinstance(format, bool) or format < 1:
        raise ValueError(f"{where} has format {format!r}; expected a number from 1.")
    if format > kind.format:
        raise ValueError(
            f"{where} has format {format}, and this version reads up to {kind.format}. "
            "Update aebnas-keras to read it."
        )
    if format < kind.format:
        if kind.upgrade is None:
            raise ValueError(
                f"{where} has format {format}; this version reads {kind.format}. Make "
                "the record again."
            )
        try:
            data = kind.upgrade(data)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{where} is damaged: {_described(error)}. Expected a record of kind "
                f"{kind.name!r}, format {format}."
            ) from error
    return convert(data, kind.record, where)


def convert(data: Any, cls: type[R], where: str) -> R:
    """Plain data as the type `cls`, every field checked.

    Raises:
        ValueError: A field is missing or has another type; the message names it.
    """
    try:
        return msgspec.convert(data, cls)
    except (msgspec.ValidationError, RecursionError, AttributeError) as error:
        # The last is msgspec's answer to an array in place of a dictionary.
        reason = str(error).rstrip(".")
        raise ValueError(f"{where} is damaged: {reason}.") from error


def _described(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the field {error.args[0]!r} is missing"
    return str(error)
