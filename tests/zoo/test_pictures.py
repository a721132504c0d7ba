"""Picture files: any mode and size that Pillow reads, and none that would do harm."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from zoo import pictures

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3)).astype(np.uint8)


def header(width, height):
    """A PNG file that says to have so many pixels and has none."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = (chunk(b"IHDR", size), chunk(b"IDAT", zlib.compress(bytes(9))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(data) + chunk(b"IEND", b"")


def refused(path):
    with pytest.raises(ValueError) as error:
        pictures.read(path)
    start = f"{path} cannot be read as a picture: "
    message = str(error.value)
    assert message.startswith(start) and "\n" not in message
    return message.removeprefix(start)


def test_pixels_are_read_as_they_are(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    found = pictures.read(tmp_path / "a.png")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, PIXELS)


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_grey_of_16_bits_is_brought_to_8(tmp_path, ending):
    grey = np.array([[0, 128, 129, 257], [32768, 65278, 65407, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / f"a.{ending}")
    found = pictures.read(tmp_path / f"a.{ending}")
    expected = np.round(grey / 257).astype(np.uint8)
    np.testing.assert_array_equal(found, expected[:, :, None].repeat(3, 2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_data_say(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)
    rotations = {1: 0, 2: 0, 3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}
    expected = np.rot90(PIXELS, rotations[orientation])
    if orientation in (2, 4, 5, 7):
        expected = expected[:, ::-1]
    np.testing.assert_array_equal(pictures.read(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_pictures_of_other_modes_become_rgb(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new(mode, (5, 4)).save(path)
    assert pictures.read(path).shape == (4, 5, 3)


@pytest.mark.parametrize("width, height", [(60_000, 60_000), (11_000, 10_000)])
def test_a_picture_that_is_too_large_is_refused_before_it_is_decoded(
    tmp_path, width, height
):
    (tmp_path / "a.png").write_bytes(header(width, height))
    assert refused(tmp_path / "a.png").endswith("more than 100,000,000 pixels.")


def test_pictures_of_unknown_scale_are_refused(tmp_path):
    Image.fromarray(np.full((2, 2), 70_000, np.int32)).save(tmp_path / "a.tif")
    assert "values lie in 70000..70000" in refused(tmp_path / "a.tif")
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "b.tif")
    assert "floating-point" in refused(tmp_path / "b.tif")


@pytest.mark.parametrize("data", [b"", b"text", header(0, 0), header(100, 100)])
def test_a_damaged_file_is_named(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    refused(tmp_path / "a.png")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_whatever_is_wrong_with_a_file_is_a_sentence(tmp_path, format):
    path, rng = tmp_path / "a", np.random.default_rng(1)
    Image.fromarray(PIXELS).save(path, format)
    whole = path.read_bytes()
    outcomes = set()
    for _ in range(100):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), 4):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken[: rng.integers(1, len(whole) + 1)])
        try:
            outcomes.add(pictures.read(path).dtype)
        except ValueError:
            outcomes.add(None)
    assert None in outcomes and outcomes <= {None, np.dtype(np.uint8)}


def test_pictures_of_a_folder_are_found_by_their_ending(tmp_path):
    names = ["b.PNG", "a b/é.jpg", "a.webp"]
    others = ["notes.txt", ".hidden.png", ".cache/a.png", "c.npz"]
    for name in (*names, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "model.weights.h5").write_bytes(b"")  # HDF5 is nothing Pillow reads
    (tmp_path / "folder.png").mkdir()
    found = pictures.find(tmp_path)
    assert found == sorted(tmp_path / name for name in names)
    assert pictures.find(tmp_path / "a.png") == [tmp_path / "a.png"]
    with pytest.raises(ValueError, match=r"folder folder\.png|folder\.png holds no"):
        pictures.find(tmp_path / "folder.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(tmp_path, mode):
    alpha = np.array([[255, 0], [51, 255]], np.uint8)
    image = Image.fromarray(np.dstack([np.full((2, 2, 3), 100, np.uint8), alpha]))
    if mode == "P":  # one colour of a palette may be transparent
        image = Image.fromarray((alpha == 0).astype(np.uint8), "P")
        image.putpalette([100, 100, 100, 9, 9, 9])
        image.save(tmp_path / "a.png", transparency=1)
        expected = [[100, 255], [100, 100]]
    else:
        image.convert(mode).save(tmp_path / "a.png")
        expected = [[100, 255], [224, 100]]
    found = pictures.read(tmp_path / "a.png")
    np.testing.assert_array_equal(found, np.dstack([expected] * 3))


@pytest.mark.parametrize("height, width", [(40, 60), (60, 40), (40, 40)])
def test_a_size_keeps_the_square_in_the_middle(tmp_path, height, width):
    ramp = np.zeros((height, width, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.indices((height, width)) * 4
    Image.fromarray(ramp).save(tmp_path / "a.png")
    whole = pictures.read(tmp_path / "a.png", 40)
    top, left = (height - 40) // 2, (width - 40) // 2
    np.testing.assert_array_equal(whole, ramp[top : top + 40, left : left + 40])
    np.testing.assert_array_equal(pictures.middle(ramp), whole)
    small = pictures.read(tmp_path / "a.png", 10).astype(int)
    means = whole.reshape(10, 4, 10, 4, 3).mean((1, 3))
    assert small.shape == (10, 10, 3)
    assert abs(small - means)[1:-1, 1:-1].max() <= 1  # an average, not a sample
    assert pictures.read(tmp_path / "a.png", 90).shape == (90, 90, 3)


def test_a_large_photograph_is_decoded_at_a_reduced_size(tmp_path, monkeypatch):
    large = Image.fromarray(PIXELS).resize((320, 480), Image.Resampling.BICUBIC)
    large.save(tmp_path / "a.jpg", quality=95)
    exact = np.asarray(large.crop((0, 80, 320, 400)).resize((32, 32)))
    decoded, rgb = [], pictures._rgb
    monkeypatch.setattr(pictures, "_rgb", lambda i: decoded.append(i.size) or rgb(i))
    found = pictures.read(tmp_path / "a.jpg", 32).astype(int)
    assert decoded == [(80, 120)]
    assert abs(found - exact).max() < 8
