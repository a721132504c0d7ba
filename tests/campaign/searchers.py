"""Searches in processes that race and are killed: `victims.py` with another job.

See `test_search.py`. A job has the `settings` of the search in place of what to do.
"""

import contextlib
import gc
import os
import pathlib
import runpy

import victims

from search import EarlyExitTuner, Settings, run
from zoo import files

PATH = pathlib.Path(__file__).parents[1] / "search" / "conftest.py"


def do(job):
    """Do one job; returns the exit status."""
    gc.collect = lambda: 0  # nothing to collect, and it is slow
    EarlyExitTuner.train = runpy.run_path(str(PATH))["fake_train"]
    if "call" in job:
        files.os = victims.KillingOs(*job["call"])
    try:
        with contextlib.redirect_stderr(None):
            run(Settings(**job["settings"]), job["folder"])
    except BaseException as error:
        os.write(victims.TOLD, f"{type(error).__name__}: {error}".encode())
        return 1
    return 0


if __name__ == "__main__":
    victims.do = do
    victims.main()
