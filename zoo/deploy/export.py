"""Export: a folder that runs an early-exit network without Keras, and skips."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zoo import files, inputs, measure, records, runtime
from zoo.checks import check_labels
from zoo.deploy import formats, graphs, runner, timing, verify
from zoo.deploy.manifest import Manifest, SegmentFile
from zoo.exits import OperatingPoint
from zoo.model import EarlyExitModel
from zoo.names import find, unknown

MANIFEST = "manifest.json"
CODE = {runner: "run.py", timing: "timing.py", runtime: "runtime.py"}
CALIBRATION = 256  # images that 8 bits need at least
NOISE = 64


def export(
    model: EarlyExitModel,
    folder: str | os.PathLike,
    format: str = "litert",
    quantization: str | None = None,
    images: Any = None,
    labels: Any = None,
    *,
    described: str = "the given images",
    progress: Callable[[str], None] = lambda text: None,
) -> Manifest:
    """Write a folder that runs a network without Keras or TensorFlow, and skips.

    It holds a file per segment, `manifest.json`, and `run.py`, which needs NumPy and
    `ai-edge-litert` or `onnxruntime` alone: `run.load(folder).predict(images)` gives
    what `predict_early` does. The files are run on images and compared with the model
    before anything is written: not quantised, every image has to leave at the same
    exit. A new export replaces an old one; whatever interrupts it, the folder holds a
    whole one.

    Args:
        model: The network; exits that are off are left out.
        folder: Folder to write; created if it does not exist.
        format: "litert" or "onnx".
        quantization: None for single precision; "float16", "dynamic" (weights in 8
            bits) or "int8" (weights and features, which needs images to calibrate
            with).
        images: Images to verify with, RGB in 0..255; use validation images. Default:
            noise.
        labels: Their labels. With them accuracy is measured, and thresholds of a
            quantised network are chosen anew: the most accurate that cost no more
            average MACs than the model's.
        described: What the manifest calls the images.
        progress: Is told what comes next.

    Returns:
        The `Manifest` that was written.

    Raises:
        ValueError: The network or the images cannot be used, a library is missing (the
            message says how to install it), or the files disagree with the model.
        OSError: The folder cannot be written; what was there stays.

    Example:
        >>> digits = zoo.data.load("digits").validation
        >>> model = zoo.load("aebnas_digits")
        >>> zoo.export(model, "on_device", images=digits.images, labels=digits.labels)

        On the device, `run.load("on_device").predict(images)` answers alike.
    """
    chosen = find(formats.FORMATS, "format", format)
    if quantization is not None and quantization not in formats.QUANTIZATIONS:
        raise ValueError(unknown("quantization", quantization, formats.QUANTIZATIONS))
    formats.require(chosen)
    cut, images, described = _prepared(model, images, described)
    if labels is not None:
        labels = check_labels(labels, len(images), model.num_classes)
    if quantization == "int8" and (described == "noise" or len(images) < CALIBRATION):
        raise ValueError(
            f"int8 is calibrated on images; expected {CALIBRATION} or more, such as "
            "the validation images."
        )
    made = _converted(model, cut, chosen, quantization, images, progress)
    progress("comparing with the model")
    used, rule = cut.exits, model.exit_rule
    network = runner.Network(
        {
            "thresholds": model.thresholds,
            "image_size": cut.shapes[0][:2],
            "segments": [{"exit": k} for k in used],
            "resize": records.to_dict(cut.resize),
        },
        [runner.OPEN[format](data, os.cpu_count() or 1) for data in made],
    )
    ours = verify.logits_of(network, images)
    theirs = measure.predict(model, images)[:, used]
    cost = verify.part_of(model.macs, used)
    given = tuned = tuple(model.thresholds[k] for k in used[:-1])
    frontier = tuple(point for point in model.frontier if _uses(point, used))
    spent = np.array(cost.per_exit)[verify.Decisions(theirs, given, rule).leaving]
    if quantization is not None:
        frontier = ()
        if labels is not None:
            point, points = verify.retuned(ours, labels, spent.mean(), rule, cost)
            tuned, frontier = point.thresholds, tuple(_whole(p, used) for p in points)
    found = verify.agreement(
        *(described, ours, theirs, labels, (tuned, given), rule, cost),
        exact=quantization is None,
    )
    segments = [
        SegmentFile(
            file=f"segment{number}-{_sha256(data)[:8]}{chosen.suffix}",
            exit=place,
            bytes=len(data),
            sha256=_sha256(data),
        )
        for number, (place, data) in enumerate(zip(used, made), 1)
    ]
    height, width = cut.shapes[0][:2]
    manifest = Manifest(
        name=model.name,
        runtime=format,
        quantization=quantization,
        segments=tuple(segments),
        num_exits=model.num_exits,
        exit_names=tuple(model.exit_names()),
        thresholds=verify.spread(tuned, used, 1.0)[:-1],
        exit_rule=rule,
        num_classes=model.num_classes,
        class_names=model.class_names,
        image_size=(int(height), int(width)),
        resize=cut.resize,
        macs=model.macs,
        shares=verify.Decisions(ours, tuned, rule).shares(len(used)),
        frontier=frontier,
        agreement=found,
        provenance=measure.provenance(),
    )
    _write(pathlib.Path(folder), manifest, made)
    return manifest


def _prepared(
    model: EarlyExitModel, images: Any, described: str
) -> tuple[graphs.Cut, np.ndarray, str]:
    """The network in segments, images to verify with, and what they are."""
    if images is not None:
        images = inputs.check_images(images)
        inputs.check_shape(images, model.inputs[0].shape)
        return graphs.cut(model, images.shape[1:3]), images, described
    cut = graphs.cut(model)
    noise = np.random.default_rng(0).integers(0, 256, (NOISE, *cut.shapes[0]))
    return cut, noise.astype(np.uint8), "noise"


def _converted(
    model: EarlyExitModel,
    cut: graphs.Cut,
    format: formats.Format,
    quantization: str | None,
    images: np.ndarray,
    progress: Callable[[str], None],
) -> list[bytes]:
    """The file of each segment."""
    features = None
    if quantization == "int8":
        features = images[: 2 * CALIBRATION].astype(np.float32)
        if cut.resize is not None:
            features = runtime.resized(features, cut.resize.side, cut.resize.kept)
    made = []
    for number, (segment, shape) in enumerate(zip(cut.segments, cut.shapes), 1):
        progress(f"converting segment {number} of {len(cut.segments)}")
        try:
            made.append(format.convert(segment, shape, quantization, features))
        except OSError:
            raise
        except Exception as error:  # converters raise nearly anything
            reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise ValueError(
                f"Segment {number} of {model.name} cannot be converted: {reason[0]}"
            ) from error
        if features is not None and len(made) < len(cut.segments):
            features = segment.predict(features, batch_size=256, verbose=0)[-1]
    return made


def _uses(point: OperatingPoint, used: Sequence[int]) -> bool:
    return [k for k, t in enumerate(point.thresholds) if t < 1] == list(used[:-1])


def _whole(point: OperatingPoint, used: Sequence[int]) -> OperatingPoint:
    """A point of the exits in use as one of all exits."""
    return replace(
        point,
        thresholds=verify.spread(point.thresholds, used, 1.0)[:-1],
        utilisation=verify.spread(point.utilisation, used, 0.0),
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(folder: pathlib.Path, manifest: Manifest, made: Sequence[bytes]) -> None:
    """Replace an export: the manifest comes last, and names the files it goes with."""
    files.make_folder(folder)
    with files.locked(folder):
        old = _named(folder)
        for segment, data in zip(manifest.segments, made):
            files.write_bytes(folder / segment.file, data)
        for module, name in CODE.items():
            source = pathlib.Path(module.__file__).read_text("utf-8")
            # There the files lie side by side, and are no package.
            own = re.sub(r"from zoo\.(?:deploy\.)?", "from ", source)
            files.write_text(folder / name, own)
        records.write(folder / MANIFEST, manifest)
        for name in old - {segment.file for segment in manifest.segments}:
            (folder / name).unlink(missing_ok=True)


def _named(folder: pathlib.Path) -> set[str]:
    """Names of the segments of the export that a folder holds."""
    try:
        found = records.read(folder / MANIFEST, Manifest)
    except (OSError, ValueError):
        return set()
    return {pathlib.PurePath(segment.file).name for segment in found.segments}
