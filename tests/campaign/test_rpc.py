"""Malformed calls to the chief of a search, while a worker does its work."""

import collections
import pathlib
import runpy
import threading
import types

import grpc
import pytest
from keras_tuner.src import protos

from search.engine import remote
from search.engine.guards import LOCKS

PATH = pathlib.Path(__file__).parents[1] / "search" / "test_remote.py"
PARTS = types.SimpleNamespace(**runpy.run_path(str(PATH)))
environment = PARTS.environment  # a fixture
SERVICE, TRIALS = protos.get_service(), 10
IDS = [
    *("", "0", "5", "11", "-1", "00", "x", "0\0", "０", "é" * 400, "9" * 30, "nan"),
    *("../../elsewhere", "x/../../elsewhere", "/tmp/elsewhere", "0/../../y", "~", "\\"),
]
NAMES = ["", "stranger", "worker0/..", "../x", "chief\n", "w" * 5000, "\xff"]
METRICS = [
    *({}, {"a": 1.0}, {"a": float("nan"), "b": float("inf")}, {"b": 1.0}),
    *({"../x": 1.0, "a": 1e308, "b": -1e308}, {str(i): 0.0 for i in range(500)}),
]
METHODS = "GetSpace UpdateSpace CreateTrial UpdateTrial EndTrial GetTrial GetBestTrials"


def message(method, draw):
    """What a call says: another message than a worker in its right mind would send."""
    if draw.random() < 0.2:
        return draw.randbytes(draw.choice([1, 10, 1000, 100_000]))
    trial_id = draw.choice(IDS)
    if method == "CreateTrial":
        another = draw.choice(["", "worker0", "worker1", "../x", "w" * 5000, "\n"])
        return SERVICE.CreateTrialRequest(tuner_id=another)
    if method == "UpdateTrial":
        return SERVICE.UpdateTrialRequest(
            trial_id=trial_id,
            metrics=draw.choice(METRICS),
            step=draw.choice([0, -1, 2**62]),
        )
    if method == "EndTrial":
        request = PARTS.end(trial_id)
        request.trial.status = draw.choice([0, 1, 2, 3, 4, 5, 6, 77])
        return request
    if method == "GetTrial":
        return SERVICE.GetTrialRequest(trial_id=trial_id)
    if method == "GetBestTrials":
        count = draw.choice([-(2**31), -1, 0, 2**31 - 1])
        return SERVICE.GetBestTrialsRequest(num_trials=count)
    if method == "UpdateSpace":
        request = SERVICE.UpdateSpaceRequest()
        kind = draw.choice(["float_space", "int_space", "choice_space"])
        getattr(request.hyperparameters.space, kind).add().name = trial_id
        return request
    return SERVICE.GetSpaceRequest()


def headers(draw):
    """What a call brings: mostly the token, as a call of a worker that has gone mad."""
    secret, name = b"secret of a test", draw.choice(NAMES[1:2] * 5 + NAMES)
    if name == "stranger" and draw.random() < 0.3:
        secret = draw.choice([b"", b"secret", draw.randbytes(16)])
    found = [(remote.TOKEN_HEADER, secret), (remote.NAME_HEADER, name.encode())]
    return found[: draw.choice([0, 1, 2, 2, 2, 2, 2, 2])]


class PacedTuner(PARTS.Tuner):
    """Ends a trial when it is told to."""

    turns = threading.Semaphore(0)

    def evaluate(self, trial, values, folder):
        assert self.turns.acquire(timeout=120)
        return super().evaluate(trial, values, folder)


def found(oracle):
    """What a search has found, and the worker's name is all that it leaves out."""
    return [
        (trial.trial_id, trial.status, trial.hyperparameters.values)
        + (oracle.values(trial),)
        for trial in oracle.trials.values()
    ]


def paths(folder):
    return {str(each.relative_to(folder)) for each in folder.rglob("*")}


@pytest.fixture
def undisturbed(tmp_path):
    """What a search finds, and the files it leaves, without chief and calls."""
    oracle = PARTS.new_oracle(TRIALS)
    PARTS.Tuner(oracle, tmp_path / "control" / "search").search()
    return found(oracle), paths(tmp_path / "control")


def test_malformed_calls_are_answered_and_change_nothing(
    undisturbed, environment, tmp_path, campaign, capfd
):
    calls, draw, answers = campaign.size(1000, 20_000), campaign.random(), []
    pace = calls // TRIALS
    chief = PARTS.Chief(PARTS.new_oracle(TRIALS), tmp_path / "calls" / "search")
    tuner = PacedTuner(PARTS.new_oracle(TRIALS), tmp_path / "calls" / "search")
    worker = threading.Thread(target=tuner.search, daemon=True)
    worker.start()
    with grpc.insecure_channel(remote.address()) as channel:
        for i in range(calls):
            method = draw.choice([*METHODS.split(), "EndTrial", "NoSuchMethod"])
            said = message(method, draw)
            data = said if isinstance(said, bytes) else said.SerializeToString()
            send = channel.unary_unary(f"/keras_tuner.Oracle/{method}")
            try:
                send(data, metadata=headers(draw), timeout=20, wait_for_ready=True)
                answers.append("OK")
            except grpc.RpcError as error:
                answers.append(error.code().name)
            if i % pace == 0 and i < (TRIALS - 1) * pace:  # so that some are left
                tuner.turns.release()
        for _ in range(TRIALS):
            tuner.turns.release()
    worker.join(60)
    assert not worker.is_alive() and chief.has_ended() and chief.error is None
    assert (found(chief.oracle), paths(tmp_path / "calls")) == undisturbed
    assert not LOCKS[chief.oracle].locked()
    kinds = collections.Counter(answers)
    assert set(kinds) <= {"OK", "UNAUTHENTICATED", "INVALID_ARGUMENT", "UNIMPLEMENTED"}
    assert kinds["INVALID_ARGUMENT"] > calls / 4 and kinds["UNAUTHENTICATED"]
    assert "Traceback" not in capfd.readouterr().err
    campaign.note(
        "random calls to a chief",
        calls,
        "nothing written outside the search's folder, no blocking, and the results of "
        "an undisturbed search",
        kinds,
    )
