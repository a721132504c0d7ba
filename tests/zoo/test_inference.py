import keras
import numpy as np
import pytest
from keras import ops

from zoo.exits import RULES, confidence, decide

filled_up = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="on JAX, batches are filled up"
)


def by_the_rule(logits, thresholds, rule="score_margin"):
    """What `predict_early` has to return."""
    chosen = decide(logits, thresholds, rule)
    taken = logits[np.arange(len(logits)), chosen]
    sure = np.array(confidence(taken, rule))
    return taken.argmax(-1), np.array(ops.softmax(taken)), chosen, sure


def assert_predicts(prediction, expected):
    labels, probabilities, chosen, sure = expected
    np.testing.assert_array_equal(prediction.exits, chosen)
    np.testing.assert_array_equal(prediction.labels, labels)
    np.testing.assert_allclose(prediction.probabilities, probabilities, atol=1e-5)
    np.testing.assert_allclose(prediction.confidences, sure, atol=1e-5)


def watched(model, monkeypatch):
    """The list to which every later call of a segment adds (segment, its outputs)."""
    calls, segments = [], model.segments()

    def watch(level, function):
        def call(batch):
            found = keras.tree.flatten(function(batch))
            outputs = [ops.convert_to_numpy(output) for output in found]
            calls.append((level, outputs))
            return outputs

        return call

    watching = [watch(*item) for item in enumerate(segments.functions)]
    monkeypatch.setattr(segments, "functions", watching)
    return calls


def rows(calls, level):
    return [len(outputs[0]) for at, outputs in calls if at == level]


@pytest.fixture(scope="module", params=RULES)
def ruled(request, model, logits, copy_of, balanced):
    """A copy of the model for each rule; samples leave at every exit."""
    thresholds = balanced(logits, request.param)
    return copy_of(model, exit_rule=request.param, thresholds=thresholds)


@pytest.fixture
def early(adjustable, logits, balanced):
    """The model with thresholds at which samples leave at every exit."""
    adjustable.thresholds = balanced(logits)
    return adjustable


# The same answers as the rule


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_predict_early_is_the_rule_applied_to_all_logits(
    ruled, images, logits, batch_size
):
    assert np.bincount(decide(logits, ruled.thresholds, ruled.exit_rule)).min() > 8
    some = slice(24 * batch_size)  # one by one, all of them take long
    expected = by_the_rule(logits[some], ruled.thresholds, ruled.exit_rule)
    assert np.bincount(expected[2], minlength=3).all()
    assert_predicts(ruled.predict_early(images[some], batch_size), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_predict_early_takes_images_of_other_types(early, images, logits, dtype):
    expected = by_the_rule(logits, early.thresholds)
    assert_predicts(early.predict_early(images.astype(dtype)), expected)


@pytest.mark.parametrize("height, width", [(20, 48), (64, 64)])
def test_predict_early_takes_images_of_other_sizes(
    adjustable, images, balanced, height, width
):
    images = np.resize(images, (24, height, width, 3))
    logits = adjustable.predict(images, verbose=0)
    adjustable.thresholds = balanced(logits)
    expected = by_the_rule(logits, adjustable.thresholds)
    assert_predicts(adjustable.predict_early(images, batch_size=10), expected)


def test_predict_early_follows_the_thresholds_without_compiling_anew(
    early, images, logits
):
    before, segments = early.thresholds, early.segments()
    early.thresholds = [0.9 * threshold for threshold in before]
    expected = by_the_rule(logits, early.thresholds)
    assert (expected[2] != decide(logits, before)).any()
    assert_predicts(early.predict_early(images), expected)
    assert early.segments() is segments


def shrink_the_weights(model, images, labels):
    model.set_weights([0.9 * weight for weight in model.get_weights()])


def train_a_step(model, images, labels):
    model.compile("sgd", run_eagerly=True)
    model.fit(images, labels, batch_size=64, verbose=0)


@pytest.mark.parametrize("change", [shrink_the_weights, train_a_step])
def test_predict_early_sees_new_weights(
    model, images, labels, copy_of, balanced, change
):
    changing = copy_of(model)
    before = changing.predict_early(images)
    change(changing, images, labels)
    logits = changing.predict(images, verbose=0)
    changing.thresholds = balanced(logits)
    expected = by_the_rule(logits, changing.thresholds)
    assert np.abs(before.probabilities - expected[1]).max() > 0.01
    assert_predicts(changing.predict_early(images), expected)


def test_no_images_give_empty_arrays(early, images):
    found = early.predict_early(images[:0])
    shapes = [array.shape for array in found]
    assert shapes == [(0,), (0, 10), (0,), (0,)]
    assert [array.dtype.kind for array in found] == ["i", "f", "i", "f"]


# What is computed


@pytest.mark.parametrize("off", [(), (0,), (1,), (0, 1)])
def test_an_exit_that_is_off_is_neither_taken_nor_computed(early, images, logits, off):
    early.thresholds = [1 if k in off else t for k, t in enumerate(early.thresholds)]
    expected = by_the_rule(logits, early.thresholds)
    assert_predicts(early.predict_early(images), expected)

    unused = tuple(("exit1_", "exit2_")[k] for k in off)
    computed = [x for m in early.segments().models for x in m.layers if x.weights]
    wanted = [
        layer.name
        for layer in early.layers
        if layer.weights and not layer.name.startswith(unused)
    ]
    assert sorted(layer.name for layer in computed) == sorted(wanted)


@filled_up
@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_an_image_that_left_is_not_computed_further(
    early, images, logits, monkeypatch, batch_size
):
    calls = watched(early, monkeypatch)
    chosen = early.predict_early(images, batch_size).exits
    np.testing.assert_array_equal(chosen, decide(logits, early.thresholds))
    for level in range(3):
        assert sum(rows(calls, level)) == (chosen >= level).sum() > 0


@filled_up
def test_images_that_stay_are_gathered_into_full_batches(early, images, monkeypatch):
    calls = watched(early, monkeypatch)
    early.predict_early(images, batch_size=5)
    for level in range(3):
        *full, last = rows(calls, level)
        assert set(full) == {5}
        assert 1 <= last <= 5


@filled_up
def test_fewer_than_two_batches_wait_before_a_segment(early, images, monkeypatch):
    calls = watched(early, monkeypatch)
    early.predict_early(images, batch_size=5)
    waiting, most = [64, 0, 0], [0, 0, 0]
    for level, outputs in calls:
        waiting[level] -= len(outputs[0])
        if level < 2:
            sure = confidence(outputs[0])
            waiting[level + 1] += (sure < early.thresholds[level]).sum()
        most = np.maximum(most, waiting)
    assert waiting == [0, 0, 0]
    assert all(5 <= queue < 10 for queue in most[1:])


def test_later_segments_are_never_called_if_all_leave_first(early, images, monkeypatch):
    early.thresholds = 0, early.thresholds[1]
    calls = watched(early, monkeypatch)
    found = early.predict_early(images, batch_size=30)
    assert found.exits.tolist() == [0] * 64
    assert [level for level, _ in calls] == [0, 0, 0]


# Bad input


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda x: x[0], r"\(32, 32, 3\); .* For one image, pass image\[None\]"),
        (lambda x: x[0, 0, 0], r"shape \(3,\); expected \(images, height, width, 3"),
        (lambda x: x[None], r"shape \(1, 64, 32, 32, 3\)"),
        (lambda x: x[..., :1], r"shape \(64, 32, 32, 1\)"),
        (lambda x: np.moveaxis(x, -1, 1), r"shape \(64, 3, 32, 32\)"),
        (lambda x: x > 100, "images are bool; expected uint8 or float"),
        (lambda x: x.astype(complex), "images are complex128"),
        (lambda x: x.astype(str), "images are <U3"),
    ],
)
def test_unusable_images_are_rejected(model, images, change, message):
    with pytest.raises(ValueError, match=message):
        model.predict_early(change(images))


@pytest.mark.parametrize("batch_size", [0, -3])
def test_an_unusable_batch_size_is_rejected(model, images, batch_size):
    with pytest.raises(ValueError, match=f"batch_size is {batch_size}; .* 1 or more"):
        model.predict_early(images, batch_size)
