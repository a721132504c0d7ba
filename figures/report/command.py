"""`figures report`: searches and models as one HTML page."""

from __future__ import annotations

import argparse
import pathlib

from zoo.arithmetic import CONVENTIONS
from zoo.terminal import CommandLine, add_data_dir, add_load


def add(commands: CommandLine) -> None:
    """Declare the command."""
    command = commands.command(
        "report",
        run,
        "Write a page about searches and models, as one HTML file.",
        "The page shows fronts, trials, networks and exits, and has a slider for the\n"
        "budget. It works offline, in any browser.",
    )
    command.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="folder or record of a search; name, folder or record of a model",
    )
    command.add_argument(
        "--out", required=True, type=pathlib.Path, metavar="FILE", help="file to write"
    )
    command.add_argument(
        "--watch",
        action="store_true",
        help="keep rewriting the page while a search is running",
    )
    command.add_argument(
        "--every",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="interval at which --watch rewrites the page (default: 30)",
    )
    command.add_argument(
        "--examples",
        type=int,
        default=0,
        metavar="N",
        help="run the models on the first N test images, such as 48, and show at which "
        "exit each leaves",
    )
    add_data_dir(command)
    command.add_argument(
        "--convention",
        choices=CONVENTIONS,
        help="how to count the MACs of models (default: as in a search on the same "
        "data set, or else standard)",
    )
    add_load(command)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from figures.report import report, watch

    if options.examples < 0:
        raise ValueError(f"--examples is {options.examples}; expected 1 or more.")
    if not 1 <= options.every < float("inf"):
        raise ValueError(f"--every is {options.every:g}; expected 1 second or more.")
    if options.examples:
        from zoo.terminal import import_keras

        import_keras()
    chosen = {
        "convention": options.convention,
        "pictures": options.examples,
        "data_dir": options.data_dir,
    }
    if options.watch:
        watch(options.sources, options.out, options.every, **chosen)
    else:
        report(options.sources, options.out, **chosen)
    print(f"Wrote {options.out}.")
