import collections
import concurrent.futures
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from search import Settings, read, record
from search import launch as launching
from search.candidates import WEIGHTS, read_candidates, settings_front
from search.launch import RESTARTS, TOKEN, end_with_parent, launch
from search.records import FailedTrial

SOUGHT = Settings(
    trials=10, initial_trials=6, batch_size=4, population=8, generations=2
)


# A search


Training = collections.namedtuple("Training", "trial, process")


def under_way(attempts, tuner):
    """What a tuner is training at the moment, or None."""
    for trial, (*_, (event, name, process)) in attempts.items():
        if (event, name) == ("begun", tuner):
            return Training(trial, int(process))
    return None


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_worker_gets_its_trial_again_and_none_is_lost(
    tmp_path, searching, attempts, monkeypatch, capfd
):
    monkeypatch.setenv("FAKE_TRAINING_SECONDS", "0.6")
    monkeypatch.setenv("FAKE_TRAINING_FAILS", "3")
    monkeypatch.setenv("FAKE_TRAINING_TUNERS", "2")
    folder = tmp_path / "search"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        search = pool.submit(launch, searching(folder, SOUGHT), 2)
        while True:
            assert not search.done()
            tried = attempts(folder)
            training = under_way(tried, "worker1")
            if len(tried) >= 5 and training:
                os.kill(training.process, signal.SIGSTOP)
                if under_way(attempts(folder), "worker1") == training:
                    break
                os.kill(training.process, signal.SIGCONT)
            time.sleep(0.02)
        os.kill(training.process, signal.SIGKILL)
        assert search.result(timeout=240) == 0
    assert "worker1 died (-9); starting it again" in capfd.readouterr().err

    tried = attempts(folder)
    done = [name for each in tried.values() for what, name, _ in each if what == "done"]
    assert len(done) == len(tried) == SOUGHT.trials
    assert set(done) == {"worker0", "worker1"}
    assert [trial for trial, each in tried.items() if len(each) > 2] == [training.trial]
    first, second, last = tried[training.trial]
    assert first == ("begun", "worker1", str(training.process))
    assert second == ("begun", *last[1:])
    assert last[1] == "worker1" and last != first

    oracle = read(folder)[1]
    completed = oracle.completed_trials()
    assert len(completed) == SOUGHT.trials - 1
    genes = {tuple(oracle.genes(trial)) for trial in oracle.trials.values()}
    assert len(genes) == SOUGHT.trials
    written = record(folder)
    assert (folder / "record.json").exists()
    assert written.failed == (FailedTrial("03", "ValueError: told to fail"),)

    candidates = read_candidates(folder)
    points = {
        c.trial: (c.metrics["error"], c.metrics["average_macs"]) for c in candidates
    }
    assert set(points) == {trial.trial_id for trial in completed}
    front = {
        trial
        for trial, (error, macs) in points.items()
        if not any(
            e <= error and m <= macs and (e, m) != (error, macs)
            for e, m in points.values()
        )
    }
    assert set(written.front) == front
    fine = {point.trial for point in settings_front(candidates)}
    kept = {p.parent.name.removeprefix("trial_") for p in folder.glob(f"*/{WEIGHTS}")}
    assert kept == front | fine


# Starting and watching processes


@pytest.fixture
def processes(tmp_path, monkeypatch):
    """A function: a command whose processes do what is said for their names.

    What is said is Python code for each start of a process, the last of it for all
    further ones. `log` holds the names in the order of their starts, with the content
    of some environment variables.
    """
    script, log = tmp_path / "script.py", tmp_path / "log"
    log.touch()

    def command(**actions):
        script.write_text(
            f"""
import os, pathlib, sys, time
name, log = os.environ["KERASTUNER_TUNER_ID"], pathlib.Path({str(log)!r})
asked = [os.environ[x] for x in ("KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")]
asked += [os.environ[x] for x in ("OMP_NUM_THREADS", {TOKEN!r})] + [str(os.getpid())]
with open(log, "a") as file:
    file.write(" ".join([name, *asked]) + "\\n")
def wait_for(count):
    while log.read_text().count("\\n") < count:
        time.sleep(0.05)
starts = [line.split()[0] for line in log.read_text().splitlines()].count(name)
actions = {actions!r}[name]
exec(actions[min(starts, len(actions)) - 1])
""",
            encoding="utf-8",
        )
        return [sys.executable, str(script)]

    command.log = lambda: [line.split() for line in log.read_text().splitlines()]
    return command


def wait_for_end(process):
    """Fail if a process that was told to end does not."""
    deadline = time.monotonic() + 20
    with contextlib.suppress(ProcessLookupError):
        while True:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(process), os.WNOHANG)  # else it stays as a zombie
            os.kill(int(process), 0)
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_worker_that_dies_is_started_again(processes, capfd):
    command = processes(
        chief=["wait_for(4)"],
        worker0=["sys.exit(5)", "sys.exit(0)"],
        worker1=["sys.exit(0)"],
    )
    assert launch(command, 2) == 0
    started = processes.log()
    names = collections.Counter(name for name, *_ in started)
    assert names == {"chief": 1, "worker0": 2, "worker1": 1}
    assert capfd.readouterr().err == "worker0 died (5); starting it again\n"
    ((host, port, threads, token),) = {tuple(rest) for _, *rest, _ in started}
    assert host == "127.0.0.1"
    assert int(port) > 1023
    assert int(threads) == max(1, os.cpu_count() // 2)
    assert len(token) == 32


def test_a_worker_that_dies_again_and_again_ends_the_search(processes):
    command = processes(
        chief=["time.sleep(600)"],
        worker0=["sys.exit(7)"],
        worker1=["time.sleep(600)"],
    )
    assert launch(command, 2) == 7
    started = processes.log()
    assert [name for name, *_ in started].count("worker0") == 1 + RESTARTS
    for name, *_, process in started:
        if name != "worker0":
            wait_for_end(process)


def test_a_chief_that_dies_ends_the_search(processes):
    command = processes(chief=["wait_for(2); sys.exit(3)"], worker0=["time.sleep(600)"])
    assert launch(command, 1) == 3
    (worker,) = (p for name, *_, p in processes.log() if name == "worker0")
    wait_for_end(worker)


def test_the_status_of_the_chief_is_that_of_the_search(processes):
    command = processes(
        chief=["wait_for(2); time.sleep(0.5); sys.exit(4)"], worker0=["sys.exit(0)"]
    )
    assert launch(command, 1) == 4


def test_at_least_one_worker_is_needed():
    with pytest.raises(ValueError, match="workers is 0; expected 1 or more"):
        launch(["true"], 0)


# Orphans

ORPHAN = """
import importlib.util, os, subprocess, sys, time
spec = importlib.util.spec_from_file_location("launch", sys.argv[1])
launch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launch)
if launch.PARENT not in os.environ:
    os.environ[launch.PARENT] = str(os.getpid())
    child = subprocess.Popen([sys.executable, *sys.argv], stdout=subprocess.PIPE)
    print(child.stdout.readline(), flush=True)
    os._exit(0)
launch.end_with_parent()
print("watching", flush=True)
time.sleep(600)
"""


def test_a_process_ends_with_the_one_that_launched_it(tmp_path):
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN, encoding="utf-8")
    command = [sys.executable, script, launching.__file__]
    # Both hold standard error, which ends when both have ended.
    result = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    assert b"watching" in result.stdout
    assert b"Error" not in result.stdout


def test_a_process_watches_as_long_as_its_parent_is_there(monkeypatch):
    parents, ended = itertools.chain([7, 7, 7], itertools.repeat(1)), threading.Event()
    asked = []
    monkeypatch.setattr(launching.os, "getppid", lambda: next(parents))
    monkeypatch.setattr(launching.time, "sleep", asked.append)
    monkeypatch.setattr(launching.os, "_exit", lambda status: ended.set())
    end_with_parent({launching.PARENT: "7"})
    assert ended.wait(10)
    assert len(asked) == 3


def test_a_process_that_nobody_launched_watches_nobody():
    before = threading.active_count()
    end_with_parent({})
    assert threading.active_count() == before
