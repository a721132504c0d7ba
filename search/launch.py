"""One chief and several workers of a search on one machine."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from zoo.checks import whole_number

HOST = "127.0.0.1"
PARENT = "AEBNAS_PARENT"
TOKEN = "AEBNAS_SEARCH_TOKEN"  # what the calls of workers to the chief bring
RESTARTS = 3
PATIENCE = 5  # seconds


def launch(command: Sequence[str], workers: int) -> int:
    """Run a command as keras-tuner's chief and as each of its workers.

    A worker that dies is started again under its name, and the chief gives it the same
    trial again. The workers share the cores.

    Args:
        command: What every process runs; it learns its role from keras-tuner's
            environment variables.
        workers: How many.

    Returns:
        The chief's exit status, or that of a worker that died again and again.

    Raises:
        ValueError: `workers` is below 1.
    """
    workers = whole_number("workers", workers, 1)
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    shared = {
        "KERASTUNER_ORACLE_IP": HOST,
        "KERASTUNER_ORACLE_PORT": str(_free_port()),
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        PARENT: str(os.getpid()),
        TOKEN: os.environ.get(TOKEN) or secrets.token_hex(16),
    }
    processes: list[subprocess.Popen] = []

    def start(name: str) -> subprocess.Popen:
        environment = {**os.environ, **shared, "KERASTUNER_TUNER_ID": name}
        processes.append(subprocess.Popen(command, env=environment))
        return processes[-1]

    try:
        chief = start("chief")
        names = [f"worker{i}" for i in range(workers)]
        running = {name: start(name) for name in names}
        restarts = dict.fromkeys(names, 0)
        while running:
            time.sleep(0.2)
            if chief.poll() is not None:
                # The search is over, or the chief's own message says why it is not. A
                # worker that asks only now would wait for an answer for an hour.
                for process in running.values():
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(PATIENCE)
                return chief.returncode
            for name, process in list(running.items()):
                status = process.poll()
                if status == 0:
                    del running[name]
                elif status is not None:
                    restarts[name] += 1
                    if restarts[name] > RESTARTS:
                        return status
                    print(f"{name} died ({status}); starting it again", file=sys.stderr)
                    running[name] = start(name)
        return chief.wait()
    finally:
        for process in processes:
            process.terminate()


def end_with_parent(environment: Mapping[str, str] = os.environ) -> None:
    """In a process that `launch` started: end when the launching process is gone."""
    parent = environment.get(PARENT)
    if parent is None:
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]
