"""Progress of a search, on the terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

from zoo.cards import million, percent
from zoo.exits import paper_score


class Progress:
    """One line on a terminal, updated after every trial; elsewhere a line per trial.

    Args:
        trials: How many there will be.
        target_macs: Average MACs aimed at, which help decide which candidate is best;
            None: only the error decides.
    """

    def __init__(self, trials: int, target_macs: float | None = None) -> None:
        self.trials = trials
        self.target_macs = target_macs
        self.live = sys.stderr.isatty()
        self.ends = [time.monotonic()]  # of the trials; first when the search began

    def __call__(self, oracle: Any, trial: Any) -> None:
        """Report a trial that ended; see `search.run`."""
        self.ends.append(time.monotonic())
        done = len(oracle.end_order)
        history = oracle.hypervolume_history()
        failed = done - len(history)
        half = (len(self.ends) - 1) // 2  # the first trials may prepare what all use
        each = (self.ends[-1] - self.ends[half]) / (len(self.ends) - 1 - half)
        left = each * max(self.trials - done, 0) / 60
        parts = [
            f"{done}/{self.trials} trials",
            f"front {len(oracle.pareto_trials())}",
            f"hypervolume {history[-1][1] if history else 0:.4f}",
            *self._best(oracle),
            f"{left:.0f} min left",
            *([f"{failed} failed"] if failed else []),
        ]
        begin, end = ("\r\x1b[K", "") if self.live else ("", "\n")
        print(f"{begin}{', '.join(parts)}", end=end, file=sys.stderr, flush=True)

    def finish(self) -> None:
        """End the line, so that further output begins on a new one."""
        if self.live:
            print(file=sys.stderr)

    def _best(self, oracle: Any) -> list[str]:
        feasible = filter(oracle.is_feasible, oracle.completed_trials())
        values = [oracle.values(each) for each in feasible]
        if not values:
            return []
        best = max(values, key=self._score)
        found = (
            f"{percent(best['error'])} error at {million(best['average_macs'])} MACs"
        )
        for name in oracle.objectives.names:
            if name not in ("error", "average_macs"):
                found += f", {name} {best[name]:.4g}"
        if self.target_macs is None:
            return [f"best {found}"]
        return [f"best score {self._score(best):.2f} ({found})"]

    def _score(self, values: dict[str, float]) -> float:
        """The paper's score, in points."""
        return paper_score(
            1 - values["error"], values["average_macs"], self.target_macs
        )
