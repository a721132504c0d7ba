"""What an early-exit network is built of: Keras layers and functions on tensors.

The functions apply Keras layers to a symbolic tensor and return the result, so that a
model's `summary()` shows every convolution by its name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from zoo import backends


def bicubic_matrix(inputs: int, outputs: int) -> np.ndarray:
    """The `(outputs, inputs)` matrix of a cubic-convolution resize along one axis.

    Kernel with a = -0.75, half-pixel centres, clamped borders, no antialiasing: the
    values of PyTorch's `interpolate(mode="bicubic", align_corners=False)`.

    Reference:
        Keys, Cubic convolution interpolation for digital image processing, 1981.
    """
    a = -0.75
    centres = (np.arange(outputs) + 0.5) * inputs / outputs - 0.5
    first = np.floor(centres).astype(int) - 1
    matrix = np.zeros((outputs, inputs))
    for tap in range(4):
        source = first + tap
        d = np.abs(centres - source)
        near = (a + 2) * d**3 - (a + 3) * d**2 + 1
        far = a * (d**3 - 5 * d**2 + 8 * d - 4)
        weight = np.where(d <= 1, near, np.where(d < 2, far, 0.0))
        np.add.at(matrix, (np.arange(outputs), np.clip(source, 0, inputs - 1)), weight)
    return matrix.astype(np.float32)


@keras.saving.register_keras_serializable(package="aebnas")
class BicubicResize(layers.Layer):
    """Bicubic resize of a feature map to `size` x `size`.

    From a fixed height and width the resize is linear and separable, so it is done as
    two multiplications by constant matrices: the same numbers on every backend, also
    in runtimes that have no bicubic operator.

    Args:
        size: Height and width of the output.

    Input shape: `(batch, height, width, channels)`, height and width fixed.
    Output shape: `(batch, size, size, channels)`.
    """

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Compute the two matrices."""
        if input_shape[1] is None or input_shape[2] is None:
            raise ValueError(
                f"{self.name} needs a fixed height and width; it got {input_shape}."
            )
        self._rows = bicubic_matrix(input_shape[1], self.size)
        self._columns = bicubic_matrix(input_shape[2], self.size)

    def call(self, inputs: Any) -> Any:
        """Resize."""
        rows = ops.convert_to_tensor(self._rows, inputs.dtype)
        columns = ops.convert_to_tensor(self._columns, inputs.dtype)
        _, height, width, channels = inputs.shape
        # As matrix products of reshaped maps: several times as fast as einsum on a CPU.
        x = ops.matmul(rows, ops.reshape(inputs, (-1, height, width * channels)))
        x = ops.matmul(columns, ops.reshape(x, (-1, width, channels)))
        return ops.reshape(x, (-1, self.size, self.size, channels))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`(batch, size, size, channels)`."""
        return (input_shape[0], self.size, self.size, input_shape[3])

    def get_config(self) -> dict:
        """Constructor arguments."""
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable(package="aebnas")
class FitResolution(layers.Layer):
    """Images of any size to squares of `resolution` pixels.

    Bilinear, antialiased where it shrinks. Images that have the resolution already
    pass unchanged.

    Args:
        resolution: Height and width of the output.
        crop: Share of the height and of the width that is kept, around the centre,
            outside training. 1 keeps everything; 0.875 is the paper's protocol.

    Input shape: `(batch, height, width, 3)`.
    Output shape: `(batch, resolution, resolution, 3)`.
    """

    def __init__(self, resolution: int, crop: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < crop <= 1:
            raise ValueError(f"crop is {crop!r}; expected more than 0, at most 1.")
        self.resolution = resolution
        self.crop = crop

    @property
    def side(self) -> int:
        """Height and width that images are resized to outside training."""
        return math.ceil(self.resolution / self.crop)

    def call(self, images: Any, training: bool = False) -> Any:
        """Resize, and crop outside training."""
        side = self.resolution if training else self.side
        given = tuple(images.shape[1:3])
        if given != (side, side):
            enlarged = None not in given and max(given) <= side
            images = ops.image.resize(
                images,
                (side, side),
                interpolation="bilinear",
                antialias=not enlarged,  # changes nothing then, but costs time
                data_format="channels_last",
            )
        low = (side - self.resolution) // 2
        high = low + self.resolution
        return images if side == self.resolution else images[:, low:high, low:high]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`(batch, resolution, resolution, 3)`."""
        return (input_shape[0], self.resolution, self.resolution, input_shape[3])

    def get_config(self) -> dict:
        """Constructor arguments."""
        return {
            **super().get_config(),
            "resolution": self.resolution,
            "crop": self.crop,
        }


@keras.saving.register_keras_serializable(package="aebnas")
class BatchNormalization(layers.BatchNormalization):
    """Keras's layer of that name, over the last axis, that trains faster on a CPU.

    In a training step of TensorFlow on a CPU it normalises in one operation instead of
    Keras's dozen element-wise ones; weights and mathematics are the same. Elsewhere it
    is Keras's own.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise; in training also update the moving averages."""
        if not (
            training
            and self.trainable
            and mask is None
            and self.compute_dtype == "float32"
            and backends.is_tensorflow_on_cpu()
        ):
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance = backends.fused_batch_norm(
            inputs, self.gamma, self.beta, self.epsilon
        )
        for moving, batch in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package="aebnas")
class Conv2D(layers.Conv2D):
    """Keras's layer of that name, that trains faster on a CPU.

    In a training step of TensorFlow on a CPU a 1x1 convolution of a map of one pixel is
    a matrix product, which takes a sixth of the time; weights and mathematics are the
    same. Elsewhere it is Keras's own. For channels last.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Convolve."""
        if not (
            training
            and tuple(inputs.shape[1:3]) == (1, 1)
            and self.kernel_size == (1, 1)
            and self.groups == 1
            and backends.is_tensorflow_on_cpu()
        ):
            return super().call(inputs)
        outputs = ops.matmul(inputs, self.kernel[0, 0])
        if self.use_bias:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable(package="aebnas")
class DepthwiseConv2D(layers.DepthwiseConv2D):
    """Keras's layer of that name, that trains faster on a CPU.

    In a training step of TensorFlow on a CPU the gradient of its filters is computed as
    `zoo.depthwise` says; weights and mathematics are the same. Elsewhere, and without
    padding, it is Keras's own. For one filter per channel and channels last.
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Convolve."""
        if not (
            training
            and self.padding == "same"
            and self.compute_dtype == "float32"
            and backends.is_tensorflow_on_cpu()
        ):
            return super().call(inputs)
        from zoo.depthwise import depthwise as with_fast_gradient

        outputs = with_fast_gradient(inputs, self.kernel, self.strides[0])
        if self.use_bias:
            outputs = outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable(package="aebnas")
class PositionEmbedding(layers.Layer):
    """Adds a learnt vector to each of a sequence of tokens.

    Input shape: `(batch, tokens, width)`, the number of tokens fixed.
    Output shape: the same.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the vectors."""
        self.positions = self.add_weight(
            shape=tuple(input_shape[1:]),
            initializer=keras.initializers.TruncatedNormal(stddev=0.02),
            name="positions",
        )

    def call(self, inputs: Any) -> Any:
        """Add them."""
        return inputs + self.positions

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The input's."""
        return input_shape


@keras.saving.register_keras_serializable(package="aebnas")
class FirstToken(layers.Layer):
    """The first of a sequence of tokens.

    Input shape: `(batch, tokens, width)`.
    Output shape: `(batch, width)`.
    """

    def call(self, inputs: Any) -> Any:
        """Take it."""
        return inputs[:, 0]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`(batch, width)`."""
        return (input_shape[0], input_shape[2])


def initializer() -> keras.initializers.Initializer:
    """Normal of variance 2 / fan-out (He et al., ICCV 2015); fits depthwise kernels."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def convolution(
    x: Any,
    name: str,
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    activation: str | None = None,
    **kwargs: Any,
) -> Any:
    """Convolution with He's initialisation and padding "same" unless said otherwise."""
    return Conv2D(
        channels,
        kernel,
        stride,
        padding=kwargs.pop("padding", "same"),
        activation=activation,
        kernel_initializer=initializer(),
        data_format="channels_last",
        name=name,
        **kwargs,
    )(x)


def normalised(x: Any, name: str, activation: str | None = None) -> Any:
    """Batch normalisation (epsilon 1e-5, momentum 0.9) and activation."""
    x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return layers.Activation(activation, name=f"{name}_act")(x) if activation else x


def pooled(x: Any, name: str) -> Any:
    """Mean over height and width, both kept as 1."""
    return layers.GlobalAveragePooling2D(
        data_format="channels_last", keepdims=True, name=name
    )(x)


def classifier(x: Any, num_classes: int, name: str, use_bias: bool = True) -> Any:
    """Dense layer to logits of shape `(batch, num_classes)`, in single precision."""
    if len(x.shape) > 2:
        x = layers.Flatten(name=f"{name}_flatten")(x)
    return layers.Dense(
        num_classes, use_bias=use_bias, dtype="float32", name=f"{name}_classifier"
    )(x)


def depthwise(
    x: Any, name: str, kernel: int, stride: int, padding: str = "same"
) -> Any:
    """Depthwise convolution with He's initialisation."""
    return DepthwiseConv2D(
        kernel,
        stride,
        padding=padding,
        use_bias=False,
        depthwise_initializer=initializer(),
        data_format="channels_last",
        name=name,
    )(x)


def pooled_head(x: Any, num_classes: int, widths: Sequence[int], name: str) -> Any:
    """Two wide 1x1 convolutions around a global pooling, then the classifier."""
    x = convolution(x, f"{name}_conv", widths[0], use_bias=False)
    x = normalised(x, f"{name}_conv", "hard_swish")
    x = pooled(x, f"{name}_pool")
    x = convolution(
        x, f"{name}_wide", widths[1], activation="hard_swish", use_bias=False
    )
    return classifier(x, num_classes, name)


def resized_convolution(
    x: Any, name: str, size: int, kernel: int, expansion: int, pool: bool
) -> Any:
    """One module of a searched branch; see `zoo.heads.ConvModule`."""
    x = BicubicResize(size, name=f"{name}_resize")(x)
    x = convolution(
        x, f"{name}_conv", x.shape[-1] * expansion, kernel, 2, padding="valid"
    )
    x = normalised(x, name, "relu")
    if pool:
        x = layers.MaxPooling2D(
            2, 2, data_format="channels_last", name=f"{name}_max_pool"
        )(x)
    return x
