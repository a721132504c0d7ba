"""Running a search, and continuing it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

from search import build, latency, methods
from search.backbone import places
from search.engine import ProposerOracle, is_worker, reason
from search.reading import RECORD, STARTED, OtherSearchError, record, started
from search.records import DataSource, StartedSearch, SupernetSource
from search.settings import Settings
from search.supernet import stored
from zoo import data, files, measure, records
from zoo.data import Dataset
from zoo.model import EarlyExitModel

LIBRARIES = ("keras-tuner", "pymoo", "scikit-learn", "scipy")  # what proposes


def run(
    settings: Settings,
    directory: str | os.PathLike,
    *,
    dataset: Dataset | None = None,
    data_dir: str | os.PathLike | None = None,
    data_options: Mapping[str, Any] | None = None,
    on_trial: Callable[[ProposerOracle, Any], None] | None = None,
    cache: str | os.PathLike | None = None,
) -> ProposerOracle:
    """Run a search, or continue it.

    The same call after an interruption continues; at most the trial in progress is
    lost. `trials` may be raised. With keras-tuner's environment variables
    (KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT) the process is
    the chief, or one of the workers, of a search on several machines that share the
    folder.

    Args:
        settings: What to do.
        directory: Folder of the search. When the search is over it also holds
            `record.json`, a `SearchRecord`.
        dataset: What to train on, in place of the set that `settings.data` names.
        data_dir: Folder of the data; see `zoo.data.load`.
        data_options: More arguments of `zoo.data.load`, for a folder of pictures.
        on_trial: Called after every trial that ended, with the oracle and the trial, in
            the process that owns the oracle.
        cache: Folder for what is computed once, which several searches may share: the
            answers of a supernet's sub-networks (default: a folder `answers` beside the
            supernet, or in the search's folder if the supernet is a pretrained one), or
            the features of a backbone and the heads trained on them (default: a folder
            `cache` in that of the search, which may be deleted when it is over).

    Returns:
        The oracle.

    Raises:
        OtherSearchError: The folder holds a search with other settings.
        ValueError: Another process is running it.
        RuntimeError: Too many trials in a row failed; the message has the reason.
        OSError: A file could not be written.
    """
    directory = pathlib.Path(directory)
    if dataset is None:
        dataset = load_data(settings.data, data_dir, **data_options or {})
    settings = dataclasses.replace(settings, data=dataset.name)
    backbone = None
    if settings.backbone is not None:
        settings, backbone = _with_places(settings, dataset)
    settings = _with_initial_trials(directory, _with_resolutions(settings))
    oracle = build.oracle(settings)
    oracle.on_trial = on_trial
    worker = is_worker()
    with contextlib.ExitStack() as stack:
        if not worker:
            files.make_folder(directory)
            refusal = f"Another process is running the search in {directory}."
            stack.enter_context(files.locked(directory / files.LOCK, refusal))
            for folder in (directory, *directory.glob("trial_*")):
                files.remove_partial(folder)
        now = _start(directory, settings, dataset)
        if backbone is not None:
            backbone = places.keep(backbone, directory)
        tuner = build.tuner(settings, directory, dataset, oracle, cache, backbone)
        if not worker:
            records.write(directory / STARTED, now)
        tuner.search()
    if worker:
        return oracle
    records.write(directory / RECORD, record(directory))
    if oracle.stopped:
        raise RuntimeError(oracle.stopped) from oracle.error
    if not oracle.completed_trials():
        last = oracle.trials[oracle.end_order[-1]]
        raise RuntimeError(f"All trials failed, the last with: {reason(last)}")
    return oracle


def load_data(
    name: str, data_dir: str | os.PathLike | None = None, **options: Any
) -> Dataset:
    """The data set of that name; see `zoo.data.load` for all arguments.

    Raises:
        ValueError: There is none; it may be one that was passed as `dataset`.
        FileNotFoundError: The data cannot be found.
    """
    try:
        return data.load(name, data_dir, **options)
    except ValueError as error:
        if name in data.names() or data.path_of(name, data_dir) is not None:
            raise
        raise ValueError(
            f"{error} Pass a data set of your own again, as `dataset`."
        ) from error


def _with_initial_trials(directory: pathlib.Path, settings: Settings) -> Settings:
    """The settings with the size of the initial sample, which never changes."""
    initial = settings.initial_trials
    if initial is None and (directory / STARTED).is_file():
        initial = started(directory).settings.initial_trials
    if initial is None:
        initial = settings.random_trials
    return dataclasses.replace(settings, initial_trials=initial)


def _with_places(
    settings: Settings, dataset: Dataset
) -> tuple[Settings, EarlyExitModel]:
    """The settings with the places that the backbone offers, and the backbone."""
    backbone = places.read(settings.backbone)
    places.name_classes(backbone, settings.backbone, dataset)
    return places.completed(settings, backbone), backbone


def _with_resolutions(settings: Settings) -> Settings:
    """The settings with the resolutions of the supernet, if they name no others."""
    named = {**methods.get(settings.method).space, **settings.space}
    if settings.supernet is None or "resolutions" in named:
        return settings
    sizes = stored.about(settings.supernet).resolutions
    space = {**settings.space, **({"resolutions": sizes} if sizes else {})}
    return dataclasses.replace(settings, space=space)


def _start(
    directory: pathlib.Path, settings: Settings, dataset: Dataset
) -> StartedSearch:
    """What to note about this search, or raise if the folder holds another one."""
    about = DataSource(dataset.name, dataset.fingerprint)
    source = None
    if settings.supernet is not None:
        weights, _ = stored.read(settings.supernet)
        source = SupernetSource(settings.supernet, stored.digest(weights))
    timed_by = None
    if settings.latency_table is not None:
        timed_by = latency.source(settings.latency_table)
    if (directory / STARTED).is_file():
        before = started(directory)
        changed = [
            name for name in settings.differences(before.settings) if name != "trials"
        ]
        if before.data != about and "data" not in changed:
            changed.append("content of the data set")
        if before.supernet != source and "supernet" not in changed:
            changed.append("content of the supernet")
        if before.latency != timed_by and "latency_table" not in changed:
            changed.append("content of the latency table")
        if changed:
            raise OtherSearchError(directory, changed)
        return dataclasses.replace(before, settings=settings)
    provenance = measure.provenance(started=time.strftime("%Y-%m-%d"))
    provenance["versions"] |= {name: metadata.version(name) for name in LIBRARIES}
    return StartedSearch(settings, about, provenance, source, timed_by)
