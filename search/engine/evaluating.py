"""The tuner that evaluates trials in folders of their own."""

from __future__ import annotations

import json
import os
import pathlib
import traceback
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.errors import FailedTrialError, FatalError
from keras_tuner.src import config
from keras_tuner.src.engine import conditions

from search.engine.pareto_oracle import FAILURE, ParetoOracle, check_id
from zoo.files import write_text

# It prints a value of every condition that it sends from one process to another, and a
# traceback of every trial that fails, which is in the trial's folder.
conditions.print = lambda *_: None
config.DEBUG = False


class TrialTuner(keras_tuner.Tuner):
    """Evaluates trials; subclasses define `evaluate`, and may define `after_trial`.

    The state of the search is the oracle's. A process that
    `KERASTUNER_ORACLE_IP` and `KERASTUNER_TUNER_ID` make a worker asks the chief's
    oracle; all processes share the folder.

    Args:
        oracle: What to try.
        directory: Folder of the search; earlier trials in it are read.
    """

    def __init__(self, oracle: ParetoOracle, directory: str | os.PathLike) -> None:
        # A worker's oracle is out of reach later.
        self.objectives, self.constraints = oracle.objectives, oracle.constraints
        folder = pathlib.Path(directory).resolve()
        if is_distributed():
            from search.engine import remote  # needs gRPC, which takes long to import

            remote.token(), remote.address()  # told before anything is trained
        super().__init__(oracle, directory=folder.parent, project_name=folder.name)
        if is_worker():
            remote.bring_token(self.oracle)
        else:
            oracle.use_folder(folder)
            oracle.save()  # a search killed in its first trial is taken up again

    def evaluate(
        self, trial: str, values: dict[str, Any], folder: pathlib.Path
    ) -> dict[str, float]:
        """Evaluate a candidate.

        Args:
            trial: Its trial, a number as text.
            values: Its hyperparameters.
            folder: The trial's own folder, which may hold what an interrupted attempt
                left.

        Returns:
            Metrics by name.

        Raises:
            OSError: The machine is to blame, not the candidate: the search ends.
            Exception: The trial has failed, and the search goes on.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no evaluate().")

    def after_trial(self) -> None:
        """Called in a trial's process when the trial is on record, and at the end."""

    def search(self) -> None:
        """Try candidates until the oracle has no more; as the chief, hand them out.

        Raises:
            OSError: A file could not be written.
            RuntimeError: The chief does not answer, or refuses a call of this worker.
        """
        if is_distributed() and not is_worker():
            from search.engine import remote

            self.save()
            return remote.serve(self.oracle)
        try:
            super().search()
        except FatalError as error:
            raise error.__cause__ or RuntimeError(str(error)) from error
        self.after_trial()  # a kill may have come before that of the last trial

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Called by keras-tuner for a trial's metrics."""
        folder = pathlib.Path(self.get_trial_dir(trial.trial_id))
        (folder / FAILURE).unlink(missing_ok=True)  # of an interrupted attempt
        try:
            return self.evaluate(trial.trial_id, trial.hyperparameters.values, folder)
        except OSError as error:  # a full disk is not the candidate's fault
            raise FatalError(f"{type(error).__name__}: {error}") from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            write_text(folder / FAILURE, f"{reason}\n{traceback.format_exc()}")
            raise FailedTrialError(reason) from error

    def get_trial_dir(self, trial_id: str) -> str:
        """keras-tuner's question for a trial's folder, which is made."""
        return super().get_trial_dir(check_id(trial_id))

    def on_trial_end(self, trial: Trial) -> None:
        """Report the end."""
        super().on_trial_end(trial)
        self.after_trial()

    def save(self) -> None:
        """Write the oracle's state; the tuner itself has none."""
        if not is_worker():
            self.oracle.save()

    def reload(self) -> None:
        """Read the oracle's state."""
        if not is_worker():
            self.oracle.reload()


def is_distributed() -> bool:
    """Whether this process is the chief of a search, or one of its workers."""
    return "KERASTUNER_ORACLE_IP" in os.environ


def is_worker() -> bool:
    """Whether this process works for an oracle in another one, the chief."""
    name = os.environ.get("KERASTUNER_TUNER_ID", "")
    return is_distributed() and "chief" not in name


def has_completed(folder: str | os.PathLike) -> bool:
    """Whether a trial's folder is that of a completed trial, not to be tried again."""
    path = pathlib.Path(folder) / "trial.json"
    if not path.is_file():
        return True
    status = json.loads(path.read_text(encoding="utf-8"))["status"]
    return status == TrialStatus.COMPLETED
