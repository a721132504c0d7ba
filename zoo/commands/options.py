"""Options that several commands have, and what they stand for."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import warnings
from typing import TYPE_CHECKING, Any

from zoo.cost import CONVENTIONS
from zoo.terminal import add_data_dir, add_load, add_size

if TYPE_CHECKING:
    from zoo.architecture import Architecture
    from zoo.data import Dataset
    from zoo.model import EarlyExitModel
    from zoo.model_record import DataRecord


def add_model(parser: argparse.ArgumentParser, **settings: Any) -> None:
    """The argument MODEL, and `--load` for code that it may need."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="name of a pretrained model, a folder, or a .keras file",
        **settings,
    )
    add_load(parser)


def add_data(parser: argparse.ArgumentParser, own: str = "the model's own") -> None:
    """The options `--data` and `--data-dir`; `own` says what the default is."""
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="data set: a name, an .npz file, or a folder of pictures, which has one "
        "folder per class, or train, validation and test with one folder per class "
        f"each (default: {own})",
    )
    add_data_dir(parser)
    add_size(parser)


def add_convention(parser: argparse.ArgumentParser) -> None:
    """The option `--convention`."""
    parser.add_argument(
        "--convention",
        choices=CONVENTIONS,
        default="standard",
        help="how MACs are counted: as in the literature (standard, the default) or "
        "as the authors' tools do (aebnas)",
    )


def add_budget(parser: argparse.ArgumentParser) -> Any:
    """The options that choose thresholds; returns their exclusive group."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--max-macs",
        type=float,
        metavar="N",
        help="choose thresholds on the validation split: the most accurate ones that "
        "need at most N MACs on average, such as 2.4e6",
    )
    group.add_argument(
        "--target-macs",
        type=float,
        metavar="N",
        help="choose thresholds on the validation split: the best by the paper's "
        "score, which trades accuracy for closeness to N average MACs",
    )
    add_convention(parser)
    return group


def add_thresholds(group: Any) -> None:
    """The option `--thresholds`, in the group of `add_budget`."""
    group.add_argument(
        "--thresholds",
        metavar="T,T,...",
        help="thresholds from 0 to 1, one for each exit but the final one; 1 switches "
        "an exit off (default: the model's)",
    )


def add_stored_budget(parser: argparse.ArgumentParser) -> None:
    """The options that set thresholds where there are no labels to measure with."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--max-macs",
        type=float,
        metavar="N",
        help="choose the most accurate thresholds of the stored frontier that need at "
        "most N MACs on average, such as 2.4e6",
    )
    add_thresholds(group)
    add_convention(parser)


def add_all(parser: argparse.ArgumentParser) -> None:
    """The option `--all`."""
    parser.add_argument(
        "--all", action="store_true", help="show every setting, not a selection"
    )


def model_and_data(
    options: argparse.Namespace,
) -> tuple[EarlyExitModel, Dataset]:
    """The model, and the data set named or else the one it was measured on.

    Raises:
        ValueError: The model records no data set and none is named, or their numbers
            of classes differ.
    """
    from zoo import data, registry

    noted = recorded_data(options.model, needed=options.data is None)
    name, size = options.data, options.size
    if name is None:
        name = noted.name
    path = data.path_of(name, options.data_dir)
    pictures = path is not None and path.is_dir()
    if pictures and size is None and noted is not None and noted.image_size:
        size = noted.image_size[0]
    model = registry.load(options.model)
    dataset = load_data(options, name, size=size)
    if dataset.num_classes != model.num_classes:
        raise ValueError(
            f"{options.model} has {model.num_classes} classes, {name} has "
            f"{dataset.num_classes}."
        )
    if pictures and model.class_names and model.class_names != dataset.class_names:
        raise ValueError(
            f"{options.model} has the classes {', '.join(model.class_names)}, the "
            f"folders in {name} are {', '.join(dataset.class_names)}."
        )
    return model, dataset


def recorded_data(source: str, needed: bool) -> DataRecord | None:
    """What a model's record says of its data set, if it has one.

    Args:
        source: The model.
        needed: Whether no other data set is named.

    Raises:
        ValueError: There is no record of a data set, and it is needed.
    """
    from zoo import registry

    noted = None if registry.is_keras_file(source) else registry.record(source).data
    if noted is None and needed:
        raise ValueError(f"{source} records no data set; name one with --data.")
    return noted


def load_data(options: argparse.Namespace, name: str, **pictures: Any) -> Dataset:
    """The data set of that name; pictures left out are told on standard error.

    Args:
        options: Those of `add_data`.
        name: The name.
        **pictures: Options for a folder of pictures; see `zoo.data.load`.
    """
    from zoo import data

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always", UserWarning)
        dataset = data.load(name, options.data_dir, **pictures)
    for each in warned:
        print(each.message, file=sys.stderr)
    return dataset


def choose_thresholds(
    model: EarlyExitModel, dataset: Dataset, options: argparse.Namespace
) -> None:
    """Set the thresholds that options of `add_budget` or `add_thresholds` ask for."""
    from zoo import measure

    if options.thresholds is not None:
        model.thresholds = _floats(options.thresholds)
    if options.max_macs is not None:
        choose = measure.within(options.max_macs)
    elif options.target_macs is not None:
        choose = measure.towards(options.target_macs)
    else:
        return
    images, labels = dataset.validation
    cost = model.cost(options.convention)
    point = choose(measure.predict(model, images), labels, cost, model.exit_rule)
    model.thresholds = point.thresholds


def stored_thresholds(model: EarlyExitModel, options: argparse.Namespace) -> None:
    """Set the thresholds that the options of `add_stored_budget` ask for, if any."""
    if options.thresholds is not None:
        model.thresholds = _floats(options.thresholds)
    if options.max_macs is not None:
        if not model.frontier:
            raise ValueError(
                f"{options.model} has no stored frontier to choose from; use "
                "--thresholds instead of --max-macs."
            )
        model.set_budget(options.max_macs, convention=options.convention)


def _floats(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--thresholds is {text!r}; expected numbers such as 0.3,0.5."
        ) from None


def architecture(source: str) -> Architecture:
    """The architecture in a JSON file or in a model's record, or that of a model.

    Raises:
        ValueError: There is no such file or model, or it holds no architecture.
    """
    from zoo import records, registry
    from zoo.architecture import Architecture
    from zoo.model_record import ModelRecord

    path = pathlib.Path(source)
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or "model" not in found:
            return Architecture.from_json(path)
        record = records.from_dict(found, ModelRecord, where=source, assume=ModelRecord)
    else:
        record = registry.record(source)
    if record.architecture is None:
        raise ValueError(
            f"{source} is not a network of the paper's search space. To train it "
            "further, use zoo train --initial-weights."
        )
    return record.architecture
