"""What an iteration of the search costs beside the training of its candidates."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import numpy as np

from search.oracle import AEBNASOracle
from search.space import SearchSpace
from zoo.cost import macs


def iteration(trials: int, surrogate: str, seed: int = 1) -> dict[str, Any]:
    """Time one iteration: fitting surrogates, NSGA-II, selection, keeping records.

    The trials are random candidates. Their errors are made up (what the surrogates
    learn does not change what fitting them costs), their MACs are counted.

    Args:
        trials: Completed trials on record.
        surrogate: "adaptive" or "mlp".
        seed: Seed of the candidates.

    Returns:
        `trials`, `surrogate` and `seconds`.
    """
    space = SearchSpace()
    oracle = AEBNASOracle(
        space,
        target=2.44e6,
        surrogate=surrogate,
        initial_trials=trials,
        max_trials=trials + 8,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        oracle._set_project_dir(folder, "search")
        for _ in range(trials):
            trial = oracle.create_trial("worker")
            cost = macs(space.decode(oracle.genes(trial)), 10)
            metrics = {"error": rng.random(), "average_macs": float(cost.per_exit[0])}
            oracle.update_trial(trial.trial_id, metrics)
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
        began = time.perf_counter()
        oracle.create_trial("worker")
        seconds = time.perf_counter() - began
    return {"trials": trials, "surrogate": surrogate, "seconds": round(seconds, 2)}
