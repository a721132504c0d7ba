"""How a supernet is trained, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zoo.architecture import (
    RESOLUTIONS,
)


@dataclass(frozen=True)
class Phase:
    """A stretch of the training with its own schedule of the learning rate.

    Args:
        epochs: Passes over the training images.
        learning_rate: Its peak; a cosine brings it to zero at the end of the phase.
        ramp: Epochs of linear increase before; may be a fraction.
        subnets: Random sub-networks in a step, beside the largest and the smallest.
            0: the largest network is trained alone.
        resolutions: In pixels; each step draws one of them.

    Raises:
        ValueError: A value is out of range.
    """

    epochs: int
    learning_rate: float
    ramp: float = 1.0
    subnets: int = 0
    resolutions: tuple[int, ...] = (32,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "resolutions", tuple(self.resolutions))
        _require("Phase.epochs", self.epochs, 1, math.inf)
        _require("Phase.learning_rate", self.learning_rate, 0, math.inf)
        _require("Phase.ramp", self.ramp, 0, self.epochs)
        _require("Phase.subnets", self.subnets, 0, 16)
        unknown = sorted(set(self.resolutions) - set(RESOLUTIONS))
        if unknown or not self.resolutions:
            raise ValueError(
                f"Phase.resolutions is {self.resolutions}; expected some of "
                f"{', '.join(map(str, RESOLUTIONS))}."
            )

    def rate(self, epochs: float) -> float:
        """The learning rate after this many epochs of the phase."""
        if epochs < self.ramp:
            return self.learning_rate * epochs / self.ramp
        done = (epochs - self.ramp) / max(self.epochs - self.ramp, 1e-9)
        return self.learning_rate * (1 + math.cos(math.pi * min(done, 1))) / 2


@dataclass(frozen=True)
class Plan:
    """The whole training: SGD with Nesterov momentum, in phases.

    Args:
        phases: In order. The first trains the largest network alone: with all
            sub-networks from the first step the result is worse (DepS, ECCV 2024).
        batch_size: Images in a step.
        momentum: Momentum of SGD.
        weight_decay: Coefficient of the L2 penalty; not on batch normalisation and
            biases.
        clip_norm: Largest global norm of a gradient.
        teacher_share: Share of a teacher's answer, where there is one, in what the
            largest network learns; the labels are the rest.
        fixed: Share of exits that are trained with the fixed branch.
        seed: Seed of weights, order, augmentation and sub-networks.

    Raises:
        ValueError: A value is out of range.
    """

    phases: tuple[Phase, ...]
    batch_size: int = 128
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip_norm: float = 1.0
    teacher_share: float = 0.5
    fixed: float = 0.25
    seed: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(self.phases))
        if not self.phases:
            raise ValueError("Plan.phases is empty; expected one phase or more.")
        _require("Plan.batch_size", self.batch_size, 1, math.inf)
        _require("Plan.momentum", self.momentum, 0, 0.9999)
        _require("Plan.weight_decay", self.weight_decay, 0, math.inf)
        _require("Plan.clip_norm", self.clip_norm, 1e-9, math.inf)
        _require("Plan.teacher_share", self.teacher_share, 0, 1)
        _require("Plan.fixed", self.fixed, 0, 1)

    @property
    def epochs(self) -> int:
        """Of all phases."""
        return sum(phase.epochs for phase in self.phases)

    def at(self, epoch: int) -> tuple[int, int]:
        """The phase of an epoch, counted from 0, and the epoch's number in it.

        Raises:
            ValueError: The plan is shorter.
        """
        rest = epoch
        for index, phase in enumerate(self.phases):
            if rest < phase.epochs:
                return index, rest
            rest -= phase.epochs
        raise ValueError(f"The plan has no epoch {epoch + 1}; it has {self.epochs}.")


def _require(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # so written, NaN is refused, too
        most = "" if high == math.inf else f", at most {high}"
        raise ValueError(f"{name} is {value!r}; expected {low} or more{most}.")
