"""What a report shows: records as plain, typed data."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from figures.report import networks
from figures.report.networks import Measured, Network, Setting
from figures.report.pictures import Examples, examples
from reproduce import published
from reproduce.records import RunRecord
from search import metrics
from search.records import CandidateRecord, SearchRecord, StartedSearch
from zoo import records, registry
from zoo.architecture import Architecture
from zoo.cards import million, percent
from zoo.cost import macs
from zoo.model_record import ModelRecord

STARTED, RECORD = "search.json", "record.json"  # in the folder of a search


@dataclass(frozen=True)
class Metric:
    """What was measured of every candidate: a name, which way is better, the unit."""

    name: str
    direction: str
    summary: str


@dataclass(frozen=True)
class Trial:
    """A trained candidate.

    Attributes:
        trial: Its number, as text.
        origin: "random" or "proposed".
        metrics: What was measured, by name.
        network: What it is.
        saved: At its own thresholds.
        settings: Its other Pareto-optimal thresholds, cheapest first; often empty.
    """

    trial: str
    origin: str
    metrics: dict[str, float]
    network: Network
    saved: Measured
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Search:
    """A search.

    Attributes:
        id: What addresses in the page call it.
        name: What it is called.
        data: The data set.
        convention: How MACs are counted.
        facts: Names and values of what is worth knowing.
        notes: Sentences.
        running: Whether it goes on.
        objectives: Names of metrics.
        metrics: All that every candidate has.
        target_macs: What it aims at.
        trials: The trained candidates.
        failed: Trial and reason of those without a result.
        front: Trials on the front of the objectives.
        settings_front: Trial, error and average MACs of all threshold settings that no
            other one dominates.
        hypervolume: Trial and hypervolume after it.
        iterations: Of a search with surrogates.
    """

    id: str
    name: str
    data: str
    convention: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    running: bool
    objectives: tuple[str, ...]
    metrics: tuple[Metric, ...]
    target_macs: float | None
    trials: tuple[Trial, ...]
    failed: tuple[tuple[str, str], ...]
    front: tuple[str, ...]
    settings_front: tuple[tuple[str, float, float], ...]
    hypervolume: tuple[tuple[str, float], ...]
    iterations: tuple[dict[str, Any], ...]
    kind: str = "search"


@dataclass(frozen=True)
class Model:
    """A saved model.

    Attributes:
        id: What addresses in the page call it.
        name: Its name.
        data: The data set; None: not measured on one.
        convention: How MACs are counted.
        facts: Names and values of what is worth knowing.
        notes: Sentences.
        network: What it is.
        saved: At its own thresholds on the validation split; None: not measured.
        test: The same on the test split.
        settings: Its threshold frontier on the validation split, cheapest first.
        examples: Pictures, if they were asked for.
    """

    id: str
    name: str
    data: str | None
    convention: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    network: Network
    saved: Measured | None
    test: Measured | None
    settings: tuple[Setting, ...]
    examples: Examples | None
    kind: str = "model"


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
            made.append(_search(f"s{i}", source, found, running))
        else:
            shown = examples(source, found, pictures, data_dir) if pictures else None
            data = found.data.name if found.data else None
            chosen = convention or counted.get(data, "standard")
            made.append(_model(f"s{i}", found, chosen, shown))
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


def _search(
    name: str, source: str | os.PathLike, record: SearchRecord, running: bool
) -> Search:
    settings, candidates = record.settings, record.candidates
    path = pathlib.Path(source).resolve()
    shared = [
        each
        for each in (candidates[0].metrics if candidates else {})
        if all(each in candidate.metrics for candidate in candidates)
    ]
    facts = [
        ("method", settings.method),
        ("data", settings.data),
        ("trials", f"{len(candidates)} trained, {settings.trials} planned"),
        ("front", f"{len(record.front)} trials"),
        ("objectives", ", ".join(_words(each) for each in settings.objectives)),
        ("MACs", f"{settings.convention} convention"),
        ("training", _training(record)),
        ("time", f"{record.seconds / 60:.0f} min for all trials together"),
        ("seed", str(settings.seed)),
    ]
    if settings.target_macs:
        facts.insert(5, ("target", f"{million(settings.target_macs)} average MACs"))
    for metric, limits in settings.constraints.items():
        facts.append((f"limit of {_words(metric)}", f"{list(limits)}"))
    for key in ("started", "hardware"):
        if key in record.provenance:
            facts.append((key, str(record.provenance[key])))
    return Search(
        id=name,
        name=path.stem if path.is_file() else path.name,
        data=record.data.name,
        convention=settings.convention,
        facts=tuple(facts),
        notes=tuple(_notes(record)),
        running=running,
        objectives=tuple(settings.objectives),
        metrics=tuple(map(_metric, shared)),
        target_macs=settings.target_macs,
        trials=tuple(_trial(record, each) for each in candidates),
        failed=tuple((each.trial, each.reason) for each in record.failed),
        front=record.front,
        settings_front=tuple(
            (point.trial, point.error, point.average_macs)
            for point in record.settings_front
        ),
        hypervolume=record.hypervolume,
        iterations=tuple(records.to_dict(each) for each in record.iterations),
    )


def _words(metric: str) -> str:
    return metric.replace("_", " ").replace("macs", "MACs")


def _training(record: SearchRecord) -> str:
    images = record.settings.train_images
    said = f"recipe {record.settings.recipe}"
    return f"{said}, {images:,} images" if images else said


def _notes(record: SearchRecord) -> Iterable[str]:
    if isinstance(record, RunRecord):
        test = record.selected.test
        spent = test.average_macs.get(record.settings.convention)
        yield (
            f"The experiment {record.experiment}, {record.scale} scale, reports trial "
            f"{record.selected.trial}: test accuracy {percent(test.accuracy)} at "
            f"{million(spent) if spent else 'unknown'} average MACs."
        )


def _metric(name: str) -> Metric:
    known = metrics.METRICS.get(name)
    if known is None:  # of a file of the user's that is not loaded here
        return Metric(name, "min", _words(name))
    return Metric(name, known.direction, known.summary)


def _trial(record: SearchRecord, candidate: CandidateRecord) -> Trial:
    settings, evaluation = record.settings, candidate.evaluation
    number = int(candidate.trial) if candidate.trial.isdigit() else 0
    random = settings.method == "random" or number < settings.random_trials
    if candidate.architecture is None:  # exits on a backbone
        network, cost = networks.attached(candidate.exits, evaluation), None
    else:
        found = candidate.network
        cost = macs(found, candidate.num_classes, candidate.convention)
        network = networks.network(found, found.exit_names, cost)
    points = sorted(candidate.frontier, key=lambda point: point.average_macs)
    return Trial(
        trial=candidate.trial,
        origin="random" if random else "proposed",
        metrics=candidate.metrics,
        network=network,
        saved=networks.measured("validation", evaluation, cost),
        settings=tuple(networks.setting(point, cost) for point in points),
    )


def _model(
    name: str, record: ModelRecord, convention: str, shown: Examples | None
) -> Model:
    network: Architecture | None = record.architecture
    if network is None:
        convention = "standard"
    cost, results = record.cost(convention), record.results or {}
    facts = [
        ("data", record.data.name if record.data else "not measured"),
        ("classes", str(record.num_classes)),
        ("parameters", f"{record.weights.parameters:,}"),
        ("MACs", f"{convention} convention"),
    ]
    if "test" in results:
        test = networks.measured("test", results["test"], cost)
        spent = million(test.setting.average_macs)
        facts.insert(0, ("test accuracy", percent(test.setting.accuracy)))
        facts.insert(1, ("average MACs on the test split", spent))
    if record.recipe and record.recipe.get("epochs"):
        epochs = record.recipe["epochs"]
        facts.append(("training", f"recipe {record.recipe['name']}, {epochs} epochs"))
    saved, test = (
        networks.measured(split, results[split], cost) if split in results else None
        for split in ("validation", "test")
    )
    points = (networks.setting(point, cost) for point in record.frontier)
    return Model(
        id=name,
        name=record.name,
        data=record.data.name if record.data else None,
        convention=convention,
        facts=tuple(facts),
        notes=record.notes,
        network=networks.network(network, record.exit_names, cost),
        saved=saved,
        test=test,
        settings=tuple(sorted(points, key=lambda each: each.average_macs)),
        examples=shown,
    )
