"""Reading what a search left in its folder, and exporting its candidates."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from search import build
from search.candidates import (
    CANDIDATE,
    load_candidate,
    read_candidates,
    settings_front,
)
from search.candidates import read as read_candidate
from search.engine import ProposerOracle, reason
from search.records import FailedTrial, SearchRecord, StartedSearch
from search.settings import Settings
from zoo import data, records, registry
from zoo.data import Dataset

STARTED, RECORD = "search.json", "record.json"


class OtherSearchError(ValueError):
    """A folder holds a search with other settings.

    Attributes:
        directory: The folder.
        changed: What differs: names of settings, those of a part of one with a dot,
            such as "recipe_changes.epochs".
    """

    def __init__(self, directory: pathlib.Path, changed: Sequence[str]) -> None:
        super().__init__(
            f"{directory} holds a search that differs in {', '.join(changed)}. Use the "
            "same settings to continue it, or another folder."
        )
        self.directory, self.changed = directory, tuple(changed)


def started(directory: str | os.PathLike) -> StartedSearch:
    """What a search was started with.

    Raises:
        ValueError: The folder holds no search.
    """
    path = pathlib.Path(directory) / STARTED
    if not path.is_file():
        raise ValueError(
            f"{directory} holds no search: there is no {STARTED} in it. "
            "`aebnas search run --directory DIR` writes one."
        )
    return records.read(path, StartedSearch, assume=StartedSearch)


def read(directory: str | os.PathLike) -> tuple[Settings, ProposerOracle]:
    """Settings and oracle of a search, which may be running; changes nothing.

    Raises:
        ValueError: The folder holds no search.
    """
    settings = started(directory).settings
    oracle = build.oracle(settings)
    oracle.use_folder(directory)
    return settings, oracle


def record(directory: str | os.PathLike) -> SearchRecord:
    """A search as one record.

    Args:
        directory: Folder of the search, or the file of its record. The record of an
            experiment contains that of its search.

    Raises:
        ValueError: The folder holds no search, or the file is no record of one.
    """
    directory = pathlib.Path(directory)
    if directory.is_file():
        return _read_record(directory)
    settings, oracle = read(directory)
    begun = started(directory)
    completed = {trial.trial_id for trial in oracle.completed_trials()}
    candidates = [c for c in read_candidates(directory) if c.trial in completed]
    front = tuple(trial.trial_id for trial in oracle.pareto_trials())
    fine = settings_front(candidates, oracle.constraints)
    shown = {*front, *(point.trial for point in fine)}
    return SearchRecord(
        settings=settings,
        data=begun.data,
        provenance=begun.provenance,
        candidates=tuple(
            c if c.trial in shown else dataclasses.replace(c, frontier=())
            for c in candidates
        ),
        failed=tuple(
            FailedTrial(trial.trial_id, reason(trial))
            for trial in oracle.failed_trials()
        ),
        front=front,
        settings_front=tuple(fine),
        reference=oracle.reference_point(),
        hypervolume=tuple(oracle.hypervolume_history()),
        iterations=tuple(oracle.iterations()),
        seconds=round(sum(c.metrics.get("seconds", 0.0) for c in candidates), 1),
        supernet=begun.supernet,
        latency=begun.latency,
    )


def _read_record(path: pathlib.Path) -> SearchRecord:
    """The record of a search in a file, which may hold more, such as an experiment."""
    found = records.read_json(path)
    fields = dataclasses.fields(SearchRecord)
    needed = {each.name for each in fields if each.default is dataclasses.MISSING}
    if isinstance(found, dict) and needed <= set(found):
        found["kind"] = "search"
    return records.from_dict(found, SearchRecord, where=str(path), assume=SearchRecord)


def export(
    directory: str | os.PathLike,
    trial: str,
    folder: str | os.PathLike,
    thresholds: Sequence[float] | None = None,
    *,
    dataset: Dataset | None = None,
    data_dir: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """Write a candidate of a search as a model that `zoo.load` reads.

    Args:
        directory: Folder of the search.
        trial: The trial; it must be on a front, because only those keep weights.
        folder: Folder to write.
        thresholds: One per exit; None: those that the search tuned.
        dataset: What the search trained on, if it was passed one.
        data_dir: Folder of the data. If the data is found, the model is measured on
            it; otherwise its card has no results.

    Returns:
        The record that `zoo.save` wrote.

    Raises:
        FileNotFoundError: The trial has no weights.
        ValueError: The folder holds no search, there is no such trial, or the data set
            is not the one that was searched on.
    """
    begun = started(directory)
    settings = begun.settings
    source = pathlib.Path(directory) / f"trial_{trial}"
    if not (source / CANDIDATE).is_file():
        raise ValueError(f"{directory} has no trained trial {trial!r}.")
    if dataset is None and settings.data in data.names():
        try:
            dataset = data.load(settings.data, data_dir)
        except FileNotFoundError:
            dataset = None
    if dataset is not None and dataset.fingerprint != begun.data.fingerprint:
        raise ValueError(
            f"The data set {dataset.name} is not the one that {directory} trained on."
        )
    model = load_candidate(source)
    if thresholds is not None:
        model.thresholds = thresholds
    trained = read_candidate(source / CANDIDATE).training
    recipe = dataclasses.asdict(settings.training_recipe())
    if settings.backbone is not None:  # `zoo train` has no command that makes it
        how = {"backbone": settings.backbone, "recipe_of_heads": recipe}
    elif begun.supernet is not None:
        how = {"supernet": vars(begun.supernet)}
    else:
        how = {"recipe": recipe, "initial_weights": settings.initial_weights}
    return registry.save(
        model,
        folder,
        dataset,
        training={
            **begun.provenance,
            **how,
            "teacher": None,
            "thresholds": None,
            "seed": trained.seed,
            "seconds": trained.seconds,
            "images_per_second": trained.images_per_second,
        },
        notes=[
            f"Found as trial {trial} of {settings.trials} by the {settings.method} "
            f"search on {settings.data}, "
            + (
                "with the weights of a supernet, and not trained by itself."
                if begun.supernet
                else "and not trained any further."
            )
        ],
    )
