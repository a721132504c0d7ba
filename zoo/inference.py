"""Inference that skips computation: one compiled sub-model per exit in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from zoo.backends import compiled, on_arrays
from zoo.runtime import EarlyPrediction, run_segments


class Segments:
    """A network cut at the exits in use.

    Segment k takes what segment k - 1 left (the first takes images) and gives the
    logits of its exit and the features for the next one. The branch of an exit that is
    off belongs to no segment, so it is not computed.

    Args:
        images: The network's symbolic input.
        features: Symbolic feature map at each exit but the last.
        logits: Symbolic logits of each exit.
        thresholds: One per exit but the last; 1 switches the exit off.

    Attributes:
        exits: Index of the exit that each segment ends at.
        models: The sub-models.
        functions: Their compiled forward passes, on tensors.
    """

    def __init__(
        self,
        images: Any,
        features: Sequence[Any],
        logits: Sequence[Any],
        thresholds: Sequence[float],
    ) -> None:
        last = len(features)
        self.exits = [i for i in range(last) if thresholds[i] < 1] + [last]
        self.models = []
        source = images
        for i in self.exits:
            outputs = [logits[i]] if i == last else [logits[i], features[i]]
            self.models.append(keras.Model(source, outputs))
            source = outputs[-1]
        self.functions = [compiled(model) for model in self.models]

    def run(
        self,
        images: np.ndarray,
        thresholds: Sequence[float],
        rule: str,
        batch_size: int,
    ) -> EarlyPrediction:
        """Predict; see `zoo.runtime.run_segments`."""
        return run_segments(
            [on_arrays(function, batch_size) for function in self.functions],
            self.exits,
            images,
            self.models[0].outputs[0].shape[-1],
            thresholds,
            rule,
            batch_size,
        )
