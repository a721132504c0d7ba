"""Processes that are killed while they train and save, and what the next one does."""

import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

import zoo
from zoo import registry
from zoo.training import checkpoints

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
HERE = pathlib.Path(__file__).parent
FILES = ["card.md", "config.json", "model.weights.h5"]
ROOT = pathlib.Path(zoo.__file__).parents[1]


@pytest.fixture(scope="module")
def run():
    """A function: do jobs at the same time, each in a process of its own.

    Of each it gives what the job told and its exit status; see `victims.py`.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, HERE)))}
    with subprocess.Popen(
        [sys.executable, str(HERE / "victims.py")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def run(*jobs):
            process.stdin.write(f"{json.dumps(jobs)}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """What a training leaves that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    assert run({"do": "train", "folder": str(folder)}) == [["", 0]]
    return results(folder)


def results(folder):
    """What a training leaves behind, but for the time that it took."""
    record = registry.record(folder)
    log = (folder / checkpoints.LOG).read_text(encoding="utf-8").splitlines()
    return (
        (folder / registry.WEIGHTS).read_bytes(),
        (folder / checkpoints.CHECKPOINT).read_bytes(),
        record.weights,
        record.results,
        [line.rsplit(",", 1)[0] for line in log],
        sorted(os.listdir(folder)),
    )


def test_a_training_that_is_killed_again_and_again_leaves_what_an_undisturbed_one_does(
    run, whole, tmp_path, campaign
):
    draw, kills = campaign.random(), collections.Counter()
    while sum(kills.values()) < campaign.size(2, 200):
        folder = tmp_path / "killed" / "model"
        job, status = {"do": "train", "folder": str(folder)}, -signal.SIGKILL
        while status:
            if draw.random() < 0.7:  # in the middle of a write, or between two steps
                kind = draw.choice(["write", "write", "replace", None])
                how = {"call": (kind, draw.randrange(1, 12 if kind else 60))}
            else:
                how = {"seconds": draw.uniform(0.1, 2.5)}
            ((within, status),) = run(job | how)
            if status:
                assert status == -signal.SIGKILL, within
                kills[within or "some moment"] += 1
        assert results(folder) == whole
        shutil.rmtree(folder.parent)
        campaign.note(  # what was run if somebody has enough of it
            "kills in a training",
            sum(kills.values()),
            "the same weights, bit for bit, and the same log",
            kills,
        )


def test_processes_that_save_and_load_one_folder_see_whole_models(
    run, tmp_path, campaign
):
    races = campaign.size(1, 25)
    for race in range(races):
        folder = tmp_path / str(race)
        jobs = [
            {"do": each, "folder": str(folder)} for each in ("save", "save", "load")
        ]
        assert run(*jobs) == [["", 0]] * 3
        assert sorted(os.listdir(folder)) == FILES
    campaign.note("races of saving and loading", races, "only complete models are seen")


def test_two_trainings_in_one_folder_leave_what_one_does(
    run, whole, tmp_path, campaign
):
    races, refused = campaign.size(1, 25), 0
    for race in range(races):
        folder = tmp_path / str(race) / "model"
        answers = run(*[{"do": "train", "folder": str(folder)}] * 2)
        assert ["", 0] in answers
        for told, status in answers:
            refused += status
            assert not status or told == (
                f"ValueError: Another process is training in {folder}."
            )
        assert results(folder) == whole
    assert refused
    campaign.note(
        "races of two trainings", races, "one trains, the other one is refused"
    )
