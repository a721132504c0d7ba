"""The authors' archive: 32 of their own candidates with what they measured."""

from __future__ import annotations

import json
import pathlib
from typing import NamedTuple

import numpy as np

from search import surrogate
from search.oracle import features
from search.space import SearchSpace
from zoo.architecture import Architecture

ARCHIVE = pathlib.Path(__file__).parent / "authors_archive.json"


class Candidate(NamedTuple):
    """One entry of the archive.

    Attributes:
        architecture: As their code really built it (`legacy_alignment`).
        error: Top-1 error on 5,000 CIFAR-10 validation images, 0..1.
        macs: MACs spent at each exit, counts, in their accounting.
        shares: Share of the images that leaves at each exit.
    """

    architecture: Architecture
    error: float
    macs: np.ndarray
    shares: np.ndarray

    @property
    def average_macs(self) -> float:
        """Average MACs, a count."""
        return float(self.macs @ self.shares)


def read() -> list[list]:
    """The file as it is: [candidate, error %, MACs of each exit in M, shares]."""
    return json.loads(ARCHIVE.read_text(encoding="utf-8"))


def load() -> list[Candidate]:
    """All candidates of the archive."""
    return [
        Candidate(
            Architecture.from_ofa(candidate, legacy_alignment=True),
            error / 100,
            1e6 * np.array(macs),
            np.array(shares),
        )
        for candidate, error, macs, shares in read()
    ]


def leave_one_out(seed: int = 1) -> list[dict]:
    """How well each surrogate predicts an archived candidate from all others.

    With the 82 genes alone, as in the paper, and with the counted costs that this
    package adds to them.

    Returns:
        For every surrogate, inputs and target: `n`, `rmse` (in points of error, or
        millions of MACs), `spearman` and `kendall`, and the `true` and `predicted`
        values of all candidates.
    """
    space, archive = SearchSpace(), load()
    genes = np.array([space.encode(each.architecture) for each in archive])
    genes = space.canonical(genes)
    inputs = {"genes": genes, "genes and costs": features(space, genes)}
    targets = {
        "error": 100 * np.array([each.error for each in archive]),
        "average MACs": np.array([each.average_macs for each in archive]) / 1e6,
    }
    rows = []
    for name in surrogate.SURROGATES:
        for kind, x in inputs.items():
            for target, y in targets.items():
                predicted = np.zeros(len(y))
                for i in range(len(y)):
                    rest = np.arange(len(y)) != i
                    model = surrogate.surrogate(name, seed)
                    with surrogate.quiet():
                        predicted[i] = model.fit(x[rest], y[rest]).predict(
                            x[i : i + 1]
                        )[0]
                rows.append(
                    {"surrogate": name, "inputs": kind, "target": target}
                    | surrogate.quality(y, predicted)
                    | {"true": y.tolist(), "predicted": predicted.tolist()}
                )
    return rows
