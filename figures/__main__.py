"""Command line: python -m figures NAME ... --out FILE.png|svg|pdf."""

from __future__ import annotations

import argparse
import importlib
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from zoo.terminal import import_keras

MODEL = ("name", {"metavar": "MODEL", "help": "a pretrained name or a folder"})
DATA_DIR = ("--data-dir", {"metavar": "DIR", "help": "folder of NAME.npz"})

# What each figure shows, and the arguments of its function; NAME is figures.NAME.NAME.
FIGURES: dict[str, tuple[str, tuple[tuple[str, dict[str, Any]], ...]]] = {
    "frontier": ("accuracy against average MACs of a model's thresholds", (MODEL,)),
    "models": (
        "the pretrained models of a data set beside published networks",
        (("data", {"metavar": "DATA", "help": "a data set, such as cifar10"}),),
    ),
    "exits": ("use and accuracy of a model's exits", (MODEL,)),
    "thresholds": (
        "accuracy and average MACs over the thresholds of two exits",
        (
            MODEL,
            (
                "--exits",
                {
                    "type": int,
                    "nargs": 2,
                    "default": (1, 2),
                    "metavar": "K",
                    "help": "which two, counted from 1 (default: 1 2)",
                },
            ),
            DATA_DIR,
        ),
    ),
    "examples": ("test images by the exit at which they leave", (MODEL, DATA_DIR)),
    "search": (
        "candidates, fronts and hypervolume of a search",
        (
            (
                "source",
                {"metavar": "SEARCH", "help": "folder of a search, or its record"},
            ),
        ),
    ),
    "surrogates": ("predictions of the authors' candidates against the truth", ()),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a figure; returns the exit status."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    figure = options.pop("figure")
    import_keras()
    try:
        draw = getattr(importlib.import_module(f"figures.{figure}"), figure)
    except ModuleNotFoundError as error:
        parser.exit(
            1,
            f'figures: {error}; pip install ".[figures,search]" brings everything.\n',
        )
    try:
        draw(**options)
    except (ValueError, OSError) as error:
        print(f"figures {figure}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m figures", description="Draw a figure from models and records."
    )
    figures = parser.add_subparsers(dest="figure", required=True, metavar="NAME")
    for name, (text, own) in FIGURES.items():
        sub = figures.add_parser(name, help=text, description=f"Draw {text}.")
        for flag, settings in own:
            sub.add_argument(flag, **settings)
        sub.add_argument(
            "--out",
            required=True,
            type=pathlib.Path,
            metavar="FILE",
            help=".png, .svg or .pdf",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
