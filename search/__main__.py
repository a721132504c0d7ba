"""Command line: python -m search run|front|benchmark."""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from keras_tuner.errors import FatalError

from search import settings as searches
from search.benchmark import iteration
from search.launch import end_with_parent, launch
from search.methods import METHODS
from search.settings import Settings
from search.surrogate import SURROGATES
from zoo import data
from zoo.architecture import EXIT_POSITIONS, Architecture
from zoo.cards import million, percent
from zoo.cost import CONVENTIONS
from zoo.exits import OperatingPoint, within_budget
from zoo.terminal import print_json, print_table

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
    except (ValueError, OSError, RuntimeError, FatalError) as error:
        print(f"search {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"search {options.command}: interrupted; the same command continues.",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m search", description=DESCRIPTION, formatter_class=raw
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    methods = "\n".join(f"  {name:8} {m.summary}" for name, m in METHODS.items())
    sub = commands.add_parser(
        "run",
        help="Run a search, or continue it.",
        description=f"Run a search, or continue it. Methods:\n\n{methods}",
        formatter_class=raw,
    )
    sub.set_defaults(run=_run)
    default = Settings()

    def add(name: str, kind: Any, text: str, **more: Any) -> None:
        value = getattr(default, name, None)
        shown = "" if value is None else f" (default: {value})"
        flag = f"--{name.replace('_', '-')}"
        sub.add_argument(flag, type=kind, help=text + shown, **more)

    add("directory", pathlib.Path, "folder of the search", required=True)
    add("data", str, f"{', '.join(data.names())}")
    add("data_dir", pathlib.Path, "folder of NAME.npz or of tensorflow-datasets")
    add("method", str, "see above", choices=tuple(METHODS))
    add("trials", int, "candidates to train")
    add("target_macs", float, "average MACs to aim at, such as 2.44e6")
    add("convention", str, "how MACs are counted", choices=CONVENTIONS)
    add("seed", int, "seed of everything")
    add(
        "initial_trials",
        int,
        "candidates drawn at random first (default: 4 in 10 trials, at most 100)",
    )
    add("batch_size", int, "candidates (not images) of an iteration")
    add("surrogate", str, "what predicts error and MACs", choices=("adaptive", "mlp"))
    add("population", int, "of NSGA-II")
    add("generations", int, "of NSGA-II on surrogates")
    sub.add_argument("--objectives", nargs="+", metavar="METRIC", help="to minimise")
    sub.add_argument(
        "--max",
        nargs=2,
        action="append",
        default=[],
        metavar=("METRIC", "N"),
        help="constraint, such as --max parameters 3e6; may be repeated",
    )
    sub.add_argument("--resolutions", type=int, nargs="+", metavar="R")
    sub.add_argument(
        "--exits",
        type=int,
        nargs="*",
        choices=range(1, EXIT_POSITIONS + 1),
        metavar="S",
        help="stages 1..4 that an exit may follow; none for static networks",
    )
    add("recipe", str, "training recipe", choices=("short", "paper", "long"))
    for name, kind in (("epochs", int), ("learning_rate", float)):
        add(name, kind, "(default: the recipe's)")
    sub.add_argument("--train-batch-size", type=int, help="(default: the recipe's)")
    add("train_images", int, "train on so many images (default: all)")
    add("start", str, "model to take fitting weights from (default: none)")
    add("latency_batch_size", int, "also measure latency in batches of this size")
    add("workers", int, "train so many candidates at once on this machine")

    sub = commands.add_parser(
        "front",
        help="Read what a search found, also while it is running.",
        description="Read what a search found, also while it is running.",
    )
    sub.set_defaults(run=_front)
    sub.add_argument(
        "directory", type=pathlib.Path, help="folder of a search, or its record"
    )
    sub.add_argument("--fine", action="store_true", help="every threshold setting")
    member = sub.add_mutually_exclusive_group()
    member.add_argument(
        "--max-macs",
        type=float,
        metavar="N",
        help="only the most accurate setting of at most N average MACs",
    )
    sub.add_argument(
        "--export",
        type=pathlib.Path,
        metavar="FOLDER",
        help="write a member as a model for zoo.load: that of --trial or --max-macs",
    )
    sub.add_argument(
        "--architecture",
        type=pathlib.Path,
        metavar="FILE",
        help="write a member's architecture as JSON for `python -m zoo train`, exits "
        "that its thresholds switch off left out",
    )
    member.add_argument("--trial", metavar="ID", help="only this trial")
    sub.add_argument(
        "--data-dir", type=pathlib.Path, metavar="DIR", help="to measure the export"
    )
    sub.add_argument("--json", action="store_true", help="print JSON for programs")

    text = "Time an iteration of the search, the training left out."
    sub = commands.add_parser("benchmark", help=text, description=text)
    sub.set_defaults(run=_benchmark)
    sub.add_argument("--trials", type=int, default=340, help="on record (default: 340)")
    sub.add_argument("--json", action="store_true", help="print JSON for programs")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    given = {name: getattr(options, name, None) for name in Settings().to_dict()}
    changes = {
        "epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "batch_size": options.train_batch_size,
    }
    space = {}
    if options.resolutions:
        space["resolutions"] = options.resolutions
    if options.exits is not None:
        space["exits"] = [stage - 1 for stage in options.exits]
    given["objectives"] = options.objectives and tuple(options.objectives)
    given["constraints"] = {m: (None, _number("--max", n)) for m, n in options.max}
    given["space"] = space
    given["recipe_changes"] = {k: v for k, v in changes.items() if v is not None}
    return Settings(**{k: v for k, v in given.items() if v is not None})


def _number(flag: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{flag} has {text!r}; expected a number.") from None


def _run(options: argparse.Namespace) -> int:
    settings = _settings(options)
    if options.workers is not None and "KERASTUNER_TUNER_ID" not in os.environ:
        return launch(
            [sys.executable, "-m", "search", *options.arguments], options.workers
        )
    progress = Progress(settings.trials)
    searches.run(settings, options.directory, options.data_dir, progress)
    if "worker" not in os.environ.get("KERASTUNER_TUNER_ID", ""):
        print("\n" * progress.live, end="", file=sys.stderr)
        print(f"Done. python -m search front {options.directory}")
    return 0


class Progress:
    """One line on the terminal, renewed after every trial; elsewhere a line each."""

    def __init__(self, trials: int) -> None:
        self.trials = trials
        self.seen = 0
        self.live = sys.stderr.isatty()
        self.began = time.monotonic()

    def __call__(self, oracle: Any, trial: Any) -> None:
        """Tell about a trial that ended."""
        self.seen += 1
        done = len(oracle.end_order)
        history = oracle.hypervolume_history()
        failed = done - len(history)
        each = (time.monotonic() - self.began) / self.seen
        left = each * max(self.trials - done, 0) / 60
        line = (
            f"{done}/{self.trials} trials, front {len(oracle.pareto_trials())}, "
            f"hypervolume {history[-1][1] if history else 0:.4f}, "
            f"{left:.0f} min left" + (f", {failed} failed" if failed else "")
        )
        begin, end = ("\r\x1b[K", "") if self.live else ("", "\n")
        print(f"{begin}{line}", end=end, file=sys.stderr, flush=True)


def _front(options: argparse.Namespace) -> None:
    record = searches.record(options.directory)
    trials = {candidate["trial"]: candidate for candidate in record["candidates"]}
    if options.max_macs is not None:
        points = [_within(record["fine_front"], options.max_macs)]
    elif options.trial is not None:
        if options.trial not in trials:
            raise ValueError(
                f"There is no trained trial {options.trial!r}; there are "
                f"{', '.join(trials) or 'none'}."
            )
        points = [_point(trials[options.trial])]
    elif options.fine:
        points = record["fine_front"]
    else:
        points = [_point(trials[trial]) for trial in record["front"]]
    if options.export or options.architecture:
        if len(points) != 1:
            raise ValueError("Say which member to write: --max-macs N or --trial ID.")
    if options.architecture is not None:
        found = Architecture.from_dict(trials[points[0]["trial"]]["architecture"])
        found.at(points[0]["thresholds"]).to_json(options.architecture)
        print(f"Wrote {options.architecture}.", file=sys.stderr)
    if options.export is not None:
        model = searches.export(
            options.directory,
            points[0]["trial"],
            options.export,
            points[0]["thresholds"],
            options.data_dir,
        )
        measured = "" if model.get("results") else " (no data set to measure it on)"
        print(
            f"Wrote {options.export}{measured}; zoo.load({str(options.export)!r}).",
            file=sys.stderr,
        )
    if options.json:
        return print_json(points)
    settings = record["settings"]
    volume = record["hypervolume"][-1][1] if record["hypervolume"] else 0
    print(
        f"{settings['method']} on {settings['data']}: {len(trials)} of "
        f"{settings['trials']} trials, hypervolume {volume:.4f}"
    )
    print_table(
        ("trial", "error", "average MACs", "leave at each exit", "thresholds"),
        [
            [
                point["trial"],
                percent(point["error"]),
                million(point["average_macs"]),
                " / ".join(percent(share) for share in point["utilisation"]),
                ", ".join(f"{threshold:g}" for threshold in point["thresholds"]),
            ]
            for point in points
        ],
    )


def _benchmark(options: argparse.Namespace) -> None:
    results = [iteration(options.trials, name) for name in SURROGATES]
    if options.json:
        return print_json(results)
    print_table(
        ("surrogate", "trials on record", "seconds an iteration"),
        [[r["surrogate"], str(r["trials"]), f"{r['seconds']:.2f}"] for r in results],
    )


def _point(candidate: dict[str, Any]) -> dict[str, Any]:
    """A candidate at its own thresholds, as a point of a front."""
    keys = ("thresholds", "accuracy", "average_macs", "utilisation")
    measured = candidate["evaluation"]
    return {
        "trial": candidate["trial"],
        "error": candidate["metrics"]["error"],
        **{key: measured[key] for key in keys},
        "metrics": candidate["metrics"],
    }


def _within(points: list[dict[str, Any]], max_macs: float) -> dict[str, Any]:
    """The most accurate point of at most `max_macs` average MACs."""
    settings = [
        OperatingPoint(p["thresholds"], p["accuracy"], p["average_macs"], ())
        for p in points
    ]
    return points[settings.index(within_budget(settings, max_macs))]


if __name__ == "__main__":
    sys.exit(main())
