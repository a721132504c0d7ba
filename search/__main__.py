"""Command line: python -m search run|front|benchmark."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import search
import zoo
from search.commands import benchmark, front, run
from search.launch import end_with_parent

DESCRIPTION = """\
Search for early-exit networks: error against average MACs.

  python -m search run --data digits --target-macs 1.5e6 --trials 24 --directory DIR
  python -m search front DIR                       what it found
  python -m search front DIR --max-macs 1.5e6 --export my_model

Start `run` again after an interruption with the same arguments: it continues."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    options.arguments = sys.argv[1:] if arguments is None else list(arguments)
    end_with_parent()
    try:
        return options.run(options) or 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"search {options.command}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if not search.is_extra(error):
            raise
        print(search.NEEDS, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"search {options.command}: interrupted; the same command continues.",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m search",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"aebnas-keras {zoo.__version__}"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (run, front, benchmark):
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
