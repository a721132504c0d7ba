"""Search by inheritance: nothing is trained, and answers are kept on disk."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

import search
import zoo
from zoo import exits, heads

pytest.importorskip("tensorflow")

from search import Settings, build, reading, run  # noqa: E402
from search.__main__ import main  # noqa: E402
from search.candidates import WEIGHTS  # noqa: E402
from search.supernet import shared, stored  # noqa: E402
from search.supernet.answers import Answers  # noqa: E402
from search.supernet.inheriting import Inherit, answers_folder  # noqa: E402
from search.supernet.network import Supernet  # noqa: E402
from search.supernet.stored import About  # noqa: E402

TARGET = 4e6
NORMALISED = shared.normalisations(10)


def settings(supernet, **changes):
    values = {
        "method": "random",
        "trials": 2,
        "target_macs": TARGET,
        "train_images": 16,
        "supernet": str(supernet),
    }
    return Settings(**values | changes)


@pytest.fixture(scope="module")
def dataset(first_digits):
    return first_digits(train=32, validation=24, test=8)


@pytest.fixture(scope="module")
def supernet():
    """Untrained, but with weights in its residual branches."""
    weights = Supernet.random(10, 3).values()
    for name, value in weights.items():
        if name.endswith("project_bn/gamma"):
            weights[name] = np.ones_like(value)
    return Supernet(weights, About(resolutions=(32,)))


@pytest.fixture(scope="module")
def searched(supernet, dataset, tmp_path_factory):
    """A finished search of two candidates, and its supernet's file."""
    folder = tmp_path_factory.mktemp("inherit")
    (folder / "net").mkdir()
    supernet.save(folder / "net" / stored.WEIGHTS, 32)
    sought = settings(folder / "net")
    run(sought, folder / "s", dataset=dataset)
    return folder


def architecture(*thresholds):
    stage = zoo.Stage.uniform(2, 3, 3)
    branch = zoo.Branch((zoo.ConvModule(8),))
    branches = [None if t == 1 else branch for t in thresholds]
    return zoo.Architecture(32, (stage,) * 5, branches, thresholds)


# A search


def test_candidates_are_measured_with_the_supernets_weights(
    searched, supernet, dataset
):
    found = search.record(searched / "s")
    assert len(found.candidates) == 2 and not found.failed
    space = found.settings.search_space()
    assert space.resolutions == (32,)  # those of the supernet
    for candidate in found.candidates:
        network = candidate.network
        statistics = supernet.calibrate(network, dataset.train.images[:16])
        logits = supernet.predict(network, dataset.validation.images, statistics)
        logits = logits.astype(np.float16).astype(np.float32)
        labels, cost = dataset.validation.labels, zoo.macs(network, 10)
        best = exits.tune_thresholds(logits, labels, cost, space.thresholds, TARGET)
        assert candidate.evaluation.thresholds == best.thresholds
        assert candidate.metrics["average_macs"] == pytest.approx(best.average_macs)
        assert candidate.metrics["error"] == pytest.approx(1 - best.accuracy)
        assert candidate.metrics["parameters"] == cost.parameters
        assert len(candidate.frontier) == len(exits.frontier(logits, labels, cost)) or (
            candidate.trial not in found.front and not candidate.frontier
        )


def test_records_say_where_weights_come_from(searched, supernet):
    for noted in (search.record(searched / "s"), reading.started(searched / "s")):
        assert noted.supernet.name == str(searched / "net")
        assert noted.supernet.digest == supernet.digest
    for candidate in search.record(searched / "s").candidates:
        assert candidate.training.supernet == supernet.digest
        assert candidate.training.images_per_second is None


def test_a_member_of_the_front_becomes_a_model(searched, supernet, dataset, tmp_path):
    found = search.record(searched / "s")
    fronts = {*found.front, *(point.trial for point in found.settings_front)}
    kept = {path.parent.name for path in (searched / "s").glob(f"trial_*/{WEIGHTS}")}
    assert kept == {f"trial_{trial}" for trial in fronts}
    trial = found.front[0]
    written = reading.export(searched / "s", trial, tmp_path / "m", dataset=dataset)
    assert written.training["supernet"]["digest"] == supernet.digest
    assert written.recipe is None and "of a supernet" in written.notes[0]
    model, network = zoo.load(tmp_path / "m"), found.candidate(trial).network
    assert model.thresholds == found.candidate(trial).evaluation.thresholds
    statistics = supernet.calibrate(network, dataset.train.images[:16])
    images = dataset.validation.images
    expected = supernet.predict(network, images, statistics)
    logits = model.predict(images, verbose=0)  # kernels in half precision
    np.testing.assert_allclose(logits, expected, atol=0.02 * np.abs(expected).max())


def test_a_candidate_pads_and_normalises_as_its_supernet_does(
    supernet, dataset, tmp_path, monkeypatch
):
    about = About("once_for_all", (32,))
    Supernet(supernet.values(), about).save(tmp_path / "s.npz", 32)
    layers = {name: len(supernet.weights[f"{name}/gamma"]) for name in NORMALISED}
    statistics = {n: np.stack([np.zeros(c), np.ones(c)]) for n, c in layers.items()}
    monkeypatch.setattr(Inherit, "calibrate", lambda *_: statistics)

    def predict(strategy, architecture, _):
        count = len(strategy.dataset.validation.labels)
        return np.zeros((count, len(architecture.exits) + 1, 10))

    monkeypatch.setattr(Inherit, "predict", predict)
    run(settings(tmp_path / "s.npz", trials=1), tmp_path / "s", dataset=dataset)
    (candidate,) = search.record(tmp_path / "s").candidates
    assert candidate.origin == "once_for_all"
    reading.export(tmp_path / "s", candidate.trial, tmp_path / "m", dataset=dataset)
    assert zoo.load(tmp_path / "m").origin == "once_for_all"


def test_a_supernet_of_other_images_is_used_with_a_warning(supernet, dataset, tmp_path):
    for known in (None, dataset.fingerprint):
        Inherit(Supernet(supernet.values(), About(data=known)), dataset, tmp_path)
    other = Supernet(supernet.values(), About(data="abc"))
    with pytest.warns(
        UserWarning, match=r"trained on other images \(fingerprint abc\)"
    ):
        Inherit(other, dataset, tmp_path)


def test_a_search_continues_with_the_same_supernet_only(
    searched, dataset, tmp_path, monkeypatch
):
    sought = settings(searched / "net", trials=3)
    shutil.copytree(searched / "s", tmp_path / "s")
    measured = []
    monkeypatch.setattr(
        Inherit, "predict", lambda self, *given: measured.append(given) or 1 / 0
    )
    oracle = run(sought, tmp_path / "s", dataset=dataset)
    assert len(measured) == 1  # the other two are on record
    assert len(oracle.failed_trials()) == 1
    other = stored.read(searched / "net")[0]
    other["stem_bn/beta"] += 1
    changed = tmp_path / "net.npz"
    stored.write(changed, other, About(resolutions=(32,)))
    monkeypatch.setattr(stored, "path_of", lambda name: changed)
    with pytest.raises(ValueError, match="differs in content of the supernet"):
        run(sought, tmp_path / "s", dataset=dataset)


def test_the_supernets_steps_stay_compiled(searched, dataset, tmp_path, monkeypatch):
    for where in ("keras.backend.clear_session", "keras.utils.set_random_seed"):
        monkeypatch.setattr(where, lambda *_: pytest.fail("they are prepared again"))
    sought = settings(searched / "net")
    oracle = run(sought, tmp_path / "again", dataset=dataset)
    assert len(oracle.trials) == 2 and not oracle.failed_trials()


def test_other_searches_are_answered_from_the_disk(
    searched, dataset, tmp_path, monkeypatch
):
    monkeypatch.setattr(Inherit, "predict", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr("search.candidates.weight_files.save", lambda *_: None)
    monkeypatch.setattr("gc.collect", lambda: 0)
    before = search.record(searched / "s")
    sought = settings(searched / "net", target_macs=1e6)
    run(sought, tmp_path / "s", dataset=dataset)
    again = search.record(tmp_path / "s")
    for one, other in zip(before.candidates, again.candidates, strict=False):
        assert one.network.stages == other.network.stages
        assert one.metrics["final_error"] == other.metrics["final_error"]


# The strategy


@pytest.fixture
def fake(monkeypatch):
    """A supernet that answers at once, and counts how often it is asked."""

    class Fake:
        num_classes, digest, about = 10, "abc", About()
        asked = 0

        def calibrate(self, network, images):
            return len(network.exits)

        def predict(self, network, images, statistics):
            self.asked += 1
            logits = np.random.default_rng(statistics).normal(
                size=(len(images), len(network.exits) + 1, 10)
            )
            return logits.astype(np.float32)

    return Fake()


def test_a_model_is_built_only_when_it_is_needed(fake, dataset, tmp_path):
    strategy = Inherit(fake, dataset, tmp_path)
    network = strategy.network(architecture(0.5, 1, 1, 0.1), 10)
    fitted = strategy(network, dataset, None, convention="aebnas")
    assert fitted.logits.shape == (24, 3, 10)
    assert network.cost("aebnas") == zoo.macs(network.architecture, 10, "aebnas")
    assert fitted.validation.thresholds == (0.5, 0.1)
    calls = []
    fake.extract = lambda *given, **more: calls.append((*given, more)) or "model"
    assert network.model == network.model == "model"
    assert network.upper() == "MODEL"  # what a sub-network has not is the model's
    assert calls == [(network.architecture, 2, {"thresholds": (0.5, 0.1)})]
    assert fake.asked == 1


def test_a_supernet_of_other_classes_is_refused(fake, dataset, tmp_path):
    fake.num_classes = 100
    with pytest.raises(ValueError, match="100 classes, and digits has 10"):
        Inherit(fake, dataset, tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"initial_weights": "aebnas_digits"}, "initial_weights is 'aebnas_digits'"),
        ({"recipe_changes": {"epochs": 3}}, "recipe_changes is .* are not trained"),
        ({"space": {"head": "pooled"}}, "supernet has searched and fixed ones only"),
    ],
)
def test_settings_that_make_no_sense_with_a_supernet(changes, message, monkeypatch):
    if "space" in changes:

        @dataclasses.dataclass(frozen=True)
        class Pooled(heads.Head):
            name = "pooled"

        monkeypatch.setitem(heads._HEADS, "pooled", Pooled)
    with pytest.raises(ValueError, match=message):
        settings("net", **changes)


def test_a_method_that_fixes_resolutions_keeps_them(searched):
    from search.running import _with_resolutions

    sought = settings(searched / "net", method="nachos")
    assert _with_resolutions(sought).search_space().resolutions == (32,)
    given = settings(searched / "net", space={"resolutions": [40]})
    assert _with_resolutions(given) == given


# Answers on disk


def test_answers_depend_on_everything_but_thresholds(tmp_path):
    rng = np.random.default_rng(0)

    def measured():
        return rng.normal(size=(5, 3, 10))

    one = Answers(tmp_path / "a", {"supernet": "x"})
    logits = one.of(architecture(0.1, 1, 0.1, 1), measured)
    assert logits.dtype == np.float32
    again = one.of(architecture(0.2, 1, 0.5, 1), measured)
    np.testing.assert_array_equal(logits, again)
    assert len(list((tmp_path / "a").iterdir())) == 1
    other = one.of(architecture(0.1, 1, 1, 0.1), measured)
    elsewhere = Answers(tmp_path / "a", {"supernet": "y"})
    third = elsewhere.of(architecture(0.1, 1, 0.1, 1), measured)
    assert len(list((tmp_path / "a").iterdir())) == 3
    assert len({each.tobytes() for each in (logits, other, third)}) == 3


def test_a_damaged_answer_is_measured_anew(tmp_path):
    answers = Answers(tmp_path, {})
    network = architecture(0.1, 1, 1, 1)
    answers.of(network, lambda: np.zeros((2, 2, 3)))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    elsewhere = Answers(tmp_path / "a", {"supernet": "y"})
    elsewhere.of(network, lambda: np.zeros((2, 2, 3)))
    (other,) = (tmp_path / "a").iterdir()  # says itself what it answers
    for damaged in (b"", whole[:100], other.read_bytes()):
        path.write_bytes(damaged)
        assert answers.of(network, lambda: np.ones((2, 2, 3))).min() == 1
    assert path.read_bytes() != whole


def test_answers_that_are_not_finite_are_not_kept(tmp_path):
    answers = Answers(tmp_path, {})
    with pytest.raises(FloatingPointError, match="NaN, or larger than 65504"):
        answers.of(architecture(1, 1, 1, 1), lambda: np.full((2, 1, 3), 1e6))
    assert not list(tmp_path.iterdir())


def test_where_answers_are_kept(tmp_path, monkeypatch):
    (tmp_path / "net").mkdir()
    file = tmp_path / "net" / stored.WEIGHTS
    file.touch()
    assert answers_folder(file, tmp_path / "s") == tmp_path / "net" / "answers"
    monkeypatch.setattr(stored, "PRETRAINED", tmp_path / "net")
    assert answers_folder(file, tmp_path / "s") == tmp_path / "s" / "answers"


def test_the_command_line_passes_supernet_and_folder_on(tmp_path, monkeypatch, fake):
    given = {}
    tuner = build.tuner

    def noted(sought, directory, dataset, oracle, cache, backbone):
        given.update(supernet=sought.supernet, cache=cache)
        return tuner(sought, directory, dataset, oracle, cache, backbone)

    stored.write(tmp_path / "net.npz", {"a": np.ones(2)}, About(resolutions=(36,)))
    monkeypatch.setattr(build, "tuner", noted)
    monkeypatch.setattr(Supernet, "load", lambda name: fake)
    monkeypatch.setattr("search.candidates.write", lambda *_: None)
    options = f"--trials 2 --method random --cache {tmp_path / 'c'}".split()
    sought = ["--supernet", str(tmp_path / "net.npz"), "--directory", str(tmp_path)]
    assert main(["run", *options, *sought]) == 0
    assert given == {"supernet": str(tmp_path / "net.npz"), "cache": tmp_path / "c"}
    assert len(list((tmp_path / "c").iterdir())) == fake.asked == 2
    noted = json.loads((tmp_path / "search.json").read_text())
    assert noted["settings"]["space"]["resolutions"] == [36]
