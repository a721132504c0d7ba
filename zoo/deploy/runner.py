"""Run an exported early-exit network. It needs NumPy and ai-edge-litert or onnxruntime.

  python run.py photo.png             class, probability and exit of pictures (Pillow)
  python run.py --benchmark           how long it takes on this device, as JSON

In Python: `run.load(folder).predict(images)`; images are RGB in 0..255.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zoo.deploy.timing import device, measure
from zoo.runtime import EarlyPrediction, Segment, resized, run_segments

HERE = pathlib.Path(__file__).parent
PACKAGES = {"ai_edge_litert": "ai-edge-litert", "PIL": "pillow"}  # as pip calls them


class Network:
    """What `load` returns; `manifest` is what manifest.json says of it."""

    def __init__(self, manifest: dict[str, Any], segments: Sequence[Segment]) -> None:
        self.manifest, self.segments = manifest, segments
        self.thresholds, self.size = manifest["thresholds"], manifest["image_size"]
        self.exits = [segment["exit"] for segment in manifest["segments"]]

    def predict(
        self,
        images: Any,
        batch_size: int = 256,
        thresholds: Sequence[float] | None = None,
    ) -> EarlyPrediction:
        """Predict, and stop computing for each image at the exit where it leaves.

        Images: uint8 or float in 0..255, shape `(images, height, width, 3)`.
        """
        images = self.check(images)
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; expected 1 or more.")
        thresholds = self.thresholds if thresholds is None else thresholds
        classes, rule = self.manifest["num_classes"], self.manifest["exit_rule"]
        start, *rest = self.segments
        parts = [lambda batch: start(self.prepare(batch)), *rest]
        return run_segments(
            parts, self.exits, images, classes, thresholds, rule, batch_size
        )

    def check(self, images: Any) -> np.ndarray:
        """Return images as an array, or say in a ValueError what is wrong with it."""
        images = np.asarray(images)
        size = ["any" if self.manifest["resize"] else n for n in self.size]
        fits = images.ndim == 4 and images.shape[-1] == 3 and 0 not in images.shape
        if not fits or ("any" not in size and list(images.shape[1:3]) != size):
            raise ValueError(
                f"images have the shape {images.shape}; expected one image or more, "
                f"(images, {size[0]}, {size[1]}, 3)."
            )
        if images.dtype.kind not in "uif" or not np.isfinite(images).all():
            raise ValueError(f"images are {images.dtype}; expected finite numbers.")
        return images

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """What the first file takes: single precision, resized and cropped."""
        images, resize = images.astype(np.float32), self.manifest["resize"]
        return resized(images, **resize) if resize else images


def load(
    folder: str | os.PathLike = HERE, threads: int = 1, max_macs: float | None = None
) -> Network:
    """Load an exported folder whose files are those that its manifest names.

    With `max_macs` the most accurate thresholds are set that spend at most so many
    multiply-accumulate operations per image on average.
    """
    folder = pathlib.Path(folder)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    if manifest.get("kind") != "export" or manifest["format"] != 1:
        raise ValueError(f"{path} is of another kind or another version than this.")
    models = []
    for segment in manifest["segments"]:
        data = (folder / segment["file"]).read_bytes()
        if hashlib.sha256(data).hexdigest() != segment["sha256"]:
            raise ValueError(
                f"{segment['file']} is damaged: its SHA-256 is not the one in {path}. "
                "Export the network again."
            )
        models.append(data)
    network = Network(manifest, [OPEN[manifest["runtime"]](m, threads) for m in models])
    if max_macs is not None:
        known = manifest["frontier"]
        points = [p for p in known if p["average_macs"] <= max_macs * (1 + 1e-9)]
        if not points:
            least = min((p["average_macs"] for p in known), default=None)
            raise ValueError(
                f"{max_macs:,.0f} average MACs cannot be reached; the least is {least}."
            )
        point = max(points, key=lambda p: p["accuracy"])
        network.thresholds = point["thresholds"]
        manifest["shares"] = [point["utilisation"][k] for k in network.exits]
    return network


def needed(module: str) -> Any:
    """Import what runs a network, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        name = module.partition(".")[0]
        package = PACKAGES.get(name, name)
        raise ImportError(
            f"{package} is missing here; install it with: pip install {package}"
        ) from error


def open_litert(data: bytes, threads: int) -> Segment:
    """A LiteRT model as a function of a batch."""
    litert = needed("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(model_content=data, num_threads=threads)
    (taken,), size = interpreter.get_input_details(), None
    given = sorted(interpreter.get_output_details(), key=lambda each: each["name"])

    def run(batch: np.ndarray) -> list[np.ndarray]:
        nonlocal size
        if size != len(batch):  # memory for another number of images
            interpreter.resize_tensor_input(taken["index"], batch.shape, strict=True)
            interpreter.allocate_tensors()
            size = len(batch)
        interpreter.set_tensor(taken["index"], batch)
        interpreter.invoke()
        return [interpreter.get_tensor(each["index"]) for each in given]

    return run


def open_onnx(data: bytes, threads: int) -> Segment:
    """An ONNX model as a function of a batch."""
    onnxruntime = needed("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(data, options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})


OPEN: dict[str, Callable] = {"litert": open_litert, "onnx": open_onnx}


def answer(network: Network, path: str) -> dict[str, Any]:
    """What the network says of the square in the middle of a picture."""
    image, operations = needed("PIL.Image"), needed("PIL.ImageOps")
    with image.open(path) as picture:
        pixels = np.asarray(operations.exif_transpose(picture).convert("RGB"))
    side = min(pixels.shape[:2])
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    found = network.predict(pixels[None, top : top + side, left : left + side])
    label, names = int(found.labels[0]), network.manifest["class_names"]
    place = network.manifest["exit_names"][found.exits[0]]
    told = {"class": names[label] if names else str(label), "exit": place}
    return {"file": path, **told, "probability": found.probabilities[0, label]}


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pictures", nargs="*", help="picture files")
    parser.add_argument("--max-macs", type=float, help="average MACs per image")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--benchmark", action="store_true", help="time the network")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 256])
    parser.add_argument("--rounds", type=int, default=50)
    options = parser.parse_args()
    try:
        network = load(HERE, options.threads, options.max_macs)
        found: Any = [answer(network, path) for path in options.pictures]
        if options.benchmark:
            named = {network.manifest["name"]: network}
            speeds = measure(named, options.batch_sizes, options.rounds)
            about = {key: network.manifest[key] for key in ("runtime", "quantization")}
            found = {**about, "threads": options.threads, **device(), "speeds": speeds}
    except (ValueError, OSError, ImportError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=1, default=float))
    return 0


if __name__ == "__main__":
    sys.exit(main())
