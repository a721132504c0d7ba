"""The command compare: early-exit networks and static ones, trained alike."""

from __future__ import annotations

import argparse
import pathlib
import sys

from reproduce.commands import options as shared
from zoo.terminal import (
    CommandLine,
    add_data_dir,
    add_json,
    add_load,
    print_json,
    print_table,
    show_progress,
)


def add(commands: CommandLine) -> None:
    """Declare the command."""
    sub = commands.command(
        "compare",
        compare,
        "Train early-exit networks and static ones in the same way, and compare them.",
        "If it is interrupted, repeat the command to continue. Several processes can\n"
        "work in the same directory, each on different networks or seeds. At the end,\n"
        "run the command with --out, while nothing else is running: it measures\n"
        "latencies and writes the record.",
        keras=True,
    )
    sub.add_argument(
        "--contenders",
        nargs="+",
        default=[],
        metavar="NAME",
        help="networks to train; see reproduce/contenders.py (default: all)",
    )
    sub.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[1, 2, 3],
        help="random seeds (default: 1 2 3)",
    )
    sub.add_argument("--data", default="cifar10", help="data set (default: cifar10)")
    add_data_dir(sub)
    sub.add_argument(
        "--images", type=int, default=10_000, help="images to train on (default: 10000)"
    )
    sub.add_argument(
        "--epochs", type=int, default=12, help="epochs of training (default: 12)"
    )
    sub.add_argument(
        "--directory",
        type=pathlib.Path,
        default=pathlib.Path("comparison"),
        metavar="DIR",
        help="folder for the trainings (default: comparison)",
    )
    sub.add_argument(
        "--finished",
        action="store_true",
        help="train nothing; use only the trainings that are finished",
    )
    shared.add_out(sub, "measure latencies, and write the record")
    add_load(sub)
    add_json(sub)


def compare(options: argparse.Namespace) -> None:
    """Train what is not trained yet, and write the record if it is wanted."""
    from reproduce import compare, comparison
    from reproduce.comparison import ContenderRecord
    from zoo import records
    from zoo.cards import million, percent

    def progress(row: ContenderRecord) -> None:
        print(
            f"{row.contender}, seed {row.seed}: final exit "
            f"{percent(row.exit_accuracy[-1])} at {million(row.macs.per_exit[-1])}, "
            f"{row.seconds:.0f} s of training",
            file=sys.stderr,
            flush=True,
        )

    shared.prepare(options.out)
    dataset, rows = compare.run(
        options.directory,
        names=options.contenders,
        seeds=options.seeds,
        source=options.data,
        data_dir=options.data_dir,
        images=options.images,
        epochs=options.epochs,
        finished=options.finished,
        progress=progress,
    )
    if not (options.out or options.json):
        print(f"{len(rows)} trainings are finished; --out FILE writes their record.")
        return
    record = compare.record(options.directory, dataset, rows, show_progress)
    show_progress("")
    shared.write(options.out, record)
    if options.json:
        return print_json(records.to_dict(record))
    print_table(comparison.COLUMNS, comparison.cells(record))
