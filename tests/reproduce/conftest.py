"""The command line, and experiments that it runs without training."""

import collections
import functools
import json

import pytest

from reproduce import tables
from reproduce.__main__ import main
from reproduce.experiments import EXPERIMENTS
from reproduce.records import RunRecord, Selected
from search import EarlyExitTuner
from search.records import CandidateRecord, DataSource, FrontPoint, Training
from zoo import records
from zoo.exits import Evaluation
from zoo.model_record import Report


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


def arguments(name, root, scale="smoke"):
    folders = ["--directory", str(root / "runs"), "--results", str(root / "results")]
    return ["run", name, "--scale", scale, *folders]


@pytest.fixture(scope="session")
def run_arguments():
    """A function: the command that runs an experiment within a folder."""
    return arguments


@pytest.fixture(scope="session")
def made_up(architecture):
    """A function: the record of an experiment with made-up numbers."""
    candidate = CandidateRecord(
        trial="1",
        architecture=architecture.to_dict(),
        crop=1.0,
        num_classes=10,
        convention="aebnas",
        metrics={"error": 0.01, "average_macs": 3e6, "seconds": 1.0},
        evaluation=Evaluation((0.5, 0.5), 0.99, 3e6, (1.0, 0.0, 0.0)),
        training=Training(1, 1.0),
    )

    def made_up(name, seed=1, scale="reduced", accuracy=0.7, average=2.5e6):
        test = Report(
            thresholds=(0.5, 0.5),
            accuracy=accuracy,
            average_macs={"standard": 2 * average, "aebnas": average},
            utilisation=(1.0, 0.0, 0.0),
            exit_accuracy=(accuracy, 0.1, 0.1),
            leaving_accuracy=(accuracy, None, None),
            macs={"standard": (1, 2, 3), "aebnas": (1, 2, 3)},
            samples=100,
        )
        return RunRecord(
            settings=EXPERIMENTS[name].settings(scale, seed),
            data=DataSource("cifar10", "0"),
            provenance={},
            candidates=(candidate,),
            failed=(),
            front=("1",),
            settings_front=(FrontPoint((0.5, 0.5), 0.99, 3e6, (1.0, 0.0, 0.0)),),
            reference=None,
            hypervolume=(),
            iterations=(),
            seconds=1.0,
            experiment=name,
            scale=scale,
            selected=Selected("1", test),
            wall_seconds=60.0,
        )

    return made_up


@pytest.fixture
def write(tmp_path, made_up):
    """A function: write such a record where `runs.load` finds it; returns the file."""
    (tmp_path / "experiments" / "reduced").mkdir(parents=True)

    def write(name, seed=1, scale="reduced", **numbers):
        path = tmp_path / "experiments" / scale / f"{name}_seed{seed}.json"
        path.parent.mkdir(exist_ok=True)
        records.write(path, made_up(name, seed, scale, **numbers))
        return path

    return write


@pytest.fixture
def own(tmp_path):
    """A function: a file that registers something, which the test's end undoes."""
    registries = EXPERIMENTS, tables.TABLES
    before = [dict(each) for each in registries]

    def own(text):
        path = tmp_path / "own.py"
        path.write_text(text)
        return path

    yield own
    for registry, entries in zip(registries, before):
        registry.clear()
        registry.update(entries)


Ran = collections.namedtuple("Ran", "name, root, folder, path, record, trained")


@pytest.fixture(scope="session")
def ran(tmp_path_factory, without_training):
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

        with without_training() as patch:
            patch.setattr(EarlyExitTuner, "train", interrupted)
            assert main(arguments(name, root)) == 130
            assert not (root / "results").exists()
            assert main(arguments(name, root)) == 0
        path = root / "results" / "experiments" / "smoke" / f"{name}_seed1.json"
        folder = root / "runs" / "smoke" / f"{name}_seed1"
        record = records.read(path, RunRecord)
        return Ran(name, root, folder, path, record, trained)

    return ran
