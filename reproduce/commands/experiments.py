"""The commands list and run: the experiments, and running one."""

from __future__ import annotations

import argparse
import collections
import pathlib

from reproduce.commands import options as shared
from reproduce.experiments import SCALES
from zoo.terminal import (
    CommandLine,
    add_data_dir,
    add_json,
    print_json,
    print_table,
)


def add(commands: CommandLine) -> None:
    """Declare the commands."""
    sub = commands.command(
        "list", list_experiments, "List the experiments, and which have records."
    )
    shared.add_results(sub)
    add_json(sub)

    sub = commands.command(
        "run",
        run,
        "Run an experiment and write its record, or continue it.",
        "If it is interrupted, repeat the command to continue.",
        keras=True,
        interrupted="interrupted; the same command continues.",
    )
    sub.add_argument("experiment", metavar="NAME", help="an experiment; see `list`")
    sub.add_argument("--seed", type=int, default=1, help="random seed (default: 1)")
    sub.add_argument(
        "--scale",
        choices=tuple(SCALES),
        default="reduced",
        help="how large a search to run; see `list` (default: reduced)",
    )
    add_data_dir(sub)
    sub.add_argument(
        "--directory",
        type=pathlib.Path,
        default=pathlib.Path("runs"),
        help="folder for the searches, which lets them continue (default: runs)",
    )
    shared.add_results(
        sub, pathlib.Path("results"), "folder for the records (default: results)"
    )


def list_experiments(options: argparse.Namespace) -> None:
    """List the experiments."""
    from reproduce import runs
    from reproduce.experiments import EXPERIMENTS
    from zoo.cards import million

    counts = {
        scale: collections.Counter(
            record.experiment for record in runs.load(scale, options.results)
        )
        for scale in SCALES
    }
    if options.json:
        return print_json(
            [
                {
                    "name": each.name,
                    "method": each.method,
                    "data": each.data,
                    "target_macs": each.target_macs,
                    "space": dict(each.space),
                    "seeds": list(each.seeds),
                    "records": {scale: counts[scale][each.name] for scale in SCALES},
                }
                for each in EXPERIMENTS.values()
            ]
        )
    print_table(
        ("name", "method", "data", "target", "seeds", "records"),
        [
            [
                each.name,
                each.method,
                each.data,
                million(each.target_macs),
                " ".join(map(str, each.seeds)),
                ", ".join(
                    f"{counts[scale][each.name]} {scale}"
                    for scale in SCALES
                    if counts[scale][each.name]
                )
                or "none",
            ]
            for each in EXPERIMENTS.values()
        ],
    )
    for name, scale in SCALES.items():
        print(f"{name}: {scale.summary}")


def run(options: argparse.Namespace) -> None:
    """Run an experiment, or continue it."""
    from reproduce import experiments, runs
    from search.progress import Progress

    settings = experiments.get(options.experiment).settings(options.scale, options.seed)
    progress = Progress(settings.trials, settings.target_macs)
    path = runs.run(
        *(options.experiment, options.seed, options.scale),
        *(options.data_dir, options.directory, options.results, progress),
    )
    progress.finish()
    print(f"Wrote {path}.")
