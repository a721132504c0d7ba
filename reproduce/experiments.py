"""Experiments as data: what is compared with what, at which scale, and running them."""

from __future__ import annotations

import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import search
from search.tuner import load_candidate
from zoo import data, registry, training
from zoo.files import write_text

RESULTS = pathlib.Path(__file__).parent / "results" / "experiments"
CONVENTION = "aebnas"  # what published figures use
WALL_SECONDS = "wall_seconds.json"  # in the folder of a search


@dataclass(frozen=True)
class Experiment:
    """One search, to be run once per seed.

    Attributes:
        name: Its name.
        method: One of `search.METHODS`.
        data: The data set.
        target_macs: Average MACs to aim at, a count in the `aebnas` convention.
        system: What publications call the method.
        space: Arguments of `search.SearchSpace` beside those of the method.
        seeds: Which to run.
    """

    name: str
    method: str
    data: str
    target_macs: float
    system: str
    space: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (1, 2, 3)

    def settings(self, scale: str, seed: int) -> search.Settings:
        """The search's settings at a scale.

        Raises:
            ValueError: There is no such scale.
        """
        if scale not in SCALES:
            raise ValueError(
                f"There is no scale {scale!r}; choose from {', '.join(SCALES)}."
            )
        size = SCALES[scale]
        space = {"resolutions": size.resolutions} if size.resolutions else {}
        method = search.METHODS[self.method]
        if "resolutions" in method.space:
            space = {}
        changes = {} if size.epochs is None else {"epochs": size.epochs}
        if size.same_training:
            base = training.recipe(size.recipe)
            changes |= {name: getattr(base, name) for name in method.recipe}
        return search.Settings(
            data=size.data or self.data,
            method=self.method,
            trials=size.trials,
            target_macs=self.target_macs,
            convention=CONVENTION,
            seed=seed,
            initial_trials=size.initial_trials,
            batch_size=size.batch_size,
            surrogate=size.surrogate,
            space={**space, **self.space},
            recipe=size.recipe,
            recipe_changes=changes,
            train_images=size.train_images,
        )


@dataclass(frozen=True)
class Scale:
    """How much of a search is done.

    Attributes:
        summary: One line.
        trials: Candidates to train.
        initial_trials: Random ones among them.
        batch_size: Candidates of an iteration.
        surrogate: See `search.Settings`.
        recipe: Of a candidate's training.
        epochs: Of it; None: the recipe's.
        train_images: Of the data set; None: all.
        resolutions: To choose from; empty: all.
        same_training: Whether all methods train by `recipe`, NACHOS too.
        data: Data set that stands in for the experiment's; None: its own.
    """

    summary: str
    trials: int
    initial_trials: int
    batch_size: int = 8
    surrogate: str = "adaptive"
    recipe: str = "short"
    epochs: int | None = None
    train_images: int | None = None
    resolutions: tuple[int, ...] = ()
    same_training: bool = False
    data: str | None = None


SCALES = {
    "smoke": Scale(
        "4 candidates on digits instead of the experiment's data: does it run?",
        trials=4,
        initial_trials=2,
        batch_size=2,
        epochs=1,
        train_images=320,
        resolutions=(32,),
        data="digits",
    ),
    "reduced": Scale(
        "24 candidates, 2 epochs on 5,000 images of 32 pixels, random weights, all "
        "methods trained alike",
        trials=24,
        initial_trials=8,
        train_images=5000,
        resolutions=(32,),
        same_training=True,
    ),
    "paper": Scale(
        "the paper's 340 candidates of 5 epochs and its kind of surrogate, but from "
        "random weights",
        trials=340,
        initial_trials=100,
        surrogate="mlp",
        recipe="paper",
    ),
}

FIXED = {"tune_thresholds": False}
EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        *(
            Experiment(f"{prefix}_{method}", method, data_name, target, system)
            for prefix, data_name, target in (
                ("cifar10", "cifar10", 2.44e6),
                ("svhn", "svhn_cropped", 1e6),
                ("cifar100", "cifar100", 17e6),
            )
            for method, system in (
                ("aebnas", "AEBNAS"),
                ("edanas", "EDANAS"),
                ("nachos", "NACHOS"),
                ("static", "Static NAS"),
            )
        ),
        # The ablation of threshold tuning: the same search with thresholds given.
        *(
            Experiment(
                f"cifar10_threshold_{name}",
                *("aebnas", "cifar10", 2.44e6, f"AEBNAS, thresholds {threshold}"),
                FIXED | {"thresholds": (threshold, 1.0)},
            )
            for name, threshold in (("01", 0.1), ("02", 0.2))
        ),
    )
}


def experiment(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ValueError: There is none.
    """
    if name not in EXPERIMENTS:
        raise ValueError(
            f"There is no experiment {name!r}; choose from {', '.join(EXPERIMENTS)}."
        )
    return EXPERIMENTS[name]


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
        scale: One of `SCALES`.
        data_dir: Where the data lies; see `zoo.data.load`.
        directory: Folder in which the search gets a folder of its own.
        results: Folder of records.
        on_trial: See `search.run`.

    Returns:
        The record's file, `RESULTS/SCALE/NAME_seedS.json`: a search's record (see
        `search.record`) with `experiment`, `scale`, `selected` and `wall_seconds` (of
        all sittings, to the last trial that ended in each).

    Raises:
        ValueError: Experiment or scale are unknown, or the folder holds another search.
    """
    wanted = experiment(name)
    settings = wanted.settings(scale, seed)
    stem = f"{name}_seed{seed}"
    folder = pathlib.Path(directory) / scale / stem
    search.run(settings, folder, data_dir, _timed(folder / WALL_SECONDS, on_trial))
    record = search.record(folder)
    record |= {
        "experiment": name,
        "scale": scale,
        "selected": _selected(record, folder, data_dir),
        "wall_seconds": round(_seconds(folder / WALL_SECONDS), 1),
    }
    path = pathlib.Path(results) / scale / f"{stem}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(record, indent=1) + "\n")
    return path


def _timed(
    path: pathlib.Path, on_trial: Callable[..., None] | None
) -> Callable[..., None]:
    """`on_trial`, which also adds the wall time of this sitting to a file."""
    before, began = _seconds(path), time.perf_counter()

    def ended(*arguments: Any, **named: Any) -> None:
        write_text(path, json.dumps(before + time.perf_counter() - began))
        if on_trial:
            on_trial(*arguments, **named)

    return ended


def _seconds(path: pathlib.Path) -> float:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else 0.0


def score(accuracy: float, average_macs: float, target: float) -> float:
    """The paper's: accuracy in percent - 0.1 |average MACs - target| / target x 100."""
    return 100 * accuracy - 0.1 * abs(average_macs - target) / target * 100


def choose(record: Mapping[str, Any]) -> str:
    """The trial to report: of those on the front, the one with the best score."""
    target = record["settings"]["target_macs"]
    measured = {c["trial"]: c["evaluation"] for c in record["candidates"]}
    return max(
        record["front"],
        key=lambda trial: score(
            measured[trial]["accuracy"], measured[trial]["average_macs"], target
        ),
    )


def _selected(
    record: Mapping[str, Any],
    folder: pathlib.Path,
    data_dir: str | os.PathLike | None,
) -> dict[str, Any]:
    """The reported trial, measured on the test split."""
    trial = choose(record)
    dataset = data.load(record["settings"]["data"], data_dir)
    model = load_candidate(folder / f"trial_{trial}")
    logits = model.predict(dataset.test.images, batch_size=256, verbose=0)
    return {
        "trial": trial,
        "test": registry.report(model, logits, dataset.test.labels),
    }


def load(
    scale: str, results: str | os.PathLike = RESULTS, names: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The records of a scale, by experiment and seed.

    Args:
        scale: One of `SCALES`.
        results: Folder of records.
        names: Only these experiments.

    Raises:
        FileNotFoundError: There is no such folder, or it holds no scale's.
        ValueError: A record is damaged, is not the one that its name says, or comes
            from other settings than the experiment's.
    """
    results = pathlib.Path(results)
    if not any((results / each).is_dir() for each in SCALES):
        raise FileNotFoundError(
            f"There are no records in {results}; expected a folder that holds one "
            f"of the folders {', '.join(SCALES)}, such as `run` writes."
        )
    records = [_read(path) for path in sorted((results / scale).glob("*.json"))]
    return [r for r in records if not names or r["experiment"] in names]


def _read(path: pathlib.Path) -> dict[str, Any]:
    record = search.record(path)
    try:
        record["candidates"][0]["evaluation"]["average_macs"]
        record["selected"]["trial"], record["selected"]["test"]["average_macs"]
        scale, name = record["scale"], record["experiment"]
        stem = f"{name}_seed{record['settings']['seed']}"
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"{path} holds no record of an experiment: {error!r} is missing."
        ) from error
    if (path.parent.name, path.stem) != (scale, stem):
        raise ValueError(
            f"{path} holds the record {scale}/{stem}.json; expected that its place "
            "and name say so."
        )
    wrong = changed_settings(record)
    if wrong:
        raise ValueError(
            f"{path} was made with other settings than the experiment has now; run it "
            f"again, in a new --directory. They differ in {', '.join(wrong)}."
        )
    return record


def changed_settings(record: Mapping[str, Any]) -> list[str]:
    """The settings of a record that are not those of its experiment, by name."""
    recorded = record["settings"]
    wanted = experiment(record["experiment"])
    now = wanted.settings(record["scale"], recorded["seed"]).to_dict()
    now = json.loads(json.dumps(now))  # as a file gives it back
    return [name for name in now if recorded.get(name) != now[name]]
