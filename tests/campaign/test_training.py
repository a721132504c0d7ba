"""A training that ends at any step of its writing continues as if nothing had been."""

import csv
import errno
import os
import pathlib
import shutil

import keras
import numpy as np
import pytest

import zoo
from zoo import training
from zoo.training import checkpoints

ROOT = pathlib.Path(zoo.__file__).parents[1]
RECIPE = training.Recipe("tiny", epochs=3, batch_size=8, learning_rate=0.1)


@pytest.fixture(scope="module", autouse=True)
def nothing_is_compiled():
    """Tracing the steps of hundreds of trainings would take most of the time."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def fit(dataset, tiny_network):
    """A function: train in a folder; what the training came to."""

    def fit(folder):
        model = tiny_network(1)
        options = {"verbose": 0, "validate": False}
        outcome = training.train(model, dataset, RECIPE, folder, **options)
        with open(folder / checkpoints.LOG, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        losses = [(row["epoch"], row["loss"]) for row in rows]
        assert outcome.epochs == len(losses)
        files = [each for each in os.listdir(folder) if each != "tensorboard"]
        return [np.asarray(each).tobytes() for each in model.weights], losses, files

    return fit


@pytest.fixture(scope="module")
def whole(fit, tmp_path_factory):
    """What a training comes to that nothing interrupts."""
    return fit(tmp_path_factory.mktemp("whole"))


def test_a_training_that_crashes_at_any_step_takes_the_same_course(
    fit, whole, faulty, crash, tmp_path, campaign
):
    undisturbed = faulty()
    fit(tmp_path / "0")
    steps = range(1, len(undisturbed.calls) + 1)
    assert len(steps) > 30
    steps = list(steps[:: campaign.size(14, 1)])
    for step in steps:
        folder = tmp_path / str(step)
        faulty(crash_at=step)
        with pytest.raises(crash):
            fit(folder)
        faulty()
        weights, losses, files = fit(folder)
        assert (weights, losses) == whole[:2]
        assert sorted(files) == sorted(whole[2])
        shutil.rmtree(folder)
    campaign.note(
        "crashes in a training",
        len(steps),
        "the same weights, bit for bit, and the same log",
    )


def test_a_training_on_a_full_disk_takes_the_same_course_when_there_is_room(
    fit, whole, faulty, tmp_path, campaign
):
    written = faulty(room=10**9)
    fit(tmp_path / "0")
    total, draw = 10**9 - written.room, campaign.random()
    rooms = [0, total - 200]  # the times in log and record differ in length
    rooms += [draw.randrange(total) for _ in range(campaign.size(1, 98))]
    for room in rooms:
        folder = tmp_path / "full"
        faulty(room=room)
        with pytest.raises(OSError, match="^The disk at /.* is full: .* needs") as full:
            fit(folder)
        assert full.value.errno == errno.ENOSPC and "\n" not in str(full.value)
        faulty()
        assert fit(folder)[:2] == whole[:2]
        shutil.rmtree(folder)
        campaign.note(
            "full disks in a training",
            rooms.index(room) + 1,
            "one line names the disk; then the same weights, bit for bit, and the "
            "same log",
        )
