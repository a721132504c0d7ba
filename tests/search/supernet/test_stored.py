"""Files of supernets."""

import json

import numpy as np
import pytest

from search.supernet import stored
from search.supernet.stored import About

VALUES = {"b": np.ones((2, 3), np.float32), "a": np.zeros(4, np.float32)}


def test_a_supernet_is_found_by_name_folder_and_file(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "PRETRAINED", tmp_path / "pretrained")
    (tmp_path / "pretrained").mkdir()
    stored.write(tmp_path / "pretrained" / "one.npz", VALUES, About())
    (tmp_path / "folder").mkdir()
    for name in (stored.CHECKPOINT, stored.WEIGHTS):  # the second is preferred
        stored.write(tmp_path / "folder" / name, VALUES, About())
        assert stored.path_of(tmp_path / "folder") == tmp_path / "folder" / name
    assert stored.names() == ["one"]
    assert stored.path_of("one") == tmp_path / "pretrained" / "one.npz"
    file = tmp_path / "folder" / stored.CHECKPOINT
    assert stored.path_of(str(file)) == file
    with pytest.raises(FileNotFoundError, match="no pretrained supernet 'on'.*'one'"):
        stored.path_of("on")


def test_what_is_written_is_read(tmp_path):
    about = About("once_for_all", (32, 40), "abc")
    stored.write(tmp_path / "s.npz", VALUES, about)
    values, found = stored.read(tmp_path / "s.npz")
    assert found == stored.about(tmp_path / "s.npz") == about
    assert values["b"].dtype == np.float16
    assert all(np.array_equal(values[name], VALUES[name]) for name in VALUES)
    large = {"c": np.outer(np.arange(100), np.arange(1, 101)).astype(np.float32)}
    stored.write(tmp_path / "s.npz", large, about, weight_bits=8)
    np.testing.assert_allclose(
        stored.read(tmp_path / "s.npz")[0]["c"], large["c"], 0, 40
    )
    noise = {"c": np.random.default_rng(1).normal(size=(100, 100)).astype(np.float32)}
    sizes = []
    for bits in (6, 8, 16):
        stored.write(tmp_path / "s.npz", noise, about, weight_bits=bits)
        sizes.append((tmp_path / "s.npz").stat().st_size)
    assert sizes[0] < 0.85 * sizes[1] < 0.5 * sizes[2]


def test_a_checkpoint_of_the_first_version_is_explained_by_its_training(tmp_path):
    path = tmp_path / stored.CHECKPOINT
    np.savez(path, **{f"weights/{name}": value for name, value in VALUES.items()})
    assert stored.read(path)[1] == About()
    phases = [{"resolutions": [32]}, {"resolutions": [40, 32]}]
    training = {"phases": phases, "data": "abc", "classes": 10}
    (tmp_path / stored.TRAINING).write_text(json.dumps(training))
    assert stored.about(path) == About(resolutions=(32, 40), data="abc")


def test_a_file_that_is_no_archive_is_named(tmp_path):
    path = tmp_path / "s.npz"
    for content in (b"", b"PK", b"text"):
        path.write_bytes(content)
        for read in (stored.read, stored.about):
            with pytest.raises(ValueError, match=f"{path} is not a supernet"):
                read(path)
    one = tmp_path / "one.npy"
    np.save(one, np.ones(3))
    np.savez_compressed(path, **{"weights/a": np.arange(1000.0)})
    content = bytearray(path.read_bytes())
    content[200:300] = bytes(100)
    (tmp_path / "damaged.npz").write_bytes(content)
    np.savez(tmp_path / "other.npz", x_train=np.ones(3))
    for file in (one, tmp_path / "damaged.npz", tmp_path / "other.npz"):
        with pytest.raises(ValueError, match=f"{file} is not a supernet.*Expected an"):
            stored.read(file)
    about = np.array(json.dumps({"origin": 3}))
    np.savez(path, about=about)
    with pytest.raises(ValueError, match=f"{path} is damaged.*origin"):
        stored.about(path)


def test_the_digest_is_that_of_all_weights_in_single_precision():
    halved = {name: VALUES[name].astype(np.float16) for name in ("a", "b")}
    assert stored.digest(halved) == stored.digest(VALUES)
    assert stored.digest(VALUES | {"a": np.ones(4)}) != stored.digest(VALUES)
