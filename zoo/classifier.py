"""The Keras model of an `Architecture`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from zoo import backends
from zoo.architecture import Architecture
from zoo.backbones import ofa_mobilenet_v3
from zoo.cost import CONVENTIONS, Cost, macs
from zoo.model import EarlyExitModel


@keras.saving.register_keras_serializable(package="aebnas")
class EarlyExitClassifier(EarlyExitModel):
    """The early-exit network that an `Architecture` describes.

    Args:
        architecture: What to build; an `Architecture` or the dictionary of one.
        num_classes: Number of classes.
        thresholds: One per existing exit, in 0..1; 1 switches the exit off. Default:
            the architecture's.
        exit_rule: See `EarlyExitModel`.
        exit_weights: See `EarlyExitModel`.
        crop: Share of an image's height and width that is kept, around the centre,
            outside training; see `zoo.layers.FitResolution`.
        dtype: Name of the dtype policy of the layers. Default: Keras's current one.
        origin: Where the weights come from, which decides how the backbone pads and
            normalises; see `zoo.backbones.ofa_mobilenet_v3.ORIGINS`.
        **kwargs: For `EarlyExitModel`.

    Input shape: `(batch, height, width, 3)`, any height and width, RGB in 0..255 as
    uint8 or float. Resizing and normalisation are inside.
    Output shape: `(batch, exits, num_classes)`, logits, the final classifier last.

    Attributes:
        architecture: The `Architecture`.

    Example:
        >>> import zoo
        >>> model = zoo.EarlyExitClassifier(architecture, num_classes=10)
        >>> model.compile("adam")
        >>> model.fit(images, labels)
        >>> labels, probabilities, exits, confidences = model.predict_early(images)

    Reference:
        AEBNAS, arXiv 2512.10671.
    """

    def __init__(
        self,
        architecture: Architecture | Mapping[str, Any],
        num_classes: int,
        thresholds: Sequence[float] | None = None,
        exit_rule: str = "score_margin",
        exit_weights: Sequence[float] | None = None,
        crop: float = 1.0,
        dtype: str | None = None,
        origin: str = "aebnas",
        **kwargs: Any,
    ) -> None:
        if not isinstance(architecture, Architecture):
            architecture = Architecture.from_dict(architecture)
        cost = macs(architecture, num_classes)
        policy = dtype or keras.config.dtype_policy().name
        with backends.dtype_policy(policy):
            network = ofa_mobilenet_v3.build(
                architecture, int(num_classes), crop, origin
            )
            super().__init__(
                *network,
                cost,
                architecture.exit_thresholds if thresholds is None else thresholds,
                exit_rule,
                exit_weights,
                **kwargs,
            )
        self.architecture = architecture
        self.crop = crop
        self.origin = origin
        self._policy = policy

    def cost(self, convention: str = "standard") -> Cost:
        """What the network computes for one image; see `zoo.macs`."""
        return macs(self.architecture, self.num_classes, convention)

    def conventions(self) -> tuple[str, ...]:
        """All conventions: an architecture can be counted in each."""
        return CONVENTIONS

    def exit_names(self) -> tuple[str, ...]:
        """Each exit by the stage that it follows."""
        return self.architecture.exit_names

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "architecture": self.architecture.to_dict(),
            "num_classes": self.num_classes,
            "crop": self.crop,
            "dtype": self._policy,
            **({"origin": self.origin} if self.origin != "aebnas" else {}),
            **self._state(),
        }

    def _config_for(self, num_classes: int) -> dict[str, Any]:
        return self.get_config() | {"num_classes": num_classes}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> EarlyExitClassifier:
        """Build from what `get_config` gave; weights are random."""
        return cls(**config)
