"""The commands `search supernet`, without the supernet's own computations."""

import json

import numpy as np
import pytest

import zoo

pytest.importorskip("tensorflow")

from search.__main__ import main  # noqa: E402
from search.supernet import training  # noqa: E402
from search.supernet.network import Supernet  # noqa: E402
from search.supernet.plan import Phase, Plan  # noqa: E402


class FakeSupernet:
    """Answers class 0 at every exit; a sub-network is an untrained small model."""

    num_classes = 10

    def calibrate(self, architecture, images):
        return {"images": len(images)}

    def predict(self, architecture, images, statistics):
        assert statistics == {"images": 5}
        logits = np.zeros((len(images), len(architecture.exits) + 1, 10))
        logits[..., 0] = 1
        return logits


@pytest.fixture
def fake(monkeypatch):
    """A function: the supernet that every file holds."""
    monkeypatch.setattr(Supernet, "load", lambda path: FakeSupernet())


def test_training_gets_what_the_options_say(tmp_path, monkeypatch):
    calls = []

    def train(*given, initial, images):
        calls.append((*given, initial, images))

    monkeypatch.setattr(training, "train", train)
    np.save(tmp_path / "teacher.npy", np.ones((7, 10)))
    options = (
        *("--data digits --train-images 7 --seed 3 --weight-decay 0.1".split()),
        *("--alone 4 --together 2 --ramp 9 --resolutions 32 40".split()),
        *("--teacher-share 0.7 --initial other".split()),
    )
    teacher = ("--teacher", str(tmp_path / "teacher.npy"))
    assert main(["supernet", "train", str(tmp_path / "s"), *options, *teacher]) == 0
    ((folder, dataset, plan, taught, initial, images),) = calls
    assert folder == tmp_path / "s"
    assert (dataset.name, images) == ("digits", 7)
    phases = (Phase(4, 0.1, 1), Phase(2, 0.05, 2, 2, (32, 40)))
    assert plan == Plan(phases, weight_decay=0.1, teacher_share=0.7, seed=3)
    assert taught.shape == (7, 10) and initial == "other"


@pytest.mark.parametrize(
    "options, expected",
    [
        ("--alone 0 --together 4", (Phase(4, 0.05, 3, 2),)),
        ("--alone 1 --together 0", (Phase(1, 0.1, 1),)),
    ],
)
def test_either_phase_may_be_left_out(tmp_path, monkeypatch, options, expected):
    plans = []
    monkeypatch.setattr(training, "train", lambda *given, **_: plans.append(given[2]))
    command = ["supernet", "train", str(tmp_path), "--data", "digits"]
    assert main([*command, *options.split()]) == 0
    assert plans[0].phases == expected


def test_a_training_without_phases_is_refused(tmp_path, capsys):
    command = ["supernet", "train", str(tmp_path), "--data", "digits"]
    assert main([*command, "--alone", "0", "--together", "0"]) != 0
    assert "expected one phase or more" in capsys.readouterr().err


def test_a_teacher_that_is_no_array_is_an_error(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", x=np.ones(3))
    (tmp_path / "b.npy").write_bytes(b"text")
    command = ["supernet", "train", str(tmp_path / "s"), "--data", "digits"]
    for name, message in (("a.npz", "is an archive"), ("b.npy", "not a NumPy file")):
        assert main([*command, "--teacher", str(tmp_path / name)]) == 1
        assert message in capsys.readouterr().err


def test_evaluation_prints_a_line_for_each_architecture(fake, tmp_path, capsys):
    stage = zoo.Stage.uniform(2, 3, 3)
    branch = zoo.Branch((zoo.ConvModule(8),))
    architecture = zoo.Architecture(
        32, (stage,) * 5, (None, branch, None, None), (1, 0.5, 1, 1)
    )
    path = tmp_path / "a.json"
    architecture.to_json(path)
    given = ["supernet", "evaluate", "s.npz"]
    options = ["--data", "digits", "--images", "5"]
    assert main([*given, str(path), *options]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["architecture"] == str(path)
    assert row["macs"] == list(zoo.macs(architecture, 10).per_exit)
    labels = zoo.data.load("digits").validation.labels
    assert row["accuracy"] == [round(float((labels == 0).mean()), 4)] * 2

    assert main([*given, "aebnas_cifar10_small", *options]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    shipped = zoo.registry.record("aebnas_cifar10_small").architecture
    assert row["macs"] == list(zoo.macs(shipped, 10).per_exit)

    assert main([*given, *options, "--resolution", "40"]) == 0
    rows = [*map(json.loads, capsys.readouterr().out.splitlines())]
    assert [row["architecture"] for row in rows] == ["largest", "medium", "smallest"]
    assert all(len(row["accuracy"]) == 5 for row in rows)
    assert rows[0]["macs"][-1] > rows[1]["macs"][-1] > rows[2]["macs"][-1]


def test_a_sub_network_is_written_to_keras_files_only(fake, tmp_path, capsys):
    path = tmp_path / "a.json"
    zoo.Architecture(32, (zoo.Stage.uniform(2, 3, 3),) * 5).to_json(path)
    assert main(["supernet", "extract", "s.npz", str(path), "model.h5"]) == 1
    message = "output is 'model.h5'; expected a name that ends in .keras."
    assert capsys.readouterr().err == f"search supernet: {message}\n"


def test_a_file_that_is_no_supernet_is_an_error(tmp_path, capsys):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.ones(3))
    assert main(["supernet", "evaluate", str(path), "--data", "digits"]) == 1
    error = capsys.readouterr().err
    assert (
        "a.npz is not a supernet: it holds no weights. Expected an .npz file" in error
    )


def test_a_supernet_of_other_classes_is_not_evaluated(fake, monkeypatch, capsys):
    monkeypatch.setattr(FakeSupernet, "num_classes", 1000)
    assert main(["supernet", "evaluate", "s.npz", "--data", "digits"]) == 1
    assert "s.npz has 1000 classes, and digits has 10." in capsys.readouterr().err


def test_the_commands_are_listed(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["supernet", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("train", "evaluate", "extract", "import"))
