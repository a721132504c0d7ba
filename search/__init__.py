"""Architecture search for early-exit networks: a multi-objective keras-tuner oracle."""

try:
    from search.methods import METHODS
    from search.oracle import AEBNASOracle, NSGA2Oracle, ParetoOracle, RandomOracle
    from search.pareto import Constraint, Objectives
    from search.settings import Settings, export, read, record, run
    from search.space import SearchSpace
    from search.tuner import EarlyExitTuner, fine_front
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'{error}; pip install ".[search]" brings what searches and their records need.'
    ) from error

__all__ = [
    "METHODS",
    "AEBNASOracle",
    "Constraint",
    "EarlyExitTuner",
    "NSGA2Oracle",
    "Objectives",
    "ParetoOracle",
    "RandomOracle",
    "SearchSpace",
    "Settings",
    "export",
    "fine_front",
    "read",
    "record",
    "run",
]
