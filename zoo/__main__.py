"""Command line: python -m zoo list|show|pareto|evaluate|predict|frontier|..."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from rich.markdown import Markdown

from zoo import cards, data, exits, registry, training
from zoo.architecture import Architecture
from zoo.benchmark import benchmark
from zoo.cards import million, percent
from zoo.cost import CONVENTIONS, macs
from zoo.data import Dataset
from zoo.model import EarlyExitClassifier
from zoo.terminal import console, print_json, print_table

DESCRIPTION = """\
Early-exit networks: image classifiers that answer easy images part-way through.

  python -m zoo list                              what there is
  python -m zoo show aebnas_digits                a model's card
  python -m zoo pareto cifar10                    what the models of a data set offer
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

    def images(sub: Any) -> None:
        sub.add_argument("--data", metavar="NAME", help="data set (default: its own)")
        sub.add_argument(
            "--data-dir",
            metavar="DIR",
            help="folder of NAME.npz or of tensorflow-datasets "
            "(default: the environment variable AEBNAS_DATA_DIR)",
        )

    def thresholds(sub: Any) -> Any:
        group = sub.add_mutually_exclusive_group()
        group.add_argument(
            "--max-macs",
            type=float,
            metavar="N",
            help="choose thresholds on the validation split: the most accurate that "
            "spend at most N MACs on average, such as 2.4e6",
        )
        group.add_argument(
            "--target-macs",
            type=float,
            metavar="N",
            help="choose thresholds on the validation split: the best by the paper's "
            "score, which trades accuracy for closeness to N average MACs",
        )
        convention(sub)
        return group

    def convention(sub: Any) -> None:
        sub.add_argument(
            "--convention",
            choices=CONVENTIONS,
            default="standard",
            help="how MACs are counted: as textbooks do, or as the authors' tools",
        )

    def whole(sub: Any) -> None:
        sub.add_argument(
            "--all", action="store_true", help="every setting, not a selection"
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
        "pareto",
        _pareto,
        "Show what all models of a data set offer together.",
        "Lists the Pareto-optimal settings of all pretrained models, as measured on\n"
        "the validation split.",
    )
    sub.add_argument("data", metavar="DATA", help="a data set, such as cifar10")
    sub.add_argument(
        "--max-macs",
        type=float,
        metavar="N",
        help="only the most accurate setting within N average MACs",
    )
    convention(sub)
    whole(sub)
    as_json(sub)

    sub = command(
        "evaluate",
        _evaluate,
        "Measure accuracy, share and MACs of every exit.",
        "The digits come with scikit-learn. CIFAR-10, CIFAR-100 and SVHN are read\n"
        "from --data-dir, or downloaded by tensorflow-datasets if it is installed.",
    )
    model(sub)
    images(sub)
    sub.add_argument("--split", choices=("test", "validation", "train"), default="test")
    thresholds(sub).add_argument(
        "--thresholds",
        metavar="T,T,...",
        help="one per exit, 0 to 1; 1 switches an exit off (default: the model's)",
    )
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
    images(sub)
    whole(sub)
    as_json(sub)

    sub = command(
        "train",
        _train,
        "Train an architecture and write a model folder.",
        "Start it again after an interruption with the same arguments: it continues.\n"
        "The folder gets config.json, model.weights.h5 and card.md, which `zoo.load`\n"
        "reads, and the training's log.csv and checkpoint.",
    )
    network = sub.add_mutually_exclusive_group(required=True)
    network.add_argument(
        "--architecture",
        metavar="A.json",
        help="file that zoo.Architecture.to_json wrote, or a model or its record to "
        "take it from; weights start at random",
    )
    network.add_argument(
        "--start",
        metavar="MODEL",
        help="train this model further; for another data set than its own, with new "
        "classifiers",
    )
    images(sub)
    sub.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    sub.add_argument("--recipe", choices=tuple(training.RECIPES), default="long")
    for name, kind in (
        ("epochs", int),
        ("batch-size", int),
        ("learning-rate", float),
        ("weight-decay", float),
        ("distillation", float),
    ):
        sub.add_argument(f"--{name}", type=kind, help="(default: the recipe's)")
    sub.add_argument(
        "--exit-weights",
        type=float,
        nargs="+",
        metavar="W",
        help="weight of each exit's loss, the final one last (default: all 1)",
    )
    sub.add_argument("--seed", type=int, default=1, help="(default: 1)")
    sub.add_argument("--teacher", metavar="MODEL", help="model to distil from")
    thresholds(sub)
    sub.add_argument("--note", action="append", default=[], help="a line for the card")
    as_json(sub)
    sub.set_defaults(data="digits")

    sub = command(
        "benchmark",
        _benchmark,
        "Time skipping against the full network.",
        "Prints three ratios: the measured speed-up, what the segments' own times\n"
        "allow, and the ratio of MACs.",
    )
    model(sub)
    images(sub)
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
    records = [registry.config(name) for name in registry.list_models(options.pattern)]
    if options.json:
        return print_json([_overview(record) for record in records])
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
    print_table(
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
    if options.json:
        return print_json(registry.config(options.model))
    console().print(Markdown(registry.card(options.model)))


def _pareto(options: argparse.Namespace) -> None:
    front = registry.pareto(options.data, options.convention)
    total = len(front)
    if options.max_macs is not None:
        front = [exits.within_budget(front, options.max_macs)]
    points = [dataclasses.asdict(point) for point in front]
    if options.json:
        return print_json(
            [{k: v for k, v in p.items() if k != "score"} for p in points]
        )
    shown = points if options.all else cards.thinned(points)
    print(
        f"Models of {options.data}, on its validation split: {len(shown)} of {total} "
        f"settings ({options.convention} MACs)"
    )
    print_table(
        ("model", *cards.FRONTIER_COLUMNS),
        [
            [point["model"], *row]
            for point, row in zip(shown, cards.frontier_rows(shown))
        ],
    )


def _evaluate(options: argparse.Namespace) -> None:
    model, dataset = _model_and_data(options)
    if options.thresholds is not None:
        model.thresholds = _floats(options.thresholds)
    _choose_thresholds(model, dataset, options)
    split = getattr(dataset, options.split)
    logits = model.predict(split.images, batch_size=256, verbose=0)
    result = registry.report(model, logits, split.labels)
    if options.json:
        return print_json(
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
    print_table(cards.EXIT_COLUMNS, rows)
    print(cards.summary(result))


def _predict(options: argparse.Namespace) -> None:
    model = registry.load(options.model)
    names = cards.exit_names(model.get_config())
    costs = model.macs.per_exit_at(model.thresholds)
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
        return print_json(answers)
    print_table(
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
    if options.data is None:
        points = registry.config(options.model).get("frontier")
        where = "as stored, on the validation split"
        if not points:
            raise ValueError(
                f"{options.model} has no stored frontier; name a data set with --data."
            )
    else:
        model, dataset = _model_and_data(options)
        logits, labels = _validation(model, dataset)
        points = registry.frontier(model, logits, labels)
        where = f"on the validation split of {dataset.name}"
    if options.json:
        return print_json(points)
    shown = points if options.all else cards.thinned(points)
    print(f"{options.model}, {where}: {len(shown)} of {len(points)} settings")
    print_table(cards.FRONTIER_COLUMNS, cards.frontier_rows(shown))


def _train(options: argparse.Namespace) -> None:
    given = ("epochs", "batch_size", "learning_rate", "weight_decay", "distillation")
    changes = {name: getattr(options, name) for name in given}
    recipe = training.recipe(
        options.recipe, **{k: v for k, v in changes.items() if v is not None}
    )
    dataset = data.load(options.data, options.data_dir)
    keras.utils.set_random_seed(options.seed)
    if options.start:
        own = registry.config(options.start).get("data", {}).get("name")
        classes = None if own == dataset.name else dataset.num_classes
        model = registry.load(options.start, num_classes=classes)
        if options.exit_weights:
            model.exit_weights = options.exit_weights
    else:
        model = EarlyExitClassifier(
            _architecture(options.architecture),
            dataset.num_classes,
            exit_weights=options.exit_weights,
            crop=recipe.crop,
        )
    outcome = training.train(
        model,
        dataset,
        recipe,
        options.out,
        options.seed,
        registry.load(options.teacher) if options.teacher else None,
        verbose=0 if options.json else 1 if sys.stdout.isatty() else 2,
    )
    chosen = _choose_thresholds(model, dataset, options)
    record = registry.save(
        model,
        options.out,
        dataset,
        training=registry.provenance(
            recipe=dataclasses.asdict(recipe),
            seed=options.seed,
            start=options.start,
            teacher=options.teacher,
            thresholds=chosen,
            seconds=outcome["seconds"],
            images_per_second=outcome["images_per_second"],
        ),
        notes=options.note,
    )
    if options.json:
        return print_json(record)
    test = record["results"]["test"]
    print_table(cards.EXIT_COLUMNS, cards.exit_rows(record["model"], test))
    print(cards.summary(test))
    print(f"Saved; load it with zoo.load({str(options.out)!r}).")


def _architecture(source: str) -> Architecture:
    """The architecture in a JSON file or in a model's record, or that of a model."""
    path = pathlib.Path(source)
    if path.is_file():
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            record = None
        if not isinstance(record, dict) or "model" not in record:
            return Architecture.from_json(path)
    else:
        record = registry.config(source)
    return Architecture.from_dict(record["model"]["architecture"])


def _benchmark(options: argparse.Namespace) -> None:
    model, dataset = _model_and_data(options)
    images = dataset.test.images
    speeds = []
    for size in options.batch_sizes:
        count = min(options.images, 512 * size)  # 512 batches are enough
        repeated = images[np.arange(count) % len(images)]
        speeds.append(benchmark(model, repeated, size))
    if options.json:
        return print_json([dataclasses.asdict(speed) for speed in speeds])
    thresholds = ", ".join(f"{threshold:g}" for threshold in model.thresholds)
    print(f"{model.name} on {dataset.name}, thresholds {thresholds}")
    print_table(
        (
            *("batch", "full, images/s", "skipping, images/s"),
            *("speed-up", "segments allow", "MACs ratio"),
        ),
        [
            [
                str(speed.batch_size),
                f"{speed.full_images_per_second:,.0f}",
                f"{speed.early_images_per_second:,.0f}",
                f"{speed.speedup:.2f} x",
                f"{speed.segments_speedup:.2f} x",
                f"{speed.macs_ratio:.2f} x",
            ]
            for speed in speeds
        ],
    )


def _model_and_data(
    options: argparse.Namespace,
) -> tuple[EarlyExitClassifier, Dataset]:
    """The model, and the data set named or else the one it was measured on."""
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


def _choose_thresholds(
    model: EarlyExitClassifier, dataset: Dataset, options: argparse.Namespace
) -> dict[str, Any] | None:
    """Set the thresholds that the options ask for; says how, for the record."""
    cost = macs(model.architecture, model.num_classes, options.convention)
    if options.max_macs is not None:
        chosen = exits.thresholds_for_budget(
            *_validation(model, dataset), cost, options.max_macs, rule=model.exit_rule
        )
        how = {"max_macs": round(options.max_macs)}
    elif options.target_macs is not None:
        chosen = exits.tune_thresholds(
            *_validation(model, dataset),
            cost,
            target_macs=options.target_macs,
            rule=model.exit_rule,
        )
        how = {"target_macs": round(options.target_macs)}
    else:
        return None
    model.thresholds = chosen.thresholds
    return how | {"convention": options.convention}


def _validation(
    model: EarlyExitClassifier, dataset: Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of the validation split."""
    images, labels = dataset.validation
    return model.predict(images, batch_size=256, verbose=0), labels


def _floats(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--thresholds is {text!r}; expected numbers such as 0.3,0.5."
        ) from None


if __name__ == "__main__":
    sys.exit(main())
