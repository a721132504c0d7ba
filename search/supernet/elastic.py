"""The elastic network: one set of weights, a sub-network for every architecture.

Cai et al., Once-for-All: train one network and specialize it for efficient deployment,
ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from search.supernet.choices import BLOCKS, Choice
from search.supernet.resizing import resized, resized_and_convolved, size_of
from search.supernet.shared import has_shortcut
from search.supernet.slicing import case, depthwise_kernel, is_static, leading
from zoo.architecture import (
    DEPTHS,
    EXIT_POSITIONS,
    STAGE_KINDS,
    STEM_CHANNELS,
    StageKind,
)
from zoo.backbones.ofa_mobilenet_v3 import ORIGINS
from zoo.depthwise import depthwise
from zoo.heads import (
    BRANCH_KERNELS,
)

EPSILON = 1e-5  # of batch normalisation, as in zoo.layers
Statistics = Mapping[str, tf.Tensor]


def forward(
    weights: Mapping[str, Any],
    images: Any,
    choice: Choice,
    statistics: Statistics | None = None,
    collect: bool = False,
    origin: str = "aebnas",
) -> tuple[Any, dict[str, Any]]:
    """Logits of a sub-network.

    Args:
        weights: The shared weights by name, tensors or arrays.
        images: Shape `(batch, height, width, 3)`, RGB in 0..255.
        choice: The sub-network. Integers in NumPy arrays are compiled in; tensors are
            not, so that one graph serves every sub-network.
        statistics: Mean and variance of every batch normalisation, from
            `search.supernet.network`. Default: those of the batch.
        collect: Whether to return the batch's statistics.
        origin: Where the backbone comes from; see `zoo.backbones.ofa_mobilenet_v3`.

    Returns:
        Logits of shape `(batch, 5, classes)`, the final classifier's last and zeros
        where there is no exit; and by name the mean and the mean square of every batch
        normalisation, shape `(2, channels)`, zeros for those that do not take part.
    """
    network = _Pass(weights, statistics, collect, ORIGINS[origin].symmetric)
    x = _prepared(images, choice.resolution, origin)
    x, found = network.stem(x)
    logits = []
    for s, kind in enumerate(STAGE_KINDS):
        for b in range(BLOCKS):
            block = network.block_of(s, b, kind, choice)
            if b < DEPTHS[0]:
                x, new = block(x)
            else:
                x, new = network.optional(choice.depth[s] > b, block, x)
            found |= new
        if s < EXIT_POSITIONS:
            answer, new = network.exit_of(s, x, choice)
            logits.append(answer)
            found |= new
    answer, new = network.head(x, "final")
    return tf.stack([*logits, answer], axis=1), found | new


def _prepared(images: Any, resolution: Any, origin: str) -> Any:
    """Bilinear resize and normalisation, as in `zoo.backbones.ofa_mobilenet_v3`."""
    images = tf.cast(images, tf.float32)
    height, width = size_of(images)
    if not (is_static(resolution) and height == width == resolution):
        size = tf.stack([resolution, resolution])
        images = case(
            tf.maximum(height, width) > resolution,
            [
                lambda: tf.image.resize(images, size),
                lambda: tf.image.resize(images, size, antialias=True),
            ],
        )
    images.set_shape((None, None, None, 3))
    scale, offset = (np.array(v, np.float32) for v in ORIGINS[origin].rescaling)
    return images * scale + offset


class _Pass:
    """One forward pass: the weights, and what happens to batch normalisation."""

    def __init__(
        self,
        weights: Mapping[str, Any],
        statistics: Statistics | None,
        collect: bool,
        symmetric: bool,
    ) -> None:
        self.weights = weights
        self.statistics = statistics
        self.collect = collect
        self.symmetric = symmetric

    def stem(self, x: Any) -> tuple[Any, dict]:
        x = self.convolution(x, "stem_conv", STEM_CHANNELS, stride=2)
        x, found = self.normalised(x, "stem", "hard_swish")
        shortcut = x
        x = depthwise(x, self.weights["first_depthwise/kernel"], 1)
        x, new = self.normalised(x, "first_depthwise", "relu")
        found |= new
        x = self.convolution(x, "first_project", STEM_CHANNELS)
        x, new = self.normalised(x, "first_project")
        return shortcut + x, found | new

    def block_of(self, s: int, b: int, kind: StageKind, choice: Choice) -> Callable:
        """The function of one inverted-residual block."""
        name = f"stage{s + 1}_block{b + 1}"
        kernel, middle = choice.kernel[s, b], choice.middle[s, b]
        reduced = choice.reduced[s, b]
        stride = kind.stride if b == 0 else 1

        def run(x: Any) -> tuple[Any, dict]:
            shortcut = x
            x = self.convolution(x, f"{name}_expand", middle)
            x, found = self.normalised(x, f"{name}_expand", kind.activation)
            filters = depthwise_kernel(
                self.weights, f"{name}_depthwise", kernel, middle
            )
            x = self.strided(x, stride, lambda x: depthwise(x, filters, stride))
            x, new = self.normalised(x, f"{name}_depthwise", kind.activation)
            found |= new
            if kind.squeeze_excite:
                x *= self.gate(x, f"{name}_se", middle, reduced)
            x = self.convolution(x, f"{name}_project", kind.channels)
            x, new = self.normalised(x, f"{name}_project")
            return (shortcut + x if has_shortcut(s, b) else x), found | new

        run.normalisations = tuple(
            f"{name}_{part}_bn" for part in ("expand", "depthwise", "project")
        )
        return run

    def gate(self, x: Any, name: str, middle: Any, reduced: Any) -> Any:
        """Squeeze-excite's factors, shape `(batch, 1, 1, channels)`."""

        def dense(x: Any, name: str, inputs: Any, outputs: Any) -> Any:
            kernel = self.weights[f"{name}/kernel"][0, 0]
            bias = leading(self.weights[f"{name}/bias"], outputs)
            return tf.matmul(x, leading(kernel, inputs, outputs)) + bias

        x = tf.reduce_mean(x, (1, 2))
        x = tf.nn.relu(dense(x, f"{name}_reduce", middle, reduced))
        x = _hard_sigmoid(dense(x, f"{name}_gate", reduced, middle))
        return x[:, None, None]

    def exit_of(self, s: int, x: Any, choice: Choice) -> tuple[Any, dict]:
        """Logits of the exit after stage `s`; zeros where there is none."""
        name, channels = f"exit{s + 1}", STAGE_KINDS[s].channels
        size, kernel = choice.size[s], choice.branch_kernel[s]
        expansion, pool = choice.branch_expansion[s], choice.pool[s]
        normalisations = (f"{name}_conv_bn", f"{name}_module1_bn", f"{name}_module2_bn")
        classes = self.weights[f"{name}_classifier/bias"].shape[0]

        def modules(count: int) -> Callable:
            def run() -> tuple[Any, dict]:
                features, found, inputs = x, {}, channels
                for m in range(count):
                    outputs = inputs * expansion[m]
                    features, new = self.module(
                        features,
                        f"{name}_module{m + 1}",
                        size[m],
                        kernel[m],
                        pool[m],
                        inputs,
                        outputs,
                    )
                    found |= new
                    inputs = outputs
                pooled = tf.reduce_mean(features, (1, 2))
                answer = self.classified(pooled, f"{name}_classifier_of{count}", inputs)
                return answer, self.padded(found, normalisations)

            return run

        def fixed() -> tuple[Any, dict]:
            answer, found = self.head(x, name)
            return answer, self.padded(found, normalisations)

        def absent() -> tuple[Any, dict]:
            answer = tf.zeros((tf.shape(x)[0], classes))
            return answer, self.padded({}, normalisations)

        return case(choice.branch[s], [absent, modules(1), modules(2), fixed])

    def module(
        self,
        x: Any,
        name: str,
        size: Any,
        kernel: Any,
        pool: Any,
        inputs: Any,
        outputs: Any,
    ) -> tuple[Any, dict]:
        """One module of a searched branch. A bias before the normalisation is none."""
        border = (BRANCH_KERNELS[-1] - kernel) // 2
        filters = self.weights[f"{name}_conv/kernel"]
        filters = filters[border : border + kernel, border : border + kernel]
        filters = leading(filters, inputs, outputs)
        if name in _ON_WIDE_MAPS:
            x = tf.nn.conv2d(resized(x, size, inputs), filters, 2, "VALID")
        else:
            x = resized_and_convolved(x, filters, size, kernel, inputs, outputs)
        x, found = self.normalised(x, name, "relu")
        x = case(pool, [lambda: x, lambda: tf.nn.max_pool2d(x, 2, 2, "VALID")])
        return x, found

    def head(self, x: Any, name: str) -> tuple[Any, dict]:
        """Two wide 1x1 convolutions around a global pooling, then the classifier."""
        w = self.weights
        x = self.convolution(x, f"{name}_conv", w[f"{name}_conv/kernel"].shape[-1])
        x, found = self.normalised(x, f"{name}_conv", "hard_swish")
        x = tf.matmul(tf.reduce_mean(x, (1, 2)), w[f"{name}_wide/kernel"][0, 0])
        x = _hard_swish(x)
        return self.classified(x, f"{name}_classifier", x.shape[-1]), found

    def classified(self, x: Any, name: str, inputs: Any) -> Any:
        kernel = self.weights[f"{name}/kernel"]
        kernel = leading(kernel, inputs, kernel.shape[1])
        return tf.matmul(x, kernel) + self.weights[f"{name}/bias"]

    def convolution(self, x: Any, name: str, channels: Any, stride: int = 1) -> Any:
        kernel = self.weights[f"{name}/kernel"]
        inputs = x.shape[-1] if x.shape[-1] is not None else tf.shape(x)[-1]
        kernel = leading(kernel, inputs, channels)
        return self.strided(
            x, stride, lambda x: tf.nn.conv2d(x, kernel, stride, "SAME")
        )

    def strided(self, x: Any, stride: int, convolve: Callable) -> Any:
        """A convolution, its zeros shared out as the backbone's origin wants it."""
        if stride == 1 or not self.symmetric:
            return convolve(x)
        # "SAME" adds as much before as after only where the size is odd.
        height, width = size_of(x)
        x = tf.pad(x, [(0, 0), (0, 1 - height % 2), (0, 1 - width % 2), (0, 0)])
        return convolve(x)[:, : (height + 1) // 2, : (width + 1) // 2]

    def normalised(
        self, x: Any, name: str, activation: str | None = None
    ) -> tuple[Any, dict]:
        """Batch normalisation by the batch or by given statistics, and activation."""
        name = f"{name}_bn"
        channels = x.shape[-1] if x.shape[-1] is not None else tf.shape(x)[-1]
        gamma = leading(self.weights[f"{name}/gamma"], channels)
        beta = leading(self.weights[f"{name}/beta"], channels)
        given: tuple = ((), ())
        if self.statistics is not None:
            rows = self.statistics[name]
            given = leading(rows[0], channels), leading(rows[1], channels)
        x, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=gamma,
            offset=beta,
            mean=given[0],
            variance=given[1],
            epsilon=EPSILON,
            is_training=self.statistics is None,
        )
        found = {}
        if self.collect:
            # TensorFlow's variance is the sample's; what is wanted is the batch's.
            count = tf.cast(tf.size(x) // tf.shape(x)[-1], tf.float32)
            square = variance * (count - 1) / count + mean**2
            full = self.weights[f"{name}/gamma"].shape[0]
            both = tf.pad(tf.stack([mean, square]), [(0, 0), (0, full - channels)])
            found[name] = tf.ensure_shape(both, (2, full))
        return _ACTIVATIONS[activation](x), found

    def padded(self, found: dict, names: tuple[str, ...]) -> dict:
        """The statistics found, and zeros for those of `names` that were not."""
        if not self.collect:
            return {}
        return {
            name: found[name]
            if name in found
            else tf.zeros((2, self.weights[f"{name}/gamma"].shape[0]))
            for name in names
        }

    def optional(self, takes_part: Any, block: Callable, x: Any) -> tuple[Any, dict]:
        """A block that may be left out."""
        return case(
            takes_part,
            [lambda: (x, self.padded({}, block.normalisations)), lambda: block(x)],
        )


# Where the map is as large as what it is resized to, or larger.
_ON_WIDE_MAPS = ("exit1_module1", "exit2_module1")


def _hard_sigmoid(x: Any) -> Any:
    return tf.nn.relu6(x + 3) * (1 / 6)


def _hard_swish(x: Any) -> Any:
    return x * _hard_sigmoid(x)


_ACTIVATIONS = {None: lambda x: x, "relu": tf.nn.relu, "hard_swish": _hard_swish}
