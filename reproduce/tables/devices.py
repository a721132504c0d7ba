"""Models on a device, and candidates of a search on two, from records."""

from __future__ import annotations

import pathlib

from reproduce import records
from reproduce.records import SearchRecord
from reproduce.tables.registry import Table, register
from search import pareto
from search.latency import LatencyTable
from search.records import CandidateRecord
from zoo import records as zoo_records
from zoo.cards import DEVICE_COLUMNS, device_rows, million, percent
from zoo.device_record import DeviceRecord, name_of

SEARCH = "searches/cifar10_small.json"
COMMAND = "aebnas reproduce device"


def _found(results: pathlib.Path) -> list[DeviceRecord]:
    found = list(records.devices(results))
    if not found:
        raise FileNotFoundError(
            f"There is no record in {results / records.DEVICE}; `{COMMAND} --out "
            f"{records.DEVICE}` makes one."
        )
    return found


def _agreement(results: pathlib.Path) -> Table:
    """Size, agreement and accuracy."""
    rows = []
    for record in _found(results):
        for row in record.rows:
            tuned = "not quantised"
            if row.tuned_accuracy is not None:
                average = million(row.tuned_macs)
                tuned = f"{percent(row.tuned_accuracy)}, {average}"
            size = "" if row.bytes is None else f"{row.bytes / 1e6:.2f} MB"
            rows.append(
                (
                    *(f"`{record.model}`", row.name, size),
                    *(percent(row.equal_exits), percent(row.equal_labels)),
                    f"{percent(row.accuracy)}, {million(row.average_macs)}",
                    tuned,
                )
            )
    return Table(
        (
            *("model", "format", "size", "equal exits", "equal labels"),
            *("accuracy, average MACs", "tuned: accuracy, average MACs"),
        ),
        rows,
    )


def _latency(results: pathlib.Path) -> Table:
    """Milliseconds."""
    found = _found(results)
    rows = [
        (
            *(f"`{record.model}`", row.name),
            " ".join(f"{ms:.2f}" for ms in row.segments_ms),
            f"{row.image_ms:.2f}",
            f"{row.batched_ms:.2f}",
            f"{row.static_ms:.2f}",
        )
        for record in found
        for row in record.rows
    ]
    timed: dict[str, list[str]] = {}
    for record in found:
        timed.setdefault(record.device["processor"], []).append(f"`{record.model}`")
    processors = ". ".join(
        f"Timed on {processor}: {', '.join(models)}"
        for processor, models in timed.items()
    )
    static = ", ".join(
        f"`{each.model}` {percent(each.static_accuracy)}" for each in found
    )
    return Table(
        (
            *("model", "format", "segments, ms", "an image, ms"),
            *("an image in batches of 256, ms", "an image without exits, ms"),
        ),
        rows,
        f"{processors}. Accuracy without early exits, in Keras: {static}.",
    )


def _cards(results: pathlib.Path) -> Table:
    """What the cards say, of all models."""
    rows = [
        (f"`{record.model}`", *row)
        for record in _found(results)
        for row in device_rows(record)
    ]
    return Table(("model", *DEVICE_COLUMNS), rows)


def _fronts(results: pathlib.Path) -> Table:
    """The candidates of a search by latency tables: who is on which front?"""
    tables = list(records.latency_tables(results))
    if len(tables) < 2:
        raise FileNotFoundError(
            f"There are {len(tables)} latency tables in {results / records.TABLES}; "
            "expected two. `aebnas search latency-table --out FILE` makes one."
        )
    search = zoo_records.read(results / SEARCH, SearchRecord)
    candidates = [
        each
        for each in search.candidates
        if all(each.network.resolution in table.resolutions for table in tables)
    ]
    times = [[_ms(table, each) for each in candidates] for table in tables]
    errors = [each.metrics["error"] for each in candidates]
    fronts = [set(pareto.front(list(zip(own, errors)))) for own in times]
    shown = sorted(set().union(*fronts), key=lambda k: times[0][k])
    names = [_named(table) for table in tables]
    rows = [
        (
            candidates[k].trial,
            percent(errors[k]),
            million(candidates[k].metrics["average_macs"]),
            *(
                f"{own[k]:.3f}{' *' if k in front else ''}"
                for own, front in zip(times, fronts)
            ),
        )
        for k in shown
    ]
    both = len(set.intersection(*fronts))
    made = "; ".join(
        f"{name}, {100 * table.error:.1f} % on {table.checked_on} networks"
        for name, table in zip(names, tables)
    )
    return Table(
        ("trial", "error", "average MACs", *(f"{name}, ms" for name in names)),
        rows,
        f"Of {len(candidates)} candidates, the table shows those on a front. An "
        f"asterisk marks the front of error and that latency; {both} are on both "
        "fronts. Mean absolute error of the latencies that the tables predict: "
        f"{made}.",
    )


def _ms(table: LatencyTable, candidate: CandidateRecord) -> float:
    at = candidate.evaluation
    given = (candidate.network, table.num_classes, at.thresholds, at.utilisation)
    return table.predict(*given)


def _named(table: LatencyTable) -> str:
    return name_of(table.runtime, table.quantization)


register("device_agreement", _agreement)
register("device_latency", _latency)
register("device", _cards)
register("latency_fronts", _fronts)
