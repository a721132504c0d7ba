import collections
import csv
import dataclasses
import gc
import resource
import shutil
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import zoo
from zoo import files, layers, training
from zoo.training import (
    Recipe,
    checkpoints,
    loop,
    recipe,
    teachers,
    train,
    trainer,
)

BRANCH = zoo.Branch((zoo.ConvModule(8),))
SMALL = zoo.Architecture(
    32,
    (zoo.Stage.uniform(2, 3, 3),) * 5,
    (None, BRANCH, None, None),
    (1, 0.5, 1, 1),
)
BRIEF = Recipe("brief", 3, 16, 0.01, augmentation="none", erase=0.2)


def network(seed=1, num_classes=10, resolution=16, **arguments):
    """A generic model of two exits: how it is built is not the point here."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((None, None, 3), name="images")
    x = layers.FitResolution(resolution, name="fit")(images)
    x = keras.layers.Rescaling(1 / 255, name="rescale")(x)
    x = layers.normalised(layers.convolution(x, "one", 8, 3, 2), "one", "relu")
    features, x = x, layers.convolution(x, "two", 12, 3, 2, activation="relu")
    return zoo.EarlyExitModel(
        images,
        [features],
        [
            layers.classifier(layers.pooled(features, "pool"), num_classes, "exit1"),
            layers.classifier(x, num_classes, "final"),
        ],
        **arguments,
    )


@pytest.fixture(scope="module")
def cropping():
    """A classifier that crops as the paper's recipe does."""
    keras.utils.set_random_seed(1)
    return zoo.EarlyExitClassifier(SMALL, num_classes=10, crop=0.875)


def weights(model):
    return [keras.ops.convert_to_numpy(w).copy() for w in model.weights]


def assert_same(weights, others):
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


def log(folder):
    with open(folder / "log.csv", newline="", encoding="utf-8") as file:
        return [
            {k: float(v) for k, v in row.items() if k != "seconds"}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def dataset(first_digits):
    return first_digits(train=64, validation=20, test=20)


Trained = collections.namedtuple("Trained", "folder, model, outcome, weights")


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """A training that nothing interrupted."""
    folder, model = tmp_path_factory.mktemp("trained"), network()
    outcome = train(model, dataset, BRIEF, folder, verbose=0)
    return Trained(folder, model, outcome, weights(model))


# Recipes


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"epochs": 0}, "Recipe.epochs is 0; expected 1 or more"),
        ({"batch_size": 0}, "batch_size is 0; expected 1 or more"),
        ({"learning_rate": -0.1}, "learning_rate is -0.1; expected more than 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan; expected more than 0"),
        ({"warmup_epochs": 6}, "warmup_epochs is 6; expected 0 or more, at most 5"),
        ({"momentum": 1.1}, "momentum is 1.1; expected 0 or more, at most 0.9999"),
        ({"weight_decay": -1}, "weight_decay is -1; expected 0 or more"),
        ({"clip_norm": 0}, "clip_norm is 0; expected more than 0"),
        ({"erase": 1.5}, "erase is 1.5; expected 0 or more, at most 1"),
        ({"crop": 2}, "crop is 2; expected 0.1 or more, at most 1"),
        ({"distillation": -0.5}, "distillation is -0.5; expected 0 or more"),
        ({"temperature": -1}, "temperature is -1; expected more than 0"),
        ({"augmentation": "mixup"}, "'mixup'; expected none, shift, resized_crop"),
        ({"convention": "ours"}, "convention is 'ours'; expected standard, aebnas"),
        ({"soft_exits": "no"}, "soft_exits is 'no'; expected False, True"),
        ({"phases": 3}, "phases is 3; expected two shares"),
        ({"phases": ("a", 0)}, r"phases is \('a', 0\); expected two shares"),
        ({"epochs": 3.5}, "Recipe.epochs is 3.5; expected a whole number"),
        ({"epochs": "3"}, "Recipe.epochs is '3'; expected a whole number"),
        ({"batch_size": True}, "batch_size is True; expected a whole number"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'; expected more than 0"),
        ({"erase": True}, "erase is True; expected 0 or more, at most 1"),
        ({"name": 3}, "Recipe.name is 3; expected text"),
    ],
)
def test_an_unusable_recipe_is_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        recipe("paper", **changes)


@pytest.mark.parametrize(
    "changes", [{"momentum": 1}, {"crop": 0}, {"temperature": 0}], ids=str
)
def test_a_recipe_that_no_training_can_follow_is_rejected(changes):
    with pytest.raises(ValueError, match=f"Recipe.{next(iter(changes))} is "):
        recipe("paper", **changes)


def test_a_name_of_a_recipe_is_text():
    with pytest.raises(ValueError, match="There is no recipe"):
        recipe(["short"])


def test_an_unknown_recipe_is_named_with_the_known_ones():
    with pytest.raises(
        ValueError, match="no recipe 'quick'; choose from paper, long, short"
    ):
        recipe("quick")


@pytest.mark.parametrize("name", training.RECIPES)
def test_a_recipe_is_changed_in_the_named_fields_only(name):
    known = training.RECIPES[name]
    assert recipe(name) == known
    changed = recipe(name, batch_size=7)
    assert changed.batch_size == 7
    assert dataclasses.replace(changed, batch_size=known.batch_size) == known


@pytest.mark.parametrize("epochs, warmup", [(100, 2), (20, 2), (10, 1), (1, 0.1)])
def test_a_short_training_has_a_short_warm_up(epochs, warmup):
    assert recipe("long", epochs=epochs).warmup_epochs == warmup
    assert recipe("long", epochs=epochs, warmup_epochs=0).warmup_epochs == 0


# Optimizer


def rates(recipe, steps_per_epoch):
    optimizer = trainer.optimizer(recipe, steps_per_epoch)
    found = []
    for step in range(recipe.epochs * steps_per_epoch):
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return np.array(found)


def test_the_learning_rate_warms_up_linearly_and_ends_near_zero():
    found = rates(Recipe("r", 10, 8, 0.2, warmup_epochs=2), steps_per_epoch=10)
    np.testing.assert_allclose(found[:21], np.linspace(0.01, 0.2, 21), rtol=1e-5)
    cosine = 0.1 * (1 + np.cos(np.pi * np.arange(80) / 80))
    np.testing.assert_allclose(found[20:], cosine, rtol=1e-3, atol=1e-6)
    assert 0 < found[-1] < 1e-3 * 0.2


def test_without_warm_up_the_learning_rate_starts_at_its_peak():
    found = rates(Recipe("r", 3, 8, 0.2), steps_per_epoch=10)
    assert found[0] == pytest.approx(0.2)
    assert all(np.diff(found) < 0)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_weight_decay_is_as_strong_as_an_l2_penalty_through_the_momentum(momentum):
    decay = 0.03 * (1 - momentum)
    decayed = Recipe("r", 10, 8, 0.1, 1, momentum, decay)
    optimizer = trainer.optimizer(decayed, steps_per_epoch=10)
    variable = keras.Variable(np.ones((1,), np.float32))
    weight, velocity = 1.0, 0.0
    for rate in rates(decayed, 10):
        optimizer.apply([keras.ops.zeros((1,))], [variable])
        gradient = decay * weight
        velocity = momentum * velocity - rate * gradient
        weight += momentum * velocity - rate * gradient
    found = float(keras.ops.convert_to_numpy(variable)[0])
    assert weight < 0.9
    assert np.log(found) == pytest.approx(np.log(weight), rel=0.02)


# Distillation


def softened(logits, temperature):
    powers = np.exp(logits / temperature)
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("taught_by", ["teacher", "final exit"])
def test_the_distilling_loss_is_the_mix_of_labels_and_teacher(taught_by):
    model, share, temperature = network(exit_weights=(0.5, 2)), 0.3, 2.0
    distilling = dataclasses.replace(BRIEF, distillation=share)
    wrapper = trainer.Trainer(model, keras.layers.Identity(), distilling, None)
    rng = np.random.default_rng(0)
    outputs = 3 if taught_by == "teacher" else 2
    logits = rng.normal(size=(6, outputs, 10)).astype(np.float32)
    labels = rng.integers(10, size=6)
    expected = []
    for k in range(2):
        right = softened(logits[:, k], 1)[np.arange(6), labels]
        target, answer = (softened(logits[:, j], temperature) for j in (-1, k))
        distance = (target * np.log(target / answer)).sum(-1).mean() * temperature**2
        distilled = (1 - share) * -np.log(right).mean() + share * distance
        # the final exit has nobody but a teacher to learn from
        expected.append(distilled if k < outputs - 1 else -np.log(right).mean())
    found = wrapper.compute_loss(y=labels, y_pred=logits)
    assert float(found) == pytest.approx(0.5 * expected[0] + 2 * expected[1], rel=1e-4)
    plain = wrapper.compute_loss(y=labels, y_pred=logits, training=False)
    assert float(plain) != pytest.approx(float(found), rel=1e-3)


def test_the_last_exit_of_a_teacher_teaches():
    teacher = network(seed=2)
    plain = Recipe("r", 1, 4, 0.1, augmentation="none", distillation=0.5)
    identity = training.augment(plain, flip=True, seed=0)
    wrapper = trainer.Trainer(network(), identity, plain, teacher)
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    taught = keras.ops.convert_to_numpy(wrapper(images, training=True))[:, -1]
    expected = keras.ops.convert_to_numpy(teacher(images, training=False))[:, -1]
    np.testing.assert_allclose(taught, expected, rtol=1e-4, atol=1e-4)


# Training


def test_training_reduces_the_loss(trained):
    losses = [row["loss"] for row in log(trained.folder)]
    assert len(losses) == 3
    assert losses[-1] < 0.9 * losses[0]
    before = weights(network())
    assert all(
        np.abs(new - old).max() > 0
        for new, old, w in zip(trained.weights, before, trained.model.weights)
        if w.trainable
    )


def test_training_reports_what_it_logged(trained):
    final = dict(trained.outcome.final)
    assert trained.outcome.epochs == 3
    assert final.pop("seconds") <= trained.outcome.seconds
    assert {"loss", "val_loss", "val_accuracy", "val_average_macs"} <= set(final)
    last = log(trained.folder)[-1]
    assert final == {k: v for k, v in last.items() if k != "epoch"}


def test_a_loss_of_nan_keeps_the_checkpoint_from_which_a_resume_takes_the_same_course(
    trained, dataset, tmp_path, monkeypatch
):
    begin = loop._Epoch.on_epoch_begin

    def break_the_second_epoch(self, epoch, logs=None):
        begin(self, epoch, logs)
        if epoch == 1:
            weight = self.model.trainable_variables[-1]
            weight.assign(weight * np.nan)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Epoch, "on_epoch_begin", break_the_second_epoch)
        with pytest.raises(FloatingPointError, match="nan in epoch 2.*learning rate"):
            train(network(), dataset, BRIEF, tmp_path, verbose=0)
    assert log(tmp_path) == log(trained.folder)[:1]

    model = network(seed=9)  # its weights come from the checkpoint
    outcome = train(model, dataset, BRIEF, tmp_path, verbose=0)
    assert_same(weights(model), trained.weights)
    assert log(tmp_path) == log(trained.folder)
    assert outcome.epochs == 3


def test_a_log_that_is_ahead_of_the_checkpoint_is_trimmed(trained, dataset, tmp_path):
    shutil.copytree(trained.folder, tmp_path, dirs_exist_ok=True)
    with open(tmp_path / "log.csv", "a", encoding="utf-8") as file:
        file.write("3,0.5")  # killed while it was written
    train(network(), dataset, BRIEF, tmp_path, verbose=0)
    assert log(tmp_path) == log(trained.folder)


def test_a_finished_training_returns_at_once_with_its_weights(trained, dataset):
    before, model = log(trained.folder), network(seed=9)
    train(model, dataset, BRIEF, trained.folder, verbose=0)
    assert_same(weights(model), trained.weights)
    assert log(trained.folder) == before


def test_a_finished_training_reports_the_same_again(trained, dataset):
    again = train(network(), dataset, BRIEF, trained.folder, verbose=0)
    assert again == trained.outcome


def changed_data(dataset):
    images = dataset.test.images.copy()
    images[0, 0, 0, 0] ^= 1
    return dataclasses.replace(dataset, test=dataset.test._replace(images=images))


@pytest.mark.parametrize(
    "differs, changes",
    [
        ("recipe", {"recipe": dataclasses.replace(BRIEF, epochs=4)}),
        ("seed", {"seed": 2}),
        ("recipe, seed", {"seed": 2, "recipe": dataclasses.replace(BRIEF, erase=0)}),
        ("data", {"dataset": changed_data}),
        ("model", {"model": {"exit_rule": "entropy"}}),
        (
            "recipe, teacher",
            {
                "recipe": dataclasses.replace(BRIEF, distillation=0.5),
                "teacher": keras.Sequential(
                    [
                        keras.Input((32, 32, 3)),
                        keras.layers.Flatten(),
                        keras.layers.Dense(10),
                    ]
                ),
            },
        ),
    ],
)
def test_a_folder_of_another_training_is_refused(trained, dataset, differs, changes):
    call = {
        "model": network(**changes.pop("model", {})),
        "dataset": changes.pop("dataset", lambda same: same)(dataset),
        "recipe": BRIEF,
        **changes,
    }
    before = {p: p.read_bytes() for p in trained.folder.iterdir() if p.is_file()}
    with pytest.raises(
        ValueError, match=f"training that differs in {differs}. Use the"
    ):
        train(**call, folder=trained.folder, verbose=0)
    assert {p: p.read_bytes() for p in before} == before


@pytest.fixture(scope="module")
def teacher():
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((32, 32, 3)), *layers])


@pytest.mark.parametrize("taught_by", ["teacher", "final exit"])
def test_distillation_changes_the_loss_and_not_the_teacher(
    trained, dataset, taught_by, teacher
):
    teacher = teacher if taught_by == "teacher" else None
    before = weights(teacher) if teacher else []
    model = network()
    distilling = dataclasses.replace(BRIEF, epochs=1, distillation=0.5)
    outcome = train(model, dataset, distilling, teacher=teacher, verbose=0)
    plain = log(trained.folder)[0]["loss"]
    assert np.isfinite(outcome.final["loss"])
    assert outcome.final["loss"] != pytest.approx(plain, rel=0.01)
    assert len(model.weights) == len(trained.weights)
    assert_same(before, weights(teacher) if teacher else [])
    assert teacher is None or teacher.trainable


def test_a_teacher_s_logits_teach_as_the_teacher_does(dataset, teacher, tmp_path):
    distilling = dataclasses.replace(
        BRIEF, epochs=1, erase=0, augmentation="none", distillation=0.5
    )
    logits = training.teacher_logits(teacher, dataset)
    assert logits.dtype == np.float16
    assert logits.shape == (len(dataset.train.labels), 2, 10)
    teachers.save(tmp_path / "logits.npy", logits)
    losses = [
        train(network(), dataset, distilling, teacher=each, verbose=0).final["loss"]
        for each in (teacher, teachers.load(tmp_path / "logits.npy"))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_mirrored_image_is_taught_by_the_logits_of_its_mirror_image(dataset, teacher):
    images = dataset.train.images
    mirrored = training.teacher_logits(
        teacher,
        dataclasses.replace(
            dataset, train=dataset.train._replace(images=images[:, :, ::-1])
        ),
    )
    logits = training.teacher_logits(teacher, dataset)
    np.testing.assert_array_equal(mirrored, logits[:, ::-1])
    batches = loop._Batches(dataset.train, len(images), 1, logits, mirrors=True)
    (seen, taught), _ = batches[0]
    answer = teacher.predict(seen, verbose=0)
    np.testing.assert_allclose(answer, taught, rtol=1e-2, atol=0.1)
    assert 0.3 < batches.mirrored.mean() < 0.7


def test_the_recipe_of_the_paper_trains(dataset, cropping):
    paper, model = recipe("paper", epochs=1, batch_size=32), cropping
    model.compile("adam")  # what a user compiled for changes nothing
    before = weights(model)
    few = dataclasses.replace(dataset, train=dataset.train.take(32))
    outcome = train(model, few, paper, verbose=0)
    assert outcome.epochs == 1
    assert outcome.final["loss"] > 1
    assert np.isfinite(outcome.final["val_loss"])
    assert any((a != b).any() for a, b in zip(before, weights(model)))


# Bad input


def test_a_model_of_other_classes_is_refused(dataset):
    with pytest.raises(ValueError, match="model has 3 classes, digits has 10"):
        train(network(num_classes=3), dataset, BRIEF)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_data_set_without_images_is_refused(dataset, part):
    empty = dataclasses.replace(dataset, **{part: getattr(dataset, part).take(0)})
    with pytest.raises(ValueError, match="no images"):
        train(network(), empty, BRIEF, verbose=0)


def test_a_teacher_of_other_classes_is_refused(dataset):
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    other = keras.Sequential([keras.Input((32, 32, 3)), *layers])
    distilling = dataclasses.replace(BRIEF, distillation=0.5)
    with pytest.raises(ValueError, match="teacher"):
        train(network(), dataset, distilling, teacher=other, verbose=0)


def test_a_teacher_that_would_teach_nothing_is_refused(dataset, teacher):
    with pytest.raises(ValueError, match="distillation is 0"):
        train(network(), dataset, BRIEF, teacher=teacher)


def test_logits_that_do_not_fit_the_images_are_refused(dataset, teacher, tmp_path):
    distilling = dataclasses.replace(BRIEF, distillation=0.5)
    logits = training.teacher_logits(teacher, dataset)
    with pytest.raises(ValueError, match="expected .* 2, 10.: for each training image"):
        train(network(), dataset, distilling, teacher=logits[1:])
    logits[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="logits hold values that are NaN"):
        train(network(), dataset, distilling, teacher=logits)
    path = tmp_path / "logits.npy"
    path.write_bytes(b"x")
    with pytest.raises(ValueError, match="is no .npy file of numbers"):
        teachers.load(path)


def test_a_teacher_cannot_see_what_the_features_were_computed_of(dataset, teacher):
    heads = dataclasses.replace(BRIEF, distillation=0.5, scheme="heads")
    with pytest.raises(ValueError, match="pass the teacher's logits instead"):
        train(network(), dataset, heads, teacher=teacher)


def test_a_crop_that_the_model_does_not_have_is_refused(dataset, cropping):
    with pytest.raises(
        ValueError, match=r"crop is 0\.875.*build the model with crop=1"
    ):
        train(cropping, dataset, recipe("long"))


def test_settings_may_change_until_there_is_a_checkpoint(tmp_path):
    checkpoints.check_same_training(tmp_path, {"seed": 1}, resumes=False)
    checkpoints.check_same_training(tmp_path, {"seed": 2}, resumes=False)
    checkpoints.check_same_training(tmp_path, {"seed": 2}, resumes=True)
    with pytest.raises(ValueError, match="differs in seed"):
        checkpoints.check_same_training(tmp_path, {"seed": 1}, resumes=True)


# Processes and memory


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_fit_continues_and_writes_a_model(tmp_path, first_digits):
    """tests/campaign kills such processes, at any moment."""
    few = first_digits(train=16, validation=40, test=40)
    brief = recipe("short", epochs=2, batch_size=16)
    options = {"seed": 5, "notes": ["interrupted"], "verbose": 0}
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        zoo.fit(network(), few, brief, out, **options, callbacks=[Interrupt()])
    assert (out / checkpoints.CHECKPOINT).exists() and len(log(out)) == 1
    assert not (out / "config.json").exists()
    with pytest.raises(ValueError, match="out has not ended; repeat its command"):
        zoo.load(out)

    zoo.fit(network(), few, brief, out, **options)
    assert [row["epoch"] for row in log(out)] == [0, 1]
    record = zoo.registry.record(out)
    assert record.training["seed"] == 5
    assert record.recipe["epochs"] == 2
    assert record.notes == ("interrupted",)
    assert record.config["name"] == "out"
    right = zoo.load(out).predict_early(few.test.images).labels == few.test.labels
    assert right.mean() == pytest.approx(record.results["test"].accuracy)


@pytest.mark.compiled
def test_a_training_leaves_no_graph_and_works_in_memory_that_earlier_steps_freed(
    tmp_path, first_digits
):
    def graphs():
        keras.backend.clear_session()
        gc.collect()
        return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())

    faults = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

    brief = Recipe("brief", epochs=2, batch_size=128, learning_rate=0.01)
    few = first_digits(train=768, validation=16)
    before = graphs()
    model = network(resolution=64)  # of large activations
    options = {"verbose": 0, "validate": False, "callbacks": [Count()]}
    train(model, few, brief, tmp_path, **options)
    del model, options
    assert graphs() == before
    if sys.platform == "linux":  # with glibc
        assert np.median(np.diff(faults)[-9:]) < 200  # else 480


def test_weights_of_nan_end_an_epoch_although_the_loss_is_finite(model):
    epoch = loop._Epoch()
    epoch.set_model(SimpleNamespace(model=model, variables=[]))
    epoch.on_epoch_begin(0)
    logs = {"loss": 1.0}
    epoch.on_epoch_end(0, logs)
    assert logs["seconds"] >= 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.weights, "not_finite", lambda _: "stem/kernel")
        with pytest.raises(FloatingPointError, match="stem/kernel are NaN .* epoch 1"):
            epoch.on_epoch_end(0, logs)


# Locks and full disks


def test_a_second_training_in_a_folder_is_refused_before_anything_is_built(
    trained, dataset, monkeypatch
):
    pytest.importorskip("fcntl")
    monkeypatch.setattr(loop, "Trainer", None)
    with files.locked(trained.folder / files.LOCK):
        with pytest.raises(ValueError, match=f"is training in {trained.folder}"):
            train(trained.model, dataset, BRIEF, trained.folder, verbose=0)


def test_a_full_disk_is_named_whoever_writes_to_it(dataset, trained, tmp_path):
    class Events(keras.callbacks.Callback):  # as TensorFlow says it
        def on_train_begin(self, logs=None):
            raise RuntimeError("events.out.tfevents; No space left on device")

    with pytest.raises(OSError, match=f"^The disk at /.* is full: {tmp_path} could"):
        options = {"verbose": 0, "callbacks": [Events()]}
        train(trained.model, dataset, BRIEF, tmp_path, **options)
