"""The README and docs: examples run, commands and links exist."""

import importlib
import importlib.util
import inspect
import json
import pathlib
import pkgutil
import re
import shlex
import subprocess
import sys

import keras
import pytest
from PIL import Image

import zoo
from figures.__main__ import FIGURES
from zoo.__main__ import main

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = (README, *sorted(DOCS.rglob("*.md")))
API = sorted(
    name
    for page in (DOCS / "api").glob("*.md")
    for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.MULTILINE)
)


def blocks(path, language):
    """The code blocks of a page."""
    text = path.read_text("utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def compiled_training(monkeypatch):
    """Trainings alone are compiled, and measure nothing after their epochs.

    With few images, everything else is done sooner than it is compiled.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    train = zoo.training.train

    def compiled(*given, **options):
        tf.config.run_functions_eagerly(False)
        try:
            return train(*given, **options | {"validate": False})
        finally:
            tf.config.run_functions_eagerly(True)

    monkeypatch.setattr(zoo.training, "train", compiled)


def test_the_python_examples_run_in_order(
    tmp_path, monkeypatch, capsys, first_digits, compiled_training
):
    few = {"digits": first_digits(train=768, validation=100, test=100)}
    monkeypatch.setattr(zoo.data, "load", few.__getitem__)
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks(README, "python"):
        exec(compile(code, str(README), "exec"), names)
    assert names["fitted"].record.results["test"].accuracy > 0.9
    assert names["point"].average_macs <= 870_000
    assert (tmp_path / "my_digits" / "card.md").exists()
    assert "0.9" in capsys.readouterr().out


@pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None
    or keras.backend.backend() != "tensorflow",
    reason="needs TensorFlow and ai-edge-litert, which the extra [export] brings",
)
def test_the_commands_for_a_device_run_there(tmp_path, monkeypatch, first_digits):
    """The last one in a process that has neither TensorFlow nor Keras nor `zoo`."""
    few = first_digits(train=1, validation=32, test=1)
    monkeypatch.setattr(zoo.data, "load", lambda *_, **__: few)
    monkeypatch.chdir(tmp_path)
    photo = few.validation.images[0]
    Image.fromarray(photo).save("photo.png")
    text = README.read_text("utf-8").partition("## Put it on a device")[2]
    export, run = re.search(r"```bash\n(.*?)```", text, re.DOTALL)[1].splitlines()
    assert shlex.split(export)[:2] == ["aebnas", "zoo"]
    assert main(shlex.split(export)[2:]) == 0
    python, *words = shlex.split(run, comments=True)
    assert python == "python"
    hidden = dict.fromkeys(("tensorflow", "keras", "zoo", "jax", "torch"))
    code = (
        f"import runpy, sys\nsys.modules.update({hidden})\nsys.argv = {words}\n"
        f"sys.path.insert(0, {str(pathlib.Path(words[0]).parent)!r})\n"
        f"runpy.run_path({words[0]!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout)
    model = zoo.load("aebnas_digits")
    expected = model.predict_early(photo[None])
    assert answer["class"] == few.class_names[expected.labels[0]]
    assert answer["exit"] == model.exit_names()[expected.exits[0]]
    assert answer["probability"] == pytest.approx(expected.probabilities.max(), 1e-3)


def links():
    """What pages link to, each with the page: a file, a heading, or both."""
    for page in PAGES:
        found = re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8"))
        yield from ((page, target) for target in found)


@pytest.mark.parametrize("page, target", links(), ids=lambda value: str(value)[-30:])
def test_every_file_and_heading_that_is_linked_exists(page, target):
    name, _, heading = target.partition("#")
    linked = page.parent / name if name else page
    assert linked.exists()
    if page != README:  # what is outside docs/ is no part of the site
        assert linked.resolve().is_relative_to(DOCS)
    if heading:
        lines = re.findall("^#+ (.+)$", linked.read_text("utf-8"), re.MULTILINE)
        slugs = [re.sub(r"[^\w\- ]", "", line.lower()) for line in lines]
        assert heading in [slug.replace(" ", "-") for slug in slugs]


def test_the_site_shows_every_page_and_its_index_links_to_them():
    of_site = re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text("utf-8"))
    pages = [page.relative_to(DOCS).as_posix() for page in PAGES if page != README]
    assert sorted(of_site) == sorted(pages)
    linked = {target for page, target in links() if page == DOCS / "index.md"}
    guide = {page for page in of_site if not page.startswith("api/")}
    assert linked >= guide - {"index.md"} | {"api/zoo.md"}


@pytest.mark.parametrize("name", API)
def test_every_name_of_the_reference_exists_and_says_what_it_is(name):
    found = pkgutil.resolve_name(name)
    assert found.__doc__
    public = getattr(found, "__all__", ()) if inspect.ismodule(found) else ()
    for each in (getattr(found, each) for each in public):
        if inspect.isclass(each) or inspect.isfunction(each) or inspect.ismodule(each):
            assert each.__doc__


def test_the_reference_has_every_public_module_and_figure():
    exported = [
        f"zoo.{name}" for name in zoo.__all__ if inspect.ismodule(getattr(zoo, name))
    ]
    drawn = [f"figures.{name}.{name}" for name in FIGURES]
    assert {"zoo", "search", "reproduce", "figures.report", *exported, *drawn} <= {*API}


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
