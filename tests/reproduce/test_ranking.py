"""Does inheritance rank? What `reproduce.ranking` trains, and its correlations."""

import dataclasses
import types

import numpy as np
import pytest
from scipy import stats

import zoo
from reproduce import ranking, verify
from reproduce.records import RANKING, RESULTS, RankingRecord
from search.supernet.stored import About
from zoo import records, registry, training

ARCHITECTURES = ranking.architectures(6, (32,), seed=3)


def test_the_networks_have_all_exits_and_go_from_cheap_to_dear():
    spent = [zoo.macs(each, 10).per_exit[-1] for each in ARCHITECTURES]
    assert spent == sorted(spent) and spent[-1] > 2 * spent[0]
    assert all(len(each.exits) == 4 for each in ARCHITECTURES)
    assert {each.resolution for each in ARCHITECTURES} == {32}
    assert ranking.architectures(6, (32,), seed=3) == ARCHITECTURES
    assert ranking.architectures(6, (32,), seed=4) != ARCHITECTURES
    with pytest.raises(ValueError, match="The number of networks is 5; expected 6"):
        ranking.architectures(5, (32,))


def test_the_agreement_is_that_of_scipy_over_all_networks_and_within_bands(ranked):
    found = {(row.measure, row.exit): row for row in ranking.agreement(ranked)}
    assert len(found) == 6
    short = np.array([row.short for row in ranked.rows])
    long = np.array([row.long for row in ranked.rows])
    final = found["short training", "final"]
    assert final.spearman == pytest.approx(stats.spearmanr(short, long)[0][4, 9])
    assert final.kendall == pytest.approx(stats.kendalltau(short[:, 4], long[:, 4])[0])
    of_all = stats.spearmanr(short.mean(1), long.mean(1))[0]
    assert found["short training", "all"].spearman == pytest.approx(of_all)
    pairs = [  # a band holds two networks, which are ranked alike or not
        np.sign(short[k + 1, 4] - short[k, 4]) * np.sign(long[k + 1, 4] - long[k, 4])
        for k in (0, 2, 4)
    ]
    assert final.within == pytest.approx(np.mean(pairs))
    by_macs = found["MACs", "final"].spearman
    assert by_macs == pytest.approx(stats.spearmanr(range(6), long[:, 4])[0])


def test_a_record_becomes_a_table_and_its_macs_are_verified(ranked, tmp_path, call):
    records.write(tmp_path / RANKING, ranked)
    text = call("table", "ranking", "--results", tmp_path)
    assert "6 random networks" in text and "Spearman within bands of MACs" in text
    for row in ranking.cells(ranked):
        assert f"| {' | '.join(row)} |" in text
    assert verify.check(tmp_path)[1] == []
    wrong = dataclasses.replace(ranked.rows[2], macs=(1, 2, 3, 4, 5))
    changed = (*ranked.rows[:2], wrong, *ranked.rows[3:])
    records.write(tmp_path / RANKING, dataclasses.replace(ranked, rows=changed))
    (line,) = verify.check(tmp_path)[1]
    assert "MACs of network 2" in line


def test_a_training_is_measured_on_validation_and_not_repeated(
    first_digits, tmp_path, untrained, monkeypatch
):
    stage = zoo.Stage.uniform(2, 3, 3)
    branch = zoo.Branch((zoo.ConvModule(8),))
    small = zoo.Architecture(
        32, (stage,) * 5, (branch, None, None, None), (0.5, 1, 1, 1)
    )
    digits = first_digits(train=16, validation=24, test=12)
    arguments = small, digits, training.recipe("short"), None, 1, tmp_path
    found = ranking._trained(*arguments)
    (folder,) = tmp_path.iterdir()
    model = zoo.load(folder)
    right = model.predict(digits.validation.images, verbose=0).argmax(-1)
    expected = (right == digits.validation.labels[:, None]).mean(0)
    np.testing.assert_allclose(found, expected)
    monkeypatch.setattr(training, "train", None)
    assert ranking._trained(*arguments) == found
    other = dataclasses.replace(small, resolution=40)
    for k, changed in ((0, other), (2, training.recipe("short", epochs=3)), (4, 2)):
        with pytest.raises(TypeError, match="not callable"):  # it is trained
            ranking._trained(*arguments[:k], changed, *arguments[k + 1 :])


def test_every_network_is_measured_and_the_record_says_how(
    first_digits, tmp_path, monkeypatch, call
):
    inheriting = pytest.importorskip("search.supernet.inheriting")
    from search.supernet import network, stored

    digits = first_digits(train=16, validation=24, test=12)
    asked = []

    def trained(architecture, dataset, recipe, initial, seed, folder):
        start = initial and initial.digest
        asked.append((recipe.name, recipe.epochs, len(dataset.train.labels), start))
        return (0.1, 0.2, 0.3, 0.4, 0.5)

    def inherit(supernet, dataset, folder):
        images = len(dataset.validation.labels)
        answers = np.eye(10)[dataset.validation.labels]  # right at the final exit
        logits = np.stack([*np.zeros((4, images, 10)), answers], 1)

        def of(architecture, classes):
            return types.SimpleNamespace(
                logits=logits,
                cost=lambda: zoo.macs(architecture, classes),
                thresholds=architecture.exit_thresholds,
                exit_rule="score_margin",
            )

        return types.SimpleNamespace(network=of)

    def load(name):
        return types.SimpleNamespace(digest=f"digest of {name}")

    monkeypatch.setattr(network.Supernet, "load", load)
    monkeypatch.setattr(stored, "about", lambda name: About(resolutions=(32,)))
    monkeypatch.setattr(inheriting, "Inherit", inherit)
    monkeypatch.setattr(ranking.data, "load", lambda *_: digits)
    monkeypatch.setattr(ranking, "_trained", trained)
    monkeypatch.setattr(ranking, "SHORT_IMAGES", 8)
    out = tmp_path / "ranking.json"
    folder = ("--directory", tmp_path / "runs", "--initial", "other")
    call("ranking", "mine", "--networks", 6, "--epochs", 7, *folder, "--out", out)
    record = records.read(out, RankingRecord)
    assert asked == [("short", 2, 8, None), ("long", 7, 16, "digest of other")] * 6
    assert (record.supernet, record.initial) == ("digest of mine", "digest of other")
    assert record.data.name == "digits"
    assert (record.recipe["epochs"], record.short_images) == (7, 8)
    expected = [each.to_dict() for each in ranking.architectures(6, (32,))]
    assert [row.architecture for row in record.rows] == expected
    assert all(row.inherited[-1] == 1 for row in record.rows)
    assert all(
        row.inherited[0] == np.mean(digits.validation.labels == 0)
        for row in record.rows
    )
    assert registry.CONFIG not in {path.name for path in tmp_path.rglob("*")}


def test_the_separate_training_may_start_from_a_supernet(first_digits):
    network = pytest.importorskip("search.supernet.network")
    architecture, recipe = ARCHITECTURES[0], training.recipe("long")
    digits = first_digits(train=16, validation=24, test=12)
    supernet = network.Supernet.random(7, seed=1)
    model = ranking._start(architecture, digits, recipe, supernet)
    statistics = supernet.calibrate(architecture, digits.train.images)
    extracted = supernet.extract(architecture, statistics)
    assert (extracted.num_classes, model.num_classes) == (7, 10)
    different = {
        layer.name
        for layer in extracted.layers
        for one, other in zip(layer.get_weights(), model.get_layer(layer.name).weights)
        if not np.array_equal(one, other)
    }
    assert different and all("classifier" in name for name in different)


def test_inherited_weights_rank_the_networks_and_what_else_is_cheap_does_not():
    record = records.read(RESULTS / RANKING, RankingRecord)
    assert len(record.rows) == 12 and record.recipe["epochs"] == 3
    found = {
        row.measure: row.spearman
        for row in ranking.agreement(record)
        if row.exit == "final"
    }
    assert found["inherited"] > 0.5 > 0.2 > max(found["short training"], found["MACs"])
    final = [row.long[-1] for row in record.rows]
    assert max(final) - min(final) < 0.03
