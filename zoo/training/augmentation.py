"""Random augmentation as Keras layers: the same on every backend, and on its device.

A shift, a crop and a zoom are separable linear maps, so a batch is augmented by two
batched matrix products with one small matrix per image and axis.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


def _axis_matrix(low: Any, extent: Any, inputs: int, outputs: int, clamp: bool) -> Any:
    """Bilinear sampling matrices, shape `(batch, outputs, inputs)`, along one axis.

    Args:
        low: Where the window begins, in input pixels, shape `(batch,)`.
        extent: Its length in input pixels, same shape.
        inputs: Pixels of the input.
        outputs: Pixels of the output.
        clamp: Whether samples outside the input repeat its border; else they are 0.
    """
    steps = (ops.arange(outputs, dtype="float32") + 0.5) / outputs
    centres = low[:, None] + extent[:, None] * steps[None] - 0.5
    if clamp:
        centres = ops.clip(centres, 0.0, inputs - 1.0)
    pixels = ops.arange(inputs, dtype="float32")
    return ops.maximum(0.0, 1.0 - ops.abs(centres[:, :, None] - pixels))


def _sample_windows(
    images: Any, top: Any, left: Any, height: Any, width: Any, clamp: bool
) -> Any:
    """Resample one window of each image, in pixels, back to the image's own size."""
    h, w = images.shape[1:3]
    rows = _axis_matrix(top, height, h, h, clamp)
    columns = _axis_matrix(left, width, w, w, clamp)
    images = ops.cast(images, "float32")
    return ops.einsum(
        "btw,bswc->bstc", columns, ops.einsum("bsh,bhwc->bswc", rows, images)
    )


class _RandomWindow(keras.layers.Layer):
    """Base of the layers that look at an image through a random window."""

    clamp = False  # whether what lies outside the image repeats its border

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = True) -> Any:
        """Augment; images of fixed height and width."""
        if not training:
            return images
        return _sample_windows(images, *self.windows(images), self.clamp)

    def uniform(self, images: Any, low: float, high: float) -> Any:
        """One random number per image."""
        return keras.random.uniform(
            (ops.shape(images)[0],), low, high, seed=self.generator
        )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's."""
        return input_shape


@keras.saving.register_keras_serializable(package="aebnas")
class RandomShift(_RandomWindow):
    """Move every image by up to `pixels` whole pixels each way; black moves in.

    The pad-and-crop augmentation that is usual on CIFAR (He et al., CVPR 2016).

    Args:
        pixels: Largest shift.
        seed: Seed of the random numbers.
    """

    def __init__(self, pixels: int = 4, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.pixels = pixels

    def windows(self, images: Any) -> tuple:
        """Top, left, height and width of each image's window."""
        span = self.pixels + 0.499  # rounded, every shift is about as likely
        ones = ops.ones((ops.shape(images)[0],), "float32")
        return (
            ops.round(self.uniform(images, -span, span)),
            ops.round(self.uniform(images, -span, span)),
            ones * images.shape[1],
            ones * images.shape[2],
        )

    def get_config(self) -> dict:
        """Constructor arguments."""
        return {**super().get_config(), "pixels": self.pixels, "seed": self.seed}


@keras.saving.register_keras_serializable(package="aebnas")
class RandomResizedCrop(_RandomWindow):
    """A random part of every image, enlarged to the image's own size.

    Args:
        scale: Smallest and largest share of the area.
        ratio: Smallest and largest aspect ratio, drawn evenly on the logarithm.
        seed: Seed of the random numbers.

    Reference:
        Szegedy et al., Going deeper with convolutions, CVPR 2015. A window longer than
        the image is shortened to it.
    """

    clamp = True

    def __init__(
        self,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed, **kwargs)
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)

    def windows(self, images: Any) -> tuple:
        """Top, left, height and width of each image's window."""
        h, w = images.shape[1:3]
        area = self.uniform(images, *self.scale) * (h * w)
        log_low, log_high = (math.log(r) for r in self.ratio)
        root = ops.exp(self.uniform(images, log_low, log_high) / 2)
        height = ops.minimum(ops.sqrt(area) / root, h)
        width = ops.minimum(ops.sqrt(area) * root, w)
        return (
            self.uniform(images, 0.0, 1.0) * (h - height),
            self.uniform(images, 0.0, 1.0) * (w - width),
            height,
            width,
        )

    def get_config(self) -> dict:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "scale": self.scale,
            "ratio": self.ratio,
            "seed": self.seed,
        }
