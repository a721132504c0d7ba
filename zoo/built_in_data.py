"""The data sets that need no registering: what is fixed about them, where they are.

`digits` comes with scikit-learn. `cifar10`, `cifar100` and `svhn_cropped` come from a
file (see `zoo.npz`), else through tensorflow-datasets.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

DATA_DIR_VARIABLE = "AEBNAS_DATA_DIR"
DIGITS_REPEAT = 4  # 8x8 scans are enlarged to 32x32

Part = tuple[np.ndarray, np.ndarray]  # images, uint8, and labels, int64


class Source(NamedTuple):
    """What is fixed about a set; see `zoo.data.Dataset`. `validation` counts images."""

    validation: int
    class_names: tuple[str, ...]
    flip: bool


CIFAR10_CLASSES = tuple(
    "airplane automobile bird cat deer dog frog horse ship truck".split()
)
CIFAR100_CLASSES = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy
    bridge bus butterfly camel can castle caterpillar cattle chair chimpanzee clock
    cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
    forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion
    lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange
    orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper
    snail snake spider squirrel streetcar sunflower sweet_pepper table tank
    telephone television tiger tractor train trout tulip turtle wardrobe whale
    willow_tree wolf woman worm
    """.split()
)

_DIGITS = tuple(map(str, range(10)))
SOURCES = {
    "cifar10": Source(5000, CIFAR10_CLASSES, True),
    "cifar100": Source(5000, CIFAR100_CLASSES, True),
    "digits": Source(180, _DIGITS, False),
    "svhn_cropped": Source(7325, _DIGITS, False),
}
IN_FILES = tuple(name for name in SOURCES if name != "digits")


def digits() -> tuple[Part, Part]:
    """scikit-learn's scans of handwritten digits; every fifth one is for testing."""
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    images = np.round(scans.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    images = images.repeat(DIGITS_REPEAT, 1).repeat(DIGITS_REPEAT, 2).repeat(3, 3)
    test = np.arange(len(labels)) % 5 == 4
    labels = labels.astype(np.int64)
    return (images[~test], labels[~test]), (images[test], labels[test])


def from_tfds(name: str, data_dir: str | os.PathLike | None) -> tuple[Part, Part]:
    """The training and the test part of a set of tensorflow-datasets.

    Raises:
        FileNotFoundError: It cannot be had; the message says how to get it.
    """
    provide = (
        f"Put {name}.npz (arrays x_train, y_train, x_test, y_test) into a folder and "
        f"name it with data_dir or {DATA_DIR_VARIABLE}, or install "
        "tensorflow-datasets, which downloads it where there is network access: "
        "pip install tensorflow-datasets."
    )
    where = f" in {data_dir}" if data_dir else ""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise FileNotFoundError(f"No {name}.npz{where}. {provide}") from error
    parts: list[Part] = []
    try:
        for part in ("train", "test"):
            arrays = tfds.load(
                name, split=part, data_dir=data_dir, batch_size=-1, as_supervised=True
            )
            images, labels = tfds.as_numpy(arrays)
            parts.append((images, labels.astype(np.int64)))
    except Exception as error:  # tfds raises many kinds when it cannot download
        reason = str(error).strip().splitlines()
        raise FileNotFoundError(
            f"No {name}.npz{where}, and tensorflow-datasets could not provide it "
            f"({type(error).__name__}: {reason[0] if reason else ''}). {provide}"
        ) from error
    return parts[0], parts[1]
