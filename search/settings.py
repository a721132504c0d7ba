"""A search as data: its settings, and running, resuming and reading it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import keras
from keras_tuner.engine.trial import Trial

from search.methods import METHODS
from search.oracle import AEBNASOracle, NSGA2Oracle, RandomOracle, reason
from search.pareto import Constraint
from search.space import SearchSpace
from search.tuner import (
    CANDIDATE,
    EarlyExitTuner,
    check_metrics,
    fine_front,
    load_candidate,
    read_candidates,
)
from zoo import data, registry, training
from zoo.cost import CONVENTIONS
from zoo.data import Dataset
from zoo.files import write_text

SETTINGS, RECORD = "search.json", "record.json"
LIBRARIES = ("keras-tuner", "pymoo", "scikit-learn", "scipy")  # what proposes


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a search does, as plain numbers, lists and text.

    Args:
        data: Name of the data set; see `zoo.data`.
        method: One of `search.METHODS`.
        trials: Candidates to train, the failed ones counted.
        target_macs: Average MACs to aim at, a count (for "nachos" the limit). The
            thresholds of candidates are tuned for it, and the oracle proposes for it if
            the objectives are error and average MACs.
        convention: How MACs are counted; see `zoo.macs`.
        seed: Seed of everything, 0 or more.
        initial_trials: Candidates drawn at random before anything is learnt; None: four
            in ten of the trials, at most 100, and what it was before when a search is
            continued.
        batch_size: Candidates of an iteration.
        surrogate: "adaptive" or "mlp", where the method uses one.
        population: Of NSGA-II.
        generations: Of NSGA-II on surrogates.
        objectives: Metrics to minimise; see `EarlyExitTuner`.
        constraints: Limits, as `{metric: [minimum or None, maximum or None]}`.
        reference: Reference point of the hypervolume, one number per objective.
        space: Arguments of `SearchSpace` beside those of the method.
        recipe: Name of a training recipe.
        recipe_changes: Fields of the recipe to change.
        train_images: Train on so many of the first training images; None: on all.
        start: Model to take fitting weights from; None: all weights are random.
        latency_batch_size: Also measure latency in batches of this size.

    Raises:
        ValueError: A value is unknown or out of range.
    """

    data: str = "digits"
    method: str = "aebnas"
    trials: int = 340
    target_macs: float | None = None
    convention: str = "standard"
    seed: int = 1
    initial_trials: int | None = None
    batch_size: int = 8
    surrogate: str = "adaptive"
    population: int = 40
    generations: int = 20
    objectives: tuple[str, ...] = ("error", "average_macs")
    constraints: Mapping[str, tuple[float | None, float | None]] = field(
        default_factory=dict
    )
    reference: tuple[float, ...] | None = None
    space: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = "short"
    recipe_changes: Mapping[str, Any] = field(default_factory=dict)
    train_images: int | None = None
    start: str | None = None
    latency_batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(
                f"There is no method {self.method!r}; choose from {', '.join(METHODS)}."
            )
        for name in ("trials", "initial_trials", "train_images", "latency_batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value!r}; expected 1 or more.")
        if self.target_macs is not None and not self.target_macs > 0:
            raise ValueError(f"target_macs is {self.target_macs!r}; expected above 0.")
        if self.convention not in CONVENTIONS:
            raise ValueError(
                f"convention is {self.convention!r}; expected {', '.join(CONVENTIONS)}."
            )
        method = METHODS[self.method]
        if method.macs_as == "limit" and self.target_macs is None:
            raise ValueError(f"The method {self.method} needs target_macs, its limit.")
        for name in method.space:
            if name in self.space:
                raise ValueError(f"The method {self.method} fixes {name} of the space.")
        wanted = (*self.objectives, *self.constraints)
        check_metrics(wanted, self.latency_batch_size is not None)
        # A broken setting is told here, not in the middle of a search.
        self.search_space()
        self.oracle()
        self.training_recipe()

    def search_space(self) -> SearchSpace:
        """The space, with the options of the method."""
        options = {**METHODS[self.method].space, **self.space}
        try:
            return SearchSpace(**options)
        except TypeError as error:
            raise ValueError(f"space: {error}") from error

    def training_recipe(self) -> training.Recipe:
        """How a candidate is trained."""
        method = METHODS[self.method]
        changes = {**method.recipe, **self.recipe_changes}
        if changes.get("soft_exits"):
            changes.setdefault("macs_limit", self.target_macs)
            changes.setdefault("convention", self.convention)
        return training.recipe(self.recipe, **changes)

    def oracle(self) -> RandomOracle:
        """A new oracle."""
        method = METHODS[self.method]
        options: dict[str, Any] = {}
        if issubclass(method.oracle, NSGA2Oracle):
            options["population"] = self.population
        if issubclass(method.oracle, AEBNASOracle):
            options["surrogate"] = self.surrogate
            options["generations"] = self.generations
            known = self.objectives == ("error", "average_macs")
            if method.macs_as and known and self.target_macs is not None:
                options[method.macs_as] = self.target_macs
        return method.oracle(
            self.search_space(),
            self.objectives,
            constraints=[
                Constraint(metric, *limits)
                for metric, limits in self.constraints.items()
            ],
            reference=self.reference,
            initial_trials=(
                _initial_trials(self.trials)
                if self.initial_trials is None
                else self.initial_trials
            ),
            batch_size=self.batch_size,
            max_trials=self.trials,
            seed=self.seed,
            **options,
        )

    def tuner(
        self,
        directory: str | os.PathLike,
        dataset: Dataset,
        oracle: RandomOracle,
        start: keras.Model | None = None,
    ) -> EarlyExitTuner:
        """A tuner on the folder of the search; it reads back what is there."""
        if self.train_images is not None:
            kept = dataset.train.take(self.train_images)
            dataset = dataclasses.replace(dataset, train=kept)
        return EarlyExitTuner(
            oracle,
            self.search_space(),
            dataset,
            self.training_recipe(),
            directory,
            target_macs=self.target_macs,
            target_is_limit=METHODS[self.method].macs_as == "limit",
            convention=self.convention,
            start=start,
            latency_batch_size=self.latency_batch_size,
            seed=self.seed,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and text; `from_dict` reads it back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Read what `to_dict` gave.

        Raises:
            ValueError: A field is unknown or a value is out of range.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - names)
        if unknown:
            raise ValueError(f"Unknown settings: {', '.join(unknown)}.")
        return cls(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        )


def run(
    settings: Settings,
    directory: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    on_trial: Callable[[RandomOracle, Trial], None] | None = None,
) -> RandomOracle:
    """Run a search, or continue it.

    The same call after an interruption continues; at most the trial in progress is
    lost. `trials` may be raised. With keras-tuner's environment variables
    (KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT) the process is
    the chief, or one of the workers, of a search on several machines that share the
    folder.

    Args:
        settings: What to do.
        directory: Folder of the search. When the search is over it also holds
            `record.json`, see `record`.
        data_dir: Where the data lies; see `zoo.data.load`.
        on_trial: Called after every trial that ended, in the process that owns the
            oracle. Standard output goes nowhere meanwhile; standard error works.

    Returns:
        The oracle.

    Raises:
        ValueError: The folder holds a search with other settings, or another process is
            running it.
        RuntimeError: Too many trials in a row failed; the message has the reason.
    """
    directory = pathlib.Path(directory)
    settings = _resolved(directory, settings)
    dataset = data.load(settings.data, data_dir)
    tuner_id = os.environ.get("KERASTUNER_TUNER_ID", "")
    worker = "KERASTUNER_ORACLE_IP" in os.environ and "chief" not in tuner_id
    oracle = settings.oracle()
    oracle.on_trial = on_trial
    start = registry.load(settings.start) if settings.start else None
    with contextlib.ExitStack() as stack:
        if not worker:
            directory.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(directory))
        _note_settings(directory, settings, dataset, write=not worker)
        # keras-tuner prints that it reloads, and values that its processes exchange.
        with contextlib.redirect_stdout(None):
            tuner = settings.tuner(directory, dataset, oracle, start)
            tuner.search()
    if worker:
        return oracle
    write_text(directory / RECORD, json.dumps(record(directory), indent=1))
    if oracle.stopped:
        raise RuntimeError(oracle.stopped)
    if not oracle.completed_trials():
        last = oracle.trials[oracle.end_order[-1]]
        raise RuntimeError(f"All trials failed, the last with: {reason(last)}")
    return oracle


def read(directory: str | os.PathLike) -> tuple[Settings, RandomOracle]:
    """Settings and oracle of a search, running or not; changes nothing.

    Raises:
        ValueError: The folder holds no search.
    """
    directory = pathlib.Path(directory).resolve()
    settings = Settings.from_dict(_read_settings(directory)["settings"])
    oracle = settings.oracle()
    oracle._set_project_dir(directory.parent, directory.name)
    if (directory / "oracle.json").is_file():
        oracle.reload()
    return settings, oracle


def record(directory: str | os.PathLike) -> dict[str, Any]:
    """A search as one record: settings, candidates, fronts, hypervolume, surrogates.

    Args:
        directory: Folder of the search, or the file of a record.

    Returns:
        `settings`; `data` (name and fingerprint); `provenance` (versions, hardware);
        `candidates` (as in `candidate.json`, with the frontier of front members only);
        `failed` (trial and reason); `front` (trials); `fine_front`; `reference`;
        `hypervolume` (trial, value); `surrogates`, see
        `AEBNASOracle.surrogate_history`; `seconds` (of all trials).

    Raises:
        ValueError: The folder holds no search, or the file no record.
    """
    directory = pathlib.Path(directory)
    if directory.is_file():
        return _read_record(directory)
    settings, oracle = read(directory)
    noted = _read_settings(directory)
    completed = {trial.trial_id for trial in oracle.completed_trials()}
    candidates = [c for c in read_candidates(directory) if c["trial"] in completed]
    front = [trial.trial_id for trial in oracle.pareto_trials()]
    fine = fine_front(candidates, oracle.constraints)
    shown = {*front, *(point["trial"] for point in fine)}
    return {
        "settings": settings.to_dict(),
        "data": noted["data"],
        "provenance": noted["provenance"],
        "candidates": [
            {k: v for k, v in c.items() if k != "frontier" or c["trial"] in shown}
            for c in candidates
        ],
        "failed": [
            {"trial": trial.trial_id, "reason": reason(trial)}
            for trial in oracle.trials.values()
            if trial.status == "FAILED"
        ],
        "front": front,
        "fine_front": fine,
        "reference": oracle.reference_point(),
        "hypervolume": oracle.hypervolume_history(),
        "surrogates": getattr(oracle, "surrogate_history", list)(),
        "seconds": round(sum(c["metrics"]["seconds"] for c in candidates), 1),
    }


def _read_record(path: pathlib.Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for key in ("settings", "front", "fine_front", "hypervolume"):
            found[key]
        for candidate in found["candidates"]:
            candidate["trial"], candidate["evaluation"], candidate["architecture"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no record of a search: {error!r}.") from error
    return found


def export(
    directory: str | os.PathLike,
    trial: str,
    folder: str | os.PathLike,
    thresholds: Sequence[float] | None = None,
    data_dir: str | os.PathLike | None = None,
) -> dict[str, Any]:
    """Write a candidate of a search as a model that `zoo.load` reads.

    Args:
        directory: Folder of the search.
        trial: Its trial; one on a front, for others keep no weights.
        folder: Where to.
        thresholds: One per exit; None: those that the search tuned.
        data_dir: Where the data lies. If it can be had, the model is measured on it;
            else its card has no figures.

    Returns:
        The record that `zoo.save` wrote.

    Raises:
        FileNotFoundError: The trial has no weights.
        ValueError: The folder holds no search, or there is no such trial.
    """
    settings, _ = read(directory)
    source = pathlib.Path(directory) / f"trial_{trial}"
    if not (source / CANDIDATE).is_file():
        raise ValueError(f"{directory} has no trained trial {trial!r}.")
    model = load_candidate(source)
    if thresholds is not None:
        model.thresholds = thresholds
    try:
        dataset = data.load(settings.data, data_dir)
    except FileNotFoundError:
        dataset = None
    candidate = json.loads((source / CANDIDATE).read_text(encoding="utf-8"))
    facts = _read_settings(pathlib.Path(directory))["provenance"]
    return registry.save(
        model,
        folder,
        dataset,
        training={
            **facts,
            "recipe": dataclasses.asdict(settings.training_recipe()),
            "start": settings.start,
            "teacher": None,
            "thresholds": None,
            **{k: candidate["training"][k] for k in ("seed", "seconds")},
            "images_per_second": candidate["training"]["images_per_second"],
        },
        notes=[
            f"Found as trial {trial} of {settings.trials} by the {settings.method} "
            f"search on {settings.data}, and trained no further than there."
        ],
    )


def _initial_trials(trials: int) -> int:
    return min(100, math.ceil(0.4 * trials))


def _resolved(directory: pathlib.Path, settings: Settings) -> Settings:
    """The settings with the initial sample's size, also when more trials are asked."""
    initial = settings.initial_trials
    if initial is None and (directory / SETTINGS).is_file():
        initial = _read_settings(directory)["settings"].get("initial_trials")
    if initial is None:
        initial = _initial_trials(settings.trials)
    return dataclasses.replace(settings, initial_trials=initial)


def _note_settings(
    directory: pathlib.Path, settings: Settings, dataset: Dataset, write: bool
) -> None:
    """Write the settings, or raise if the folder's search has others."""
    provenance = registry.provenance(started=time.strftime("%Y-%m-%d"))
    provenance["versions"] |= {name: metadata.version(name) for name in LIBRARIES}
    now = settings.to_dict()
    about = {"name": dataset.name, "fingerprint": dataset.fingerprint}
    if (directory / SETTINGS).is_file():
        noted = _read_settings(directory)
        before, provenance = noted["settings"], noted["provenance"]
        changed = [k for k in now if k != "trials" and now[k] != before.get(k)]
        if noted["data"] != about:
            changed.append("content of the data set")
        if changed:
            raise ValueError(
                f"{directory} holds a search with another {', '.join(changed)}. Use "
                "the same settings to continue it, or another folder."
            )
    if write:
        noted = {"settings": now, "data": about, "provenance": provenance}
        write_text(directory / SETTINGS, json.dumps(noted, indent=1))


def _read_settings(directory: pathlib.Path) -> dict[str, Any]:
    path = directory / SETTINGS
    if not path.is_file():
        raise ValueError(
            f"{directory} holds no search: there is no {SETTINGS} in it. "
            "`python -m search run --directory DIR` writes one."
        )
    return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def _locked(directory: pathlib.Path) -> Iterator[None]:
    """Keep other processes out; the lock ends with the process, however it ends."""
    try:
        import fcntl
    except ImportError:  # not on this system
        yield
        return
    with open(directory / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                f"Another process is running the search in {directory}."
            ) from error
        yield
