"""Image sets with a fixed validation split.

`digits` always works offline. `cifar10`, `cifar100` and `svhn_cropped` come from a file
`<data_dir>/<name>.npz` in the layout of keras.datasets (arrays `x_train`, `y_train`,
`x_test`, `y_test`), else through tensorflow-datasets. Any other `<name>.npz` of that
layout is a data set as well, and `register` adds one that a function of yours loads.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from zoo.names import unknown

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
_ARRAYS = ("x_train", "y_train", "x_test", "y_test", "class_names", "flip")
_SOURCES = {
    "cifar10": _Source(5000, CIFAR10_CLASSES, True),
    "cifar100": _Source(5000, CIFAR100_CLASSES, True),
    "digits": _Source(180, _DIGITS, False),
    "svhn_cropped": _Source(7325, _DIGITS, False),
}


Loader = Callable[[str | os.PathLike | None], Dataset]
_LOADERS: dict[str, Loader] = {}


def register(name: str) -> Callable[[Loader], Loader]:
    """Decorator that makes a function's data set known under a name.

    The function takes the folder of data, or None, and returns a `Dataset`, for which
    `from_arrays` is the easy way.

    Raises:
        ValueError: There is already a data set of that name.

    Example:
        >>> @zoo.data.register("noise")
        ... def noise(data_dir):
        ...     rng = np.random.default_rng(0)
        ...     images = rng.integers(0, 256, (60, 32, 32, 3), np.uint8)
        ...     labels = np.arange(60) % 3
        ...     train, test = zoo.data.Split(images[:50], labels[:50]), ...
        ...     return zoo.data.from_arrays("noise", train, test)
    """
    if name in names():
        raise ValueError(f"There is already a data set {name!r}.")

    def add(loader: Loader) -> Loader:
        _LOADERS[name] = loader
        return loader

    return add


def names() -> tuple[str, ...]:
    """Names of the data sets that need no file of their own, and of registered ones."""
    return (*_SOURCES, *_LOADERS)


def load(name: str, data_dir: str | os.PathLike | None = None) -> Dataset:
    """Load an image set.

    Args:
        name: "digits", "cifar10", "cifar100", "svhn_cropped", a registered name, or
            that of a file `<data_dir>/<name>.npz`. Such a file may also hold
            `class_names`, and `flip`, whether a mirrored image keeps its class.
        data_dir: Folder of `<name>.npz`, and of tensorflow-datasets' own files.
            Default: the environment variable AEBNAS_DATA_DIR, else
            tensorflow-datasets' default.

    Returns:
        A `Dataset`. The validation split is the same at every call: 5,000 training
        images (SVHN 7,325, as in the paper; digits 180; other files a tenth) drawn
        with a fixed seed.

    Raises:
        ValueError: The name is unknown, or the file holds something else.
        FileNotFoundError: The data is nowhere; the message says what provides it.
    """
    data_dir = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if name in _LOADERS:
        return _LOADERS[name](data_dir)
    path = pathlib.Path(data_dir or ".") / f"{name}.npz"
    found = bool(data_dir) and path.is_file()
    if name not in _SOURCES:
        if found:
            return _from_any_npz(name, path)
        raise ValueError(
            f"{unknown('data set', name, names())} Or put a file {name}.npz (arrays "
            "x_train, y_train, x_test and y_test) into a folder and name that with "
            f"data_dir or {DATA_DIR_VARIABLE}."
        )
    source = _SOURCES[name]
    if name == "digits":
        train, test = _digits()
    elif found:
        train, test = _from_npz(path, len(source.class_names))
    else:
        train, test = _from_tfds(name, data_dir)
    return from_arrays(
        name, train, test, source.validation, source.class_names, source.flip
    )


def from_arrays(
    name: str,
    train: Split,
    test: Split,
    validation: int | Split | None = None,
    class_names: Sequence[str] | None = None,
    flip: bool = False,
) -> Dataset:
    """A data set from arrays.

    Args:
        name: What records call it.
        train: Images and labels to train on.
        test: Images and labels to report on.
        validation: Those to choose thresholds on, or how many training images to hold
            out for that, drawn with a fixed seed. Default: a tenth.
        class_names: One per class. Default: the labels' own numbers.
        flip: Whether a mirrored image keeps its class.

    Raises:
        ValueError: Images or labels are not usable, or too few.
    """
    if class_names is None:
        largest = max(int(np.max(part[1], initial=-1)) for part in (train, test))
        class_names = tuple(map(str, range(largest + 1)))
    parts = [("train", train), ("test", test)]
    if isinstance(validation, tuple):
        parts.append(("validation", validation))
    checked = {
        part: _checked(*split, len(class_names), f"{name}, {part}")
        for part, split in parts
    }
    train, test = checked["train"], checked["test"]
    if "validation" not in checked:
        count = len(train.labels) // 10 if validation is None else validation
        train, checked["validation"] = _held_out(name, train, test, count)
    return Dataset(
        name,
        tuple(map(str, class_names)),
        bool(flip),
        train,
        checked["validation"],
        test,
    )


def _held_out(name: str, train: Split, test: Split, count: int) -> tuple[Split, Split]:
    """The training images that stay, and those held out, drawn with a fixed seed."""
    if not 0 < count < len(train.labels) or not len(test.labels):
        raise ValueError(
            f"{name} has {len(train.labels)} training and {len(test.labels)} test "
            f"images; expected more than {count}, which are held out for validation, "
            "and at least one."
        )
    order = np.random.default_rng(0).permutation(len(train.labels))
    held, kept = order[:count], np.sort(order[count:])
    return (
        Split(train.images[kept], train.labels[kept]),
        Split(train.images[held], train.labels[held]),
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


def _from_any_npz(name: str, path: pathlib.Path) -> Dataset:
    """A file of no known name: it says itself what its classes are called."""
    arrays = _read_npz(path)
    named = arrays.get("class_names")
    if named is not None:
        named = [str(each) for each in named.reshape(-1)]
    return from_arrays(
        name,
        Split(arrays["x_train"], arrays["y_train"]),
        Split(arrays["x_test"], arrays["y_test"]),
        class_names=named,
        flip=bool(np.any(arrays.get("flip", False))),
    )


def _from_npz(path: pathlib.Path, num_classes: int) -> tuple[Split, Split]:
    arrays = _read_npz(path)
    train, test = (
        _checked(
            arrays[f"x_{part}"], arrays[f"y_{part}"], num_classes, f"{path}, {part}"
        )
        for part in ("train", "test")
    )
    return train, test


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key in _ARRAYS}
            for part in ("train", "test"):
                arrays[f"x_{part}"]
                arrays[f"y_{part}"] = arrays[f"y_{part}"].reshape(-1)
    except (  # what a damaged archive, a foreign file or a missing array can raise
        *(KeyError, OSError, EOFError, ValueError, TypeError, AttributeError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise ValueError(
            f"{path} is not readable as a data set: {error}. Expected the arrays "
            "x_train, y_train, x_test and y_test."
        ) from error
    return arrays


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
