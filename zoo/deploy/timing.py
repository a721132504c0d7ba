"""How long exported networks take; `run.py --benchmark` prints it.

This file needs NumPy alone; `zoo.export` copies it.
"""

from __future__ import annotations

import os
import pathlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

LOW = 0.1  # this quantile of the times is what other work hardly disturbs
WARM_UP = 2  # rounds


def measure(
    networks: Mapping[str, Any],
    batch_sizes: Sequence[int],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[dict[str, Any]]:
    """Time networks, which take turns: each segment, and the whole rule.

    A segment's times are of a batch. Those of the exits and the rule are per image:
    images that all leave at one exit are timed, and drawn by the share of the images
    that leaves there. `image_ms` is the mean over the exits, weighted by these shares,
    of the 10th percentile.

    Args:
        networks: What `run.load` returned, by name.
        batch_sizes: Images at once.
        rounds: How often to repeat.
        clock: Tells the time in seconds; see `cpu_time`.

    Raises:
        ValueError: A number is below 1.
    """
    for name, least in (("rounds", rounds), ("batch size", min(batch_sizes))):
        if least < 1:
            raise ValueError(f"{name} is {least}; expected 1 or more.")
    rows = []
    for size in batch_sizes:
        calls = [jobs(network, size) for network in networks.values()]
        ends = np.cumsum([len(each) for each in calls])
        every = taken(sum(calls, []), rounds, clock)
        times = np.split(every, ends[:-1], axis=1)
        for (name, network), own in zip(networks.items(), times):
            segments, exits = np.split(own, 2, axis=1)
            exits, rng = exits / size, np.random.default_rng(0)
            shares = np.array(network.manifest["shares"], float)
            shares = shares / shares.sum()
            leaving = rng.choice(len(shares), 10_000, p=shares)
            found = {
                "segments": [summary(each) for each in segments.T],
                "exits": [summary(each) for each in exits.T],
                "rule": summary(exits[rng.integers(rounds, size=10_000), leaving]),
                "image_ms": shares @ np.quantile(exits, LOW, axis=0),
            }
            rows.append({"network": name, "batch_size": size, **found})
    return rows


def taken(
    calls: Sequence[Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> np.ndarray:
    """Milliseconds that functions take, in turns; shape `(rounds, functions)`.

    The order is drawn anew in every round, so that what one leaves in the caches does
    not always serve the same other.
    """
    times = np.zeros((WARM_UP + rounds, len(calls)))
    rng = np.random.default_rng(0)
    for row in times:
        for place in rng.permutation(len(calls)):
            began = clock()
            calls[place]()
            row[place] = 1000 * (clock() - began)
    return times[WARM_UP:]


def cpu_time(threads: int) -> Callable[[], float]:
    """The clock on which other work on the machine hardly counts.

    On one thread that is the time for which the processor runs this process: how long
    it waits for others, such as a training, is left out. With more threads it is the
    time on the wall.
    """
    return time.process_time if threads == 1 else time.perf_counter


def summary(times: np.ndarray) -> dict[str, float]:
    """10th percentile, median, 90th percentile and mean of times in milliseconds."""
    low, middle, high = np.quantile(times, (LOW, 0.5, 0.9))
    return {"p10_ms": low, "median_ms": middle, "p90_ms": high, "mean_ms": times.mean()}


def jobs(network: Any, size: int) -> list[Callable[[], Any]]:
    """What `measure` times: every segment, then the way to every exit."""
    noise = np.random.default_rng(0).uniform(0, 255, (size, *network.size, 3))
    noise, calls = noise.astype(np.float32), []
    batch = network.prepare(noise)
    for segment in network.segments:
        calls.append(lambda segment=segment, batch=batch: segment(batch))
        batch = np.asarray(segment(batch)[-1])
    for last in network.exits:  # thresholds that send every image there
        forced = [float(k < last) for k in range(network.exits[-1])]
        calls.append(lambda forced=forced: network.predict(noise, size, forced))
    return calls


def device() -> dict[str, Any]:
    """What this runs on."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    named = [line.partition(": ")[2] for line in lines if "model name" in line]
    named.append(platform.processor())
    system, cores = platform.platform(), os.cpu_count()
    return {"processor": named[0], "cores": cores, "system": system}
