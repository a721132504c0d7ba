"""`zoo.fit`: train, choose thresholds, measure, save, in one call."""

import dataclasses

import keras
import numpy as np
import pytest

import zoo
from zoo import exits, measure, records, training

BRIEF = training.Recipe("brief", 2, 16, 0.02, augmentation="none", erase=0.2)


@pytest.fixture(scope="module")
def dataset(first_digits):
    return first_digits(train=64, validation=60, test=40)


class Count(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)
        assert isinstance(self.model.model, zoo.EarlyExitModel)


@pytest.fixture(scope="module")
def fitted(generic, dataset, tmp_path_factory):
    """A model fitted into a folder: folder, model, result, callback."""
    folder = tmp_path_factory.mktemp("fit") / "mine"
    model, count = generic(exit_rule="max_probability"), Count()
    found = zoo.fit(
        *(model, dataset, BRIEF, folder),
        **{"seed": 3, "choose": measure.within(0.9 * model.macs.per_exit[-1])},
        **{"callbacks": [count], "notes": ["Brief."], "facts": {"teacher": "nobody"}},
        verbose=0,
    )
    return folder, model, found, count


def test_the_folder_holds_the_model_its_card_and_the_training(fitted):
    folder, model, found, _ = fitted
    names = {"config.json", "model.weights.h5", "card.md", "log.csv"}
    assert names | {"checkpoint.h5", "training.json"} <= {
        path.name for path in folder.iterdir()
    }
    assert found.record == zoo.registry.record(folder)
    loaded = zoo.load(folder)
    assert type(loaded) is zoo.EarlyExitModel
    assert loaded.thresholds == model.thresholds
    assert loaded.frontier == found.record.frontier
    assert model.frontier == found.frontier  # measured anew after the training
    assert loaded.exit_rule == "max_probability"
    assert loaded.macs == model.macs
    assert "Brief." in zoo.card(folder)


def test_the_record_says_how_the_model_was_trained(fitted, dataset):
    _, _, found, _ = fitted
    noted = found.record.training
    assert found.record.recipe == records.to_dict(dataclasses.asdict(BRIEF))
    assert (noted["seed"], noted["teacher"]) == (3, "nobody")
    assert noted["seconds"] == found.training.seconds
    assert noted["images_per_second"] == found.training.images_per_second
    assert found.record.notes == ("Brief.",)
    assert found.record.data == measure.describe(dataset)
    assert set(found.record.results) == {"validation", "test"}
    assert found.record.class_name == "EarlyExitModel"
    assert found.record.architecture is None


def test_the_result_is_that_of_the_model_on_the_validation_split(fitted, dataset):
    _, model, found, _ = fitted
    images, labels = dataset.validation
    logits = model.predict(images, verbose=0)
    rule = model.exit_rule
    expected = exits.evaluate(logits, labels, model.macs, model.thresholds, rule)
    assert found.validation == expected
    assert found.frontier == exits.frontier(logits, labels, model.macs, rule=rule)
    assert found.training.epochs == 2


def test_callbacks_are_called(fitted):
    assert fitted[3].epochs == [0, 1]


def test_thresholds_are_chosen_as_asked(fitted, dataset):
    _, model, found, _ = fitted
    budget = 0.9 * model.macs.per_exit[-1]
    assert found.validation.average_macs <= budget
    affordable = [p for p in found.frontier if p.average_macs <= budget]
    assert found.validation.accuracy == max(p.accuracy for p in affordable)


def test_the_same_call_again_continues_with_nothing_left_to_do(
    fitted, generic, dataset
):
    folder, model, found, _ = fitted
    other, count = generic(seed=8, exit_rule="max_probability"), Count()
    again = zoo.fit(
        *(other, dataset, BRIEF, folder),
        **{"seed": 3, "choose": measure.within(0.9 * model.macs.per_exit[-1])},
        **{"callbacks": [count], "notes": ["Brief."], "facts": {"teacher": "nobody"}},
        verbose=0,
    )
    assert count.epochs == []
    assert again.training == found.training
    assert again.record.weights == found.record.weights
    assert other.thresholds == model.thresholds
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_an_interrupted_fit_takes_the_same_course(fitted, generic, dataset, tmp_path):
    _, model, found, _ = fitted

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    arguments = {"recipe": BRIEF, "folder": tmp_path, "seed": 3, "verbose": 0}
    rule = {"exit_rule": "max_probability"}
    with pytest.raises(KeyboardInterrupt):
        zoo.fit(generic(**rule), dataset, callbacks=[Interrupt()], **arguments)
    assert not (tmp_path / "config.json").exists()
    other, count = generic(seed=8, **rule), Count()
    again = zoo.fit(other, dataset, callbacks=[count], **arguments)
    assert count.epochs == [1]
    assert again.record.weights == found.record.weights
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


# Thresholds, without a training


def test_without_a_choice_the_thresholds_stay(generic, dataset, untrained):
    model = generic(thresholds=(0.25, 0.5))
    found = zoo.fit(model, dataset, BRIEF)
    assert model.thresholds == (0.25, 0.5) == found.validation.thresholds
    assert found.record is None


@pytest.mark.parametrize(
    "way, convention", [("max_macs", "aebnas"), ("target_macs", "standard")]
)
def test_budget_and_target_are_met_in_their_convention(
    classifier, generic, copy_of, dataset, tmp_path, untrained, way, convention
):
    # Of networks that no `Architecture` describes there is one convention alone.
    model = generic() if convention == "standard" else copy_of(classifier)
    cost = model.cost(convention)
    asked = (cost.per_exit[0] + cost.per_exit[-1]) / 2
    small = dataclasses.replace(dataset, test=dataset.test.take(8))
    found = zoo.fit(
        *(model, small, "short", tmp_path),
        **{way: asked, "convention": convention},
    )
    logits = measure.predict(model, small.validation.images)
    data = logits, small.validation.labels, cost
    if way == "max_macs":
        expected = exits.thresholds_for_budget(*data, asked)
        assert found.validation.average_macs <= asked
    else:
        expected = exits.tune_thresholds(*data, target_macs=asked)
    assert model.thresholds == expected.thresholds
    assert found.validation.average_macs == pytest.approx(expected.average_macs)
    assert found.record.training["thresholds"] == {
        **{way: round(asked), "convention": convention}
    }
    flag = "--" + way.replace("_", "-")
    assert f"{flag} {round(asked)}" in zoo.card(tmp_path)


def test_thresholds_may_stop_where_more_macs_gain_too_little(
    generic, dataset, tmp_path, untrained
):
    model = generic()
    budget, least_gain = model.macs.per_exit[-1], 1.0
    small = dataclasses.replace(dataset, test=dataset.test.take(8))
    found = zoo.fit(
        *(model, small, "short", tmp_path), max_macs=budget, least_gain=least_gain
    )
    expected = exits.worthwhile(found.frontier, budget, least_gain)
    assert model.thresholds == expected.thresholds
    noted = found.record.training["thresholds"]
    assert noted["least_gain"] == least_gain
    assert "--least-gain 1.0" in zoo.card(tmp_path)


# What is refused before a training begins


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained"))


def test_a_budget_that_no_thresholds_meet_is_refused(generic, dataset, no_training):
    model = generic()
    least = min(
        model.macs.backbone[0] + model.macs.branches[0],
        model.macs.backbone[1] + model.macs.branches[1],
        model.macs.backbone[2],
    )
    with pytest.raises(ValueError, match=f"cheapest way .* needs {least:,} MACs"):
        zoo.fit(model, dataset, BRIEF, max_macs=least - 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"max_macs": 1e9, "target_macs": 1e9}, "at most one of them"),
        ({"target_macs": 1e9, "choose": measure.within(1e9)}, "at most one of them"),
        ({"max_macs": float("nan")}, "max_macs is nan"),
        ({"max_macs": float("inf")}, "max_macs is inf; leave it out"),
        ({"max_macs": "1e9"}, "max_macs is '1e9'; expected a number"),
        ({"max_macs": 1e9, "least_gain": -1}, "least_gain is -1; expected points"),
        ({"least_gain": 0.1}, "least_gain is given without max_macs"),
        ({"target_macs": -5}, "target_macs is -5; expected more than 0"),
        ({"convention": "aebnas"}, "supports only 'standard'"),
        ({"recipe": "shrt"}, "no recipe 'shrt'.*Did you mean 'short'"),
    ],
)
def test_unusable_arguments_are_refused(
    model, dataset, no_training, arguments, message
):
    with pytest.raises(ValueError, match=message):
        zoo.fit(model, dataset, **{"recipe": BRIEF} | arguments)


def test_exits_whose_settings_are_too_many_are_refused_before_training(
    model, dataset, no_training, monkeypatch
):
    monkeypatch.setattr(exits, "MAX_SETTINGS", 399)
    with pytest.raises(ValueError, match="20 values at 2 exits are 400 settings"):
        zoo.fit(model, dataset, BRIEF)


def test_a_folder_of_another_training_is_refused(fitted, generic, dataset):
    folder, *_ = fitted
    before = (folder / "config.json").read_bytes()
    with pytest.raises(ValueError, match="training that differs in seed"):
        zoo.fit(generic(exit_rule="max_probability"), dataset, BRIEF, folder, seed=4)
    assert (folder / "config.json").read_bytes() == before
