"""The commands train and logits: train a network; keep a teacher's logits."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import TYPE_CHECKING

from zoo import backbones, heads
from zoo.commands import options as shared
from zoo.terminal import (
    CommandLine,
    add_json,
    add_load,
    add_no_flip,
    listed,
    print_json,
    print_table,
)
from zoo.training.recipes import RECIPES

if TYPE_CHECKING:
    from zoo.data import Dataset
    from zoo.model import EarlyExitModel
    from zoo.training.teachers import Teacher

CHANGES = {
    "epochs": (int, "passes over the training images"),
    "batch_size": (int, "images in a step"),
    "learning_rate": (float, "peak learning rate"),
    "weight_decay": (float, "coefficient of the L2 penalty"),
    "distillation": (
        float,
        "share of the loss, 0..1, that comes from the teacher or, without one, from "
        "the final exit",
    ),
}


def add(commands: CommandLine) -> None:
    """Declare the commands."""
    sub = commands.command(
        "train",
        train,
        "Train a network and write a model folder.",
        "If training is interrupted, repeat the command to continue. The folder holds\n"
        "the model (config.json, model.weights.h5 and card.md), which `zoo.load`\n"
        "reads, and log.csv and a checkpoint from the training.\n\n"
        "Networks for --backbone:\n"
        + listed({name: b.summary for name, b in backbones.BACKBONES.items()}),
        keras=True,
        interrupted="interrupted; the same command continues.",
    )
    network = sub.add_mutually_exclusive_group(required=True)
    network.add_argument(
        "--architecture",
        metavar="A.json",
        help="architecture to train from random weights: a file that "
        "zoo.Architecture.to_json wrote, a model, or a model's config.json",
    )
    network.add_argument(
        "--initial-weights",
        metavar="MODEL",
        help="model to train further; on a data set other than its own, it gets new "
        "classifiers",
    )
    network.add_argument(
        "--backbone",
        metavar="NAME",
        help="network to add exits to and train: a name from the list above, or a "
        ".keras file with a network that takes images in 0..255",
    )
    sub.add_argument(
        "--exits",
        nargs="+",
        metavar="E",
        help="with --backbone: the number of exits, or the layers they follow; see "
        "zoo.cut_points (default: 3, or fewer if there are fewer places)",
    )
    sub.add_argument(
        "--head",
        metavar="NAME",
        help=f"with --backbone: the head of each exit: {', '.join(heads.names())} "
        "(default: linear, or token for a transformer)",
    )
    sub.add_argument(
        "--resolution",
        type=int,
        metavar="R",
        help="with --backbone: height and width to resize pictures to (default: the "
        "network's own)",
    )
    shared.add_data(sub, own="the model's own, else digits")
    add_no_flip(sub)
    sub.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    sub.add_argument(
        "--recipe",
        help=f"training recipe: {', '.join(RECIPES)} (default: long; with --backbone, "
        "the one that suits the network)",
    )
    for name, (kind, text) in CHANGES.items():
        flag = f"--{name.replace('_', '-')}"
        sub.add_argument(flag, type=kind, help=f"{text} (default: the recipe's)")
    sub.add_argument(
        "--exit-weights",
        type=float,
        nargs="+",
        metavar="W",
        help="weight of each exit's loss, the final exit last (default: all 1)",
    )
    sub.add_argument("--seed", type=int, default=1, help="random seed (default: 1)")
    sub.add_argument(
        "--teacher",
        metavar="MODEL",
        help="model to distil from, or an .npy file of its logits that `logits` wrote",
    )
    shared.add_budget(sub)
    sub.add_argument(
        "--least-gain",
        type=float,
        default=0.0,
        metavar="POINTS",
        help="with --max-macs: choose the cheapest setting beyond which 10 %% more "
        "MACs gain fewer than this many points of accuracy (default: 0, the most "
        "accurate setting)",
    )
    sub.add_argument(
        "--weight-bits",
        type=int,
        choices=(6, 8, 16, 32),
        default=16,
        help="precision of the saved kernels; with 8 or 6, which apply to large "
        "kernels only, the file is half as large or smaller (default: 16)",
    )
    sub.add_argument(
        "--note",
        action="append",
        default=[],
        help="a line for the model card; may be repeated",
    )
    add_load(sub)
    add_json(sub)

    sub = commands.command(
        "logits",
        logits,
        "Write a model's logits for the training images, to distil from.",
        "The file holds the logits of every training image and its mirror image, in\n"
        "half precision, with the shape (images, 2, classes). Both\n"
        "`train --teacher FILE.npy` and `search supernet train --teacher FILE.npy`\n"
        "read it, so a large teacher runs only once instead of in every epoch.",
        keras=True,
    )
    shared.add_model(sub)
    shared.add_data(sub)
    sub.add_argument("--out", required=True, metavar="FILE", help="an .npy file")


OF_BACKBONE = ("backbone", "exits", "head", "resolution")


def train(options: argparse.Namespace) -> None:
    """Train, choose thresholds, measure and save."""
    import keras

    from zoo import cards, pipeline, records, training
    from zoo.classifier import EarlyExitClassifier

    if not options.out:  # which would be the current folder
        raise ValueError("--out is empty; expected the name of a folder.")
    if options.backbone is None:
        for name in OF_BACKBONE:
            if getattr(options, name) is not None:
                raise ValueError(f"--{name} can only be used with --backbone.")
    changes = {name: getattr(options, name) for name in CHANGES}
    recipe = training.recipe(
        _recipe(options), **{k: v for k, v in changes.items() if v is not None}
    )
    pictures = {"size": options.size, "flip": options.flip}
    dataset = shared.load_data(options, _data(options), **pictures)
    keras.utils.set_random_seed(options.seed)
    if options.initial_weights is not None:
        model = _initial(options.initial_weights, dataset)
        if options.exit_weights:
            model.exit_weights = options.exit_weights
    elif options.backbone is not None:
        model = _attached(options, dataset)
    else:
        model = EarlyExitClassifier(
            shared.architecture(options.architecture),
            dataset.num_classes,
            exit_weights=options.exit_weights,
            crop=recipe.crop,
        )
    teacher = _teacher(options.teacher)
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
        least_gain=options.least_gain,
        target_macs=options.target_macs,
        convention=options.convention,
        notes=options.note,
        weight_bits=options.weight_bits,
        facts={
            "initial_weights": options.initial_weights,
            **{name: getattr(options, name) for name in OF_BACKBONE},
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
    asked = options.max_macs is not None or options.target_macs is not None
    if not asked and set(test.thresholds) == {1}:
        print("All early exits are off. To use them, give a budget: --max-macs.")
    print(f"Saved; load it with zoo.load({str(options.out)!r}).")


def _recipe(options: argparse.Namespace) -> str:
    """The name of the recipe: the one given, else the one that suits the network."""
    if options.recipe is not None:
        return options.recipe
    if options.backbone is not None:
        return backbones.get(options.backbone).recipe
    return "long"


def _teacher(source: str | None) -> Teacher | None:
    """The teacher that an option names, if any."""
    from zoo import registry
    from zoo.training import teachers

    if source is None:
        return None
    if pathlib.Path(source).suffix == ".npy":
        return teachers.load(source)
    return registry.load(source)


def logits(options: argparse.Namespace) -> None:
    """Compute a teacher's logits and write them."""
    from zoo.training import teachers

    path = pathlib.Path(options.out)
    if path.suffix != ".npy":
        raise ValueError(f"--out is {options.out}; expected a name that ends in .npy.")
    model, dataset = shared.model_and_data(options)
    found = teachers.teacher_logits(model, dataset)
    teachers.save(path, found)
    print(f"Saved; distil from it with zoo train --teacher {path}.")


def _attached(options: argparse.Namespace, dataset: Dataset) -> EarlyExitModel:
    """The backbone that the options name, with exits."""
    from zoo.attachment import attach

    exits = options.exits or ["auto"]
    if len(exits) == 1:
        (exits,) = exits
        if exits.isdecimal():
            exits = int(exits)
    return attach(
        backbones.get(options.backbone).build(options.resolution),
        exits,
        dataset.num_classes,
        options.head,
        exit_weights=options.exit_weights,
        class_names=dataset.class_names,
    )


def _data(options: argparse.Namespace) -> str:
    """The name of the data set: the one given, else the model's own.

    Raises:
        ValueError: None is given, and the initial weights record none.
    """
    if options.data is not None:
        return options.data
    source = options.initial_weights
    if options.backbone is not None:
        return "digits"
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
