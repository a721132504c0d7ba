"""`search latency-table`: time the parts of networks on this device."""

from __future__ import annotations

import argparse
import pathlib

from zoo.architecture import RESOLUTIONS
from zoo.terminal import (
    CommandLine,
    add_json,
    add_load,
    print_json,
    print_table,
    show_progress,
)

DETAILS = """\
The table predicts the latency of every network of the search space:

  %(prog)s --out table.json --quantization dynamic
  search run --objectives error latency_ms --latency-table table.json ...

It holds how long each block and each module of a branch takes, exported for the
runtime, and two numbers that turn the sum into the time of a network. They are fitted
to random networks. Making a table takes about half a minute per resolution."""


def add(commands: CommandLine) -> None:
    """Declare the command."""
    summary = "Time the parts of networks here, for `search run --latency-table`."
    sub = commands.command("latency-table", run, summary, DETAILS)
    sub.add_argument(
        "--out", type=pathlib.Path, required=True, metavar="FILE", help="file to write"
    )
    sub.add_argument(
        "--runtime", default="litert", help="litert or onnx (default: litert)"
    )
    sub.add_argument("--quantization", help="float16 or dynamic (default: none)")
    sub.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="number of threads (default: 1)",
    )
    sub.add_argument(
        "--resolutions",
        type=int,
        nargs="+",
        default=RESOLUTIONS,
        metavar="R",
        help="resolutions of the networks, in pixels (default: all)",
    )
    sub.add_argument(
        "--classes",
        type=int,
        default=10,
        metavar="N",
        help="number of classes (default: 10)",
    )
    sub.add_argument(
        "--networks",
        type=int,
        default=12,
        metavar="N",
        help="random networks to time as a whole (default: 12)",
    )
    sub.add_argument(
        "--seed", type=int, default=0, help="seed of these networks (default: 0)"
    )
    add_load(sub)
    add_json(sub)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from search.timing import make_table
    from zoo import files, records

    files.make_folder(options.out.parent)
    table = make_table(
        options.runtime,
        options.quantization,
        options.threads,
        options.resolutions,
        options.classes,
        options.networks,
        seed=options.seed,
        progress=show_progress,
    )
    show_progress("")
    records.write(options.out, table)
    if options.json:
        return print_json(records.to_dict(table))
    print(
        f"{table.device['processor']}, {table.runtime}, quantization "
        f"{table.quantization or 'none'}, {table.threads} threads"
    )
    slowest = sorted(table.parts.items(), key=lambda item: -item[1])[:5]
    print_table(
        (f"slowest of {len(table.parts)} parts", "ms"),
        [[name, f"{ms:.3f}"] for name, ms in slowest],
    )
    print(
        f"A network takes {table.scale:.2f} times the sum of its parts, and "
        f"{table.segment_ms:.3f} ms for each segment. Mean absolute error on "
        f"{table.checked_on} networks, each predicted from the others: "
        f"{table.error:.1%}."
    )
