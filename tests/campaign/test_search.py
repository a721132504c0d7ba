"""Searches that crash, are killed, fill their disk, or race for one folder."""

import collections
import json
import os
import pathlib
import runpy
import shutil
import signal
import subprocess
import sys

import pytest

import zoo
from search import Settings, read, record, run

HERE = pathlib.Path(__file__).parent
ROOT = pathlib.Path(zoo.__file__).parents[1]
SOUGHT = Settings(method="nsga2", trials=7, initial_trials=4, population=8, seed=3)
LEARNING = Settings(
    trials=7, initial_trials=4, batch_size=2, population=8, generations=2, seed=3
)
FAILS = "2"  # this trial fails


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    """No candidate is built or trained, and one fails."""
    parts = runpy.run_path(str(HERE.parent / "search" / "conftest.py"))
    monkeypatch.setenv(parts["FAILS"], FAILS)
    monkeypatch.setattr("gc.collect", lambda: 0)  # nothing to collect, and it is slow
    monkeypatch.setattr("search.tuner.EarlyExitTuner.train", parts["fake_train"])


def results(folder):
    """What a search leaves behind, but for the time that it took."""
    oracle, found = read(folder)[1], record(folder)
    trials = {
        name: (oracle.genes(trial).tolist(), trial.status, oracle.values(trial))
        for name, trial in oracle.trials.items()
    }
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return (
        trials,
        (found.candidates, found.failed, found.front, found.settings_front),
        (found.hypervolume, [each.quality for each in found.iterations]),
        {name for name in names if not name.endswith("attempts")},
    )


@pytest.fixture(scope="module")
def undisturbed():
    """A function: what a search leaves behind that nothing disturbs, run once."""
    known = {}

    def find(sought, folder):
        if sought.method not in known:
            run(sought, folder)
            known[sought.method] = results(folder)
            assert [each.trial for each in known[sought.method][1][1]] == [FAILS]
        return known[sought.method]

    return find


@pytest.fixture
def whole(undisturbed, tmp_path):
    """What the search leaves behind that nothing disturbs."""
    return undisturbed(SOUGHT, tmp_path / "whole" / "search")


def some(campaign, count, small):
    """So many of the numbers from 1 to `count`; all of them in a full campaign."""
    numbers = range(1, count + 1)
    return (
        numbers if campaign.full else sorted(campaign.random().sample(numbers, small))
    )


def test_a_search_that_crashes_at_any_step_goes_on_as_if_it_had_not(
    whole, tmp_path, faulty, crash, campaign
):
    folder, fault = tmp_path / "search", faulty()
    run(SOUGHT, folder)
    assert results(folder) == whole
    steps = some(campaign, len(fault.calls), 5)
    kinds = collections.Counter(fault.calls[step - 1][0] for step in steps)
    for step in steps:
        shutil.rmtree(folder)
        faulty(crash_at=step)
        with pytest.raises(crash):
            run(SOUGHT, folder)
        faulty()
        run(SOUGHT, folder)
        assert results(folder) == whole, step
    campaign.note("crashes of a search", len(steps), "the same results", kinds)


def test_a_search_that_crashes_again_and_again_comes_to_the_same_end(
    undisturbed, tmp_path, faulty, crash, campaign
):
    draw, crashes = campaign.random(), 0
    for search in range(campaign.size(1, 20)):
        folder, sought = tmp_path / str(search), LEARNING if search % 2 else SOUGHT
        while True:
            faulty(crash_at=draw.randrange(1, 90))
            try:
                run(sought, folder)
                break
            except crash:
                crashes += 1
        faulty()
        assert results(folder) == undisturbed(sought, tmp_path / "whole" / "search")
        shutil.rmtree(tmp_path / "whole", ignore_errors=True)
    assert crashes
    campaign.note("consecutive crashes of a search", crashes, "the same results")


def test_a_full_disk_ends_a_search_with_its_name_and_loses_nothing(
    whole, tmp_path, faulty, campaign
):
    folder, fault = tmp_path / "search", faulty()
    run(SOUGHT, folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    draw, cases = campaign.random(), campaign.size(3, 100)
    for _ in range(cases):
        shutil.rmtree(folder)
        faulty(room=draw.randrange(2 * size))
        with pytest.raises(OSError, match="is full"):
            run(SOUGHT, folder)
        faulty()
        run(SOUGHT, folder)
        assert results(folder) == whole
    assert fault.calls
    campaign.note(
        "full disks in a search", cases, "a clear message, and the same results"
    )


# Processes


@pytest.fixture(scope="module")
def processes():
    """A function: run searches at the same time, each in a process of its own.

    Of each it gives what the process told and its exit status; see `searchers.py`.
    """
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, HERE))),
        "FAKE_TRAINING_FAILS": FAILS,
        "KERAS_BACKEND": "jax",  # nothing is computed; it starts faster
    }
    with subprocess.Popen(
        [sys.executable, str(HERE / "searchers.py")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def search(folder, *ways):
            job = {"folder": str(folder), "settings": SOUGHT.to_dict()}
            process.stdin.write(f"{json.dumps([job | how for how in ways])}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield search
        process.stdin.close()


def test_a_search_that_is_killed_again_and_again_takes_its_course(
    processes, whole, tmp_path, campaign
):
    draw, kills = campaign.random(), collections.Counter()
    folder = tmp_path / "search"
    while sum(kills.values()) < campaign.size(3, 200):
        status = -signal.SIGKILL
        while status:
            if draw.random() < 0.6:  # within a write, or between two renamings
                kind = draw.choice(["write", "write", "replace", "fsync"])
                how = {"call": (kind, draw.randrange(1, 25))}
            else:
                how = {"seconds": draw.uniform(0.05, 1.5)}
            ((within, status),) = processes(folder, how)
            if status:
                assert status == -signal.SIGKILL, within
                kills[within or "some moment"] += 1
        assert results(folder) == whole
        shutil.rmtree(folder)
    campaign.note(
        "kills in a search", sum(kills.values()), "the same results in the end", kills
    )


def test_two_searches_in_one_folder_leave_what_one_does(
    processes, whole, tmp_path, campaign
):
    races, refused = campaign.size(2, 50), 0
    for race in range(races):
        folder = tmp_path / str(race) / "search"
        answers = processes(folder, {}, {})
        assert ["", 0] in answers
        for told, status in answers:
            refused += status
            assert not status or told == (
                f"ValueError: Another process is running the search in {folder}."
            )
        assert results(folder) == whole
    assert refused
    campaign.note("races of two searches", races, "one runs, the other one is refused")
