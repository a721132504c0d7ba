"""Command line: python -m search run|front|benchmark|supernet|..."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import search
from search.commands import benchmark, front, latency_table, run, supernet
from search.launch import end_with_parent
from zoo.terminal import CommandLine

DESCRIPTION = """\
Search for early-exit networks: error against average MACs.

  %(prog)s run --data digits --target-macs 1.5e6 --trials 24 --directory DIR
  %(prog)s front DIR                       show what it found
  %(prog)s front DIR --max-macs 1.5e6 --export my_model

If `run` is interrupted, repeat the command: it continues."""


def commands() -> CommandLine:
    """All commands."""
    found = CommandLine(
        "search",
        DESCRIPTION,
        errors=(ValueError, OSError, RuntimeError, FloatingPointError),
        interrupted="interrupted; repeat the command to continue.",
        keras=True,
    )
    for module in (run, front, benchmark, supernet, latency_table):
        module.add(found)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    end_with_parent()
    try:
        return commands().run(arguments)
    except ModuleNotFoundError as error:
        if not search.is_extra(error):
            raise
        print(search.NEEDS, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
