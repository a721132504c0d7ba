"""The exit rule in plain NumPy, and its twin on the backend's tensors."""

import ast
import itertools
import pathlib

import numpy as np
import pytest

from zoo import runtime, tensors


def random_logits(scale, samples=200, exits=3, classes=7):
    rng = np.random.default_rng(0)
    return rng.normal(0, scale, (samples, exits, classes)).astype(np.float32)


def test_the_runtime_needs_only_numpy():
    tree = ast.parse(pathlib.Path(runtime.__file__).read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module.split(".")[0])
    assert imported - {"__future__", "math", "collections", "typing"} == {"numpy"}


def test_both_know_the_same_rules():
    assert list(runtime.RULES) == list(tensors.RULES)


@pytest.mark.parametrize("scale", [0, 0.1, 3, 100])
@pytest.mark.parametrize("rule", runtime.RULES)
def test_arrays_and_tensors_have_the_same_confidences(rule, scale):
    logits = random_logits(scale)
    ours = runtime.RULES[rule](logits)
    theirs = np.asarray(tensors.RULES[rule](logits))
    assert ours.shape == theirs.shape == (200, 3)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


@pytest.mark.parametrize("thresholds", itertools.product((0, 0.3, 0.999, 1), repeat=2))
@pytest.mark.parametrize("rule", runtime.RULES)
def test_arrays_and_tensors_leave_at_the_same_exits(rule, thresholds):
    confidences = runtime.RULES[rule](random_logits(3))
    confidences[:4, 0] = [1, 0.3, np.nextafter(np.float32(0.3), 0), 0]
    ours = runtime.first_exit(confidences, thresholds)
    theirs = np.asarray(tensors.first_exit(confidences, thresholds))
    np.testing.assert_array_equal(ours, theirs)
    for row, found in zip(confidences, ours):
        sure = [c >= np.float32(t) and t != 1 for c, t in zip(row, thresholds)]
        assert found == next((k for k, leaves in enumerate(sure) if leaves), 2)


@pytest.mark.parametrize("scale", [1, 1e4])
def test_the_softmax_sums_to_1_and_does_not_overflow(scale):
    found = runtime.softmax(random_logits(scale))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)


# Segments of any function: here a lookup of made-up logits


def made_up_segments(logits, exits, calls):
    """Segments that find each image's number in its first pixel."""

    def segment(level):
        def call(batch):
            calls.append((level, len(batch)))
            rows = batch[:, 0, 0, 0].astype(int)
            answer = logits[rows, exits[level]]
            return [answer] if level == len(exits) - 1 else [answer, batch]

        return call

    return [segment(level) for level in range(len(exits))]


@pytest.mark.parametrize("batch_size", [1, 7, 50, 1000])
@pytest.mark.parametrize("thresholds", [(0.5, 0.4), (1, 0.4), (0.5, 1), (1, 1), (0, 0)])
@pytest.mark.parametrize("rule", runtime.RULES)
def test_segments_answer_as_the_rule_on_all_logits(rule, thresholds, batch_size):
    logits, calls = random_logits(2), []
    images = np.zeros((200, 2, 2, 3), np.float32)
    images[:, 0, 0, 0] = np.arange(200)
    exits = [k for k in range(2) if thresholds[k] < 1] + [2]
    found = runtime.run_segments(
        made_up_segments(logits, exits, calls),
        *(exits, images, 7, thresholds, rule, batch_size),
    )
    confidences = runtime.RULES[rule](logits)
    chosen = runtime.first_exit(confidences, thresholds)
    taken = logits[range(200), chosen]
    np.testing.assert_array_equal(found.exits, chosen)
    np.testing.assert_array_equal(found.labels, taken.argmax(-1))
    np.testing.assert_allclose(found.probabilities, runtime.softmax(taken), atol=1e-6)
    np.testing.assert_allclose(found.confidences, confidences[range(200), chosen])
    for level, k in enumerate(exits):
        seen = sum(count for at, count in calls if at == level)
        assert seen == (chosen >= k).sum() + (chosen < k).sum() * (level == 0)
    assert max(count for _, count in calls) <= batch_size
