"""`python -m search.supernet`: train, evaluate and extract."""

from __future__ import annotations

import argparse


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser("search supernet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_train(commands)
    options = parser.parse_args(arguments)
    options.run(options)


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("train", help="train a supernet, or continue")
    parser.add_argument("folder", help="where checkpoint and logs go")
    parser.add_argument("--data", default="cifar10", help="data set")
    parser.add_argument("--alone", type=int, default=30, help="epochs of the largest")
    parser.add_argument("--alone-rate", type=float, default=0.1, help="learning rate")
    parser.add_argument("--together", type=int, default=40, help="epochs of all")
    parser.add_argument("--together-rate", type=float, default=0.05)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[32])
    parser.add_argument("--weight-decay", type=float, default=3e-4)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--teacher", help="NumPy file of a teacher's logits")
    parser.add_argument("--images", type=int, help="only the first so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, help="threads of TensorFlow")
    parser.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    from dataclasses import replace

    import numpy as np
    import tensorflow as tf

    from search.supernet.plan import Phase, Plan
    from search.supernet.training import train
    from zoo import data

    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    phases = [Phase(options.alone, options.alone_rate, min(1, options.alone))]
    if options.together:
        phases.append(
            Phase(
                options.together,
                options.together_rate,
                ramp=min(3, options.together),
                subnets=2,
                resolutions=options.resolutions,
            )
        )
    plan = Plan(
        tuple(phases),
        batch_size=options.batch_size,
        weight_decay=options.weight_decay,
        seed=options.seed,
    )
    dataset = data.load(options.data)
    dataset = replace(dataset, train=dataset.train.take(options.images))
    teacher = None
    if options.teacher:
        teacher = np.load(options.teacher, allow_pickle=False)
    train(options.folder, dataset, plan, teacher)


if __name__ == "__main__":
    main()
