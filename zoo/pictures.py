"""Picture files as arrays of pixels; the one module that uses Pillow."""

from __future__ import annotations

import os
import pathlib
import warnings

import numpy as np

MAX_PIXELS = 100_000_000  # a larger picture takes more than 300 MB


def find(path: str | os.PathLike) -> list[pathlib.Path]:
    """The picture file of that name, or those in the folder of that name.

    Of a folder these are the files, in the order of their names, whose ending is that
    of a format that Pillow reads; folders within are searched, too, hidden files and
    folders are not.

    Raises:
        ValueError: A folder holds no picture.
    """
    path = pathlib.Path(path)
    if not path.is_dir():
        return [path]
    endings = _endings()
    inside = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in endings
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not inside:
        raise ValueError(f"The folder {path} holds no picture.")
    return inside


def _endings() -> set[str]:
    """Endings of the files that Pillow reads by itself; HDF5, say, it only knows."""
    from PIL import Image, ImageFile

    known = Image.registered_extensions()
    readers = {name: reader for name, (reader, _) in Image.OPEN.items()}
    return {
        ending
        for ending, name in known.items()
        if name in readers
        and not (
            isinstance(readers[name], type)
            and issubclass(readers[name], ImageFile.StubImageFile)
        )
    }


def read(path: str | os.PathLike, size: int | None = None) -> np.ndarray:
    """The pixels of a picture file, RGB in 0..255.

    The picture is turned as its EXIF data say, 16-bit grey is brought to 8 bits, and
    what is transparent lies on white.

    Args:
        path: The file.
        size: Resize the picture so that its shorter side has this many pixels, and
            keep the square in the middle. None: the whole picture as it is.

    Returns:
        Array of uint8, shape `(height, width, 3)`.

    Raises:
        ValueError: The file is missing or damaged, is no picture, has more than
            `MAX_PIXELS` pixels, or numbers whose scale is unknown.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large pictures, and odd metadata
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                if size is not None:  # JPEG can be decoded at a fraction of its size
                    image.draft(None, (2 * size, 2 * size))
                pixels = _rgb(ImageOps.exif_transpose(image))
                return pixels if size is None else _square(pixels, size)
    except Image.DecompressionBombError:  # Pillow's own limit is higher
        reason = f"it says that it has more than {MAX_PIXELS:,} pixels"
    except Exception as error:  # decoders of damaged files raise nearly anything
        reason = str(error) or type(error).__name__
    raise ValueError(f"{path} cannot be read as a picture: {reason}.")


def _rgb(image) -> np.ndarray:
    """The pixels of an open picture of any mode."""
    if image.mode.startswith("I"):  # grey of 16 bits, which Pillow would cut off at 255
        grey = np.asarray(image).astype(np.int64)
        low, high = grey.min(), grey.max()
        if low < 0 or high > 65535:
            raise ValueError(f"its values lie in {low}..{high}, more than 16 bits")
        grey = ((grey + 128) // 257).astype(np.uint8)  # rounded; 65535 becomes 255
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, of unknown scale")
    if "A" in image.getbands() or "transparency" in image.info:
        from PIL import Image

        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _square(pixels: np.ndarray, size: int) -> np.ndarray:
    """The square in the middle, resized to `size` x `size`."""
    from PIL import Image

    pixels = middle(pixels)
    if pixels.shape[:2] == (size, size):
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def middle(pixels: np.ndarray) -> np.ndarray:
    """The largest square around the centre of a picture.

    Args:
        pixels: Shape `(height, width, channels)`.

    Returns:
        A view, shape `(side, side, channels)`.
    """
    side = min(pixels.shape[:2])
    top, left = ((length - side) // 2 for length in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]
