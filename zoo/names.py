"""Names that a user can get wrong, and what to answer then."""

from __future__ import annotations

import difflib
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
