"""Architecture search for early-exit networks, with several objectives at once.

Names are imported when they are used: searching needs keras-tuner and pymoo, which
`pip install "aebnas-keras[search]"` brings.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "search.aebnas": ("AEBNAS",),
    "search.candidates": ("load_candidate", "settings_front"),
    "search.engine": ("ParetoOracle", "ProposerOracle"),
    "search.methods": ("METHODS", "Method"),
    "search.metrics": ("METRICS", "Measurement", "Metric"),
    "search.objectives": ("Constraint", "Objective", "Objectives"),
    "search.proposers": ("NSGA2", "CompletedTrial", "Proposal", "RandomSearch"),
    "search.reading": ("export", "read", "record"),
    "search.records": ("CandidateRecord", "SearchRecord"),
    "search.running": ("run",),
    "search.settings": ("Settings",),
    "search.space": ("SearchSpace",),
    "search.tuner": ("EarlyExitTuner",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
LIBRARIES = ("keras_tuner", "pymoo", "scipy", "sklearn")  # of the extra "search"
NEEDS = 'search needs keras-tuner and pymoo: pip install "aebnas-keras[search]"'

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if is_extra(error):
            raise ModuleNotFoundError(NEEDS, name=error.name) from error
        raise


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def is_extra(error: ModuleNotFoundError) -> bool:
    """Whether a module is missing that the extra "search" installs."""
    return (error.name or "").partition(".")[0] in LIBRARIES
