"""Trials and fronts as rows: for CSV files, and for pandas where it is installed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

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


def point_rows(
    points: Iterable[FrontPoint], metrics: Mapping[str, Mapping[str, float]] = {}
) -> list[Row]:
    """A row for each point of a front.

    Args:
        points: Such as `SearchRecord.settings_front`.
        metrics: What else was measured, by trial.

    Returns:
        `trial`, `error`, `average_macs`, the metrics, `thresholds` and `utilisation`.
    """
    return [
        {
            **{"trial": point.trial, "error": point.error},
            "average_macs": point.average_macs,
            **{
                name: value
                for name, value in metrics.get(point.trial, {}).items()
                if name not in ("error", "average_macs")
            },
            "thresholds": _joined(point.thresholds),
            "utilisation": _joined(point.utilisation),
        }
        for point in points
    ]


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
        >>> to_dataframe(trial_rows(search.record("my_search"))).sort_values("error")
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
