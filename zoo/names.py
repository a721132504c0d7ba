"""Names: what to answer to a wrong one, and how to make one that Keras takes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


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
    near = difflib.get_close_matches(str(name), known, 3, 0.4)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = ", ".join(known) or "nothing: none is known"
    return f"There is no {kind} {str(name)!r}; choose from {listed}.{hint}"


def valid_name(name: str) -> str:
    """A name that Keras takes for a model, made of any text, such as a folder's name.

    Example:
        >>> valid_name("my modèle")
        'my_mod_le'
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return name if re.match(r"[A-Za-z0-9.]", name) else f"model{name}"
