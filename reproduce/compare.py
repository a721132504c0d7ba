"""Train early-exit networks and static ones alike, and measure them."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from reproduce.comparison import (
    ComparedNetwork,
    ComparisonRecord,
    ContenderRecord,
    LatencyRecord,
    Setting,
)
from search.records import DataSource
from zoo import data, exits, records, training
from zoo.cards import thinned
from zoo.checks import whole_number
from zoo.data import Dataset
from zoo.measure import predict, provenance

IMAGES, EPOCHS, SEEDS = 10_000, 12, (1, 2, 3)
BATCH, RATE = 64, 0.03  # of the recipe "long", for few images
SETTINGS = 24  # of a frontier that are kept
ROW, LATENCY = "contender.json", "latency.json"  # in a training's folder, and beside it


def run(
    directory: str | os.PathLike,
    *,
    names: Sequence[str] = (),
    seeds: Sequence[int] = SEEDS,
    source: str = "cifar10",
    data_dir: str | os.PathLike | None = None,
    images: int = IMAGES,
    epochs: int = EPOCHS,
    finished: bool = False,
    progress: Callable[[ContenderRecord], None] = lambda row: None,
) -> tuple[Dataset, list[ContenderRecord]]:
    """Train networks, one after the other, and measure them.

    The same call after an interruption continues. Several processes can work in one
    directory, each with other networks or seeds.

    Args:
        directory: Folder in which every training gets a folder of its own.
        names: Which of `contenders.CONTENDERS`. Default: all.
        seeds: Seeds of weights and trainings.
        source: The data set.
        data_dir: Folder of the data; see `zoo.data.load`.
        images: Training images to use, the first ones.
        epochs: Epochs of each training.
        finished: Train nothing; take the trainings that are at their end.
        progress: Called after every network.

    Returns:
        The data with that many training images, and what the trainings came to.

    Raises:
        ValueError: There is no such network, or a folder holds another training.
    """
    from reproduce import contenders

    names = list(names) or list(contenders.CONTENDERS)
    chosen = {name: contenders.get(name) for name in names}
    base = recipe(epochs)
    dataset = data.load(source, data_dir)
    images = whole_number("images", images, 1)
    dataset = dataclasses.replace(dataset, train=dataset.train.take(images))
    rows = []
    for seed in seeds:
        for name, contender in chosen.items():
            folder = pathlib.Path(directory) / f"{name}_seed{seed}"
            if finished and not (folder / ROW).is_file():
                continue
            own = dataclasses.replace(base, **contender.changes)
            rows.append(train(name, dataset, own, seed, folder))
            progress(rows[-1])
    return dataset, rows


def recipe(epochs: int) -> training.Recipe:
    """The recipe of every network, but for its changes."""
    return training.recipe("long", epochs=epochs, batch_size=BATCH, learning_rate=RATE)


def train(
    name: str,
    dataset: Dataset,
    recipe: training.Recipe,
    seed: int,
    folder: pathlib.Path,
) -> ContenderRecord:
    """Train and measure a network, unless its folder holds it at its end.

    Raises:
        ValueError: The folder holds another training, or another process is training
            there.
    """
    import keras

    from reproduce import contenders

    how = _plain(recipe)
    if (folder / ROW).is_file():
        row = records.read(folder / ROW, ContenderRecord)
        given = {"data": dataset.fingerprint, "recipe": how}
        changed = [key for key, value in given.items() if getattr(row, key) != value]
        if changed:
            raise ValueError(
                f"{folder} holds a training that differs in {', '.join(changed)}. Use "
                "the same settings, or another folder."
            )
        return row
    keras.utils.set_random_seed(seed)
    model = contenders.get(name).build(dataset.num_classes)
    trained = training.train(
        model, dataset, recipe, folder, seed, validate=False, verbose=0
    )
    logits, answers = (
        predict(model, split.images) for split in (dataset.validation, dataset.test)
    )
    chosen = exits.frontier(
        logits, dataset.validation.labels, model.macs, rule=model.exit_rule
    )
    settings, found = [], None
    for point in thinned(chosen, SETTINGS):
        found = exits.evaluate(
            answers, dataset.test.labels, model.macs, point.thresholds, model.exit_rule
        )
        settings.append(
            Setting(
                thresholds=point.thresholds,
                chosen_accuracy=point.accuracy,
                chosen_macs=point.average_macs,
                accuracy=found.accuracy,
                average_macs=found.average_macs,
                utilisation=found.utilisation,
            )
        )
    architecture = getattr(model, "architecture", None)
    row = ContenderRecord(
        contender=name,
        seed=seed,
        data=dataset.fingerprint,
        recipe=how,
        architecture=architecture and architecture.to_dict(),
        macs=model.macs,
        exit_accuracy=found.exit_accuracy,
        frontier=tuple(settings),
        seconds=trained.seconds,
    )
    folder.mkdir(parents=True, exist_ok=True)
    records.write(folder / ROW, row)
    keras.backend.clear_session()
    return row


def _plain(recipe: training.Recipe) -> dict[str, Any]:
    """A recipe as a record holds it."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def record(
    directory: str | os.PathLike,
    dataset: Dataset,
    rows: Sequence[ContenderRecord],
    progress: Callable[[str], None] = lambda text: None,
) -> ComparisonRecord:
    """The record of what was trained; latencies are measured unless they are known.

    Args:
        directory: That of the trainings, in which the latencies are kept.
        dataset: What `run` returned.
        rows: Likewise.
        progress: Is told what comes next.

    Raises:
        ValueError: Nothing is trained, or this process cannot export networks.
    """
    from reproduce import contenders

    if not rows:
        raise ValueError(f"No training in {directory} is finished.")
    trained = {row.contender for row in rows}
    chosen = {k: v for k, v in contenders.CONTENDERS.items() if k in trained}
    first = rows[0]
    base = recipe(first.recipe["epochs"])
    return ComparisonRecord(
        data=DataSource(dataset.name, first.data),
        num_classes=dataset.num_classes,
        images=len(dataset.train.labels),
        test_images=len(dataset.test.labels),
        recipe=_plain(base),
        networks=tuple(
            ComparedNetwork(name, each.family, each.text, dict(each.changes))
            for name, each in chosen.items()
        ),
        rows=tuple(rows),
        latency=_latency(pathlib.Path(directory), dataset, chosen, progress),
        provenance=provenance(),
    )


def _latency(
    directory: pathlib.Path,
    dataset: Dataset,
    chosen: dict[str, Any],
    progress: Callable[[str], None],
) -> LatencyRecord:
    """The latencies of the networks: those in the folder, else measured together."""
    from reproduce import latency

    path = directory / LATENCY
    if path.is_file():
        known = records.read(path, LatencyRecord)
        if set(chosen) <= set(known.segments):
            kept = {name: known.segments[name] for name in chosen}
            return dataclasses.replace(known, segments=kept)
    builders = {
        name: partial(each.build, dataset.num_classes) for name, each in chosen.items()
    }
    size = dataset.test.images.shape[1]
    found = latency.measure(builders, size, progress=progress)
    records.write(path, found)
    return found
