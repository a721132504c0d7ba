"""Pretrained models: folders of `config.json`, `model.weights.h5` and `card.md`."""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import importlib
import json
import os
import pathlib
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import h5py
import keras
import numpy as np

from zoo import exits
from zoo.architecture import Architecture
from zoo.cards import render
from zoo.cost import CONVENTIONS, macs
from zoo.data import Dataset
from zoo.exits import OperatingPoint
from zoo.files import replacing
from zoo.model import EarlyExitClassifier

PRETRAINED = pathlib.Path(__file__).parent / "pretrained"
CONFIG, WEIGHTS, CARD = "config.json", "model.weights.h5", "card.md"
FORMAT = 1


def list_models(pattern: str = "*") -> list[str]:
    """Names of the pretrained models that match a shell pattern.

    Example:
        >>> zoo.list_models("*cifar10*")
    """
    found = (path.parent.name for path in PRETRAINED.glob(f"*/{CONFIG}"))
    return sorted(fnmatch.filter(found, pattern))


def config(name: str | os.PathLike) -> dict[str, Any]:
    """Everything recorded about a model: what `config.json` in its folder holds.

    Args:
        name: A pretrained model's name, or a folder that `save` wrote.

    Raises:
        ValueError: There is no such model, or its file cannot be read.
    """
    return _read_config(_folder(name))


def card(name: str | os.PathLike) -> str:
    """The model card, Markdown text; arguments and errors as for `config`."""
    return render(config(name))


def load(
    name: str | os.PathLike,
    num_classes: int | None = None,
    weights: bool = True,
    max_macs: float | None = None,
    convention: str = "standard",
) -> EarlyExitClassifier:
    """Load a model.

    Args:
        name: A pretrained model's name, or a folder that `save` wrote.
        num_classes: Replace every classifier by a new one, of that many classes and
            with random weights, for fine-tuning; all other weights are kept. Given the
            model's own number, the classifiers are replaced all the same.
        weights: False leaves all weights random.
        max_macs: Set the most accurate thresholds of the stored frontier that spend at
            most so many MACs on an average image, a count. Default: the thresholds
            that the model was saved with.
        convention: How `max_macs` counts; see `zoo.macs`.

    Returns:
        The model, with its thresholds set; `frontier` and `class_names` are filled
        unless the classifiers were replaced.

    Raises:
        ValueError: There is no such model (the message names near matches), its files
            are damaged, or `max_macs` is out of reach (the message says what is not).
        FileNotFoundError: The weights are missing.

    Example:
        >>> model = zoo.load("aebnas_cifar10_small", max_macs=2.1e6)
    """
    folder = _folder(name)
    if max_macs is not None and (num_classes is not None or not weights):
        raise ValueError(
            "max_macs chooses among settings measured with the model's own weights; "
            "leave out num_classes and weights=False, or call set_budget with images "
            "after the training."
        )
    record = _read_config(folder)
    try:
        model = EarlyExitClassifier(**record["model"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / CONFIG} is damaged: {error}") from error
    if weights:
        model.load_weights(_checked_weights(folder, record))
    if num_classes is not None:
        return _with_new_classifiers(model, num_classes)
    model.frontier = tuple(map(_point, record.get("frontier", ())))
    model.class_names = tuple(record["class_names"]) if record["class_names"] else None
    if max_macs is not None:
        if not model.frontier:
            raise ValueError(
                f"{name} has no stored frontier to choose from; load it without "
                "max_macs, and call set_budget with images."
            )
        model.set_budget(max_macs, convention=convention)
    return model


@dataclass(frozen=True)
class ModelPoint(OperatingPoint):
    """An operating point, and the `model` that has it."""

    model: str = ""


class Front(tuple[ModelPoint, ...]):
    """Operating points of several models, cheapest first; see `pareto`."""

    def best(self, max_macs: float) -> EarlyExitClassifier:
        """Load the most accurate model within a budget, its thresholds set.

        Args:
            max_macs: The most that an image may cost on average, a count, in the
                front's convention.

        Raises:
            ValueError: The budget cannot be met; the message says what can.
        """
        point = exits.within_budget(self, max_macs)
        model = load(point.model)
        model.thresholds = point.thresholds
        return model


def pareto(data: str, convention: str = "standard") -> Front:
    """What the pretrained models of a data set offer together.

    Args:
        data: The data set's name, such as "cifar10".
        convention: How to count MACs; see `zoo.macs`.

    Returns:
        A `Front`: the operating points on the models' stored frontiers (accuracy and
        average MACs on the validation split) that no other point dominates, cheapest
        first.

    Raises:
        ValueError: No pretrained model belongs to the data set.

    Example:
        >>> model = zoo.pareto("cifar10").best(max_macs=3e6)
    """
    offered = {name: config(name).get("data", {}).get("name") for name in list_models()}
    names = [name for name, owner in offered.items() if owner == data]
    if not names:
        known = sorted({owner for owner in offered.values() if owner})
        raise ValueError(
            f"No pretrained model belongs to {data!r}; there are some of "
            f"{', '.join(known) or 'no data set'}."
        )
    points = [point for name in names for point in operating_points(name, convention)]
    return Front(exits.pareto_optimal(points))


def operating_points(
    name: str | os.PathLike, convention: str = "standard"
) -> list[ModelPoint]:
    """The stored frontier of a model, its MACs in a convention.

    Arguments and errors are those of `config` and `pareto`.
    """
    record = config(name)
    architecture = Architecture.from_dict(record["model"]["architecture"])
    cost = macs(architecture, record["model"]["num_classes"], convention)
    return [
        ModelPoint(**vars(exits.recount(_point(point), cost)), model=str(name))
        for point in record["frontier"]
    ]


def _point(record: dict[str, Any]) -> OperatingPoint:
    return OperatingPoint(
        **{k: tuple(v) if isinstance(v, list) else v for k, v in record.items()}
    )


def save(
    model: EarlyExitClassifier,
    folder: str | os.PathLike,
    dataset: Dataset | None = None,
    training: dict[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Write a model to a folder that `load` reads, with its card.

    Weights are stored in half precision where they are kernels (vectors, such as those
    of batch normalisation, stay in single precision). What is measured is measured on
    the weights as stored. The files are written aside and renamed together at the end;
    should a kill fall between the renames, `load` sees it by the checksum.

    Args:
        model: The model; its name becomes the folder's.
        folder: Where to; made if it does not exist.
        dataset: Measures the model on its test part, and the threshold frontier on its
            validation part; without one the card has no figures, and the frontier is
            the model's.
        training: How the model was trained, for the card; see `provenance`.
        notes: Sentences for the card.

    Returns:
        The record written to `config.json`.

    Raises:
        OSError: The folder cannot be written; what was there stays.
        ValueError: A weight is NaN or infinite.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Made absolute, so that `--out .` has a name, too.
    name = folder.resolve().name
    with (  # renamed in reverse: without its config a folder is no model
        replacing(folder / CONFIG) as config_file,
        replacing(folder / CARD) as card_file,
        replacing(folder / WEIGHTS) as weights_file,
    ):
        _write_weights(model, weights_file)
        model_config = model.get_config() | {"name": name}
        stored = EarlyExitClassifier(**model_config)
        stored.load_weights(weights_file)
        record = {
            "format": FORMAT,
            "name": name,
            "model": model_config,
            "class_names": _class_names(model, dataset),
            "weights": {
                "sha256": _sha256(weights_file),
                "bytes": weights_file.stat().st_size,
                "parameters": model.macs.parameters,
            },
            "training": training,
            "notes": list(notes),
            "frontier": _points(model.frontier),
            **(measure(stored, dataset) if dataset is not None else {}),
        }
        text = json.dumps(record, indent=1)
        record = json.loads(text)
        config_file.write_text(text + "\n", encoding="utf-8")
        card_file.write_text(render(record), encoding="utf-8")
    return record


def measure(model: EarlyExitClassifier, dataset: Dataset) -> dict[str, Any]:
    """Measure a model for its record.

    Returns:
        `data` (name, fingerprint, sizes), `results` (accuracy, share and MACs of each
        exit on the test part, average MACs in every convention) and `frontier` (on the
        validation part, in standard MACs).
    """
    parts = {"validation": dataset.validation, "test": dataset.test}
    logits = {
        part: model.predict(split.images, batch_size=256, verbose=0)
        for part, split in parts.items()
    }
    return {
        "data": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            **{
                part: len(getattr(dataset, part).labels)
                for part in ("train", "validation", "test")
            },
        },
        "results": {
            part: report(model, logits[part], split.labels)
            for part, split in parts.items()
        },
        "frontier": frontier(model, logits["validation"], dataset.validation.labels),
    }


def frontier(
    model: EarlyExitClassifier, logits: Any, labels: Any
) -> list[dict[str, Any]]:
    """The Pareto-optimal threshold settings as records, in standard MACs."""
    return _points(exits.frontier(logits, labels, model.macs, rule=model.exit_rule))


def _points(points: Iterable[OperatingPoint]) -> list[dict[str, Any]]:
    return [_record(point) for point in points]


def _record(point: OperatingPoint) -> dict[str, Any]:
    return {key: value for key, value in asdict(point).items() if key != "score"}


def report(model: EarlyExitClassifier, logits: Any, labels: Any) -> dict[str, Any]:
    """Evaluate logits at the model's thresholds, MACs in every convention.

    Returns:
        The fields of `zoo.exits.Evaluation`, with `average_macs` and `macs` as
        dictionaries by convention.
    """
    evaluation = exits.evaluate(
        logits, labels, model.macs, model.thresholds, model.exit_rule
    )
    counted = {
        convention: exits.recount(
            evaluation, macs(model.architecture, model.num_classes, convention)
        )
        for convention in CONVENTIONS
    }
    return {
        **_record(evaluation),
        "average_macs": {c: e.average_macs for c, e in counted.items()},
        "macs": {c: e.macs for c, e in counted.items()},
    }


def provenance(**facts: Any) -> dict[str, Any]:
    """Facts about a training, with the versions and the hardware it ran on."""
    return {
        **facts,
        "backend": keras.backend.backend(),
        "versions": {
            "python": platform.python_version(),
            "keras": keras.version(),
            keras.backend.backend(): _backend_version(),
            "numpy": np.__version__,
        },
        "hardware": f"{_devices()}, {os.cpu_count()} {platform.machine()} CPU cores",
    }


def _backend_version() -> str:
    return importlib.import_module(keras.backend.backend()).__version__


def _devices() -> str:
    kinds = keras.distribution.list_devices() or ["cpu:0"]
    return ", ".join(sorted({device.split(":")[0] for device in kinds}))


def _folder(name: str | os.PathLike) -> pathlib.Path:
    for folder in (PRETRAINED / str(name), pathlib.Path(name)):
        if (folder / CONFIG).is_file():
            return folder
    known = list_models()
    near = difflib.get_close_matches(str(name), known, 3, 0.4)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(
        f"There is no pretrained model {str(name)!r}, and no folder of that name with "
        f"a {CONFIG}.{hint} Known are {', '.join(known) or 'none'}."
    )


def _read_config(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / CONFIG
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(
                f"{path} has format {record['format']}; this version reads {FORMAT}."
            )
        record["model"], record["weights"]["sha256"], record["class_names"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged: {error!r}. Save the model anew."
        ) from error
    return record


def _checked_weights(folder: pathlib.Path, record: dict[str, Any]) -> pathlib.Path:
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing. Install the package anew, or pass weights=False for "
            "random weights."
        )
    if _sha256(path) != record["weights"]["sha256"]:
        raise ValueError(
            f"{path} is damaged: its SHA-256 is not the one in {CONFIG}. Install the "
            "package anew, or save the model anew."
        )
    return path


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _class_names(
    model: EarlyExitClassifier, dataset: Dataset | None
) -> list[str] | None:
    names = dataset.class_names if dataset is not None else model.class_names
    return list(names) if names else None


def _write_weights(model: EarlyExitClassifier, path: pathlib.Path) -> None:
    """Keras's weights file with kernels in half precision and without an optimizer."""
    full = path.with_name(f"{path.name.removesuffix('.weights.h5')}.full.weights.h5")
    try:
        model.save_weights(full)
        with h5py.File(full, "r") as source, h5py.File(path, "w") as target:

            def copy(name: str, item: Any) -> None:
                if name.split("/")[0] == "optimizer":
                    return
                if isinstance(item, h5py.Dataset):
                    target.create_dataset(name, data=_stored(name, item[()]))
                else:
                    target.require_group(name)
                target[name].attrs.update(item.attrs)

            source.visititems(copy)
            target.attrs.update(source.attrs)
    finally:
        full.unlink(missing_ok=True)


def _stored(name: str, weights: np.ndarray) -> np.ndarray:
    """Kernels in half precision unless they overflow it; all else as it is."""
    if weights.dtype != np.float32:
        return weights
    if not np.isfinite(weights).all():
        raise ValueError(f"The weights {name} hold NaN or infinite values.")
    with np.errstate(over="ignore"):
        half = weights.astype(np.float16)
    return half if weights.ndim > 1 and np.isfinite(half).all() else weights


def _with_new_classifiers(
    model: EarlyExitClassifier, num_classes: int
) -> EarlyExitClassifier:
    """A copy with new classifiers; it shares no weights with the model."""
    new = EarlyExitClassifier(**model.get_config() | {"num_classes": num_classes})
    for layer in model.layers:
        if layer.weights and not layer.name.endswith("_classifier"):
            new.get_layer(layer.name).set_weights(layer.get_weights())
    return new
