"""The console script `aebnas`: aebnas zoo|search|reproduce|figures COMMAND ...

Unlike `python -m search` it does not look into the current folder first, where a file
of the user's own may have that name.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from zoo.terminal import version

PACKAGES = {
    "zoo": "load, run, measure and train networks",
    "search": "search for networks",
    "reproduce": "the paper's experiments and tables",
    "figures": "draw figures",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a package's command; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        "aebnas", description="Early-exit networks for Keras 3."
    )
    parser.add_argument("--version", action="version", version=version())
    packages = parser.add_subparsers(dest="package", required=True, metavar="PACKAGE")
    for name, summary in PACKAGES.items():
        packages.add_parser(name, help=summary, add_help=False)
    package = parser.parse_known_args(arguments[:1])[0].package
    try:
        commands = importlib.import_module(f"{package}.__main__")
    except ModuleNotFoundError as error:
        print(f"aebnas {package}: {error}", file=sys.stderr)
        return 1
    return commands.main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
