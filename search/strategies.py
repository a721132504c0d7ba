"""Strategies: where the weights of a candidate come from.

A strategy is a function `(model, dataset, recipe, seed) -> Training` that gives a built
network its weights, by training it or otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from search.records import Training

if TYPE_CHECKING:
    import keras

    from zoo.data import Dataset
    from zoo.model import EarlyExitClassifier
    from zoo.training import Recipe

Strategy = Callable[["EarlyExitClassifier", "Dataset", "Recipe", int], Training]


def scratch(
    model: EarlyExitClassifier, dataset: Dataset, recipe: Recipe, seed: int
) -> Training:
    """Train from random weights by the recipe."""
    from zoo import training

    done = training.train(model, dataset, recipe, seed=seed, verbose=0, validate=False)
    return Training(seed, done["seconds"], done["images_per_second"])


def transfer(source: keras.Model) -> Strategy:
    """Start from the weights of another model, then train by the recipe.

    Args:
        source: A layer takes over the weights of its layer of the same name, if their
            shapes agree.
    """

    def train(
        model: EarlyExitClassifier, dataset: Dataset, recipe: Recipe, seed: int
    ) -> Training:
        inherited = inherit(model, source)
        done = scratch(model, dataset, recipe, seed)
        return Training(seed, done.seconds, done.images_per_second, inherited)

    return train


def inherit(model: keras.Model, source: keras.Model) -> int:
    """Copy weights between layers of equal name and shapes; returns how many layers."""
    known = {layer.name: layer for layer in source.layers}
    count = 0
    for layer in model.layers:
        weights = known[layer.name].get_weights() if layer.name in known else []
        shapes = [tuple(each.shape) for each in layer.weights]
        if weights and [each.shape for each in weights] == shapes:
            layer.set_weights(weights)
            count += 1
    return count
