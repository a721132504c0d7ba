"""The command train: train an architecture, or a model further, and write a folder."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from typing import TYPE_CHECKING

from zoo.commands import options as shared
from zoo.terminal import (
    CommandLine,
    add_json,
    add_load,
    add_no_flip,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from zoo.architecture import Architecture
    from zoo.data import Dataset
    from zoo.model import EarlyExitModel

CHANGES = {
    "epochs": int,
    "batch_size": int,
    "learning_rate": float,
    "weight_decay": float,
    "distillation": float,
}


def add(commands: CommandLine) -> None:
    """Declare the command."""
    sub = commands.command(
        "train",
        train,
        "Train a network and write a model folder.",
        "Give the same command again after an interruption: it continues. The folder\n"
        "gets config.json, model.weights.h5 and card.md, which `zoo.load` reads, and\n"
        "the training's log.csv and checkpoint.",
        keras=True,
    )
    network = sub.add_mutually_exclusive_group(required=True)
    network.add_argument(
        "--architecture",
        metavar="A.json",
        help="train this architecture from random weights: a file that "
        "zoo.Architecture.to_json wrote, or a model or its config.json",
    )
    network.add_argument(
        "--initial-weights",
        metavar="MODEL",
        help="train this model further; on a data set other than its own, with new "
        "classifiers",
    )
    shared.add_data(sub, own="the model's own; digits for an architecture in a file")
    add_no_flip(sub)
    sub.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    sub.add_argument(
        "--recipe",
        default="long",
        help="paper, long, short, finetune or heads (default: long)",
    )
    for name, kind in CHANGES.items():
        flag = f"--{name.replace('_', '-')}"
        sub.add_argument(flag, type=kind, help="(default: the recipe's)")
    sub.add_argument(
        "--exit-weights",
        type=float,
        nargs="+",
        metavar="W",
        help="weight of each exit's loss, the final one last (default: all 1)",
    )
    sub.add_argument("--seed", type=int, default=1, help="(default: 1)")
    sub.add_argument("--teacher", metavar="MODEL", help="model to distil from")
    shared.add_budget(sub)
    sub.add_argument("--note", action="append", default=[], help="a line for the card")
    add_load(sub)
    add_json(sub)


def train(options: argparse.Namespace) -> None:
    """Train, choose thresholds, measure and save."""
    import keras

    from zoo import cards, pipeline, records, registry, training
    from zoo.classifier import EarlyExitClassifier

    if not options.out:  # which would be the current folder
        raise ValueError("--out is empty; expected the name of a folder.")
    changes = {name: getattr(options, name) for name in CHANGES}
    recipe = training.recipe(
        options.recipe, **{k: v for k, v in changes.items() if v is not None}
    )
    pictures = {"size": options.size, "flip": options.flip}
    dataset = shared.load_data(options, _data(options), **pictures)
    keras.utils.set_random_seed(options.seed)
    if options.initial_weights is not None:
        model = _initial(options.initial_weights, dataset)
        if options.exit_weights:
            model.exit_weights = options.exit_weights
    else:
        model = EarlyExitClassifier(
            architecture(options.architecture),
            dataset.num_classes,
            exit_weights=options.exit_weights,
            crop=recipe.crop,
        )
    teacher = registry.load(options.teacher) if options.teacher else None
    if not options.json:
        print(f"Training on {dataset.name}, {len(dataset.train.labels):,} images")
    record = pipeline.fit(
        model,
        dataset,
        recipe,
        options.out,
        seed=options.seed,
        teacher=teacher,
        max_macs=options.max_macs,
        target_macs=options.target_macs,
        convention=options.convention,
        notes=options.note,
        facts={
            "initial_weights": options.initial_weights,
            "teacher": options.teacher,
            **{key: value for key, value in pictures.items() if value is not None},
        },
        verbose=0 if options.json else 1 if sys.stdout.isatty() else 2,
    ).record
    if options.json:
        return print_json(records.to_dict(record))
    test = record.results["test"]
    print_table(cards.exit_columns(test), cards.exit_rows(record.exit_names, test))
    print(cards.summary(test))
    print(f"Saved; load it with zoo.load({str(options.out)!r}).")


def _data(options: argparse.Namespace) -> str:
    """The name of the data set: the one given, else the model's own.

    Raises:
        ValueError: None is given, and the initial weights record none.
    """
    if options.data is not None:
        return options.data
    source = options.initial_weights
    if source is None:
        if pathlib.Path(options.architecture).is_file():
            return "digits"
        source = options.architecture
    return shared.recorded_data(source, needed=True).name


def _initial(source: str, dataset: Dataset) -> EarlyExitModel:
    """A model to train further, with new classifiers where the classes are others."""
    from zoo import registry

    if registry.is_keras_file(source):  # which names its classes, but no data set
        model = registry.load(source)
        same = model.class_names == dataset.class_names
        return model if same else model.with_new_classifiers(dataset.num_classes)
    noted = registry.record(source)
    same = noted.data is not None and noted.data.name == dataset.name
    same = same and noted.class_names in (None, dataset.class_names)
    return registry.load(source, num_classes=None if same else dataset.num_classes)


def architecture(source: str) -> Architecture:
    """The architecture in a JSON file or in a model's record, or that of a model.

    Raises:
        ValueError: There is no such file or model, or it holds no architecture.
    """
    from zoo import records, registry
    from zoo.architecture import Architecture
    from zoo.model_record import ModelRecord

    path = pathlib.Path(source)
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or "model" not in found:
            return Architecture.from_json(path)
        record = records.from_dict(found, ModelRecord, where=source, assume=ModelRecord)
    else:
        record = registry.record(source)
    if record.architecture is None:
        raise ValueError(
            f"{source} is no network of the paper's space. Use --initial-weights to "
            "train it further."
        )
    return record.architecture
