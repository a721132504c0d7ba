"""Two Keras layers that train faster on a CPU with TensorFlow.

Same weights, names and mathematics as the Keras layers that they extend, and the very
same code on other backends, on a GPU and outside training. On a CPU, TensorFlow's
gradient of a depthwise kernel of 5 or 7 takes about ten times as long as that of a
kernel of 3, and Keras normalises a batch in a dozen element-wise steps where TensorFlow
has one.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

# First rows (and columns) of the 3 x 3 tiles that cover a kernel.
TILES = {5: (0, 2), 7: (0, 3, 4)}


def _on_cpu_with_tensorflow() -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


@keras.saving.register_keras_serializable(package="aebnas")
class BatchNormalization(layers.BatchNormalization):
    """Keras's layer of that name, over the last axis of feature maps."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalise; in training also update the moving averages."""
        if not (
            training
            and self.trainable
            and mask is None
            and self.compute_dtype == "float32"
            and _on_cpu_with_tensorflow()
        ):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=(),
            variance=(),
            epsilon=self.epsilon,
        )
        # TensorFlow's variance is the sample's; Keras keeps that of the batch.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], "float32")
        variance *= (count - 1) / count
        for moving, batch in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return outputs


@keras.saving.register_keras_serializable(package="aebnas")
class DepthwiseConv2D(layers.DepthwiseConv2D):
    """Keras's layer of that name, for square kernels, 'same' padding and no bias."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Convolve every channel with its own kernel."""
        if (
            not training
            or self.kernel_size[0] not in TILES
            or not _on_cpu_with_tensorflow()
        ):
            return super().call(inputs)
        import tensorflow as tf

        stride = self.strides[0]

        @tf.custom_gradient
        def convolve(x, kernel):
            strides = [1, stride, stride, 1]

            def gradient(upstream):
                to_inputs = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                    input_sizes=tf.shape(x),
                    filter=kernel,
                    out_backprop=upstream,
                    strides=strides,
                    padding="SAME",
                )
                return to_inputs, _kernel_gradient(x, upstream, kernel.shape[0], stride)

            return tf.nn.depthwise_conv2d(x, kernel, strides, "SAME"), gradient

        return convolve(inputs, tf.convert_to_tensor(self.kernel))


def _kernel_gradient(inputs: Any, upstream: Any, kernel: int, stride: int) -> Any:
    """Gradient of a depthwise kernel, put together of those of 3 x 3 tiles."""
    import tensorflow as tf

    _, height, width, channels = inputs.shape
    pads, spans = [[0, 0]], []
    for size in (height, width):
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + kernel - size, 0)
        pads.append([total // 2, total - total // 2])
        spans.append((outputs - 1) * stride + 3)
    padded = tf.pad(inputs, [*pads, [0, 0]])

    def tile(top: int, left: int) -> Any:
        return tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
            input=padded[:, top : top + spans[0], left : left + spans[1]],
            filter_sizes=[3, 3, channels, 1],
            out_backprop=upstream,
            strides=[1, stride, stride, 1],
            padding="VALID",
        )

    starts = TILES[kernel]
    known = [0, *(start + 3 for start in starts[:-1])]  # what earlier tiles covered
    return tf.concat(
        [
            tf.concat(
                [
                    tile(top, left)[above - top :, before - left :]
                    for left, before in zip(starts, known)
                ],
                axis=1,
            )
            for top, above in zip(starts, known)
        ],
        axis=0,
    )
