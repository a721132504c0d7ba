"""`--load FILE`: metrics and methods from files of the user's own."""

from __future__ import annotations

import argparse
import importlib.util
import pathlib
import sys
from collections.abc import Iterable


def add_option(command: argparse.ArgumentParser) -> None:
    """Give a command the option `--load`."""
    command.add_argument(
        "--load",
        type=pathlib.Path,
        action="append",
        default=[],
        metavar="FILE",
        help="Python file that registers a metric or a method; may be repeated",
    )


def load(files: Iterable[pathlib.Path]) -> None:
    """Import files, each once in a process.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file cannot be imported; the message has the reason.
    """
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"There is no file {file} to load.")
        name = f"loaded:{file.resolve()}"
        if name in sys.modules:
            continue
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise ValueError(f"{file} is not a Python file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise ValueError(
                f"{file} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
