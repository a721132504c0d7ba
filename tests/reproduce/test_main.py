"""The command line itself."""

import importlib.util
import subprocess
import sys

import pytest

from reproduce import __main__ as command_line


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "pymoo" else find(name),
    )
    assert command_line.main(["--help"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "pymoo" in err and 'pip install ".[search]"' in err


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    for name in ("list", "run", "table", "results-page", "verify", "macs", "finetune"):
        assert f"\n    {name}" in out


def test_the_commands_are_declared_without_what_they_need():
    """The list of commands imports neither the search nor its libraries."""
    code = (
        "import sys; from reproduce.__main__ import commands; commands(); "
        "print([n for n in ('pymoo', 'keras_tuner', 'search.tuner', "
        "'reproduce.tables') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
