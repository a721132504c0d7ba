"""Command line: python -m figures frontier MODEL --out FILE.png|svg|pdf."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a figure; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m figures", description="Draw a figure from a model's record."
    )
    figures = parser.add_subparsers(dest="figure", required=True, metavar="FIGURE")
    sub = figures.add_parser(
        "frontier", help="accuracy against average MACs of a model's thresholds"
    )
    sub.add_argument("model", metavar="MODEL", help="a pretrained name or a folder")
    sub.add_argument("--out", required=True, metavar="FILE", help=".png, .svg or .pdf")
    options = parser.parse_args(arguments)
    try:
        from figures.frontier import frontier
    except ModuleNotFoundError as error:
        parser.exit(1, f"figures: {error}; pip install matplotlib brings it.\n")
    try:
        frontier(options.model, options.out)
    except (ValueError, OSError) as error:
        print(f"figures {options.figure}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
