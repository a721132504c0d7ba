"""What is known about a saved model, as a typed record; see `zoo.records`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from zoo.architecture import Architecture
from zoo.checks import (
    check_shares,
    check_thresholds,
    list_of,
    require_length,
    require_types,
    whole_number,
)
from zoo.cost import CONVENTIONS, Cost, macs
from zoo.device_record import DeviceRecord
from zoo.exits import OperatingPoint
from zoo.operating_points import check_points
from zoo.records import added, record, to_dict

FIRST_CLASS = "EarlyExitClassifier"  # of every model in format 1


@dataclass(frozen=True)
class WeightsRecord:
    """The file of a model's weights.

    Attributes:
        sha256: Its checksum, hexadecimal.
        bytes: Its size.
        parameters: Trainable parameters of the whole network.
        bits: Precision of the kernels; see `zoo.save`. None: 16.
    """

    sha256: str
    bytes: int
    parameters: int
    bits: int | None = added()


@dataclass(frozen=True)
class DataRecord:
    """The data set that a model was trained and measured on.

    Attributes:
        name: Its name.
        fingerprint: Of its images; two data sets of one name may differ.
        train: Number of images to train on.
        validation: Number of images to choose thresholds on.
        test: Number of images to report on.
        image_size: Height and width of the images; None: not noted.
    """

    name: str
    fingerprint: str
    train: int
    validation: int
    test: int
    image_size: tuple[int, int] | None = added()


@dataclass(frozen=True)
class Report:
    """An evaluation, like `zoo.exits.Evaluation`, with MACs in every convention.

    The last four were not always measured; None: unknown.

    Attributes:
        thresholds: One per exit but the last; 1: switched off.
        accuracy: Share of correct answers by the exit rule, 0..1.
        average_macs: MACs for one image, averaged over the samples, by convention.
        utilisation: Share of the samples that leave at each exit, the final one last.
        exit_accuracy: Accuracy of each exit on all samples.
        leaving_accuracy: Accuracy of each exit on the samples that leave there; None
            where none does.
        macs: MACs spent by a sample that leaves at each exit, by convention.
        samples: Number of samples.
        calibration_error: Expected calibration error of each exit on all samples.
        failure_auroc: How well each exit's confidence tells right answers from wrong
            ones, on all samples; None where there are only right ones or wrong ones.
        oracle_accuracy: Share of the samples for which an exit in use is right.
        gain_over_single_exits: Accuracy minus that of the best single exit at equal
            average MACs, in the standard convention.
    """

    thresholds: tuple[float, ...]
    accuracy: float
    average_macs: dict[str, float]
    utilisation: tuple[float, ...]
    exit_accuracy: tuple[float, ...]
    leaving_accuracy: tuple[float | None, ...]
    macs: dict[str, tuple[int, ...]]
    samples: int
    calibration_error: tuple[float, ...] | None = added()
    failure_auroc: tuple[float | None, ...] | None = added()
    oracle_accuracy: float | None = added()
    gain_over_single_exits: float | None = added()

    def check(self, num_exits: int, field: str) -> None:
        """Raise a ValueError if this is not of a network with so many exits."""
        for key in ("macs", "average_macs"):
            if "standard" not in getattr(self, key):
                raise ValueError(f"{field}.{key} has no 'standard'")
        for spent in self.macs.values():
            require_length(f"{field}.macs", spent, num_exits)
        check_thresholds(self.thresholds, f"{field}.thresholds", num_exits - 1)
        check_shares(f"{field}.accuracy", (self.accuracy,), 1)
        for key in ("utilisation", "exit_accuracy", "leaving_accuracy"):
            check_shares(f"{field}.{key}", getattr(self, key), num_exits)
        for key in ("calibration_error", "failure_auroc"):
            if getattr(self, key) is not None:
                check_shares(f"{field}.{key}", getattr(self, key), num_exits)
        if self.oracle_accuracy is not None:
            check_shares(f"{field}.oracle_accuracy", (self.oracle_accuracy,), 1)


def _upgrade(data: dict[str, Any]) -> dict[str, Any]:
    """Format 1 knew one class of models, and called initial weights a start."""
    config = data["model"]
    network = Architecture.from_dict(config["architecture"])
    classes = config["num_classes"]
    new = data | {
        "model": {"class_name": FIRST_CLASS, "config": config},
        "num_classes": classes,
        "exit_names": network.exit_names,
        "macs": to_dict(macs(network, classes)),
    }
    if data.get("training"):
        new["training"] = {
            "initial_weights" if key == "start" else key: value
            for key, value in data["training"].items()
        }
    return new


@record("model", format=2, upgrade=_upgrade)
@dataclass(frozen=True)
class ModelRecord:
    """A saved model: what it is, how it was trained and what was measured of it.

    Attributes:
        name: Its name.
        model: What rebuilds it: `class_name`, and the `config` of `get_config`.
        num_classes: Number of classes.
        exit_names: What to call its exits, the final classifier last.
        macs: What it computes for one image, in standard MACs.
        class_names: Names of the classes; None: unknown.
        weights: The file of its weights.
        training: How it was trained, such as `recipe`, `seed` and `initial_weights`;
            None: unknown.
        notes: Sentences for the card.
        frontier: Its Pareto-optimal threshold settings on the validation split, in
            standard MACs.
        data: The data set; None: not measured on one.
        results: Reports by split, "validation" and "test"; None: not measured.
        device: What it is on a device, in several formats; None: not measured.
    """

    name: str
    model: dict[str, Any]
    num_classes: int
    exit_names: tuple[str, ...]
    macs: Cost
    class_names: tuple[str, ...] | None
    weights: WeightsRecord
    training: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    frontier: tuple[OperatingPoint, ...] = ()
    data: DataRecord | None = None
    results: dict[str, Report] | None = None
    device: DeviceRecord | None = added()

    def __post_init__(self) -> None:
        for key, kind in (("class_name", str), ("config", dict)):
            if not isinstance(self.model.get(key), kind):
                raise ValueError(f"model has no {key}; expected class_name and config")
        whole_number("num_classes", self.num_classes, 2)
        exits = len(self.exit_names)
        require_length("macs.backbone", self.macs.backbone, exits)
        require_length("macs.branches", self.macs.branches, exits - 1)
        if self.class_names is not None:
            require_length("class_names", self.class_names, self.num_classes)
        check_points(self.frontier, exits)
        for part in ("validation", "test") if self.results is not None else ():
            if part not in self.results:
                raise ValueError(f"results has no {part!r}")
            self.results[part].check(exits, f"results.{part}")
        for key in ("recipe", "thresholds"):
            value = (self.training or {}).get(key)
            if not isinstance(value, (dict, type(None))):
                raise ValueError(f"training.{key} is {value!r}; expected an object")
        weights = list_of("exit_weights", self.config.get("exit_weights") or ())
        require_types("exit_weights", weights, (int, float))

    @property
    def class_name(self) -> str:
        """The class of the model."""
        return self.model["class_name"]

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that rebuild the model."""
        return self.model["config"]

    @cached_property
    def architecture(self) -> Architecture | None:
        """The network of the paper's space; None: another kind of network.

        Raises:
            ValueError: The record of it is broken.
        """
        found = self.config.get("architecture")
        return None if found is None else Architecture.from_dict(found)

    @property
    def conventions(self) -> tuple[str, ...]:
        """The conventions that its MACs can be counted in; see `zoo.macs`."""
        return CONVENTIONS if self.architecture is not None else ("standard",)

    def cost(self, convention: str = "standard") -> Cost:
        """What the network computes for one image.

        Raises:
            ValueError: Only an `Architecture` can be counted in another convention.
        """
        if convention == "standard":
            return self.macs
        if self.architecture is None:
            raise ValueError(
                f"convention is {convention!r}; {self.name} supports only 'standard'."
            )
        return macs(self.architecture, self.num_classes, convention)

    @property
    def initial_weights(self) -> str | None:
        """Name of the model that the training started from; None: random weights."""
        return (self.training or {}).get("initial_weights")

    @property
    def recipe(self) -> dict[str, Any] | None:
        """The recipe of the training; None: unknown."""
        return (self.training or {}).get("recipe")
