"""The tuner: trains one candidate and reports what it is worth."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import pathlib
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial
from keras_tuner.errors import FailedTrialError, FatalError

from search import pareto
from search.oracle import FAILURE, ParetoOracle
from search.space import SearchSpace
from zoo import exits, training
from zoo.architecture import Architecture
from zoo.benchmark import benchmark
from zoo.cost import macs
from zoo.data import Dataset
from zoo.files import replacing, write_text
from zoo.model import EarlyExitClassifier

METRICS = (
    *("error", "average_macs", "final_error", "parameters", "seconds", "latency_ms"),
)
CANDIDATE, WEIGHTS = "candidate.json", "model.weights.h5"


class EarlyExitTuner(keras_tuner.Tuner):
    """Trains candidates by a recipe, tunes their thresholds and measures them.

    A trial reports, on the validation images: `error` (share of wrong answers by the
    exit rule, 0..1), `average_macs`, `final_error` (of the last exit), `parameters`,
    `seconds` (of the whole trial) and, if asked, `latency_ms`. Its folder gets
    `candidate.json`: architecture, thresholds, accuracy, share and MACs of every exit,
    and the Pareto front of all threshold settings. Only trials on a front keep weights.

    Args:
        oracle: What to try; its hyperparameters are those of `space`.
        space: The search space; says whether thresholds are tuned.
        dataset: Trained on its `train` part, measured on `validation`. Its test part is
            not looked at.
        recipe: How to train.
        directory: Folder of the search.
        target_macs: Average MACs that the tuning of thresholds aims at; None: none,
            which tunes for accuracy alone.
        target_is_limit: Choose the most accurate thresholds of at most `target_macs`
            instead (the cheapest, if none are).
        convention: How MACs are counted; see `zoo.macs`.
        start: A model whose weights a candidate takes over where a layer of the same
            name has weights of the same shapes; None: all weights are random.
        latency_batch_size: Also measure the milliseconds an image takes with
            `predict_early` in batches of this size.
        seed: Seed of initial weights, order and augmentation.
        **kwargs: For `keras_tuner.Tuner`.

    Raises:
        ValueError: An objective or a constraint of the oracle names no reported metric.
    """

    def __init__(
        self,
        oracle: ParetoOracle,
        space: SearchSpace,
        dataset: Dataset,
        recipe: training.Recipe,
        directory: str | os.PathLike,
        target_macs: float | None = None,
        target_is_limit: bool = False,
        convention: str = "standard",
        start: keras.Model | None = None,
        latency_batch_size: int | None = None,
        seed: int = 1,
        **kwargs: Any,
    ) -> None:
        constraints = oracle.constraints  # a worker's oracle is out of reach later
        wanted = (*oracle.objective.names, *(c.metric for c in constraints))
        check_metrics(wanted, latency_batch_size is not None)
        if latency_batch_size and latency_batch_size > len(dataset.validation.labels):
            raise ValueError(
                f"latency_batch_size is {latency_batch_size}; there are only "
                f"{len(dataset.validation.labels)} validation images."
            )
        self._constraints = constraints
        self.space = space
        self.dataset = dataset
        self.recipe = recipe
        self.target_macs = target_macs
        self.target_is_limit = target_is_limit
        self.convention = convention
        self.start = start
        self.latency_batch_size = latency_batch_size
        self.seed = seed
        folder = pathlib.Path(directory).resolve()
        super().__init__(
            oracle, directory=folder.parent, project_name=folder.name, **kwargs
        )
        self.save()  # so that a search killed in its first trial is taken up again

    # One candidate.

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Train and measure a trial's candidate.

        Raises:
            keras_tuner.errors.FailedTrialError: The training diverged, or the network
                could not be built or run; the reason is in the message.
        """
        began = time.perf_counter()
        folder = pathlib.Path(self.get_trial_dir(trial.trial_id))
        for name in (FAILURE, CANDIDATE, WEIGHTS):  # of an interrupted attempt
            (folder / name).unlink(missing_ok=True)
        try:
            values = trial.hyperparameters.values
            architecture = self.space.decode(self.space.from_values(values))
            model, record = self.train(architecture, int(trial.trial_id))
            record["metrics"]["seconds"] = round(time.perf_counter() - began, 2)
            if not all(map(np.isfinite, record["metrics"].values())):
                raise FloatingPointError(
                    f"A metric is not finite: {record['metrics']}."
                )
            with replacing(folder / WEIGHTS) as path:
                model.save_weights(path)
            write_text(
                folder / CANDIDATE, json.dumps({"trial": trial.trial_id} | record)
            )
        except OSError as error:  # a full disk is not the candidate's fault
            raise FatalError(f"{type(error).__name__}: {error}") from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            write_text(folder / FAILURE, f"{reason}\n{traceback.format_exc()}")
            raise FailedTrialError(reason) from error
        finally:
            keras.backend.clear_session()
            gc.collect()
        return record["metrics"]

    def train(
        self, architecture: Architecture, number: int
    ) -> tuple[EarlyExitClassifier, dict[str, Any]]:
        """Train and measure one architecture.

        Returns:
            The model, its thresholds set, and the record for `candidate.json`.
        """
        seed = self.seed + 1000 * (number + 1)
        keras.utils.set_random_seed(seed)
        classes = self.dataset.num_classes
        model = EarlyExitClassifier(architecture, classes, crop=self.recipe.crop)
        taken = _take_weights(model, self.start) if self.start is not None else 0
        trained = training.train(
            model, self.dataset, self.recipe, seed=seed, verbose=0, validate=False
        )
        validation = self.dataset.validation
        logits = model.predict(validation.images, batch_size=256, verbose=0)
        cost = macs(architecture, classes, self.convention)
        if self.space.tune_thresholds and architecture.exits:
            data = (logits, validation.labels, cost, self.space.thresholds)
            if self.target_is_limit and self.target_macs is not None:
                points = exits.frontier(*data)
                within = [p for p in points if p.average_macs <= self.target_macs]
                model.thresholds = (within[-1] if within else points[0]).thresholds
            else:
                chosen = exits.tune_thresholds(*data, self.target_macs)
                model.thresholds = chosen.thresholds
        measured = exits.evaluate(logits, validation.labels, cost, model.thresholds)
        metrics = {
            "error": 1 - measured.accuracy,
            "average_macs": measured.average_macs,
            "final_error": 1 - measured.exit_accuracy[-1],
            "parameters": float(cost.parameters),
        }
        if self.latency_batch_size:
            size = self.latency_batch_size
            images = validation.images[: min(64 * size, len(validation.labels))]
            speed = benchmark(model, images, size)
            metrics["latency_ms"] = 1000 / speed.early_images_per_second
        frontier = exits.frontier(logits, validation.labels, cost)
        return model, {
            "architecture": architecture.to_dict(),
            "crop": self.recipe.crop,
            "num_classes": classes,
            "convention": self.convention,
            "metrics": metrics,
            "evaluation": dataclasses.asdict(measured),
            "frontier": [dataclasses.asdict(point) for point in frontier],
            "training": {
                "seed": seed,
                "seconds": trained["seconds"],
                "images_per_second": trained["images_per_second"],
                "layers_from_start": taken,
            },
        }

    def load_model(self, trial: Trial) -> EarlyExitClassifier:
        """The trained model of a trial on a front, its thresholds set.

        Raises:
            FileNotFoundError: The trial's weights were not kept.
        """
        return load_candidate(self.get_trial_dir(trial.trial_id))

    # What keras-tuner calls around a trial.

    def on_trial_end(self, trial: Trial) -> None:
        """Report the end, then drop weights that no front needs."""
        super().on_trial_end(trial)
        names = self.oracle.objective
        keep_front_weights(self.project_dir, names, self._constraints)

    def _get_tuner_fname(self) -> str:
        """Where this file is, keras-tuner reloads the search: the oracle's state."""
        return os.path.join(self.project_dir, "oracle.json")

    def save(self) -> None:
        """Write the oracle's state; the tuner itself has none."""
        if not self._is_worker():
            self.oracle.save()

    def reload(self) -> None:
        """Read the oracle's state."""
        if not self._is_worker():
            self.oracle.reload()


def read_candidates(directory: str | os.PathLike) -> list[dict[str, Any]]:
    """Records of all trained candidates of a search, in the order of their trials."""
    records = []
    for path in pathlib.Path(directory).glob(f"trial_*/{CANDIDATE}"):
        with contextlib.suppress(FileNotFoundError):  # it is being tried again
            records.append(json.loads(path.read_text(encoding="utf-8")))
    return sorted(records, key=lambda record: int(record["trial"]))


def fine_front(
    candidates: list[dict[str, Any]], constraints: Sequence[pareto.Constraint] = ()
) -> list[dict[str, Any]]:
    """Pareto front of the threshold settings of all candidates, cheapest first.

    Every trained candidate contributes the whole frontier of its settings, without
    further training.

    Returns:
        Points with `trial`, `thresholds`, `accuracy`, `error` (shares, 0..1),
        `average_macs` and `utilisation`.
    """
    points = [
        {"trial": candidate["trial"], "error": 1 - point["accuracy"], **point}
        for candidate in candidates
        for point in candidate["frontier"]
        if _is_feasible(
            candidate["metrics"]
            | {"error": 1 - point["accuracy"], "average_macs": point["average_macs"]},
            constraints,
        )
    ]
    objectives = [[point["average_macs"], point["error"]] for point in points]
    return [points[i] for i in pareto.front(objectives)]


def load_candidate(
    folder: str | os.PathLike, weights: bool = True
) -> EarlyExitClassifier:
    """The model of a trial's folder, its thresholds set.

    Raises:
        FileNotFoundError: The trial has no record, or its weights were not kept.
    """
    folder = pathlib.Path(folder)
    record = json.loads((folder / CANDIDATE).read_text(encoding="utf-8"))
    if weights and not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(
            f"{folder} has no weights: only trials on a front keep them. Train the "
            "architecture in its candidate.json again."
        )
    model = EarlyExitClassifier(
        record["architecture"],
        record["num_classes"],
        thresholds=record["evaluation"]["thresholds"],
        crop=record["crop"],
    )
    if weights:
        model.load_weights(folder / WEIGHTS)
    return model


def keep_front_weights(
    directory: str | os.PathLike,
    objectives: pareto.Objectives,
    constraints: Sequence[pareto.Constraint] = (),
) -> None:
    """Delete the weights of every candidate that is on neither front.

    The fronts are that of the objectives, and the finer one of all threshold settings.
    """
    candidates = [
        each
        for each in read_candidates(directory)
        if _has_ended(pathlib.Path(directory) / f"trial_{each['trial']}")
    ]
    feasible = [c for c in candidates if _is_feasible(c["metrics"], constraints)]
    points = [objectives.point(each["metrics"]) for each in feasible]
    kept = {feasible[i]["trial"] for i in pareto.front(points)}
    kept |= {point["trial"] for point in fine_front(candidates, constraints)}
    for each in candidates:
        if each["trial"] not in kept:
            folder = pathlib.Path(directory) / f"trial_{each['trial']}"
            (folder / WEIGHTS).unlink(missing_ok=True)


def _has_ended(folder: pathlib.Path) -> bool:
    """Whether a trial is recorded as completed, and not to be tried again."""
    path = folder / "trial.json"
    if not path.is_file():
        return True
    return json.loads(path.read_text(encoding="utf-8"))["status"] == "COMPLETED"


def check_metrics(names: Iterable[str], latency: bool) -> None:
    """Raise a ValueError if a metric is none that the tuner reports."""
    for name in names:
        if name not in METRICS:
            raise ValueError(
                f"There is no metric {name!r}; choose from {', '.join(METRICS)}."
            )
        if name == "latency_ms" and not latency:
            raise ValueError("latency_ms is measured only with a latency_batch_size.")


def _is_feasible(
    metrics: Mapping[str, float], constraints: Sequence[pareto.Constraint]
) -> bool:
    return all(c.violation(metrics[c.metric]) == 0 for c in constraints)


def _take_weights(model: keras.Model, start: keras.Model) -> int:
    """Copy weights between layers of equal name and shapes; returns how many layers."""
    known: Mapping[str, Any] = {layer.name: layer for layer in start.layers}
    taken = 0
    for layer in model.layers:
        weights = known[layer.name].get_weights() if layer.name in known else []
        shapes = [tuple(each.shape) for each in layer.weights]
        if weights and [each.shape for each in weights] == shapes:
            layer.set_weights(weights)
            taken += 1
    return taken
