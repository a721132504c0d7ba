"""Architecture search for early-exit networks, with several objectives at once.

Names are imported when they are used: searching needs keras-tuner and pymoo, which
`pip install "aebnas-keras[search]"` brings.
"""

from __future__ import annotations

from typing import Any

from zoo import lazy

_get, __dir__ = lazy.exports(
    __name__,
    {
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
    },
)
LIBRARIES = ("keras_tuner", "pymoo", "scipy", "sklearn")  # of the extra "search"
NEEDS = 'search needs keras-tuner and pymoo: pip install "aebnas-keras[search]"'

__all__ = [
    "AEBNAS",
    "METHODS",
    "METRICS",
    "NSGA2",
    "CandidateRecord",
    "CompletedTrial",
    "Constraint",
    "EarlyExitTuner",
    "Measurement",
    "Method",
    "Metric",
    "Objective",
    "Objectives",
    "ParetoOracle",
    "Proposal",
    "ProposerOracle",
    "RandomSearch",
    "SearchRecord",
    "SearchSpace",
    "Settings",
    "export",
    "load_candidate",
    "read",
    "record",
    "run",
    "settings_front",
]


def __getattr__(name: str) -> Any:
    try:
        return _get(name)
    except ModuleNotFoundError as error:
        if is_extra(error):
            raise ModuleNotFoundError(NEEDS, name=error.name) from error
        raise


def is_extra(error: ModuleNotFoundError) -> bool:
    """Whether a module is missing that the extra "search" installs."""
    return (error.name or "").partition(".")[0] in LIBRARIES
