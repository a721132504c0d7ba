"""Heads on a frozen backbone: each is trained once, and what it answers is kept."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import NamedTuple

import keras
import numpy as np

from search.backbone.features import BATCH, Features, Form, form_of, parts_of
from zoo import files, graph, npz, training
from zoo.data import Split
from zoo.heads import Head
from zoo.model import EarlyExitModel
from zoo.names import valid_name
from zoo.training import Recipe

FOLDER = "heads"  # beside the features


class TrainedHead(NamedTuple):
    """A head and its answers.

    Attributes:
        logits: Of the validation images, shape `(images, classes)`.
        weights: In the order of the head's layers.
        seconds: Time that its training took.
        images_per_second: Speed of the training.
    """

    logits: np.ndarray
    weights: list[np.ndarray]
    seconds: float
    images_per_second: int


class TrainedHeads:
    """Trains heads on demand, and keeps them in the folder of the features.

    Args:
        features: What they are trained on.
        shapes: Shape of the features at each place, without the batch.
        recipe: How to train.
        seed: Seed of the initial weights and of the order of the images, for every head
            the same.
    """

    def __init__(
        self,
        features: Features,
        shapes: Mapping[str, tuple[int, ...]],
        recipe: Recipe,
        seed: int,
    ) -> None:
        self.features, self.shapes, self.seed = features, shapes, seed
        self.recipe = replace(
            recipe, scheme="joint", augmentation="none", erase=0.0, heads_epochs=0
        )
        self.folder = files.make_folder(features.folder / FOLDER)

    def get(self, place: str, head: Head) -> TrainedHead:
        """The trained head of an exit.

        Args:
            place: The layer that it follows.
            head: The head.

        Raises:
            FloatingPointError: The training diverged.
        """
        about = json.dumps(
            {
                "place": place,
                "head": head.to_json(),
                "seed": self.seed,
                "recipe": asdict(self.recipe),
            }
        )
        tag = hashlib.sha256(about.encode()).hexdigest()[:16]
        path = self.folder / f"{valid_name(place)}.{tag}.npz"
        if path.is_file():
            return _read(path)
        found = self._train(form_of(place, self.shapes[place], head), head)
        _write(path, found, about)
        return found

    def _train(self, form: Form, head: Head) -> TrainedHead:
        self.features.make({form.place: [head]}, self.shapes)  # most are there
        keras.utils.set_random_seed(self.seed)
        dataset = self.features.dataset
        shape = self.shapes[form.place]
        parts = parts_of(head, shape, dataset.num_classes, form.computed)
        inputs = keras.Input(form.shape)
        logits = graph.replay(parts.kept, parts.logits, inputs)
        vectors = replace(
            dataset,
            flip=False,
            **{
                split: Split(
                    self.features.of(form, split), getattr(dataset, split).labels
                )
                for split in ("train", "validation")
            },
        )
        model = EarlyExitModel(inputs, [], [logits], name="head")
        told = training.train(
            model, vectors, self.recipe, seed=self.seed, validate=False, verbose=0
        )
        answers = _in_batches(keras.Model(inputs, logits), vectors.validation.images)
        whole = keras.Model(parts.features, parts.logits)  # shares the layers
        return TrainedHead(
            answers, whole.get_weights(), told.seconds, told.images_per_second
        )


def _write(path: pathlib.Path, head: TrainedHead, about: str) -> None:
    numbered = {f"weight{i}": each for i, each in enumerate(head.weights)}
    told = np.array([head.seconds, head.images_per_second])
    npz.write(path, {"about": about, "told": told, "logits": head.logits, **numbered})


def _read(path: pathlib.Path) -> TrainedHead:
    with np.load(path) as kept:
        names = sum(name.startswith("weight") for name in kept.files)
        weights = [kept[f"weight{i}"] for i in range(names)]
        seconds, speed = kept["told"].tolist()
        return TrainedHead(kept["logits"], weights, seconds, int(speed))


def _in_batches(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Outputs of a small model, for which compiling would take longer."""
    parts = [
        model(images[i : i + BATCH].astype(np.float32), training=False)
        for i in range(0, len(images), BATCH)
    ]
    return np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])
