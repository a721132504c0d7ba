"""`search front`: what a search found."""

from __future__ import annotations

import argparse
import pathlib
import sys
from typing import TYPE_CHECKING

from zoo.terminal import CommandLine, add_json, add_load

if TYPE_CHECKING:
    from search.records import FrontPoint, SearchRecord

LATENCY = "latency_ms"


def add(commands: CommandLine) -> None:
    """Declare the command."""
    summary = "Show what a search has found, even while it is running."
    command = commands.command("front", run, summary)
    command.add_argument(
        "directory", type=pathlib.Path, help="folder of a search, or its record"
    )
    command.add_argument(
        "--fine",
        action="store_true",
        help="show the front of all threshold settings, not only the tuned ones",
    )
    member = command.add_mutually_exclusive_group()
    member.add_argument(
        "--max-macs",
        type=float,
        metavar="N",
        help="show only the most accurate of all threshold settings of at most N "
        "average MACs",
    )
    member.add_argument(
        "--max",
        nargs=2,
        action="append",
        default=[],
        metavar=("METRIC", "N"),
        help="show only the most accurate member with at most N of a metric, such as "
        "--max latency_ms 2; may be repeated",
    )
    member.add_argument("--trial", metavar="ID", help="show only this trial")
    command.add_argument(
        "--export",
        type=pathlib.Path,
        metavar="FOLDER",
        help="write the member that --trial, --max or --max-macs chooses as a model "
        "for zoo.load",
    )
    command.add_argument(
        "--architecture",
        type=pathlib.Path,
        metavar="FILE",
        help="write that member's architecture as JSON for `zoo train`, without the "
        "exits that its thresholds switch off",
    )
    command.add_argument(
        "--data-dir",
        type=pathlib.Path,
        metavar="DIR",
        help="folder of the data set, on which --export measures the model",
    )
    command.add_argument("--csv", action="store_true", help="print CSV")
    add_load(command)
    add_json(command)


def run(options: argparse.Namespace) -> None:
    """Run the command."""
    from search import reading
    from zoo.records import to_dict
    from zoo.terminal import print_json

    record = reading.record(options.directory)
    points = _points(record, options)
    if (options.export or options.architecture) and len(points) != 1:
        raise ValueError(
            "Say which member to write: --max-macs N, --max METRIC N or --trial ID."
        )
    if options.architecture is not None:
        network = record.candidate(points[0].trial).network
        network.at(points[0].thresholds).to_json(options.architecture)
        print(f"Wrote {options.architecture}.", file=sys.stderr)
    if options.export is not None:
        _export(points[0], options)
    if options.json:
        shown = [to_dict(point) for point in points]
        if options.trial or not (options.fine or options.max_macs is not None):
            for each in shown:
                each["metrics"] = record.candidate(each["trial"]).metrics
        print_json(shown)
    elif options.csv:
        from search.frames import point_rows, to_csv

        print(to_csv(point_rows(record, points)), end="")
    else:
        _print(record, points)


def _points(record: SearchRecord, options: argparse.Namespace) -> list[FrontPoint]:
    """What was asked for."""
    from zoo.exits import within_budget

    if options.max_macs is not None:
        return [within_budget(record.settings_front, options.max_macs)]
    if options.max:
        return [_within(record, options.max)]
    if options.trial is not None:
        return [record.point(options.trial)]
    if options.fine:
        return list(record.settings_front)
    return [record.point(trial) for trial in record.front]


def _within(record: SearchRecord, limits: list[list[str]]) -> FrontPoint:
    """The most accurate member of the front that keeps all limits."""
    from search.commands.run import number
    from zoo.names import unknown

    members = [record.point(trial) for trial in record.front]
    if not members:
        raise ValueError("The front is empty: no candidate has been trained.")
    for metric, text in limits:
        limit = number("--max", text)
        measured = [record.candidate(point.trial).metrics for point in members]
        if any(metric not in each for each in measured):
            raise ValueError(unknown("measured metric", metric, measured[0]))
        values = [each[metric] for each in measured]
        if min(values) > limit:
            raise ValueError(
                f"No member has at most {limit:g} of {metric}; the least is "
                f"{min(values):g}."
            )
        members = [p for p, value in zip(members, values) if value <= limit]
    return min(members, key=lambda point: point.error)


def _export(point: FrontPoint, options: argparse.Namespace) -> None:
    from search import reading

    written = reading.export(
        options.directory,
        point.trial,
        options.export,
        point.thresholds,
        data_dir=options.data_dir,
    )
    measured = "" if written.results else " (no data set to measure it on)"
    print(
        f"Wrote {options.export}{measured}; zoo.load({str(options.export)!r}).",
        file=sys.stderr,
    )


def _metrics(record: SearchRecord, point: FrontPoint) -> dict[str, float]:
    """What was measured of a candidate, if the point has the candidate's thresholds."""
    candidate = record.candidate(point.trial)
    own = candidate.evaluation.thresholds == point.thresholds
    return candidate.metrics if own else {}


def _print(record: SearchRecord, points: list[FrontPoint]) -> None:
    from zoo.cards import million, percent
    from zoo.terminal import print_table

    settings = record.settings
    volume = record.hypervolume[-1][1] if record.hypervolume else 0
    print(
        f"{settings.method} on {settings.data}: {len(record.candidates)} of "
        f"{settings.trials} trials, hypervolume {volume:.4f}"
    )
    # Error and average MACs belong to the thresholds; these to the candidate's own.
    named = [*settings.objectives, *settings.constraints]
    if any(LATENCY in candidate.metrics for candidate in record.candidates):
        named.append(LATENCY)
    others = [n for n in dict.fromkeys(named) if n not in ("error", "average_macs")]
    rows = []
    for point in points:
        measured = _metrics(record, point)
        rows.append(
            [
                point.trial,
                percent(point.error),
                million(point.average_macs),
                *(f"{measured[n]:.4g}" if n in measured else "-" for n in others),
                " / ".join(percent(share) for share in point.utilisation),
                ", ".join(f"{threshold:g}" for threshold in point.thresholds),
            ]
        )
    columns = ("trial", "error", "average MACs", *others)
    print_table((*columns, "leave at each exit", "thresholds"), rows)
