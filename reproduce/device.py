"""What the models are on a device: size, agreement, accuracy and latency by format."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo import data, files, measure, registry
from zoo.deploy import benchmark, runner, timing, verify
from zoo.deploy.export import CALIBRATION, export
from zoo.deploy.runner import Network
from zoo.device_record import DeviceRecord, FormatRow
from zoo.names import unknown

FORMATS = {
    "litert": ("litert", None),
    "litert-float16": ("litert", "float16"),
    "litert-dynamic": ("litert", "dynamic"),
    "litert-int8": ("litert", "int8"),
    "onnx": ("onnx", None),
}
KERAS = "tensorflow"
ROUNDS, BATCH, BATCHES = 150, 256, 5
STATIC = 512  # validation images to export the network without exits with


def survey(
    name: str,
    data_dir: str | os.PathLike | None = None,
    formats: Sequence[str] | None = None,
    rounds: int = ROUNDS,
    progress: Callable[[str], None] = lambda text: None,
) -> DeviceRecord:
    """Export a model in several formats, compare the answers, and time all of them.

    Beside each is the same network with only its final exit: a static network of
    about the same accuracy, exported in the same format and timed in the same turns.
    All run on one thread, for which `zoo.backends.limit_threads` comes first.

    Args:
        name: A pretrained model's name, or a folder that `zoo.save` wrote.
        data_dir: Folder of its data set; see `zoo.data.load`.
        formats: Of `FORMATS`; default: those of `formats_for`.
        rounds: How often each is timed.
        progress: Is told what comes next.

    Raises:
        ValueError: A format is unknown, the model was measured on other data or on
            none, or it cannot be exported.
        FileNotFoundError: The data set cannot be found.
    """
    for each in formats or ():
        if each not in FORMATS:
            raise ValueError(unknown("format", each, FORMATS))
    noted = registry.record(name)
    if noted.data is None:
        raise ValueError(f"{name} was measured on no data; expected a model that was.")
    dataset = data.load(noted.data.name, data_dir)
    if dataset.fingerprint != noted.data.fingerprint:
        raise ValueError(
            f"The images of {dataset.name} are not those that {name} was measured on."
        )
    if formats is None:
        formats = formats_for(dataset)
    model, static = registry.load(name), registry.load(name)
    static.thresholds = (1.0,) * (model.num_exits - 1)
    networks: dict[str, tuple[Network, Network]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for each in formats:
            progress(f"{name}: exporting for {each}")
            place = pathlib.Path(folder) / each
            runtime, quantization = FORMATS[each]
            images, labels = dataset.validation
            export(model, place / "early", runtime, quantization, images, labels)
            few = images[:STATIC]
            export(static, place / "static", runtime, quantization, few)
            pair = [runner.load(place / kind) for kind in ("early", "static")]
            networks[each] = pair[0], pair[1]
    networks[KERAS] = tuple(benchmark.in_keras(m, KERAS) for m in (model, static))
    test = dataset.test
    progress(f"{name}: testing")
    theirs = measure.predict(model, test.images)
    rows = []
    for each, (network, other) in networks.items():
        if each == KERAS:
            ours = theirs[:, network.exits]
        else:
            ours = verify.logits_of(network, test.images)
        rows.append(_row(each, network, ours, theirs, model, test.labels))
        other.manifest["shares"] = [1.0]
    timed = _timed(networks, rounds, lambda text: progress(f"{name}: {text}"))
    final = theirs[:, -1].argmax(-1) == test.labels
    found = [FormatRow(**row, **timed[each]) for each, row in zip(networks, rows)]
    return DeviceRecord(
        model=noted.name,
        weights=noted.weights.sha256,
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        images=len(test.labels),
        device=timing.device(),
        threads=1,
        static_accuracy=float(final.mean()),
        static_macs=model.macs.backbone[-1],
        rows=tuple(found),
        provenance=measure.provenance(),
    )


def formats_for(dataset: data.Dataset) -> tuple[str, ...]:
    """All of `FORMATS` that the validation images suffice to calibrate."""
    few = len(dataset.validation.labels) < CALIBRATION
    return tuple(
        name
        for name, (_, quantization) in FORMATS.items()
        if not (few and quantization == "int8")
    )


def _row(
    name: str,
    network: Network,
    ours: np.ndarray,
    theirs: np.ndarray,
    model: Any,
    labels: np.ndarray,
) -> dict[str, Any]:
    """What a format answers on the test split; notes its exit shares, too."""
    used, rule = network.exits, model.exit_rule
    cost = verify.part_of(model.macs, used)
    given = tuple(model.thresholds[k] for k in used[:-1])
    found = verify.agreement(
        *("test split", ours, theirs[:, used], labels, (given, given), rule, cost),
        exact=False,
    )
    own = [network.thresholds[k] for k in used[:-1]]
    tuned = verify.Decisions(ours, own, rule)
    network.manifest["shares"] = tuned.shares(len(used))
    runtime, quantization = FORMATS.get(name, (name, None))
    quantised = quantization is not None
    spent = np.array(cost.per_exit, float)[tuned.leaving].mean()
    size = sum(s.get("bytes", 0) for s in network.manifest["segments"])
    return {
        "runtime": runtime,
        "quantization": quantization,
        "bytes": size or None,
        "equal_exits": found.equal_exits,
        "equal_labels": found.equal_labels,
        "accuracy": found.accuracy,
        "average_macs": found.average_macs,
        "tuned_accuracy": tuned.accuracy(labels) if quantised else None,
        "tuned_macs": float(spent) if quantised else None,
    }


def _timed(
    networks: dict[str, tuple[Network, Network]],
    rounds: int,
    progress: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """The times of every format, which take turns."""
    kinds = {
        (each, kind): network
        for each, pair in networks.items()
        for kind, network in zip(("early", "static"), pair)
    }
    clock = timing.cpu_time(1)
    early = {key: network for key, network in kinds.items() if key[1] == "early"}
    with files.machine_locked():
        progress("timing")
        found = timing.measure(kinds, [1], rounds, clock)
        progress(f"timing batches of {BATCH}")
        batched = timing.measure(early, [BATCH], BATCHES, clock)
    single = {row["network"]: row for row in found}
    many = {row["network"]: row for row in batched}

    def ms(value: float) -> float:
        return round(float(value), 4)

    return {
        each: {
            "segments_ms": tuple(
                ms(part["p10_ms"]) for part in single[each, "early"]["segments"]
            ),
            "image_ms": ms(single[each, "early"]["image_ms"]),
            "batched_ms": ms(many[each, "early"]["image_ms"]),
            "static_ms": ms(single[each, "static"]["image_ms"]),
        }
        for each in networks
    }
