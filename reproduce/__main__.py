"""Command line: python -m reproduce list|run|table|verify|macs|..."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from reproduce.commands import compare, experiments, macs, measure, tables
from zoo.terminal import CommandLine

DESCRIPTION = """\
Reproduce the paper: experiments, their records, and tables made from them.

  %(prog)s list                          list the experiments
  %(prog)s table cifar10                 show published results next to ours
  %(prog)s run cifar10_aebnas --scale smoke
  %(prog)s verify                        recompute what follows from the records

If `run` is interrupted, repeat the command: it continues."""
LIBRARIES = ("keras_tuner", "pymoo", "scipy")  # what searches and their records need


def commands() -> CommandLine:
    """All commands."""
    found = CommandLine(
        "reproduce",
        DESCRIPTION,
        errors=(ValueError, OSError, RuntimeError),
        keras=True,
    )
    for group in (experiments, tables, macs, measure, compare):
        group.add(found)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    missing = [name for name in LIBRARIES if not _is_there(name)]
    if missing:
        print(
            f"reproduce: {', '.join(missing)} cannot be imported; "
            'pip install ".[search]" installs what searches and their records need.',
            file=sys.stderr,
        )
        return 1
    return commands().run(arguments)


def _is_there(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except (ImportError, ValueError):  # as what stands in for the import system says
        return False


if __name__ == "__main__":
    sys.exit(main())
