"""How long exported networks take for one image, with any of their exits in use."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from reproduce.comparison import LatencyRecord, SegmentTime
from zoo import files, runtime
from zoo.deploy import formats, graphs, runner, timing
from zoo.measure import provenance
from zoo.model import EarlyExitModel

FORMAT = "litert"
ROUNDS = 200


def measure(
    models: Mapping[str, Callable[[], EarlyExitModel]],
    image_size: int,
    rounds: int = ROUNDS,
    progress: Callable[[str], None] = lambda text: None,
) -> LatencyRecord:
    """Time the exported segments of networks on one image, by one thread.

    A network is cut between any two of its exits, and at images and the final exit, so
    that the time of every way through it is known. All segments of all networks take
    turns, so that a change in the machine's speed affects all of them; a lock on the
    machine keeps other benchmarks waiting. Times are CPU times. Whatever else runs
    there only adds to them, so what is reported is the fastest tenth of the rounds.

    Args:
        models: Functions that build the networks.
        image_size: Height and width of the images.
        rounds: How often to repeat.
        progress: Is told what comes next.

    Raises:
        ValueError: This process cannot export; the message says what is missing.
    """
    formats.require(formats.FORMATS[FORMAT])
    places: list[tuple[str, int, int]] = []
    calls: list[Callable[[], Any]] = []
    for name, build in models.items():
        progress(f"exporting {name}")
        for begin, exit, call in segments(build(), image_size):
            places.append((name, begin, exit))
            calls.append(call)
        keras.backend.clear_session()
    progress("timing")
    with files.machine_locked():
        times = timing.taken(calls, rounds, timing.cpu_time(1))
    fast = np.quantile(times, timing.LOW, axis=0)
    found: dict[str, list[SegmentTime]] = {name: [] for name in models}
    for (name, begin, exit), took in zip(places, fast):
        found[name].append(SegmentTime(begin, exit, round(float(took), 5)))
    return LatencyRecord(
        runtime=FORMAT,
        rounds=rounds,
        segments={name: tuple(each) for name, each in found.items()},
        provenance=provenance(**timing.device()),
    )


def segments(
    model: EarlyExitModel, image_size: int
) -> Iterator[tuple[int, int, Callable[[], Any]]]:
    """Where each segment begins, the exit that it ends at, and what to time.

    It begins at the images, 0, or after an exit, counted from 1. An image is resized
    where the network asks for that, and after every exit but the last its rule is
    applied.

    Args:
        model: The network.
        image_size: Height and width of the image.
    """
    start, resize = graphs.after_resize(model)
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (1, image_size, image_size, 3)).astype(np.float32)
    convert, last = formats.FORMATS[FORMAT].convert, model.num_exits
    for begin, source in enumerate((start, *model.exit_features)):
        shape = tuple(length or image_size for length in source.shape[1:])
        features = rng.normal(size=(1, *shape)).astype(np.float32)
        for exit in range(begin + 1, last + 1):
            outputs = [
                model.exit_logits[exit - 1],
                *model.exit_features[exit - 1 :][:1],
            ]
            made = convert(keras.Model(source, outputs), shape, None, None)
            run = runner.open_litert(made, threads=1)
            steps = [run] if exit == last else [run, _rule(model.exit_rule)]
            if begin == 0 and resize is not None:
                steps.insert(0, _resizing(**dataclasses.asdict(resize)))
            yield begin, exit, _chained(image if begin == 0 else features, steps)


def _resizing(side: int, kept: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda images: runtime.resized(images, side, kept)


def _rule(name: str) -> Callable[[Sequence[np.ndarray]], Any]:
    return lambda outputs: runtime.RULES[name](outputs[0]) >= 0.5


def _chained(first: Any, steps: Sequence[Callable[[Any], Any]]) -> Callable[[], Any]:
    def call() -> Any:
        found = first
        for step in steps:
            found = step(found)
        return found

    return call
