"""The command line, and experiments that it runs without training."""

import collections
import contextlib
import functools
import json

import numpy as np
import pytest

import zoo
from reproduce.__main__ import main
from search import EarlyExitTuner, tuner
from zoo import training


@pytest.fixture
def call(capsys):
    """Run a command that succeeds; returns what it printed, from JSON if asked."""

    def call(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        return json.loads(out) if "--json" in arguments else out

    return call


@pytest.fixture
def fail(capsys):
    """Run a command that fails; returns its message."""

    def fail(*arguments):
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"reproduce {arguments[0]}: ")
        return err

    return fail


class Guess:
    """Stands in for `EarlyExitClassifier`: its logits are random, but its own.

    They depend on images and weights, which are saved and loaded.
    """

    exit_rule = "score_margin"

    def __init__(self, architecture, num_classes, thresholds=None, crop=1.0):
        if not isinstance(architecture, zoo.Architecture):
            architecture = zoo.Architecture.from_dict(architecture)
        self.architecture, self.num_classes = architecture, num_classes
        self.macs = zoo.macs(architecture, num_classes)
        own = tuple(t for t in architecture.thresholds if t < 1)
        self.thresholds = own if thresholds is None else tuple(thresholds)
        exits = len(architecture.exits) + 1
        self.weights = np.random.normal(size=(51, exits * num_classes))

    def save_weights(self, path):
        path.write_bytes(self.weights.tobytes())

    def load_weights(self, path):
        self.weights = np.frombuffer(path.read_bytes()).reshape(self.weights.shape)

    def predict(self, images, **_):
        seen = images.reshape(len(images), -1)[:, ::61] / 255
        shape = (len(images), -1, self.num_classes)
        return (seen @ self.weights).reshape(shape).astype("float32")


@contextlib.contextmanager
def without_training(skip_training):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc.collect", lambda: 0)  # nothing to collect, and it is slow
        patch.setattr(training, "train", skip_training)
        patch.setattr(tuner, "EarlyExitClassifier", Guess)
        yield patch


@pytest.fixture
def guessing(skip_training):
    """Networks are neither built nor trained; see `Guess`."""
    with without_training(skip_training) as patch:
        yield patch


def arguments(name, root, scale="smoke"):
    folders = ["--directory", str(root / "runs"), "--results", str(root / "results")]
    return ["run", name, "--scale", scale, *folders]


@pytest.fixture(scope="session")
def run_arguments():
    """A function: the command that runs an experiment within a folder."""
    return arguments


Ran = collections.namedtuple("Ran", "name, root, folder, path, record, trained")


@pytest.fixture(scope="session")
def ran(tmp_path_factory, skip_training):
    """A function: an experiment at smoke scale, interrupted once and continued.

    `trained` are the architectures that training began for; the third was interrupted.
    """

    @functools.cache
    def ran(name):
        root = tmp_path_factory.mktemp(name)
        train, trained = EarlyExitTuner.train, []

        def interrupted(self, architecture, number):
            trained.append(architecture)
            if len(trained) == 3:
                raise KeyboardInterrupt
            return train(self, architecture, number)

        with without_training(skip_training) as patch:
            patch.setattr(EarlyExitTuner, "train", interrupted)
            with pytest.raises(KeyboardInterrupt):
                main(arguments(name, root))
            assert not (root / "results").exists()
            assert main(arguments(name, root)) == 0
        path = root / "results" / "smoke" / f"{name}_seed1.json"
        folder = root / "runs" / "smoke" / f"{name}_seed1"
        record = json.loads(path.read_text(encoding="utf-8"))
        return Ran(name, root, folder, path, record, trained)

    return ran
