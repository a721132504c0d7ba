"""How long segments take on this machine, in several runtimes that take turns."""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from zoo import backends, files, records, registry
from zoo.deploy import formats, graphs, runner, timing
from zoo.deploy.export import MANIFEST, export
from zoo.deploy.runner import Network
from zoo.model import EarlyExitModel
from zoo.names import unknown

KERAS = ("tensorflow", "jax")
RUNTIMES = (*formats.FORMATS, *KERAS)
ROUNDS = 50
MANY = 16  # images from which a batch takes so long that fewer rounds do
FEW_ROUNDS = 10


def benchmark(
    source: str | os.PathLike,
    runtimes: Sequence[str] = ("litert",),
    batch_sizes: Sequence[int] = (1, 256),
    threads: int = 1,
    quantization: str | None = None,
    rounds: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Time the segments of a network, and its exit rule.

    The runtimes take turns, so that a change in the machine's speed affects all of
    them; a lock on the machine keeps other benchmarks waiting.

    Args:
        source: A folder that `zoo.export` wrote, or a model for `zoo.load`.
        runtimes: Of `RUNTIMES`. A folder has one; a model is exported first where that
            is needed. "tensorflow" and "jax" are what Keras runs on in this process.
        batch_sizes: Images at once.
        threads: Number of threads that compute. Keras's runtime has to be fresh.
        quantization: How to export; see `zoo.export`. "int8" needs images: export it
            first, and time the folder.
        rounds: How often to repeat. Default: 50, with large batches 10.
        progress: Is told what comes next.

    Returns:
        What was measured, as `run.py --benchmark` prints it: the device, and `speeds`;
        see `zoo.deploy.timing.measure`.

    Raises:
        ValueError: A runtime is unknown or not to be had, or it is not known how many
            images leave at each exit.
    """
    for runtime in runtimes:
        if runtime not in RUNTIMES:
            raise ValueError(unknown("runtime", runtime, RUNTIMES))
    with _networks(source, runtimes, threads, quantization, progress) as networks:
        speeds = []
        with files.machine_locked():
            for size in batch_sizes:
                progress(f"timing batches of {size}")
                repeat = rounds or (ROUNDS if size < MANY else FEW_ROUNDS)
                speeds += timing.measure(networks, [size], repeat)
    found = {
        "model": str(source),
        "quantization": quantization,
        "threads": threads,
        **timing.device(),
        "speeds": speeds,
    }
    return records.to_dict(found)


@contextlib.contextmanager
def _networks(
    source: str | os.PathLike,
    runtimes: Sequence[str],
    threads: int,
    quantization: str | None,
    progress: Callable[[str], None],
) -> Iterator[dict[str, Network]]:
    """The network in every runtime."""
    if (pathlib.Path(source) / MANIFEST).is_file():
        network = runner.load(source, threads)
        own = network.manifest["runtime"]
        if set(runtimes) != {own} or quantization is not None:
            raise ValueError(
                f"{source} is exported for {own} with its own quantisation; name only "
                "this runtime, or name a model instead of the folder."
            )
        yield {own: network}
        return
    if set(runtimes) & set(KERAS):
        backends.limit_threads(threads)
    model = registry.load(source)
    shares = _shares(source, model)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for runtime in runtimes:
            progress(f"preparing {runtime}")
            if runtime in KERAS:
                found[runtime] = in_keras(model, runtime)
            else:
                place = pathlib.Path(folder) / runtime
                export(model, place, runtime, quantization, progress=progress)
                found[runtime] = runner.load(place, threads)
            used = found[runtime].exits
            found[runtime].manifest["shares"] = [shares[k] for k in used]
        yield found


def open_model(
    model: EarlyExitModel,
    runtime: str,
    quantization: str | None = None,
    threads: int = 1,
) -> Network:
    """A model in LiteRT or ONNX Runtime, not compared with the model before.

    Args:
        model: The network; exits that are off are left out, and so is a resize.
        runtime: "litert" or "onnx".
        quantization: "float16", "dynamic" or None.
        threads: Number of threads that compute.

    Raises:
        ValueError: A library is missing; the message says how to install it.
    """
    chosen = formats.FORMATS[runtime]
    formats.require(chosen)
    cut = graphs.cut(model)
    segments = [
        runner.OPEN[runtime](chosen.convert(*each, quantization, None), threads)
        for each in zip(cut.segments, cut.shapes)
    ]
    return Network(_about(model, cut), segments)


def _about(model: EarlyExitModel, cut: graphs.Cut) -> dict[str, Any]:
    """What `Network` needs of a manifest."""
    return {
        "thresholds": model.thresholds,
        "image_size": cut.shapes[0][:2],
        "num_classes": model.num_classes,
        "exit_rule": model.exit_rule,
        "segments": [{"exit": k} for k in cut.exits],
        "resize": None,
    }


def _shares(source: str | os.PathLike, model: EarlyExitModel) -> Sequence[float]:
    """Share of the images that leaves at each exit, as the model's record has it."""
    noted = None if registry.is_keras_file(source) else registry.record(source)
    for report in ((noted and noted.results) or {}).values():
        if report.thresholds == model.thresholds:
            return report.utilisation
    raise ValueError(
        f"{source} does not record how many images leave at each exit; measure it with "
        "evaluate --update, or export it with images and time the folder."
    )


def in_keras(model: EarlyExitModel, runtime: str) -> Network:
    """A model's compiled segments.

    Raises:
        ValueError: This process runs Keras on another backend than `runtime`.
    """
    backend = keras.backend.backend()
    if backend != runtime:
        raise ValueError(
            f"This process runs Keras on {backend}; for {runtime} set "
            f"KERAS_BACKEND={runtime}."
        )
    parts = [_any_batch(function) for function in model.segments().functions]
    return Network(_about(model, graphs.cut(model)), parts)


def _any_batch(function: Callable) -> Callable[[np.ndarray], list[np.ndarray]]:
    return lambda batch: backends.on_arrays(function, len(batch))(batch)
