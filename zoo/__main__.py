"""Command line: python -m zoo list|show|evaluate|predict|frontier|train|benchmark."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from zoo.cost import CONVENTIONS

DESCRIPTION = """\
Early-exit networks: image classifiers that answer easy images part-way through.

  python -m zoo list                              what there is
  python -m zoo show aebnas_digits                a model's card
  python -m zoo evaluate aebnas_digits            measure it on its test split
  python -m zoo predict aebnas_digits a.png       classify pictures

Every command has its own --help. MODEL is a name from `list` or a folder that
`train` wrote."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"zoo {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"zoo {options.command}: interrupted.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m zoo", description=DESCRIPTION, formatter_class=raw
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run, summary: str, details: str = "") -> Any:
        sub = commands.add_parser(
            name,
            help=summary,
            description=f"{summary}\n\n{details}".strip(),
            formatter_class=raw,
        )
        sub.set_defaults(run=run)
        return sub

    def model(sub: Any) -> None:
        sub.add_argument("model", metavar="MODEL", help="a pretrained name or a folder")

    def data(sub: Any) -> None:
        sub.add_argument("--data", metavar="NAME", help="data set (default: its own)")
        sub.add_argument(
            "--data-dir",
            metavar="DIR",
            help="folder of NAME.npz or of tensorflow-datasets "
            "(default: the environment variable AEBNAS_DATA_DIR)",
        )

    def budget(sub: Any) -> None:
        sub.add_argument(
            "--max-macs",
            type=float,
            metavar="N",
            help="choose thresholds on the validation split that spend at most N MACs "
            "on average, such as 2.4e6",
        )
        sub.add_argument(
            "--convention",
            choices=CONVENTIONS,
            default="standard",
            help="how --max-macs counts: textbook MACs, or as the authors' tools do",
        )

    def as_json(sub: Any) -> None:
        sub.add_argument("--json", action="store_true", help="print JSON for programs")

    sub = command("list", _list, "List the pretrained models.")
    sub.add_argument("pattern", nargs="?", default="*", help="such as '*cifar10*'")
    as_json(sub)

    sub = command("show", _show, "Show a model's card: results, data, training.")
    model(sub)
    as_json(sub)

    sub = command(
        "evaluate",
        _evaluate,
        "Measure accuracy, share and MACs of every exit.",
        "The digits come with scikit-learn. CIFAR-10, CIFAR-100 and SVHN are read\n"
        "from --data-dir, or downloaded by tensorflow-datasets if it is installed.",
    )
    model(sub)
    data(sub)
    sub.add_argument("--split", choices=("test", "validation", "train"), default="test")
    sub.add_argument(
        "--thresholds",
        metavar="T,T,...",
        help="one per exit, 0 to 1; 1 switches an exit off (default: the model's)",
    )
    budget(sub)
    as_json(sub)

    sub = command(
        "predict",
        _predict,
        "Classify picture files, computing no more than each needs.",
        "Any format that Pillow reads; pictures are resized to the network's input.",
    )
    model(sub)
    sub.add_argument("images", nargs="+", metavar="FILE")
    as_json(sub)

    sub = command(
        "frontier",
        _frontier,
        "Show what accuracy each average cost buys.",
        "Lists the Pareto-optimal threshold settings: those stored with the model,\n"
        "or, with --data, measured now on the validation split of that data set.",
    )
    model(sub)
    data(sub)
    sub.add_argument(
        "--all", action="store_true", help="every setting, not a selection"
    )
    as_json(sub)

    sub = command(
        "train",
        _train,
        "Train an architecture and write a model folder.",
        "Start it again after an interruption with the same arguments: it continues.\n"
        "The folder gets config.json, model.weights.h5 and card.md, which `zoo.load`\n"
        "reads, and the training's log.csv and checkpoint.",
    )
    sub.add_argument(
        "--architecture",
        required=True,
        metavar="A.json",
        help="file that zoo.Architecture.to_json wrote, or a model to take it from",
    )
    data(sub)
    sub.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    sub.add_argument("--recipe", choices=("long", "paper"), default="long")
    for name, kind in (
        ("epochs", int),
        ("batch-size", int),
        ("learning-rate", float),
        ("weight-decay", float),
        ("distillation", float),
    ):
        sub.add_argument(f"--{name}", type=kind, help="(default: the recipe's)")
    sub.add_argument("--seed", type=int, default=1, help="(default: 1)")
    sub.add_argument(
        "--start", metavar="MODEL", help="begin with its weights, classifiers replaced"
    )
    sub.add_argument("--teacher", metavar="MODEL", help="model to distil from")
    budget(sub)
    sub.add_argument("--note", action="append", default=[], help="a line for the card")
    sub.set_defaults(data="digits")

    sub = command(
        "benchmark",
        _benchmark,
        "Time skipping against the full network.",
        "Prints three ratios: the measured speed-up, what the segments' own times\n"
        "allow, and the ratio of MACs.",
    )
    model(sub)
    data(sub)
    sub.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 256], metavar="N"
    )
    sub.add_argument(
        "--images",
        type=int,
        default=10240,
        help="at most so many; a smaller set is repeated (default: 10240)",
    )
    as_json(sub)
    return parser


def _list(options: argparse.Namespace) -> None:
    from zoo import registry
    from zoo.cards import million, percent

    records = [registry.config(name) for name in registry.list_models(options.pattern)]
    if options.json:
        return _print_json([_overview(record) for record in records])
    rows = []
    for record in records:
        overview = _overview(record)
        rows.append(
            [
                overview["name"],
                overview["data"],
                percent(overview["accuracy"]),
                million(overview["average_macs"]["standard"]),
                f"{overview['parameters'] / 1e6:.2f} M",
                f"{overview['bytes'] / 1e6:.1f} MB",
            ]
        )
    _print_table(
        ("name", "data", "test accuracy", "average MACs", "parameters", "size"), rows
    )


def _overview(record: dict[str, Any]) -> dict[str, Any]:
    test = record["results"]["test"]
    return {
        "name": record["name"],
        "data": record["data"]["name"],
        "accuracy": test["accuracy"],
        "average_macs": test["average_macs"],
        "parameters": record["weights"]["parameters"],
        "bytes": record["weights"]["bytes"],
    }


def _show(options: argparse.Namespace) -> None:
    from zoo import registry

    if options.json:
        return _print_json(registry.config(options.model))
    from rich.markdown import Markdown

    _console().print(Markdown(registry.card(options.model)))


def _evaluate(options: argparse.Namespace) -> None:
    from zoo import cards, registry

    model, dataset = _model_and_data(options)
    if options.thresholds is not None:
        model.thresholds = _floats(options.thresholds)
    _apply_budget(model, dataset, options)
    split = getattr(dataset, options.split)
    logits = model.predict(split.images, batch_size=256, verbose=0)
    result = registry.report(model, logits, split.labels)
    if options.json:
        return _print_json(
            {
                "model": model.name,
                "data": dataset.name,
                "fingerprint": dataset.fingerprint,
                "split": options.split,
                **result,
            }
        )
    rows = cards.exit_rows(model.get_config(), result)
    print(f"{model.name} on the {options.split} split of {dataset.name}")
    _print_table(cards.EXIT_COLUMNS, rows)
    print(cards.summary(result))


def _predict(options: argparse.Namespace) -> None:
    import keras
    import numpy as np

    from zoo import registry
    from zoo.cards import exit_names, million, percent

    model = registry.load(options.model)
    names = exit_names(model.get_config())
    costs = model.macs.per_exit_with([t < 1 for t in model.thresholds])
    answers = []
    for path in options.images:
        try:
            image = np.asarray(keras.utils.load_img(path))
        except OSError as error:
            raise ValueError(f"{path} cannot be read as a picture: {error}.") from error
        prediction = model.predict_early(image[None])
        label, leaving = int(prediction.labels[0]), int(prediction.exits[0])
        answers.append(
            {
                "file": str(path),
                "label": label,
                "class": model.class_names[label] if model.class_names else str(label),
                "probability": float(prediction.probabilities[0, label]),
                "confidence": float(prediction.confidences[0]),
                "exit": names[leaving],
                "macs": costs[leaving],
            }
        )
    if options.json:
        return _print_json(answers)
    _print_table(
        ("file", "class", "probability", "exit", "MACs"),
        [
            [
                a["file"],
                a["class"],
                percent(a["probability"]),
                a["exit"],
                million(a["macs"]),
            ]
            for a in answers
        ],
    )


def _frontier(options: argparse.Namespace) -> None:
    from zoo import cards, exits, registry

    if options.data is None:
        record = registry.config(options.model)
        points = record.get("frontier")
        where = "as stored, on the validation split"
        if not points:
            raise ValueError(
                f"{options.model} has no stored frontier; name a data set with --data."
            )
    else:
        model, dataset = _model_and_data(options)
        split = dataset.validation
        logits = model.predict(split.images, batch_size=256, verbose=0)
        points = [
            dataclasses.asdict(point)
            for point in exits.frontier(
                logits, split.labels, model.macs, rule=model.exit_rule
            )
        ]
        where = f"on the validation split of {dataset.name}"
    if options.json:
        return _print_json(points)
    shown = points if options.all else cards.thinned(points)
    print(f"{options.model}, {where}: {len(shown)} of {len(points)} settings")
    _print_table(cards.FRONTIER_COLUMNS, cards.frontier_rows(shown))


def _train(options: argparse.Namespace) -> None:
    import keras

    from zoo import data, registry, training
    from zoo.architecture import Architecture
    from zoo.model import EarlyExitClassifier

    changes = {
        name: getattr(options, name)
        for name in (
            "epochs",
            "batch_size",
            "learning_rate",
            "weight_decay",
            "distillation",
        )
        if getattr(options, name) is not None
    }
    if changes.get("epochs", 1) < training.RECIPES[options.recipe].warmup_epochs:
        changes["warmup_epochs"] = 0
    recipe = training.recipe(options.recipe, **changes)
    dataset = data.load(options.data, options.data_dir)
    keras.utils.set_random_seed(options.seed)
    if options.start:
        model = registry.load(options.start, num_classes=dataset.num_classes)
    else:
        if pathlib.Path(options.architecture).is_file():
            architecture = Architecture.from_json(pathlib.Path(options.architecture))
        else:
            record = registry.config(options.architecture)
            architecture = Architecture.from_dict(record["model"]["architecture"])
        model = EarlyExitClassifier(architecture, dataset.num_classes, crop=recipe.crop)
    teacher = registry.load(options.teacher) if options.teacher else None
    outcome = training.train(
        model,
        dataset,
        recipe,
        options.out,
        options.seed,
        teacher,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    _apply_budget(model, dataset, options)
    record = registry.save(
        model,
        options.out,
        dataset,
        training=registry.provenance(
            recipe=dataclasses.asdict(recipe),
            seed=options.seed,
            start=options.start,
            teacher=options.teacher,
            seconds=outcome["seconds"],
            images_per_second=outcome["images_per_second"],
            budget=(
                f"thresholds chosen on the validation split for at most "
                f"{options.max_macs:,.0f} average MACs ({options.convention})"
                if options.max_macs
                else None
            ),
        ),
        notes=options.note,
    )
    from zoo import cards

    _print_table(
        cards.EXIT_COLUMNS, cards.exit_rows(record["model"], record["results"]["test"])
    )
    print(cards.summary(record["results"]["test"]))
    print(f"Saved; load it with zoo.load({str(options.out)!r}).")


def _benchmark(options: argparse.Namespace) -> None:
    import numpy as np

    from zoo.benchmark import benchmark

    model, dataset = _model_and_data(options)
    images = dataset.test.images
    speeds = []
    for size in options.batch_sizes:
        count = min(options.images, 512 * size)  # 512 batches are enough
        repeated = images[np.arange(max(count, size)) % len(images)]
        speeds.append(benchmark(model, repeated, size))
    if options.json:
        return _print_json([dataclasses.asdict(speed) for speed in speeds])
    print(
        f"{model.name} on {dataset.name}, thresholds "
        f"{', '.join(f'{t:g}' for t in model.thresholds)}"
    )
    _print_table(
        (
            "batch",
            "full, images/s",
            "skipping, images/s",
            "speed-up",
            "segments allow",
            "MACs ratio",
        ),
        [
            [
                str(s.batch_size),
                f"{s.full_images_per_second:,.0f}",
                f"{s.early_images_per_second:,.0f}",
                f"{s.speedup:.2f} x",
                f"{s.segments_speedup:.2f} x",
                f"{s.macs_ratio:.2f} x",
            ]
            for s in speeds
        ],
    )


def _model_and_data(options: argparse.Namespace) -> tuple[Any, Any]:
    """The model, and the data set named or else the one it was measured on."""
    from zoo import data, registry

    name = options.data
    if name is None:
        record = registry.config(options.model)
        if "data" not in record:
            raise ValueError(
                f"{options.model} records no data set; name one with --data."
            )
        name = record["data"]["name"]
    model = registry.load(options.model)
    dataset = data.load(name, options.data_dir)
    if dataset.num_classes != model.num_classes:
        raise ValueError(
            f"{options.model} has {model.num_classes} classes, {name} has "
            f"{dataset.num_classes}."
        )
    return model, dataset


def _apply_budget(model: Any, dataset: Any, options: argparse.Namespace) -> None:
    if options.max_macs is not None:
        split = dataset.validation
        model.set_budget(
            options.max_macs, split.images, split.labels, options.convention
        )


def _floats(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--thresholds is {text!r}; expected are numbers such as 0.3,0.5."
        ) from None


def _console() -> Any:
    from rich.console import Console

    console = Console()
    # Where nobody watches, a pipe or a log, lines need not fit a terminal.
    return console if console.is_terminal else Console(width=120)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(*columns, box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1))


if __name__ == "__main__":
    sys.exit(main())
