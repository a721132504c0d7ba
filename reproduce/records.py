"""What experiments and measurements leave behind, as typed records.

The shipped ones are in `RESULTS`, which a checkout of the repository has and an
installed package has not; run in a checkout, that finds those of the checkout. A folder
of records has the same layout everywhere:

    experiments/SCALE/NAME_seedN.json   experiments, see `reproduce.runs`; large ones
                                        end in .json.gz
    digits_oracles/, lite0_exits/       searches to compare, METHOD_seedN.json
    searches/                           other searches
    from_scratch/, rounds/, baselines/  models that are not shipped
    device/NAME.json                    models on a device
    latency_tables/NAME.json            latency tables of `search latency-table`
    surrogates_archive.json, finetune_digits.json, pixel_exact.json, skipping.json,
    ranking.json, contenders.json
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from reproduce.comparison import ComparisonRecord
from search.latency import LatencyTable
from search.records import DataSource, Ranking, SearchRecord, upgrade_search
from zoo import records
from zoo.device_record import DeviceRecord
from zoo.exits import Evaluation
from zoo.model_record import ModelRecord, Report
from zoo.records import record
from zoo.speeds import BenchmarkRecord


def _shipped(package: pathlib.Path, here: pathlib.Path) -> pathlib.Path:
    """The results in the package, or else in a checkout that is the current folder."""
    inside, checkout = package / "results", here / "reproduce" / "results"
    return checkout if checkout.is_dir() and not inside.is_dir() else inside


RESULTS = _shipped(pathlib.Path(__file__).parent, pathlib.Path.cwd())
BASELINES, FROM_SCRATCH = "baselines", "from_scratch"
ORACLES, EXITS = "digits_oracles", "lite0_exits"
DEVICE, TABLES = "device", "latency_tables"
SURROGATES, FINETUNE, PIXEL_EXACT, SKIPPING = (
    "surrogates_archive.json",
    "finetune_digits.json",
    "pixel_exact.json",
    "skipping.json",
)
RANKING, COMPARISON = "ranking.json", "contenders.json"
R = TypeVar("R")


@dataclass(frozen=True)
class Selected:
    """The candidate that an experiment reports.

    Attributes:
        trial: Which of the search.
        test: Measured on the test split, after any further training.
        tuned: Measured on the validation split after it was trained further, for as
            many epochs as its scale says; None: it was not.
    """

    trial: str
    test: Report
    tuned: Evaluation | None = records.added()


@record("run", format=2, upgrade=upgrade_search)
@dataclass(frozen=True, kw_only=True)
class RunRecord(SearchRecord):
    """An experiment that was run: its search, and what it reports.

    Attributes:
        experiment: Its name.
        scale: How much of it was done.
        selected: The candidate that is reported.
        wall_seconds: Wall time, with any interruption counted from its last trial on
            left out.
    """

    experiment: str
    scale: str
    selected: Selected
    wall_seconds: float


@dataclass(frozen=True)
class Measured:
    """What a model does on some images.

    Attributes:
        samples: Number of images.
        accuracy: By the exit rule, 0..1.
        average_macs: MACs for one image, by convention.
    """

    samples: int
    accuracy: float
    average_macs: dict[str, float]


@dataclass(frozen=True)
class ExactRow:
    """A model on all test images, and on those that are pixel-exact.

    Attributes:
        model: Its name.
        weights: SHA-256 of its weights.
        all: On all test images.
        exact: Without the JPEG copies.
    """

    model: str
    weights: str
    all: Measured
    exact: Measured


@record("pixel_exact", format=1)
@dataclass(frozen=True)
class PixelExactRecord:
    """The models of a data set with and without its JPEG copies.

    Attributes:
        data: The data set.
        rows: One per model.
        provenance: Versions and hardware.
    """

    data: DataSource
    rows: tuple[ExactRow, ...]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Tuning:
    """One training of `reproduce.finetune`, measured on the test split.

    Attributes:
        initial_weights: "pretrained" or "random".
        seed: Of everything.
        epochs: Of the training.
        accuracy: By the exit rule, 0..1.
        exit_accuracy: Of each exit on all images.
        average_macs: MACs for one image, by convention.
        seconds: Of the training.
    """

    initial_weights: str
    seed: int
    epochs: int
    accuracy: float
    exit_accuracy: tuple[float, ...]
    average_macs: dict[str, float]
    seconds: float


def _upgrade_finetune(data: dict[str, Any]) -> dict[str, Any]:
    rows = [row | {"initial_weights": row["start"]} for row in data["rows"]]
    return data | {"rows": rows}


@record("finetune", format=2, upgrade=_upgrade_finetune)
@dataclass(frozen=True)
class FinetuneRecord:
    """A pretrained model fine-tuned, beside the same network from random weights.

    Attributes:
        model: The model.
        weights: SHA-256 of its weights.
        data: What it was fine-tuned on.
        rows: One per training.
        provenance: Versions and hardware.
    """

    model: str
    weights: str
    data: DataSource
    rows: tuple[Tuning, ...]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Prediction:
    """How a surrogate predicted every candidate of an archive from all others.

    Attributes:
        surrogate: Its name.
        inputs: What it sees of a candidate.
        target: "error", in points, or "average MACs", in millions.
        quality: How well the predictions agree with the truth.
        true: The truth, one number per candidate.
        predicted: The predictions.
    """

    surrogate: str
    inputs: str
    target: str
    quality: Ranking
    true: tuple[float, ...]
    predicted: tuple[float, ...]


def _upgrade_surrogates(data: dict[str, Any]) -> dict[str, Any]:
    provenance = dict(data["provenance"])
    return data | {
        "seed": provenance.pop("seed"),
        "rows": [row | {"quality": row} for row in data["rows"]],
        "provenance": provenance,
    }


@record("surrogate_quality", format=2, upgrade=_upgrade_surrogates)
@dataclass(frozen=True)
class SurrogateQualityRecord:
    """How well surrogates predict the candidates of the authors' archive.

    Attributes:
        seed: Of the surrogates.
        rows: One per surrogate, inputs and target.
        provenance: Versions and hardware.
    """

    seed: int
    rows: tuple[Prediction, ...]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class RankedNetwork:
    """A network of `reproduce.ranking`; accuracies are of each exit, 0..1.

    Attributes:
        architecture: As `Architecture.to_dict` gives it.
        macs: Of an image that leaves at each exit.
        inherited: Accuracy with the supernet's weights.
        short: After the training of a search's candidate.
        long: After the separate training.
    """

    architecture: dict[str, Any]
    macs: tuple[int, ...]
    inherited: tuple[float, ...]
    short: tuple[float, ...]
    long: tuple[float, ...]


@record("ranking", format=1)
@dataclass(frozen=True, kw_only=True)
class RankingRecord:
    """Whether inherited accuracies rank networks as separate training does.

    Attributes:
        supernet: Digest of its weights.
        initial: Likewise of the supernet that the separate training took its initial
            weights from; None: random weights.
        data: The data set; accuracies are of its validation split.
        num_classes: Its classes.
        recipe: Of the separate training.
        short_images: Training images of the short one.
        seed: Of the networks and of their trainings.
        rows: One per network.
        provenance: Versions and hardware.
    """

    supernet: str
    initial: str | None
    data: DataSource
    num_classes: int
    recipe: dict[str, Any]
    short_images: int
    seed: int
    rows: tuple[RankedNetwork, ...]
    provenance: dict[str, Any]


KINDS = (
    *(RunRecord, SearchRecord, ModelRecord),
    *(FinetuneRecord, PixelExactRecord, SurrogateQualityRecord, BenchmarkRecord),
    *(RankingRecord, ComparisonRecord, DeviceRecord, LatencyTable),
)


def check_folder(results: str | os.PathLike) -> pathlib.Path:
    """A folder of records as a path.

    Raises:
        FileNotFoundError: There is no such folder; the message says where records are.
    """
    results = pathlib.Path(results)
    if results.is_dir():
        return results
    if results == RESULTS:
        raise FileNotFoundError(
            "The recorded results are not part of the installed package: clone the "
            "repository and run the command in it, or pass --results DIR."
        )
    raise FileNotFoundError(
        f"There are no records in {results}; expected a folder such as `run` writes."
    )


def read(results: str | os.PathLike, name: str, kind: type[R], command: str) -> R:
    """The record of a measurement in a folder of records.

    Args:
        results: The folder.
        name: The file.
        kind: Class of the record.
        command: What makes such a record, for the message.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is damaged, or of another kind.
    """
    path = check_folder(results) / name
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {name} in {results}; `{command} --out FILE` makes one."
        )
    return records.read(path, kind)


def epochs(record: ModelRecord) -> int | None:
    """Epochs that a model was trained for; None: unknown."""
    return (record.recipe or {}).get("epochs")


def devices(results: str | os.PathLike) -> Iterator[DeviceRecord]:
    """The models on a device in a folder of records, by file.

    Raises:
        ValueError: A record is damaged.
    """
    for path in records.paths(pathlib.Path(results) / DEVICE):
        yield records.read(path, DeviceRecord)


def latency_tables(results: str | os.PathLike) -> Iterator[LatencyTable]:
    """The latency tables in a folder of records, by file.

    Raises:
        ValueError: A record is damaged.
    """
    for path in records.paths(pathlib.Path(results) / TABLES):
        yield records.read(path, LatencyTable)


def models(results: str | os.PathLike, part: str = BASELINES) -> Iterator[ModelRecord]:
    """The models of a folder of records that are not shipped, by name.

    Args:
        results: The folder of records.
        part: The folder in it.

    Raises:
        ValueError: A record is damaged.
    """
    for path in records.paths(pathlib.Path(results) / part):
        yield records.read(path, ModelRecord)
