"""Names: registries by name, what to answer to a wrong one, what Keras takes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


def add(known: dict[str, T], kind: str, name: str, value: T) -> T:
    """Add something to a registry, and return it.

    Args:
        known: The registry.
        kind: What it holds, such as "method".
        name: The name of what is added.
        value: What is added.

    Raises:
        ValueError: The name is taken.
    """
    if name in known:
        article = "an" if kind[0] in "aeiou" else "a"
        raise ValueError(f"There is already {article} {kind} {name!r}.")
    known[name] = value
    return value


def find(known: Mapping[str, T], kind: str, name: str) -> T:
    """Look something up in a registry.

    Raises:
        ValueError: There is no such name; the message lists near ones.
    """
    if not isinstance(name, str) or name not in known:
        raise ValueError(unknown(kind, name, known))
    return known[name]


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """A sentence or two for a name that does not exist, with near matches.

    Args:
        kind: What the name is of, such as "method".
        name: The name that was given.
        known: The names that exist.

    Example:
        >>> unknown("method", "aebna", ["aebnas", "random"])
        "There is no method 'aebna'; choose from aebnas, random. Did you mean 'aebnas'?"
    """
    known = list(known)
    if not known:
        return f"There is no {kind} {str(name)!r}; none is known."
    near = difflib.get_close_matches(str(name), known, 3, 0.4)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"There is no {kind} {str(name)!r}; choose from {', '.join(known)}.{hint}"


def valid_name(name: str) -> str:
    """A name that Keras takes for a model, made of any text, such as a folder's name.

    Example:
        >>> valid_name("my modèle")
        'my_mod_le'
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return name if re.match(r"[A-Za-z0-9.]", name) else f"model{name}"
