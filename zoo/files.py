"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Write to a temporary file in the same folder, then rename it to `path`.

    Whatever interrupts the writing (a kill, a full disk), `path` keeps its old content.
    What a kill leaves behind begins with `.partial.`.

    Example:
        >>> with replacing("model.json") as temporary:
        ...     temporary.write_text("{}")

    Raises:
        OSError: The folder is missing or read-only, or the disk is full.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".partial.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file, in UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)
