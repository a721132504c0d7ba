"""The commands table, results-page and verify: what follows from the records."""

from __future__ import annotations

import argparse
import sys

from reproduce.commands import options as shared
from zoo.terminal import CommandLine, add_json, print_json

FORMATS = ("markdown", "latex", "csv")


def add(commands: CommandLine) -> None:
    """Declare the commands."""
    sub = commands.command(
        "table",
        table,
        "Print a table of published and measured results.",
        "Names: cifar10, svhn, cifar100, ablation, searches, thresholds, surrogates,\n"
        "oracles, ranking, exits, models, inheritance, baselines, guess, finetune,\n"
        "skipping, pixel_exact, device, device_agreement, device_latency,\n"
        "latency_fronts, and those that a file given by --load registers.",
    )
    sub.add_argument("table", metavar="NAME", help="one of the names above")
    sub.add_argument(
        "--format",
        choices=FORMATS,
        default="markdown",
        help="format of the table (default: markdown)",
    )
    shared.add_results(sub)
    add_json(sub)

    sub = commands.command(
        "results-page",
        results_page,
        "Print the page docs/results.md, made from the records.",
    )
    shared.add_results(sub)
    shared.add_out(sub, "write it")

    sub = commands.command(
        "verify", verify, "Recompute every derived value in the records."
    )
    shared.add_results(sub)


def table(options: argparse.Namespace) -> None:
    """Print a table."""
    from reproduce import tables

    found = tables.table(options.table, options.results)
    if options.json:
        return print_json([dict(zip(found.columns, row)) for row in found.rows])
    print(tables.FORMATS[options.format](found))
    if found.remark:
        # Not part of a LaTeX or CSV file that standard output is sent to.
        markdown = options.format == "markdown"
        print(f"\n{found.remark}", file=sys.stdout if markdown else sys.stderr)


def results_page(options: argparse.Namespace) -> None:
    """Print or write the page of results."""
    from reproduce import page

    shared.write_page(options.out, page.render(options.results))


def verify(options: argparse.Namespace) -> None:
    """Recompute every derived value."""
    from reproduce import verify

    compared, wrong = verify.check(options.results)
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {compared:,} values differ:\n" + "\n".join(wrong)
        )
    print(f"All {compared:,} derived values agree.")
