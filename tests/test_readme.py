"""The README and docs: examples run, commands and links exist."""

import importlib
import pathlib
import re
import shlex

import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))


def blocks(path, language):
    """The code blocks of a page."""
    text = path.read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.compiled
def test_the_python_examples_run_in_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks(README, "python"):
        exec(compile(code, str(README), "exec"), names)
    assert names["fitted"].record.results["test"].accuracy > 0.9
    assert names["point"].average_macs <= 870_000
    assert (tmp_path / "my_digits" / "card.md").exists()
    assert "0.9" in capsys.readouterr().out


def links():
    """The files that pages link to, each with the page's folder."""
    for page in PAGES:
        found = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text("utf-8"))
        yield from ((page.parent, target) for target in found)


@pytest.mark.parametrize("folder, target", links(), ids=lambda value: str(value)[-30:])
def test_every_file_that_is_linked_exists(folder, target):
    assert (folder / target).exists()


def commands():
    """The commands of all pages: the lines of shell blocks that call our packages."""
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["aebnas"]:
                    yield line, words[1], words[2:]
                elif words[:2] == ["python", "-m"] and words[2] != "venv":
                    yield line, words[2], words[3:]


@pytest.mark.parametrize(
    "package, arguments",
    [pytest.param(*rest, id=" ".join(line.split())) for line, *rest in commands()],
)
def test_every_command_of_the_documentation_is_understood(package, arguments):
    module = importlib.import_module(f"{package}.__main__")
    assert module.commands().parser.parse_args(arguments)


def test_pages_have_commands_of_every_package():
    assert {package for _, package, _ in commands()} == {
        *("zoo", "search", "reproduce", "figures"),
    }
