"""Recipes: how to train, as data."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from zoo.arithmetic import CONVENTIONS
from zoo.checks import whole_number
from zoo.names import find

AUGMENTATIONS = ("none", "shift", "resized_crop")
OPTIMIZERS = ("sgd", "adam")
SCHEMES = ("joint", "mixed", "heads")


@dataclass(frozen=True)
class Recipe:
    """How to train, with a cosine schedule of the learning rate per step.

    Args:
        name: Its name in records.
        epochs: Passes over the training images.
        batch_size: Images in a step.
        learning_rate: Peak learning rate.
        warmup_epochs: Epochs of linear increase before the cosine; may be a fraction.
        momentum: Momentum of SGD.
        weight_decay: Coefficient of the L2 penalty on all weights.
        clip_norm: Largest global norm of a gradient; None: no clipping.
        augmentation: "none", "shift" (pad-and-crop by 4 pixels) or "resized_crop".
            Mirroring is added for data sets whose classes survive it.
        erase: Share of the images from which a random rectangle is erased.
        crop: Central share of an image that is used outside training.
        distillation: Share of each exit's loss that is the distance to a teacher's
            answer. Without a teacher model, the final exit teaches the branches.
        temperature: Of the softmax in the distillation.
        soft_exits: Train as NACHOS does, in three phases: the final exit alone; then
            the mixture of all exits by their confidences, plus `cost_weight` x L_cost;
            then also `peak_weight` x L_peak. See `zoo.training.soft_exits`.
        phases: Shares of the training that the first two phases take.
        macs_limit: Average MACs above which L_cost counts; None: no such term.
        convention: How the limit counts MACs; see `zoo.macs`.
        cost_weight: Weight of L_cost.
        peak_weight: Weight of L_peak.
        optimizer: "sgd", with Nesterov momentum, or "adam".
        scheme: What is trained when. "joint": everything, all the time. "mixed": the
            final exit alone in the first half of the epochs, then everything. "heads":
            the heads alone, on features of the frozen backbone that are computed once,
            of images that are not augmented.
        heads_epochs: Epochs of "heads" that come before all others, by Adam at a
            learning rate of 0.001: new heads would spoil a trained backbone at first.
        freeze_normalisation: Whether the batch normalisation of the backbone keeps its
            statistics and weights, as is usual for a pretrained backbone.
        label_smoothing: Share of the answer that is spread over all classes.

    Raises:
        ValueError: A value is out of range.
    """

    name: str
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_epochs: float = 0
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float | None = None
    augmentation: str = "shift"
    erase: float = 0.0
    crop: float = 1.0
    distillation: float = 0.0
    temperature: float = 2.0
    soft_exits: bool = False
    phases: tuple[float, float] = (0.3, 0.4)
    macs_limit: float | None = None
    convention: str = "standard"
    cost_weight: float = 1.0
    peak_weight: float = 1.0
    optimizer: str = "sgd"
    scheme: str = "joint"
    heads_epochs: int = 0
    freeze_normalisation: bool = False
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ValueError(f"Recipe.name is {self.name!r}; expected text.")
        for field, least in (("epochs", 1), ("batch_size", 1), ("heads_epochs", 0)):
            value = whole_number(f"Recipe.{field}", getattr(self, field), least)
            object.__setattr__(self, field, value)
        # As numbers of Python, which compares with integers of any size.
        tiny, most = map(float, (np.finfo(np.float32).tiny, np.finfo(np.float32).max))
        limits = {
            "learning_rate": (tiny, most),
            "warmup_epochs": (0, self.epochs),
            "momentum": (0, 0.9999),
            "label_smoothing": (0, 0.9),
            "weight_decay": (0, most),
            "clip_norm": (tiny, most),
            "erase": (0, 1),
            "crop": (0.1, 1),
            "distillation": (0, 1),
            "temperature": (tiny, most),
            "macs_limit": (tiny, most),
            "cost_weight": (0, most),
            "peak_weight": (0, most),
        }
        for field, (low, high) in limits.items():
            value = getattr(self, field)
            if value is None and field in ("clip_norm", "macs_limit"):
                continue
            number = isinstance(value, numbers.Real) and not isinstance(value, bool)
            if not number or not low <= value <= high:  # so that NaN is refused, too
                least = "more than 0" if low == tiny else f"{low} or more"
                most_text = "" if high == most else f", at most {high}"
                raise ValueError(
                    f"Recipe.{field} is {value!r}; expected {least}{most_text}."
                )
        for field, options in (
            ("augmentation", AUGMENTATIONS),
            ("convention", CONVENTIONS),
            ("optimizer", OPTIMIZERS),
            ("scheme", SCHEMES),
            ("soft_exits", (False, True)),
            ("freeze_normalisation", (False, True)),
        ):
            value = getattr(self, field)
            if value not in options:
                listed = ", ".join(map(str, options))
                raise ValueError(f"Recipe.{field} is {value!r}; expected {listed}.")
        if self.soft_exits and self.scheme != "joint":
            raise ValueError(
                f"Recipe.soft_exits is on and Recipe.scheme is {self.scheme!r}; "
                "expected 'joint': soft exits have phases of their own."
            )
        phases = self.phases
        if isinstance(phases, (list, tuple)):
            object.__setattr__(self, "phases", tuple(phases))
        if not (
            isinstance(phases, (list, tuple))
            and len(phases) == 2
            and all(isinstance(share, numbers.Real) for share in phases)
            and min(phases) >= 0
            and sum(phases) <= 1
        ):
            raise ValueError(
                f"Recipe.phases is {self.phases!r}; expected two shares, 0 or "
                "more, together at most 1."
            )
        if self.soft_exits and self.distillation:
            raise ValueError(
                "Recipe.soft_exits and Recipe.distillation are both on; the soft-exit "
                "losses use no teacher. Turn one off."
            )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        # AEBNAS's training of a candidate (arXiv 2512.10671), from random weights.
        Recipe(
            "paper",
            epochs=5,
            batch_size=256,
            learning_rate=0.01,
            weight_decay=4e-5,
            clip_norm=1.0,
            augmentation="resized_crop",
            crop=0.875,
        ),
        Recipe(
            "long",
            epochs=60,
            batch_size=128,
            learning_rate=0.06,
            warmup_epochs=2,
            weight_decay=5e-4,
            distillation=0.3,
        ),
        # A few epochs from random weights: the most accuracy for the least time, to
        # rank the candidates of a search.
        Recipe(
            "short",
            epochs=2,
            batch_size=32,
            learning_rate=0.05,
            warmup_epochs=0.2,
            augmentation="none",
        ),
        # For a pretrained backbone: the heads first, then the final exit, then all.
        Recipe(
            "finetune",
            epochs=5,
            batch_size=64,
            learning_rate=5e-4,
            warmup_epochs=0.5,
            optimizer="adam",
            scheme="mixed",
            heads_epochs=5,
            freeze_normalisation=True,
            clip_norm=1.0,
        ),
        # For a transformer from random weights.
        Recipe(
            "transformer",
            epochs=60,
            batch_size=64,
            learning_rate=1e-3,
            warmup_epochs=3,
            weight_decay=0.05,
            optimizer="adam",
            clip_norm=1.0,
            distillation=0.3,
        ),
        # The heads alone, on a trained backbone that stays as it is.
        Recipe(
            "heads",
            epochs=5,
            batch_size=128,
            learning_rate=3e-3,
            optimizer="adam",
            scheme="heads",
            augmentation="none",
        ),
    )
}
"""The recipes by name: paper, long, short, finetune, transformer, heads."""


def heads_first(recipe: Recipe) -> Recipe:
    """The recipe of the epochs that `recipe.heads_epochs` counts."""
    return replace(
        RECIPES["heads"],
        name=f"{recipe.name}, heads",
        epochs=recipe.heads_epochs,
        batch_size=recipe.batch_size,
        learning_rate=1e-3,
        label_smoothing=recipe.label_smoothing,
        crop=recipe.crop,
    )


def recipe(name: str, /, **changes: Any) -> Recipe:
    """One of `RECIPES`, with some of its fields changed.

    With fewer epochs the warm-up is shortened to at most a tenth of them.

    Raises:
        ValueError: There is no such recipe, or a value is out of range.
    """
    base = find(RECIPES, "recipe", name)
    if "epochs" in changes and "warmup_epochs" not in changes:
        epochs = whole_number("Recipe.epochs", changes["epochs"], 1)
        changes["warmup_epochs"] = min(base.warmup_epochs, epochs / 10)
    strangers = sorted(set(changes) - {field.name for field in fields(Recipe)})
    if strangers:
        raise ValueError(f"A recipe has no {', '.join(strangers)}.")
    return replace(base, **changes)
