"""The networks of `reproduce.compare` as data: what each is, and what builds it.

All begin with random weights unless they say otherwise. To add one, register it in a
file of your own, which the command line gets by `--load FILE`:

    import zoo
    from reproduce import contenders

    def build(num_classes):
        return zoo.attach(my_network(), [], num_classes)

    contenders.register("mine", contenders.Contender("static", "my network", build))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
from keras import layers

from reproduce import networks, runs
from reproduce.records import FROM_SCRATCH, RESULTS, ModelRecord, RunRecord
from search.records import CandidateRecord
from zoo import records
from zoo.attachment import attach
from zoo.backbones.lite import efficientnet_lite
from zoo.classifier import EarlyExitClassifier
from zoo.exits import paper_score
from zoo.layers import BatchNormalization, Conv2D, DepthwiseConv2D
from zoo.model import EarlyExitModel
from zoo.names import add, find

FAMILIES = ("ours", "branchynet", "msdnet", "edanas", "static")
MOMENTUM = 0.9  # of batch normalisation; that of keras.applications is for more steps


@dataclass(frozen=True)
class Contender:
    """A network to compare.

    Attributes:
        family: One of `FAMILIES`.
        text: What it is, in a few words.
        build: Function of the number of classes that gives the network.
        changes: Fields of the recipe in which its training differs from the others'.
    """

    family: str
    text: str
    build: Callable[[int], EarlyExitModel]
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(
                f"family is {self.family!r}; choose from {', '.join(FAMILIES)}."
            )


CONTENDERS: dict[str, Contender] = {}


def register(name: str, contender: Contender) -> Contender:
    """Add a network.

    Raises:
        ValueError: There is one of that name.
    """
    return add(CONTENDERS, "contender", name, contender)


def get(name: str) -> Contender:
    """The network of that name.

    Raises:
        ValueError: There is none.
    """
    return find(CONTENDERS, "contender", name)


def ours(name: str, num_classes: int) -> EarlyExitModel:
    """The network of a model that was trained from scratch, with random weights.

    Raises:
        FileNotFoundError: The record is missing; a checkout has it.
    """
    record = records.read(RESULTS / FROM_SCRATCH / f"{name}.json", ModelRecord)
    return EarlyExitClassifier(record.architecture, num_classes)


def edanas(num_classes: int) -> EarlyExitModel:
    """The network that the recorded searches of EDANAS on CIFAR-10 found.

    Of the networks that they report, one per seed, the one with the best score.

    Raises:
        FileNotFoundError: The records are missing; a checkout has them.
    """
    found = runs.load("reduced", RESULTS, ["cifar10_edanas"])
    return EarlyExitClassifier(reported(max(found, key=_score)).network, num_classes)


def reported(record: RunRecord) -> CandidateRecord:
    """The candidate that an experiment reports."""
    trials = {candidate.trial: candidate for candidate in record.candidates}
    return trials[record.selected.trial]


def _score(record: RunRecord) -> float:
    """On the validation split."""
    found, target = reported(record).evaluation, record.settings.target_macs
    return paper_score(found.accuracy, found.average_macs, target)


def static(
    network: Callable[..., keras.Model],
    resolution: int,
    alpha: float,
    num_classes: int,
    preprocessing: Callable[[Any], Any] | None = None,
) -> EarlyExitModel:
    """A network of `keras.applications` with random weights and no early exit.

    Args:
        network: The function that builds it.
        resolution: Height and width that images are resized to.
        alpha: Its width.
        num_classes: Number of classes.
        preprocessing: See `zoo.attach`.
    """
    backbone = network(
        (resolution, resolution, 3), alpha, include_top=False, weights=None
    )
    return attach(faster(backbone), [], num_classes, preprocessing=preprocessing)


def faster(network: keras.Model) -> keras.Model:
    """A copy of a network with new weights that trains faster and for fewer steps.

    Batch normalisation gets `MOMENTUM`. It and convolutions are computed as in the
    other networks: the same mathematics in less time.
    """
    kinds = {
        layers.BatchNormalization: BatchNormalization,
        layers.Conv2D: Conv2D,
        layers.DepthwiseConv2D: DepthwiseConv2D,
    }

    def same(layer: layers.Layer) -> layers.Layer:
        config = layer.get_config()
        if isinstance(layer, layers.BatchNormalization):
            config["momentum"] = MOMENTUM
        return kinds.get(type(layer), type(layer)).from_config(config)

    return keras.models.clone_model(network, clone_function=same)


def lite0(num_classes: int) -> EarlyExitModel:
    """EfficientNet-Lite0 at 32 pixels with ImageNet weights and no early exit."""
    backbone = efficientnet_lite("lite0", resolution=networks.SIZE)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return attach(backbone, [], num_classes)


mobilenet_v2 = partial(
    static,
    keras.applications.MobileNetV2,
    preprocessing=keras.applications.mobilenet_v2.preprocess_input,
)
mobilenet_v3 = partial(static, keras.applications.MobileNetV3Small)

for _name, _contender in {
    "small": Contender(
        "ours", "AEBNAS, small (ours)", partial(ours, "aebnas_cifar10_small")
    ),
    "medium": Contender(
        "ours", "AEBNAS, medium (ours)", partial(ours, "aebnas_cifar10_medium")
    ),
    "edanas": Contender("edanas", "EDANAS's network", edanas),
    "branchynet": Contender(
        "branchynet", "BranchyNet on ResNet-20", partial(networks.branchynet, 16)
    ),
    "branchynet_narrow": Contender(
        "branchynet", "BranchyNet on narrow ResNet-20", partial(networks.branchynet, 7)
    ),
    "msdnet": Contender("msdnet", "MSDNet, small", networks.msdnet),
    "mobilenet_v2_small": Contender(
        "static", "MobileNetV2 0.3, 40 pixels", partial(mobilenet_v2, 40, 0.3)
    ),
    "mobilenet_v2_medium": Contender(
        "static", "MobileNetV2 0.5, 64 pixels", partial(mobilenet_v2, 64, 0.5)
    ),
    "mobilenet_v3_small": Contender(
        "static", "MobileNetV3-Small 0.75, 48 pixels", partial(mobilenet_v3, 48, 0.75)
    ),
    "mobilenet_v3_medium": Contender(
        "static", "MobileNetV3-Small 1.0, 72 pixels", partial(mobilenet_v3, 72, 1.0)
    ),
    "lite0": Contender(
        "static",
        "EfficientNet-Lite0 from ImageNet, 32 pixels",
        lite0,
        {"learning_rate": 0.01},  # a higher one would spoil the weights
    ),
}.items():
    register(_name, _contender)
