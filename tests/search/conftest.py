"""Searches that cost little: made-up metrics, candidates that nobody trains."""

import collections
import dataclasses
import json
import os
import pathlib
import sys
import time
import zlib

import numpy as np
import pytest

import zoo
from search import Settings, candidates, run, surrogate
from search.records import CandidateRecord, Training
from zoo.exits import Evaluation, OperatingPoint

# Of the images, this share leaves at an exit after each stage, where there is one.
LEAVING = np.array([0.3, 0.25, 0.2, 0.1])
# Environment variables of `fake_train`: how long it takes, which trial fails, and how
# many tuners have to have begun a trial before any goes on.
PAUSE, FAILS = "FAKE_TRAINING_SECONDS", "FAKE_TRAINING_FAILS"
TUNERS = "FAKE_TRAINING_TUNERS"
SCRIPT = """
import gc, json, sys
sys.modules["matplotlib"] = None  # Keras imports it if it can, which takes long
from conftest import fake_train
from search import EarlyExitTuner, Settings, run
from search.surrogate import SURROGATES, scaled
from sklearn.kernel_ridge import KernelRidge

gc.collect = lambda: 0  # nothing to collect, and it is slow
EarlyExitTuner.train = fake_train
SURROGATES["adaptive"] = lambda seed: scaled(KernelRidge(kernel="rbf", alpha=0.1))
run(Settings(**json.loads(sys.argv[2])), sys.argv[1])
"""


def made_up_metrics(architecture):
    """Error and average MACs without training, smooth but for a little noise.

    Size and large kernels lower the error, exits raise it and save MACs.
    """
    cost = zoo.macs(architecture, 10)
    shares = leaving(architecture)
    blocks = [block for stage in architecture.stages for block in stage.blocks]
    noise = zlib.crc32(repr(dataclasses.astuple(architecture)).encode()) / 2**32
    error = (
        0.9
        - 0.1 * np.log10(cost.backbone[-1] / 1e5)
        - 0.04 * np.mean([block.kernel for block in blocks])
        + 0.02 * len(architecture.exits)
        + 0.01 * noise
    )
    return {
        "error": float(error),
        "average_macs": float(np.dot(shares, cost.per_exit)),
    }


def leaving(architecture):
    shares = LEAVING[list(architecture.exits)]
    return [*shares.tolist(), float(1 - shares.sum())]


class FakeModel:
    """A model without weights."""

    layers = ()


def fake_train(tuner, architecture, trial):
    """In place of `EarlyExitTuner.train`: a record of made-up numbers, and no model.

    A trial's folder gets a file `attempts`: a line when an attempt begins, and one when
    it is done, with the tuner's name and process.
    """
    metrics = made_up_metrics(architecture)
    folder = pathlib.Path(tuner.project_dir) / f"trial_{trial}"
    with open(folder / "attempts", "a", encoding="utf-8", buffering=1) as attempts:
        attempts.write(f"begun {tuner.tuner_id} {os.getpid()}\n")
        tuners = int(os.environ.get(TUNERS, 0))
        while tuners and len(names(tuner.project_dir)) < tuners:
            time.sleep(0.02)
        time.sleep(float(os.environ.get(PAUSE, 0)))
        attempts.write(f"done {tuner.tuner_id} {os.getpid()}\n")
    if os.environ.get(FAILS) == str(int(trial)):
        raise ValueError("told to fail")
    count, shares = len(architecture.exits), tuple(leaving(architecture))
    accuracy, average = 1 - metrics["error"], metrics["average_macs"]
    point = OperatingPoint((0.1,) * count, accuracy, average, shares)
    cheaper = OperatingPoint((0.05,) * count, 0.8 * accuracy, 0.8 * average, shares)
    parameters = float(zoo.macs(architecture, 10).parameters)
    return FakeModel(), CandidateRecord(
        trial=trial,
        architecture=architecture.to_dict(),
        crop=1.0,
        num_classes=10,
        convention=tuner.convention,
        metrics=metrics | {"parameters": parameters, "seconds": 0.25},
        evaluation=Evaluation(**vars(point)),
        training=Training(int(trial), 0.0, 0),
        frontier=(cheaper, point),
    )


@pytest.fixture(scope="session", autouse=True)
def no_power_is_lost():
    """Nothing waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def made_up():
    return made_up_metrics


@pytest.fixture
def fake(monkeypatch):
    """No candidate is built or trained; see `fake_train`."""
    monkeypatch.setattr("gc.collect", lambda: 0)  # nothing to collect, and it is slow
    monkeypatch.setattr("search.tuner.EarlyExitTuner.train", fake_train)


@pytest.fixture
def quick_surrogate(monkeypatch, kernel_ridge):
    """`kernel_ridge` in place of the default: how well it predicts is not the point."""
    monkeypatch.setitem(surrogate.SURROGATES, "adaptive", kernel_ridge)


@pytest.fixture
def few_digits(monkeypatch, first_digits):
    """In place of the digits, few of them."""
    digits = first_digits(train=64, validation=100, test=32)
    monkeypatch.setattr(zoo.data, "load", lambda *_, **__: digits)
    return digits


Finished = collections.namedtuple("Finished", "folder, settings, oracle")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A search of five candidates: made-up metrics, untrained weights, one failed."""
    folder = tmp_path_factory.mktemp("finished") / "random"
    space = {"resolutions": [32]}  # and a seed that draws small networks
    sought = Settings(method="random", trials=5, space=space, train_images=64, seed=24)

    def train(tuner, architecture, trial):
        _, record = fake_train(tuner, architecture, trial)
        if int(trial) == 2:
            raise FloatingPointError("The loss became nan in epoch 1.")
        return FakeModel(), record

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc.collect", lambda: 0)  # nothing to collect, and it is slow
        patch.setattr("search.tuner.EarlyExitTuner.train", train)
        oracle = run(sought, folder)
    for kept in folder.glob(f"*/{candidates.WEIGHTS}"):  # only fronts need a network
        record = candidates.read(kept.with_name(candidates.CANDIDATE))
        thresholds = record.evaluation.thresholds
        model = zoo.EarlyExitClassifier(record.network, 10, thresholds)
        candidates.write(kept.parent, record, model)
    return Finished(folder, sought, oracle)


@pytest.fixture
def searching(tmp_path, monkeypatch):
    """A function: the command that runs a search with `fake_train` in a folder."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    here = pathlib.Path(__file__).parent
    paths = os.pathsep.join(map(str, (here.parent.parent, here)))
    monkeypatch.setenv("PYTHONPATH", paths)
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # nothing is computed; it starts faster

    def command(folder, sought):
        return [sys.executable, str(script), str(folder), json.dumps(sought.to_dict())]

    return command


def read_attempts(folder):
    """What `fake_train` noted: of each trial (event, tuner, process), in order."""
    return {
        path.parent.name.removeprefix("trial_"): [
            tuple(line.split()) for line in path.read_text().splitlines()
        ]
        for path in sorted(folder.glob("trial_*/attempts"))
    }


def names(folder):
    """The tuners that have begun a trial."""
    tried = read_attempts(pathlib.Path(folder)).values()
    return {name for each in tried for _, name, _ in each}


@pytest.fixture
def attempts():
    return read_attempts
