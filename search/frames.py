"""Trials and fronts as rows: for CSV files, and for pandas where it is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from zoo.names import find

if TYPE_CHECKING:
    import pandas

    from search.records import FrontPoint, SearchRecord

Row = dict[str, Any]


def trial_rows(record: SearchRecord) -> list[Row]:
    """A row for each trained candidate.

    Returns:
        In the order of the record: `trial`, `front` (whether it is on the front of the
        objectives), every metric by its name, `exits` (without the final one), and
        `thresholds`, `utilisation` and `exit_accuracy` as text, numbers separated by
        spaces.
    """
    front = set(record.front)
    return [
        {
            "trial": candidate.trial,
            "front": candidate.trial in front,
            **candidate.metrics,
            "exits": len(candidate.evaluation.thresholds),
            "thresholds": _joined(candidate.evaluation.thresholds),
            "utilisation": _joined(candidate.evaluation.utilisation),
            "exit_accuracy": _joined(candidate.evaluation.exit_accuracy),
        }
        for candidate in record.candidates
    ]


def point_rows(record: SearchRecord, points: Iterable[FrontPoint]) -> list[Row]:
    """A row for each threshold setting of candidates.

    Args:
        record: The search.
        points: Such as its `settings_front`, or `record.point(trial)`.

    Returns:
        `trial`, `error`, `average_macs`, all other metrics if the setting is the
        candidate's own, `thresholds` and `utilisation`.
    """
    rows = []
    for point in points:
        candidate = record.candidate(point.trial)
        own = candidate.evaluation.thresholds == point.thresholds
        rows.append(
            {
                "trial": point.trial,
                **(candidate.metrics if own else {}),
                "error": point.error,
                "average_macs": point.average_macs,
                "thresholds": _joined(point.thresholds),
                "utilisation": _joined(point.utilisation),
            }
        )
    return rows


def rows_of(record: SearchRecord, what: str = "trials") -> list[Row]:
    """Rows of a search.

    Args:
        record: The search.
        what: "trials", "front" (members at their own thresholds) or "settings_front".

    Raises:
        ValueError: There is no such part.
    """
    parts = {
        "trials": lambda: trial_rows(record),
        "front": lambda: point_rows(record, map(record.point, record.front)),
        "settings_front": lambda: point_rows(record, record.settings_front),
    }
    return find(parts, "part of a search", what)()


def to_csv(rows: Iterable[Row]) -> str:
    """Rows as CSV text, the names of all columns first; a missing value is empty."""
    rows = list(rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_dataframe(rows: Iterable[Row]) -> pandas.DataFrame:
    """Rows as a pandas data frame.

    Raises:
        ModuleNotFoundError: pandas is not installed; the message says so.

    Example:
        >>> to_dataframe(rows_of(search.record("my_search"), "front"))
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Data frames need pandas: pip install pandas", name=error.name
        ) from error
    return pandas.DataFrame(list(rows))


def _joined(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:g}" for number in numbers)
