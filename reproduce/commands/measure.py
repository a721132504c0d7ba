"""The commands that measure: finetune, exact, device, surrogates, ranking, oracles."""

from __future__ import annotations

import argparse
import pathlib
import sys

from reproduce.commands import options as shared
from zoo.terminal import (
    CommandLine,
    add_data_dir,
    add_json,
    print_json,
    print_table,
    show_progress,
)


def add(commands: CommandLine) -> None:
    """Declare the commands."""
    sub = commands.command(
        "finetune",
        finetune,
        "Compare pretrained with random weights as a start for training on digits.",
        keras=True,
    )
    sub.add_argument(
        "--model",
        default="aebnas_cifar10_small",
        help="pretrained model (default: aebnas_cifar10_small)",
    )
    sub.add_argument(
        "--epochs", type=int, default=3, help="epochs of training (default: 3)"
    )
    sub.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[1, 2, 3],
        help="random seeds (default: 1 2 3)",
    )
    shared.add_out(sub)
    add_json(sub)

    sub = commands.command(
        "exact",
        exact,
        "Measure the CIFAR-10 models without the test pictures that are JPEG copies.",
        keras=True,
    )
    add_data_dir(sub)
    shared.add_out(sub)
    add_json(sub)

    sub = commands.command(
        "device",
        device,
        "Measure models on this device: size, agreement, accuracy, latency by format.",
        "Exports each model, runs it on the test split of its data set, and times all\n"
        "formats in turns, next to the same network without its early exits. With\n"
        "--out, it writes a record DIR/NAME.json for each model. See docs/deploy.md.",
        keras=True,
    )
    sub.add_argument(
        "models",
        nargs="*",
        metavar="NAME",
        help="names of pretrained models, or folders (default: every pretrained model)",
    )
    sub.add_argument(
        "--formats",
        nargs="+",
        metavar="NAME",
        help="litert, litert-float16, litert-dynamic, litert-int8, onnx (default: all; "
        "litert-int8 needs 256 validation images)",
    )
    add_data_dir(sub)
    sub.add_argument(
        "--out", type=pathlib.Path, metavar="DIR", help="also write records to DIR"
    )
    sub.add_argument(
        "--update",
        action="store_true",
        help="also add the measurements to the models' own records and cards",
    )
    add_json(sub)

    sub = commands.command(
        "surrogates",
        surrogates,
        "Predict each of the authors' 32 candidates from the other 31.",
    )
    shared.add_out(sub)
    add_json(sub)

    sub = commands.command(
        "ranking",
        ranking,
        "Compare accuracies with a supernet's weights and after training.",
        "If it is interrupted, repeat the command to continue.",
        keras=True,
    )
    sub.add_argument("supernet", help="name, folder or file of a supernet")
    sub.add_argument("--data", default="cifar10", help="data set (default: cifar10)")
    add_data_dir(sub)
    sub.add_argument(
        "--networks",
        type=int,
        default=12,
        help="number of random networks (default: 12)",
    )
    sub.add_argument(
        "--epochs",
        type=int,
        default=15,
        help="epochs of the separate training (default: 15)",
    )
    sub.add_argument(
        "--resolutions",
        type=int,
        nargs="+",
        default=(),
        metavar="R",
        help="resolutions of the networks, in pixels (default: the supernet's)",
    )
    sub.add_argument(
        "--initial",
        metavar="SUPERNET",
        help="supernet whose weights the separate training starts from, such as one "
        "that `search supernet import` wrote (default: random weights)",
    )
    sub.add_argument("--seed", type=int, default=1, help="random seed (default: 1)")
    sub.add_argument(
        "--directory",
        default="ranking",
        metavar="DIR",
        help="folder for the trainings (default: ranking)",
    )
    shared.add_out(sub)
    add_json(sub)

    sub = commands.command(
        "oracles", oracles, "Compare the recorded searches on digits."
    )
    shared.add_results(sub)
    add_json(sub)


def finetune(options: argparse.Namespace) -> None:
    """Fine-tune a model."""
    from reproduce import finetune
    from reproduce.records import Tuning
    from zoo import records
    from zoo.cards import percent

    def progress(row: Tuning) -> None:
        print(
            f"{row.initial_weights}, seed {row.seed}: {percent(row.accuracy)}",
            file=sys.stderr,
            flush=True,
        )

    shared.prepare(options.out)
    record = finetune.finetune(
        options.model, epochs=options.epochs, seeds=options.seeds, progress=progress
    )
    shared.write(options.out, record)
    if options.json:
        return print_json(records.to_dict(record))
    print(f"{options.model} on digits after {options.epochs} epochs, test accuracy")
    print_table(
        ("initial weights", "seeds", "mean", "spread"),
        [
            [row.initial_weights, str(row.seeds)]
            + [percent(row.mean), percent(row.spread)]
            for row in finetune.compare(record.rows)
        ],
    )


def exact(options: argparse.Namespace) -> None:
    """Measure the CIFAR-10 models on pixel-exact pictures."""
    from reproduce import exact
    from zoo import records
    from zoo.cards import million, percent

    shared.prepare(options.out)
    record = exact.measure(options.data_dir)
    shared.write(options.out, record)
    if options.json:
        return print_json(records.to_dict(record))
    print_table(
        ("model", "pictures", "accuracy", "average MACs"),
        [
            [row.model, f"{measured.samples:,}", percent(measured.accuracy)]
            + [million(measured.average_macs["standard"])]
            for row in record.rows
            for measured in (row.all, row.exact)
        ],
    )


def device(options: argparse.Namespace) -> None:
    """Measure models on this device."""
    from reproduce import device
    from zoo import backends, files, records, registry
    from zoo.cards import DEVICE_COLUMNS, device_rows

    backends.limit_threads(1)
    if options.out:
        files.make_folder(options.out)
    found = []
    for name in options.models or registry.list_models():
        record = device.survey(
            name,
            options.data_dir,
            options.formats,
            progress=show_progress,
        )
        show_progress("")
        if options.out:
            records.write(options.out / f"{record.model}.json", record)
        if options.update:
            registry.note_device(name, record)
        found.append(record)
        if not options.json:
            print(f"{record.model} on {record.device['processor']}, one thread")
            print_table(DEVICE_COLUMNS, device_rows(record))
    if options.json:
        print_json([records.to_dict(record) for record in found])


def surrogates(options: argparse.Namespace) -> None:
    """Predict the authors' candidates."""
    from reproduce import archive
    from zoo import records

    shared.prepare(options.out)
    record = archive.measure()
    shared.write(options.out, record)
    if options.json:
        return print_json(records.to_dict(record))
    print_table(
        ("surrogate", "inputs", "target", "RMSE", "Spearman", "Kendall"),
        [
            [
                *(row.surrogate, row.inputs, row.target),
                f"{row.quality.rmse:.2f}",
                f"{row.quality.spearman:.2f}",
                f"{row.quality.kendall:.2f}",
            ]
            for row in record.rows
        ],
    )


def ranking(options: argparse.Namespace) -> None:
    """Compare inherited accuracies with those of training."""
    from reproduce import ranking
    from reproduce.records import RankedNetwork
    from zoo import records
    from zoo.cards import million, percent

    def progress(row: RankedNetwork) -> None:
        print(
            f"{million(row.macs[-1])}, final exit: inherited "
            f"{percent(row.inherited[-1])}, after short training "
            f"{percent(row.short[-1])}, after separate training "
            f"{percent(row.long[-1])}",
            file=sys.stderr,
            flush=True,
        )

    shared.prepare(options.out)
    record = ranking.measure(
        options.supernet,
        options.directory,
        source=options.data,
        data_dir=options.data_dir,
        count=options.networks,
        epochs=options.epochs,
        seed=options.seed,
        resolutions=options.resolutions,
        initial=options.initial,
        progress=progress,
    )
    shared.write(options.out, record)
    if options.json:
        return print_json(records.to_dict(record))
    print_table(ranking.COLUMNS, ranking.cells(record))


def oracles(options: argparse.Namespace) -> None:
    """Compare the recorded searches on digits."""
    from reproduce import oracles
    from zoo import records

    rows = oracles.compare(oracles.load(options.results))
    if options.json:
        return print_json(records.to_dict(rows))
    print_table(
        ("method", "trials", "hypervolume of each seed", "mean", "spread"),
        [
            [
                row.method,
                str(row.trials),
                " ".join(f"{volume:.3f}" for volume in row.hypervolumes),
                f"{row.mean:.3f}",
                "–" if row.spread is None else f"{row.spread:.3f}",
            ]
            for row in rows
        ],
    )
