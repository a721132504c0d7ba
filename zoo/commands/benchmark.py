"""The command benchmark: how fast are skipping and training?"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib

from zoo.commands import options as shared
from zoo.terminal import (
    CommandLine,
    add_json,
    print_json,
    print_table,
    show_progress,
)

BATCHES = 512  # enough to time


def add(commands: CommandLine) -> None:
    """Declare the command."""
    sub = commands.command(
        "benchmark",
        benchmark,
        "Time skipping against the full network, or a training step.",
        "Prints how long MODEL takes for an image, and three ratios: the measured\n"
        "speed-up, the speed-up that the times of its segments (its parts from exit\n"
        "to exit) allow, and the ratio of MACs. With --training, it prints images per\n"
        "second and the time of tracing, for MODEL or, if there is none, for a static\n"
        "network of depth 2, kernel 5 and expansion 3 at 32 pixels. With\n"
        "--runtime, it prints the milliseconds of every segment and of an image, and\n"
        "MODEL may be a folder that `export` wrote.",
        keras=True,
    )
    shared.add_model(sub, nargs="?")
    shared.add_data(sub)
    shared.add_thresholds(shared.add_budget(sub))
    sub.add_argument(
        "--training", action="store_true", help="time training steps instead"
    )
    sub.add_argument(
        "--runtime",
        nargs="+",
        metavar="NAME",
        help="time MODEL in these runtimes, in turns: litert, onnx, tensorflow or jax",
    )
    sub.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="with --runtime: number of threads (default: 1)",
    )
    sub.add_argument(
        "--quantization",
        help="with --runtime: float16 or dynamic, as for `export` (default: none)",
    )
    sub.add_argument(
        "--batch-sizes",
        type=int,
        nargs="+",
        metavar="N",
        help="images per batch (default: 1 and 256; 128 with --training)",
    )
    sub.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="use at most N images; a smaller set is repeated (default: 10240, or 20 "
        "batches with --training)",
    )
    sub.add_argument(
        "--out",
        type=pathlib.Path,
        metavar="FILE",
        help="also write the record to this file; not with --training",
    )
    add_json(sub)


def benchmark(options: argparse.Namespace) -> None:
    """Time inference or training."""
    if options.training:
        return _training(options)
    if options.runtime:
        return _runtimes(options)
    import numpy as np

    from zoo import measure, records, registry
    from zoo.benchmark import benchmark
    from zoo.speeds import BenchmarkRecord

    if options.model is None:
        raise ValueError("There is no MODEL to time; name one, or pass --training.")
    model, dataset = shared.model_and_data(options)
    shared.choose_thresholds(model, dataset, options)
    images = dataset.test.images
    speeds = []
    for size in options.batch_sizes or (1, 256):
        limit = 10_240 if options.images is None else options.images
        count = min(limit, BATCHES * size)
        repeated = images[np.arange(count) % len(images)]
        speeds.append(benchmark(model, repeated, size, progress=show_progress))
    show_progress("")
    if options.out:
        own_file = registry.is_keras_file(options.model)
        noted = None if own_file else registry.record(options.model).weights.sha256
        found = BenchmarkRecord(
            model.name,
            noted,
            measure.describe(dataset),
            model.thresholds,
            tuple(speeds),
            measure.provenance(),
        )
        options.out.parent.mkdir(parents=True, exist_ok=True)
        records.write(options.out, found)
    if options.json:
        return print_json(
            [
                {
                    **dataclasses.asdict(speed),
                    "full_milliseconds": speed.full_milliseconds,
                    "early_milliseconds": speed.early_milliseconds,
                }
                for speed in speeds
            ]
        )
    thresholds = ", ".join(f"{threshold:g}" for threshold in model.thresholds)
    print(f"{model.name} on {dataset.name}, thresholds {thresholds}")
    print_table(
        (
            *("batch", "full, images/s", "skipping, images/s"),
            *("full, ms/image", "skipping, ms/image"),
            *("speed-up", "segments allow", "MACs ratio"),
        ),
        [
            [
                str(speed.batch_size),
                f"{speed.full_images_per_second:,.0f}",
                f"{speed.early_images_per_second:,.0f}",
                f"{speed.full_milliseconds:.3g}",
                f"{speed.early_milliseconds:.3g}",
                f"{speed.speedup:.2f} x",
                f"{speed.segments_speedup:.2f} x",
                f"{speed.macs_ratio:.2f} x",
            ]
            for speed in speeds
        ],
    )


def _runtimes(options: argparse.Namespace) -> None:
    import json

    from zoo import files
    from zoo.deploy.benchmark import benchmark

    if options.model is None:
        raise ValueError("There is no MODEL to time; name one.")
    found = benchmark(
        options.model,
        options.runtime,
        options.batch_sizes or (1, 256),
        options.threads,
        options.quantization,
        progress=show_progress,
    )
    show_progress("")
    if options.out:
        files.make_folder(options.out.parent)
        files.write_text(options.out, json.dumps(found, indent=1))
    if options.json:
        return print_json(found)
    print(f"{found['processor']}, {found['threads']} threads; milliseconds")
    rows = []
    for speed in found["speeds"]:
        names = [f"segment {k}, batch" for k in range(1, 1 + len(speed["segments"]))]
        times = [*zip(names, speed["segments"]), ("rule, image", speed["rule"])]
        for name, each in times:
            head = f"{speed['network']}, batch {speed['batch_size']}: {name}"
            keys = ("median_ms", "p90_ms", "mean_ms")
            rows.append([head, *(f"{each[key]:.3g}" for key in keys)])
    print_table(("", "median", "90th percentile", "mean"), rows)


def _training(options: argparse.Namespace) -> None:
    from zoo import benchmark
    from zoo.cards import million

    if options.out:
        raise ValueError("--out records the speed of skipping; leave out --training.")
    network = benchmark.STATIC
    if options.model is not None:
        network = shared.architecture(options.model)
    speeds = []
    for size in options.batch_sizes or (128,):
        show_progress(f"training with batches of {size}")
        speeds.append(benchmark.training(network, size, options.images))
    show_progress("")
    if options.json:
        return print_json([dataclasses.asdict(speed) for speed in speeds])
    print(f"Training {options.model or 'a static network'}")
    print_table(
        ("batch", "MACs", "images/s", "tracing"),
        [
            [
                str(speed.batch_size),
                million(speed.macs),
                f"{speed.images_per_second:,.0f}",
                f"{speed.tracing_seconds:.1f} s",
            ]
            for speed in speeds
        ],
    )
