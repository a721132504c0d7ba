"""Reading a trained backbone, and finding the places that an exit may have."""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from search.backbone.features import form_of
from search.settings import Settings
from zoo import attach, cut_points, files, graph, heads, registry, weights
from zoo.data import Dataset
from zoo.graph import CutPoint
from zoo.heads import Head
from zoo.model import EarlyExitModel

FOLDER = "backbone"  # in the folder of a search
PLACES = 12  # as many as a search chooses among
LAST = 0.95  # share of the MACs after which an exit would save next to nothing
LARGEST = 16_384  # values for an image that a head may need, 32 kB in half precision


def read(source: str) -> EarlyExitModel:
    """A trained network without its early exits.

    Args:
        source: A pretrained name, a folder that `zoo.save` wrote or a `.keras` file;
            such a file may hold any functional model that takes images in 0..255 and
            ends in a classifier.

    Returns:
        A model of one exit, the network's own final classifier.

    Raises:
        ValueError: There is no such model, or it is no classifier.
        OSError: The file cannot be read.
    """
    if not registry.is_keras_file(source):
        found = registry.load(source)
    elif not pathlib.Path(source).is_file():
        raise FileNotFoundError(f"There is no file {source}.")
    else:
        found = keras.saving.load_model(source, compile=False)
    if isinstance(found, EarlyExitModel):
        return with_exits(found, {})
    graph.check_functional(found)
    if len(found.outputs[0].shape) != 2:
        raise ValueError(
            f"{source} ends in features of shape {tuple(found.outputs[0].shape[1:])}; "
            "expected a classifier of the data's classes."
        )
    return attach(found, {}, name=found.name)


def with_exits(model: EarlyExitModel, exits: Mapping[str, Any]) -> EarlyExitModel:
    """The network of a model with other exits; layers and weights are shared.

    Args:
        model: The model; its own early exits are left out.
        exits: A head for each layer that an exit follows; see `zoo.attach`.
    """
    return attach(
        _network(model),
        exits,
        exit_rule=model.exit_rule,
        class_names=model.class_names,
        name=model.name,
    )


def _network(model: EarlyExitModel) -> keras.Model:
    return keras.Model(model.inputs[0], model.exit_logits[-1], name=model.name)


def name_classes(model: EarlyExitModel, source: str, dataset: Dataset) -> None:
    """Give a backbone the names of the data's classes, if it has none.

    Raises:
        ValueError: Its classes are others.
    """
    if model.num_classes != dataset.num_classes:
        raise ValueError(
            f"{source} has {model.num_classes} classes, {dataset.name} has "
            f"{dataset.num_classes}."
        )
    if model.class_names and tuple(model.class_names) != dataset.class_names:
        raise ValueError(
            f"{source} has the classes {', '.join(model.class_names)}; {dataset.name} "
            f"has {', '.join(dataset.class_names)}."
        )
    model.class_names = dataset.class_names


def completed(settings: Settings, model: EarlyExitModel) -> Settings:
    """The settings with what the search space needs to know of the backbone.

    Args:
        settings: Those of a search with a backbone.
        model: What `read` gave.

    Raises:
        ValueError: A place is none, or no head fits there.
        TypeError: The MACs of a layer are not known.
    """
    network, source = _network(model), settings.backbone
    asked = settings.search_space()
    points = cut_points(network)
    if asked.places:
        chosen = list(asked.places)
    else:
        chosen = thinned(points, [heads.get(name) for name in asked.heads])
    attach(network, dict.fromkeys(chosen))  # raises if a place is none
    known = {p.layer: p for p in points if p.layer in chosen}
    fitting = {place: _fitting(known[place], asked.heads) for place in known}
    unfit = [place for place, names in fitting.items() if not names]
    if unfit and asked.places:
        raise ValueError(
            f"None of the heads {', '.join(asked.heads)} fits features of shape "
            f"{known[unfit[0]].shape}, after {unfit[0]!r}."
        )
    kept = [place for place in known if fitting[place]]
    if not kept:
        raise ValueError(
            f"{source} has no place for an exit with the heads "
            f"{', '.join(asked.heads)}; zoo.cut_points lists where it can be cut."
        )
    facts = {
        "places": kept,
        "shapes": [known[place].shape for place in kept],
        "fitting": [fitting[place] for place in kept],
        "macs": [*(known[place].macs for place in kept), model.macs.backbone[-1]],
        "num_classes": model.num_classes,
    }
    return dataclasses.replace(settings, space={**settings.space, **facts})


def thinned(points: Sequence[CutPoint], kinds: Sequence[type[Head]]) -> list[str]:
    """The layers to choose among: the smallest features of each twelfth of the MACs.

    Of layers with the same MACs before them the last counts, so that an exit comes
    after a normalisation and activation rather than between them and a convolution.
    """
    by_macs = {
        point.macs: point
        for point in points
        if len(point.shape) > 1
        and any(len(point.shape) + 1 in kind.ranks for kind in kinds)
    }
    best: dict[int, CutPoint] = {}
    for point in by_macs.values():
        if 0 < point.share <= LAST:
            part = int(point.share * PLACES)
            before = best.get(part)
            if before is None or math.prod(point.shape) <= math.prod(before.shape):
                best[part] = point
    return [best[part].layer for part in sorted(best)]


def _fitting(point: CutPoint, names: Sequence[str]) -> list[str]:
    """Heads that fit features, and do not need too many of them."""
    found = []
    for name in names:
        kind = heads.get(name)
        if len(point.shape) + 1 not in kind.ranks:
            continue
        forms = [form_of(point.layer, point.shape, head) for head in variants(kind)]
        if max(math.prod(form.shape) for form in forms) <= LARGEST:
            found.append(name)
    return found


def variants(kind: type[Head]) -> list[Head]:
    """Heads of a kind that differ in one gene at a time from the first."""
    first = {gene.name: gene.options[0] for gene in kind.genes()}
    changed = [
        first | {gene.name: option}
        for gene in kind.genes()
        for option in dict.fromkeys(gene.options)
    ]
    return list(dict.fromkeys(map(kind.from_genes, changed or [first])))


def keep(model: EarlyExitModel, directory: str | os.PathLike) -> EarlyExitModel:
    """The backbone as it is kept in the folder of a search, where it is put at first.

    Raises:
        OtherSearchError: The search began with other weights.
    """
    from search.reading import OtherSearchError

    directory = files.make_folder(directory)
    folder = directory / FOLDER
    with files.locked(directory):
        if not (folder / registry.CONFIG).is_file():
            registry.save(model, folder, notes=["The backbone of a search for exits."])
    kept = registry.load(folder)
    if digest(kept) != digest(model):
        raise OtherSearchError(directory, ["weights of the backbone"])
    return kept


def digest(model: EarlyExitModel) -> str:
    """Fingerprint of a model's weights as a folder keeps them."""
    stored = weights.stored(weights.arrays(model))
    return weights.digest(stored[path] for path in sorted(stored))
