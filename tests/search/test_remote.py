"""Chief and workers: the token, what is refused, and what keeps neither waiting."""

import contextlib
import errno
import os
import socket
import threading
import types

import grpc
import keras_tuner
import pytest
from keras_tuner.engine.trial import Trial
from keras_tuner.src import protos

from search.engine import ParetoOracle, TrialTuner, remote
from search.engine.guards import LOCKS
from search.launch import TOKEN

SERVICE = protos.get_service()
PATHS = ["../../elsewhere", "x/../../elsewhere", "/tmp/elsewhere", "0/..", "", "é", "9"]


class Oracle(ParetoOracle):
    """Tries 0, 1, 2 ..."""

    def populate_space(self, trial_id):
        return {"status": "RUNNING", "values": {"x": float(trial_id)}}


def numbers():
    hyperparameters = keras_tuner.HyperParameters()
    hyperparameters.Float("x", 0, 9)
    return hyperparameters


def new_oracle(trials=3):
    return Oracle(
        ["a", "b"],
        max_trials=trials,
        hyperparameters=numbers(),
        allow_new_entries=False,
        tune_new_entries=False,
    )


class Tuner(TrialTuner):
    """Reports made-up metrics."""

    def evaluate(self, trial, values, folder):
        return {"a": values["x"], "b": 9 - values["x"]}


class Chief:
    """A chief in a thread, in a folder of its own."""

    def __init__(self, oracle, folder):
        self.oracle, self.error = oracle, None
        oracle.use_folder(folder)
        oracle.save()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        try:
            remote.serve(self.oracle)
        except Exception as error:
            self.error = error

    def has_ended(self):
        self.thread.join(30)
        return not self.thread.is_alive()


def call(method, request, secret=b"secret of a test", name="worker0"):
    """Call the chief as a worker of that name, or as anybody; returns the answer."""
    headers = [(remote.TOKEN_HEADER, secret), (remote.NAME_HEADER, name.encode())]
    with grpc.insecure_channel(remote.address()) as channel:
        send = channel.unary_unary(f"/keras_tuner.Oracle/{method}")
        data = request if isinstance(request, bytes) else request.SerializeToString()
        metadata = headers if secret is not None else None
        return send(data, metadata=metadata, timeout=20, wait_for_ready=True)


def refusal(*arguments, **options):
    """The status and the reason of a call that the chief refuses."""
    with pytest.raises(grpc.RpcError) as refused:
        call(*arguments, **options)
    return refused.value.code().name, refused.value.details()


def take_trial(name="worker0"):
    answer = call("CreateTrial", SERVICE.CreateTrialRequest(tuner_id=name), name=name)
    return Trial.from_proto(SERVICE.CreateTrialResponse.FromString(answer).trial)


def end(trial_id, status="FAILED"):
    trial = Trial(numbers(), trial_id, status)
    return SERVICE.EndTrialRequest(trial=trial.to_proto())


@pytest.fixture
def environment(monkeypatch):
    """The environment variables of a worker of a chief on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(port))
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    monkeypatch.setenv(TOKEN, "secret of a test")
    return port


@pytest.fixture
def chief(environment, tmp_path):
    chief = Chief(new_oracle(), tmp_path / "search")
    yield chief
    if chief.thread.is_alive():  # end it as a worker would
        for trial in list(chief.oracle.ongoing_trials.values()):
            chief.oracle.end_trial(trial_that_failed(trial))
        chief.oracle.tuner_ids.clear()
        chief.oracle.populate_space = lambda _: {"status": "STOPPED"}
        take_trial()
        assert chief.has_ended()


def trial_that_failed(trial):
    return Trial(trial.hyperparameters, trial.trial_id, "FAILED")


def test_a_worker_works_with_the_token_until_the_chief_has_no_more(chief, tmp_path):
    Tuner(new_oracle(), tmp_path / "search").search()
    assert chief.has_ended() and chief.error is None
    found = {t.trial_id: chief.oracle.values(t) for t in chief.oracle.trials.values()}
    assert found == {str(i): {"a": i, "b": 9 - i} for i in range(3)}


@pytest.mark.parametrize("secret", [None, b"", b"another"])
def test_a_call_without_the_token_is_refused(chief, secret, tmp_path):
    request = SERVICE.CreateTrialRequest(tuner_id="worker0")
    status, reason = refusal("CreateTrial", request, secret=secret)
    assert (status, TOKEN in reason) == ("UNAUTHENTICATED", True)
    assert refusal("NoSuchMethod", b"", secret=secret)[0] == "UNAUTHENTICATED"
    assert not chief.oracle.trials and not chief.oracle.tuner_ids


def test_a_worker_with_another_token_says_so(chief, monkeypatch, tmp_path):
    monkeypatch.setenv(TOKEN, "another")
    tuner = Tuner(new_oracle(), tmp_path / "search")
    with pytest.raises(RuntimeError, match=f"The chief at .* has another {TOKEN}"):
        tuner.search()


def test_a_call_that_never_says_what_it_wants_keeps_nobody_waiting(chief):
    released = threading.Event()

    def nothing():
        released.wait(60)
        yield b""

    assert call("GetSpace", SERVICE.GetSpaceRequest())  # it listens
    with grpc.insecure_channel(remote.address()) as channel:
        method = channel.stream_unary("/keras_tuner.Oracle/GetSpace")
        waiting = [method.future(nothing(), timeout=60) for _ in range(5)]
        assert call("GetSpace", SERVICE.GetSpaceRequest())
        codes = {each.exception(timeout=20).code().name for each in waiting}
        released.set()
    assert codes == {"UNAUTHENTICATED"}


@pytest.mark.parametrize("trial_id", PATHS)
def test_a_trial_that_does_not_exist_is_refused_and_nothing_is_written(
    chief, trial_id, tmp_path
):
    before = sorted(tmp_path.rglob("*"))
    metrics = {"a": 1.0, "b": 1.0}
    requests = {
        "EndTrial": end(trial_id),
        "GetTrial": SERVICE.GetTrialRequest(trial_id=trial_id),
        "UpdateTrial": SERVICE.UpdateTrialRequest(trial_id=trial_id, metrics=metrics),
    }
    for method, request in requests.items():
        status, reason = refusal(method, request)
        assert (status, reason) == (
            "INVALID_ARGUMENT",
            f"There is no trial {trial_id!r}.",
        )
    assert sorted(tmp_path.rglob("*")) == before
    assert not LOCKS[chief.oracle].locked()


def test_what_a_call_may_not_do_is_refused_with_the_reason(chief):
    trial = take_trial()
    others = SERVICE.CreateTrialRequest(tuner_id="worker1")
    asked = SERVICE.UpdateTrialRequest(trial_id=trial.trial_id, metrics={"b": 1.0})
    cases = [
        ("CreateTrial", others, {}, "worker0 asks for a trial of 'worker1'"),
        ("CreateTrial", others, {"name": "../x"}, "A worker is called '../x'"),
        ("EndTrial", end("0"), {"name": "worker1"}, "The trial 0 is worker0's"),
        ("UpdateTrial", asked, {"name": "worker1"}, "The trial 0 is worker0's"),
        ("UpdateTrial", asked, {}, "Objective value missing"),
        ("EndTrial", end("0", "RUNNING"), {}, "The status of trial 0 is RUNNING"),
        ("GetBestTrials", SERVICE.GetBestTrialsRequest(num_trials=-1), {}, "is -1"),
        ("EndTrial", b"\xff\xff", {}, "DecodeError"),
    ]
    for method, request, options, reason in cases:
        status, told = refusal(method, request, **options)
        assert status == "INVALID_ARGUMENT" and reason in told
    assert chief.oracle.trials["0"].status == "RUNNING"
    assert not LOCKS[chief.oracle].locked()


def test_a_worker_cannot_change_what_was_tried(chief):
    trial = take_trial()
    other = numbers()
    other.values["x"] = 7.0
    changed = Trial(other, trial.trial_id, "FAILED")
    call("EndTrial", SERVICE.EndTrialRequest(trial=changed.to_proto()))
    assert chief.oracle.trials["0"].hyperparameters.values == {"x": 0.0}


def test_a_chief_whose_disk_is_full_ends_and_tells_its_worker(
    chief, tmp_path, monkeypatch
):
    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tuner = Tuner(new_oracle(), tmp_path / "search")
    monkeypatch.setattr(chief.oracle, "save", full)
    with pytest.raises(RuntimeError, match="The chief .* has ended: .*No space"):
        tuner.search()
    assert chief.has_ended()
    assert isinstance(chief.error, OSError) and chief.error.errno == errno.ENOSPC


def test_a_worker_whose_chief_has_gone_says_what_to_do(environment):
    lost = types.SimpleNamespace(
        code=lambda: grpc.StatusCode.UNAVAILABLE, details=lambda: "Socket closed"
    )
    assert remote._sentence(lost) == (
        f"The chief at 127.0.0.1:{environment} is gone. Start it again, and then this "
        "worker."
    )


def test_the_chief_listens_at_its_address_alone(chief, environment):
    call("GetSpace", SERVICE.GetSpaceRequest())
    addresses = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    for host in {"127.0.0.2", *(each[4][0] for each in addresses)} - {"127.0.0.1"}:
        with contextlib.closing(socket.socket()) as other:
            other.settimeout(5)
            assert other.connect_ex((host, environment)) != 0


def test_two_chiefs_do_not_share_a_port(chief, tmp_path):
    call("GetSpace", SERVICE.GetSpaceRequest())
    other = Chief(new_oracle(), tmp_path / "other")
    assert other.has_ended()
    assert "The chief cannot listen at 127.0.0.1" in str(other.error)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("KERASTUNER_ORACLE_IP", "", "KERASTUNER_ORACLE_IP is ''; expected an address"),
        ("KERASTUNER_ORACLE_IP", "unix:/tmp/x", "expected an address such as"),
        ("KERASTUNER_ORACLE_PORT", "0", "KERASTUNER_ORACLE_PORT is '0'; expected 1 to"),
        ("KERASTUNER_ORACLE_PORT", "x", "KERASTUNER_ORACLE_PORT is 'x'; expected 1 to"),
        (TOKEN, " ", f"{TOKEN} is not set; expected the same secret text"),
    ],
)
@pytest.mark.parametrize("role", ["chief", "worker0"])
def test_a_process_that_is_not_told_enough_says_so_before_it_begins(
    environment, monkeypatch, tmp_path, role, name, value, message
):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", role)
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        Tuner(new_oracle(), tmp_path / "search")


def test_addresses_of_both_kinds_and_names_are_addresses():
    given = {"10.0.0.1": "10.0.0.1:80", "::1": "[::1]:80", "a-b.local": "a-b.local:80"}
    for host, expected in given.items():
        environment = {"KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": "80"}
        assert remote.address(environment) == expected


def test_a_worker_writes_nothing_where_its_chief_says(tmp_path, monkeypatch):
    tuner = Tuner(new_oracle(), tmp_path / "search")
    before = sorted(tmp_path.rglob("*"))
    for trial_id in PATHS[:-1]:
        with pytest.raises(ValueError, match="expected a number"):
            tuner.get_trial_dir(trial_id)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_error_does_not_keep_the_lock(tmp_path):
    oracle = new_oracle()
    oracle.use_folder(tmp_path / "p")
    trial = oracle.create_trial("w")
    with pytest.raises(ValueError, match="Objective value missing"):
        oracle.update_trial(trial.trial_id, {"b": 1.0})
    with pytest.raises(ValueError, match="There is no trial"):
        oracle.end_trial(Trial(numbers(), "../x", "FAILED"))
    other = threading.Thread(target=oracle.create_trial, args=("v",), daemon=True)
    other.start()
    other.join(20)
    assert not other.is_alive()
    folders = {path.name for path in (tmp_path / "p").glob("trial_*")}
    assert folders == {"trial_0", "trial_1"}
