"""What the command lines share: how commands are declared, run and printed."""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import logging
import os
import pathlib
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

import zoo

Command = Callable[[argparse.Namespace], int | None]


class CommandLine:
    """The commands of one package.

    A module of commands has a function `add(commands)`, which declares each with
    `command` and gives it its options. What a command runs takes the parsed options,
    prints its result, and returns an exit status or None for 0.

    Args:
        package: The package, such as "zoo".
        description: What `--help` prints; `%(prog)s` stands for the program's name.
        errors: Exceptions that the user can do something about: their message is
            printed, without a traceback.
        interrupted: What to print after Ctrl-C.
        keras: Whether every command needs Keras; see `command`.

    Example:
        >>> commands = CommandLine("zoo", "Early-exit networks.")
        >>> sub = commands.command("list", list_models, "List the pretrained models.")
        >>> sub.add_argument("pattern", nargs="?", default="*")
        >>> commands.run(["list"])
    """

    def __init__(
        self,
        package: str,
        description: str,
        errors: tuple[type[Exception], ...] = (ValueError, OSError),
        interrupted: str = "interrupted.",
        keras: bool = False,
    ) -> None:
        self.package = package
        self.keras = keras
        self.errors = errors
        self.interrupted = interrupted
        self.parser = argparse.ArgumentParser(
            program(package),
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.parser.add_argument("--version", action="version", version=version())
        self._commands = self.parser.add_subparsers(
            dest="command", required=True, metavar="COMMAND"
        )

    def command(
        self,
        name: str,
        run: Command,
        summary: str,
        details: str = "",
        keras: bool = False,
        interrupted: str | None = None,
    ) -> argparse.ArgumentParser:
        """Declare a command.

        Args:
            name: What the user types.
            run: What runs it.
            summary: A sentence for the list of commands and for its own `--help`.
            details: More for its own `--help`.
            keras: Whether it needs Keras, which is then imported before it runs; see
                `import_keras`. Import everything else that needs Keras inside `run`.
            interrupted: What to print after Ctrl-C. Default: that of the package.

        Returns:
            Its parser, to add options to.
        """
        sub = self._commands.add_parser(
            name,
            help=summary,
            description=f"{summary}\n\n{details}".strip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(
            run=run,
            keras=keras or self.keras,
            interrupted=interrupted or self.interrupted,
        )
        return sub

    def group(self, name: str, summary: str) -> CommandLine:
        """Declare a command that has commands of its own.

        Args:
            name: What the user types before the name of one of them.
            summary: A sentence for the list of commands and for its own `--help`.

        Returns:
            A command line to declare these commands with.
        """
        sub = self._commands.add_parser(name, help=summary, description=summary)
        inner = copy.copy(self)
        inner._commands = sub.add_subparsers(
            dest="subcommand", required=True, metavar="COMMAND"
        )
        return inner

    def run(self, arguments: Sequence[str] | None = None) -> int:
        """Run the command that the arguments name; returns the exit status.

        Wrong usage exits with 2, as argparse does. The arguments are kept in the
        options as `arguments`, for a command that starts itself again.
        """
        for stream in (sys.stdout, sys.stderr):  # a file's name may be no valid text
            stream.reconfigure(errors="backslashreplace")
        options = self.parser.parse_args(arguments)
        options.package = self.package
        options.arguments = list(sys.argv[1:] if arguments is None else arguments)
        try:
            if options.keras:
                import_keras()
            for path in getattr(options, "files", ()):
                run_file(path)
            status = options.run(options) or 0
            sys.stdout.flush()
            return status
        except BrokenPipeError:  # as `| head` leaves it, which reads no further
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except self.errors as error:
            return self._failed(options, str(error), 1)
        except KeyboardInterrupt:
            return self._failed(options, options.interrupted, 130)

    def _failed(self, options: argparse.Namespace, message: str, status: int) -> int:
        complain(options, message)
        return status


def program(package: str) -> str:
    """How the user starts a package's commands: `aebnas zoo` or `python -m zoo`."""
    script = pathlib.Path(sys.argv[0]).stem
    return f"aebnas {package}" if script == "aebnas" else f"python -m {package}"


def process(package: str) -> list[str]:
    """The first words of a command line that runs a package in a new process.

    They name the script `aebnas` if that is what is running: `python -m` might find a
    file of the package's name in the user's folder.
    """
    script = pathlib.Path(sys.argv[0])
    if script.stem == "aebnas":
        return [sys.executable, str(script.resolve()), package]
    return [sys.executable, "-m", package]


def version() -> str:
    """The distribution and its version."""
    return f"aebnas-keras {zoo.__version__}"


def import_keras() -> None:
    """Import Keras and its backend without what TensorFlow logs.

    `TF_CPP_MIN_LOG_LEVEL=3` silences TensorFlow once it runs, but not while it is being
    imported; until then standard error is held back. If the user sets the variable to
    less than 3, everything is shown.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silent() if level == "3" else contextlib.nullcontext():
        import keras  # noqa: F401

    if level == "3":  # warnings of its Python code, such as those of retracing
        logging.getLogger("tensorflow").setLevel(logging.ERROR)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Hold back standard error of the process, unless something fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        shown = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(shown, kept.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)


def complain(options: argparse.Namespace, message: str) -> None:
    """Say on standard error, in one line, what went wrong."""
    line = " ".join(message.splitlines())  # whatever a name in it holds
    print(f"{options.package} {options.command}: {line}", file=sys.stderr)


def show_progress(text: str) -> None:
    """Put a text in place of the last one on standard error, if that is a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def listed(summaries: Mapping[str, str]) -> str:
    """Lines of a command's help: a name and what it means in each."""
    width = max(map(len, summaries))
    return "\n".join(f"  {name:{width}}  {text}" for name, text in summaries.items())


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def add_load(parser: argparse.ArgumentParser) -> None:
    """The option `--load`; the files are run before the command is."""
    parser.add_argument(
        "--load",
        dest="files",
        type=pathlib.Path,
        action="append",
        default=[],
        metavar="FILE",
        help="Python file of your own to run first, such as one that registers a head "
        "or a data set; may be repeated",
    )


def run_file(path: str | os.PathLike) -> None:
    """Run a Python file of the user's, for what it registers.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file raises an exception; the message has it.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path} to load.")
    try:
        runpy.run_path(os.fspath(path), run_name=path.stem)
    except Exception as error:
        raise ValueError(
            f"{path} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """The option `--data-dir`."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder that holds NAME.npz or the data of tensorflow-datasets "
        "(default: the environment variable AEBNAS_DATA_DIR)",
    )


def add_size(parser: argparse.ArgumentParser) -> None:
    """The option `--size`."""
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="height and width that a folder's pictures are resized to (default: 128, "
        "or the size recorded with the model that is run)",
    )


def add_no_flip(parser: argparse.ArgumentParser) -> None:
    """The option `--no-flip`."""
    parser.add_argument(
        "--no-flip",
        dest="flip",
        action="store_false",
        default=None,
        help="do not mirror a folder's pictures in training, such as pictures of text",
    )


def console(width: int = 120) -> Console:
    """Standard output; `width` is used where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=width)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is text and whose others are numbers.

    A terminal that is too narrow for a word, such as a file's path, shows it on two
    lines; elsewhere a row is a line, whatever its length.
    """
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for column in table.columns:
        column.overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    console(width=10_000).print(table)


def print_json(value: Any) -> None:
    """Print JSON."""
    print(json.dumps(value, indent=1))
