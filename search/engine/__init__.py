"""The seam to keras-tuner: nothing outside this folder imports it.

keras-tuner (1.4.8) sums a list of objectives, treats the seed 0 as none, keeps the
oracle's lock when a synchronised method raises, answers anyone who reaches its chief,
does not send a worker's error messages, and prints values that its processes exchange.
What is done about that needs private names; `tests/search/test_contract_keras_tuner.py`
says which one a new version has broken.
"""

from search.engine.evaluating import FAILURE, TrialTuner, has_completed, is_worker
from search.engine.pareto_oracle import ParetoOracle, reason
from search.engine.proposer_oracle import ProposerOracle, hyperparameters

__all__ = [
    "FAILURE",
    "ParetoOracle",
    "ProposerOracle",
    "TrialTuner",
    "has_completed",
    "hyperparameters",
    "is_worker",
    "reason",
]
