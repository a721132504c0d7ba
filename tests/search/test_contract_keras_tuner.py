"""What `search.engine` relies on in keras-tuner and keras-tuner does not promise.

When one of these tests fails with a new version, its message says what broke. The
upper bound of keras-tuner in setup.py is the newest version that passes.
"""

import inspect
import json
import threading

import keras_tuner
import numpy as np
import pytest
from keras_tuner.engine.trial import Trial, TrialStatus

from search.engine import FAILURE, ParetoOracle

VERSION = keras_tuner.__version__


def broken(what):
    return f"keras-tuner {VERSION}: {what} search/engine has to be adapted."


class Recorder(keras_tuner.Oracle):
    """keras-tuner's own oracle, which notes the private methods that are called."""

    def __init__(self, **options):
        self.called = []
        numbers = keras_tuner.HyperParameters()
        numbers.Float("x", 0, 1)
        super().__init__(
            objective=keras_tuner.Objective("a", "min"),
            hyperparameters=numbers,
            **options,
        )
        self.verbose = 0

    def populate_space(self, trial_id):
        return {"status": "RUNNING", "values": {"x": 0.5}}

    def _check_consecutive_failures(self):
        self.called.append("_check_consecutive_failures")

    def _save_trial(self, trial):
        self.called.append("_save_trial")
        super()._save_trial(trial)

    def save(self):
        self.called.append("save")
        super().save()


@pytest.fixture
def oracle(tmp_path):
    oracle = Recorder()
    oracle._set_project_dir(tmp_path, "p")
    return oracle


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("_set_project_dir", ["directory", "project_name"]),
        ("_get_trial_dir", ["trial_id"]),
        ("_get_oracle_fname", []),
        ("_save_trial", ["trial"]),
        ("_check_consecutive_failures", []),
    ],
)
def test_private_methods_of_an_oracle_are_there(name, arguments):
    method = getattr(keras_tuner.Oracle, name, None)
    assert method is not None, broken(f"Oracle.{name} is gone.")
    found = list(inspect.signature(method).parameters)[1:]
    assert found == arguments, broken(f"Oracle.{name} takes {found}, not {arguments}.")


@pytest.mark.parametrize(
    "name, kind",
    [
        *(("trials", dict), ("ongoing_trials", dict), ("tuner_ids", set)),
        *(("start_order", list), ("end_order", list), ("_retry_queue", list)),
    ],
)
def test_attributes_of_an_oracle_are_there(name, kind, oracle):
    found = type(getattr(oracle, name, None))
    assert found is kind, broken(f"Oracle.{name} is a {found.__name__}.")


def test_files_are_where_they_are_looked_for(oracle, tmp_path):
    trial = oracle.create_trial("w")
    folder = tmp_path / "p"
    for path in ("oracle.json", f"trial_{trial.trial_id}/trial.json"):
        assert (folder / path).is_file(), broken(f"There is no {path} any more.")
    found = json.loads((folder / f"trial_{trial.trial_id}/trial.json").read_text())
    assert found["status"] == TrialStatus.RUNNING, broken("trial.json has no status.")
    assert int(trial.trial_id) == 0, broken("Trials are not numbered from 0.")


def test_overridden_private_methods_are_called(oracle):
    trial = oracle.create_trial("w")
    message = broken("create_trial does not save trial and state any more.")
    assert {"_save_trial", "save"} <= set(oracle.called), message
    oracle.update_trial(trial.trial_id, {"a": 1.0})
    trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)
    message = broken("end_trial does not ask _check_consecutive_failures any more.")
    assert "_check_consecutive_failures" in oracle.called, message


def test_a_waiting_trial_is_the_last_of_the_retry_queue(oracle):
    first, second = oracle.create_trial("v"), oracle.create_trial("w")
    oracle.ongoing_trials = {}
    oracle._retry_queue = [second.trial_id, first.trial_id]
    again = oracle.create_trial("u").trial_id
    message = broken("create_trial does not take the retry queue's last trial.")
    assert again == first.trial_id, message


def test_a_trial_under_way_is_given_to_its_worker_again(oracle):
    trial = oracle.create_trial("w")
    again = oracle.create_trial("w").trial_id
    message = broken("a worker that comes back gets another trial.")
    assert again == trial.trial_id, message


def test_the_state_can_be_read_without_trials_under_way(oracle, tmp_path):
    oracle.create_trial("w")
    state = json.loads(json.dumps(oracle.get_state()))
    assert "ongoing_trials" in state, broken("the state has no ongoing_trials.")
    other = Recorder()
    other._set_project_dir(tmp_path, "other")
    other.set_state(state | {"ongoing_trials": {}})
    assert other.ongoing_trials == {}, broken("set_state fills ongoing_trials.")


def test_metrics_of_a_trial_can_be_forgotten(oracle):
    trial = oracle.create_trial("w")
    oracle.update_trial(trial.trial_id, {"a": 1.0, "b": 2.0})
    metrics = oracle.trials[trial.trial_id].metrics
    assert set(metrics.metrics) == {"a", "b"}, broken("Trial.metrics.metrics changed.")
    assert metrics.get_last_value("b") == 2, broken("get_last_value changed.")
    assert not type(metrics)().metrics, broken("a new metrics tracker is not empty.")


def test_a_call_from_within_the_lock_does_not_wait_for_it(tmp_path):
    class Nested(Recorder):
        @keras_tuner.synchronized
        def create_trial(self, tuner_id):
            return super().create_trial(tuner_id)

    oracle = Nested()
    oracle._set_project_dir(tmp_path, "p")
    thread = threading.Thread(target=oracle.create_trial, args=("w",), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), broken("synchronized waits for its own lock.")


def test_conditions_print_nothing_when_they_are_sent(capsys):
    numbers = keras_tuner.HyperParameters()
    numbers.Choice("parent", [1, 2])
    with numbers.conditional_scope("parent", [2]):
        numbers.Choice("child", [3, 4])
    proto = numbers.to_proto()
    keras_tuner.HyperParameters.from_proto(proto)
    message = broken("hyperparameters print what they send, from another module.")
    assert capsys.readouterr().out == "", message


def test_a_tuner_reads_nothing_by_itself_and_prints_nothing(tmp_path, capsys):
    class Tuner(keras_tuner.Tuner):
        def run_trial(self, trial):
            return {"a": 1.0}

    for _ in range(2):
        oracle = Recorder(max_trials=1)
        Tuner(oracle, directory=tmp_path, project_name="p").oracle.save()
        # Where `tuner0.json` is, keras-tuner would reload, and say so.
        message = broken("a tuner looks for another file than tuner0.json to reload.")
        assert capsys.readouterr().out == "", message
        assert not oracle.trials, message


def test_a_search_is_silent(tmp_path, capsys):
    class Tuner(keras_tuner.Tuner):
        def run_trial(self, trial):
            if trial.trial_id == "1":
                raise keras_tuner.errors.FailedTrialError("no")
            return {"a": 1.0, "b": 2.0}

    class Oracle(ParetoOracle):
        def populate_space(self, trial_id):
            return {"status": "RUNNING", "values": {"x": float(trial_id)}}

    numbers = keras_tuner.HyperParameters()
    numbers.Float("x", 0, 9)
    oracle = Oracle(["a", "b"], max_trials=3, hyperparameters=numbers)
    Tuner(oracle, directory=tmp_path, project_name="p").search()
    assert len(oracle.completed_trials()) == 2
    out, err = capsys.readouterr()
    assert out == "", broken("`verbose = 0` prints all the same.")
    assert "Traceback" not in err, broken("failed trials print a traceback.")


def test_the_seed_0_is_kept():
    oracle = ParetoOracle(["a", "b"], seed=0)
    assert oracle.seed == 0, broken("the seed cannot be set after the construction.")


def test_one_objective_is_enough_for_a_tuner_that_reports_several(tmp_path):
    oracle = Recorder()
    oracle._set_project_dir(tmp_path, "p")
    trial = oracle.create_trial("w")
    oracle.update_trial(trial.trial_id, {"a": np.float64(1).item(), "other": 2.0})
    assert "other" in oracle.trials[trial.trial_id].metrics.metrics, broken(
        "metrics that are no objective are not kept."
    )


def test_the_environment_says_who_is_a_worker(monkeypatch):
    from keras_tuner.src.distribute import utils

    from search.engine import is_worker

    cases = {None: False, "chief": False, "worker0": True}
    for name, expected in cases.items():
        with monkeypatch.context() as patch:
            if name is not None:
                patch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
                patch.setenv("KERASTUNER_ORACLE_PORT", "1")
                patch.setenv("KERASTUNER_TUNER_ID", name)
            theirs = utils.has_chief_oracle() and not utils.is_chief_oracle()
            assert is_worker() == expected
            assert theirs == expected, broken(f"{name} is another kind of process.")


def test_a_worker_reaches_only_the_objective():
    from keras_tuner.src.distribute.oracle_client import OracleClient

    methods = ("create_trial", "end_trial", "update_trial", "get_trial", "get_space")
    missing = [name for name in methods if not hasattr(OracleClient, name)]
    assert not missing, broken(f"a worker's oracle has no {', '.join(missing)}.")


def test_the_lock_of_an_oracle_is_known_by_the_name_of_its_thread(tmp_path):
    from keras_tuner.src.engine.oracle import LOCKS, THREADS

    class Looking(Recorder):
        def populate_space(self, trial_id):
            self.seen = LOCKS[self].locked(), THREADS[self]
            return super().populate_space(trial_id)

    oracle = Looking()
    oracle._set_project_dir(tmp_path, "p")
    oracle.create_trial("w")
    expected = (True, threading.current_thread().name)
    assert oracle.seen == expected, broken("synchronized keeps its lock elsewhere.")


def test_chief_and_workers_speak_through_a_servicer_and_a_stub():
    from keras_tuner.src.distribute import oracle_chief, oracle_client

    methods = ("CreateTrial", "UpdateTrial", "EndTrial", "GetBestTrials")
    servicer = oracle_chief.OracleServicer("oracle")
    missing = [name for name in methods if not hasattr(servicer, name)]
    assert not missing, broken(f"OracleServicer has no {', '.join(missing)}.")
    assert (servicer.oracle, servicer.stop_triggered) == ("oracle", False), broken(
        "OracleServicer keeps other attributes."
    )
    source = inspect.getsource(oracle_client.OracleClient)
    assert "self.stub.CreateTrial(" in source, broken("OracleClient has no stub.")


def test_a_failed_trial_says_why_in_its_message(tmp_path):
    class Oracle(ParetoOracle):
        def populate_space(self, trial_id):
            return {"status": "RUNNING", "values": {"x": 0.5}}

    numbers = keras_tuner.HyperParameters()
    numbers.Float("x", 0, 1)
    oracle = Oracle(["a", "b"], hyperparameters=numbers)
    oracle.use_folder(tmp_path / "p")
    trial = oracle.create_trial("w")
    (tmp_path / "p" / f"trial_{trial.trial_id}" / FAILURE).write_text("no", "utf-8")
    trial.status = TrialStatus.FAILED
    oracle.end_trial(trial)
    path = tmp_path / "p" / f"trial_{trial.trial_id}" / "trial.json"
    assert Trial.load(str(path)).message == "no", broken("messages are not kept.")
