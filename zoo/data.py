"""Image sets with a fixed validation split.

`digits` always works offline. `cifar10`, `cifar100` and `svhn_cropped` come from a file
`<data_dir>/<name>.npz` in the layout of keras.datasets (arrays `x_train`, `y_train`,
`x_test`, `y_test`), else through tensorflow-datasets.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import pathlib
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

DATA_DIR_VARIABLE = "AEBNAS_DATA_DIR"
DIGITS_REPEAT = 4  # 8x8 scans are enlarged to 32x32


class Split(NamedTuple):
    """Images, uint8 of shape `(n, height, width, 3)`, and labels, int64 of `(n,)`."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, count: int | None) -> Split:
        """The first `count` samples; all of them for None."""
        return Split(self.images[:count], self.labels[:count])


@dataclass(frozen=True)
class Dataset:
    """An image set in three parts.

    Attributes:
        name: Its name.
        class_names: One per class.
        flip: Whether a mirrored image keeps its class.
        train: What to train on; the validation images are not in it.
        validation: What to choose thresholds and settings on.
        test: What to report.
    """

    name: str
    class_names: tuple[str, ...]
    flip: bool
    train: Split
    validation: Split
    test: Split

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @cached_property
    def fingerprint(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of all three parts, in order."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for array in split:
                digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()[:16]


class _Source(NamedTuple):
    """What is fixed about a set; see `Dataset`. `validation` counts images."""

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
_SOURCES = {
    "cifar10": _Source(5000, CIFAR10_CLASSES, True),
    "cifar100": _Source(5000, CIFAR100_CLASSES, True),
    "digits": _Source(180, _DIGITS, False),
    "svhn_cropped": _Source(7325, _DIGITS, False),
}


def names() -> tuple[str, ...]:
    """Names that `load` knows."""
    return tuple(_SOURCES)


def load(name: str, data_dir: str | os.PathLike | None = None) -> Dataset:
    """Load an image set.

    Args:
        name: "digits", "cifar10", "cifar100" or "svhn_cropped".
        data_dir: Folder of `<name>.npz`, and of tensorflow-datasets' own files.
            Default: the environment variable AEBNAS_DATA_DIR, else
            tensorflow-datasets' default.

    Returns:
        A `Dataset`. The validation split is the same at every call: 5,000 training
        images (SVHN 7,325, as in the paper; digits 180) drawn with a fixed seed.

    Raises:
        ValueError: The name is unknown, or the file holds something else.
        FileNotFoundError: The data is nowhere; the message says what provides it.
    """
    if name not in _SOURCES:
        near = difflib.get_close_matches(name, _SOURCES, 1, 0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"There is no data set {name!r}; choose from {', '.join(_SOURCES)}.{hint}"
        )
    source = _SOURCES[name]
    data_dir = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if name == "digits":
        train, test = _digits()
    else:
        path = pathlib.Path(data_dir or ".") / f"{name}.npz"
        if data_dir and path.is_file():
            train, test = _from_npz(path, len(source.class_names))
        else:
            train, test = _from_tfds(name, data_dir)
    if len(train.labels) <= source.validation or not len(test.labels):
        raise ValueError(
            f"{name} has {len(train.labels)} training and {len(test.labels)} test "
            f"images; expected more than {source.validation}, which are held out "
            "for validation, and at least one."
        )
    order = np.random.default_rng(0).permutation(len(train.labels))
    held, kept = order[: source.validation], np.sort(order[source.validation :])
    return Dataset(
        name,
        source.class_names,
        source.flip,
        Split(train.images[kept], train.labels[kept]),
        Split(train.images[held], train.labels[held]),
        test,
    )


def _digits() -> tuple[Split, Split]:
    """scikit-learn's scans of handwritten digits; every fifth one is for testing."""
    from sklearn.datasets import load_digits

    scans, labels = load_digits(return_X_y=True)
    images = np.round(scans.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    images = images.repeat(DIGITS_REPEAT, 1).repeat(DIGITS_REPEAT, 2).repeat(3, 3)
    test = np.arange(len(labels)) % 5 == 4
    labels = labels.astype(np.int64)
    return Split(images[~test], labels[~test]), Split(images[test], labels[test])


def _from_npz(path: pathlib.Path, num_classes: int) -> tuple[Split, Split]:
    arrays = []
    try:
        with np.load(path, allow_pickle=False) as file:
            for part in ("train", "test"):
                arrays.append((file[f"x_{part}"], file[f"y_{part}"].reshape(-1)))
    except (  # what a damaged archive, a foreign file or a missing array can raise
        *(KeyError, OSError, EOFError, ValueError, TypeError, AttributeError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise ValueError(
            f"{path} is not readable as a data set: {error}. Expected are the arrays "
            "x_train, y_train, x_test and y_test."
        ) from error
    train, test = (
        _checked(images, labels, num_classes, f"{path}, {part}")
        for part, (images, labels) in zip(("train", "test"), arrays)
    )
    return train, test


def _checked(
    images: np.ndarray, labels: np.ndarray, num_classes: int, where: str
) -> Split:
    if not len(images):
        raise ValueError(f"{where}: there are no images.")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(
            f"{where}: images are {images.dtype} of shape {images.shape}; expected "
            "uint8 of shape (n, height, width, 3)."
        )
    if len(labels) != len(images):
        raise ValueError(f"{where}: {len(images)} images but {len(labels)} labels.")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"{where}: labels lie in {labels.min()}..{labels.max()}; expected "
            f"0..{num_classes - 1}."
        )
    return Split(images, labels.astype(np.int64))


def _from_tfds(name: str, data_dir: str | os.PathLike | None) -> tuple[Split, Split]:
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
    splits: list[Split] = []
    try:
        for part in ("train", "test"):
            arrays = tfds.load(
                name, split=part, data_dir=data_dir, batch_size=-1, as_supervised=True
            )
            images, labels = tfds.as_numpy(arrays)
            splits.append(Split(images, labels.astype(np.int64)))
    except Exception as error:  # tfds raises many kinds when it cannot download
        reason = str(error).strip().splitlines()
        raise FileNotFoundError(
            f"No {name}.npz{where}, and tensorflow-datasets could not provide it "
            f"({type(error).__name__}: {reason[0] if reason else ''}). {provide}"
        ) from error
    return splits[0], splits[1]
