"""What a campaign needs: faults in `zoo.files`, a disk that loses power, a record.

The fixture `campaign` says how many cases to run: few by default, all with
`--campaign`, as in `make campaign`, which also records how many there were.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pathlib
import platform
import random
import shutil
import time

import keras
import numpy as np
import pytest

import zoo
from zoo import data, files

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "reliability.md"
RECORD = PAGE.with_suffix(".json")
BEGIN, END = "<!-- the campaign's record -->", "<!-- its end -->"


@dataclasses.dataclass(frozen=True)
class Campaign:
    """How large a campaign is, and its record.

    Attributes:
        full: Whether all cases are run.
        seed: Of everything drawn at random.
    """

    full: bool
    seed: int

    def size(self, small, full):
        """The number of cases to run."""
        return full if self.full else small

    def random(self):
        """Random numbers that depend on the seed alone."""
        return random.Random(self.seed)

    def note(self, part, cases, found, kinds=None):
        """Record what was run, if it was all of it.

        Args:
            part: What was done, the row's name in docs/reliability.md.
            cases: How many.
            found: What held in all of them.
            kinds: How many there were of each kind, by name.
        """
        if not self.full:
            return
        with files.locked(RECORD.parent):
            known = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
            known[part] = {
                "cases": cases,
                "found": found,
                **({"kinds": dict(sorted(kinds.items()))} if kinds else {}),
                "date": time.strftime("%Y-%m-%d"),
                "seed": self.seed,
                "python": platform.python_version(),
            }
            files.write_text(RECORD, json.dumps(known, indent=1) + "\n")
            before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
            after = rest.partition(END)[2]
            files.write_text(PAGE, f"{before}{BEGIN}\n{table(known)}{END}{after}")


def table(known):
    """What docs/reliability.md shows of the record."""
    rows = ["| what | cases | in all of them | date | seed |", "|:--|--:|:--|:--|--:|"]
    for part, row in sorted(known.items()):
        kinds = ", ".join(f"{n} {kind}" for kind, n in row.get("kinds", {}).items())
        cases = f"{row['cases']:,}" + (f" ({kinds})" if kinds else "")
        rows.append(
            f"| {part} | {cases} | {row['found']} | {row['date']} | {row['seed']} |"
        )
    return "".join(f"{row}\n" for row in rows)


@pytest.fixture(scope="session")
def campaign(request):
    option = request.config.getoption
    return Campaign(option("--campaign"), option("--campaign-seed"))


class Crash(BaseException):
    """The process ends here: nothing after it runs, not even what cleans up."""


@dataclasses.dataclass
class FaultyOs:
    """Stands in for the module `os` in `zoo.files`.

    Attributes:
        crash_at: The call, counted from 1, at which the process ends; None: never.
            Every other one of its kind ends in the middle: of a write, half is done.
        room: Bytes that still fit on the disk; None: any number.
        calls: The calls so far, by name and the path's last part.
    """

    crash_at: int | None = None
    room: int | None = None
    calls: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    _dead: bool = False
    _paths: dict[int, str] = dataclasses.field(default_factory=dict)

    def __getattr__(self, name):
        return getattr(os, name)

    def end(self):
        """End the process."""
        raise Crash

    def _step(self, name, path):
        if self._dead:
            self.end()
        self.calls.append((name, pathlib.Path(path).name))
        if len(self.calls) == self.crash_at:
            self._dead = True
            return True
        return False

    def open(self, path, flags, *mode):
        if self._step("open", path):
            self.end()
        file = os.open(path, flags, *mode)
        self._paths[file] = str(path)
        return file

    def write(self, file, data):
        if self._step("write", self._paths[file]):
            os.write(file, data[: len(data) // 2])
            self.end()
        if self.room is not None:
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[: self.room]  # as a real disk does, before it says no
            self.room -= len(data)
        return os.write(file, data)

    def fsync(self, file):
        if self._step("fsync", self._paths[file]):
            self.end()  # else there is nothing to do: no power is lost in a test

    def replace(self, old, new):
        if self._step("replace", new):
            self.end()
        os.replace(old, new)

    def unlink(self, path):
        if self._step("unlink", path):
            self.end()
        os.unlink(path)


class UnreliableDisk(FaultyOs):
    """Also loses what was not synchronised when the process ends.

    It is that of a file system with a journal: a folder's changes reach the disk in
    their order, and a file's content at any time, or never, until there is an fsync.
    """

    def __init__(self, folder, crash_at):
        super().__init__(crash_at)
        self.folder = pathlib.Path(folder)
        self.folders = [_entries(self.folder)]  # since it was synchronised
        self.contents = {
            inode: path.read_bytes() for path, inode in self.folders[0].items()
        }

    def open(self, path, flags, *mode):
        file = super().open(path, flags, *mode)
        if flags & os.O_CREAT:
            self.contents[os.fstat(file).st_ino] = b""
        self.folders.append(_entries(self.folder))
        return file

    def replace(self, old, new):
        super().replace(old, new)
        self.folders.append(_entries(self.folder))

    def fsync(self, file):
        super().fsync(file)
        path = pathlib.Path(self._paths[file])
        if path == self.folder:
            self.folders = [_entries(self.folder)]
        else:
            self.contents[os.fstat(file).st_ino] = path.read_bytes()

    def lose_power(self, draw):
        """Leave the folder as the disk may show it afterwards.

        Args:
            draw: Gives numbers from 0 to below 1, which decide how much of what was not
                synchronised is there: nothing if they are 0.
        """
        now = _entries(self.folder)
        found = {inode: path.read_bytes() for path, inode in now.items()}
        states = [*self.folders, now]
        state = states[int(draw() * len(states))]
        result = {}
        for path, inode in state.items():
            synchronised = self.contents.get(inode, b"")
            new = found.get(inode, synchronised)
            result[path] = new if draw() >= 0.5 else synchronised
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for path, content in result.items():
            path.write_bytes(content)


def _entries(folder):
    """A folder's files by the number of what they hold."""
    return {path: path.stat().st_ino for path in folder.iterdir()}


@pytest.fixture
def record_and_page():
    """The text of the record, the table that the page shows, and what makes it."""
    shown = PAGE.read_text("utf-8").partition(f"{BEGIN}\n")[2].partition(END)[0]
    return RECORD.read_text("utf-8"), shown, table


def tiny_model(seed):
    """A small generic model."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((8, 8, 3), name="images")
    feature = keras.layers.Conv2D(4, 3, strides=2, name="stem")(images)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(feature)
    exits = [
        keras.layers.Dense(3, name=f"{name}_classifier")(pooled)
        for name in ("exit1", "final")
    ]
    return zoo.EarlyExitModel(images, [feature], exits, thresholds=(seed / 10,))


def tiny_dataset():
    """Images that `tiny_model` can be trained on."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 8, 8, 3)).astype(np.uint8)
    labels = np.arange(24) % 3
    rest = data.Split(images[16:], labels[16:])
    first = data.Split(images[:16], labels[:16])
    return data.Dataset("tiny", ("a", "b", "c"), False, first, rest, rest)


@pytest.fixture(scope="session")
def tiny_network():
    """A function: a small model, its weights and thresholds those of a seed."""
    return tiny_model


@pytest.fixture(scope="session")
def dataset():
    return tiny_dataset()


@pytest.fixture(scope="session")
def crash():
    """What ends a process in a test; no `except Exception` sees it."""
    return Crash


@pytest.fixture
def faulty(monkeypatch):
    """A function: make `zoo.files` fail as a `FaultyOs` of these arguments does.

    The last one called counts; `faulty()` fails nowhere.
    """

    def install(**arguments):
        fault = FaultyOs(**arguments)
        monkeypatch.setattr(files, "os", fault)
        return fault

    return install


@pytest.fixture
def unreliable(monkeypatch):
    """A function: the same for an `UnreliableDisk`."""

    def install(folder, crash_at):
        disk = UnreliableDisk(folder, crash_at)
        monkeypatch.setattr(files, "os", disk)
        return disk

    return install
