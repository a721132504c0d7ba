"""Drawing by the command line, and a look at what was drawn."""

import functools

import pytest

from figures import style
from figures.__main__ import main
from zoo import EarlyExitModel, records, registry


@pytest.fixture
def fail(tmp_path, capsys):
    """A function: draw a figure that cannot be drawn; returns the message."""

    def fail(*arguments, out="figure.png"):
        path = tmp_path / out
        assert main([str(a) for a in (*arguments, "--out", path)]) == 1
        assert not path.exists()
        message = capsys.readouterr().err
        assert message.startswith(f"figures {arguments[0]}: ")
        return message

    return fail


@pytest.fixture(scope="session")
def made_up_comparison(compared, tmp_path_factory):
    """A record of a comparison, and its file."""
    path = tmp_path_factory.mktemp("comparison") / "contenders.json"
    records.write(path, compared)
    return compared, path


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """A function: draw a figure; returns its axes, colour bars left out."""
    canvases = []
    close = style.pyplot.close
    monkeypatch.setattr(style.pyplot, "close", canvases.append)

    def draw(*arguments):
        out = tmp_path / "figure.png"
        assert main([str(a) for a in (*arguments, "--out", out)]) == 0
        return [axes for axes in canvases[-1].axes if axes.get_label() != "<colorbar>"]

    yield draw
    for canvas in canvases:
        close(canvas)


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """A model is built once per file, and answers once for the same images."""
    predict, answers = EarlyExitModel.predict, {}

    def predict_once(self, images, **options):
        key = id(self), images.tobytes()
        if key not in answers:
            answers[key] = predict(self, images, **options)
        return answers[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "load", functools.cache(registry.load))
        patch.setattr(EarlyExitModel, "predict", predict_once)
        yield
