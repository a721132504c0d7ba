"""The latency of candidates: measured as deployed, or predicted from a table.

A network is a sequence of parts: the stem, blocks, modules of branches, classifiers. A
table has the time of every part on a device, and says how their sum becomes the time of
a network. Nothing here imports Keras; `search.timing` measures, and makes tables.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import heads, records
from zoo.architecture import (
    EXIT_POSITIONS,
    EXPANSIONS,
    KERNELS,
    STAGE_KINDS,
    STEM_CHANNELS,
    Architecture,
    Stage,
)
from zoo.arithmetic import halved
from zoo.deploy.runner import OPEN
from zoo.heads import Head, Part
from zoo.names import unknown
from zoo.records import record

if TYPE_CHECKING:
    from search.metrics import Measurement
    from search.settings import Settings

RUNTIMES = tuple(OPEN)
QUANTIZATIONS = ("float16", "dynamic")  # int8 is calibrated on a trained network


def check_deployment(runtime: str, quantization: str | None) -> None:
    """Raise a ValueError if candidates cannot be timed in that way."""
    if runtime not in RUNTIMES:
        raise ValueError(unknown("runtime", runtime, RUNTIMES))
    if quantization is not None and quantization not in QUANTIZATIONS:
        raise ValueError(
            unknown("quantization of candidates", quantization, QUANTIZATIONS)
        )


def segments(architecture: Architecture, num_classes: int) -> list[list[Part]]:
    """The parts of each segment of a network, in order.

    Args:
        architecture: The network.
        num_classes: Number of classes.

    Returns:
        A list for each exit, the final one last: the parts that run between the exit
        before it and its own answer.
    """
    found, current = [], [_stem(architecture.resolution)]
    channels, size = STEM_CHANNELS, halved(architecture.resolution)
    for position, stage in enumerate(architecture.stages):
        kind = STAGE_KINDS[position]
        for i, block in enumerate(stage.blocks):
            stride = kind.stride if i == 0 else 1
            given = (block.kernel, block.expansion, stride)
            current.append(_block(position, channels, size, *given))
            channels, size = kind.channels, halved(size) if stride == 2 else size
        head = (*architecture.branches, None)[position]
        if head is not None:
            current += head.parts(channels, size, num_classes)
            found.append(current)
            current = []
    return [*found, [*current, _final(channels, size, num_classes)]]


def _stem(resolution: int) -> Part:
    def build(images: Any) -> Any:
        from zoo.backbones import ofa_mobilenet_v3 as ofa

        return ofa.stem(ofa.normalise(images))

    return Part(f"stem: {resolution} px", (resolution, resolution, 3), build)


def _block(
    position: int, channels: int, size: int, kernel: int, expansion: int, stride: int
) -> Part:
    def build(x: Any) -> Any:
        from zoo.backbones import ofa_mobilenet_v3 as ofa

        kind = STAGE_KINDS[position]
        return ofa.inverted_residual(x, kind, kernel, expansion, stride, "block")

    name = (
        f"block of stage {position + 1}: {channels} channels, {size} px, stride "
        f"{stride}, kernel {kernel}, expansion {expansion}"
    )
    return Part(name, (size, size, channels), build)


def _final(channels: int, size: int, num_classes: int) -> Part:
    def build(x: Any) -> Any:
        from zoo.backbones import ofa_mobilenet_v3 as ofa

        return ofa.final_head(x, num_classes)

    return Part(f"final head: {size} px", (size, size, channels), build)


def every_part(resolutions: Sequence[int], num_classes: int) -> list[Part]:
    """The parts that networks of some resolutions are made of, each once.

    Args:
        resolutions: The resolutions, in pixels.
        num_classes: Number of classes.
    """
    found: dict[str, Part] = {}
    options = list(_all_heads())
    for resolution in resolutions:
        for kernel, expansion in itertools.product(KERNELS, EXPANSIONS):
            stages = (Stage.uniform(2, kernel, expansion),) * len(STAGE_KINDS)
            for segment in segments(Architecture(resolution, stages), num_classes):
                found |= {part.name: part for part in segment}
        size = halved(resolution)
        for kind in STAGE_KINDS[:EXIT_POSITIONS]:
            size = halved(size) if kind.stride == 2 else size
            for head in options:
                parts = head.parts(kind.channels, size, num_classes)
                found |= {part.name: part for part in parts}
    return list(found.values())


def _all_heads() -> Iterator[Head]:
    """The registered heads that feature maps can have, with each choice of genes."""
    for name in heads.names():
        kind = heads.get(name)
        if 4 not in kind.ranks:
            continue
        genes = kind.genes()
        for chosen in itertools.product(*(dict.fromkeys(g.options) for g in genes)):
            values = {gene.name: option for gene, option in zip(genes, chosen)}
            yield kind.from_genes(values)


@record("latency_table", format=1)
@dataclass(frozen=True)
class LatencyTable:
    """How long the parts of networks take on a device, for one image.

    Attributes:
        runtime: What ran them, "litert" or "onnx".
        quantization: "float16", "dynamic" or None.
        threads: Number of threads that computed.
        num_classes: Of the classifiers.
        resolutions: Of the networks whose parts are here.
        device: What it ran on: `processor`, `cores`, `system`.
        parts: Milliseconds of each part by its name.
        scale: What the sum of the parts is multiplied by.
        segment_ms: What a segment takes in addition, in milliseconds.
        checked_on: Number of whole networks that were timed to find these two.
        error: Mean absolute error on each of them, relative to what was measured, when
            the two numbers come from the others.
        provenance: Versions, and when it was made.
    """

    runtime: str
    quantization: str | None
    threads: int
    num_classes: int
    resolutions: tuple[int, ...]
    device: dict[str, Any]
    parts: dict[str, float]
    scale: float
    segment_ms: float
    checked_on: int
    error: float
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        numbers = (*self.parts.values(), self.scale, self.segment_ms)
        if not self.parts or min(numbers) < 0 or not np.isfinite(numbers).all():
            raise ValueError("times of a latency table are 0 or more, and there is one")

    def per_exit(self, architecture: Architecture, num_classes: int) -> np.ndarray:
        """Milliseconds until the answer of each exit, the final one last.

        Args:
            architecture: The network.
            num_classes: Number of classes.

        Raises:
            ValueError: A part is not in the table.
        """
        self.check([architecture.resolution], num_classes)
        spent = part_sums(self.parts, architecture, num_classes)
        return self.scale * spent + self.segment_ms * np.arange(1, len(spent) + 1)

    def predict(
        self,
        architecture: Architecture,
        num_classes: int,
        thresholds: Sequence[float],
        shares: Sequence[float],
    ) -> float:
        """Milliseconds for an image, on average.

        Args:
            architecture: The network.
            num_classes: Number of classes.
            thresholds: One per exit but the last; 1 switches an exit off.
            shares: Share of the images that leaves at each exit, the final one last.

        Raises:
            ValueError: A part is not in the table.
        """
        times = self.per_exit(architecture.at(thresholds), num_classes)
        return float(np.dot(times, used_shares(thresholds, shares)))

    def check(self, resolutions: Sequence[int], num_classes: int) -> None:
        """Raise a ValueError if it is not for such networks.

        Args:
            resolutions: Of the networks, in pixels.
            num_classes: Number of classes.
        """
        missing = [r for r in resolutions if r not in self.resolutions]
        if missing:
            known = " ".join(map(str, self.resolutions))
            raise ValueError(
                f"The latency table is for resolutions {known}; it lacks "
                f"{' '.join(map(str, missing))}. Make one that has them, with "
                "`search latency-table --resolutions`."
            )
        if num_classes != self.num_classes:
            raise ValueError(
                f"The latency table is for {self.num_classes} classes, and the data "
                f"have {num_classes}. Make one with `search latency-table --classes "
                f"{num_classes}`."
            )


def part_sums(
    times: Mapping[str, float], architecture: Architecture, num_classes: int
) -> np.ndarray:
    """The sum of the times of the parts up to each exit, the final one last.

    Args:
        times: The time of each part by its name.
        architecture: The network.
        num_classes: Number of classes.

    Raises:
        ValueError: A part has no time.
    """
    sums = []
    for segment in segments(architecture, num_classes):
        for part in segment:
            if part.name not in times:
                raise ValueError(
                    f"The latency table has no {part.name!r}; make a new table."
                )
        sums.append(sum(times[part.name] for part in segment))
    return np.cumsum(sums)


def used_shares(thresholds: Sequence[float], shares: Sequence[float]) -> np.ndarray:
    """The shares of the exits in use, the final one last.

    Args:
        thresholds: One per exit but the last; 1 switches an exit off.
        shares: One per exit.
    """
    used = [k for k, threshold in enumerate((*thresholds, 0.0)) if threshold < 1]
    return np.asarray(shares, float)[used]


@dataclass(frozen=True)
class LatencySource:
    """Which latency table latencies are predicted from.

    Attributes:
        name: Its file, as the settings name it.
        sha256: Of that file.
        of: What it was made with: `runtime`, `quantization`, `threads`, `processor`.
    """

    name: str
    sha256: str
    of: dict[str, Any]


def read(path: str | os.PathLike) -> LatencyTable:
    """Read a table from its file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or no latency table.
    """
    return records.read(path, LatencyTable)


def source(path: str | os.PathLike) -> LatencySource:
    """What to note about a table that a search uses; raises what `read` does."""
    table, data = read(path), pathlib.Path(path).read_bytes()
    of = {key: getattr(table, key) for key in ("runtime", "quantization", "threads")}
    of["processor"] = table.device.get("processor")
    return LatencySource(str(path), hashlib.sha256(data).hexdigest(), of)


def clock(
    settings: Settings, space: Any, num_classes: int
) -> Callable[[Measurement], float] | None:
    """How a search measures latency; None: by the default of `search.metrics`.

    Args:
        settings: What the search does.
        space: Its space.
        num_classes: Of its data.

    Returns:
        A function of a candidate that gives milliseconds per image.

    Raises:
        FileNotFoundError: There is no such table.
        ValueError: The table is damaged, or not for such candidates.
    """
    if settings.latency_table is not None:
        table = read(settings.latency_table)
        table.check(space.resolutions, num_classes)
        some = space.decode(space.sample(1, np.random.default_rng(0))[0])
        table.per_exit(some, num_classes)
        return partial(_predicted, table)
    if settings.runtime is not None:
        from search.timing import deployed

        return partial(deployed, settings.runtime, settings.quantization)
    return None


def _predicted(table: LatencyTable, measurement: Measurement) -> float:
    at = measurement.evaluation
    return table.predict(
        measurement.model.architecture,
        measurement.dataset.num_classes,
        at.thresholds,
        at.utilisation,
    )
