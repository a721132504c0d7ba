"""Supernets from Once-for-All's official checkpoints, without PyTorch.

For `ofa_mbv3_d234_e346_k357_w1.0`, which was trained on ImageNet. It has no early
exits: their branches begin at random.

Reference:
    Cai et al., Once-for-All: train one network and specialize it for efficient
    deployment, ICLR 2020; https://github.com/mit-han-lab/once-for-all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import numpy as np

from search.supernet import shared
from search.supernet.choices import BLOCKS
from search.supernet.stored import About
from zoo.architecture import STAGE_KINDS
from zoo.backbones.torch_files import read_state_dict

NAME = "ofa_mbv3_d234_e346_k357_w1.0"
ABOUT = About(origin="once_for_all")


def read(
    path: str | os.PathLike, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Weights of a supernet from a file that PyTorch wrote.

    Args:
        path: The checkpoint. Nothing in it is run.
        seed: Of the random weights of the exits.

    Returns:
        The shared weights by name, and by name of the layer the mean and variance of
        the checkpoint's batch normalisations, shape `(2, channels)`. These are of the
        whole network; sub-networks need their own.

    Raises:
        ValueError: The file is damaged, or is no such checkpoint; the message names the
            first weight that is missing or has another shape.
        OSError: The file cannot be read.
    """
    return converted(read_state_dict(path), str(path), seed)


def converted(
    state: Mapping[str, np.ndarray], where: str, seed: int = 0
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Weights and statistics from a state dictionary; see `read`."""
    given = {_simplified(name): value for name, value in state.items()}

    def take(name: str) -> np.ndarray:
        if name not in given:
            raise ValueError(
                f"{where} is not a checkpoint of {NAME}: it has no {name}."
            )
        return np.asarray(given[name], np.float32)

    classes = len(take("classifier.linear.bias"))
    weights = shared.initial(classes, seed)
    statistics = {}
    for ours, theirs, kind in _places():
        if kind == "normalisation":
            weights[f"{ours}/gamma"] = take(f"{theirs}.weight")
            weights[f"{ours}/beta"] = take(f"{theirs}.bias")
            rows = take(f"{theirs}.running_mean"), take(f"{theirs}.running_var")
            statistics[ours] = np.stack(rows)
        elif kind == "as it is":
            weights[ours] = take(theirs)
        else:
            # PyTorch's axes: outputs, inputs, height, width. A depthwise kernel has one
            # input, and its outputs come last but one here.
            value = take(theirs)
            axes = {2: (1, 0), 4: (2, 3, 0, 1) if kind == "depthwise" else (2, 3, 1, 0)}
            weights[ours] = value.transpose(axes.get(value.ndim, range(value.ndim)))
    for name, shape in shared.shapes(classes).items():
        if weights[name].shape != shape:
            raise ValueError(
                f"{where} is not a checkpoint of {NAME}: its {name} has the shape "
                f"{weights[name].shape}; expected {shape}."
            )
    return weights, statistics


def _simplified(name: str) -> str:
    """A weight's name without what differs between versions of their code."""
    for old, new in (
        (".mobile_inverted_conv.", ".conv."),
        (".bn.bn.", ".bn."),
        (".conv.conv.weight", ".conv.weight"),
        (".linear.linear.", ".linear."),
    ):
        name = name.replace(old, new)
    return name


def _places() -> Iterator[tuple[str, str, str]]:
    """What our weights and normalisations are called there, and their kind."""

    def pair(ours: str, theirs: str, kind: str = "kernel") -> Iterator:
        """A convolution and the normalisation after it."""
        yield f"{ours}/kernel", f"{theirs}.conv.weight", kind
        yield f"{ours}_bn", f"{theirs}.bn", "normalisation"

    yield "stem_conv/kernel", "first_conv.conv.weight", "kernel"
    yield "stem_bn", "first_conv.bn", "normalisation"
    yield from pair("first_depthwise", "blocks.0.conv.depth_conv", "depthwise")
    yield from pair("first_project", "blocks.0.conv.point_linear")
    for s, kind in enumerate(STAGE_KINDS):
        for b in range(BLOCKS):
            ours = f"stage{s + 1}_block{b + 1}"
            theirs = f"blocks.{1 + BLOCKS * s + b}.conv"
            yield from pair(f"{ours}_expand", f"{theirs}.inverted_bottleneck")
            yield from pair(f"{ours}_depthwise", f"{theirs}.depth_conv", "depthwise")
            for size in (5, 3):
                matrix = f"{theirs}.depth_conv.conv.{size + 2}to{size}_matrix"
                yield f"{ours}_depthwise/to{size}", matrix, "as it is"
            if kind.squeeze_excite:
                for part, name in (("reduce", "reduce"), ("gate", "expand")):
                    layer = f"{theirs}.depth_conv.se.fc.{name}"
                    yield f"{ours}_se_{part}/kernel", f"{layer}.weight", "kernel"
                    yield f"{ours}_se_{part}/bias", f"{layer}.bias", "as it is"
            yield from pair(f"{ours}_project", f"{theirs}.point_linear")
    yield from pair("final_conv", "final_expand_layer")
    yield "final_wide/kernel", "feature_mix_layer.conv.weight", "kernel"
    yield "final_classifier/kernel", "classifier.linear.weight", "kernel"
    yield "final_classifier/bias", "classifier.linear.bias", "as it is"
