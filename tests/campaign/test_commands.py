"""Whatever is typed, a command gives a result or one line that says what is wrong.

Each case takes a command line that works and puts something else in place of one or two
of its words, or drops or adds some. What takes long is left out: nothing is trained,
and every model is built once.
"""

import functools
import io
import json
import pathlib
import struct
import sys
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

import zoo
from reproduce.__main__ import main as reproduce
from search.__main__ import main as search
from zoo import measure, registry, training, weights
from zoo.__main__ import main as zoo_main

ROOT = pathlib.Path(zoo.__file__).parents[1]
MODEL = "aebnas_digits"
SEARCHES = ROOT / "reproduce" / "results" / "searches"
MAIN = {"zoo": zoo_main, "search": search, "reproduce": reproduce}

# Words in capitals are files, which `files` makes; any other word stands for itself.
LINES = [
    ["zoo", "list", "*cifar*", "--json"],
    ["zoo", "show", MODEL, "--json"],
    ["zoo", "show", "FOLDER"],
    ["zoo", "pareto", "digits", "--convention", "aebnas", "--json"],
    ["zoo", "evaluate", MODEL, "--data", "digits", "--split", "test"],
    ["zoo", "evaluate", MODEL, "--max-macs", "9e5", "--json"],
    ["zoo", "predict", MODEL, "PICTURE", "--json"],
    ["zoo", "predict", "FOLDER", "PICTURE"],
    ["zoo", "frontier", MODEL, "--json"],
    *[
        ["zoo", "train", *start, "--data", "digits", "--out", "OUT", *rest]
        for start, rest in (
            (["--architecture", "ARCHITECTURE"], ["--recipe", "short"]),
            (["--architecture", "ARCHITECTURE"], ["--max-macs", "9e5"]),
            (["--architecture", MODEL], ["--epochs", "2", "--batch-size", "8"]),
            (["--initial-weights", MODEL], ["--learning-rate", "0.1", "--seed", "3"]),
            (["--initial-weights", "FOLDER"], ["--exit-weights", "1", "2"]),
        )
    ],
    ["zoo", "train", "--architecture", MODEL, "--data-dir", "DATA", "--data", "own"],
    ["search", "front", "SEARCH", "--json"],
    ["search", "front", "SEARCH", "--max-macs", "3e6", "--architecture", "OUT"],
    ["search", "front", "SEARCH", "--fine"],
    ["search", "run", "--directory", "OUT", "--trials", "3", "--target-macs", "1e6"],
    ["search", "run", "--directory", "OUT", "--resolutions", "32", "--exits", "1"],
    ["search", "run", "--directory", "OUT", "--max", "parameters", "3e6"],
    ["search", "run", "--directory", "OUT", "--objectives", "error", "seconds"],
    ["reproduce", "list"],
    ["reproduce", "table", "guess", "--format", "latex"],
    ["reproduce", "table", "oracles", "--results", "FOLDER", "--json"],
]
WORDS = [
    *("", " ", "0", "-1", "1", "2.5", "1e400", "nan", "-inf", "1_0", "٣", "9" * 400),
    *("digits", "cifar10", "paper", "aebnas", "nachos", MODEL, "a" * 300, "é", "\n"),
    *("--json", "--data", "--max-macs", "--out", "--trial", "--fine", "-", "--", "*"),
    *(".", "..", "/dev/null", "\ud800", "[", "{}", "'", "%s", "%(prog)s"),
]
NAMES = ["SEARCH", "ARCHITECTURE", "PICTURE", "FOLDER", "DATA", "OUT"]
# Hypothesis's own text begins with seconds of finding out which characters there are.
CODES = st.one_of(*(st.integers(*c) for c in ((32, 126), (0, 55295), (57344, 1114111))))
TEXT = st.lists(CODES, max_size=5).map(lambda codes: "".join(map(chr, codes)))


def picture(side=8, header=None, mode="RGB"):
    """A picture file; `header` is what it claims its width and height to be."""
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, "png")
    found = bytearray(file.getvalue())
    if header is not None:
        found[16:24] = struct.pack(">II", header, header)
        found[29:33] = struct.pack(">I", zlib.crc32(found[12:29]))
    return bytes(found)


def damaged(text, draw):
    """JSON text with one value changed, or some of its characters missing."""
    data = json.loads(text)
    place, parent = data, None
    for _ in range(draw(st.integers(1, 6))):
        if not place or not isinstance(place, (dict, list)):
            break
        keys = list(place) if isinstance(place, dict) else range(len(place))
        parent, key = place, draw(st.sampled_from(keys))
        place = place[key]
    odd = [None, True, -1, 1e308, 10**400, "", "x", [], {}, [None], {"model": {}}]
    parent[key] = draw(st.sampled_from(odd))
    return json.dumps(data)


class Files:
    """Files by name, good ones and those that are not what they are passed for."""

    def __init__(self, folder):
        self.folder = folder
        self.config = (registry.PRETRAINED / MODEL / "config.json").read_text("utf-8")
        self.search = (SEARCHES / "cifar10_small.json").read_text("utf-8")
        architecture = registry.record(MODEL).architecture
        archive = io.BytesIO()
        images, labels = np.zeros((20, 8, 8, 3), np.uint8), np.arange(20) % 4
        np.savez(
            archive,
            **{"x_train": images, "y_train": labels},
            **{"x_test": images, "y_test": labels},
        )
        nested = '{"stages":' + "[" * 20_000
        self.good = {
            "SEARCH": self.search.encode(),
            "ARCHITECTURE": architecture.to_json().encode(),
            "PICTURE": picture(),
            "DATA": archive.getvalue(),
        }
        self.odd = [
            *(b"", b"{", b"[]", b"{}", b"null", b"true", b"\xff\xfe", b"[[1,2],3]"),
            *(b'{"model": "x"}', b'{"model": {}}', nested.encode(), b"[" * 50_000),
            *(picture(header=60_000), picture()[:60], picture(mode="I;16")),
            *(b"PK\x03\x04", weights.dumps({"a": np.zeros(2)}), self.config.encode()),
            self.zip("x_train.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'"),
            self.zip("x_train.npy", b"\x93NUMPY\x09\x09"),
        ]

    def zip(self, name, content):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(name, content)
        return file.getvalue()

    def make(self, name, draw):
        """The path of a file of that name, the content drawn."""
        path = self.folder / f"{name} é.{'npz' if name == 'DATA' else 'json'}"
        if name == "OUT":
            return str(self.folder / "new")
        kind = draw(st.integers(0, 3))
        if name in ("FOLDER", "DATA"):
            folder = self.folder / "folder é"
            folder.mkdir(exist_ok=True)
            if name == "DATA":
                (folder / "own.npz").write_bytes(self.content(name, kind, draw))
            else:
                config = damaged(self.config, draw) if kind > 1 else self.config
                text = draw(st.sampled_from(self.odd)) if not kind else config.encode()
                (folder / "config.json").write_bytes(text)
            return str(folder)
        path.write_bytes(self.content(name, kind, draw))
        return str(path)

    def content(self, name, kind, draw):
        if kind == 0:
            return draw(st.sampled_from(self.odd))
        good = self.good[name]
        if kind == 1:
            return good
        if name in ("SEARCH", "ARCHITECTURE"):
            return damaged(good.decode(), draw).encode()
        changed = bytearray(good)
        changed[draw(st.integers(0, len(good) - 1))] ^= draw(st.integers(1, 255))
        return bytes(changed)


@st.composite
def lines(draw):
    """A command line, some of its words changed."""
    line = list(draw(st.sampled_from(LINES)))
    words = st.one_of(*map(st.sampled_from, (WORDS, NAMES)), TEXT)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        # Mostly a value: of a wrong option there is little to say.
        values = [i for i in range(2, len(line)) if not line[i].startswith("--")]
        place = draw(st.sampled_from(values)) if values else len(line)
        if values and draw(st.integers(0, 4)):
            line[place] = draw(words)
        elif len(line) > 2 and draw(st.booleans()):
            del line[draw(st.integers(1, len(line) - 1))]
        else:
            line.insert(draw(st.integers(1, len(line))), draw(words))
    return line


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("files"))


@pytest.fixture(autouse=True)
def nothing_takes_long(monkeypatch, tmp_path):
    load, built = registry.load, functools.cache(registry.load)

    def answer(model, images):
        rng = np.random.default_rng(len(images))
        return rng.normal(size=(len(images), model.num_exits, model.num_classes))

    def stop(*_, **__):
        raise ValueError("left out")

    def load_once(name, **named):
        return (built if name == MODEL else load)(name, **named)

    monkeypatch.setattr(registry, "load", load_once)
    monkeypatch.setattr(measure, "predict", answer)
    monkeypatch.setattr(training, "train", stop)
    monkeypatch.setattr("search.running.run", stop)
    monkeypatch.setattr("search.launch.launch", stop)
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # no download
    # Folders are searched for pictures; in and above these there are none.
    monkeypatch.delenv("AEBNAS_DATA_DIR", raising=False)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)


def test_a_command_gives_a_result_or_one_line_that_says_what_is_wrong(
    files, campaign, capsys
):
    count, ended = campaign.size(100, 5000), {0: 0, 1: 0, 2: 0}

    @seed(campaign.seed)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=list(Phase) if campaign.full else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(lines(), st.data())
    def run(line, data):
        package, *words = line
        words = [files.make(w, data.draw) if w in NAMES else w for w in words]
        try:
            status = MAIN[package](words)
        except SystemExit as stop:  # by argparse
            status = stop.code or 0
        out, err = capsys.readouterr()
        assert status in ended, words
        ended[status] += 1
        assert "Traceback" not in out + err, words
        assert not status or err, words
        if status == 1:  # `predict` has a line for every file that it cannot read
            most = len(words) if words[0] == "predict" else 1
            assert 1 <= len(err.splitlines()) <= most, words

    run()
    assert all(ended.values())
    campaign.note(
        "command lines", count, "a result, or one line that says what is wrong"
    )
