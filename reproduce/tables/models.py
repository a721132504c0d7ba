"""The pretrained models, and networks that were trained to compare with them."""

from __future__ import annotations

import pathlib

from reproduce import records
from reproduce.experiments import CONVENTION
from reproduce.records import ModelRecord
from reproduce.tables.registry import Table, register
from zoo import cards, exits, registry
from zoo.cards import million, percent
from zoo.exits import OperatingPoint

# The baselines that were trained in the same way, for the same number of epochs.
SEARCHED, FIXED, STATIC = (
    f"cifar10_small_{name}" for name in ("searched", "fixed", "static")
)
DESCRIPTIONS = {
    SEARCHED: "the small network that a search found",
    FIXED: "the same backbone with EDANAS's fixed branches",
    STATIC: "static: two stages and one branch, no earlier exit",
}
SMALL, GUESS = "aebnas_cifar10_small", "cifar10_small_by_hand"
LEAST, MOST = 1.5e6, 2.4e6  # budgets at which branches are compared


def _models(results: pathlib.Path) -> Table:
    shipped = [registry.record(name) for name in registry.list_models()]
    shipped.sort(key=lambda record: (record.data.name, record.weights.parameters))
    return Table(
        (
            *("name", "data", "test accuracy", "average MACs"),
            *("average MACs (`aebnas`)", "parameters", "size", "epochs"),
        ),
        [
            (
                f"`{record.name}`",
                record.data.name,
                percent(record.results["test"].accuracy),
                million(record.results["test"].average_macs["standard"]),
                million(record.results["test"].average_macs["aebnas"])
                if "aebnas" in record.conventions
                else "–",
                f"{record.weights.parameters / 1e6:.2f} M",
                f"{record.weights.bytes / 1e6:.1f} MB",
                str(records.epochs(record)),
            )
            for record in shipped
        ],
    )


def _named(results: pathlib.Path, *names: str) -> list[ModelRecord]:
    """Baselines of a folder of records by name, those that it has."""
    found = {record.name: record for record in records.models(results)}
    return [found[name] for name in names if name in found]


def _accuracies(record: ModelRecord) -> tuple[str, ...]:
    test = record.results["test"]
    return (
        str(records.epochs(record)),
        percent(record.results["validation"].accuracy),
        percent(test.accuracy),
        million(test.average_macs[CONVENTION]),
    )


def _baselines(results: pathlib.Path) -> Table:
    found = _named(results, *DESCRIPTIONS)
    remark = ""
    if len(found) == len(DESCRIPTIONS):
        searched, fixed, static = found
        least, most = leads(searched, fixed)
        behind = [
            100 * (searched.results[part].accuracy - static.results[part].accuracy)
            for part in ("test", "validation")
        ]
        remark = (
            f"At equal budgets from {LEAST / 1e6:g} to {MOST / 1e6:g} M the searched "
            f"branches lead the fixed ones by {least:.1f} to {most:.1f} points on the "
            f"validation split. The static network is {behind[0]:.1f} points behind "
            f"the searched one on the test split, and {behind[1]:.1f} on the "
            "validation split."
        )
    return Table(
        ("network", "epochs", "validation", "test accuracy", "average MACs (`aebnas`)"),
        [(DESCRIPTIONS[record.name], *_accuracies(record)) for record in found],
        remark,
    )


def frontier(record: ModelRecord) -> list[OperatingPoint]:
    """The threshold settings of a model, their MACs in the `aebnas` convention."""
    cost = record.cost(CONVENTION)
    return [exits.recount(point, cost) for point in record.frontier]


def leads(one: ModelRecord, other: ModelRecord) -> tuple[float, float]:
    """The least and the largest lead of one model at equal budgets, in points.

    At every budget at which the best setting of either changes.
    """
    points = [frontier(record) for record in (one, other)]
    budgets = {p.average_macs for each in points for p in each}
    found = []
    for budget in {LEAST, *(b for b in budgets if LEAST <= b <= MOST)}:
        first, second = (exits.within_budget(each, budget) for each in points)
        found.append(100 * (first.accuracy - second.accuracy))
    return min(found), max(found)


def _guess(results: pathlib.Path) -> Table:
    scratch = {r.name: r for r in records.models(results, records.FROM_SCRATCH)}
    found = [
        *(
            (f"`{SMALL}` from scratch", scratch[name])
            for name in scratch
            if name == SMALL
        ),
        *((f"`{record.name}`", record) for record in _named(results, GUESS)),
    ]
    cheapest = [
        f"{name} {million(min(point.average_macs for point in record.frontier))}"
        for name, record in found
    ]
    return Table(
        ("network", "epochs", "validation", "test accuracy", "average MACs (`aebnas`)"),
        [(name, *_accuracies(record)) for name, record in found],
        "The lowest average MACs that each can be set to (`standard` convention): "
        f"{'; '.join(cheapest)}.",
    )


def _inheritance(results: pathlib.Path) -> Table:
    """The models that were shipped before beside those of the same name now."""
    rows = []
    for scratch in records.models(results, records.FROM_SCRATCH):
        shipped = registry.record(scratch.name)
        for version, record in (("earlier", scratch), ("present", shipped)):
            test = record.results["test"]
            first = next(k for k, share in enumerate(test.utilisation) if share > 0)
            rows.append(
                (
                    f"`{record.name}`",
                    version,
                    million(test.average_macs[CONVENTION]),
                    percent(test.accuracy),
                    percent(test.exit_accuracy[first]),
                    percent(test.exit_accuracy[-1]),
                    f"{100 * cards.largest_gain(record)[0]:+.2f}",
                )
            )
    return Table(
        (
            *("model", "version", "average MACs (`aebnas`)", "test accuracy"),
            *("first exit in use", "final exit", "largest gain"),
        ),
        rows,
        "Largest gain: over all threshold settings, the most by which the exit rule's "
        "accuracy on the validation split exceeds that of the best single exit, or "
        "random mix of two, at equal average MACs, in points.",
    )


register("models", _models)
register("baselines", _baselines)
register("guess", _guess)
register("inheritance", _inheritance)
