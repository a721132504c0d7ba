"""Image sets with a fixed validation split.

`digits` always works offline. `cifar10`, `cifar100` and `svhn_cropped` come from a file
`<data_dir>/<name>.npz` in the layout of keras.datasets (arrays `x_train`, `y_train`,
`x_test`, `y_test`), else through tensorflow-datasets. Any other `<name>.npz` of that
layout is a data set as well, and so is a folder of pictures; `register` adds one that a
function of yours loads.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np

from zoo import built_in_data, npz
from zoo.batches import from_batches
from zoo.built_in_data import (
    CIFAR10_CLASSES,
    CIFAR100_CLASSES,
    DATA_DIR_VARIABLE,
    DIGITS_REPEAT,
)
from zoo.checks import check_labels, whole_number
from zoo.folders import from_folder
from zoo.names import add, unknown

__all__ = [
    "CIFAR100_CLASSES",
    "CIFAR10_CLASSES",
    "DATA_DIR_VARIABLE",
    "DIGITS_REPEAT",
    "Dataset",
    "Loader",
    "Split",
    "from_arrays",
    "from_batches",
    "from_folder",
    "load",
    "names",
    "path_of",
    "register",
]


class Split(NamedTuple):
    """Images, uint8 of shape `(n, height, width, 3)`, and labels, int64 of `(n,)`."""

    images: np.ndarray
    labels: np.ndarray

    def take(self, count: int | None) -> Split:
        """The first `count` samples; all of them for None."""
        return Split(self.images[:count], self.labels[:count])

    def __repr__(self) -> str:
        """The shape of the images, not their values."""
        return f"Split(images of shape {np.shape(self.images)})"


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


Loader = Callable[[str | os.PathLike | None], Dataset]
_LOADERS: dict[str, Loader] = {}


def register(name: str) -> Callable[[Loader], Loader]:
    """Decorator that registers the data set that a function loads.

    The function takes the folder of data, or None, and returns a `Dataset`, such as
    `from_arrays` makes.

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
    return lambda loader: add(_LOADERS, "data set", name, loader)


def names() -> tuple[str, ...]:
    """Names of the built-in and of the registered data sets."""
    return tuple(_LOADERS)


def load(
    name: str, data_dir: str | os.PathLike | None = None, **options: Any
) -> Dataset:
    """Load an image set.

    Args:
        name: "digits", "cifar10", "cifar100", "svhn_cropped", a registered name, or
            that of a file `<data_dir>/<name>.npz`. Such a file may also hold
            `class_names`, and `flip`, whether a mirrored image keeps its class. Or the
            path of such a file or of a folder of pictures, which may be one within
            `data_dir`.
        data_dir: Folder of `<name>.npz`, and of tensorflow-datasets' own files.
            Default: the environment variable AEBNAS_DATA_DIR, else
            tensorflow-datasets' default.
        **options: Arguments of `from_folder` for a folder of pictures, such as `size`.
            None stands for their defaults.

    Returns:
        A `Dataset`. The validation split is the same at every call: 5,000 training
        images (SVHN 7,325, as in the paper; digits 180; other files a tenth) drawn
        with a fixed seed.

    Raises:
        ValueError: The name is unknown, or the file is no data set.
        FileNotFoundError: The data cannot be found; the message says how to get it.
    """
    given = {key: value for key, value in options.items() if value is not None}
    path = path_of(name, data_dir)
    if path is not None and path.is_dir():
        return from_folder(path, **given)
    if given:
        raise ValueError(
            f"{name} is not a folder of pictures; {' and '.join(given)} can only be "
            "chosen for such a folder."
        )
    if path is not None:
        if path.stem in built_in_data.IN_FILES:
            return load(path.stem, path.parent)
        return _from_npz(path.stem, path)
    data_dir = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if name in _LOADERS:
        found = _LOADERS[name](data_dir)
        if not isinstance(found, Dataset):
            raise ValueError(
                f"The loader of {name!r} gave a {type(found).__name__}; expected a "
                "zoo.data.Dataset, such as zoo.data.from_arrays makes."
            )
        return found
    path = npz.find(name, data_dir)
    if path is not None:
        return _from_npz(name, path)
    if pathlib.Path(name).name != name or name.endswith(".npz"):
        raise FileNotFoundError(
            f"There is no folder of pictures {name}, nor such an .npz file."
        )
    raise ValueError(
        f"{unknown('data set', name, names())} Or give the path of a folder of "
        f"pictures, or put a file {name}.npz (arrays x_train, y_train, x_test and "
        f"y_test) into a folder and name that with data_dir or {DATA_DIR_VARIABLE}."
    )


def _built_in(name: str, data_dir: str | os.PathLike | None) -> Dataset:
    source, path = built_in_data.SOURCES[name], npz.find(name, data_dir)
    if name not in built_in_data.IN_FILES:
        train, test = built_in_data.digits()
    elif path is not None:
        train, test = (
            _checked(*split, len(source.class_names), f"{path}, {part}")
            for part, split in npz.parts(npz.read(path)).items()
        )
    else:
        train, test = built_in_data.from_tfds(name, data_dir)
    return from_arrays(
        name, train, test, source.validation, source.class_names, source.flip
    )


for _name in built_in_data.SOURCES:
    register(_name)(partial(_built_in, _name))


def _from_npz(name: str, path: pathlib.Path) -> Dataset:
    """A file of any other name, which may also name its classes."""
    arrays = npz.read(path)
    return from_arrays(name, **npz.parts(arrays), **npz.about(arrays, path))


def from_arrays(
    name: str,
    train: Split | tuple[Any, Any],
    test: Split | tuple[Any, Any],
    validation: int | Split | tuple[Any, Any] | None = None,
    class_names: Sequence[str] | None = None,
    flip: bool = False,
) -> Dataset:
    """A data set from arrays.

    Args:
        name: Its name in records.
        train: Images and labels to train on: uint8 of shape `(n, height, width, 3)`,
            and integers of shape `(n,)` or one-hot labels.
        test: Images and labels to report on.
        validation: Those to choose thresholds on, or how many training images to hold
            out for that, drawn with a fixed seed. Default: a tenth.
        class_names: One per class. Default: the labels' own numbers.
        flip: Whether a mirrored image keeps its class.

    Raises:
        ValueError: Images or labels are not usable, or too few, or the images differ in
            size between parts, or all belong to one class.
    """
    parts = [("train", train), ("test", test)]
    if isinstance(validation, tuple):
        parts.append(("validation", validation))
    if class_names is None:
        count = max(_classes(labels, f"{name}, {part}") for part, (_, labels) in parts)
        class_names = tuple(map(str, range(count)))
    if len(class_names) < 2:
        raise ValueError(f"{name} has {len(class_names)} classes; expected 2 or more.")
    checked = {
        part: _checked(*split, len(class_names), f"{name}, {part}")
        for part, split in parts
    }
    train, test = checked["train"], checked["test"]
    sizes = {split.images.shape[1:3] for split in checked.values()}
    if len(sizes) > 1:
        listed = ", ".join(
            f"{part} {split.images.shape[1]} x {split.images.shape[2]}"
            for part, split in checked.items()
        )
        raise ValueError(
            f"The images of {name} differ in height and width: {listed}. Resize them."
        )
    if len(np.unique(train.labels)) < 2:
        raise ValueError(
            f"All training images of {name} are of the class "
            f"{class_names[train.labels[0]]}; expected two classes or more."
        )
    if "validation" not in checked:
        count = len(train.labels) // 10
        if validation is not None:
            count = whole_number("validation", validation, 1)
        train, checked["validation"] = _held_out(name, train, test, count)
    return Dataset(
        name,
        tuple(map(str, class_names)),
        bool(flip),
        train,
        checked["validation"],
        test,
    )


def _classes(labels: Any, where: str) -> int:
    """How many classes labels show: a column for each, or the largest number."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.shape[1]
    if labels.dtype.kind not in "ui":
        raise ValueError(f"{where}: labels are {labels.dtype}; expected integers.")
    return int(labels.max(initial=-1)) + 1


def _held_out(name: str, train: Split, test: Split, count: int) -> tuple[Split, Split]:
    """The training images that stay, and those held out, drawn with a fixed seed."""
    if not 0 < count < len(train.labels) or not len(test.labels):
        raise ValueError(
            f"{name} has {len(train.labels)} training and {len(test.labels)} test "
            f"images; expected more than {count} to train on, because that many are "
            "held out for validation, and at least one to test on."
        )
    order = np.random.default_rng(0).permutation(len(train.labels))
    held, kept = order[:count], np.sort(order[count:])
    return (
        Split(train.images[kept], train.labels[kept]),
        Split(train.images[held], train.labels[held]),
    )


def _checked(images: Any, labels: Any, num_classes: int, where: str) -> Split:
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim and not len(images):
        raise ValueError(f"{where}: there are no images.")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(
            f"{where}: images are {images.dtype} of shape {images.shape}; expected "
            "uint8 of shape (n, height, width, 3)."
        )
    if 0 in images.shape:
        raise ValueError(f"{where}: images of shape {images.shape} have no pixels.")
    if not labels.ndim or len(labels) != len(images):
        count = len(labels) if labels.ndim else 0
        raise ValueError(f"{where}: {len(images)} images but {count} labels.")
    try:
        labels = check_labels(labels, len(images), num_classes)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return Split(images, labels.astype(np.int64))


def path_of(
    name: str | os.PathLike, data_dir: str | os.PathLike | None = None
) -> pathlib.Path | None:
    """The folder of pictures or the `.npz` file that a name is the path of, if any.

    Args:
        name: What `load` takes; names of data sets and of files `<data_dir>/<name>.npz`
            are none.
        data_dir: Where to look first, as for `load`.
    """
    data_dir = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if name in names() or npz.find(name, data_dir) is not None:
        return None
    for place in (data_dir, ".") if data_dir else (".",):
        path = pathlib.Path(place, name)
        if path.is_dir() or (path.suffix == ".npz" and path.is_file()):
            return path
    return None
