"""The authors' archive: 32 of their own candidates with what they measured."""

from __future__ import annotations

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from reproduce.records import Prediction, SurrogateQualityRecord
from search import surrogate
from search.predictor import features
from search.records import Ranking
from search.space import SearchSpace
from zoo import records
from zoo.architecture import Architecture
from zoo.measure import provenance

ARCHIVE = pathlib.Path(__file__).parent / "authors_archive.json"


class Entry(NamedTuple):
    """One entry of the file, as the authors wrote it.

    Attributes:
        candidate: Their dictionary of it, for `Architecture.from_ofa`.
        error: Top-1 error on their validation images, percent.
        macs: MACs spent at each exit, in millions.
        shares: Share of the images that leaves at each exit.
    """

    candidate: dict[str, Any]
    error: float
    macs: list[float]
    shares: list[float]


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


def read() -> list[Entry]:
    """The file as it is."""
    return [Entry(*each) for each in json.loads(ARCHIVE.read_text(encoding="utf-8"))]


def load() -> list[Candidate]:
    """All candidates of the archive."""
    return [
        Candidate(
            Architecture.from_ofa(entry.candidate, legacy_alignment=True),
            entry.error / 100,
            1e6 * np.array(entry.macs),
            np.array(entry.shares),
        )
        for entry in read()
    ]


def leave_one_out(seed: int = 1) -> list[Prediction]:
    """How well each surrogate predicts an archived candidate from all others.

    With the 82 genes alone, as in the paper, and with the counted costs that this
    package adds to them.

    Returns:
        A prediction for every surrogate, inputs and target; RMSE in points of error or
        millions of MACs.
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
                    Prediction(
                        *(name, kind, target, ranking(y, predicted)),
                        true=tuple(y.tolist()),
                        predicted=tuple(predicted.tolist()),
                    )
                )
    return rows


def ranking(true: Any, predicted: Any) -> Ranking:
    """How well predictions agree with the truth."""
    return records.convert(surrogate.quality(true, predicted), Ranking, "quality")


def measure(seed: int = 1) -> SurrogateQualityRecord:
    """The record of `leave_one_out`."""
    return SurrogateQualityRecord(seed, tuple(leave_one_out(seed)), provenance())
