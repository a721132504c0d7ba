"""How much faster is skipping, and how fast is training? In images per second."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from zoo import training as trainings
from zoo.architecture import Architecture, Stage
from zoo.backends import compiled
from zoo.checks import whole_number
from zoo.classifier import EarlyExitClassifier
from zoo.data import CIFAR10_CLASSES, Dataset, Split
from zoo.model import EarlyExitModel
from zoo.speeds import Speed

ROUNDS = 5
STATIC = Architecture(32, (Stage.uniform(depth=2, kernel=5, expansion=3),) * 5)


def benchmark(
    model: EarlyExitModel,
    images: np.ndarray,
    batch_size: int,
    rounds: int = ROUNDS,
    progress: Callable[[str], None] = lambda text: None,
) -> Speed:
    """Time `predict_early` against the full network.

    The two, and each segment by itself, take turns, so that a change in the machine's
    speed affects all of them.

    Args:
        model: The network, with the thresholds to use.
        images: Real images: how many leave early depends on them.
        batch_size: Images computed at once.
        rounds: How often to repeat; medians are reported.
        progress: Is told what comes next, between what is timed.

    Raises:
        ValueError: There are fewer images than one batch, or a number is below 1.
    """
    batch_size = whole_number("batch_size", batch_size, 1)
    rounds = whole_number("rounds", rounds, 1)
    if len(images) < batch_size:
        raise ValueError(
            f"{len(images)} images do not fill a batch of {batch_size}; pass more."
        )
    progress(f"batch {batch_size}: compiling")
    # Whole batches only, so that nothing is compiled anew.
    images = images[: len(images) // batch_size * batch_size]
    network, segments = compiled(model), model.segments()
    taken = model.predict_early(images, batch_size=batch_size).exits
    spent = model.macs.per_exit_at(model.thresholds)
    # Each segment's full batch of input, and the share of the images that reach it.
    inputs = [ops.convert_to_tensor(images[:batch_size], "float32")]
    for function in segments.functions[:-1]:
        inputs.append(function(inputs[-1])[-1])
    reaching = [1.0, *(float(np.mean(taken > k)) for k in segments.exits[:-1])]

    def full() -> None:
        for start in range(0, len(images), batch_size):
            batch = ops.convert_to_tensor(images[start : start + batch_size], "float32")
            ops.convert_to_numpy(network(batch))

    def early() -> None:
        model.predict_early(images, batch_size=batch_size)

    def segment(level: int) -> Callable[[], None]:
        return lambda: [
            ops.convert_to_numpy(part)
            for part in keras.tree.flatten(segments.functions[level](inputs[level]))
        ]

    alone = [segment(level) for level in range(len(reaching))]
    for warm_up in (full, early, *alone):
        warm_up()
    repeat = min(len(images) // batch_size, 20)
    times: dict[str, list[float]] = {"full": [], "early": [], "segments": []}
    for number in range(rounds):
        progress(f"batch {batch_size}: round {number + 1} of {rounds}")
        times["full"].append(_seconds(full) / len(images))
        times["early"].append(_seconds(early) / len(images))
        times["segments"].append(
            sum(
                share * _seconds(run, repeat) / batch_size
                for run, share in zip(alone, reaching)
            )
        )
    return Speed(
        batch_size=batch_size,
        images=len(images),
        full_images_per_second=1 / statistics.median(times["full"]),
        early_images_per_second=1 / statistics.median(times["early"]),
        speedup=_ratio(times["full"], times["early"]),
        macs_ratio=float(model.macs.per_exit[-1] / np.array(spent)[taken].mean()),
        segments_speedup=_ratio(times["full"], times["segments"]),
    )


def _seconds(function: Callable[[], Any], repeat: int = 1) -> float:
    started = time.perf_counter()
    for _ in range(repeat):
        function()
    return (time.perf_counter() - started) / repeat


def _ratio(numerators: list[float], denominators: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(numerators, denominators))


@dataclass(frozen=True)
class TrainingSpeed:
    """What was measured of a training.

    Attributes:
        batch_size: Images in a step.
        images: Images that were timed.
        macs: MACs of the full network for one image, a count, standard convention.
        images_per_second: In an epoch in which nothing is traced.
        tracing_seconds: How much longer the first epoch takes, which traces the step.
    """

    batch_size: int
    images: int
    macs: int
    images_per_second: float
    tracing_seconds: float


def training(
    architecture: Architecture = STATIC,
    batch_size: int = 128,
    images: int | None = None,
) -> TrainingSpeed:
    """Time the training step of a network, on images of noise.

    Two epochs of the recipe `short`, which augments nothing.

    Args:
        architecture: The network; for ten classes.
        batch_size: Images in a step.
        images: Images of an epoch. Default: 20 batches.

    Raises:
        ValueError: There are fewer images than one batch, or a number is below 1.
    """
    batch_size = whole_number("batch_size", batch_size, 1)
    images = 20 * batch_size if images is None else images
    if images < batch_size:
        raise ValueError(
            f"{images} images do not fill a batch of {batch_size}; pass more."
        )
    images = images // batch_size * batch_size
    rng = np.random.default_rng(0)
    side = architecture.resolution
    noise = Split(
        rng.integers(0, 256, (images, side, side, 3)).astype(np.uint8),
        rng.integers(0, len(CIFAR10_CLASSES), images),
    )
    few = noise.take(1)
    dataset = Dataset("noise", CIFAR10_CLASSES, False, noise, few, few)
    model = EarlyExitClassifier(architecture, dataset.num_classes)
    recipe = trainings.recipe("short", epochs=2, batch_size=batch_size)
    outcome = trainings.train(model, dataset, recipe, verbose=0, validate=False)
    second = outcome.final["seconds"]
    return TrainingSpeed(
        batch_size=batch_size,
        images=images,
        macs=model.macs.per_exit[-1],
        images_per_second=images / second,
        tracing_seconds=outcome.seconds - 2 * second,
    )
