"""What a report shows: records as plain, typed data."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from figures.report import models, searches
from figures.report.models import Model
from figures.report.pictures import examples
from figures.report.searches import Search
from reproduce import published
from reproduce.records import RunRecord
from search.records import SearchRecord, StartedSearch
from zoo import records, registry
from zoo.model_record import ModelRecord

STARTED, RECORD = "search.json", "record.json"  # in the folder of a search


@dataclass(frozen=True)
class Content:
    """All that a page shows.

    Attributes:
        title: Of the page.
        sources: What it is about.
        published: Published networks of their data sets.
        refresh: Seconds until the page reads its file again; None: it need not.
    """

    title: str
    sources: tuple[Search | Model, ...]
    published: dict[str, tuple[dict[str, Any], ...]]
    refresh: float | None = None


def content(
    sources: Sequence[str | os.PathLike],
    convention: str | None = None,
    pictures: int = 0,
    data_dir: str | os.PathLike | None = None,
    refresh: float | None = None,
) -> Content:
    """Read what a report shows.

    Args:
        sources: Folders or records of searches, and names, folders or records of
            models.
        convention: How to count the MACs of models; None: as the first search on the
            same data set does, or "standard".
        pictures: How many test images to show by the exit at which they leave; 0: none,
            and no model is loaded.
        data_dir: Folder of the data sets, for the pictures.
        refresh: Seconds between two versions of a page about a running search.

    Raises:
        ValueError: A source is neither, or its record is damaged.
        FileNotFoundError: The data set cannot be found.
    """
    if not sources:
        raise ValueError("There is no source; name a search or a model.")
    read = [_read(source) for source in sources]
    counted = {
        each.data.name: each.settings.convention
        for each, _ in reversed(read)
        if isinstance(each, SearchRecord)
    }
    made: list[Search | Model] = []
    for i, (source, (found, running)) in enumerate(zip(sources, read), 1):
        if isinstance(found, SearchRecord):
            made.append(searches.describe(f"s{i}", source, found, running))
        else:
            shown = examples(source, found, pictures, data_dir) if pictures else None
            data = found.data.name if found.data else None
            chosen = convention or counted.get(data, "standard")
            made.append(models.describe(f"s{i}", found, chosen, shown))
    names = [each.name for each in made]
    title = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    known = sorted({each.data for each in made if each.data})
    running = any(isinstance(each, Search) and each.running for each in made)
    return Content(
        title=title,
        sources=tuple(made),
        published={data: tuple(_published(data)) for data in known},
        refresh=refresh if running else None,
    )


def _read(source: str | os.PathLike) -> tuple[SearchRecord | ModelRecord, bool]:
    """The record of a source, and whether it is a search that is not finished."""
    path = pathlib.Path(source)
    if path.is_file():
        if registry.is_keras_file(path):
            return registry.record(path), False  # raises, and says what to do
        kinds = (SearchRecord, RunRecord, ModelRecord)
        return records.read(path, *kinds, assume=SearchRecord), False
    if (path / STARTED).is_file():
        return _read_folder(path)
    try:
        return registry.record(source), False
    except ValueError as error:
        if (path / registry.CONFIG).is_file():  # a model's folder, and damaged
            raise
        raise ValueError(
            f"{source} is neither a search nor a model: there is no file of that name, "
            f"no folder with {STARTED} or {registry.CONFIG}, and no pretrained model. "
            f"{error}"
        ) from error


def _read_folder(folder: pathlib.Path) -> tuple[SearchRecord, bool]:
    """The record in a search's folder, or, while it runs, one of all trials so far."""
    begun = records.read(folder / STARTED, StartedSearch, assume=StartedSearch)
    if (folder / RECORD).is_file():
        found = records.read(folder / RECORD, SearchRecord, assume=SearchRecord)
        if found.settings == begun.settings:  # else it has been continued
            return found, False
    from zoo.terminal import import_keras

    import_keras()
    from search import reading

    return reading.record(folder), True


def _published(data: str) -> Iterable[dict[str, Any]]:
    for row in published.rows(data):
        if row.accuracy is not None and row.average_macs is not None:
            yield {
                "system": row.system,
                "accuracy": row.accuracy / 100,
                "average_macs": row.average_macs,
                "source": row.source,
                "derived": bool(row.derived_from),
            }
