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

from zoo.batches import from_batches as from_batches
from zoo.checks import check_labels, whole_number
from zoo.folders import from_folder
from zoo.names import add, unknown

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
            f"{name} is no folder of pictures; {' and '.join(given)} can be chosen "
            "only for one."
        )
    if path is not None:
        known = path.stem in _SOURCES and path.stem != "digits"  # which has no file
        return load(path.stem, path.parent) if known else _from_any_npz(path.stem, path)
    data_dir = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if name in _LOADERS:
        found = _LOADERS[name](data_dir)
        if not isinstance(found, Dataset):
            raise ValueError(
                f"The loader of {name!r} gave a {type(found).__name__}; expected a "
                "zoo.data.Dataset, such as zoo.data.from_arrays makes."
            )
        return found
    path = pathlib.Path(data_dir or ".") / f"{name}.npz"
    if data_dir and path.is_file():
        return _from_any_npz(name, path)
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
    source = _SOURCES[name]
    path = pathlib.Path(data_dir or ".") / f"{name}.npz"
    if name == "digits":
        train, test = _digits()
    elif data_dir and path.is_file():
        train, test = _from_npz(path, len(source.class_names))
    else:
        train, test = _from_tfds(name, data_dir)
    return from_arrays(
        name, train, test, source.validation, source.class_names, source.flip
    )


for _name in _SOURCES:
    register(_name)(partial(_built_in, _name))


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
    """A file of any other name, which may also name its classes."""
    arrays = _read_npz(path)
    named = arrays.get("class_names")
    if named is not None:
        named = [str(each) for each in named.reshape(-1)]
    return from_arrays(
        name,
        Split(arrays["x_train"], arrays["y_train"]),
        Split(arrays["x_test"], arrays["y_test"]),
        class_names=named,
        flip=_flag(arrays.get("flip", np.array(False)), path),
    )


def _flag(value: np.ndarray, path: pathlib.Path) -> bool:
    if value.size != 1 or value.dtype.kind not in "bui":
        raise ValueError(f"{path}: flip is {value!r}; expected True or False.")
    return bool(value.item())


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
                arrays[f"y_{part}"]
    except Exception as error:  # a damaged archive can raise nearly anything
        raise ValueError(
            f"{path} is not readable as a data set: {str(error) or type(error)}. "
            "Expected the arrays x_train, y_train, x_test and y_test."
        ) from error
    return arrays


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
    if name in names() or (
        data_dir and pathlib.Path(data_dir, f"{name}.npz").is_file()
    ):
        return None
    for place in (data_dir, ".") if data_dir else (".",):
        path = pathlib.Path(place, name)
        if path.is_dir() or (path.suffix == ".npz" and path.is_file()):
            return path
    return None


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
