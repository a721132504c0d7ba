"""Strategies: where the weights of a candidate come from.

A strategy is a function like `zoo.fit`: it takes a built network, a data set, a recipe
and the named options of `zoo.fit`, gives the network its weights, chooses thresholds
and measures, and returns a `zoo.pipeline.Fitted`. Training from random weights is
`zoo.fit` itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from zoo.pipeline import Fitted

Strategy = Callable[..., "Fitted"]


def scratch(model: Any, dataset: Any, recipe: Any, **options: Any) -> Fitted:
    """Train from random weights by the recipe."""
    from zoo.pipeline import fit

    return fit(model, dataset, recipe, **options)


def transfer(source: keras.Model) -> Strategy:
    """Start from the weights of another model, then train by the recipe.

    Args:
        source: A layer takes over the weights of its layer of the same name, if their
            shapes agree.
    """

    def train(model: Any, dataset: Any, recipe: Any, **options: Any) -> Fitted:
        count = inherit(model, source)
        fitted = scratch(model, dataset, recipe, **options)
        return dataclasses.replace(fitted, inherited_layers=count)

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
