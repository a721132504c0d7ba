"""The commands list, show, pareto and frontier: models and their settings."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from zoo.commands import options as shared
from zoo.terminal import (
    CommandLine,
    add_json,
    console,
    import_keras,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from zoo.exits import OperatingPoint
    from zoo.model_record import ModelRecord


def add(commands: CommandLine) -> None:
    """Declare the commands."""
    sub = commands.command("list", list_models, "List the pretrained models.")
    sub.add_argument(
        "pattern",
        nargs="?",
        default="*",
        help="list only the names that match, such as '*cifar10*'",
    )
    add_json(sub)

    sub = commands.command(
        "show", show, "Show a model's card: results, data, training."
    )
    shared.add_model(sub)
    add_json(sub)

    sub = commands.command(
        "pareto",
        pareto,
        "Show the best settings of all models of a data set.",
        "Lists the Pareto-optimal threshold settings of all pretrained models for a\n"
        "data set, as measured on its validation split.",
    )
    sub.add_argument("data", metavar="DATA", help="a data set, such as cifar10")
    sub.add_argument(
        "--max-macs",
        type=float,
        metavar="N",
        help="show only the most accurate setting of at most N average MACs",
    )
    shared.add_convention(sub)
    shared.add_all(sub)
    add_json(sub)

    sub = commands.command(
        "frontier",
        frontier,
        "Show the accuracy at each average cost.",
        "Lists the Pareto-optimal threshold settings: those stored with the model or,\n"
        "with --data, new ones, measured on the validation split of that data set.",
    )
    shared.add_model(sub)
    shared.add_data(sub)
    shared.add_all(sub)
    add_json(sub)


def list_models(options: argparse.Namespace) -> None:
    """List the pretrained models."""
    from zoo import registry
    from zoo.cards import million, percent

    found = [
        _overview(registry.record(name))
        for name in registry.list_models(options.pattern)
    ]
    if options.json:
        return print_json(found)
    print_table(
        ("name", "data", "test accuracy", "average MACs", "parameters", "size"),
        [
            [
                model["name"],
                model["data"] or "–",
                percent(model["accuracy"]),
                million(model["average_macs"]["standard"])
                if model["average_macs"]
                else "–",
                f"{model['parameters'] / 1e6:.2f} M",
                f"{model['bytes'] / 1e6:.1f} MB",
            ]
            for model in found
        ],
    )


def _overview(record: ModelRecord) -> dict[str, Any]:
    test = record.results["test"] if record.results else None
    return {
        "name": record.name,
        "data": record.data.name if record.data else None,
        "accuracy": test.accuracy if test else None,
        "average_macs": test.average_macs if test else None,
        "parameters": record.weights.parameters,
        "bytes": record.weights.bytes,
    }


def show(options: argparse.Namespace) -> None:
    """Show a model's card."""
    from zoo import records, registry

    if options.json:
        return print_json(records.to_dict(registry.record(options.model)))
    from rich.markdown import Markdown

    console().print(Markdown(registry.card(options.model)))


def pareto(options: argparse.Namespace) -> None:
    """Show the Pareto-optimal settings of all models of a data set."""
    from zoo import cards, exits, registry

    front = registry.pareto(options.data, options.convention)
    total = len(front)
    if options.max_macs is not None:
        front = [exits.within_budget(front, options.max_macs)]
    if options.json:
        return print_json([_setting(point) for point in front])
    shown = front if options.all else cards.thinned(front)
    print(
        f"Models of {options.data}, on its validation split: {len(shown)} of {total} "
        f"settings ({options.convention} MACs)"
    )
    print_table(
        ("model", *cards.FRONTIER_COLUMNS),
        [[point.model, *row] for point, row in zip(shown, cards.frontier_rows(shown))],
    )


def _setting(point: OperatingPoint) -> dict[str, Any]:
    """An operating point for JSON; a frontier has no score."""
    return {k: v for k, v in dataclasses.asdict(point).items() if k != "score"}


def frontier(options: argparse.Namespace) -> None:
    """Show the Pareto-optimal threshold settings of a model."""
    from zoo import cards, registry

    own_file = registry.is_keras_file(options.model)
    if own_file or options.data is not None:
        import_keras()
    if options.data is None:
        noted = registry.load if own_file else registry.record
        points = noted(options.model).frontier
        where = "as stored, on the validation split"
        if not points:
            raise ValueError(
                f"{options.model} has no stored frontier; name a data set with --data."
            )
    else:
        from zoo import measure

        model, dataset = shared.model_and_data(options)
        logits = measure.predict(model, dataset.validation.images)
        points = measure.frontier(model, logits, dataset.validation.labels)
        where = f"on the validation split of {dataset.name}"
    if options.json:
        return print_json([_setting(point) for point in points])
    shown = points if options.all else cards.thinned(points)
    print(f"{options.model}, {where}: {len(shown)} of {len(points)} settings")
    print_table(cards.FRONTIER_COLUMNS, cards.frontier_rows(shown))
