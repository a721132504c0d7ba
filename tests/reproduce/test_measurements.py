"""`finetune`, `exact` and `surrogates`, on networks that are made up."""

import json
import statistics
import types

import keras
import numpy as np
import pytest

import zoo
from reproduce import exact, finetune
from reproduce.records import Tuning
from search.surrogate import SURROGATES
from zoo import data, exits, registry
from zoo.cost import CONVENTIONS

SHIPPED = "aebnas_cifar10_small"


def stub(architecture, **more):
    """What a measurement needs of a model."""
    return types.SimpleNamespace(
        architecture=architecture,
        num_classes=10,
        macs=zoo.macs(architecture, 10),
        thresholds=(0.3, 0.4),
        exit_rule="score_margin",
        cost=lambda convention: zoo.macs(architecture, 10, convention),
        conventions=lambda: CONVENTIONS,
        **more,
    )


def random_logits(count, seed):
    return np.random.default_rng(seed).normal(0, 2, (count, 3, 10)).astype("float32")


def right(logits, labels):
    """Which answers are right by the exit rule, and at which exits they are given."""
    chosen = exits.decide(logits, (0.3, 0.4))
    return logits.argmax(-1)[range(len(labels)), chosen] == labels, chosen


def accuracy(number, labels):
    return right(random_logits(len(labels), number), labels)[0].mean()


# Fine-tuning


@pytest.fixture
def trainings(architecture, monkeypatch):
    """Stands in for `registry.load` by networks that only note what is done to them."""
    made = []

    def load(name, num_classes, weights):
        made.append({"name": name, "classes": num_classes, "weights": weights})
        own = made[-1] | {"drawn": np.random.random(), "number": len(made)}
        made[-1] = own

        def fit(images, labels, epochs, verbose):
            own.update(images=images, labels=labels, epochs=epochs)

        return stub(
            architecture,
            compile=lambda optimizer: own.update(optimizer=optimizer),
            fit=fit,
            predict=lambda images, **_: random_logits(len(images), own["number"]),
        )

    monkeypatch.setattr(registry, "load", load)
    return made


def test_fine_tuning_sets_each_pretrained_start_beside_a_random_one(
    trainings, tmp_path, call
):
    out = tmp_path / "record.json"
    options = ("--model", SHIPPED, "--epochs", 4, "--seeds", 5, 6, "--out", out)
    record = call("finetune", *options, "--json")
    assert json.loads(out.read_text(encoding="utf-8")) == record
    digits = data.load("digits")
    assert record["data"] == {"name": "digits", "fingerprint": digits.fingerprint}
    assert record["weights"] == registry.record(SHIPPED).weights.sha256
    assert record["model"] == SHIPPED
    assert record["provenance"]["backend"] == keras.backend.backend()
    starts = [(row["initial_weights"], row["seed"]) for row in record["rows"]]
    assert starts == [(s, n) for n in (5, 6) for s in ("pretrained", "random")]
    for row, made in zip(record["rows"], trainings, strict=True):
        assert made["weights"] == (row["initial_weights"] == "pretrained")
        assert (made["name"], made["classes"]) == (SHIPPED, 10)
        assert (made["epochs"], made["optimizer"]) == (row["epochs"], "adam")
        assert row["epochs"] == 4
        np.testing.assert_array_equal(made["images"], digits.train.images)
        np.testing.assert_array_equal(made["labels"], digits.train.labels)
        expected = accuracy(made["number"], digits.test.labels)
        assert row["accuracy"] == pytest.approx(expected)
    drawn = [made["drawn"] for made in trainings]
    assert drawn[0] == drawn[1] != drawn[2] == drawn[3]  # a pair shares its seed


def test_two_epochs_from_the_pretrained_weights_beat_two_from_random_ones(
    monkeypatch, first_digits
):
    few = first_digits(train=32, validation=1, test=100)
    monkeypatch.setattr(finetune.data, "load", lambda name: few)
    # Weights that suit the pictures best, so that few steps show what they are worth.
    rows = finetune.finetune("aebnas_digits", epochs=2, seeds=(1,)).rows
    pretrained, random = [row.accuracy for row in rows]
    assert pretrained > random + 0.03
    assert [row.initial_weights for row in rows] == ["pretrained", "random"]


def test_fine_tuning_prints_mean_and_spread_of_each_start(trainings, call):
    text = call("finetune", "--model", SHIPPED, "--seeds", 1, 2)
    labels = data.load("digits").test.labels
    found = [100 * accuracy(number, labels) for number in (1, 2, 3, 4)]
    for start, runs in (("pretrained", found[::2]), ("random", found[1::2])):
        (line,) = [x for x in text.splitlines() if x.split()[:1] == [start]]
        mean, spread = statistics.mean(runs), statistics.stdev(runs)
        assert line.split()[1:] == ["2", f"{mean:.2f}", "%", f"{spread:.2f}", "%"]


def test_starts_are_compared_by_mean_and_sample_deviation():
    rows = [
        Tuning(weights, 1, 3, accuracy, (accuracy,), {"standard": 1e6}, 1.0)
        for weights, accuracy in (
            ("pretrained", 0.9),
            ("random", 0.5),
            ("pretrained", 0.7),
        )
    ]
    first, second = finetune.compare(rows)
    assert (first.initial_weights, first.seeds) == ("pretrained", 2)
    assert first.mean == pytest.approx(0.8)
    assert first.spread == pytest.approx(0.1 * 2**0.5)
    assert second == finetune.Comparison("random", 1, 0.5, None)


def test_fine_tuning_an_unknown_model_is_an_error(fail):
    assert SHIPPED in fail("finetune", "--model", "aebnas_cifar10_smal")


# Pixel-exact test pictures


@pytest.fixture
def cifar10(monkeypatch):
    """Stands in for CIFAR-10 "somewhere": 10,000 test images without content."""
    images = np.zeros((10_000, 1, 1, 3), np.uint8)
    labels = np.random.default_rng(1).integers(0, 10, 10_000)
    split = data.Split(images, labels)
    dataset = data.Dataset(
        "cifar10", data.CIFAR10_CLASSES, True, split.take(1), split.take(1), split
    )

    def load(name, data_dir):
        assert (name, data_dir) == ("cifar10", "somewhere")
        return dataset

    monkeypatch.setattr(data, "load", load)
    return dataset


def test_copies_are_32_different_positions_of_the_test_split():
    copies = exact.copies()
    assert len(copies) == len(set(copies)) == 32
    assert all(0 <= position < 10_000 for position in copies)


def test_exact_leaves_the_copies_out_for_every_cifar10_model(
    cifar10, architecture, monkeypatch, tmp_path, call
):
    names = registry.list_models("*cifar10_*")
    logits = {name: random_logits(10_000, seed) for seed, name in enumerate(names)}
    for position in exact.copies():  # all right there, so that they count
        for each in logits.values():
            each[position, :, cifar10.test.labels[position]] = 99

    def load(name):
        return stub(architecture, predict=lambda images, **_: logits[name])

    monkeypatch.setattr(registry, "load", load)
    out = tmp_path / "record.json"
    record = call("exact", "--data-dir", "somewhere", "--out", out, "--json")
    assert json.loads(out.read_text(encoding="utf-8")) == record
    assert record["data"]["fingerprint"] == cifar10.fingerprint
    assert [row["model"] for row in record["rows"]] == names != []
    kept = np.setdiff1d(np.arange(10_000), exact.copies())
    cost = zoo.macs(architecture, 10)
    spent = np.array(cost.per_exit_at((0.3, 0.4)))
    for row in record["rows"]:
        hits, chosen = right(logits[row["model"]], cifar10.test.labels)
        assert row["all"]["samples"] == 10_000
        assert row["all"]["accuracy"] == pytest.approx(hits.mean())
        assert row["exact"]["samples"] == 10_000 - 32
        assert row["exact"]["accuracy"] == pytest.approx(hits[kept].mean())
        average = row["exact"]["average_macs"]["standard"]
        assert average == pytest.approx(spent[chosen[kept]].mean())
        assert row["weights"] == registry.record(row["model"]).weights.sha256
    text = call("exact", "--data-dir", "somewhere")
    for row in record["rows"]:
        for key in ("all", "exact"):
            assert f"{100 * row[key]['accuracy']:.2f} %" in text


def test_exact_without_the_data_is_an_error(fail, tmp_path, monkeypatch):
    def missing(name, data_dir):
        raise FileNotFoundError(f"No {name} in {data_dir}.")

    monkeypatch.setattr(data, "load", missing)
    assert "No cifar10 in" in fail("exact", "--data-dir", tmp_path)


# Surrogates


def test_surrogates_are_recorded_with_every_prediction(call, tmp_path, monkeypatch):
    class Mean:
        """Answers with the mean of what it was fitted to."""

        def fit(self, x, y):
            self.mean = y.mean()
            return self

        def predict(self, x):
            return np.full(len(x), self.mean)

    for name in SURROGATES:
        monkeypatch.setitem(SURROGATES, name, lambda seed: Mean())
    out = tmp_path / "record.json"
    record = call("surrogates", "--out", out, "--json")
    assert json.loads(out.read_text(encoding="utf-8")) == record
    assert record["seed"] == 1
    assert len(record["rows"]) == len(SURROGATES) * 2 * 2
    for row in record["rows"]:
        truth, predicted = np.array(row["true"]), np.array(row["predicted"])
        assert len(truth) == row["quality"]["n"] == 32
        np.testing.assert_allclose(predicted, (truth.sum() - truth) / 31)
        assert row["quality"]["rmse"] == pytest.approx(
            np.sqrt(np.mean((truth - predicted) ** 2))
        )
        assert row["quality"]["spearman"] == pytest.approx(-1, abs=0.02)
        assert row["quality"]["kendall"] == pytest.approx(-1, abs=0.02)
    text = call("surrogates")
    for row in record["rows"]:
        assert f"{row['quality']['rmse']:.2f}" in text
