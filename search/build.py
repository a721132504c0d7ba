"""What settings describe, built: the oracle and the tuner."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from functools import partial

from search import latency, methods
from search.backbone.tuner import ExitTuner
from search.engine import ProposerOracle
from search.settings import Settings
from search.strategies import Strategy, scratch, transfer
from search.tuner import EarlyExitTuner
from zoo import registry
from zoo.data import Dataset
from zoo.model import EarlyExitModel


def oracle(settings: Settings) -> ProposerOracle:
    """A new oracle."""
    space = settings.search_space()
    return ProposerOracle(
        methods.get(settings.method).proposer(settings, space),
        space,
        settings.objectives_in_order(),
        batch_size=settings.batch_size,
        constraints=settings.limits(),
        reference=settings.reference,
        initial_trials=settings.random_trials,
        max_trials=settings.trials,
        seed=settings.seed,
    )


def tuner(
    settings: Settings,
    directory: str | os.PathLike,
    dataset: Dataset,
    oracle: ProposerOracle,
    cache: str | os.PathLike | None = None,
    backbone: EarlyExitModel | None = None,
) -> EarlyExitTuner:
    """A tuner on the folder of the search, from which it reads earlier trials.

    Args:
        settings: What the search does.
        directory: Its folder.
        dataset: What it trains on.
        oracle: What it tries.
        cache: Folder for what a supernet answered, or for the features of a backbone;
            see `search.run`.
        backbone: The backbone, if the settings name one.

    Raises:
        ValueError: The model to take weights from, or the latency table, does not
            exist or does not fit.
    """
    strategy = scratch
    if settings.initial_weights is not None:
        strategy = transfer(registry.load(settings.initial_weights))
    if settings.supernet is not None:
        strategy = _inherit(settings, directory, dataset, cache)
    if settings.train_images is not None:
        kept = dataset.train.take(settings.train_images)
        dataset = dataclasses.replace(dataset, train=kept)
    make: Callable[..., EarlyExitTuner] = EarlyExitTuner
    if backbone is not None:
        make = partial(ExitTuner, backbone=backbone, cache=cache)
    return make(
        oracle,
        oracle.space,
        dataset,
        settings.training_recipe(),
        directory,
        target_macs=settings.target_macs,
        target_is_limit=methods.get(settings.method).macs_as == "limit",
        convention=settings.convention,
        strategy=strategy,
        latency_batch_size=settings.latency_batch_size,
        latency=latency.clock(settings, oracle.space, dataset.num_classes),
        seed=settings.seed,
    )


def _inherit(
    settings: Settings,
    directory: str | os.PathLike,
    dataset: Dataset,
    cache: str | os.PathLike | None,
) -> Strategy:
    """The strategy of a search with a supernet."""
    from search.supernet.inheriting import Inherit, answers_folder  # needs TensorFlow
    from search.supernet.network import Supernet

    supernet = Supernet.load(settings.supernet)
    folder = cache or answers_folder(settings.supernet, directory)
    return Inherit(supernet, dataset, folder, settings.train_images)
