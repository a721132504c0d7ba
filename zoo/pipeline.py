"""From a model and a data set to a folder: train, choose thresholds, measure, save."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from zoo import exits, measure, registry, training, weights
from zoo.checks import check_number, check_target
from zoo.cost import Cost
from zoo.data import Dataset
from zoo.exits import Evaluation, OperatingPoint
from zoo.measure import Choice
from zoo.model import EarlyExitModel
from zoo.model_record import ModelRecord
from zoo.training import Recipe, TrainingResult
from zoo.training.teachers import Teacher


@dataclass(frozen=True)
class Fitted:
    """What `fit` did.

    Attributes:
        training: Epochs, seconds, the last epoch's logs.
        validation: The model at its thresholds on the validation split, MACs in the
            convention that was asked for.
        frontier: The Pareto-optimal threshold settings on the validation split, MACs
            in that convention.
        logits: Of the validation split, shape `(images, exits, classes)`.
        record: What was written to the folder; None without one.
        inherited_layers: Layers that began with the weights of another model.
    """

    training: TrainingResult
    validation: Evaluation
    frontier: tuple[OperatingPoint, ...]
    logits: np.ndarray
    record: ModelRecord | None = None
    inherited_layers: int = 0


def fit(
    model: EarlyExitModel,
    dataset: Dataset,
    recipe: Recipe | str = "long",
    folder: str | os.PathLike | None = None,
    *,
    seed: int = 1,
    teacher: Teacher | None = None,
    max_macs: float | None = None,
    least_gain: float = 0.0,
    target_macs: float | None = None,
    choose: Choice | None = None,
    convention: str = "standard",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    notes: Sequence[str] = (),
    facts: dict[str, Any] | None = None,
    weight_bits: int = 16,
    validate: bool = True,
    verbose: str | int = "auto",
) -> Fitted:
    """Train a model in place, choose its thresholds, measure it and save it.

    The same call after an interruption continues the training. `model.frontier` is
    measured anew; thresholds stay as they are unless a budget or `choose` is given.

    Args:
        model: What to train.
        dataset: Trained on its `train` part; thresholds are chosen on `validation`;
            with a folder, results are reported on `test`.
        recipe: How to train, or the name of a recipe; see `zoo.training`.
        folder: Where the model is saved, for `zoo.load`, beside the training's
            checkpoint and log. None: it is not saved.
        seed: Seed of the order of the images and of the augmentation.
        teacher: Model to distil from, where the recipe distils, or its logits; see
            `zoo.training.teacher_logits`.
        max_macs: Choose the most accurate thresholds that spend at most this many MACs
            per image on average.
        least_gain: With `max_macs`, points of accuracy that 10 % more MACs must gain;
            see `zoo.exits.worthwhile`.
        target_macs: Choose the best thresholds by the paper's score for this many
            average MACs.
        choose: Choose thresholds in another way; see `zoo.measure.within`. Without any
            of the three the thresholds are kept.
        convention: How `max_macs` and `target_macs` count; see `zoo.macs`.
        callbacks: More of Keras's callbacks for the training.
        notes: Sentences for the model's card.
        facts: More facts about the training, for its card.
        weight_bits: Precision of the saved kernels; see `zoo.save`.
        validate: Whether to measure the validation split after every epoch.
        verbose: Keras's: "auto" or 1 shows a progress bar, 2 a line per epoch, 0
            nothing.

    Raises:
        ValueError: The model does not match the data, a budget cannot be met, or the
            folder holds another training.
        FloatingPointError: The loss or a weight became NaN or infinite.

    Example:
        >>> digits = zoo.data.load("digits")
        >>> zoo.fit(model, digits, "short", "my_model", max_macs=9e5)
    """
    given = [option for option in (max_macs, target_macs, choose) if option is not None]
    if len(given) > 1:
        raise ValueError(
            "max_macs, target_macs and choose all say how thresholds are chosen; "
            "expected at most one of them."
        )
    if least_gain and max_macs is None:
        raise ValueError("least_gain is given without max_macs, which it belongs to.")
    exits.check_gain(least_gain)
    cost = model.cost(convention)
    # Now, not after the training:
    _check_budget(max_macs, cost)
    if target_macs is not None:
        check_target("target_macs", target_macs)
    exits.check_grid(model.num_exits)
    weights.check_bits(weight_bits)
    chosen_by = None
    if max_macs is not None:
        choose = measure.within(max_macs, least_gain)
        chosen_by = {"max_macs": round(max_macs)}
        chosen_by |= {"least_gain": least_gain} if least_gain else {}
    elif target_macs is not None:
        choose = measure.towards(target_macs)
        chosen_by = {"target_macs": round(target_macs)}
    if isinstance(recipe, str):
        recipe = training.recipe(recipe)
    trained = training.train(
        model,
        dataset,
        recipe,
        folder,
        seed=seed,
        teacher=teacher,
        verbose=verbose,
        validate=validate,
        callbacks=callbacks,
    )
    logits = measure.predict(model, dataset.validation.images)
    labels = dataset.validation.labels
    model.frontier = measure.frontier(model, logits, labels)
    if choose is not None and model.num_exits > 1:
        model.thresholds = choose(logits, labels, cost, model.exit_rule).thresholds
    record = None
    if folder is not None:
        noted = measure.provenance(
            recipe=asdict(recipe),
            seed=seed,
            **facts or {},
            thresholds=chosen_by and chosen_by | {"convention": convention},
            seconds=trained.seconds,
            images_per_second=trained.images_per_second,
        )
        record = registry.save(model, folder, dataset, noted, notes, weight_bits)
    return Fitted(
        trained,
        exits.evaluate(logits, labels, cost, model.thresholds, model.exit_rule),
        exits.frontier(logits, labels, cost, rule=model.exit_rule),
        logits,
        record,
    )


def _check_budget(max_macs: float | None, cost: Cost) -> None:
    """Raise if no thresholds at all could meet a budget."""
    if max_macs is None:
        return
    check_number("max_macs", max_macs)
    if max_macs == math.inf:
        raise ValueError("max_macs is inf; leave it out where there is no limit.")
    early = (p + branch for p, branch in zip(cost.backbone, cost.branches))
    least = min((*early, cost.backbone[-1]))
    if not max_macs >= least:
        raise ValueError(
            f"max_macs is {max_macs:,.0f}; the cheapest way through the network needs "
            f"{least:,} MACs. Give a larger budget or train a smaller network."
        )
