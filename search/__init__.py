"""Architecture search for early-exit networks, with several objectives at once.

Names are imported when they are used: searching needs keras-tuner and pymoo, which
`pip install "aebnas-keras[search]"` brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zoo import lazy

if TYPE_CHECKING:
    from search.aebnas import AEBNAS
    from search.candidates import load_candidate, settings_front
    from search.engine import ParetoOracle, ProposerOracle
    from search.methods import METHODS, Method
    from search.metrics import METRICS, Measurement, Metric
    from search.objectives import Constraint, Objective, Objectives
    from search.proposers import NSGA2, CompletedTrial, Proposal, RandomSearch
    from search.reading import export, read, record
    from search.records import CandidateRecord, SearchRecord
    from search.running import run
    from search.settings import Settings
    from search.space import SearchSpace
    from search.tuner import EarlyExitTuner

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
