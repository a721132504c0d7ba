"""Search for exits on a trained backbone."""

import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest
from keras import layers

import search
import zoo
from search import Settings
from search.__main__ import main
from search.backbone import places
from search.backbone.features import Features, form_of
from search.backbone.space import ExitSpace
from search.engine.proposer_oracle import hyperparameters
from search.proposers import NSGA2, CompletedTrial, RandomSearch
from search.reading import OtherSearchError
from search.records import CandidateRecord
from zoo import exits, heads, records, training

SHAPES = ((16, 16, 4), (8, 8, 6), (4, 4, 8))
SPACE = ExitSpace(
    ["a", "b", "c"],
    SHAPES,
    [("linear",), ("linear", "fixed", "searched"), ("linear", "searched")],
    [100, 2000, 30_000, 40_000],
    num_classes=10,
    heads=("linear", "fixed", "searched"),
    max_exits=2,
)


def network(seed=1, classes=10):
    """A small functional classifier with a skip, which takes images in 0..255."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255)(images)
    x = layers.Conv2D(6, 3, 2, "same", activation="relu", name="first")(x)
    y = layers.Conv2D(6, 3, padding="same", activation="relu", name="inner")(x)
    x = layers.Add(name="added")([x, y])
    x = layers.Conv2D(8, 3, 2, "same", activation="relu", name="second")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="third")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(classes, activation="softmax", name="answers")(x)
    return keras.Model(images, x, name="small")


@pytest.fixture(scope="module")
def digits(first_digits):
    return first_digits(train=64, validation=40, test=20)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """A file of a plain Keras model."""
    path = tmp_path_factory.mktemp("backbone") / "small.keras"
    network().save(path)
    return str(path)


# The space


def test_exits_are_sorted_and_a_place_has_one():
    later, earlier = SPACE.encode({"c": heads.LinearHead()}), {"a": heads.LinearHead()}
    both = SPACE.encode(earlier | {"c": heads.LinearHead()})
    size = len(SPACE.names) // 2
    swapped = np.concatenate([both[size:], both[:size]])
    assert (SPACE.canonical(swapped) == both).all()
    twice = np.concatenate([later[:size], later[:size]])
    assert (SPACE.canonical(twice) == later).all()
    assert (SPACE.canonical([twice, swapped]) == [later, both]).all()
    assert list(SPACE.decode(swapped)) == ["a", "c"]


def test_a_head_that_does_not_fit_stands_for_the_first_that_does():
    genes = SPACE.encode({"a": heads.LinearHead()})
    genes[SPACE.names.index("exit1/head")] = SPACE.heads.index("fixed")
    assert SPACE.decode(genes) == {"a": heads.LinearHead()}


def test_genes_values_and_exits_say_the_same():
    genes = SPACE.sample(60, np.random.default_rng(0))
    assert len(np.unique(genes, axis=0)) == 60
    assert (SPACE.canonical(genes) == genes).all()
    for each in genes:
        values = SPACE.to_values(each)
        assert (SPACE.from_values(values) == each).all()
        assert (SPACE.encode(SPACE.decode(each)) == each).all()
    found = [SPACE.decode(each) for each in genes]
    assert {len(each) for each in found} == {0, 1, 2}
    kinds = {head.name for each in found for head in each.values()}
    assert kinds == {"linear", "fixed", "searched"}


def test_keras_tuner_knows_which_choices_matter():
    known = hyperparameters(SPACE)
    for genes in SPACE.sample(20, np.random.default_rng(1)):
        given = known.copy()
        given.values = SPACE.to_values(genes)
        active = {hp.name for hp in given.space if given.is_active(hp)}
        assert active == set(given.values)


def test_costs_count_what_is_before_an_exit_and_in_it():
    found = SPACE.costs(SPACE.encode({"b": heads.LinearHead()}))
    own = 6 * 10
    counted = [2000, 40_000, own, 0, 2000 + own, 40_000 + own, own + 10]
    np.testing.assert_allclose(found, np.log1p(counted))


@pytest.mark.parametrize("name", ["random", "nsga2", "aebnas"])
def test_every_proposer_takes_the_space(name):
    rng = np.random.default_rng(2)
    objectives = Settings().objectives_in_order()
    proposer = {
        "random": lambda: RandomSearch(SPACE, 3),
        "nsga2": lambda: NSGA2(SPACE, objectives, population=6, batch_size=3),
        "aebnas": lambda: search.AEBNAS(
            SPACE, objectives, target=2e4, population=6, generations=2, batch_size=3
        ),
    }[name]()
    trials = [
        CompletedTrial(
            tuple(genes.tolist()),
            {"error": rng.random(), "average_macs": 4e4 * rng.random()},
            True,
        )
        for genes in SPACE.sample(12, rng)
    ]
    known = {trial.genes for trial in trials}
    proposal = proposer.propose(trials, rng, set(known))
    proposed = getattr(proposal, "genes", proposal)
    assert len(proposed) == 3
    assert not known & set(map(tuple, SPACE.canonical(proposed).tolist()))


# The backbone


def test_places_differ_in_macs_and_have_the_heads_that_fit(backbone):
    model = places.read(backbone)
    asked = Settings(backbone=backbone, space={"heads": SPACE.heads})
    found = places.completed(asked, model).search_space()
    assert found.places == ("first", "added", "second")
    assert found.shapes == ((8, 8, 6), (8, 8, 6), (4, 4, 8))
    assert found.fitting == (("linear", "fixed", "searched"),) * 3
    first, inner, second = 64 * 27 * 6, 64 * 54 * 6, 16 * 54 * 8
    total = first + inner + second + 16 * 72 * 8 + 8 * 10
    before = (first, first + inner, first + inner + second)
    assert found.macs == (*before, total)
    attached = places.with_exits(model, dict.fromkeys(found.places, "linear"))
    assert attached.macs.backbone == found.macs


def test_a_backbone_answers_as_before(backbone, digits):
    given = keras.saving.load_model(backbone, compile=False)
    model = places.read(backbone)
    images = digits.test.images
    sized = keras.ops.image.resize(images.astype("float32"), (16, 16), antialias=True)
    np.testing.assert_allclose(
        keras.ops.softmax(model.predict(images, verbose=0)[:, 0]),
        given.predict(sized, verbose=0),
        atol=1e-5,
    )


def test_early_exits_of_a_saved_model_are_left_out(backbone, tmp_path):
    given = zoo.attach(network(), ["second"], class_names=list("abcdefghij"))
    given.save(tmp_path / "exits.keras")
    model = places.read(str(tmp_path / "exits.keras"))
    assert model.num_exits == 1
    assert model.class_names == tuple("abcdefghij")
    assert places.digest(model) == places.digest(places.read(backbone))


def test_features_are_kept_after_the_pooling():
    pooled = form_of("a", (8, 8, 6), heads.LinearHead())
    assert pooled.shape == (6,) and pooled.computed
    whole = form_of("a", (8, 8, 6), heads.FixedBranch())
    assert whole.shape == (8, 8, 6) and not whole.computed
    small, large = (heads.Branch([heads.ConvModule(size)]) for size in (8, 10))
    assert form_of("a", (32, 32, 6), small).shape == (8, 8, 6)
    assert form_of("a", (32, 32, 6), large).shape == (10, 10, 6)
    assert form_of("a", (8, 8, 6), small) == whole  # which is no larger
    tokens = form_of("a", (16, 12), heads.TokenHead())
    assert tokens.shape == (16, 12) and not tokens.computed


# A search


@pytest.fixture(scope="module")
def sought(backbone):
    return Settings(
        backbone=backbone,
        method="random",
        trials=5,
        space={"heads": ["linear", "fixed"], "max_exits": 2},
        recipe_changes={"epochs": 1},
        target_macs=1e5,
    )


@pytest.fixture(scope="module")
def finished(sought, digits, tmp_path_factory):
    """Folder, record, and how often heads were trained and features computed."""
    folder = tmp_path_factory.mktemp("exits") / "found"
    counts = {"train": 0, "_compute": 0}

    def counted(own, name):
        def call(*args, **more):
            counts[name] += 1
            return own(*args, **more)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((training, "train"), (Features, "_compute")):
            patch.setattr(owner, name, counted(getattr(owner, name), name))
        search.run(sought, folder, dataset=digits)
    return folder, search.record(folder), counts


def test_a_head_is_trained_once_and_features_are_computed_once(finished):
    folder, record, counts = finished
    assert not record.failed
    used = [each for c in record.candidates for each in c.heads.items()]
    assert counts == {"train": len(set(used)), "_compute": 1}
    assert len(set(used)) < len(used)  # else this shows little
    assert {head.name for _, head in used} == {"linear", "fixed"}
    assert len(list((folder / "cache" / "heads").glob("*.npz"))) == len(set(used))


def test_a_record_holds_the_exits_and_reads_back(finished):
    folder, record, _ = finished
    for each in record.candidates:
        assert each.architecture is None
        assert list(each.exits) == list(each.heads)
        path = folder / f"trial_{each.trial}" / "candidate.json"
        assert records.read(path, CandidateRecord) == each
        with pytest.raises(
            ValueError, match="has no architecture; it is made of exits"
        ):
            _ = each.network
    assert search.record(folder / "record.json") == record


def test_a_member_of_the_front_is_the_model_that_was_measured(finished, digits):
    folder, record, _ = finished
    trial = next(t for t in record.front if record.candidate(t).exits)
    candidate = record.candidate(trial)
    model = search.load_candidate(folder / f"trial_{trial}")
    images, labels = digits.validation
    logits = model.predict(images, verbose=0)
    kept = []
    for path in (folder / "cache" / "heads").glob("*.npz"):
        with np.load(path) as arrays:
            about = json.loads(str(arrays["about"]))
            kept.append((about["place"], about["head"], arrays["logits"]))
    for k, (place, head) in enumerate(candidate.exits.items()):
        (own,) = (found for *named, found in kept if named == [place, head])
        np.testing.assert_allclose(logits[:, k], own, rtol=2e-2, atol=2e-3)
        assert np.ptp(own) > 0.1
    np.testing.assert_allclose(
        logits[:, -1], np.load(folder / "cache" / "final_logits.validation.npy"), 1e-3
    )
    found = exits.evaluate(logits, labels, model.macs, model.thresholds)
    assert found.macs == candidate.evaluation.macs
    assert candidate.metrics["average_macs"] == candidate.evaluation.average_macs
    given = keras.saving.load_model(record.settings.backbone, compile=False)
    for layer in given.layers[1:-1]:
        for old, new in zip(layer.weights, model.get_layer(layer.name).weights):
            np.testing.assert_allclose(old, new, rtol=1e-3, atol=1e-4)


def test_a_member_is_exported_for_zoo_load(finished, digits, tmp_path):
    folder, record, _ = finished
    trial = record.front[0]
    search.export(folder, trial, tmp_path / "out", dataset=digits)
    model = zoo.load(tmp_path / "out")
    assert model.thresholds == record.candidate(trial).evaluation.thresholds
    assert len(model.exit_features) == len(record.candidate(trial).exits)
    trained = zoo.registry.record(tmp_path / "out").training
    assert trained["backbone"] == record.settings.backbone
    assert trained["recipe_of_heads"]["epochs"] == 1
    assert "zoo train" not in zoo.card(tmp_path / "out")
    assert model.class_names == digits.class_names
    answer = model.predict_early(digits.test.images)
    logits = model.predict(digits.test.images, verbose=0)
    leaving = exits.decide(logits, model.thresholds)
    np.testing.assert_array_equal(answer.exits, leaving)


def test_the_command_shows_the_front_and_exports_it(
    finished, digits, tmp_path, capsys, monkeypatch
):
    folder, record, _ = finished
    monkeypatch.setattr(zoo.data, "load", lambda *_: digits)
    assert main(["front", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [each["trial"] for each in shown] == list(record.front)
    out = tmp_path / "exported"
    trial = ["--trial", record.front[-1]]
    assert main(["front", str(folder), *trial, "--export", str(out)]) == 0
    assert zoo.load(out).class_names == tuple("0123456789")
    path = str(tmp_path / "found.json")
    assert main(["front", str(folder), *trial, "--architecture", path]) == 1
    assert "it is made of exits on a backbone" in capsys.readouterr().err


def test_a_search_continues_without_training_again(
    finished, sought, digits, monkeypatch
):
    folder, record, _ = finished
    monkeypatch.setattr(training, "train", None)
    search.run(sought, folder, dataset=digits)
    assert search.record(folder) == record


def test_another_search_shares_the_cache(
    finished, sought, digits, tmp_path, monkeypatch
):
    folder, record, _ = finished
    monkeypatch.setattr(training, "train", None)
    monkeypatch.setattr(Features, "_compute", None)
    again = tmp_path / "again"
    search.run(sought, again, dataset=digits, cache=folder / "cache")
    assert not (again / "cache").exists()
    for one, two in zip(record.candidates, search.record(again).candidates):
        assert one.exits == two.exits
        assert one.evaluation == two.evaluation
    other = dataclasses.replace(sought, train_images=32)
    with pytest.raises(ValueError, match="of another backbone or of other images"):
        tuner_of(other, tmp_path / "other", digits, folder / "cache").trained  # noqa: B018


def tuner_of(settings, folder, digits, cache):
    from search import build

    model = places.read(settings.backbone)
    settings = places.completed(settings, model)
    oracle = build.oracle(settings)
    return build.tuner(settings, folder, digits, oracle, cache, model)


def test_a_backbone_with_other_weights_is_another_search(
    finished, sought, digits, tmp_path
):
    network(seed=2).save(tmp_path / "small.keras")
    model = places.read(str(tmp_path / "small.keras"))
    with pytest.raises(OtherSearchError, match="differs in weights of the backbone"):
        places.keep(model, finished[0])


# What is refused before anything is computed


def refused(arguments, capsys, folder):
    status = main(["run", "--directory", str(folder), *arguments])
    assert not folder.exists()
    assert status == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--resolutions", "32"], "resolutions is an option of the paper's search"),
        (["--exits", "1"], "exits is an option of the paper's search space"),
        (
            ["--initial-weights", "x"],
            "--initial-weights is given, and so is a backbone",
        ),
        (["--method", "static"], "choose from aebnas, nsga2, random"),
        (["--convention", "aebnas"], "--convention is 'aebnas'"),
        (["--recipe", "long"], "--recipe is 'long'; expected 'heads'"),
        (["--heads", "liner"], "There is no head 'liner'"),
        (["--max-exits", "0"], "--max-exits is 0; expected 1 or more"),
        (["--max-exits", "6"], "64,000,000 settings"),
        (["--places", "secnd"], "no layer 'secnd'; choose from"),
        (["--places", "inner"], "cannot be cut after 'inner': the output of 'first'"),
        (["--heads", "token"], "has no place for an exit with the heads token"),
        (
            ["--heads", "token", "--places", "first"],
            "None of the heads token fits features of shape (8, 8, 6), after 'first'",
        ),
    ],
)
def test_impossible_searches_are_refused(
    arguments, message, backbone, capsys, tmp_path
):
    given = ["--backbone", backbone, "--data", "digits", *arguments]
    assert message in refused(given, capsys, tmp_path / "none")


def test_places_without_a_backbone_are_refused(capsys, tmp_path):
    told = refused(["--places", "first"], capsys, tmp_path / "none")
    assert "--places is only for a search with a backbone" in told


def test_other_classes_are_refused(capsys, tmp_path):
    path = tmp_path / "seven.keras"
    network(classes=7).save(path)
    given = ["--backbone", str(path), "--data", "digits"]
    told = refused(given, capsys, tmp_path / "none")
    assert f"{path} has 7 classes, digits has 10." in told


def test_other_names_of_classes_are_refused(digits):
    model = zoo.attach(network(), [], class_names=list("abcdefghij"))
    with pytest.raises(ValueError, match="has the classes a, b, c"):
        places.name_classes(model, "letters", digits)


def test_what_is_no_classifier_is_refused(tmp_path):
    whole = network()
    path = tmp_path / "features.keras"
    keras.Model(whole.inputs, whole.get_layer("third").output).save(path)
    with pytest.raises(ValueError, match="expected a classifier of the data's classes"):
        places.read(str(path))
    with pytest.raises(FileNotFoundError, match="There is no file"):
        places.read(str(pathlib.Path(tmp_path, "none.keras")))
    with pytest.raises(ValueError, match="no pretrained model 'aebnas_digit'"):
        places.read("aebnas_digit")
