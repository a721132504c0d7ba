"""Files that are either whole or not there, whatever ends the writing of them.

`write_bytes` is the one place where this package writes a file. What it wrote stays
written, also when the power fails.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator

PARTIAL = ".partial."  # what a kill leaves behind begins with it
LOCK = ".lock"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(OSError):
    """A disk is full, or a quota used up; the message says which disk."""


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
    """Write a file whole or not at all.

    The bytes go to a new file in the same folder, and from there to the disk; then the
    file is renamed, and so is its entry in the folder on the disk. Whatever interrupts
    it (a kill, a full disk, a loss of power), `path` keeps its old content or has the
    new one. What is no file, such as /dev/null, is written to.

    Raises:
        OSError: The folder is missing or read-only, or the disk is full; the message
            says which disk.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    with naming_full_disk(path, len(data)):
        temporary = path.with_name(f"{PARTIAL}{path.name}.{secrets.token_hex(8)}")
        # O_EXCL takes no file that is there, and follows no link.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        file = os.open(temporary, flags, 0o666)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(file, rest) :]
                os.fsync(file)
            finally:
                os.close(file)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(path.parent)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file, in UTF-8, whole or not at all; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def rename(old: pathlib.Path, new: pathlib.Path) -> None:
    """Rename a file within its folder, for good; it takes the place of another."""
    os.replace(old, new)
    sync_folder(new.parent)


def sync_folder(folder: pathlib.Path) -> None:
    """Have the entries of a folder written to the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        entries = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(entries)
        finally:
            os.close(entries)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EINVAL, errno.ENOTSUP):
            raise


def make_folder(folder: str | os.PathLike) -> pathlib.Path:
    """Make a folder, for good, with those above it; it may be there already.

    Raises:
        OSError: It cannot be made, such as where a file has that name.
    """
    folder = pathlib.Path(folder)
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    with naming_full_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for each in missing:
            sync_folder(each.parent)
    return folder


def remove_partial(folder: pathlib.Path, name: str = "*") -> None:
    """Remove what a kill left of files of that name; nobody may be writing them."""
    for path in folder.glob(f"{PARTIAL}{name}.*"):
        path.unlink(missing_ok=True)


def machine_locked() -> contextlib.AbstractContextManager[None]:
    """Keep others waiting that time something on this machine; see `locked`."""
    return locked(pathlib.Path(tempfile.gettempdir()))


@contextlib.contextmanager
def locked(path: pathlib.Path, refusal: str | None = None) -> Iterator[None]:
    """Keep out other processes that lock the same file or folder.

    The lock ends with the process, however it ends. Where the system or the file system
    knows no locks, there is none.

    Args:
        path: A folder, or a file, which is made.
        refusal: Message of the error if another process has the lock. Default: wait
            for it.

    Raises:
        ValueError: Another process has the lock.
        OSError: The file cannot be made.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    making = 0 if path.is_dir() else os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    with naming_full_disk(path):
        file = os.open(path, making, 0o666)
    try:
        wait = 0 if refusal is None else fcntl.LOCK_NB
        try:
            fcntl.flock(file, fcntl.LOCK_EX | wait)
        except BlockingIOError as error:
            raise ValueError(refusal) from error
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOLCK, errno.ENOTSUP):
                raise
        yield
    finally:
        os.close(file)


@contextlib.contextmanager
def naming_full_disk(path: pathlib.Path, needed: int | None = None) -> Iterator[None]:
    """Say which disk is full where something fails for that.

    Args:
        path: What is being written.
        needed: Its size in bytes; None: unknown.

    Raises:
        DiskFullError: The disk is full.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        # TensorFlow and HDF5 raise errors of their own, with the system's words.
        words = [os.strerror(each) for each in _FULL]
        if getattr(error, "errno", None) not in _FULL and not any(
            each in str(error) for each in words
        ):
            raise
        place = path.absolute()
        while not os.path.ismount(place):
            place = place.parent
        free = f"{shutil.disk_usage(place).free:,}"
        full = DiskFullError(
            f"The disk at {place} is full: {path} needs {needed:,} bytes, and {free} "
            "are free."
            if needed is not None
            else f"The disk at {place} is full: {path} could not be written, and "
            f"{free} bytes are free."
        )
        full.errno = errno.ENOSPC
        raise full from error
