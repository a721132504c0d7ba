"""`search run`: run a search, or continue it."""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import re
from typing import Any

from search import methods, metrics
from search.backbone.space import HEADS, MAX_EXITS
from search.settings import Settings
from zoo import data
from zoo.architecture import EXIT_POSITIONS
from zoo.cost import CONVENTIONS
from zoo.terminal import (
    CommandLine,
    add_data_dir,
    add_load,
    add_no_flip,
    add_size,
    listed,
    process,
    program,
)

DETAILS = """\
Methods:

{methods}

Metrics, to improve (--objectives) or to limit (--min, --max):

{metrics}"""


def add(commands: CommandLine) -> None:
    """Declare the command."""
    summary = "Run a search, or continue it."
    details = DETAILS.format(
        methods=listed({name: m.summary for name, m in methods.METHODS.items()}),
        metrics=listed(
            {
                name: f"{metric.direction}: {metric.summary}"
                for name, metric in metrics.METRICS.items()
            }
        ),
    )
    command = commands.command("run", run, summary, details)
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}

    def option(name: str, kind: Any, text: str, **more: Any) -> None:
        value = defaults.get(name)
        shown = "" if value is None else f" (default: {value})"
        flag = f"--{name.replace('_', '-')}"
        command.add_argument(flag, type=kind, help=text + shown, **more)

    option("directory", pathlib.Path, "folder of the search", required=True)
    option(
        "data",
        str,
        f"data set: {', '.join(data.names())}, a folder of pictures or an .npz file",
    )
    add_data_dir(command)
    add_size(command)
    add_no_flip(command)
    option("method", str, "one of the methods above", metavar="NAME")
    option("trials", int, "candidates to train")
    option("target_macs", float, "average MACs to aim at, such as 2.44e6")
    option(
        "convention",
        str,
        "how MACs are counted: as in the literature (standard) or as the authors' "
        "tools do (aebnas)",
        choices=CONVENTIONS,
    )
    option("seed", int, "random seed")
    option(
        "initial_trials",
        int,
        "candidates drawn at random first (default: 40 %% of trials, at most 100)",
    )
    option("batch_size", int, "candidates (not images) per iteration")
    option("surrogate", str, "model that predicts metrics", choices=("adaptive", "mlp"))
    option("population", int, "population of NSGA-II")
    option("generations", int, "generations of NSGA-II on surrogates")
    command.add_argument(
        "--objectives", nargs="+", metavar="METRIC", help="metrics to improve"
    )
    for flag, limit in (("--max", "largest"), ("--min", "smallest")):
        command.add_argument(
            flag,
            nargs=2,
            action="append",
            default=[],
            metavar=("METRIC", "N"),
            help=f"{limit} allowed value of a metric, such as {flag} parameters 3e6; "
            "may be repeated",
        )
    command.add_argument(
        "--resolutions",
        type=int,
        nargs="+",
        metavar="R",
        help="resolutions to choose from, in pixels",
    )
    command.add_argument(
        "--exits",
        type=int,
        nargs="*",
        choices=range(1, EXIT_POSITIONS + 1),
        metavar="S",
        help="stages, 1 to 4, that an exit may follow; name none for static networks",
    )
    command.add_argument(
        "--backbone",
        metavar="MODEL",
        help="search for exits on this trained model, whose weights do not change: "
        "name of a pretrained model, folder or .keras file",
    )
    command.add_argument(
        "--places",
        nargs="+",
        metavar="LAYER",
        help="with --backbone: layers that an exit may follow (default: twelve)",
    )
    command.add_argument(
        "--heads",
        nargs="+",
        metavar="NAME",
        help="with --backbone: heads that an exit may have "
        f"(default: {' '.join(HEADS)}, where they fit)",
    )
    command.add_argument(
        "--max-exits",
        type=int,
        metavar="N",
        help="with --backbone: largest number of exits of a candidate (default: "
        f"{MAX_EXITS})",
    )
    option("recipe", str, "training recipe", choices=("short", "paper", "long"))
    for name, kind, text in (
        ("epochs", int, "passes over the training images"),
        ("learning_rate", float, "peak learning rate"),
    ):
        option(name, kind, f"{text} (default: the recipe's)")
    command.add_argument(
        "--train-batch-size",
        type=int,
        help="images in a training step (default: the recipe's)",
    )
    option("train_images", int, "train on this many images (default: all)")
    option(
        "initial_weights", str, "model to copy matching weights from (default: none)"
    )
    option("latency_batch_size", int, "also measure latency in batches of this size")
    option(
        "runtime",
        str,
        "measure latency as deployed, on one thread: litert or onnx (default: in "
        "TensorFlow)",
        metavar="NAME",
    )
    option("quantization", str, "with --runtime: float16 or dynamic (default: none)")
    option(
        "latency_table",
        str,
        "predict latency from this table, which `latency-table` made on a device",
        metavar="FILE",
    )
    option(
        "supernet",
        str,
        "name, file or folder of a supernet: candidates inherit its weights instead of "
        "being trained, and --train-images sets how many images their "
        "batch-normalisation statistics are computed from",
    )
    command.add_argument(
        "--cache",
        type=pathlib.Path,
        metavar="DIR",
        help="folder that searches may share: for the logits of a supernet's "
        "sub-networks (default: `answers` beside the supernet), or for a backbone's "
        "features and trained heads (default: `cache` in the folder of the search)",
    )
    option("workers", int, "train this many candidates at once on this machine")
    add_load(command)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit status."""
    from search.reading import OtherSearchError

    try:
        return _run(settings(options), options)
    except OtherSearchError as error:
        changed = [_option(name, options) for name in error.changed]
        raise OtherSearchError(error.directory, changed) from error
    except ValueError as error:
        raise ValueError(_with_options(str(error), options)) from error


def _run(wanted: Settings, options: argparse.Namespace) -> int:
    from search import running
    from search.launch import launch
    from search.progress import Progress

    if options.workers is not None and "KERASTUNER_TUNER_ID" not in os.environ:
        command = [*process("search"), *options.arguments]
        return launch(command, options.workers)
    progress = Progress(wanted.trials, wanted.target_macs)
    running.run(
        wanted,
        options.directory,
        data_dir=options.data_dir,
        data_options={"size": options.size, "flip": options.flip},
        on_trial=progress,
        cache=options.cache,
    )
    if "worker" not in os.environ.get("KERASTUNER_TUNER_ID", ""):
        progress.finish()
        print(f"Done. {program('search')} front {options.directory}")
    return 0


def settings(options: argparse.Namespace) -> Settings:
    """The settings that the options describe."""
    names = (field.name for field in dataclasses.fields(Settings))
    given = {name: getattr(options, name, None) for name in names}
    changes = {
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "batch_size": options.train_batch_size,
    }
    space = {}
    if options.resolutions:
        space["resolutions"] = options.resolutions
    if options.exits is not None:
        space["exits"] = [stage - 1 for stage in options.exits]
    for name in ("places", "heads", "max_exits"):
        if getattr(options, name) is not None:
            space[name] = getattr(options, name)
    least = {metric: number("--min", n) for metric, n in options.min}
    most = {metric: number("--max", n) for metric, n in options.max}
    given["constraints"] = {
        metric: (least.get(metric), most.get(metric)) for metric in {**least, **most}
    }
    given["space"] = space
    given["recipe_changes"] = {k: v for k, v in changes.items() if v is not None}
    return Settings(**{k: v for k, v in given.items() if v is not None})


def number(flag: str, text: str) -> float:
    """The number that an option has.

    Raises:
        ValueError: It has something else.
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{flag} has {text!r}; expected a number.") from None


def _option(name: str, options: argparse.Namespace) -> str:
    """What the user types for a setting, or for a part of one; else its own name."""
    field, _, part = name.partition(".")
    if field == "constraints" and part:
        return f"--max or --min {part}"
    typed = "train_batch_size" if name == "recipe_changes.batch_size" else part or field
    return f"--{typed.replace('_', '-')}" if hasattr(options, typed) else name


def _with_options(message: str, options: argparse.Namespace) -> str:
    """A message about settings in the words of the command line."""
    message = re.sub(
        r"\bRecipe\.(\w+)",
        lambda found: _option(f"recipe_changes.{found[1]}", options),
        message,
    )
    # A name of one word is also a word, but not before what it is or holds.
    return re.sub(
        r"""(?<![\w/.'"-])(\w+_\w+(?!\.?[\w/'"-])|\w+(?= (?:is|are|holds) ))""",
        lambda found: _option(found[1], options),
        message,
    )
