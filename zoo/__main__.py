"""Command line: python -m zoo list|show|pareto|evaluate|predict|frontier|..."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from zoo.commands import benchmark, deploy, models, run, train
from zoo.terminal import CommandLine

DESCRIPTION = """\
Early-exit networks: image classifiers that stop early on easy images.

  %(prog)s list                             list the pretrained models
  %(prog)s show aebnas_digits               show a model's card
  %(prog)s pareto cifar10                   compare the models of a data set
  %(prog)s evaluate aebnas_digits           measure it on its test split
  %(prog)s predict aebnas_digits a.png      classify pictures

Every command has its own --help. MODEL is a name from `list` or a folder that
`train` wrote."""


def commands() -> CommandLine:
    """All commands."""
    found = CommandLine(
        "zoo", DESCRIPTION, errors=(ValueError, OSError, FloatingPointError)
    )
    for group in (models, run, train, deploy, benchmark):
        group.add(found)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    return commands().run(arguments)


if __name__ == "__main__":
    sys.exit(main())
