import random
import shutil
import signal
import subprocess
import time

import pytest

from search import Settings, read, run

SOUGHT = Settings(
    trials=14, initial_trials=8, batch_size=3, population=8, generations=2, seed=3
)
# It is killed after so many more trials have begun: among those that it proposes from
# what it has learnt. tests/campaign kills a search again and again, at any moment.
KILLS = (10,)


def found(folder):
    """Candidates and what they gave, by trial; the time they took left out."""
    oracle = read(folder)[1]
    return {
        i: (oracle.genes(t).tolist(), t.status, oracle.values(t) | {"seconds": 0})
        for i, t in oracle.trials.items()
    }


def begun(attempts):
    return sum(event == "begun" for each in attempts.values() for event, *_ in each)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_search_takes_the_course_of_an_uninterrupted_one(
    tmp_path, searching, attempts, fake, quick_surrogate, monkeypatch
):
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    run(SOUGHT, whole)
    monkeypatch.setenv("FAKE_TRAINING_SECONDS", "0.1")
    command, moments = searching(folder, SOUGHT), random.Random(0)
    for more in KILLS:
        before, deadline = begun(attempts(folder)), time.monotonic() + 120
        with subprocess.Popen(command) as process:
            while begun(attempts(folder)) < before + more:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.1))
            process.kill()
        assert process.returncode == -signal.SIGKILL
    assert SOUGHT.initial_trials < len(attempts(folder)) < SOUGHT.trials
    monkeypatch.delenv("FAKE_TRAINING_SECONDS")
    run(SOUGHT, folder)

    tried = attempts(folder)
    assert begun(tried) <= SOUGHT.trials + len(KILLS)
    assert all(each[-1][0] == "done" for each in tried.values())
    assert found(folder) == found(whole)
    assert {status for _, status, _ in found(folder).values()} == {"COMPLETED"}
    assert len({str(genes) for genes, *_ in found(folder).values()}) == SOUGHT.trials
    assert read(folder)[1].iterations()


def test_weights_that_a_kill_left_behind_the_last_trial_are_dropped(
    finished, tmp_path, fake
):
    folder = tmp_path / "search"
    shutil.copytree(finished.folder, folder)
    kept = {path.relative_to(folder) for path in folder.glob("*/model.weights.h5")}
    dropped = {
        path.parent.relative_to(folder) / "model.weights.h5"
        for path in folder.glob("*/candidate.json")
    } - kept
    assert kept and dropped
    for path in dropped:
        (folder / path).write_bytes(b"")
    run(finished.settings, folder)
    left = {path.relative_to(folder) for path in folder.glob("*/model.weights.h5")}
    assert left == kept
