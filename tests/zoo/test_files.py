import os

import pytest

from zoo.files import replacing, write_text


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.json"
    path.write_text("old", encoding="utf-8")
    return path


def test_the_body_writes_beside_the_file_and_success_replaces_it(path):
    with replacing(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert temporary.parent == path.parent
        assert path.read_text(encoding="utf-8") == "old"
    assert path.read_text(encoding="utf-8") == "new"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt])
@pytest.mark.parametrize("begun", [False, True])
def test_a_body_that_raises_changes_nothing(path, error, begun):
    with pytest.raises(error), replacing(path) as temporary:
        if begun:
            temporary.write_text("half", encoding="utf-8")
        raise error
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(path.parent) == [path.name]


def test_a_body_that_writes_nothing_is_an_error_and_changes_nothing(path):
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("kind", [str, os.fspath, lambda path: path])
def test_write_text_replaces_or_creates_in_utf8(path, kind):
    write_text(kind(path), "3 × 3 – new")
    write_text(kind(path.with_name("other.md")), "é")
    assert path.read_bytes() == "3 × 3 – new".encode()
    assert path.with_name("other.md").read_bytes() == "é".encode()
    assert sorted(os.listdir(path.parent)) == [path.name, "other.md"]


def test_text_that_cannot_be_encoded_changes_nothing(path):
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_folder_is_an_os_error(tmp_path):
    with pytest.raises(OSError):
        write_text(tmp_path / "missing" / "model.json", "new")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_a_read_only_folder_is_an_os_error_and_keeps_the_file(path):
    path.parent.chmod(0o500)
    try:
        with pytest.raises(OSError):
            write_text(path, "new")
    finally:
        path.parent.chmod(0o700)
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(path.parent) == [path.name]
