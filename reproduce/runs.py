"""Running experiments, and reading what they recorded."""

from __future__ import annotations

import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import search
from reproduce import experiments
from reproduce.experiments import SCALES
from reproduce.records import (
    RESULTS,
    RunRecord,
    SearchRecord,
    Selected,
    check_folder,
)
from search import methods
from search.candidates import load_candidate
from search.tuner import threshold_choice
from zoo import data, measure, pipeline, records, training
from zoo.exits import paper_score
from zoo.files import write_text
from zoo.measure import predict, report

EXPERIMENTS = "experiments"  # in a folder of records
WALL_SECONDS = "wall_seconds.json"  # in the folder of a search
TUNED = "tuned"  # likewise, the reported candidate after further training
ANSWERS = "answers"  # beside these folders, what a supernet's candidates answered
MANY = 100  # candidates; the records of larger searches are compressed


def run(
    name: str,
    seed: int = 1,
    scale: str = "reduced",
    data_dir: str | os.PathLike | None = None,
    directory: str | os.PathLike = "runs",
    results: str | os.PathLike = "results",
    on_trial: Callable[..., None] | None = None,
) -> pathlib.Path:
    """Run an experiment once, or continue it, and write its record.

    Args:
        name: The experiment.
        seed: Seed of everything.
        scale: One of `experiments.SCALES`.
        data_dir: Folder of the data; see `zoo.data.load`.
        directory: Folder in which the search gets a folder of its own.
        results: Folder of records.
        on_trial: See `search.run`.

    Returns:
        The record's file, `RESULTS/experiments/SCALE/NAME_seedS.json`, or `.json.gz` if
        the scale has more than `MANY` candidates.

    Raises:
        ValueError: Experiment or scale are unknown, or the folder holds another search.
    """
    settings = experiments.get(name).settings(scale, seed)
    stem = f"{name}_seed{seed}"
    folder = pathlib.Path(directory) / scale / stem
    search.run(
        settings,
        folder,
        data_dir=data_dir,
        on_trial=_timed(folder / WALL_SECONDS, on_trial),
        cache=folder.parent / ANSWERS if settings.supernet else None,
    )
    found = search.record(folder)
    record = RunRecord(
        **vars(found),
        experiment=name,
        scale=scale,
        selected=_selected(found, folder, data_dir, SCALES[scale].tuning),
        wall_seconds=round(_seconds(folder / WALL_SECONDS), 1),
    )
    path = pathlib.Path(results, EXPERIMENTS, *place_of(record))
    if SCALES[scale].trials > MANY:
        path = path.with_suffix(".json.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    records.write(path, record)
    return path


def _timed(
    path: pathlib.Path, on_trial: Callable[..., None] | None
) -> Callable[..., None]:
    """`on_trial`, and the wall time so far is written to a file."""
    before, began = _seconds(path), time.perf_counter()

    def ended(*arguments: Any, **named: Any) -> None:
        write_text(path, json.dumps(before + time.perf_counter() - began))
        if on_trial:
            on_trial(*arguments, **named)

    return ended


def _seconds(path: pathlib.Path) -> float:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else 0.0


def choose(record: SearchRecord) -> str:
    """The trial to report: of those on the front, the one with the best score."""
    measured = {each.trial: each.evaluation for each in record.candidates}
    return max(
        record.front,
        key=lambda trial: paper_score(
            measured[trial].accuracy,
            measured[trial].average_macs,
            record.settings.target_macs,
        ),
    )


def _selected(
    record: SearchRecord,
    folder: pathlib.Path,
    data_dir: str | os.PathLike | None,
    tuning: Mapping[str, Any] | None,
) -> Selected:
    """The reported trial, trained further if so, measured on the test split."""
    trial = choose(record)
    settings = record.settings
    dataset = data.load(settings.data, data_dir)
    model = load_candidate(folder / f"trial_{trial}")
    tuned = None
    if tuning is not None:
        recipe = training.recipe(settings.recipe, crop=model.crop, **tuning)
        tuned = pipeline.fit(
            model,
            dataset,
            recipe,
            folder / TUNED,
            seed=settings.seed,
            choose=_choice(settings),
            convention=settings.convention,
            verbose=0,
        ).validation
    logits = predict(model, dataset.test.images)
    return Selected(trial, report(model, logits, dataset.test.labels), tuned)


def _choice(settings: search.Settings) -> measure.Choice | None:
    """How the thresholds of a candidate are chosen; None: by its genes."""
    space, limit = settings.search_space(), methods.get(settings.method).macs_as
    if not space.tune_thresholds:
        return None
    return threshold_choice(space.thresholds, settings.target_macs, limit == "limit")


def load(
    scale: str, results: str | os.PathLike = RESULTS, names: Sequence[str] = ()
) -> list[RunRecord]:
    """The records of a scale, by experiment and seed.

    Args:
        scale: One of `experiments.SCALES`.
        results: Folder of records.
        names: Only these experiments.

    Raises:
        FileNotFoundError: There is no such folder, or it holds no experiments.
        ValueError: A record is damaged, does not belong to its file name, or was made
            with settings other than the experiment's.
    """
    results = check_folder(results)
    folder = results / EXPERIMENTS
    if not any((folder / each).is_dir() for each in SCALES):
        raise FileNotFoundError(
            f"There are no records of experiments in {results}; expected one of the "
            f"folders {', '.join(f'{EXPERIMENTS}/{each}' for each in SCALES)}, such "
            "as `run` writes."
        )
    found = [_read(path) for path in records.paths(folder / scale)]
    return [each for each in found if not names or each.experiment in names]


def _read(path: pathlib.Path) -> RunRecord:
    record = records.read_once(path, RunRecord)  # a table asks for it many times
    place = place_of(record)
    if (path.parent.name, path.name.removesuffix(records.COMPRESSED)) != place:
        raise ValueError(
            f"{path} holds the record {'/'.join(place)}; expected it in the folder and "
            "under the name of the record."
        )
    wrong = changed_settings(record)
    if wrong:
        raise ValueError(
            f"{path} was made with other settings than the experiment has now; run it "
            f"again, in a new --directory. They differ in {', '.join(wrong)}."
        )
    return record


def place_of(record: RunRecord) -> tuple[str, str]:
    """Folder and name of a record's file, within the folder of experiments.

    The name of a compressed record ends in `.gz` in addition.
    """
    return record.scale, f"{record.experiment}_seed{record.settings.seed}.json"


def changed_settings(record: RunRecord) -> list[str]:
    """The settings of a record that are not those of its experiment, by name."""
    wanted = experiments.get(record.experiment)
    return record.settings.differences(
        wanted.settings(record.scale, record.settings.seed)
    )
