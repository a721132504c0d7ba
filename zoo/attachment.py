"""Exits on any functional Keras model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import layers

from zoo import backends, graph, heads
from zoo.checks import whole_number
from zoo.heads import Head
from zoo.layers import FitResolution, classifier
from zoo.model import EarlyExitModel
from zoo.names import unknown

EXITS = 3  # as many as "auto" chooses


def attach(
    backbone: keras.Model,
    exits: str | int | Sequence[str] | Mapping[str, Head | str] = "auto",
    num_classes: int | None = None,
    head: Head | str | None = None,
    *,
    preprocessing: Callable[[Any], Any] | None = None,
    resolution: int | None = None,
    **kwargs: Any,
) -> EarlyExitModel:
    """Give a network early exits. Its layers are shared, so its weights are kept.

    Args:
        backbone: A functional or sequential Keras model of one input, an image of three
            channels, and one output: a feature map, a sequence of tokens, a vector, or
            with `num_classes=None` the answer of its own classifier.
        exits: Where: names of layers, as `cut_points` lists them; a dictionary of their
            heads by those names; a number of exits, which are placed at equal steps of
            MACs; or "auto", which is three, or fewer where there are fewer places. An
            empty list leaves the final classifier alone.
        num_classes: Classes of a new final classifier. A dense layer at the end of the
            backbone is replaced. Default: keep the backbone's own classifier.
        head: Head of every exit and of the new final classifier; see `zoo.heads`.
            Default: "linear" on a feature map or a vector, "token" on tokens.
        preprocessing: What the backbone expects to be done to images in 0..255, such as
            `keras.applications.mobilenet_v2.preprocess_input`. Default: nothing.
        resolution: Height and width that images are resized to. Default: the
            backbone's. One that takes images of any size needs it, unless it resizes
            them itself.
        **kwargs: For `EarlyExitModel`, such as `class_names` and `name`.

    Returns:
        An `EarlyExitModel` of images of any size, in 0..255.

    Raises:
        ValueError: The backbone is not functional, has several inputs or outputs, or
            ends in no classifier to keep; the network cannot be cut after a layer; or a
            head does not fit the features there.
        TypeError: The MACs of a layer are not known; see `zoo.layer_costs`.

    Example:
        >>> backbone = keras.applications.MobileNetV2(
        ...     include_top=False, input_shape=(96, 96, 3)
        ... )
        >>> model = zoo.attach(
        ...     backbone,
        ...     num_classes=10,
        ...     preprocessing=keras.applications.mobilenet_v2.preprocess_input,
        ... )
    """
    graph.check_functional(backbone)
    images, inputs = _inputs(backbone, preprocessing, resolution)
    output = graph.apply(backbone, inputs)
    final, logits = _final_logits(output, num_classes, head)
    places = _places(inputs, final, exits)
    features = [tensor for tensor, _ in places]
    found = [
        _named_head(kind or head, tensor).build(
            tensor, int(logits.shape[-1]), f"exit{k}"
        )
        for k, (tensor, kind) in enumerate(places, 1)
    ]
    kwargs.setdefault("name", f"{backbone.name}_with_exits")
    return EarlyExitModel(images, [*features, final], [*found, logits], **kwargs)


def _inputs(
    backbone: keras.Model, preprocessing: Callable | None, resolution: int | None
) -> tuple[Any, Any]:
    """Symbolic images of any size, and what the backbone is applied to."""
    _, *size, channels = backbone.inputs[0].shape
    if len(size) != 2 or channels != 3:
        raise ValueError(
            f"{backbone.name!r} takes inputs of shape {backbone.inputs[0].shape}; "
            "expected images, (batch, height, width, 3)."
        )
    images = x = keras.Input((None, None, 3), name="images")
    if resolution is None and size != [None, None]:
        if None in size or size[0] != size[1]:
            raise ValueError(
                f"{backbone.name!r} takes images of {size[0]} x {size[1]} pixels; "
                "expected a square, or images of any size."
            )
        resolution = size[0]
    if resolution is not None:
        x = FitResolution(resolution, name="resize")(images)
    return images, x if preprocessing is None else preprocessing(x)


def _final_logits(
    output: Any, num_classes: int | None, head: Head | str | None
) -> tuple[Any, Any]:
    """Features of the final head, and its logits."""
    last = backends.call_of(output)
    if _is_softmax(last.operation):
        output = last.inputs[0]
        last = backends.call_of(output)
    dense = last.operation if isinstance(last.operation, layers.Dense) else None
    if num_classes is not None:
        if len(output.shape) == 2:
            features = output if dense is None else last.inputs[0]
            return features, classifier(features, int(num_classes), "final")
        kind = _named_head(head, output)
        return output, kind.build(output, int(num_classes), "final")
    if len(output.shape) != 2:
        raise ValueError(
            f"The backbone ends in features of shape {tuple(output.shape[1:])}, not in "
            "a classifier; pass num_classes for a new one."
        )
    if dense is None:
        return last.inputs[0], output
    if backends.name_of_activation(dense) not in ("softmax", "linear"):
        raise ValueError(
            f"The backbone's last layer, {dense.name!r}, ends in another activation "
            "than softmax; pass num_classes for a new classifier."
        )
    logits = classifier(last.inputs[0], dense.units, "final", use_bias=dense.use_bias)
    backends.call_of(logits).operation.set_weights(dense.get_weights())
    return last.inputs[0], logits


def _is_softmax(layer: Any) -> bool:
    if isinstance(layer, layers.Softmax):
        return True
    is_activation = isinstance(layer, layers.Activation)
    return is_activation and backends.name_of_activation(layer) == "softmax"


def _named_head(head: Head | str | None, features: Any) -> Head:
    """The head, if it fits the rank of the features.

    Raises:
        ValueError: It does not, or there is no head of that name.
    """
    rank = len(features.shape)
    if head is None:
        head = "token" if rank == 3 else "linear"
    if isinstance(head, str):
        head = heads.get(head)()
    if rank not in head.ranks:
        place = backends.call_of(features).operation.name
        raise ValueError(
            f"The head {head.name!r} does not fit features of shape "
            f"{tuple(features.shape[1:])}, after {place!r}; "
            f"choose another head: {', '.join(_fitting(rank))}."
        )
    return head


def _fitting(rank: int) -> list[str]:
    return [name for name in heads.names() if rank in heads.get(name).ranks]


def _places(
    inputs: Any, final: Any, exits: str | int | Sequence[str] | Mapping[str, Any]
) -> list[tuple[Any, Head | str | None]]:
    """The tensor at each early exit, first to last, and its own head if it has one."""
    crossings = list(graph.crossings(inputs, final))
    if isinstance(exits, str) and exits != "auto":
        exits = [exits]
    if exits == "auto" or isinstance(exits, int):
        exits = _spread(crossings, exits)
    chosen = exits if isinstance(exits, Mapping) else dict.fromkeys(exits)
    known = [node.operation.name for node, _ in crossings]
    for name in chosen:
        if name not in known:
            raise ValueError(unknown("layer", name, known))
    places = []
    for node, needed in crossings:
        name = node.operation.name
        if name not in chosen:
            continue
        if len(needed) != 1:
            skips = (
                backends.call_of(t).operation.name
                for t in needed
                if t not in node.outputs
            )
            raise ValueError(
                f"The network cannot be cut after {name!r}: the output of "
                f"{', '.join(map(repr, skips))} goes past it; zoo.cut_points lists the "
                "layers after which it can."
            )
        if needed[0] is final:
            raise ValueError(
                f"{name!r} is where the final classifier begins; choose a layer before."
            )
        places.append((needed[0], chosen[name]))
    return places


def _spread(crossings: Sequence[Any], exits: int | str) -> list[str]:
    """Names of layers that divide the network's MACs into equal parts.

    Among layers with the same MACs before them the last is taken, so that an exit comes
    after a normalisation and activation rather than between them and a convolution.
    """
    from zoo.layer_costs import node_macs

    if exits != "auto":
        exits = whole_number("exits", exits, 1)
    spent, points = 0, {}
    for node, needed in crossings[:-1]:
        spent += node_macs(node)
        if len(needed) == 1 and spent and len(needed[0].shape) > 2:
            points[spent] = node.operation.name
    count = min(EXITS, len(points)) if exits == "auto" else exits
    if not 0 < count <= len(points):
        raise ValueError(
            f"exits is {exits!r}; this network can be cut in {len(points)} places that "
            "differ in MACs."
        )
    total = spent + node_macs(crossings[-1][0])
    left, chosen = sorted(points), []
    for k in range(1, count + 1):
        # Leave enough places for the exits still to come.
        possible = left[: len(left) - (count - k)]
        nearest = min(possible, key=lambda macs: abs(macs - total * k / (count + 1)))
        chosen.append(points[nearest])
        left = left[left.index(nearest) + 1 :]
    return chosen
