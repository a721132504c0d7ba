"""Published networks beside searches and pretrained models; see `Row`."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reproduce import published, records, runs
from reproduce.experiments import CONVENTION, EXPERIMENTS, SCALES
from reproduce.records import RESULTS
from reproduce.tables.registry import Table, register
from search import methods
from zoo import registry
from zoo.exits import OperatingPoint, paper_score

# The published network that a pretrained model is set beside: that of about its cost.
BESIDE = {
    "aebnas_cifar10_small": "AEBNAS",
    "aebnas_cifar10_medium": "EECNN",
    "aebnas_cifar10_large": "EDANAS 1",
    "aebnas_cifar100_large": "AEBNAS",
}
SCALES_OF_TABLES = ("reduced", "inherited", "paper")  # the smallest first
ABLATION = (
    *("cifar10_aebnas", "cifar10_fixed_branches"),
    *("cifar10_threshold_01", "cifar10_threshold_02"),
)
CLAIM = ("AEBNAS", "NACHOS", "EDANAS")  # the paper's order at about 2.44 M
COLUMNS = (
    *("system", "kind", "accuracy (%)", "average MACs (M, aebnas)", "target (M)"),
    *("seeds", "score", "difference", "compared with", "protocol or source"),
)


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        system: Method or model.
        kind: "published", "derived" (it follows from published figures) or "measured".
        accuracy: Top-1 accuracy on the test split, percent; None: not available.
        average_macs: Average MACs per image, a count in the `aebnas` convention; None:
            not available.
        protocol: How it came about, or its source.
        accuracy_spread: Sample standard deviation over seeds, or as published.
        macs_spread: Likewise.
        seeds: How many runs; None: the source does not say.
        score: The paper's, on the test split; only of searches.
        score_spread: Sample standard deviation over seeds.
        difference: Accuracy minus that of `beside`.
        beside: The published network it is compared with, if any.
        target_macs: Average MACs aimed at, or the limit; a count.
        approximate: Whether the average MACs are only said to be "about" that.
    """

    system: str
    kind: str
    accuracy: float | None
    average_macs: float | None
    protocol: str
    accuracy_spread: float | None = None
    macs_spread: float | None = None
    seeds: int | None = None
    score: float | None = None
    score_spread: float | None = None
    difference: float | None = None
    beside: str = ""
    target_macs: float | None = None
    approximate: bool = False

    def cells(self) -> tuple[str, ...]:
        """The row as text, a cell for each of `COLUMNS`."""
        return (
            self.system,
            self.kind,
            number(self.accuracy, self.accuracy_spread),
            "~" * self.approximate + number(self.average_macs, self.macs_spread, 1e6),
            number(self.target_macs, unit=1e6),
            "" if self.seeds is None else str(self.seeds),
            number(self.score, self.score_spread),
            "" if self.difference is None else f"{self.difference:+.2f}",
            self.beside,
            self.protocol,
        )


def number(value: float | None, spread: float | None = None, unit: float = 1) -> str:
    """A number and its spread in a unit, two decimals; empty for None."""
    if value is None:
        return ""
    text = f"{value / unit:.2f}"
    return text if spread is None else f"{text} ± {spread / unit:.2f}"


def accuracy_rows(data: str, results: pathlib.Path = RESULTS) -> list[Row]:
    """Published, searched and pretrained networks of a data set.

    Args:
        data: The data set.
        results: Folder of records.
    """
    found = [
        Row(
            row.system,
            "derived" if row.derived_from else "published",
            row.accuracy,
            row.average_macs,
            row.source,
            row.accuracy_spread,
            row.macs_spread,
            target_macs=row.target_macs,
            approximate=row.approximate,
        )
        for row in published.rows(data)
    ]
    known = {row.system: row.accuracy for row in found}
    names = [e.name for e in EXPERIMENTS.values() if e.data == data and not e.space]
    for scale in SCALES_OF_TABLES:
        found += searched(scale, names, results, known)
    return found + pretrained(data, known, results)


def searched(
    scale: str,
    names: Sequence[str],
    results: pathlib.Path = RESULTS,
    known: Mapping[str, float | None] | None = None,
) -> list[Row]:
    """A row per experiment that has records: mean and spread over its seeds."""
    rows = []
    for name in names:
        found = runs.load(scale, results, [name])
        if not found:
            continue
        wanted, size = EXPERIMENTS[name], SCALES[scale]
        tests = [each.selected.test for each in found]
        accuracy = [100 * test.accuracy for test in tests]
        spent = [test.average_macs[CONVENTION] for test in tests]
        scores = [
            paper_score(test.accuracy, average, wanted.target_macs)
            for test, average in zip(tests, spent)
        ]
        mean, beside = float(np.mean(accuracy)), (known or {}).get(wanted.system)
        rows.append(
            Row(
                wanted.system,
                "measured",
                mean,
                float(np.mean(spent)),
                f"search `{name}`, {scale}: {size.summary}",
                _spread(accuracy),
                _spread(spent),
                len(found),
                float(np.mean(scores)),
                _spread(scores),
                None if beside is None else mean - beside,
                "" if beside is None else wanted.system,
                wanted.target_macs if methods.get(wanted.method).macs_as else None,
            )
        )
    return rows


def pretrained(
    data: str, known: Mapping[str, float | None], results: pathlib.Path = RESULTS
) -> list[Row]:
    """A row per pretrained model of a data set, as shipped, and per baseline.

    Published figures are in a convention that counts networks of the paper's space, so
    other models are left out.
    """
    models = [registry.record(name) for name in registry.list_models()]
    rows = []
    for record in (*models, *records.models(results)):
        if record.data is None or record.data.name != data:
            continue
        if CONVENTION not in record.conventions:
            continue
        test = record.results["test"]
        system = BESIDE.get(record.name, "")
        accuracy, beside = 100 * test.accuracy, known.get(system)
        rows.append(
            Row(
                f"`{record.name}`",
                "measured",
                accuracy,
                test.average_macs[CONVENTION],
                f"{records.epochs(record)} epochs on {record.data.train:,} images, "
                f"from {_source(record)}. {record.notes[0]}",
                seeds=1,
                difference=None if beside is None else accuracy - beside,
                beside="" if beside is None else system,
            )
        )
    return sorted(rows, key=lambda row: row.average_macs)


def _source(record: records.ModelRecord) -> str:
    """What the training of a model started from."""
    start = record.initial_weights
    return f"`{start}`" if start else "random weights"


def _spread(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def order(rows: Sequence[Row], scale: str = "") -> str:
    """Whether the measured searches rank as the paper says, and how sure that is.

    Args:
        rows: Those of searches of one scale.
        scale: Its name, for the text.
    """
    found = {
        row.system: row
        for row in rows
        if row.kind == "measured" and row.system in CLAIM and row.score is not None
    }
    if set(found) != set(CLAIM):
        return "The paper's order is not tested: some methods have no records."
    ranked = sorted(found.values(), key=lambda row: -row.score)
    listed = ", ".join(f"{r.system} {number(r.score, r.score_spread)}" for r in ranked)
    holds = tuple(row.system for row in ranked) == CLAIM
    close = [
        f"{better.system} and {worse.system}"
        for better, worse in zip(ranked, ranked[1:])
        if better.score - worse.score
        <= max(better.score_spread or 0, worse.score_spread or 0)
    ]
    if None in [row.score_spread for row in ranked]:
        doubt = " One seed says little."
    elif close:
        doubt = f" Within one spread of each other: {'; '.join(close)}."
    else:
        doubt = ""
    verdict = "holds" if holds else "does not hold"
    where = f"here at the {scale} scale" if scale else "here"
    return (
        f"The paper's order ({' > '.join(CLAIM)}) {verdict} {where}, by the mean of "
        f"the paper's score on the test split: {listed}.{doubt}"
    )


def complete(
    results: pathlib.Path = RESULTS,
    names: Sequence[str] | None = None,
    needed: Sequence[str] = CLAIM,
) -> tuple[str, list[Row]]:
    """The largest scale with records of all that is compared, and their rows.

    Without one, it is the smallest scale.

    Args:
        results: Folder of records.
        names: The experiments; None: those of the methods on CIFAR-10.
        needed: The systems that must have records.
    """
    if names is None:
        found = EXPERIMENTS.values()
        names = [e.name for e in found if e.data == "cifar10" and not e.space]
    for scale in reversed(SCALES_OF_TABLES):
        rows = searched(scale, names, results)
        if set(needed) <= {row.system for row in rows}:
            break
    return scale, rows


def _note(data: str) -> str:
    found = {e.target_macs / 1e6 for e in EXPERIMENTS.values() if e.data == data}
    targets = " or ".join(f"{target:g}" for target in sorted(found))
    return (
        "MACs in the `aebnas` convention. Measured on the test split; score: accuracy "
        "in percent, minus a tenth of the deviation of the average MACs from the "
        f"target, {targets} M, in percent. An empty cell means that the number is not "
        "available or does not apply. Differences are between networks trained in "
        "different ways; see the last column."
    )


def _compared(data: str, results: pathlib.Path) -> Table:
    rows, remark = accuracy_rows(data, results), _note(data)
    if data == "cifar10":
        scale, found = complete(results)
        remark = f"{remark} {order(found, scale)}"
    return Table(COLUMNS, [row.cells() for row in rows], remark)


def _searches(results: pathlib.Path) -> Table:
    """Only the searches on CIFAR-10."""
    scale, rows = complete(results)
    names = [e.name for e in EXPERIMENTS.values() if e.data == "cifar10"]
    minutes = [each.wall_seconds / 60 for each in runs.load(scale, results, names)]
    remark = order(rows, scale)
    if minutes:
        remark += (
            f" The searches of all {len(minutes)} runs at this scale took "
            f"{min(minutes):.0f} to {max(minutes):.0f} minutes each."
        )
    return Table(COLUMNS, [row.cells() for row in rows], remark)


def _ablation(results: pathlib.Path) -> Table:
    """What the search of branches and the tuning of thresholds contribute."""
    systems = [EXPERIMENTS[name].system for name in ABLATION]
    _, rows = complete(results, ABLATION, systems)
    remark = "Tuned: the best of 0.1, 0.2 and off at every exit, after training."
    note = _note("cifar10")
    return Table(COLUMNS, [row.cells() for row in rows], f"{note} {remark}")


def _alike(results: pathlib.Path) -> Table:
    """The methods' scores if all thresholds are chosen in the same way."""
    scale, _ = complete(results)
    rows = []
    for each in EXPERIMENTS.values():
        if each.data != "cifar10" or each.system not in CLAIM:
            continue
        own, alike = [], []
        for record in runs.load(scale, results, [each.name]):
            chosen = runs.choose(record)
            own.append(
                best_score(
                    [c.evaluation for c in record.candidates if c.trial == chosen],
                    each.target_macs,
                )
            )
            alike.append(best_score(record.settings_front, each.target_macs))
        if own:
            rows.append(
                (
                    each.system,
                    str(len(own)),
                    number(float(np.mean(own)), _spread(own)),
                    number(float(np.mean(alike)), _spread(alike)),
                )
            )
    return Table(
        ("method", "seeds", "thresholds of the method", "chosen in the same way"),
        rows,
        "Scores on the validation split. Chosen in the same way: the best score among "
        "all threshold settings of all candidates.",
    )


def best_score(points: Sequence[OperatingPoint], target_macs: float) -> float:
    """The highest score of some operating points."""
    return max(paper_score(p.accuracy, p.average_macs, target_macs) for p in points)


register("cifar10", functools.partial(_compared, "cifar10"))
register("svhn", functools.partial(_compared, "svhn_cropped"))
register("cifar100", functools.partial(_compared, "cifar100"))
register("searches", _searches)
register("ablation", _ablation)
register("thresholds", _alike)
