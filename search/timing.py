"""Timing candidates, and the parts of all candidates, as they are deployed."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable, Sequence

import keras
import numpy as np

from search.latency import Part
from zoo import files
from zoo.deploy import formats, graphs, runner
from zoo.deploy.runner import Network
from zoo.model import EarlyExitModel

ROUNDS = 200


def open_model(model, runtime, quantization=None, threads=1) -> Network:
    format = formats.FORMATS[runtime]
    cut = graphs.cut(model)
    about = {
        "thresholds": model.thresholds,
        "image_size": cut.shapes[0][:2],
        "num_classes": model.num_classes,
        "exit_rule": model.exit_rule,
        "segments": [{"exit": k} for k in cut.exits],
        "resize": None,
        "shares": [1.0] * len(cut.exits),
    }
    return Network(
        about,
        [
            runner.OPEN[runtime](format.convert(s, shape, quantization, None), threads)
            for s, shape in zip(cut.segments, cut.shapes)
        ],
    )


def nothing(x):
    return keras.layers.ReLU()(x)


def open_part(part, runtime, quantization, threads):
    x = keras.Input(part.shape)
    model = keras.Model(x, [part.build(x)])
    data = formats.FORMATS[runtime].convert(model, part.shape, quantization, None)
    return runner.OPEN[runtime](data, threads)


def time_parts(parts, runtime, quantization=None, threads=1, rounds=ROUNDS, progress=print):
    parts = [*parts, Part("nothing", (4, 4, 16), nothing)]
    calls = []
    for n, part in enumerate(parts):
        if n % 20 == 0:
            progress(f"converting part {n + 1} of {len(parts)}")
            keras.backend.clear_session()
        run = open_part(part, runtime, quantization, threads)
        x = np.random.default_rng(0).uniform(-1, 1, (1, *part.shape)).astype("float32")
        calls.append(lambda run=run, x=x: run(x))
    import time
    times = np.zeros((rounds, len(calls)))
    with files.locked(pathlib.Path(tempfile.gettempdir())):
        for r in range(-2, rounds):
            took = [time.perf_counter()]
            for call in calls:
                call()
                took.append(time.perf_counter())
            if r >= 0:
                times[r] = 1000 * np.diff(took)
    return {p.name: t for p, t in zip(parts, times.T)}
