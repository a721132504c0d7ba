"""What is drawn is what is recorded, or follows from it."""

import functools
import json
import types

import numpy as np
import pytest

import search
import zoo
from figures.surrogates import RECORD, surrogates
from reproduce import published
from reproduce.records import RESULTS, SurrogateQualityRecord
from zoo import data, records, registry

SEARCHES = sorted((RESULTS / "searches").glob("*.json"))


def lines(axes, label=None):
    """Coordinates of the lines, or of the one with a label; shape `(2, points)`."""
    found = [
        np.array(line.get_data(), float)
        for line in axes.get_lines()
        if label in (None, line.get_label())
    ]
    return found if label is None else found[0]


# Models


def grey(axes):
    return [line for line in axes.get_lines() if line.get_color() == "0.45"]


def test_every_published_network_with_an_accuracy_has_a_grey_marker(draw):
    (axes,) = draw("models", "cifar10")
    rows = [row for row in published.rows("cifar10") if row.accuracy is not None]
    drawn = sorted(tuple(np.ravel(line.get_data())) for line in grey(axes))
    expected = sorted((row.average_macs / 1e6, row.accuracy) for row in rows)
    np.testing.assert_allclose(drawn, expected)
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert {text for text in texts if not text.endswith("(test)")} == {
        "AEBNAS (derived)",
        *(f"{family} (published)" for family in ("NACHOS", "EDANAS", "Static NAS")),
        *(f"{family} (published)" for family in ("EECNN", "EEAlexNet", "EEResNet20")),
        "threshold settings (validation)",
    }
    assert axes.get_title() == "Models of cifar10, and published networks"
    families = {}
    for line, row in zip(grey(axes), rows):
        families.setdefault(line.get_marker(), set()).add(row.system[:5])
    assert all(len(names) == 1 for names in families.values())


def test_a_network_that_is_far_away_is_named_at_the_edge(draw):
    (axes,) = draw("models", "cifar10")
    spent = sorted(row.average_macs / 1e6 for row in published.rows("cifar10")[:-1])
    *near, far = spent
    low, high = axes.get_xlim()
    assert low < near[0] and near[-1] < high < far
    assert [text.get_text() for text in axes.texts] == ["EEAlexNet, 233 M"]
    assert axes.texts[0].xy == (1, 73.03)


def test_an_accuracy_that_is_not_available_has_no_marker(draw, monkeypatch):
    everything = published.rows("svhn_cropped")
    monkeypatch.setattr(published, "rows", lambda data: everything)
    (axes,) = draw("models", "digits")
    assert len(grey(axes)) == len(everything) - 1
    assert [row.system for row in everything if row.accuracy is None] == ["AEBNAS"]


def test_every_pretrained_model_has_its_frontier_and_a_star(draw):
    (axes,) = draw("models", "cifar10")
    names = [
        name
        for name in registry.list_models()
        if registry.record(name).data.name == "cifar10"
        and registry.record(name).architecture is not None
    ]
    drawn = [line for line in axes.get_lines() if line.get_linestyle() == "-"]
    *frontiers, legend = drawn
    assert legend.get_label() == "threshold settings (validation)"
    assert len(frontiers) == len(names) > 0
    for name in names:
        test = registry.record(name).results["test"]
        star = lines(axes, f"{name} (test)").ravel()
        expected = test.average_macs["aebnas"] / 1e6, 100 * test.accuracy
        np.testing.assert_allclose(star, expected)
        points = registry.operating_points(name, "aebnas")
        shown = [(p.average_macs / 1e6, 100 * p.accuracy) for p in points]
        assert any(
            line.get_xydata().shape == np.shape(shown)
            and np.allclose(line.get_xydata(), shown)
            for line in frontiers
        )


# Frontier


def test_a_frontier_and_what_is_beside_it_are_of_one_split(draw):
    (axes,) = draw("frontier", "aebnas_cifar10_medium")
    noted = registry.record("aebnas_cifar10_medium")
    found = noted.results["validation"]
    points = [(p.average_macs / 1e6, 100 * p.accuracy) for p in noted.frontier]
    mean = zoo.exits.mean_accuracy(
        noted.frontier, noted.frontier[0].average_macs, noted.macs.backbone[-1]
    )
    label = f"threshold settings, mean over log MACs {100 * mean:.1f} %"
    np.testing.assert_allclose(lines(axes, label).T, points)
    spent, accuracy = lines(axes, "every image at one exit")
    np.testing.assert_allclose(accuracy, 100 * np.array(found.exit_accuracy))
    # Without the branches of other exits, and with its own, whether it is on or off.
    cost = noted.macs
    for k, macs in enumerate(spent[:-1]):
        alone = cost.per_exit_with([i == k for i in range(len(cost.branches))])
        assert macs == alone[k] / 1e6
    assert spent[-1] == cost.backbone[-1] / 1e6
    shipped = lines(axes, "as shipped").ravel()
    expected = found.average_macs["standard"] / 1e6, 100 * found.accuracy
    np.testing.assert_allclose(shipped, expected)


def test_a_frontier_that_begins_at_the_whole_network_has_no_mean(draw, tmp_path):
    record = records.to_dict(registry.record("aebnas_digits"))
    point = {**record["frontier"][0], "average_macs": record["macs"]["backbone"][-1]}
    (tmp_path / "config.json").write_text(json.dumps(record | {"frontier": [point]}))
    (axes,) = draw("frontier", tmp_path)
    assert lines(axes, "threshold settings").shape == (2, 1)


# Networks


def test_a_network_shows_its_parts_its_exits_and_where_images_leave(draw):
    (axes,) = draw("network", "aebnas_digits")
    noted = registry.record("aebnas_digits")
    test = noted.results["test"]
    shown = [text.get_text() for text in axes.texts]
    for part in ("input", "stem", *(f"stage {i}" for i in range(1, 6)), "head"):
        assert part in shown
    for name, share, macs in zip(
        ("exit after stage 1", "exit after stage 2", "final classifier"),
        test.utilisation,
        test.macs["standard"],
    ):
        says = shown[shown.index(name) :]
        expected = f"{100 * share:.1f} % leave, {macs / 1e6:.2f} M MACs each"
        assert expected == next(text for text in says if "leave" in text)
    across = [line for line in axes.get_lines() if len({*line.get_ydata()}) == 1]
    widths = [line.get_linewidth() - 1 for line in across]
    assert np.divide(widths, sum(widths)) == pytest.approx(test.utilisation)


def test_a_network_outside_the_space_is_shown_by_its_macs(draw, tmp_path):
    record = records.to_dict(registry.record("vit_digits"))
    record["results"]["test"]["thresholds"][0] = 1
    (tmp_path / "config.json").write_text(json.dumps(record))
    (axes,) = draw("network", tmp_path)
    shown = [text.get_text() for text in axes.texts]
    assert shown[shown.index("exit 1") + 1] == "switched off"
    first, second = record["macs"]["backbone"][:2]
    assert f"{(second - first) / 1e6:.2f} M MACs" in shown
    del record["results"]
    (tmp_path / "config.json").write_text(json.dumps(record))
    (axes,) = draw("network", tmp_path)
    assert not any("leave" in text.get_text() for text in axes.texts)


# Reliability


def test_a_reliability_diagram_shows_accuracy_by_confidence(draw, monkeypatch):
    monkeypatch.setattr(registry, "load", functools.cache(registry.load))
    panels = draw("reliability", "aebnas_digits")
    noted = registry.record("aebnas_digits")
    test = data.load("digits").test
    logits = registry.load("aebnas_digits").predict(test.images, verbose=0)
    found = zoo.exits.reliability(logits, test.labels)
    upper, lower = np.reshape(panels, (2, 3))
    for k in range(3):
        error = noted.results["test"].calibration_error[k]
        assert upper[k].get_title().endswith(f"ECE {100 * error:.1f} %")
        for axes, values in ((upper[k], found.accuracy), (lower[k], found.share)):
            (bars,) = axes.containers
            heights = [bar.get_height() for bar in bars]
            np.testing.assert_allclose(heights, 100 * values[k])
            assert bars[3].get_x() == pytest.approx(3 / 15)


# Exits


def test_bars_are_as_high_as_the_record_says(draw):
    (axes,) = draw("exits", "aebnas_digits")
    test = registry.record("aebnas_digits").results["test"]
    keys = ("utilisation", "leaving_accuracy", "exit_accuracy")
    for bars, key in zip(axes.containers, keys, strict=True):
        heights = [bar.get_height() for bar in bars]
        assert heights == pytest.approx(
            [100 * (each or 0) for each in getattr(test, key)]
        )
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    spent = [text.split("\n")[1] for text in ticks]
    assert spent == [f"{macs / 1e6:.2f} M" for macs in test.macs["standard"]]


def test_an_exit_that_nothing_leaves_at_has_an_empty_bar(draw, tmp_path):
    record = records.to_dict(registry.record("aebnas_digits"))
    record["results"]["test"]["leaving_accuracy"][0] = None
    (tmp_path / "config.json").write_text(json.dumps(record))
    (axes,) = draw("exits", tmp_path)
    assert axes.containers[1][0].get_height() == 0
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("") == 1 and "0.0" not in texts


# Thresholds


def test_maps_show_the_measured_accuracy_and_average_macs(draw):
    accuracy, spent = draw("thresholds", "aebnas_digits", "--exits", "2", "1")
    model = registry.load("aebnas_digits")
    images, labels = data.load("digits").validation
    logits = model.predict(images, verbose=0)
    grid = zoo.exits.GRID
    for first, second in ((0, 0), (2, 17), (17, 2), (19, 5), (5, 19), (19, 19)):
        setting = list(model.thresholds)
        setting[0], setting[1] = grid[first], grid[second]
        found = zoo.exits.evaluate(logits, labels, model.macs, setting)
        for axes, value in (
            (accuracy, 100 * found.accuracy),
            (spent, found.average_macs / 1e6),
        ):
            # Rows go up: the second of --exits is the vertical axis.
            shown = axes.images[0].get_array()
            assert shown.shape == (len(grid), len(grid))
            assert shown[first, second] == pytest.approx(value, rel=1e-6)
    names = [accuracy.get_xlabel(), accuracy.get_ylabel()]
    stages = [i for i, b in enumerate(model.architecture.branches, 1) if b is not None]
    assert names == [f"threshold after stage {stages[k]}" for k in (1, 0)]
    (star,) = lines(accuracy)
    shipped = [grid.index(model.thresholds[k]) for k in (1, 0)]
    assert star.ravel().tolist() == shipped


def test_long_names_of_exits_are_not_clipped(draw, tmp_path, monkeypatch):
    names = [f"{'efficientnet_lite0_block_' * 3}{k}" for k in (1, 2)]
    record = records.to_dict(registry.record("aebnas_digits"))
    record["model"]["config"]["architecture"] = None
    (tmp_path / "config.json").write_text(
        json.dumps(record | {"exit_names": [*names, "final"]})
    )
    model = types.SimpleNamespace(
        predict=lambda images, **_: np.eye(10)[
            np.arange(len(images))[:, None] % [1, 3, 7]
        ],
        macs=registry.record("aebnas_digits").macs,
        thresholds=(0.5, 0.5),
        exit_rule="score_margin",
    )
    monkeypatch.setattr(registry, "load", lambda name: model)
    for axes in draw("thresholds", tmp_path):
        for label in (axes.xaxis.label, axes.yaxis.label):
            box, whole = label.get_window_extent(), axes.figure.bbox
            assert whole.x0 <= box.x0 < box.x1 <= whole.x1
            assert whole.y0 <= box.y0 < box.y1 <= whole.y1


# Examples


def test_examples_are_the_first_test_images_of_each_exit(draw):
    panels = draw("examples", "aebnas_digits")
    test = data.load("digits").test
    answers = registry.load("aebnas_digits").predict_early(test.images)
    assert "orange if it is wrong" in panels[0].figure.get_suptitle()
    exits = answers.exits.max() + 1
    assert len(panels) % 8 == 0
    for row in range(exits):
        shown = panels[8 * row : 8 * row + 8]
        chosen = np.flatnonzero(answers.exits == row)
        share = f"{100 * len(chosen) / len(test.labels):.1f} %"
        assert shown[0].get_ylabel().endswith(f"\n{share}")
        assert sum(len(panel.images) for panel in shown) == min(8, len(chosen))
        for panel, k in zip(shown, chosen):
            np.testing.assert_array_equal(panel.images[0].get_array(), test.images[k])
            answer, truth = answers.labels[k], test.labels[k]
            expected = str(answer) if answer == truth else f"{answer} ({truth})"
            assert panel.get_title() == expected
            colour = "black" if answer == truth else "#D55E00"
            assert panel.title.get_color() == colour


# Searches


@pytest.mark.parametrize("path", SEARCHES, ids=lambda path: path.stem)
def test_a_search_shows_candidates_fronts_and_hypervolume_of_its_record(path, draw):
    record = search.record(path)
    left, right = draw("search", path)
    initial = record.settings.initial_trials
    metrics = {c.trial: c.metrics for c in record.candidates}

    def points(trials):
        found = [(metrics[t]["average_macs"], metrics[t]["error"]) for t in trials]
        return np.array(sorted(found)).T * [[1e-6], [100]]

    def drawn(label):
        x, y = lines(left, label)
        order = np.lexsort((y, x))
        return np.array([x[order], y[order]])

    random = [trial for trial in metrics if int(trial) < initial]
    rest = [trial for trial in metrics if int(trial) >= initial]
    np.testing.assert_allclose(drawn("random candidates"), points(random))
    np.testing.assert_allclose(drawn("proposed candidates"), points(rest))
    np.testing.assert_allclose(drawn("front of candidates"), points(record.front))
    fine = [(p.average_macs / 1e6, 100 * p.error) for p in record.settings_front]
    np.testing.assert_allclose(lines(left, "front of all thresholds").T, fine)
    steps = {line.get_label(): line.get_drawstyle() for line in left.get_lines()}
    for front in ("front of candidates", "front of all thresholds"):
        assert steps[front] == "steps-post"  # nothing lies between two of its members
    target = record.settings.target_macs
    assert lines(left, "target")[0].tolist() == [target / 1e6] * 2
    volumes, proposed = lines(right)
    count = len(record.hypervolume)
    assert volumes[0].tolist() == list(range(1, count + 1))
    assert volumes[1].tolist() == [volume for _, volume in record.hypervolume]
    assert proposed[0].tolist() == [initial] * 2


def test_a_failed_random_candidate_makes_no_proposed_one_random(draw, tmp_path):
    record = json.loads(SEARCHES[0].read_text(encoding="utf-8"))
    initial = record["settings"]["initial_trials"]
    lost = next(
        c["trial"]
        for c in record["candidates"][:initial]
        if c["trial"] not in record["front"]
    )
    record["candidates"] = [c for c in record["candidates"] if c["trial"] != lost]
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    left, _ = draw("search", path)
    assert lines(left, "random candidates").shape == (2, initial - 1)


def test_a_search_without_a_target_has_no_line_for_it(draw, tmp_path):
    record = json.loads(SEARCHES[0].read_text(encoding="utf-8"))
    record["settings"]["target_macs"] = None
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    left, _ = draw("search", path)
    assert "target" not in [line.get_label() for line in left.get_lines()]


# Surrogates


def test_surrogates_show_every_prediction_against_the_truth(draw):
    panels = draw("surrogates")
    rows = records.read(RECORD, SurrogateQualityRecord).rows
    for axes, target in zip(panels, ("error", "average MACs"), strict=True):
        for row in rows:
            if (row.target, row.inputs) == (target, "genes and costs"):
                label = f"{row.surrogate}, Spearman {row.quality.spearman:.2f}"
                expected = [row.true, row.predicted]
                np.testing.assert_allclose(lines(axes, label), expected)
        assert len(axes.get_lines()) == 3  # two surrogates and the diagonal


def test_a_record_without_predictions_is_an_error(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"rows": [{"surrogate": "mlp"}]}))
    with pytest.raises(ValueError, match="record.json does not say what kind"):
        surrogates(tmp_path / "figure.png", path)
