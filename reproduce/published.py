"""Published figures, each with its source.

Accuracies are in percent and MACs are counts, as everywhere here; spreads are what the
sources print after a plus-minus sign. What a source does not give is None, and a value
that follows from others says from which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

NACHOS_II = "NACHOS (arXiv 2401.13330v3), table II"
NACHOS_V = "NACHOS (arXiv 2401.13330v3), table V"
EDANAS_I = "EDANAS (IJCNN 2023), table I"
AEBNAS_TEXT = "AEBNAS (arXiv 2512.10671), text"
AEBNAS_CODE = "AEBNAS (arXiv 2512.10671), archive of its code"


@dataclass(frozen=True)
class Published:
    """One published network.

    Attributes:
        data: The data set.
        system: What the source calls the method or network.
        accuracy: Top-1 accuracy on the test split, percent; None: not available.
        average_macs: Average multiply-accumulate operations per image, a count; None:
            not available.
        source: Publication and table.
        accuracy_spread: Of the accuracy, points.
        macs_spread: Of the average MACs, a count.
        derived_from: Systems and the points by which this accuracy is said to exceed
            theirs; empty if the accuracy is printed as such.
        target_macs: Average MACs that the search aimed at, or its limit, a count.
        approximate: Whether the average MACs are said to be "about" that.
    """

    data: str
    system: str
    accuracy: float | None
    average_macs: float | None
    source: str
    accuracy_spread: float | None = None
    macs_spread: float | None = None
    derived_from: tuple[tuple[str, float], ...] = ()
    target_macs: float | None = None
    approximate: bool = False


@dataclass(frozen=True)
class PublishedSurrogate:
    """How well the authors' surrogate of error predicts, as they report it.

    Attributes:
        surrogate: Kind and inputs.
        candidates: On how many, about.
        rmse: In points of error.
        spearman: Rank correlation.
        kendall: Rank correlation.
        hypervolume: Of the search that used it, a share of its box.
        source: Publication.
    """

    surrogate: str
    candidates: int
    rmse: float
    spearman: float
    kendall: float
    hypervolume: float
    source: str


SURROGATE = PublishedSurrogate(
    "mlp, genes", 200, 1.64, 0.921, 0.812, 0.528, AEBNAS_CODE
)

PUBLISHED = (
    Published(
        *("cifar10", "AEBNAS", 74.64, 2.44e6, AEBNAS_TEXT),
        derived_from=(("EDANAS", 6.86), ("NACHOS", 1.99)),
        target_macs=2.44e6,
        approximate=True,
    ),
    Published(
        *("cifar10", "NACHOS", 72.65, 2.44e6, NACHOS_II, 0.49, 0.02e6),
        target_macs=2.7e6,
    ),
    Published("cifar10", "EDANAS", 67.78, 2.47e6, NACHOS_II, 0.12, 0.01e6),
    Published("cifar10", "NACHOS, no constraints", 72.25, 2.91e6, NACHOS_V),
    Published("cifar10", "NACHOS, no peak term", 71.38, 2.40e6, NACHOS_V),
    Published("cifar10", "EDANAS 1", 80.9, 17.31e6, EDANAS_I),
    Published("cifar10", "EDANAS 2", 81.1, 23.52e6, EDANAS_I),
    Published("cifar10", "EDANAS 3", 77.7, 9.65e6, EDANAS_I),
    Published("cifar10", "EDANAS 4", 62.3, 3.15e6, EDANAS_I),
    Published("cifar10", "Static NAS 1", 81.8, 21.67e6, EDANAS_I),
    Published("cifar10", "Static NAS 2", 86.8, 37.21e6, EDANAS_I),
    Published("cifar10", "Static NAS 3", 81.3, 18.14e6, EDANAS_I),
    Published("cifar10", "Static NAS 4", 78.2, 10.64e6, EDANAS_I),
    Published(
        *("cifar10", "AEBNAS, large", None, None, AEBNAS_TEXT),
        target_macs=17e6,
    ),
    Published("cifar10", "EECNN", 76.50, 7.48e6, NACHOS_II),
    Published("cifar10", "EEAlexNet", 73.03, 233.46e6, NACHOS_II),
    Published("cifar10", "EEResNet20", 69.71, 21.25e6, NACHOS_II),
    Published(
        *("svhn_cropped", "NACHOS", 79.96, 1.46e6, NACHOS_II, 0.84),
        target_macs=1.5e6,
    ),
    Published("svhn_cropped", "EDANAS", 77.98, 1.47e6, NACHOS_II, 0.24),
    Published("svhn_cropped", "EEAlexNet", 89.00, 263.51e6, NACHOS_II),
    Published("svhn_cropped", "EEResNet20", 88.53, 70.20e6, NACHOS_II),
    Published("svhn_cropped", "AEBNAS", None, None, AEBNAS_TEXT, target_macs=1e6),
    Published("cifar100", "AEBNAS", None, None, AEBNAS_TEXT, target_macs=17e6),
)


def rows(data: str) -> list[Published]:
    """The published networks of a data set, cheapest first, unknown costs last."""
    found = [row for row in PUBLISHED if row.data == data]
    return sorted(found, key=lambda row: (row.average_macs or math.inf, row.system))


def derivations(row: Published) -> list[float]:
    """The accuracy of a derived row, once from each of the rows it follows from."""
    return [
        next(p.accuracy for p in PUBLISHED if (p.data, p.system) == (row.data, system))
        + points
        for system, points in row.derived_from
    ]
