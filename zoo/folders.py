"""Folders of pictures as data sets."""

from __future__ import annotations

import numbers
import os
import pathlib
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from zoo import pictures
from zoo.checks import whole_number

if TYPE_CHECKING:
    from zoo.data import Dataset

SIZE = 128
PARTS = ("train", "validation", "test")
PART_FOLDERS = {  # in small letters
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"validation": "validation", "val": "validation", "valid": "validation"},
}
IGNORED = (".", "__")  # beginnings of names, such as .git and __MACOSX
ERRORS = ("warn", "raise")
SHOWN = 3  # files that a message names


class _Picture(NamedTuple):
    """A file, the number of its class, and its part."""

    path: pathlib.Path
    label: int
    part: str


def from_folder(
    folder: str | os.PathLike,
    size: int = SIZE,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    flip: bool = True,
    errors: str = "warn",
    max_gigabytes: float = 8,
    name: str | None = None,
) -> Dataset:
    """A data set from a folder of pictures.

    The folder has a folder for each class, whose name is the name of the class::

        flowers/
            daisy/   1.jpg, 2.jpg, ...
            rose/    ...

    or folders `train`, `validation` (or `val`) and `test`, each with a folder for each
    class. If one of the last two is missing, its pictures are drawn from `train`.

    Pictures in folders within that of a class belong to the class. Other files, hidden
    ones, and those of a format that Pillow does not read are ignored. All pictures get
    one size: they are resized so that the shorter side has `size` pixels, and the
    square in the middle is kept. `zoo.pictures.read` says what becomes of grey,
    transparent and rotated ones.

    Args:
        folder: The folder.
        size: Height and width of the images. They take pictures x size x size x 3
            bytes of memory. Models resize images to their own resolution: a size below
            that loses detail, one above it only takes memory and time.
        validation: Share of the pictures of each class, at least one picture, to
            choose thresholds on, where the folder has none for that.
        test: The same for pictures to report on.
        seed: Seed of the split and of the order. The split does not depend on where
            the folder lies.
        flip: Whether a mirrored picture keeps its class, as it does for most
            photographs; if so, trainings mirror pictures at random.
        errors: For pictures that cannot be read: "warn" leaves them out with one
            warning, "raise" raises.
        max_gigabytes: The most memory that the images may take.
        name: Name of the data set in records. Default: that of the folder.

    Returns:
        A `Dataset` with every class in each part, the classes in the order of their
        names.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It has another structure, fewer than two classes, a class of too
            few pictures (three, if the parts are drawn), or pictures that take too much
            memory; or `errors` is "raise" and a picture cannot be read.

    Example:
        >>> flowers = zoo.data.from_folder("flowers")
        >>> zoo.fit(model, flowers, "short", "my_model")
    """
    from zoo import data

    folder = pathlib.Path(folder)
    shares = {"test": test, "validation": validation}
    _check(size, shares, errors)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    classes, drawn, found = _found(folder)
    _check_memory(folder, len(found), size, max_gigabytes)
    found, images = _read(folder, found, size, errors)
    _check_counts(folder, classes, found, drawn)
    parts = _parts(found, {part: shares[part] for part in drawn}, seed)
    order = np.concatenate([parts[part] for part in PARTS])
    labels = np.array([picture.label for picture in found])[order]
    reorder(images, order)
    splits, start = {}, 0
    for part in PARTS:
        rows = slice(start, start + len(parts[part]))
        splits[part] = data.Split(images[rows], labels[rows])
        start = rows.stop
    return data.from_arrays(
        name or folder.resolve().name or "pictures",
        splits["train"],
        splits["test"],
        splits["validation"],
        classes,
        flip,
    )


def _check(size: int, shares: dict[str, float], errors: str) -> None:
    whole_number("size", size, 1)
    for part, share in shares.items():
        if not isinstance(share, numbers.Real) or not 0 < share < 1:
            raise ValueError(f"{part} is {share!r}; expected a share between 0 and 1.")
    if sum(shares.values()) >= 1:
        raise ValueError(
            f"validation is {shares['validation']} and test {shares['test']}; expected "
            "less than 1 together, so that pictures to train on are left."
        )
    if errors not in ERRORS:
        raise ValueError(f"errors is {errors!r}; choose from {', '.join(ERRORS)}.")


def _check_memory(
    folder: pathlib.Path, count: int, size: int, max_gigabytes: float
) -> None:
    gigabytes = count * size * size * 3 / 1e9
    if gigabytes > max_gigabytes:
        raise ValueError(
            f"The {count:,} pictures in {folder} take {gigabytes:.3g} GB of memory at "
            f"{size} x {size} pixels; expected at most {max_gigabytes:g} GB. Choose a "
            "smaller size, or raise max_gigabytes."
        )


# Which pictures there are


def _found(folder: pathlib.Path) -> tuple[list[str], list[str], list[_Picture]]:
    """Names of the classes, the parts to be drawn from `train`, and all pictures.

    Raises:
        ValueError: The structure of the folder is another, or a class has too few
            pictures.
    """
    places = _part_folders(folder)
    drawn = [part for part in ("test", "validation") if part not in places]
    classes = [_normal(each.name) for each in _folders(places["train"])]
    if len(classes) < 2:
        held = f"only the folder {classes[0]}" if classes else "no folder"
        raise ValueError(
            f"{places['train']} holds {held}; expected two classes or more. "
            f"{_tree(folder)}"
        )
    found = [
        picture
        for part, place in places.items()
        for picture in _of_classes(place, classes, part)
    ]
    if not found:
        raise ValueError(
            f"{folder} holds no pictures{_others(folder)}. {_tree(folder)}"
        )
    _check_counts(folder, classes, found, drawn)
    return classes, drawn, found


def _part_folders(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The folder of each part, that of `train` first; it alone if there are classes."""
    named = {each: PART_FOLDERS.get(each.name.lower()) for each in _folders(folder)}
    parts = [part for part in named.values() if part]
    others = len(named) - len(parts)
    if not parts or (others and len(set(parts)) == 1):  # a class may be called train
        return {"train": folder}
    if others or len(set(parts)) < len(parts) or "train" not in parts:
        raise ValueError(
            f"{folder} holds the folders {', '.join(each.name for each in named)}; "
            "expected train, and besides it at most validation (or val) and test, or "
            "else one for each class."
        )
    return {part: place for part in PARTS for place in named if named[place] == part}


def _of_classes(
    place: pathlib.Path, classes: Sequence[str], part: str
) -> Iterator[_Picture]:
    """The pictures of each class, in an order that is the same on every machine."""
    for each in _folders(place):
        name = _normal(each.name)
        if name not in classes:
            raise ValueError(
                f"{each} is not one of the classes of the training pictures; expected "
                f"{', '.join(classes)}."
            )
        try:
            files = pictures.find(each)
        except ValueError:  # none; numbers are checked later
            continue
        files.sort(key=lambda file: _normal(file.relative_to(place).as_posix()))
        yield from (_Picture(file, classes.index(name), part) for file in files)


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders within a folder, in the order of their names."""
    return sorted(
        (
            each
            for each in folder.iterdir()
            if each.is_dir() and not each.name.startswith(IGNORED)
        ),
        key=lambda each: _normal(each.name),
    )


def _normal(text: str) -> str:
    """A file's name with accents as one character, which not every system gives."""
    return unicodedata.normalize("NFC", text)


def _check_counts(
    folder: pathlib.Path,
    classes: Sequence[str],
    found: Sequence[_Picture],
    drawn: Sequence[str],
) -> None:
    """Raise if a part would not have a picture of every class."""
    for part in PARTS:
        if part in drawn:
            continue
        labels = [picture.label for picture in found if picture.part == part]
        counts = np.bincount(labels, minlength=len(classes))
        label = int(np.argmin(counts))
        where = f"The class {classes[label]} of {folder}"
        if part == "train" and counts[label] <= len(drawn):
            parts = ", ".join(each for each in PARTS if each in ("train", *drawn))
            raise ValueError(
                f"{where} has {counts[label]} pictures that can be read, for {parts}; "
                f"expected {1 + len(drawn)} or more."
            )
        if not counts[label]:
            raise ValueError(
                f"{where} has no picture for {part}; expected every class in each part."
            )


def _tree(folder: pathlib.Path) -> str:
    """What a folder should look like."""
    name = folder.resolve().name or "pictures"
    return (
        f"Expected a folder for each class, such as {name}/cat/1.jpg and "
        f"{name}/dog/1.jpg, or train, validation and test with such folders in each, "
        f"such as {name}/train/cat/1.jpg."
    )


def _others(folder: pathlib.Path) -> str:
    """Which other files a folder holds, for a message."""
    endings = {file.suffix for file in folder.rglob("*") if file.is_file()}
    listed = ", ".join(sorted(ending for ending in endings if ending)[:SHOWN])
    return f" that Pillow reads, only files such as {listed}" if listed else ""


# Their pixels


def _read(
    folder: pathlib.Path, found: Sequence[_Picture], size: int, errors: str
) -> tuple[list[_Picture], np.ndarray]:
    """The pictures that can be read, and their pixels."""
    images = np.empty((len(found), size, size, 3), np.uint8)
    kept: list[_Picture] = []
    broken: list[pathlib.Path] = []
    for picture in found:
        try:
            images[len(kept)] = pictures.read(picture.path, size)
        except ValueError:
            if errors == "raise":
                raise
            broken.append(picture.path)
        else:
            kept.append(picture)
    if broken:
        listed = ", ".join(str(path.relative_to(folder)) for path in broken[:SHOWN])
        more = f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        warnings.warn(
            f"{len(broken)} of {len(found)} pictures in {folder} cannot be read and "
            f"are left out: {listed}{more}.",
            stacklevel=3,
        )
    return kept, images[: len(kept)]


# The parts


def _parts(
    found: Sequence[_Picture], shares: dict[str, float], seed: int
) -> dict[str, np.ndarray]:
    """Indices of the pictures of each part, in random order.

    Args:
        found: The pictures, sufficient in number; see `_check_counts`.
        shares: Of the parts to be drawn from `train`, by class.
        seed: Seed of the order.
    """
    order = np.random.default_rng(seed).permutation(len(found))
    labels = np.array([picture.label for picture in found])[order]
    parts = np.array([picture.part for picture in found], object)[order]
    training = parts == "train"
    for label in np.unique(labels):
        rows = np.flatnonzero(training & (labels == label))
        count = len(rows)
        for drawn, (part, share) in enumerate(shares.items(), 1):
            # At least one, and one is left for each part that follows, and for train.
            most = len(rows) - (len(shares) - drawn) - 1
            number = min(max(1, round(share * count)), most)
            parts[rows[:number]], rows = part, rows[number:]
    return {part: order[parts == part] for part in PARTS}


def reorder(array: np.ndarray, order: Sequence[int]) -> None:
    """`array[:] = array[order]` for a permutation, in place: without a second copy."""
    source = np.array(order)
    for start in range(len(source)):
        if source[start] == start:
            continue
        first, row = array[start].copy(), start
        while source[row] != start:
            array[row] = array[source[row]]
            source[row], row = row, source[row]
        array[row], source[row] = first, row
