"""A small vision transformer, in plain Keras layers."""

from __future__ import annotations

import keras
from keras import layers

from zoo.layers import FitResolution, PositionEmbedding


def vit(
    resolution: int = 32,
    patch: int = 4,
    width: int = 96,
    depth: int = 6,
    heads: int = 3,
    mlp_width: int = 192,
    dropout: float = 0.0,
) -> keras.Model:
    """A vision transformer without a classifier, of random weights.

    Normalisation comes before attention and before the two dense layers, and the tokens
    have no class token. `zoo.attach` gives it a classifier and exits; every
    "blockN_output" is a place for one.

    Args:
        resolution: Height and width, in pixels, that images are resized to.
        patch: Height and width of the squares that become tokens.
        width: Length of a token.
        depth: Number of blocks.
        heads: Attention heads of a block.
        mlp_width: Length of the vector between a block's two dense layers.
        dropout: Share of values dropped in attention and after each part of a block.

    Input shape: `(batch, height, width, 3)`, any height and width, RGB in 0..255.
    Output shape: `(batch, tokens, width)`.

    Raises:
        ValueError: The patches do not divide the image, or the heads the width.

    Reference:
        Dosovitskiy et al., An image is worth 16x16 words, ICLR 2021.
    """
    if resolution % patch:
        raise ValueError(
            f"patch is {patch}; expected a divisor of the resolution, {resolution}."
        )
    if width % heads:
        raise ValueError(f"heads is {heads}; expected a divisor of the width, {width}.")
    images = keras.Input((None, None, 3), name="images")
    x = FitResolution(resolution, name="fit_resolution")(images)
    x = layers.Rescaling(1 / 127.5, -1, name="rescale")(x)
    x = layers.Conv2D(width, patch, patch, data_format="channels_last", name="patches")(
        x
    )
    x = layers.Reshape(((resolution // patch) ** 2, width), name="tokens")(x)
    x = PositionEmbedding(name="positions")(x)
    for block in range(1, depth + 1):
        name = f"block{block}"
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
        y = layers.MultiHeadAttention(
            heads, width // heads, dropout=dropout, name=f"{name}_attention"
        )(y, y)
        y = layers.Dropout(dropout, name=f"{name}_dropout1")(y)
        x = layers.Add(name=f"{name}_add")([x, y])
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
        y = layers.Dense(mlp_width, activation="gelu", name=f"{name}_dense1")(y)
        y = layers.Dense(width, name=f"{name}_dense2")(y)
        y = layers.Dropout(dropout, name=f"{name}_dropout2")(y)
        x = layers.Add(name=f"{name}_output")([x, y])
    return keras.Model(images, x, name="vit")
