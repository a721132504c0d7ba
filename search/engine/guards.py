"""What is checked before the oracle changes, and a lock that is always let go."""

from __future__ import annotations

import functools
import json
import pathlib
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from keras_tuner.src.engine.oracle import LOCKS, THREADS

T = TypeVar("T")


def synchronized(method: Callable[..., T]) -> Callable[..., T]:
    """`keras_tuner.synchronized`, but for the lock, which an error does not keep.

    It is the same lock, so that keras-tuner's own methods may be called from within.
    """

    @functools.wraps(method)
    def locked(oracle: Any, *args: Any, **kwargs: Any) -> T:
        thread = threading.current_thread().name
        if THREADS[oracle] == thread:
            return method(oracle, *args, **kwargs)
        with LOCKS[oracle]:
            THREADS[oracle] = thread
            try:
                return method(oracle, *args, **kwargs)
            finally:
                THREADS[oracle] = None

    return locked


def check_id(trial_id: Any) -> str:
    """A trial's number as text, which is part of a folder's name.

    Raises:
        ValueError: It is something else, such as a path.
    """
    if not isinstance(trial_id, str) or not re.fullmatch(r"[0-9]{1,9}", trial_id):
        raise ValueError(f"The trial is {trial_id!r}; expected a number.")
    return trial_id


def read_json(path: pathlib.Path, take: Callable[[Any], T]) -> T:
    """What `take` makes of a JSON file.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        return take(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise
    except Exception as error:  # from the depths of keras-tuner
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is damaged ({what}).") from error
