"""The pictures in docs/ are what their documented commands draw."""

import pathlib
import re

import matplotlib
import numpy as np
import pytest
from PIL import Image

from figures.__main__ import main

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs"
COMMANDS = re.findall(
    r"^aebnas figures (.+) --out docs/(\S+\.png)$",
    (DOCS / "figures.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def test_every_picture_has_a_command():
    named = sorted(name for _, name in COMMANDS)
    assert named == sorted(path.name for path in DOCS.glob("*.png"))


@pytest.mark.parametrize("command, name", COMMANDS, ids=[name for _, name in COMMANDS])
def test_a_picture_is_up_to_date(command, name, tmp_path):
    committed = Image.open(DOCS / name)
    used = re.search(r"[\d.]+\d", committed.info["Software"])[0]
    if used != matplotlib.__version__:
        pytest.skip(f"drawn by matplotlib {used}; this is {matplotlib.__version__}")
    assert main([*command.split(), "--out", str(tmp_path / name)]) == 0
    drawn = Image.open(tmp_path / name)
    assert drawn.size == committed.size
    difference = np.abs(np.asarray(drawn, float) - np.asarray(committed, float))
    assert difference.mean() < 0.05, "draw it again; docs/figures.md says how"
