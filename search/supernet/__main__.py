"""`python -m search.supernet`: train a supernet, evaluate and extract sub-networks."""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
import time
from typing import Any


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run one command.

    Args:
        arguments: Default: those of the process.
    """
    parser = argparse.ArgumentParser("python -m search.supernet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add_commands(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{error}\n")


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `train`, `evaluate` and `extract` to a parser."""
    _add_train(commands)
    for add in (_add_evaluate, _add_extract):
        parser = add(commands)
        parser.add_argument(
            "--images",
            type=int,
            default=2000,
            help="training images that give the batch-normalisation statistics",
        )
        parser.add_argument("--data", default="cifar10", help="data set")
        parser.add_argument("--threads", type=int, help="threads of TensorFlow")


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "train",
        help="train a supernet, or continue",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    option = parser.add_argument
    parser.add_argument("folder", help="where checkpoint and logs go")
    option("--data", default="cifar10", help="data set")
    option("--alone", type=int, default=30, help="epochs of the largest network")
    option("--alone-rate", type=float, default=0.1, help="learning rate then")
    option("--together", type=int, default=40, help="epochs of all; 0: none")
    option("--together-rate", type=float, default=0.05, help="learning rate then")
    option("--ramp", type=float, default=3.0, help="epochs until that rate is reached")
    option("--subnets", type=int, default=2, help="random sub-networks in a step")
    option(
        "--resolutions",
        type=int,
        nargs="+",
        default=[32],
        help="pixels, drawn for each step in which all are trained",
    )
    option("--weight-decay", type=float, default=3e-4, help="L2 penalty")
    option("--batch-size", type=int, default=128, help="images in a step")
    option("--teacher", help="NumPy file of a teacher's logits for the training images")
    option("--train-images", type=int, help="only the first so many; default: all")
    option("--seed", type=int, default=1, help="of everything random")
    option("--threads", type=int, help="threads of TensorFlow; default: its own choice")
    parser.set_defaults(run=_train)


def _add_evaluate(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "evaluate", help="accuracy of sub-networks on the validation split"
    )
    parser.add_argument("supernet", help="its file, or a training's checkpoint")
    parser.add_argument(
        "architectures",
        nargs="*",
        help="JSON files; default: the largest, a middle and the smallest",
    )
    parser.add_argument(
        "--resolution", type=int, default=32, help="of the default three, in pixels"
    )
    parser.set_defaults(run=_evaluate)
    return parser


def _add_extract(commands: argparse._SubParsersAction) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "extract", help="write the Keras model of a sub-network, with its weights"
    )
    parser.add_argument("supernet", help="its file, or a training's checkpoint")
    parser.add_argument("architecture", help="JSON file")
    parser.add_argument("output", help="a .keras file to write")
    parser.set_defaults(run=_extract)
    return parser


def _use_threads(count: int | None) -> None:
    import tensorflow as tf

    if count:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)


def _train(options: argparse.Namespace) -> None:
    from dataclasses import replace

    import numpy as np

    from search.supernet.plan import Phase, Plan
    from search.supernet.training import train
    from zoo import data

    _use_threads(options.threads)
    phases = [Phase(options.alone, options.alone_rate, min(1, options.alone))]
    if options.together:
        phases.append(
            Phase(
                options.together,
                options.together_rate,
                min(options.ramp, options.together),
                options.subnets,
                options.resolutions,
            )
        )
    plan = Plan(
        tuple(phases),
        batch_size=options.batch_size,
        weight_decay=options.weight_decay,
        seed=options.seed,
    )
    dataset = data.load(options.data)
    dataset = replace(dataset, train=dataset.train.take(options.train_images))
    teacher = np.load(options.teacher, allow_pickle=False) if options.teacher else None
    train(options.folder, dataset, plan, teacher)


def _evaluate(options: argparse.Namespace) -> None:
    from search.supernet.network import Supernet
    from zoo import data, macs
    from zoo.architecture import (
        Architecture,
    )

    _use_threads(options.threads)
    supernet = Supernet.load(options.supernet)
    dataset = data.load(options.data)
    named = {path: Architecture.from_json(path) for path in options.architectures}
    for name, architecture in (named or _examples(options.resolution)).items():
        started = time.perf_counter()
        images = dataset.train.take(options.images).images
        statistics = supernet.calibrate(architecture, images)
        images, labels = dataset.validation
        logits = supernet.predict(architecture, images, statistics)
        right = logits.argmax(-1) == labels[:, None]
        row = {
            "architecture": name,
            "accuracy": [round(float(share), 4) for share in right.mean(0)],
            "macs": list(macs(architecture, supernet.num_classes).per_exit),
            "seconds": round(time.perf_counter() - started, 1),
        }
        print(json.dumps(row), flush=True)


def _extract(options: argparse.Namespace) -> None:
    from search.supernet.network import Supernet
    from zoo import data
    from zoo.architecture import (
        Architecture,
    )
    from zoo.files import write_bytes

    _use_threads(options.threads)
    architecture = Architecture.from_json(options.architecture)
    if not options.output.endswith(".keras"):
        raise ValueError(f"output is {options.output!r}; expected a name in .keras.")
    supernet = Supernet.load(options.supernet)
    images = data.load(options.data).train.take(options.images).images
    statistics = supernet.calibrate(architecture, images)
    model = supernet.extract(architecture, statistics)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "model.keras"
        model.save(file)
        write_bytes(options.output, file.read_bytes())
    print(f"Wrote {options.output}.")


def _examples(resolution: int) -> dict[str, Any]:
    """The largest, a middle and the smallest architecture, with four exits each."""
    from zoo.architecture import (
        Architecture,
        Stage,
    )
    from zoo.heads import (
        Branch,
        ConvModule,
    )

    def uniform(depth: int, kernel: int, expansion: int, branch: Branch) -> Any:
        stages = (Stage.uniform(depth, kernel, expansion),) * 5
        return Architecture(resolution, stages, (branch,) * 4, (0.5,) * 4)

    return {
        "largest": uniform(4, 7, 6, Branch((ConvModule(10, 5, 2),) * 2)),
        "middle": uniform(3, 5, 4, Branch((ConvModule(8, 3, 2),))),
        "smallest": uniform(2, 3, 3, Branch((ConvModule(8, 3, 1),))),
    }


if __name__ == "__main__":
    main()
