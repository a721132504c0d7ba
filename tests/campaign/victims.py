"""Does jobs in processes that race and are killed; see `test_kills.py`.

Python and Keras are imported once; every job is a fork. A line on standard input is a
JSON list of jobs to do at the same time. Each is an object: what to `do`, the `folder`,
the `call` of `zoo.files` in which the job kills itself (a kind or null, and which of
them), and the `seconds` after which it is killed. The answer is a line: of each job
what it told, and its exit status.
"""

import contextlib
import json
import os
import pathlib
import signal
import sys
import threading

import keras
import numpy as np
from conftest import FaultyOs, tiny_dataset, tiny_model

import zoo
from zoo import files, registry, training

TOLD = 3  # the file that a job tells something in
SAVES = 20  # in a race


class KillingOs(FaultyOs):
    """Kills the process that uses it, for good, in one kind of call.

    Args:
        kind: Such as "write"; None: in any.
        crash_at: In which of these, counted from 1.
    """

    def __init__(self, kind, crash_at):
        super().__init__(crash_at)
        self.kind = kind

    def _step(self, name, path):
        return self.kind in (None, name) and super()._step(name, path)

    def end(self):
        os.write(TOLD, self.calls[-1][0].encode())
        os.kill(os.getpid(), signal.SIGKILL)


def train(folder):
    """Train, measure and save."""
    recipe = training.Recipe("tiny", epochs=3, batch_size=8, learning_rate=0.1)
    zoo.fit(tiny_model(1), tiny_dataset(), recipe, folder, verbose=0, validate=False)


def save(folder):
    """Save two models in turn, again and again."""
    models = [tiny_model(seed) for seed in (1, 2)]
    for i in range(SAVES):
        registry.save(models[i % 2], folder)


def load(folder):
    """Load the models that others save, until there have been enough."""
    models = {each.thresholds: each for each in (tiny_model(1), tiny_model(2))}
    while not pathlib.Path(folder, registry.CONFIG).exists():
        pass
    for _ in range(SAVES):
        found = zoo.load(folder)
        for one, other in zip(found.weights, models[found.thresholds].weights):
            assert np.allclose(one, other, atol=1e-2), "a mixture of two models"


def do(job):
    """Do one job; returns the exit status."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(True)
    if "call" in job:
        files.os = KillingOs(*job["call"])
    try:
        {"train": train, "save": save, "load": load}[job["do"]](job["folder"])
    except BaseException as error:
        os.write(TOLD, f"{type(error).__name__}: {error}".encode())
        return 1
    return 0


def begin(job):
    """Do a job in a new process; returns that, and the file that it tells in."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writing, TOLD)
        os._exit(do(job))
    os.close(writing)
    if "seconds" in job:
        threading.Timer(job["seconds"], kill, (child,)).start()
    return child, reading


def kill(child):
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.kill(child, signal.SIGKILL)


def main():
    for line in sys.stdin:
        answers = []
        for child, reading in [begin(job) for job in json.loads(line)]:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            with open(reading) as told:
                answers.append([told.read(), status])
        print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main()
