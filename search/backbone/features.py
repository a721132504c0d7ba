"""Features of a frozen backbone, computed once and kept on disk.

They are read by memory mapping, so that a search needs no more memory for many images.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from zoo import attach, backends, files, graph, records
from zoo.data import Dataset
from zoo.heads import Head
from zoo.model import EarlyExitModel
from zoo.names import valid_name
from zoo.terminal import show_progress
from zoo.training.frozen import before_weights

BATCH = 250  # images whose features are computed at once
HALF = np.dtype(np.float16)
SPLITS = ("train", "validation")
FINAL = "final_logits"


class Form(NamedTuple):
    """Features at a place in the form that is kept for a head.

    Attributes:
        place: The layer that they come after.
        name: Of the files that hold them.
        shape: For one image.
        computed: Whether the part of the head that has no weights has been computed, as
            the pooling of a linear head; else they are the features themselves.
    """

    place: str
    name: str
    shape: tuple[int, ...]
    computed: bool


class Parts(NamedTuple):
    """A head in two parts: symbolic tensors where they begin and end."""

    features: Any
    kept: Any
    logits: Any


def parts_of(
    head: Head,
    shape: Sequence[int],
    num_classes: int,
    computed: bool = True,
    name: str = "exit",
) -> Parts:
    """Build a head on features of a shape.

    Args:
        head: The head.
        shape: Of the features, without the batch.
        num_classes: Number of classes.
        computed: Whether to divide it where its weights begin, not where it begins.
        name: What the names of its layers begin with.
    """
    features = keras.Input(tuple(shape))
    logits = head.build(features, num_classes, name)
    kept = before_weights(features, logits) if computed else features
    return Parts(features, kept, logits)


def form_of(place: str, shape: Sequence[int], head: Head) -> Form:
    """The form in which features are kept for a head.

    The part of the head without weights is computed if that halves the size.
    """
    parts = parts_of(head, shape, 2)
    kept = tuple(parts.kept.shape[1:])
    steps = None
    if parts.kept is not parts.features and 2 * math.prod(kept) <= math.prod(shape):
        steps = _described(parts)
    known = json.dumps([place, steps], sort_keys=True, default=str)
    tag = hashlib.sha256(known.encode()).hexdigest()[:8]
    used = tuple(shape) if steps is None else kept
    return Form(place, f"{valid_name(place)}.{tag}", used, steps is not None)


def _described(parts: Parts) -> list[Any] | None:
    """What is computed between features and what is kept; None: it cannot be said."""
    steps = []
    for node in backends.nodes(parts.kept, parts.features):
        if len(node.inputs) != 1:
            return None
        config = node.operation.get_config()
        config = {k: v for k, v in config.items() if k not in ("name", "dtype")}
        steps.append([type(node.operation).__name__, config])
    return steps


@records.record("feature_cache", format=1)
@dataclass(frozen=True)
class CacheRecord:
    """What the features in a folder were computed from.

    Attributes:
        backbone: Fingerprint of its weights.
        data: Fingerprint of the data set.
        train_images: How many of the first training images.
    """

    backbone: str
    data: str
    train_images: int


class Features:
    """The features of a backbone on the images of a data set, in a folder.

    Args:
        model: The backbone as a model of one exit, its own final classifier.
        dataset: Images; its `train` and its `validation` part are used.
        folder: Where they are kept, which several searches may share.
        about: What they are computed from.

    Raises:
        ValueError: The folder holds features of another backbone, or of other images.
    """

    RECORD = "cache.json"

    def __init__(
        self,
        model: EarlyExitModel,
        dataset: Dataset,
        folder: str | os.PathLike,
        about: CacheRecord,
    ) -> None:
        self.model, self.dataset = model, dataset
        self.folder = files.make_folder(folder)
        with files.locked(self.folder):
            path = self.folder / self.RECORD
            if not path.is_file():
                records.write(path, about)
        if records.read(path, CacheRecord) != about:
            raise ValueError(
                f"{self.folder} holds features of another backbone or of other images; "
                "use another folder."
            )

    def make(self, heads: Mapping[str, Iterable[Head]], shapes: Mapping) -> None:
        """Compute what is not there yet, all in one pass over the images.

        The size is told on standard error before that begins.

        Args:
            heads: Heads at each place whose form of the features is needed, the places
                in the order of the network.
            shapes: Shape of the features at each place, without the batch.

        Raises:
            ValueError: Features are too large for half precision.
            OSError: They do not fit on the disk.
        """
        wanted: dict[Form, tuple[str, Head]] = {}
        for place, listed in heads.items():
            for head in listed:
                wanted.setdefault(form_of(place, shapes[place], head), (place, head))
        with files.locked(self.folder):
            files.remove_partial(self.folder)  # whoever wrote them is gone
            missing = {
                form: head
                for form, head in wanted.items()
                if not all(self._path(form.name, s).is_file() for s in SPLITS)
            }
            needs_final = not self._path(FINAL, "validation").is_file()
            if missing or needs_final:
                self._check_space(missing)
                self._compute(missing)

    def of(self, form: Form, split: str) -> np.ndarray:
        """The features of a form, half precision, mapped from the disk.

        Args:
            form: The form.
            split: "train" or "validation".

        Returns:
            Shape `(images, *form.shape)`.
        """
        return np.load(self._path(form.name, split), mmap_mode="r")

    def final_logits(self) -> np.ndarray:
        """The final classifier's logits of the validation images, single precision."""
        return np.load(self._path(FINAL, "validation"))

    def _path(self, name: str, split: str) -> Any:
        return self.folder / f"{name}.{split}.npy"

    def _check_space(self, forms: Iterable[Form]) -> None:
        """Say how large the features will be; raise if the disk is too small."""
        images = sum(len(getattr(self.dataset, split).labels) for split in SPLITS)
        places = len({form.place for form in forms})
        size = HALF.itemsize * images * sum(math.prod(form.shape) for form in forms)
        print(
            f"Computing the features of {images:,} images at {places} places, once: "
            f"{size / 1e9:.2f} GB in {self.folder}",
            file=sys.stderr,
        )
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise OSError(
                f"The features need {size:,} bytes, and {free:,} are free at "
                f"{self.folder}; use fewer places, heads or training images, or "
                "another folder."
            )

    def _compute(self, forms: Mapping[Form, tuple[str, Head]]) -> None:
        extract = self._extractor(forms)
        began, done = time.monotonic(), 0
        total = sum(len(getattr(self.dataset, split).labels) for split in SPLITS)
        finished = {}
        for split in SPLITS:
            images = getattr(self.dataset, split).images
            paths = [self._partial(form.name, split) for form in forms]
            written = [
                np.lib.format.open_memmap(path, "w+", HALF, (len(images), *form.shape))
                for path, form in zip(paths, forms)
            ]
            logits = []
            for start in range(0, len(images), BATCH):
                *found, final = extract(images[start : start + BATCH])
                for form, array, values in zip(forms, written, found):
                    array[start : start + BATCH] = _halved(values, form.place)
                logits.append(final)
                done += len(final)
                left = (time.monotonic() - began) / done * (total - done) / 60
                show_progress(f"features of {done:,} images, {left:.0f} min left")
            for array in written:
                array.flush()
            finished |= {p: self._path(f.name, split) for p, f in zip(paths, forms)}
        show_progress("")
        with files.naming_full_disk(self.folder):
            path = self._partial(FINAL, "validation")
            np.save(path, np.concatenate(logits).astype(np.float32))
            finished[path] = self._path(FINAL, "validation")
        for partial, path in finished.items():
            files.rename(partial, path)

    def _partial(self, name: str, split: str) -> Any:
        return self.folder / f"{files.PARTIAL}{name}.{split}.npy"

    def _extractor(self, forms: Mapping[Form, tuple[str, Head]]) -> Any:
        """A function of images that gives every form, and the final logits."""
        places = dict.fromkeys(form.place for form in forms)
        network = keras.Model(self.model.inputs[0], self.model.exit_logits[-1])
        probe = attach(network, places)  # the tensor that goes on from each place
        at = dict(zip(places, probe.exit_features))
        entries = []
        for i, (form, (place, head)) in enumerate(forms.items()):
            parts = parts_of(head, at[place].shape[1:], 2, form.computed, f"form{i}")
            entries.append(graph.replay(parts.features, parts.kept, at[place]))
        whole = keras.Model(probe.inputs[0], [*entries, probe.exit_logits[-1]])
        return backends.on_arrays(backends.compiled(whole), BATCH)


def _halved(values: np.ndarray, place: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        half = values.astype(HALF)
    if not np.isfinite(half).all():
        raise ValueError(
            f"Features after {place!r} are not finite in half precision; choose other "
            "places."
        )
    return half
