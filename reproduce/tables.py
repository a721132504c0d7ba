"""The paper's tables: published beside measured, from records alone."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reproduce import archive, experiments, published
from reproduce.experiments import EXPERIMENTS, SCALES
from search import METHODS
from zoo import registry
from zoo.cards import markdown_table

# The published network that a pretrained model is set beside: that of about its cost.
BESIDE = {
    "aebnas_cifar10_small": "AEBNAS",
    "aebnas_cifar10_medium": "EECNN",
    "aebnas_cifar10_large": "EDANAS 1",
    "aebnas_cifar100_large": "AEBNAS",
}
BASELINES = experiments.RESULTS.parent / "baselines"  # records of models not shipped
TUNED = ("cifar10_aebnas", "cifar10_threshold_01", "cifar10_threshold_02")
CLAIM = ("AEBNAS", "NACHOS", "EDANAS")  # the paper's order at about 2.44 M


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        system: Method or model.
        kind: "published", "derived" (it follows from published figures) or "measured".
        accuracy: Top-1 accuracy on the test split, percent; None: not available.
        average_macs: Average MACs an image, a count in the `aebnas` convention; None:
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


def accuracy_rows(
    data: str, results: str | os.PathLike = experiments.RESULTS
) -> list[Row]:
    """Published, searched and pretrained networks of a data set.

    Args:
        data: The data set.
        results: Folder of the experiments' records.
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
    for scale in ("reduced", "paper"):
        found += searched(scale, names, results, known)
    return found + pretrained(data, known)


def searched(
    scale: str,
    names: Sequence[str],
    results: str | os.PathLike = experiments.RESULTS,
    known: Mapping[str, float | None] | None = None,
) -> list[Row]:
    """A row per experiment that has records: mean and spread over its seeds."""
    rows = []
    for name in names:
        records = experiments.load(scale, results, [name])
        if not records:
            continue
        wanted, size = EXPERIMENTS[name], SCALES[scale]
        tests = [record["selected"]["test"] for record in records]
        accuracy = [100 * test["accuracy"] for test in tests]
        spent = [test["average_macs"]["aebnas"] for test in tests]
        scores = [
            experiments.score(
                test["accuracy"], test["average_macs"]["aebnas"], wanted.target_macs
            )
            for test in tests
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
                len(records),
                float(np.mean(scores)),
                _spread(scores),
                None if beside is None else mean - beside,
                "" if beside is None else wanted.system,
                wanted.target_macs if METHODS[wanted.method].macs_as else None,
            )
        )
    return rows


def pretrained(data: str, known: Mapping[str, float | None]) -> list[Row]:
    """A row per pretrained model of a data set, as shipped, and per baseline."""
    records = [registry.config(name) for name in registry.list_models()]
    for path in sorted(BASELINES.glob("*.json")):
        records.append(json.loads(path.read_text(encoding="utf-8")))
    rows = []
    for record in records:
        if record["data"]["name"] != data:
            continue
        test, name = record["results"]["test"], record["name"]
        system = BESIDE.get(name, "")
        accuracy, beside = 100 * test["accuracy"], known.get(system)
        start = record["training"].get("start")
        rows.append(
            Row(
                f"`{name}`",
                "measured",
                accuracy,
                test["average_macs"]["aebnas"],
                f"{record['training']['recipe']['epochs']} epochs on "
                f"{record['data']['train']:,} images, from "
                + (f"`{start}`" if start else "random weights")
                + f". {record['notes'][0]}",
                seeds=1,
                difference=None if beside is None else accuracy - beside,
                beside="" if beside is None else system,
            )
        )
    return sorted(rows, key=lambda row: row.average_macs)


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
        return "The paper's order is not tested: not every method has records."
    ranked = sorted(found.values(), key=lambda row: -row.score)
    listed = ", ".join(f"{r.system} {_number(r.score, r.score_spread)}" for r in ranked)
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
        doubt = f" No further apart than their spread: {'; '.join(close)}."
    else:
        doubt = ""
    verdict = "holds" if holds else "does not hold"
    where = f"here at the scale {scale}" if scale else "here"
    return (
        f"The paper's order ({' > '.join(CLAIM)}) {verdict} {where}, by the mean of "
        f"the paper's score on the test split: {listed}.{doubt}"
    )


def _order(results: str | os.PathLike) -> str:
    """The verdict at the largest scale that has records of every method."""
    names = [e.name for e in EXPERIMENTS.values() if e.data == "cifar10"]
    for scale in ("paper", "reduced"):
        rows = [r for r in searched(scale, names, results) if r.system in CLAIM]
        if len(rows) == len(CLAIM):
            break
    return order(rows, scale)


def _number(value: float | None, spread: float | None = None, unit: float = 1) -> str:
    if value is None:
        return ""
    text = f"{value / unit:.2f}"
    return text if spread is None else f"{text} ± {spread / unit:.2f}"


def _cells(row: Row) -> list[str]:
    return [
        row.system,
        row.kind,
        _number(row.accuracy, row.accuracy_spread),
        "~" * row.approximate + _number(row.average_macs, row.macs_spread, 1e6),
        _number(row.target_macs, unit=1e6),
        "" if row.seeds is None else str(row.seeds),
        _number(row.score, row.score_spread),
        "" if row.difference is None else f"{row.difference:+.2f}",
        row.beside,
        row.protocol,
    ]


COLUMNS = (
    *("system", "kind", "accuracy (%)", "average MACs (M, aebnas)", "target (M)"),
    *("seeds", "score", "difference", "compared with", "protocol or source"),
)


def _surrogates() -> list[list[str]]:
    path = experiments.RESULTS.parent / "surrogates_archive.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    theirs, seed = published.SURROGATE, record["provenance"]["seed"]
    keys = ("rmse", "spearman", "kendall")
    rows = [
        [
            *(theirs.surrogate, "published", f"about {theirs.candidates}", "error"),
            *(f"{getattr(theirs, key):.3f}" for key in keys),
            *("", "", theirs.source),
        ]
    ]
    for row in record["rows"]:
        comparable = row["target"] == "error"
        difference = row["spearman"] - theirs.spearman
        rows.append(
            [
                f"{row['surrogate']}, {row['inputs']}",
                "measured",
                str(row["n"]),
                row["target"],
                *(f"{row[key]:.3f}" for key in keys),
                f"{difference:+.3f}" if comparable else "",
                str(seed),
                "each from all others; `python -m reproduce surrogates`",
            ]
        )
    return rows


def table(
    name: str, results: str | os.PathLike = experiments.RESULTS
) -> tuple[Sequence[str], list[list[str]], str]:
    """Columns, rows and a remark of one of `TABLES`.

    Raises:
        ValueError: There is no such table.
    """
    if name not in TABLES:
        raise ValueError(
            f"There is no table {name!r}; choose from {', '.join(TABLES)}."
        )
    if name == "surrogates":
        columns = (
            *("surrogate", "kind", "candidates", "target", "RMSE", "Spearman"),
            *("Kendall", "difference (Spearman)", "seed", "protocol or source"),
        )
        remark = (
            f"RMSE in points of error or millions of MACs. The {len(archive.load())} "
            "candidates at hand are a sample of the published archive. The authors "
            f"report a hypervolume of {published.SURROGATE.hypervolume} for a search "
            "with theirs; its archive is not at hand to compute ours in the same box."
        )
        return columns, _surrogates(), remark
    if name == "ablation":
        rows = searched("reduced", TUNED, results) + searched("paper", TUNED, results)
        remark = "Tuned: the best of 0.1, 0.2 and off at every exit, after training."
    else:
        rows = accuracy_rows(TABLES[name], results)
        remark = _order(results) if name == "cifar10" else ""
    target = max(e.target_macs for e in EXPERIMENTS.values() if e.data == TABLES[name])
    note = (
        "MACs in the `aebnas` convention. Measured on the test split; score: accuracy "
        "in percent, less a tenth of the deviation of the average MACs from "
        f"{target / 1e6:g} M in percent. An empty cell: not available, or it does not "
        "apply. Differences are between trainings that differ, see the last column."
    )
    return COLUMNS, [_cells(row) for row in rows], f"{note} {remark}".strip()


TABLES = {
    "cifar10": "cifar10",
    "svhn": "svhn_cropped",
    "cifar100": "cifar100",
    "ablation": "cifar10",
    "surrogates": "cifar10",
}


def _latex(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def escaped(text: str) -> str:
        for character in "\\&%$#_{}":
            text = text.replace(
                character,
                r"\textbackslash " if character == "\\" else f"\\{character}",
            )
        return text.replace("`", "").replace("±", r"$\pm$").replace("~", r"$\sim$")

    lines = [" & ".join(map(escaped, line)) + r" \\" for line in (columns, *rows)]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{'l' * len(columns)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([columns, *rows])
    return out.getvalue().rstrip("\n")


FORMATS: dict[str, Callable[..., str]] = {
    "markdown": markdown_table,
    "latex": _latex,
    "csv": _csv,
}
