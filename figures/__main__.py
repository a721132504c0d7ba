"""Command line: python -m figures frontier|models|...|report --out FILE."""

from __future__ import annotations

import argparse
import importlib
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from figures.report import command as report
from zoo.terminal import CommandLine, add_load

DESCRIPTION = """\
Draw figures from models and records.

  %(prog)s frontier aebnas_digits --out frontier.png
  %(prog)s models cifar10 --out models.svg
  %(prog)s search DIR --out search.pdf
  %(prog)s report DIR aebnas_digits --out report.html"""

MODEL = (
    "name",
    {"metavar": "MODEL", "help": "name of a pretrained model, or a folder"},
)
DATA_DIR = ("--data-dir", {"metavar": "DIR", "help": "folder that holds NAME.npz"})

# What each figure shows, and the arguments of its function; NAME is figures.NAME.NAME.
FIGURES: dict[str, tuple[str, tuple[tuple[str, dict[str, Any]], ...]]] = {
    "frontier": (
        "accuracy against average MACs of a model's threshold settings, and its mean",
        (MODEL,),
    ),
    "models": (
        "the pretrained models of a data set next to published networks",
        (("data", {"metavar": "DATA", "help": "a data set, such as cifar10"}),),
    ),
    "exits": (
        "the share of images that leave at each exit, and its accuracy",
        (MODEL,),
    ),
    "network": ("a model: its backbone, its exits and where images leave", (MODEL,)),
    "reliability": (
        "the accuracy of a model's exits against their confidence",
        (MODEL, DATA_DIR),
    ),
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
    "contenders": (
        "accuracy against average MACs of networks trained in the same way",
        (
            (
                "source",
                {"metavar": "RECORD", "help": "record that `reproduce compare` wrote"},
            ),
        ),
    ),
    "ranking": (
        "accuracy after separate training against inherited accuracy",
        (
            (
                "source",
                {"metavar": "RECORD", "help": "record that `reproduce ranking` wrote"},
            ),
        ),
    ),
    "surrogates": (
        "what surrogates predict for the authors' candidates, against the true values",
        (),
    ),
}


def commands() -> CommandLine:
    """All commands: one per figure, and the report."""
    found = CommandLine("figures", DESCRIPTION)
    for name, (text, own) in FIGURES.items():
        sub = found.command(name, draw, f"Draw {text}.", keras=True)
        for flag, settings in own:
            sub.add_argument(flag, **settings)
        sub.add_argument(
            "--out",
            required=True,
            type=pathlib.Path,
            metavar="FILE",
            help="file to write: .png, .svg or .pdf",
        )
        add_load(sub)
    report.add(found)
    return found


def draw(options: argparse.Namespace) -> None:
    """Draw a figure."""
    _, own = FIGURES[options.command]
    names = [flag.removeprefix("--").replace("-", "_") for flag, _ in own]
    module = importlib.import_module(f"figures.{options.command}")
    figure = getattr(module, options.command)
    figure(**{name: getattr(options, name) for name in (*names, "out")})
    print(f"Wrote {options.out}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a figure or write a report; returns the exit status."""
    try:
        return commands().run(arguments)
    except ModuleNotFoundError as error:
        print(
            f'figures: {error}; pip install ".[figures,search]" installs what figures '
            "need.",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
