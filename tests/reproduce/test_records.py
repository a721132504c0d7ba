import json

import numpy as np
import pytest

from reproduce import archive, oracles
from reproduce.__main__ import main
from search import Settings
from search.surrogate import SURROGATES
from zoo import Architecture, macs


def test_the_archive_is_read_in_counts_and_shares():
    candidates = archive.load()
    assert len(candidates) == 32
    for candidate in candidates:
        counted = macs(candidate.architecture, 10, "aebnas").per_exit
        np.testing.assert_allclose(candidate.macs, counted, atol=0.05e6)
        assert candidate.shares.sum() == pytest.approx(1, abs=1e-3)
        assert 0.1 < candidate.error < 0.4
        assert 5e6 < candidate.average_macs < 40e6


def test_leave_one_out_never_sees_the_candidate(monkeypatch):
    seen = []

    class Nearest:
        """Answers with the target of the nearest sample it was fitted to."""

        def fit(self, x, y):
            seen.append(len(y))
            self.x, self.y = x, y
            return self

        def predict(self, x):
            return self.y[[np.abs(self.x - x).sum(1).argmin()]]

    for name in SURROGATES:
        monkeypatch.setitem(SURROGATES, name, lambda seed: Nearest())
    rows = archive.leave_one_out()
    assert set(seen) == {31}
    assert all(row["rmse"] > 0.1 for row in rows)  # else it found itself


def test_the_recorded_surrogates_are_those_of_the_documentation():
    path = oracles.RESULTS.parent / "surrogates_archive.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    text = (oracles.RESULTS.parents[2] / "docs" / "search.md").read_text("utf-8")
    for row in rows:
        assert (
            f"| {row['surrogate']} | {row['inputs']} | {row['target']} | "
            f"{row['rmse']:.2f} | {row['spearman']:.2f} | {row['kendall']:.2f} |"
        ) in text


@pytest.fixture(scope="module")
def records():
    return oracles.load()


def test_the_recorded_oracles_are_those_of_the_documentation(records):
    text = (oracles.RESULTS.parents[2] / "docs" / "search.md").read_text("utf-8")
    rows = oracles.compare(records)
    assert {row["method"] for row in rows} == {"aebnas", "nsga2", "random"}
    for row in rows:
        volumes = " / ".join(f"{volume:.3f}" for volume in row["hypervolumes"])
        assert (
            f"| {row['method']} | {row['trials']} | {volumes} | {row['mean']:.3f} "
            f"± {row['spread']:.3f} |"
        ) in text


def test_records_of_a_seed_share_their_initial_sample(records):
    samples = {}
    for record in records:
        settings = record["settings"]
        initial = record["candidates"][: settings["initial_trials"]]
        samples.setdefault(settings["seed"], []).append(
            [(c["architecture"], c["metrics"]["error"]) for c in initial]
        )
    assert all(len(each) == 3 for each in samples.values())
    assert all(each == [each[0]] * 3 for each in samples.values())


@pytest.fixture(
    scope="module",
    params=[
        *sorted(oracles.RESULTS.glob("*.json")),
        *sorted((oracles.RESULTS.parent / "searches").glob("*.json")),
        *sorted((oracles.RESULTS.parent / "experiments").glob("*/*.json")),
    ],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def record(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_recorded_architectures_are_of_the_space_that_was_searched(record):
    space = Settings.from_dict(record["settings"]).search_space()
    for candidate in record["candidates"]:
        space.encode(Architecture.from_dict(candidate["architecture"]))


@pytest.mark.parametrize("json_too", [False, True])
def test_command_line(capsys, json_too):
    assert main(["oracles"] + ["--json"] * json_too) == 0
    out = capsys.readouterr().out
    assert [row["method"] for row in json.loads(out)] if json_too else "aebnas" in out
