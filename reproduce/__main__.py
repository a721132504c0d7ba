"""Command line: python -m reproduce surrogates."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
from collections.abc import Sequence

from reproduce import archive
from zoo.files import write_text
from zoo.registry import provenance
from zoo.terminal import print_json, print_table

RESULTS = pathlib.Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser("python -m reproduce")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    text = "Predict each of the authors' 32 candidates from the other 31."
    sub = commands.add_parser("surrogates", help=text, description=text)
    sub.add_argument("--out", type=pathlib.Path, help="also write the record there")
    sub.add_argument("--json", action="store_true", help="print JSON for programs")
    options = parser.parse_args(arguments)
    rows = archive.leave_one_out()
    record = {"rows": rows, "provenance": provenance(seed=1)}
    if options.out:
        write_text(options.out, json.dumps(record, indent=1) + "\n")
    if options.json:
        print_json(record)
        return 0
    print_table(
        ("surrogate", "inputs", "target", "RMSE", "Spearman", "Kendall"),
        [
            [row["surrogate"], row["inputs"], row["target"]]
            + [f"{row[key]:.2f}" for key in ("rmse", "spearman", "kendall")]
            for row in rows
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
