"""Does inheritance rank? Inherited accuracies beside those of stand-alone training."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from reproduce.records import RankedNetwork, RankingRecord
from search import SearchSpace
from search.records import DataSource
from search.supernet import stored
from search.surrogate import kendall, spearman
from zoo import data, exits, pipeline, registry, training
from zoo.architecture import Architecture
from zoo.classifier import EarlyExitClassifier
from zoo.cost import macs
from zoo.data import Dataset
from zoo.measure import provenance

if TYPE_CHECKING:
    from search.supernet.inheriting import SubNetwork
    from search.supernet.network import Supernet

DRAWN = 1000  # random architectures from which those to compare are taken
SHORT = "short"  # recipe of a search's candidates without a supernet
SHORT_IMAGES = 5000
BANDS = 3  # of MACs, with equally many networks in each


COLUMNS = (
    *("measure", "exit", "Spearman", "Kendall"),
    "Spearman within bands of MACs",
)


def architectures(
    count: int, resolutions: Sequence[int], seed: int = 1
) -> list[Architecture]:
    """Random networks with all exits, at equal steps of the quantiles of MACs.

    Args:
        count: How many.
        resolutions: To draw from.
        seed: Of the draw.
    """
    if count < 2 * BANDS:
        raise ValueError(
            f"The number of networks is {count}; expected {2 * BANDS} or more, so that "
            f"there are two in each of the {BANDS} bands of MACs."
        )
    space = SearchSpace(resolutions, thresholds=(0.5,))
    drawn = space.sample(DRAWN, np.random.default_rng(seed))
    found = sorted(map(space.decode, drawn), key=_cost)
    return [found[k] for k in np.linspace(0, DRAWN - 1, count).round().astype(int)]


def _cost(architecture: Architecture) -> int:
    return macs(architecture, num_classes=10).per_exit[-1]


def measure(
    supernet: str | os.PathLike,
    directory: str | os.PathLike,
    *,
    source: str = "cifar10",
    data_dir: str | os.PathLike | None = None,
    count: int = 12,
    epochs: int = 15,
    seed: int = 1,
    resolutions: Sequence[int] = (),
    initial: str | os.PathLike | None = None,
    progress: Callable[[RankedNetwork], None] = lambda row: None,
) -> RankingRecord:
    """Measure networks with inherited weights, briefly trained, and separately trained.

    All accuracies are of the validation split. The same call after an interruption
    continues.

    Args:
        supernet: Name, file or folder of a supernet.
        directory: Folder in which every training gets a folder of its own.
        source: The data set.
        data_dir: Folder of the data; see `zoo.data.load`.
        count: How many networks.
        epochs: Epochs of the separate training, by the recipe "long".
        seed: Of the networks, and of their trainings.
        resolutions: Of the networks; empty: those that the supernet was trained for.
        initial: A supernet that the separate training takes its initial weights from,
            with new classifiers, such as that of ImageNet weights; None: random
            weights.
        progress: Called after every network.
    """
    from search.supernet.inheriting import ANSWERS, Inherit
    from search.supernet.network import Supernet

    directory = pathlib.Path(directory)
    dataset, shared = data.load(source, data_dir), Supernet.load(supernet)
    start = None if initial is None else Supernet.load(initial)
    inherit = Inherit(shared, dataset, directory / ANSWERS)
    labels = dataset.validation.labels
    few = dataclasses.replace(dataset, train=dataset.train.take(SHORT_IMAGES))
    long = training.recipe("long", epochs=epochs)
    trainings = ((few, training.recipe(SHORT), None), (dataset, long, start))
    rows = []
    resolutions = resolutions or stored.about(supernet).resolutions or (32,)
    for architecture in architectures(count, resolutions, seed):
        network = inherit.network(architecture, dataset.num_classes)
        rows.append(
            RankedNetwork(
                architecture.to_dict(),
                network.cost().per_exit,
                _exit_accuracy(network, labels),
                *(_trained(architecture, *each, seed, directory) for each in trainings),
            )
        )
        progress(rows[-1])
    return RankingRecord(
        supernet=shared.digest,
        initial=None if start is None else start.digest,
        data=DataSource(dataset.name, dataset.fingerprint),
        num_classes=dataset.num_classes,
        recipe=dataclasses.asdict(long),
        short_images=SHORT_IMAGES,
        seed=seed,
        rows=tuple(rows),
        provenance=provenance(),
    )


def _exit_accuracy(network: SubNetwork, labels: np.ndarray) -> tuple[float, ...]:
    """Accuracy of each exit with inherited weights."""
    found = exits.evaluate(
        network.logits, labels, network.cost(), network.thresholds, network.exit_rule
    )
    return found.exit_accuracy


def _trained(
    architecture: Architecture,
    dataset: Dataset,
    recipe: training.Recipe,
    initial: Supernet | None,
    seed: int,
    directory: pathlib.Path,
) -> tuple[float, ...]:
    """Accuracy of each exit on the validation split after training on its own."""
    asked = {
        "architecture": architecture.to_dict(),
        "data": dataset.fingerprint,
        "recipe": dataclasses.asdict(recipe),
        "initial": initial and initial.digest,
        "seed": seed,
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    folder = directory / f"{recipe.name}_{digest[:16]}"
    if not (folder / registry.CONFIG).is_file():  # it was not at its end
        keras.utils.set_random_seed(seed)
        model = _start(architecture, dataset, recipe, initial)
        pipeline.fit(
            model, dataset, recipe, folder, seed=seed, validate=False, verbose=0
        )
        keras.backend.clear_session()
    return registry.record(folder).results["validation"].exit_accuracy


def _start(
    architecture: Architecture,
    dataset: Dataset,
    recipe: training.Recipe,
    initial: Supernet | None,
) -> EarlyExitClassifier:
    """The network before its training."""
    if initial is None:
        return EarlyExitClassifier(architecture, dataset.num_classes, crop=recipe.crop)
    from search.supernet.inheriting import IMAGES

    statistics = initial.calibrate(architecture, dataset.train.images[:IMAGES])
    network = initial.extract(architecture, statistics, crop=recipe.crop)
    return network.with_new_classifiers(dataset.num_classes)


@dataclass(frozen=True)
class Agreement:
    """How well a cheap measure ranks networks as separate training does.

    Attributes:
        measure: "inherited", "short training" or "MACs".
        exit: "final", or "all" for the mean of all exits.
        spearman: Rank correlation over all networks.
        kendall: Likewise.
        within: Mean of the Spearman correlations within each band of MACs.
    """

    measure: str
    exit: str
    spearman: float
    kendall: float
    within: float


def measures(record: RankingRecord) -> dict[str, np.ndarray]:
    """What a record holds of its networks, from the cheapest network to the dearest.

    Returns:
        Values of the shape `(networks, exits)`: "inherited", "short training" and
        "separate training", accuracies in 0..1, and "MACs".
    """
    rows = sorted(record.rows, key=lambda row: row.macs[-1])
    return {
        "inherited": np.array([row.inherited for row in rows]),
        "short training": np.array([row.short for row in rows]),
        "MACs": np.array([row.macs for row in rows], float),
        "separate training": np.array([row.long for row in rows]),
    }


def agreement(record: RankingRecord) -> Iterator[Agreement]:
    """How well each measure ranks the networks of a record."""
    found = measures(record)
    separate = found.pop("separate training")
    for name, values in found.items():
        for exit, one, other in (
            ("final", values[:, -1], separate[:, -1]),
            ("all", values.mean(1), separate.mean(1)),
        ):
            bands = zip(np.array_split(one, BANDS), np.array_split(other, BANDS))
            yield Agreement(
                *(name, exit, spearman(other, one), kendall(other, one)),
                float(np.mean([spearman(true, guess) for guess, true in bands])),
            )


def cells(record: RankingRecord) -> list[tuple[str, ...]]:
    """The agreement as text, a cell for each of `COLUMNS`."""
    return [
        (
            *(row.measure, row.exit),
            *(f"{x:.2f}" for x in (row.spearman, row.kendall, row.within)),
        )
        for row in agreement(record)
    ]
