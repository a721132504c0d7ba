"""Timing candidates as they are deployed, and making latency tables.

It exports with `zoo.deploy`, so it needs TensorFlow and a runtime, but no trained
weights: how long a network takes does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from search import latency
from search.latency import LatencyTable, used_shares
from search.metrics import Measurement
from search.space import SearchSpace
from zoo import files, measure
from zoo.architecture import Architecture
from zoo.checks import whole_number
from zoo.classifier import EarlyExitClassifier
from zoo.deploy import formats, runner, timing
from zoo.deploy.benchmark import open_model
from zoo.heads import Part

ROUNDS = 100
NETWORKS = 12  # whole networks that a table is fitted to
NOTHING = "nothing"


def deployed(runtime: str, quantization: str | None, measurement: Measurement) -> float:
    """Milliseconds per image of a candidate, exported and timed on one thread.

    They are the processor's, so that a training beside it does not count, and those
    until the answer of each exit are weighted by the exit shares. A lock on the machine
    keeps others waiting that time something. Images have the network's own size:
    resizing them is not timed.

    Args:
        runtime: "litert" or "onnx".
        quantization: "float16", "dynamic" or None.
        measurement: The candidate.

    Raises:
        ValueError: A library is missing, or the network cannot be exported.
    """
    model, at = measurement.model, measurement.evaluation
    network = open_model(model, runtime, quantization)
    network.manifest["shares"] = used_shares(at.thresholds, at.utilisation)
    size = [measurement.latency_batch_size or 1]
    with files.machine_locked():
        clock = timing.cpu_time(1)
        (found,) = timing.measure({runtime: network}, size, ROUNDS, clock)
    return float(found["image_ms"])


def make_table(
    runtime: str = "litert",
    quantization: str | None = None,
    threads: int = 1,
    resolutions: Sequence[int] = (32,),
    num_classes: int = 10,
    networks: int = NETWORKS,
    rounds: int = ROUNDS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> LatencyTable:
    """Time every part that networks may have, and some whole networks, in turns.

    Args:
        runtime: "litert" or "onnx".
        quantization: "float16", "dynamic" or None.
        threads: Number of threads that compute.
        resolutions: Of the networks, in pixels.
        num_classes: Number of classes.
        networks: Number of random networks that are timed as a whole, 2 or more.
        rounds: How often each is timed.
        seed: Of these networks.
        progress: Is told what comes next.

    Raises:
        ValueError: A setting is unknown or out of range, a library is missing, or a
            part cannot be exported.
    """
    latency.check_deployment(runtime, quantization)
    formats.require(formats.FORMATS[runtime])
    for name, value, least in (
        *(("threads", threads, 1), ("classes", num_classes, 2)),
        *(("networks", networks, 2), ("rounds", rounds, 1)),
    ):
        whole_number(name, value, least)
    space = SearchSpace(resolutions)
    how = (runtime, quantization, threads)
    parts = [*latency.every_part(space.resolutions, num_classes), _nothing()]
    calls = []
    for number, part in enumerate(parts):
        if number % 20 == 0:
            progress(f"converting part {number + 1} of {len(parts)}")
            keras.backend.clear_session()
        calls.append(_call(part, *how))
    architectures = list(map(space.decode, space.sample(networks, _rng(seed))))
    ends = [len(parts)]
    for number, architecture in enumerate(architectures, 1):
        progress(f"converting network {number} of {networks}")
        keras.backend.clear_session()
        network = open_model(EarlyExitClassifier(architecture, num_classes), *how)
        jobs = timing.jobs(network, 1)
        calls += jobs[len(jobs) // 2 :]  # until the answer of each exit
        ends.append(len(calls))
    progress("timing")
    with files.machine_locked():
        taken = timing.taken(calls, rounds, timing.cpu_time(threads))
    times = np.quantile(taken, timing.LOW, axis=0)
    spent, *exits = np.split(times, ends[:-1])
    named = {p.name: max(0.0, t - spent[-1]) for p, t in zip(parts, spent)}
    del named[NOTHING]
    scale, segment, error = fit(named, architectures, exits, num_classes)
    return LatencyTable(
        *how,
        num_classes,
        space.resolutions,
        timing.device(),
        {name: round(time, 6) for name, time in named.items()},
        scale,
        segment,
        networks,
        error,
        measure.provenance(),
    )


def fit(
    times: dict[str, float],
    architectures: Sequence[Architecture],
    exits: Sequence[np.ndarray],
    num_classes: int,
) -> tuple[float, float, float]:
    """How the times of parts become that of a network.

    The least squares of relative errors. Parts are timed one by one; in a network they
    find less of what they need in the caches, and hand maps on without copying them.

    Args:
        times: Milliseconds of each part by its name.
        architectures: Networks that were timed as a whole.
        exits: For each, the milliseconds until the answer of each exit.
        num_classes: Number of classes.

    Returns:
        The factor of the parts' sum, the milliseconds that each segment adds, and the
        mean absolute relative error for a network when the two come from the others;
        equally many images leave at each exit.
    """
    inputs = []
    for architecture in architectures:
        sums = latency.part_sums(times, architecture, num_classes)
        inputs.append(np.stack([sums, np.arange(1.0, len(sums) + 1)], axis=1))

    def solved(chosen: Sequence[int]) -> np.ndarray:
        from scipy.optimize import nnls

        rows = np.concatenate([inputs[i] / exits[i][:, None] for i in chosen])
        return nnls(rows, np.ones(len(rows)))[0]

    everyone, errors = range(len(inputs)), []
    for left_out in everyone:
        factors = solved([i for i in everyone if i != left_out])
        predicted = (inputs[left_out] @ factors).mean()
        errors.append(abs(predicted / exits[left_out].mean() - 1))
    scale, segment = solved(everyone)
    return float(scale), float(segment), float(np.mean(errors))


def _call(
    part: Part, runtime: str, quantization: str | None, threads: int
) -> Callable[[], Any]:
    """What runs a part once."""
    features = keras.Input(part.shape)
    model = keras.Model(features, [part.build(features)])
    try:
        convert = formats.FORMATS[runtime].convert
        data = convert(model, part.shape, quantization, None)
    except Exception as error:  # converters raise nearly anything
        raise ValueError(f"{part.name!r} cannot be converted: {error}") from error
    run = runner.OPEN[runtime](data, threads)
    x = _rng(0).uniform(-1, 1, (1, *part.shape)).astype(np.float32)
    return lambda: run(x)


def _nothing() -> Part:
    """What takes no time but that of calling a runtime."""
    return Part(NOTHING, (4, 4, 16), lambda x: keras.layers.ReLU()(x))


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
