"""Supernets in files: where one is, and what is known of it besides its weights."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from zoo import npz, records, weights
from zoo.names import unknown

PRETRAINED = pathlib.Path(__file__).parent / "pretrained"  # NAME.npz
WEIGHTS, CHECKPOINT, TRAINING = "supernet.npz", "checkpoint.npz", "training.json"
PREFIX = "weights/"
EXPECTED = "Expected an .npz file that `supernet train` or `supernet import` wrote."


@dataclass(frozen=True)
class About:
    """What is known of a supernet besides its weights.

    Attributes:
        origin: Where the backbone comes from, which decides how it pads and
            normalises; see `zoo.backbones.ofa_mobilenet_v3.ORIGINS`.
        resolutions: Those it was trained with, in pixels; empty: not known.
        data: Fingerprint of the data set that it was trained on; None: not known.
    """

    origin: str = "aebnas"
    resolutions: tuple[int, ...] = ()
    data: str | None = None


def names() -> list[str]:
    """Names of the pretrained supernets."""
    return sorted(path.stem for path in PRETRAINED.glob("*.npz"))


def path_of(name: str | os.PathLike) -> pathlib.Path:
    """The file of a supernet.

    Args:
        name: A pretrained supernet's name, a file, or the folder of one, such as that
            of a training.

    Raises:
        FileNotFoundError: There is none.
    """
    path = pathlib.Path(name)
    for file in (
        PRETRAINED / f"{path.name}.npz" if str(name) == path.name else path,
        path,
        path / WEIGHTS,
        path / CHECKPOINT,
    ):
        if file.is_file():
            return file
    raise FileNotFoundError(
        f"{unknown('pretrained supernet', name, names())} There is no such file "
        f"either, and no folder of that name with a {WEIGHTS} or {CHECKPOINT} in it."
    )


def read(name: str | os.PathLike) -> tuple[dict[str, np.ndarray], About]:
    """The shared weights by name, unchecked, and what is known of them.

    Raises:
        FileNotFoundError: There is no such supernet.
        ValueError: The file is no archive of arrays.
    """
    path = path_of(name)
    found, text = _read(path, PREFIX)
    if not found:
        raise ValueError(f"{path} is not a supernet: it holds no weights. {EXPECTED}")
    return weights.decoded(found, str(path)), _about(path, text)


def about(name: str | os.PathLike) -> About:
    """What is known of a supernet; errors as for `read`. Its weights are not read."""
    path = path_of(name)
    _, text = _read(path, None)
    return _about(path, text)


def _read(
    path: pathlib.Path, prefix: str | None
) -> tuple[dict[str, np.ndarray], str | None]:
    """The arrays below a prefix (None: no arrays), and what a file says of itself."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {
                key.removeprefix(prefix): arrays[key]
                for key in arrays.files
                if prefix is not None and key.startswith(prefix)
            }
            return found, str(arrays["about"]) if "about" in arrays.files else None
    except OSError:
        raise
    except Exception as error:  # whatever a damaged archive can raise
        raise ValueError(f"{path} is not a supernet: {error}. {EXPECTED}") from error


def _about(path: pathlib.Path, text: str | None) -> About:
    if text is not None:
        try:
            return records.convert(json.loads(text), About, str(path))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is damaged: {error}.") from error
    training = path.with_name(TRAINING)
    if path.name != CHECKPOINT or not training.is_file():
        return About()
    # A checkpoint of the first version, which does not say it itself.
    settings = json.loads(training.read_text(encoding="utf-8"))
    sizes = {size for phase in settings["phases"] for size in phase["resolutions"]}
    return About(resolutions=tuple(sorted(sizes)), data=settings["data"])


def arrays(values: Mapping[str, np.ndarray], about: About) -> dict[str, Any]:
    """What a file of a supernet holds, for `numpy.savez`."""
    named = {f"{PREFIX}{name}": value for name, value in values.items()}
    return named | {"about": np.array(json.dumps(records.to_dict(about)))}


def write(
    path: str | os.PathLike,
    values: Mapping[str, np.ndarray],
    about: About,
    weight_bits: int = 16,
) -> None:
    """Write a supernet, whole or not at all.

    Args:
        path: A name in `.npz`.
        values: The shared weights by name.
        about: What is known of them.
        weight_bits: Precision of kernels in the file; see `zoo.weights.stored`.
    """
    kept = weights.stored(values, weight_bits)
    npz.write(path, arrays(kept, about), compress=weight_bits <= 8)


def digest(values: Mapping[str, np.ndarray]) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the weights, in order of names."""
    return weights.digest(
        np.asarray(values[name], np.float32) for name in sorted(values)
    )
