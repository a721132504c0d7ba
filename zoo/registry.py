"""Saved models: folders of `config.json`, `model.weights.h5` and `card.md`.

Listing, describing and choosing models needs no Keras; loading and saving does. How
models are chosen by a budget is in `zoo.fronts`, whose functions are here, too.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import pathlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zoo import files, records
from zoo.cards import render
from zoo.device_record import DeviceRecord
from zoo.fronts import Front, ModelPoint, operating_points, pareto
from zoo.model_record import DataRecord, ModelRecord, WeightsRecord
from zoo.names import unknown, valid_name

if TYPE_CHECKING:
    from zoo.data import Dataset
    from zoo.model import EarlyExitModel

__all__ = [
    "Front",
    "ModelPoint",
    "card",
    "is_keras_file",
    "list_models",
    "load",
    "operating_points",
    "pareto",
    "record",
    "save",
    "update",
]

PRETRAINED = pathlib.Path(__file__).parent / "pretrained"
CONFIG, WEIGHTS, CARD = "config.json", "model.weights.h5", "card.md"
TRAINING = "training.json"  # what zoo.training.checkpoints writes first
STALE = (
    "The model was trained after its thresholds were chosen: choose new ones with "
    "`model.tune(images, labels)`."
)
PACKAGE = "aebnas"  # under which Keras knows the classes of this package


def list_models(pattern: str = "*") -> list[str]:
    """Names of the pretrained models that match a shell pattern.

    Example:
        >>> zoo.list_models("*cifar10*")
    """
    found = (path.parent.name for path in PRETRAINED.glob(f"*/{CONFIG}"))
    return sorted(fnmatch.filter(found, pattern))


def record(name: str | os.PathLike) -> ModelRecord:
    """Everything recorded about a model.

    Args:
        name: A pretrained model's name, or a folder that `save` wrote.

    Raises:
        ValueError: There is no such model, or its file cannot be read.
    """
    if is_keras_file(name):
        raise ValueError(
            f"{name} is a .keras file, which holds no record; zoo.save writes one."
        )
    path = _folder(name) / CONFIG
    return records.read(path, ModelRecord, assume=ModelRecord)


def card(name: str | os.PathLike) -> str:
    """The model card, Markdown text; arguments and errors as for `record`."""
    return render(record(name))


def load(
    name: str | os.PathLike,
    num_classes: int | None = None,
    weights: bool = True,
    max_macs: float | None = None,
    convention: str = "standard",
) -> EarlyExitModel:
    """Load a model.

    Args:
        name: A pretrained model's name, a folder that `save` wrote, or a `.keras` file
            that Keras's own `model.save` wrote.
        num_classes: Replace every classifier by a new one, of that many classes and
            with random weights, for fine-tuning; all other weights are kept. Given the
            model's own number, the classifiers are replaced all the same.
        weights: False leaves all weights random.
        max_macs: Set the most accurate thresholds of the stored frontier that spend at
            most this many MACs per image on average. Default: the thresholds that the
            model was saved with.
        convention: How `max_macs` counts; see `zoo.macs`.

    Returns:
        The model, with its thresholds set; `frontier` and `class_names` are filled
        unless the classifiers were replaced.

    Raises:
        ValueError: There is no such model (the message names near matches), its files
            are damaged, or `max_macs` is too low (the message gives the minimum).
        FileNotFoundError: The weights are missing.

    Example:
        >>> model = zoo.load("aebnas_cifar10_small", max_macs=2.1e6)
    """
    if max_macs is not None and (num_classes is not None or not weights):
        raise ValueError(
            "max_macs chooses among settings measured with the model's own weights; "
            "leave out num_classes and weights=False, or call set_budget with images "
            "after the training."
        )
    model = (_from_keras if is_keras_file(name) else _from_folder)(name, weights)
    if num_classes is not None:
        return model.with_new_classifiers(num_classes)
    if max_macs is not None:
        if not model.frontier:
            raise ValueError(
                f"{name} has no stored frontier to choose from; load it without "
                "max_macs, and call set_budget with images."
            )
        model.set_budget(max_macs, convention=convention)
    return model


def is_keras_file(name: str | os.PathLike) -> bool:
    """Whether a name is that of a file that Keras's own `model.save` writes."""
    return pathlib.Path(name).suffix == ".keras"


def _from_keras(path: str | os.PathLike, weights: bool) -> EarlyExitModel:
    import keras

    from zoo.model import EarlyExitModel

    model = keras.saving.load_model(path, compile=False)
    if not isinstance(model, EarlyExitModel):
        raise ValueError(
            f"{path} holds a {type(model).__name__}; expected a zoo.EarlyExitModel."
        )
    return model if weights else type(model).from_config(model.get_config())


def _from_folder(name: str | os.PathLike, weights: bool) -> EarlyExitModel:
    from zoo import weights as stored

    folder = _folder(name)
    noted, data = _read(folder, weights)
    model = _build(noted.model, str(folder / CONFIG))
    if data is not None:
        where = str(folder / WEIGHTS)
        stored.assign(model, stored.loads(data, where)[0], where)
    model.frontier, model.class_names = noted.frontier, noted.class_names
    return model


def _read(folder: pathlib.Path, weights: bool) -> tuple[ModelRecord, bytes | None]:
    """A model's record and, if wanted, its weights, checked."""
    while True:
        noted = record(folder)
        try:
            return noted, _checked_weights(folder, noted) if weights else None
        except (FileNotFoundError, ValueError):
            if record(folder) == noted:  # else another process has just saved a model
                raise


def _build(description: dict[str, Any], where: str) -> EarlyExitModel:
    """The model that a record describes, with random weights."""
    import keras

    import zoo.classifier  # noqa: F401  (Keras knows the classes that are imported)
    from zoo.model import EarlyExitModel

    name = str(description.get("class_name"))
    kind = keras.saving.get_registered_object(
        name if ">" in name else f"{PACKAGE}>{name}"
    )
    if not (isinstance(kind, type) and issubclass(kind, EarlyExitModel)):
        raise ValueError(
            f"{where} describes a model of the class {name!r}, which is not known. "
            "Import the module that registers it first."
        )
    try:
        return kind.from_config(description["config"])
    except OSError:
        raise
    except Exception as error:  # Keras raises many kinds for a broken configuration
        raise ValueError(f"{where} is damaged: {error}") from error


def save(
    model: EarlyExitModel,
    folder: str | os.PathLike,
    dataset: Dataset | None = None,
    training: dict[str, Any] | None = None,
    notes: Sequence[str] = (),
    weight_bits: int = 16,
) -> ModelRecord:
    """Write a model to a folder that `load` reads, with its card.

    Kernels are stored in half precision; vectors, such as those of batch normalisation,
    stay in single precision. Results are measured with the weights as stored. Whatever
    interrupts the saving (a kill, a full disk, a loss of power), the folder holds the
    old model or the new one.

    Args:
        model: The model.
        folder: Folder to write; created if it does not exist. Its name becomes the
            model's.
        dataset: Data to measure the model on (test part) and its threshold frontier
            (validation part). Without it the card has no results, the model's own
            frontier is kept, and the card says so if training made the thresholds
            stale.
        training: How the model was trained, for the card; see
            `zoo.measure.provenance`.
        notes: Sentences for the card.
        weight_bits: 8 or 6 stores large kernels in so many bits, which makes the file
            half as large or smaller; 32 keeps all weights as they are. See
            `zoo.weights.stored`.

    Returns:
        The record written to `config.json`.

    Raises:
        OSError: The folder cannot be written; what was there stays.
        ValueError: A weight is NaN or infinite, or `weight_bits` is unknown.
    """
    from keras.saving import get_registered_name

    from zoo import measure, weights

    folder = files.make_folder(folder)
    name = folder.resolve().name  # absolute, so that `.` has a name, too
    data = weights.dumps(weights.stored(weights.arrays(model), weight_bits))
    described = {
        "class_name": get_registered_name(type(model)).removeprefix(f"{PACKAGE}>"),
        # The frontier and the names have fields of their own in the record.
        "config": model.get_config()
        | {"name": valid_name(name), "frontier": (), "class_names": None},
    }
    stored = _build(records.to_dict(described), CONFIG)
    weights.assign(stored, weights.loads(data, WEIGHTS)[0], WEIGHTS)
    named = dataset.class_names if dataset is not None else model.class_names
    facts: dict[str, Any] = {"frontier": model.frontier, "data": None, "results": None}
    if dataset is not None:
        facts = measure.facts(stored, dataset)
    elif model.thresholds_are_stale:
        notes = (*notes, STALE)
    written = ModelRecord(
        name=name,
        model=described,
        num_classes=model.num_classes,
        exit_names=model.exit_names(),
        macs=model.macs,
        class_names=tuple(named) if named else None,
        weights=WeightsRecord(
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            parameters=model.macs.parameters,
            bits=None if weight_bits == 16 else weight_bits,
        ),
        training=training,
        notes=tuple(notes),
        **facts,
    )
    written = records.from_dict(records.to_dict(written), ModelRecord)
    _write(folder, written, data)
    return written


def _write(folder: pathlib.Path, written: ModelRecord, weights: bytes) -> None:
    """Replace a model's files so that there is a whole model at any moment.

    New weights wait under a name of their own, their checksum, for the record that goes
    with them, and take the place of the old ones when it is there.
    """
    config, card = records.dumps(written), render(written)
    waiting = _waiting(folder, written)
    with files.locked(folder):
        for name in (f"{WEIGHTS}.*", CONFIG, CARD):
            files.remove_partial(folder, name)
        files.write_bytes(waiting, weights)
        files.write_text(folder / CONFIG, config)
        files.rename(waiting, folder / WEIGHTS)
        files.write_text(folder / CARD, card)
        for left in folder.glob(f"{WEIGHTS}.{'[0-9a-f]' * 16}"):  # by a kill
            left.unlink(missing_ok=True)


def _waiting(folder: pathlib.Path, noted: ModelRecord) -> pathlib.Path:
    """The file of a record's weights while they are not in their place."""
    return folder / f"{WEIGHTS}.{noted.weights.sha256[:16]}"


def _folder(name: str | os.PathLike) -> pathlib.Path:
    for folder in (PRETRAINED / str(name), pathlib.Path(name)):
        if (folder / CONFIG).is_file():
            return folder
    if (folder / TRAINING).is_file():
        raise ValueError(
            f"The training in {folder} has not ended; repeat its command to continue."
        )
    raise ValueError(
        f"{unknown('pretrained model', name, list_models())} There is no folder of "
        f"that name with a {CONFIG} either."
    )


def _checked_weights(folder: pathlib.Path, noted: ModelRecord) -> bytes:
    """The model's weights, also where a kill kept them from their place."""
    path, found = folder / WEIGHTS, False
    for candidate in (_waiting(folder, noted), path):
        with contextlib.suppress(FileNotFoundError):
            data, found = candidate.read_bytes(), True
            if hashlib.sha256(data).hexdigest() == noted.weights.sha256:
                return data
    if not found:
        raise FileNotFoundError(
            f"{path} is missing. Install the package again, or pass weights=False for "
            "random weights."
        )
    raise ValueError(
        f"{path} is damaged: its SHA-256 is not the one in {CONFIG}. Install the "
        "package again, or save the model again."
    )


def update(name: str | os.PathLike, dataset: Dataset) -> ModelRecord:
    """Measure a saved model again, and write its record and its card anew.

    Weights, thresholds, training and notes stay. Use it on a folder that an older
    version wrote, which lacks what is measured today.

    Args:
        name: A pretrained model's name, or a folder that `save` wrote.
        dataset: The data set that the model was measured on; any, if it was on none.

    Returns:
        The record written to `config.json`.

    Raises:
        OSError: The folder cannot be written; what was there stays.
        ValueError: There is no such model, or the data set is another one.
    """
    from zoo import measure

    folder, noted = _folder(name), record(name)
    given = measure.describe(dataset)
    if noted.data is not None and noted.data.fingerprint != given.fingerprint:
        raise ValueError(
            f"{name} was measured on {_described(noted.data)}; this is "
            f"{_described(given)}. To record other data, save the model with it."
        )
    return _rewrite(folder, replace(noted, **measure.facts(load(folder), dataset)))


def note_device(name: str | os.PathLike, device: DeviceRecord) -> ModelRecord:
    """Note what a saved model is on a device in its record and its card.

    Args:
        name: A pretrained model's name, or a folder that `save` wrote.
        device: What was measured of these weights.

    Returns:
        The record written to `config.json`.

    Raises:
        OSError: The folder cannot be written; what was there stays.
        ValueError: There is no such model, or other weights were measured.
    """
    noted = record(name)
    if device.weights != noted.weights.sha256:
        raise ValueError(f"{name} has other weights than those that were measured.")
    return _rewrite(_folder(name), replace(noted, device=device))


def _rewrite(folder: pathlib.Path, written: ModelRecord) -> ModelRecord:
    """Replace the record and the card of a model whose weights stay."""
    with files.locked(folder):
        records.write(folder / CONFIG, written)
        files.write_text(folder / CARD, render(written))
    return written


def _described(data: DataRecord) -> str:
    return (
        f"{data.name} with the fingerprint {data.fingerprint} ({data.train:,}, "
        f"{data.validation:,} and {data.test:,} images)"
    )
