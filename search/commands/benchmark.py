"""`search benchmark`: how long an iteration takes, without training."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from zoo.terminal import CommandLine, add_json


def add(commands: CommandLine) -> None:
    """Declare the command."""
    summary = "Time an iteration of the search, without training."
    command = commands.command("benchmark", run, summary)
    command.add_argument(
        "--trials",
        type=int,
        default=340,
        help="completed trials that the iteration starts from (default: 340)",
    )
    add_json(command)


@dataclass(frozen=True)
class IterationTime:
    """How long an iteration took.

    Attributes:
        trials: Completed trials on record.
        surrogate: What predicted.
        seconds: Fitting surrogates, NSGA-II on them, and selection.
    """

    trials: int
    surrogate: str
    seconds: float


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from search.surrogate import SURROGATES
    from zoo.records import to_dict
    from zoo.terminal import print_json, print_table

    if options.trials < 2:
        raise ValueError(f"--trials is {options.trials}; expected 2 or more.")
    results = [time_iteration(options.trials, name) for name in SURROGATES]
    if options.json:
        return print_json([to_dict(each) for each in results])
    print_table(
        ("surrogate", "completed trials", "seconds per iteration"),
        [[r.surrogate, str(r.trials), f"{r.seconds:.2f}"] for r in results],
    )


def time_iteration(trials: int, surrogate: str, seed: int = 1) -> IterationTime:
    """Time one iteration.

    The trials are random candidates. Their errors are made up (what the surrogates
    learn does not change what fitting them costs), their MACs are counted.

    Args:
        trials: Completed trials on record.
        surrogate: "adaptive" or "mlp".
        seed: Seed of the candidates.
    """
    import numpy as np

    from search.aebnas import AEBNAS
    from search.objectives import Objectives
    from search.proposers import CompletedTrial
    from search.space import SearchSpace
    from zoo.cost import macs

    space, rng = SearchSpace(), np.random.default_rng(seed)
    objectives = Objectives(("error", "average_macs"))
    proposer = AEBNAS(space, objectives, target=2.44e6, surrogate=surrogate)
    genes = space.sample(trials, rng)
    results = []
    for each in genes:
        cost = macs(space.decode(each), 10)
        metrics = {"error": rng.random(), "average_macs": float(cost.per_exit[0])}
        results.append(CompletedTrial(tuple(each.tolist()), metrics, True))
    began = time.perf_counter()
    proposer.propose(results, rng, set(map(tuple, genes.tolist())))
    return IterationTime(trials, surrogate, round(time.perf_counter() - began, 2))
