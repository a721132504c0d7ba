import dataclasses
import gzip
import json

import numpy as np
import pytest

from reproduce import archive, oracles
from reproduce.__main__ import main
from reproduce.records import (
    KINDS,
    RESULTS,
    SURROGATES,
    FinetuneRecord,
    RunRecord,
    SearchRecord,
    SurrogateQualityRecord,
    _shipped,
    read,
)
from search import surrogate
from zoo import macs, records


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

    for name in surrogate.SURROGATES:
        monkeypatch.setitem(surrogate.SURROGATES, name, lambda seed: Nearest())
    rows = archive.leave_one_out()
    assert set(seen) == {31}
    assert all(row.quality.rmse > 0.1 for row in rows)  # else it found itself


@pytest.fixture(scope="module")
def searches():
    return oracles.load()


def test_aebnas_is_first_in_every_seed_of_the_recorded_oracles(searches):
    rows = {row.method: row for row in oracles.compare(searches)}
    assert set(rows) == {"aebnas", "nsga2", "random"}
    for row in rows.values():
        assert row.seeds == (1, 2, 3)
        assert row.mean == pytest.approx(np.mean(row.hypervolumes))
        assert row.spread == pytest.approx(np.std(row.hypervolumes, ddof=1))
    for others in ("nsga2", "random"):
        pairs = zip(rows["aebnas"].hypervolumes, rows[others].hypervolumes)
        assert all(ours > theirs for ours, theirs in pairs)


def test_the_accuracy_within_the_target_is_the_best_of_all_settings(searches):
    assert {row.accuracies for row in oracles.compare(searches)} == {None}
    name, record = next(iter(searches.items()))
    cheap, dear = record.settings_front[0], record.settings_front[-1]
    for target, expected in (
        (cheap.average_macs, (cheap.accuracy,)),
        (dear.average_macs, (dear.accuracy,)),
        (cheap.average_macs - 1, None),
    ):
        settings = dataclasses.replace(record.settings, target_macs=target)
        (row,) = oracles.compare({name: dataclasses.replace(record, settings=settings)})
        assert row.accuracies == expected and row.spread is None


def test_records_of_a_seed_share_their_initial_sample(searches):
    samples = {}
    for record in searches.values():
        initial = record.candidates[: record.settings.initial_trials]
        samples.setdefault(record.settings.seed, []).append(
            [(c.architecture, c.metrics["error"]) for c in initial]
        )
    assert all(len(each) == 3 for each in samples.values())
    assert all(each == [each[0]] * 3 for each in samples.values())


def test_an_installed_package_finds_the_records_of_a_checkout(tmp_path):
    package, checkout = tmp_path / "site-packages" / "reproduce", tmp_path / "checkout"
    assert _shipped(package, checkout) == package / "results"
    (checkout / "reproduce" / "results").mkdir(parents=True)
    assert _shipped(package, checkout) == checkout / "reproduce" / "results"
    (package / "results").mkdir(parents=True)
    assert _shipped(package, checkout) == package / "results"


@pytest.fixture(
    scope="module",
    params=records.paths(RESULTS, below=True),
    ids=records.stem,
)
def path(request):
    return request.param


def test_every_shipped_record_is_read_and_written_as_it_is(path):
    record = records.read(path, *KINDS)
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    assert records.dumps(record) == text.decode("utf-8")
    if isinstance(record, SearchRecord):
        # Recorded architectures are of the space that was searched.
        space = record.settings.search_space()
        for candidate in record.candidates:
            of_backbone = candidate.exits is not None
            space.encode(candidate.heads if of_backbone else candidate.network)


def test_the_shipped_records_have_a_line_per_candidate():
    lines = sum(
        path.read_text(encoding="utf-8").count("\n") for path in RESULTS.rglob("*.json")
    )
    assert 3000 < lines < 15_000


def test_a_record_of_another_kind_is_not_read(tmp_path):
    path = RESULTS / SURROGATES
    with pytest.raises(ValueError, match="'surrogate_quality'; expected 'run'"):
        records.read(path, RunRecord)


def test_measurements_that_are_missing_name_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="`python -m x --out FILE` makes one"):
        read(tmp_path, SURROGATES, SurrogateQualityRecord, "python -m x")


OLD = {
    FinetuneRecord: {
        "model": "m",
        "weights": "w",
        "data": {"name": "digits", "fingerprint": "0"},
        "rows": [
            {
                **{"start": "random", "seed": 1, "epochs": 3, "accuracy": 0.5},
                **{"exit_accuracy": [0.5], "average_macs": {}, "seconds": 1.0},
            }
        ],
        "provenance": {},
    },
    SurrogateQualityRecord: {
        "rows": [
            {
                **{"surrogate": "mlp", "inputs": "genes", "target": "error", "n": 2},
                **{"rmse": 1.0, "spearman": 0.5, "kendall": 0.4},
                **{"true": [1.0, 2.0], "predicted": [2.0, 3.0]},
            }
        ],
        "provenance": {"seed": 7},
    },
}


@pytest.mark.parametrize("kind", OLD, ids=lambda kind: kind.__name__)
def test_measurements_of_the_first_format_are_read(kind):
    record = records.from_dict(OLD[kind], kind, assume=kind)
    if kind is FinetuneRecord:
        assert record.rows[0].initial_weights == "random"
    else:
        assert record.seed == 7 and record.rows[0].quality.spearman == 0.5
    assert records.from_dict(records.to_dict(record), kind) == record


@pytest.mark.parametrize("json_too", [False, True])
def test_command_line(capsys, json_too):
    assert main(["oracles"] + ["--json"] * json_too) == 0
    out = capsys.readouterr().out
    assert [row["method"] for row in json.loads(out)] if json_too else "aebnas" in out
