"""Networks trained alike: their building, training, latencies, and the record."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from reproduce import compare, comparison, contenders, latency, networks, verify
from reproduce.comparison import ComparisonRecord, ContenderRecord, LatencyRecord
from reproduce.records import COMPARISON, RESULTS
from zoo import exits, records
from zoo.deploy import formats, runner, timing
from zoo.layers import BatchNormalization, DepthwiseConv2D

POINTS = [(3.0, 0.7), (1.0, 0.5), (2.0, 0.6)]


@pytest.fixture(scope="module")
def small_msdnet():
    """An MSDNet of two scales, then one, with two exits."""
    return networks.msdnet(10, growth=2, channels=4, blocks=((1, 2), (1, 1)))


@pytest.mark.parametrize(
    "budget, expected", [(0.9, None), (1, 0.5), (2.5, 0.65), (3, 0.7), (9, 0.7)]
)
def test_the_accuracy_at_a_budget_lies_between_measured_settings(budget, expected):
    assert comparison.within(POINTS, budget) == pytest.approx(expected)


def test_a_mean_frontier_covers_what_all_seeds_can_spend():
    other = [(1.5, 0.4), (4.0, 0.9)]
    costs, means = comparison.curve([POINTS, other])
    assert (costs[0], costs[-1]) == (1.5, 3.0)
    assert means[0] == pytest.approx((0.55 + 0.4) / 2)
    assert means[-1] == pytest.approx((0.7 + 0.7) / 2)
    assert comparison.curve([[(2.0, 0.5)], [(2.0, 0.7)]]) == ([2.0], [0.6])


def test_the_time_of_an_image_is_that_of_the_segments_on_its_way():
    times = {(0, 1): 1.0, (0, 2): 3.0, (1, 2): 4.0, (1, 3): 9.0, (2, 3): 5.0}
    segments = [comparison.SegmentTime(*place, ms) for place, ms in times.items()]
    shares = (0.5, 0.2, 0.3)
    both = comparison.milliseconds(segments, (0.1, 0.2), shares)
    assert both == pytest.approx(0.5 * 1 + 0.2 * 5 + 0.3 * 10)
    off = comparison.milliseconds(segments, (1, 0.2), (0, 0.6, 0.4))
    assert off == pytest.approx(0.6 * 3 + 0.4 * 8)
    off = comparison.milliseconds(segments, (0.1, 1), (0.6, 0, 0.4))
    assert off == pytest.approx(0.6 * 1 + 0.4 * 10)


def test_the_standings_are_means_over_the_seeds(compared):
    early, static, _ = comparison.standings(compared)
    cheap, _, dear = compared.rows[0].macs.per_exit
    assert early.macs == (cheap, dear) and static.macs == (2e6, 2e6)
    assert early.times == pytest.approx((0.25, 0.5)) and static.times == (0.35, 0.35)
    for budget, (mean, spread) in zip(comparison.BUDGETS, early.at_macs):
        expected = 0.5 + 0.2 * min(1, (budget - cheap) / (dear - cheap)) + 0.02
        assert mean == pytest.approx(expected)
        assert spread == pytest.approx(0.02 / 2**0.5)
    assert [level[0] for level in static.at_macs] == pytest.approx([0.62] * 3)
    for time, level in zip(comparison.TIMES, early.at_times):
        expected = 0.52 + 0.2 * min(1, (time - 0.25) / 0.25)
        assert level is None if time < 0.25 else level[0] == pytest.approx(expected)


def test_a_record_becomes_a_table_and_is_verified(compared, tmp_path, call):
    records.write(tmp_path / COMPARISON, compared)
    assert records.read(tmp_path / COMPARISON, ComparisonRecord) == compared
    text = call("table", "contenders", "--results", tmp_path)
    assert "500 test images of cifar10" in text
    assert "a pretrained one (learning_rate 0.01)" in text
    assert "| a static network | 2 | 2.00 | 62.0 ± 1.4 |" in text
    assert verify.check(tmp_path)[1] == []


def with_setting(row, **changes):
    (*others, last) = row.frontier
    return {"frontier": (*others, dataclasses.replace(last, **changes))}


@pytest.mark.parametrize(
    "message, changes",
    [
        ("average MACs", lambda row: with_setting(row, average_macs=1e6)),
        ("order of the frontier", lambda row: with_setting(row, chosen_macs=1.0)),
        (
            "accuracies of the frontier",
            lambda row: with_setting(row, chosen_accuracy=0.1),
        ),
        ("recipe", lambda row: {"recipe": row.recipe | {"epochs": 13}}),
        ("data", lambda row: {"data": "1"}),
        ("MACs", lambda row: {"macs": dataclasses.replace(row.macs, parameters=1)}),
    ],
)
def test_a_record_that_contradicts_itself_is_found(
    compared, tmp_path, message, changes
):
    first, *others = compared.rows
    rows = (dataclasses.replace(first, **changes(first)), *others)
    records.write(tmp_path / COMPARISON, dataclasses.replace(compared, rows=rows))
    lines = verify.check(tmp_path)[1]
    assert any(
        f"early, seed 1, {message}" in line.replace("frontier[1]: ", "")
        for line in lines
    )


# Training


def test_a_training_is_measured_on_both_splits_and_not_repeated(
    classifier, first_digits, tmp_path, untrained, monkeypatch
):
    mine = contenders.Contender("ours", "mine", lambda classes: classifier)
    monkeypatch.setitem(contenders.CONTENDERS, "mine", mine)
    digits = first_digits(train=16, validation=40, test=30)
    how = compare.recipe(3)
    row = compare.train("mine", digits, how, 1, tmp_path / "mine")
    assert (row.recipe["epochs"], row.recipe["batch_size"]) == (3, compare.BATCH)
    assert row.architecture == classifier.architecture.to_dict()
    for split, cost, accuracy in (
        (digits.validation, "chosen_macs", "chosen_accuracy"),
        (digits.test, "average_macs", "accuracy"),
    ):
        logits = classifier.predict(split.images, verbose=0)
        for point in row.frontier:
            found = exits.evaluate(
                logits, split.labels, classifier.macs, point.thresholds
            )
            assert getattr(point, accuracy) == pytest.approx(found.accuracy)
            assert getattr(point, cost) == pytest.approx(found.average_macs)
    spent = [point.chosen_macs for point in row.frontier]
    assert spent == sorted(spent) and len(spent) <= compare.SETTINGS
    monkeypatch.setattr(compare.training, "train", None)
    again = compare.train("mine", digits, how, 1, tmp_path / "mine")
    assert records.to_dict(again) == records.to_dict(row)
    with pytest.raises(ValueError, match="a training that differs in recipe"):
        compare.train("mine", digits, compare.recipe(4), 1, tmp_path / "mine")


@pytest.fixture
def trained(compared, monkeypatch, first_digits):
    """Stands in for trainings and latencies; a list of what was asked for."""
    asked = []
    digits = first_digits(train=16, validation=24, test=12)

    def train(name, dataset, recipe, seed, folder):
        asked.append((name, seed, recipe.learning_rate, len(dataset.train.labels)))
        made = dataclasses.replace(
            compared.rows[1],
            **{"contender": name, "seed": seed, "data": dataset.fingerprint},
            recipe=compare._plain(recipe),
        )
        folder.mkdir(parents=True, exist_ok=True)
        records.write(folder / compare.ROW, made)
        return made

    def measure(models, size, progress):
        asked.append((*models, size))
        times = {name: compared.latency.segments["static"] for name in models}
        return LatencyRecord("litert", 50, times, {})

    monkeypatch.setattr(compare, "train", train)
    monkeypatch.setattr(latency, "measure", measure)
    monkeypatch.setattr(compare.data, "load", lambda *_: digits)
    return asked


def test_some_networks_are_trained_and_then_all_that_is_there_is_recorded(
    trained, tmp_path, call
):
    where = ("--directory", tmp_path / "runs", "--images", 8)
    text = call("compare", "--contenders", "small", "lite0", "--seeds", 2, 1, *where)
    assert trained == [
        *(("small", 2, compare.RATE, 8), ("lite0", 2, 0.01, 8)),
        *(("small", 1, compare.RATE, 8), ("lite0", 1, 0.01, 8)),
    ]
    assert "4 trainings are finished" in text
    trained.clear()
    out = tmp_path / "results" / COMPARISON
    call("compare", "--finished", *where, "--out", out)
    record = records.read(out, ComparisonRecord)
    done = [(row.contender, row.seed) for row in record.rows]
    assert done == [("small", 1), ("lite0", 1), ("small", 2), ("lite0", 2)]
    assert [each.name for each in record.networks] == ["small", "lite0"]
    assert record.images == 8 and record.test_images == 12
    assert ("small", "lite0", 32) in trained
    assert verify.check(out.parent)[1] == []
    trained.clear()
    call("compare", "--finished", "--contenders", "lite0", *where, "--out", out)
    assert not [each for each in trained if each[-1] == 32]  # latencies are known


def test_an_unknown_network_and_an_empty_folder_are_errors(trained, tmp_path, fail):
    assert "Did you mean 'small'" in fail("compare", "--contenders", "smal")
    where = ("--directory", tmp_path, "--finished", "--json")
    assert "is finished" in fail("compare", *where)


# Networks


def test_every_network_has_a_family_and_a_text_of_its_own():
    found = contenders.CONTENDERS.values()
    assert {each.family for each in found} == set(contenders.FAMILIES)
    assert len({each.text for each in found}) == len(found)
    with pytest.raises(ValueError, match="family is 'fast'; choose from ours"):
        contenders.Contender("fast", "mine", lambda classes: None)


def test_resnet_20_costs_what_its_layers_say():
    model = networks.branchynet(4, 10)
    stem, stages = 32 * 32 * 27 * 4, []
    for width, size in ((4, 32), (8, 16), (16, 8)):
        inside = 6 * size**2 * 9 * width**2
        if width > 4:  # the first convolution and the projection have half the inputs
            inside += size**2 * (width // 2 * width - 9 * width * width // 2)
        stages.append(inside)
    first = stem + 2 * 32**2 * 9 * 4**2
    whole = stem + sum(stages) + 16 * 10
    expected = (first, stem + stages[0], stem + sum(stages[:2]), whole)
    assert model.macs.backbone == expected
    head = 16**2 * 9 * 4**2 + 4 * 10
    assert model.macs.branches[:2] == (head, head)
    assert model.num_exits == 4


def test_an_msdnet_can_be_cut_at_its_exits(small_msdnet):
    images = np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), np.uint8)
    logits = small_msdnet.predict(images, verbose=0)
    small_msdnet.thresholds = (float(np.median(exits.confidence(logits)[:, 0])),)
    leaving = exits.decide(logits, small_msdnet.thresholds)
    assert 0 < leaving.sum() < 6
    early = small_msdnet.predict_early(images)
    np.testing.assert_array_equal(early.exits, leaving)
    json.dumps(small_msdnet.get_config())  # a training notes it
    names = [layer.name for layer in small_msdnet.layers]
    assert "block1_layer1_scale1_finer" in names and "block2_half0" in names


def test_a_static_network_has_one_exit_and_layers_that_train_fast(monkeypatch):
    def network(shape, alpha, include_top, weights):
        images = keras.Input(shape)
        x = keras.layers.DepthwiseConv2D(3, padding="same")(images)
        x = keras.layers.BatchNormalization(momentum=0.999)(x)
        return keras.Model(images, x)

    model = contenders.static(network, 40, 1.0, 10)
    assert (model.num_exits, model.macs.branches) == (1, ())
    kinds = {type(layer): layer for layer in model.layers}
    assert kinds[BatchNormalization].momentum == contenders.MOMENTUM
    assert DepthwiseConv2D in kinds
    assert model.predict(np.zeros((2, 32, 32, 3)), verbose=0).shape == (2, 1, 10)


@pytest.mark.skipif(not RESULTS.is_dir(), reason="the package has no records")
def test_the_network_of_edanas_is_the_best_that_its_searches_report(monkeypatch):
    monkeypatch.setattr(
        contenders, "EarlyExitClassifier", lambda architecture, classes: architecture
    )
    network = contenders.edanas(10)
    folder = RESULTS / "experiments" / "reduced"
    runs = [records.read(path) for path in sorted(folder.glob("cifar10_edanas_*"))]
    reported = [contenders.reported(record) for record in runs]
    scores = [
        exits.paper_score(
            each.evaluation.accuracy, each.evaluation.average_macs, 2.44e6
        )
        for each in reported
    ]
    assert network == reported[int(np.argmax(scores))].network
    path = RESULTS / "from_scratch" / "aebnas_cifar10_small.json"
    ours = contenders.ours("aebnas_cifar10_small", 10)
    assert ours == records.read(path).architecture


def test_every_way_through_a_network_is_timed(small_msdnet, monkeypatch, tmp_path):
    seen = []

    def convert(segment, shape, quantization, features):
        assert (quantization, features) == (None, None)
        return segment, shape

    def opened(made, threads):
        segment, shape = made

        def run(batch):
            assert batch.shape == (1, *shape) and threads == 1
            seen.append(shape)
            return [np.asarray(each) for each in segment(batch)]

        return run

    litert = dataclasses.replace(formats.FORMATS["litert"], convert=convert, needs=())
    monkeypatch.setitem(formats.FORMATS, "litert", litert)
    monkeypatch.setattr(runner, "open_litert", opened)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    found = latency.measure({"mine": lambda: small_msdnet}, 32, rounds=2)
    places = [(each.begin, each.exit) for each in found.segments["mine"]]
    assert places == [(0, 1), (0, 2), (1, 2)]
    assert all(each.ms > 0 for each in found.segments["mine"])
    packed = tuple(small_msdnet.exit_features[0].shape[1:])
    turns = timing.WARM_UP + 2
    assert sorted(seen) == sorted([(32, 32, 3), (32, 32, 3), packed] * turns)


def test_rows_are_records(compared, tmp_path):
    records.write(tmp_path / "row.json", compared.rows[0])
    assert records.read(tmp_path / "row.json", ContenderRecord) == compared.rows[0]
