"""A crash, a loss of power or a full disk at every step of what is saved."""

import errno
import json
import os
import shutil

import numpy as np
import pytest

from zoo import registry


@pytest.fixture(scope="module")
def models(tiny_network):
    """An old model, the new one that is saved over it, and one saved afterwards."""
    return [tiny_network(seed) for seed in (1, 2, 3)]


def is_whole(folder, models):
    """Whether a folder loads as one of the models, with that one's weights."""
    loaded = registry.load(folder)
    (same,) = [m for m in models if m.thresholds == loaded.thresholds]
    for one, other in zip(loaded.weights, same.weights):
        stored = np.asarray(other)
        if stored.ndim > 1:
            stored = stored.astype(np.float16)
        np.testing.assert_array_equal(np.asarray(one), stored)
    return same


@pytest.fixture(scope="module")
def old(models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("old") / "model"
    registry.save(models[0], folder)
    return folder


@pytest.fixture
def copy(old, tmp_path):
    """A function: a fresh copy of the folder of the old model."""

    def fresh():
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        return shutil.copytree(old, folder)

    return fresh


@pytest.fixture(autouse=True, scope="module")
def every_model_is_built_once():
    """Which is most of the time; all that differs between them is set afterwards."""
    build, built = registry._build, {}

    def build_once(description, where):
        config = {k: v for k, v in description["config"].items() if k != "name"}
        key = json.dumps(config)
        if key not in built:
            built[key] = build(description, where)
        return built[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_build", build_once)
        yield


def steps_of(faulty, do):
    """How many calls of the system a thing takes."""
    fault = faulty()
    do()
    return len(fault.calls)


def test_a_crash_at_any_step_of_save_leaves_the_old_or_the_new_model(
    models, copy, faulty, crash, campaign
):
    first, second, third = models
    steps = steps_of(faulty, lambda: registry.save(second, copy()))
    assert steps > 15
    found, cases = [], 0
    for step in range(1, steps + 1):
        folder = copy()
        faulty(crash_at=step)
        with pytest.raises(crash):
            registry.save(second, folder)
        found.append(is_whole(folder, models) is second)
        for again in range(1, steps + 1)[:: campaign.size(7, 1)]:  # and once more
            cases += 1
            left = folder.with_name("again")
            shutil.rmtree(left, ignore_errors=True)
            shutil.copytree(folder, left)
            faulty(crash_at=again)
            with pytest.raises(crash):
                registry.save(third, left)
            assert is_whole(left, models) in (third, second if found[-1] else first)
        faulty()
        registry.save(third, folder)
        assert is_whole(folder, models) is third
        assert sorted(os.listdir(folder)) == sorted(os.listdir(copy()))
    assert found == sorted(found) and {*found} == {True, False}
    campaign.note(
        "crashes in zoo.save", cases + steps, "the old or the new model loads"
    )


def test_a_loss_of_power_at_any_step_of_save_leaves_the_old_or_the_new_model(
    models, copy, faulty, unreliable, crash, campaign
):
    steps = steps_of(faulty, lambda: registry.save(models[1], copy()))
    draw = campaign.random()
    draws = [lambda: 0.0, lambda: 0.999, *[draw.random] * campaign.size(2, 20)]
    for step in range(1, steps + 1):
        for each in draws:
            folder = copy()
            disk = unreliable(folder, step)
            with pytest.raises(crash):
                registry.save(models[1], folder)
            disk.lose_power(each)
            faulty()
            is_whole(folder, models[:2])
    campaign.note(
        "losses of power in zoo.save",
        steps * len(draws),
        "the old or the new model loads",
    )


def test_a_saved_model_survives_a_loss_of_power(models, copy, unreliable):
    folder = copy()
    disk = unreliable(folder, None)
    registry.save(models[1], folder)
    disk.lose_power(lambda: 0.0)
    assert is_whole(folder, models) is models[1]


def test_the_simulated_disk_loses_what_nobody_synchronised(tmp_path, unreliable):
    (tmp_path / "kept").write_text("old")
    disk = unreliable(tmp_path, None)
    (tmp_path / "new").write_text("new")
    (tmp_path / "kept").write_text("newer")
    disk.lose_power(lambda: 0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "old"


def offsets(total, count, draw):
    """The first and last byte, and others in between."""
    return sorted({0, 1, total - 1, *(draw.randrange(total) for _ in range(count - 3))})


def test_a_disk_that_is_full_at_any_byte_of_save_keeps_the_old_model(
    models, copy, faulty, campaign
):
    total = faulty(room=10**9)
    registry.save(models[1], copy())
    total = 10**9 - total.room
    rooms = offsets(total, campaign.size(10, 100), campaign.random())
    for room in rooms:
        folder = copy()
        faulty(room=room)
        with pytest.raises(OSError, match="^The disk at /.* is full: .* needs") as full:
            registry.save(models[1], folder)
        assert full.value.errno == errno.ENOSPC
        assert "\n" not in str(full.value)
        is_whole(folder, models[:2])
        faulty()
        registry.save(models[1], folder)
        assert is_whole(folder, models) is models[1]
        assert sorted(os.listdir(folder)) == sorted(os.listdir(copy()))
    campaign.note(
        "full disks in zoo.save",
        len(rooms),
        "one line names the disk, and the old or the new model loads",
    )
