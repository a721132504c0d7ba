"""What a report shows of a saved model."""

from __future__ import annotations

from dataclasses import dataclass

from figures.report import networks
from figures.report.networks import Measured, Network, Setting
from figures.report.pictures import Examples
from zoo.cards import million, percent
from zoo.model_record import ModelRecord


@dataclass(frozen=True)
class Model:
    """A saved model.

    Attributes:
        id: What addresses in the page call it.
        name: Its name.
        data: The data set; None: not measured on one.
        convention: How MACs are counted.
        facts: Names and values of what is worth knowing.
        notes: Sentences.
        network: What it is.
        saved: At its own thresholds on the validation split; None: not measured.
        test: The same on the test split.
        settings: Its threshold frontier on the validation split, cheapest first.
        examples: Pictures, if they were asked for.
    """

    id: str
    name: str
    data: str | None
    convention: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    network: Network
    saved: Measured | None
    test: Measured | None
    settings: tuple[Setting, ...]
    examples: Examples | None
    kind: str = "model"


def describe(
    name: str, record: ModelRecord, convention: str, shown: Examples | None
) -> Model:
    """Describe a model.

    Args:
        name: What addresses in the page call it.
        record: What was recorded.
        convention: How to count MACs, if its network can be counted in several ways.
        shown: Pictures.
    """
    if record.architecture is None:
        convention = "standard"
    cost, results = record.cost(convention), record.results or {}
    facts = [
        ("data", record.data.name if record.data else "not measured"),
        ("classes", str(record.num_classes)),
        ("parameters", f"{record.weights.parameters:,}"),
        ("MACs", f"{convention} convention"),
    ]
    saved, test = (
        networks.measured(split, results[split], cost) if split in results else None
        for split in ("validation", "test")
    )
    if test is not None:
        spent = million(test.setting.average_macs)
        facts.insert(0, ("test accuracy", percent(test.setting.accuracy)))
        facts.insert(1, ("average MACs on the test split", spent))
    if record.recipe and record.recipe.get("epochs"):
        epochs = record.recipe["epochs"]
        facts.append(("training", f"recipe {record.recipe['name']}, {epochs} epochs"))
    points = (networks.setting(point, cost) for point in record.frontier)
    return Model(
        id=name,
        name=record.name,
        data=record.data.name if record.data else None,
        convention=convention,
        facts=tuple(facts),
        notes=record.notes,
        network=networks.network(record.architecture, record.exit_names, cost),
        saved=saved,
        test=test,
        settings=tuple(sorted(points, key=lambda each: each.average_macs)),
        examples=shown,
    )
