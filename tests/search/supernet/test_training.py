"""Training of the shared weights."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest

import zoo

tf = pytest.importorskip("tensorflow")

from search.supernet import choices, notes, shared, stored, training  # noqa: E402
from search.supernet.batches import SHIFT, Batches  # noqa: E402
from search.supernet.network import Supernet  # noqa: E402
from search.supernet.plan import Phase, Plan  # noqa: E402
from search.supernet.stored import About  # noqa: E402
from search.supernet.training import Trainer  # noqa: E402
from zoo.data import Dataset, Split  # noqa: E402

PLAN = Plan((Phase(1, 0.1), Phase(1, 0.05, subnets=1)), batch_size=4, seed=3)
BRIEF = dataclasses.replace(PLAN, batch_size=2)


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(0)
    train, rest = (
        Split(rng.integers(0, 256, (n, 32, 32, 3), np.uint8), np.arange(n) % 3)
        for n in (13, 3)
    )
    return Dataset("made up", ("a", "b", "c"), True, train, rest, rest)


@pytest.fixture(scope="module")
def few(dataset):
    """Its first images: two steps of a training."""
    return dataclasses.replace(dataset, train=dataset.train.take(5))


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """One trainer for all tests, begun anew each time: compiling it takes a minute."""
    trainer = training.Trainer(PLAN, 3)
    initial = trainer.values()

    def begun_anew(plan, classes):
        assert classes == 3
        for name, weight in zip(trainer.names, trainer.weights):
            weight.assign(initial[name])
        for momentum in trainer.momentum:
            momentum.assign(tf.zeros_like(momentum))
        trainer.about = About()
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "Trainer", begun_anew)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory, few):
    """An uninterrupted training: 2 steps of the largest, 2 of the sandwich rule.

    Also a copy of its folder from between the last two, as a kill would leave it.
    """
    folder = tmp_path_factory.mktemp("whole")
    save, killed = Trainer.save, folder.with_name("killed")

    def save_and_copy(trainer, path, state):
        save(trainer, path, state)
        if state.step == 3:
            shutil.copytree(folder, killed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "save", save_and_copy)
        return folder, training.train(folder, few, BRIEF, minutes=0), killed


def rows(folder):
    with open(folder / "log.csv", newline="") as file:
        return [
            {k: v for k, v in row.items() if "second" not in k}
            for row in csv.DictReader(file)
        ]


def test_resumed_training_takes_the_same_course(whole, few):
    folder, weights, killed = whole  # amid the second phase
    assert len(rows(killed)) == 1
    resumed = training.train(killed, few, BRIEF)
    assert all(np.array_equal(weights[name], resumed[name]) for name in weights)
    assert rows(killed) == rows(folder)


def test_a_training_stops_after_as_many_steps_as_are_asked_for(
    tmp_path, few, monkeypatch
):
    monkeypatch.setattr(Trainer, "step", lambda *_: np.ones(12))
    training.train(tmp_path, few, BRIEF, stop_after=3)
    assert len(rows(tmp_path)) == 1
    assert np.load(tmp_path / "checkpoint.npz")["step"] == 3


def test_training_changes_every_filter_of_the_backbone(whole):
    initial = Supernet.random(3, PLAN.seed).weights
    kept = {name for name in initial if np.array_equal(initial[name], whole[1][name])}
    filters = {name for name in initial if name.endswith("/kernel")}
    assert not {name for name in kept & filters if not name.startswith("exit")}
    closing = {name for name in initial if name.endswith("_project_bn/gamma")}
    assert len(closing) == 21 and not kept & closing  # those that began at zero, too


def test_checkpoint_is_a_supernet(whole):
    folder, weights, _ = whole
    supernet = Supernet.load(folder / "checkpoint.npz")
    assert all(np.array_equal(supernet.weights[n], weights[n]) for n in weights)


def test_another_plan_is_refused_and_later_phases_may_change(whole, few):
    folder, weights, _ = whole
    other = dataclasses.replace(BRIEF, seed=4)
    with pytest.raises(ValueError, match="holds a training that differs in seed"):
        training.train(folder, few, other)
    other = dataclasses.replace(BRIEF, phases=(Phase(1, 0.2), BRIEF.phases[1]))
    with pytest.raises(ValueError, match="differs in phases"):
        training.train(folder, few, other)


def test_another_training_is_named_before_its_weights_are_read(
    whole, few, dataset, tmp_path
):
    shutil.copytree(whole[0], tmp_path / "s")
    np.savez(tmp_path / "s" / "checkpoint.npz", step=1)  # and no weights at all
    with pytest.raises(ValueError, match="holds a training that differs in data"):
        training.train(tmp_path / "s", dataset, BRIEF)


def test_a_supernet_of_another_source_is_not_hidden_by_a_training(few, tmp_path):
    Supernet.random(3).save(tmp_path / "supernet.npz")
    with pytest.raises(ValueError, match="holds a supernet.*Train in another folder"):
        training.train(tmp_path, few, BRIEF)


def test_a_training_on_some_images_notes_the_whole_data_set(
    dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr(Trainer, "step", lambda *_: np.ones(12))
    training.train(tmp_path, dataset, BRIEF, images=5)
    assert Supernet.load(tmp_path).about.data == dataset.fingerprint
    assert np.load(tmp_path / "checkpoint.npz")["step"] == 4  # 2 epochs of 2 batches


def test_batches_are_shifted_mirrored_and_repeatable(dataset):
    batches = Batches(dataset, PLAN)
    assert len(batches) == 3
    first, again = (list(batches.of(4, 0)) for _ in range(2))
    later = list(batches.of(4, 2))
    for one, other in ((first[2], again[2]), (first[2], later[0])):
        assert all(np.array_equal(x, y) for x, y in zip(one, other))
    assert not np.array_equal(first[0][0], next(batches.of(5, 0))[0])
    padded = np.pad(dataset.train.images, ((0, 0), *((SHIFT, SHIFT),) * 2, (0, 0)))
    for images, labels, targets in first:
        assert images.shape == (4, 32, 32, 3)
        assert np.array_equal(targets.argmax(1), labels)
        for image, label in zip(images, labels):
            windows = (
                padded[:, top : top + 32, left : left + 32]
                for top in range(2 * SHIFT + 1)
                for left in range(2 * SHIFT + 1)
            )
            found = [
                index
                for window in windows
                for index in np.flatnonzero(
                    (window == image).all((1, 2, 3))
                    | (window == image[:, ::-1]).all((1, 2, 3))
                )
            ]
            assert len(found) == 1 and dataset.train.labels[found[0]] == label


def test_teacher_shares_in_the_targets(dataset):
    logits = np.zeros((2, 13, 3), np.float16)
    logits[0, :, 0], logits[1, :, 2] = 50, 50  # sure of a, and of c when mirrored
    plan = Plan(PLAN.phases, batch_size=4, teacher_share=0.75)
    seen = set()
    turned = Batches(dataset, plan, logits.swapaxes(0, 1)).answers
    np.testing.assert_array_equal(turned, Batches(dataset, plan, logits).answers)
    for _, labels, targets in Batches(dataset, plan, logits).of(0, 0):
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
        for label, target in zip(labels, targets):
            taught = target.copy()
            taught[label] -= 0.25
            np.testing.assert_allclose(sorted(taught), (0, 0, 0.75), atol=1e-6)
            seen.add(int(taught.argmax()))
    assert seen == {0, 2}


def test_a_teacher_of_one_view_teaches_mirror_images_alike(dataset):
    logits = np.zeros((13, 3), np.float16)
    logits[:, 1] = 50
    plan = Plan(PLAN.phases, batch_size=4, teacher_share=1)
    for given in (logits, logits[None]):
        for _, _, targets in Batches(dataset, plan, given).of(0, 0):
            np.testing.assert_allclose(targets, np.eye(3)[[1] * 4], atol=1e-6)


@pytest.mark.parametrize(
    "logits, message",
    [
        (np.zeros((12, 3)), r"shape \(12, 3\); expected \(13, 3\) for the training"),
        (np.zeros((13, 4, 3)), r"or \(2, 13, 3\) for them and their mirror images"),
        (np.full((13, 3), np.nan), "NaN or infinite"),
    ],
)
def test_a_teacher_that_does_not_match(dataset, logits, message):
    with pytest.raises(ValueError, match=message):
        Batches(dataset, PLAN, logits)


FACTS = {"data": "d", "classes": 3, "initial": None}


@pytest.fixture
def noted(tmp_path):
    """A function: what a training notes that has done so many epochs."""

    def noted(epochs, teacher, plan=PLAN, facts=FACTS):
        notes.check(tmp_path, plan, facts, teacher, epochs)
        (tmp_path / "checkpoint.npz").touch()
        return json.loads((tmp_path / "training.json").read_text())

    return noted


def test_the_teacher_changes_only_where_a_phase_begins(noted):
    assert noted(0, "one")["teachers"] == ["one", "one"]
    assert noted(0.5, "one")["teachers"] == ["one", "one"]
    for other in ("two", None):
        with pytest.raises(ValueError, match="differs in teacher. Use the same"):
            noted(0.5, other)
    assert noted(1, "two")["teachers"] == ["one", "two"]
    assert noted(1.5, "two")["teachers"] == ["one", "two"]
    with pytest.raises(ValueError, match="differs in teacher"):
        noted(1.5, "one")


def test_the_teachers_share_changes_only_where_a_phase_begins(noted):
    noted(0, "one")
    other = dataclasses.replace(PLAN, teacher_share=0.9)
    with pytest.raises(ValueError, match="differs in teacher_share"):
        noted(0.5, "one", other)
    assert noted(1, "one", other)["teacher_share"] == 0.9


def test_a_phase_that_has_begun_cannot_be_left_out(noted):
    before = noted(0, None)
    first = Plan(PLAN.phases[:1], batch_size=4, seed=3)
    with pytest.raises(ValueError, match="differs in phases"):
        noted(1.5, None, first)
    assert noted(1.5, None) == before
    assert len(noted(1, None, first)["phases"]) == 1


def test_a_training_of_the_first_version_had_no_teacher(noted, tmp_path):
    before = noted(0, None)
    del before["teachers"], before["initial"]
    (tmp_path / "training.json").write_text(json.dumps(before))
    with pytest.raises(ValueError, match="differs in teacher"):
        noted(0.5, "one")
    assert noted(1, "one")["teachers"] == [None, "one"]


def test_a_training_starts_from_the_same_weights(noted):
    noted(0, None)
    with pytest.raises(ValueError, match="differs in initial"):
        noted(0.5, None, facts=FACTS | {"initial": "abc"})
    changed = Plan((PLAN.phases[0], Phase(2, 0.1)), batch_size=4, seed=3)
    assert len(noted(1, None, changed)["phases"]) == 2  # the second has not begun
    with pytest.raises(ValueError, match="differs in phases"):
        noted(1.5, None)


def test_a_training_starts_from_another_supernet(tmp_path):
    """Weights of other classes begin at random; padding is that of the other."""
    given = Supernet.random(7, 9).values()
    trainer = training.Trainer(PLAN, 3)
    before = trainer.values()
    trainer.start_from(given, About("once_for_all", (64,), "other"), "d")
    weights = trainer.values()
    for name in ("stem_conv/kernel", "exit1_module1_conv/kernel"):
        np.testing.assert_array_equal(weights[name], given[name])
    name = "final_classifier/kernel"
    np.testing.assert_array_equal(weights[name], before[name])
    trainer.save(tmp_path / "checkpoint.npz", training._State())
    assert stored.about(tmp_path) == About("once_for_all", (32,), "d")


def test_gradients_are_those_of_the_extracted_model(dataset):
    """Of losses, and of the shared weights' parts that take part."""
    stage = zoo.Stage.uniform(2, 5, 3)
    branch = zoo.Branch((zoo.ConvModule(8, 3, 2), zoo.ConvModule(10, 5, 1, True)))
    architecture = zoo.Architecture(
        32, (stage,) * 5, (branch, None, zoo.FixedBranch(), branch), (0.5, 1, 0.5, 0.5)
    )
    weights = shared.initial(3, 1)
    for name, value in weights.items():  # what starts at zero would stop gradients
        if name.endswith("_project_bn/gamma"):
            value[:] = 1
    supernet = Supernet(weights)
    images, labels = dataset.train.take(8)
    model = supernet.extract(architecture, supernet.calibrate(architecture, images))
    trainer = training.Trainer(PLAN, 3)
    for variable, name in zip(trainer.weights, trainer.names):
        variable.assign(supernet.weights[name])
    targets = np.eye(3, dtype=np.float32)[labels]
    choice = choices.Choice(*map(tf.constant, choices.from_architecture(architecture)))
    loss, logits, gradients = trainer.of_any(tf.constant(images), targets, choice)
    found = dict(zip(trainer.names, gradients))
    with tf.GradientTape() as tape:
        answers = model(images, training=True)
        scores = tf.nn.log_softmax(answers)
        expected = -tf.reduce_mean(tf.reduce_sum(targets[:, None] * scores, (1, 2)))
    np.testing.assert_allclose(logits.numpy()[:, [0, 2, 3, 4]], answers, atol=1e-3)
    wanted = tape.gradient(expected, model.trainable_weights)
    # The absent exit answers zeros, the loss of which is log(3).
    np.testing.assert_allclose(loss, expected + np.log(3), rtol=1e-5)
    by_name = {w.path: g for w, g in zip(model.trainable_weights, wanted)}
    for path in ("stem_conv/kernel", "stage5_block2_project/kernel"):
        ours = found[path].numpy()
        theirs = by_name[path].numpy()
        ours = ours[tuple(map(slice, theirs.shape))]
        assert np.abs(theirs).max() > 1e-3
        np.testing.assert_allclose(ours, theirs, atol=2e-3 * np.abs(theirs).max())
    assert not found["stage3_block3_expand/kernel"].numpy().any()
    assert not found["stage3_block1_expand/kernel"].numpy()[..., 120:].any()
