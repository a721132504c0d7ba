import errno
import os
import pathlib
import stat
import subprocess
import sys

import pytest

from zoo import files
from zoo.files import DiskFullError, locked, remove_partial, write_bytes, write_text


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.json"
    path.write_text("old", encoding="utf-8")
    return path


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt])
def test_a_step_that_fails_changes_nothing(path, step, error, monkeypatch):
    def fail(*_):
        raise error

    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(f"zoo.files.os.{step}", fail)
        write_bytes(path, b"new")
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(path.parent) == [path.name]


def test_file_and_folder_are_synchronised_around_the_renaming(path, monkeypatch):
    steps = []

    def noting(name, what):
        real = getattr(os, name)

        def call(*arguments):
            steps.append((name, what(*arguments)))
            return real(*arguments)

        monkeypatch.setattr(f"zoo.files.os.{name}", call)

    kind = {True: "folder", False: "file"}
    noting("fsync", lambda file: kind[stat.S_ISDIR(os.fstat(file).st_mode)])
    noting("replace", lambda old, new: pathlib.Path(new).name)
    write_bytes(path, b"new")
    assert steps == [("fsync", "file"), ("replace", path.name), ("fsync", "folder")]


def test_the_entry_of_a_new_folder_is_synchronised(tmp_path, monkeypatch):
    synchronised = []
    monkeypatch.setattr(files, "sync_folder", synchronised.append)
    assert files.make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
    assert set(synchronised) == {tmp_path, tmp_path / "a"}


def test_writing_in_small_pieces_writes_everything(path, monkeypatch):
    write = os.write
    monkeypatch.setattr("zoo.files.os.write", lambda f, data: write(f, data[:7]))
    write_bytes(path, bytes(range(100)))
    assert path.read_bytes() == bytes(range(100))


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


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions of Unix")
def test_others_may_read_what_the_user_lets_them(path):
    before = os.umask(0o027)
    try:
        write_text(path, "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


# Links


def test_a_temporary_name_cannot_be_foreseen_and_takes_no_file_that_is_there(
    path, monkeypatch
):
    names, real = [], os.open

    def note(name, flags, *mode):
        names.append((pathlib.Path(name).name, flags))
        return real(name, flags, *mode)

    monkeypatch.setattr("zoo.files.os.open", note)
    write_text(path, "new")
    write_text(path, "newer")
    made = [each for each in names if each[1] & os.O_CREAT]
    assert len({name for name, _ in made}) == len(made) == 2
    assert all(flags & os.O_EXCL for _, flags in made)


def test_a_link_in_place_of_a_temporary_file_is_not_followed(path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "known")
    victim = path.with_name("victim")
    victim.write_text("mine", encoding="utf-8")
    link = path.with_name(".partial.model.json.known")
    link.symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_text(path, "new")
    assert victim.read_text(encoding="utf-8") == "mine"
    assert link.is_symlink()


def test_a_link_in_place_of_a_lock_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    (tmp_path / ".lock").symlink_to(victim)
    with pytest.raises(OSError), locked(tmp_path / ".lock", "taken"):
        pass
    assert victim.read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs /dev/null")
def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path):
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    write_text(link, "new")
    assert link.is_symlink() and stat.S_ISCHR(os.stat("/dev/null").st_mode)


# Full disks


@pytest.mark.parametrize("step", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_what_is_needed(path, step, number, monkeypatch):
    def full(*_):
        raise OSError(number, os.strerror(number))

    root = path.parent
    monkeypatch.setattr("zoo.files.os.path.ismount", lambda each: each == root)
    message = rf"^The disk at {root} is full: {path} needs 2,000,000 bytes, and [\d,]+"
    with monkeypatch.context() as patch:
        patch.setattr(f"zoo.files.os.{step}", full)
        with pytest.raises(DiskFullError, match=message) as found:
            write_bytes(path, bytes(2_000_000))
    assert found.value.errno == errno.ENOSPC
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_is_named_whatever_library_says_so(tmp_path):
    with pytest.raises(DiskFullError, match="could not be written") as found:
        with files.naming_full_disk(tmp_path):
            with files.naming_full_disk(tmp_path / "first"):
                raise RuntimeError("events.out; No space left on device")
    assert str(tmp_path / "first") in str(found.value)


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(PermissionError), files.naming_full_disk(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")


# Locks and what kills leave behind

HOLD = """
import sys, pathlib
from zoo.files import locked
with locked(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["", ".lock"])
def test_a_lock_keeps_others_out_and_ends_with_its_process(tmp_path, name):
    pytest.importorskip("fcntl")
    root = pathlib.Path(files.__file__).parents[1]
    command = [sys.executable, "-c", HOLD, str(tmp_path / name)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "cwd": root}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(ValueError, match="^taken$"):
            with locked(tmp_path / name, "taken"):
                pass
        process.kill()
    with locked(tmp_path / name, "taken"):
        pass
    with locked(tmp_path / name):
        pass


def test_what_a_kill_left_is_removed_by_name(tmp_path):
    for name in (".partial.a.json.01", ".partial.b.h5.02", "a.json", ".lock"):
        (tmp_path / name).touch()
    remove_partial(tmp_path, "a.json")
    assert sorted(os.listdir(tmp_path)) == [".lock", ".partial.b.h5.02", "a.json"]
    remove_partial(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".lock", "a.json"]
