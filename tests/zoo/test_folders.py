"""Folders of pictures as data sets."""

import dataclasses
import json
import pathlib
import shutil
import unicodedata

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo import data, folders, pipeline
from zoo.__main__ import main
from zoo.commands import train

CLASSES = ("bee", "zebra", "été")
PARTS = ("train", "validation", "test")


@pytest.fixture
def place(tmp_path):
    """A folder whose name has a space and an accent."""
    folder = tmp_path / "my fleurs à moi"
    folder.mkdir()
    return folder


def write(folder, counts, first=0):
    """Pictures of one colour, another one for each, in folders of classes."""
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            colour = (60 * label, 10 * (first + i), 200)
            Image.new("RGB", (6 + i, 9), colour).save(folder / name / f"{i}.png")


def colours(split):
    """The label and the colour of each image, the colours checked to fill it."""
    assert split.images.dtype == np.uint8 and split.labels.dtype == np.int64
    first = split.images[:, :1, :1]
    np.testing.assert_array_equal(split.images, np.broadcast_to(first, split[0].shape))
    return [(int(k), *map(int, c)) for k, c in zip(split.labels, first[:, 0, 0])]


def counts(split):
    return np.bincount(split.labels).tolist()


# Structure


def test_a_folder_for_each_class_is_divided_by_class(place):
    write(place, {"zebra": 10, "bee": 20, "été": 3})
    found = data.from_folder(place, 8)
    assert found.name == "my fleurs à moi" and found.flip
    assert found.class_names == CLASSES
    assert found.train.images.shape[1:] == (8, 8, 3)
    assert counts(found.test) == [4, 2, 1]
    assert counts(found.validation) == [2, 1, 1]
    assert counts(found.train) == [14, 7, 1]
    seen = [colour for part in PARTS for colour in colours(getattr(found, part))]
    expected = {  # labels count the sorted names, colours the order of writing
        *((1, 0, 10 * i, 200) for i in range(10)),
        *((0, 60, 10 * i, 200) for i in range(20)),
        *((2, 120, 10 * i, 200) for i in range(3)),
    }
    assert len(seen) == 33 and set(seen) == expected


def test_the_first_images_of_a_part_are_of_several_classes(place):
    write(place, {"a": 20, "b": 20})
    labels = data.from_folder(place, 1).train.labels
    assert 2 < labels[: len(labels) // 2].sum() < 12


def test_the_split_depends_on_the_seed_and_not_on_the_place(place, tmp_path):
    write(place, {"a": 20, "été": 20})
    other = tmp_path / "other"
    shutil.copytree(place / "a", other / "a")
    shutil.copytree(place / "été", other / unicodedata.normalize("NFD", "été"))
    first, second = data.from_folder(place, 4), data.from_folder(other, 4, name="x")
    assert (second.name, second.class_names) == ("x", first.class_names)
    assert second.fingerprint == first.fingerprint
    changed = data.from_folder(place, 4, seed=1)
    assert changed.fingerprint != first.fingerprint
    assert counts(changed.test) == counts(first.test)


def test_shares_say_how_many_are_drawn(place):
    write(place, {"a": 10, "b": 3})
    found = data.from_folder(place, 4, validation=0.5, test=0.4, flip=False)
    assert [counts(getattr(found, part)) for part in PARTS] == [[1, 1], [5, 1], [4, 1]]
    assert not found.flip
    many = data.from_folder(place, 4, validation=0.01, test=0.98)
    assert [counts(getattr(many, part)) for part in PARTS] == [[1, 1], [1, 1], [8, 1]]


@pytest.mark.parametrize("validation", ["validation", "Val", "valid"])
def test_folders_of_parts_stay_as_they_are(place, validation):
    for k, part in enumerate(("train", validation, "test")):
        write(place / part, {"a": k + 1, "b": 2}, first=3 * k)
    found = data.from_folder(place, 4)
    assert [counts(getattr(found, part)) for part in PARTS] == [[1, 2], [2, 2], [3, 2]]
    assert sorted(colours(found.test)) == [
        *((0, 0, 10 * (6 + i), 200) for i in range(3)),
        *((1, 60, 10 * (6 + i), 200) for i in range(2)),
    ]


@pytest.mark.parametrize("missing", ["validation", "test"])
def test_a_missing_part_is_drawn_from_the_training_pictures(place, missing):
    given = {"validation": "test", "test": "validation"}[missing]
    write(place / "train", {"a": 10, "b": 2})
    write(place / given, {"a": 2, "b": 1}, first=10)
    found = data.from_folder(place, 4)
    drawn = {"validation": [1, 1], "test": [2, 1]}[missing]
    assert counts(getattr(found, missing)) == drawn
    assert counts(getattr(found, given)) == [2, 1]
    assert counts(found.train) == [10 - drawn[0], 1]
    given = colours(getattr(found, given))
    assert sorted(given) == [(0, 0, 100, 200), (0, 0, 110, 200), (1, 60, 100, 200)]


def test_training_pictures_alone_are_divided_in_three(place):
    write(place / "train", {"a": 10, "b": 5})
    found = data.from_folder(place, 4)
    assert found.class_names == ("a", "b")
    assert [counts(getattr(found, part)) for part in PARTS] == [[7, 3], [1, 1], [2, 1]]


def test_a_class_may_be_called_train(place):
    write(place, {"train": 3, "car": 3})
    assert data.from_folder(place, 4).class_names == ("car", "train")


def test_nested_folders_are_read_and_other_files_are_not(place):
    write(place, {"a": 3, "b": 3})
    (place / "a" / "more" / "deep").mkdir(parents=True)
    shutil.move(place / "a" / "0.png", place / "a" / "more" / "deep" / "0.png")
    for name in ("a/notes.txt", "a/.hidden.png", ".git/c/1.png", "__MACOSX/1.png"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"no picture")
    (place / "readme.md").touch()
    found = data.from_folder(place, 4, errors="raise")
    assert found.class_names == ("a", "b")
    assert sum(len(getattr(found, part).labels) for part in PARTS) == 6


# Pictures


def test_pictures_of_all_kinds_get_one_size(place):
    write(place, {"a": 2, "b": 3})
    (place / "a" / "0.png").unlink()
    Image.new("L", (30, 20), 90).save(place / "a" / "grey.jpg", quality=100)
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(place / "a" / "clear.webp")
    Image.new("1", (1, 40), 1).save(place / "a" / "thin.gif")
    found = data.from_folder(place, 16, errors="raise")
    seen = [c for part in PARTS for k, *c in colours(getattr(found, part)) if k == 0]
    assert sorted(seen) == [[0, 10, 200], [90] * 3, [255] * 3, [255] * 3]


def test_broken_pictures_are_left_out_with_one_warning(place):
    write(place, {"a": 8, "b": 3})
    whole = (place / "a" / "0.png").read_bytes()
    for i in range(5):
        (place / "a" / f"{i}.png").write_bytes((b"", b"text", whole[:40])[i % 3])
    with pytest.warns(UserWarning) as warned:
        found = data.from_folder(place, 4)
    (message,) = [str(each.message) for each in warned]
    assert message == (
        f"5 of 11 pictures in {place} cannot be read and are left out: a/0.png, "
        "a/1.png, a/2.png and 2 more."
    )
    assert pathlib.Path(warned[0].filename).name == "test_folders.py"
    seen = [each for part in PARTS for each in colours(getattr(found, part))]
    assert sorted(seen) == [
        *((0, 0, 10 * i, 200) for i in range(5, 8)),
        *((1, 60, 10 * i, 200) for i in range(3)),
    ]
    with pytest.raises(ValueError, match=r"0\.png cannot be read as a picture"):
        data.from_folder(place, 4, errors="raise")


def test_too_few_pictures_that_can_be_read_are_an_error(place):
    write(place, {"a": 3, "b": 3})
    (place / "b" / "1.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 6"):
        with pytest.raises(ValueError, match="class b of .* has 2 pictures"):
            data.from_folder(place, 4)


# Bad folders


def refused(folder, **options):
    with pytest.raises(ValueError) as error:
        data.from_folder(folder, **options)
    return str(error.value)


@pytest.mark.parametrize(
    "pictures, message",
    [
        ({"a": 3, "b": 2}, "The class b of {} has 2 pictures that can be read, for "
         "train, validation, test; expected 3 or more."),
        ({"a": 3, "b": 0}, "The class b of {} has 0 pictures"),
        ({"a": 3}, "{} holds only the folder a; expected two classes or more. Exp"),
        ({}, "{} holds no folder; expected two classes or more. Expected a folder for "
         "each class, such as my fleurs à moi/cat/1.jpg"),
        ({"a": 0, "b": 0}, "{} holds no pictures. Expected a folder"),
        ({"train/a": 3, "train/b": 1, "val/a": 1, "val/b": 1}, "The class b of {} has "
         "1 pictures that can be read, for train, test; expected 2 or more."),
        ({"train/a": 1, "train/b": 1, "val/a": 1, "val/b": 1, "test/a": 1}, "The class "
         "b of {} has no picture for test; expected every class in each part."),
        ({"train/a": 3, "train/b": 3, "test/c": 1}, "test/c is not one of the classes "
         "of the training pictures; expected a, b."),
        ({"train/a": 3, "train/b": 3, "val/a": 1, "tset/a": 1}, "{} holds the folders "
         "train, tset, val; expected train, and"),
        ({"val/a": 3, "test/a": 3}, "{} holds the folders test, val; expected train"),
        ({"train/a": 3, "val/a": 3, "valid/a": 3}, "train, val, valid; expected train"),
        ({"train": 3, "test": 3}, "{}/train holds no folder; expected two classes"),
    ],
)  # fmt: skip
def test_another_structure_is_explained(place, pictures, message):
    write(place, pictures)
    assert message.format(place) in refused(place)


def test_files_of_another_format_are_named(place):
    for name in ("a/1.heic", "b/2.txt"):
        (place / name).parent.mkdir()
        (place / name).touch()
    assert "only files such as .heic, .txt. Expected" in refused(place)


def test_a_folder_that_is_not_there_is_an_error(place):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        data.from_folder(place / "nowhere")


def test_pictures_that_take_too_much_memory_are_refused_before_they_are_read(place):
    write(place, {"a": 3, "b": 3})
    (place / "a" / "1.png").write_bytes(b"")
    message = refused(place, size=1000, max_gigabytes=0.017)
    assert f"The 6 pictures in {place} take 0.018 GB of memory at 1000" in message
    message = refused(place, size=30_000)
    assert (
        "take 16.2 GB of memory at 30000 x 30000 pixels; expected at most 8" in message
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"size": 0}, "size is 0; expected 1 or more"),
        ({"size": 3.5}, "size is 3.5; expected a whole"),
        ({"test": 0}, "test is 0; expected a share between 0 and 1"),
        ({"validation": "a"}, "validation is 'a'; expected a share"),
        ({"validation": 0.5, "test": 0.5}, "expected less than 1 together"),
        ({"errors": "ignore"}, "errors is 'ignore'; choose from warn, raise"),
    ],
)
def test_bad_options_are_refused(place, options, message):
    assert message in refused(place, **options)


# Names


def test_a_path_is_a_data_set(place, monkeypatch):
    write(place / "pets", {"a": 3, "b": 3})
    expected = data.from_folder(place / "pets", 16)
    monkeypatch.chdir(place)
    for name, where in (("pets", None), (str(place / "pets"), None), ("pets", "/"),
                        ("pets", place), ("./pets/", None)):  # fmt: skip
        found = data.load(name, where, size=16, flip=None)
        assert (found.name, found.fingerprint) == ("pets", expected.fingerprint)
    assert data.load("pets").train.images.shape[1:3] == (folders.SIZE, folders.SIZE)


def test_the_path_of_an_npz_file_is_a_data_set(place):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 4, 4, 3), np.uint8)
    arrays = {"x_train": images, "y_train": np.arange(20) % 2}
    arrays |= {"x_test": images[:4], "y_test": np.arange(4) % 2}
    for name in ("mine", "digits"):
        np.savez(place / f"{name}.npz", **arrays)
        found = data.load(place / f"{name}.npz")
        assert found.name == name and len(found.test.labels) == 4
    by_name = data.load("mine", place)
    assert data.load("mine.npz", place).fingerprint == by_name.fingerprint
    with pytest.raises(ValueError, match="mine is not a folder of pictures; size can"):
        data.load("mine", place, size=3)


def test_built_in_names_come_before_folders(place, monkeypatch):
    (place / "digits").mkdir()
    monkeypatch.chdir(place)
    assert data.path_of("digits", place) is None
    assert data.path_of("./digits") == pathlib.Path("digits")
    with pytest.raises(ValueError, match="digits is not a folder of pictures"):
        data.load("digits", size=8)


@pytest.mark.parametrize("name", ["photos/flwrs", "flowers.npz"])
def test_a_path_of_nothing_is_an_error(name, place):
    with pytest.raises(FileNotFoundError, match=f"no folder of pictures {name}, nor"):
        data.load(name, place)


@pytest.mark.parametrize("count", [0, 1, 2, 17])
def test_reordering_in_place_is_indexing(count):
    rng = np.random.default_rng(count)
    array, order = rng.random((count, 3)), rng.permutation(count)
    expected = array[order]
    folders.reorder(array, order)
    np.testing.assert_array_equal(array, expected)


# Models


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """A folder of two classes that differ in brightness."""
    folder = tmp_path_factory.mktemp("some à la carte") / "pets"
    rng = np.random.default_rng(0)
    for name, low in (("cat", 0), ("dog", 128)):
        (folder / name).mkdir(parents=True)
        for i in range(20):
            noise = rng.integers(low, low + 128, (20, 24, 3), np.uint8)
            Image.fromarray(noise).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def saved(pets, generic, tmp_path_factory):
    """A model of random weights, measured on the folder at another size than usual."""
    model = generic(num_classes=2, thresholds=(0.5, 0.5))
    folder = tmp_path_factory.mktemp("models") / "my_model"
    zoo.save(model, folder, data.from_folder(pets, 24), {"recipe": {"name": "short"}})
    return folder


def test_a_model_is_evaluated_elsewhere_at_the_size_of_its_record(
    saved, pets, tmp_path, capsys, monkeypatch
):
    load, loaded = data.load, []
    monkeypatch.setattr(
        data, "load", lambda *a, **b: loaded.append(load(*a, **b)) or loaded[-1]
    )
    noted = zoo.registry.record(saved)
    assert noted.class_names == ("cat", "dog")
    assert noted.data.name == "pets" and noted.data.image_size == (24, 24)
    assert "8 for the results above; 24 x 24 pixels." in zoo.card(saved)
    shutil.copytree(pets, tmp_path / "elsewhere")
    for options in (
        ("--data", tmp_path / "elsewhere"),
        ("--data", pets, "--size", 24),
        ("--data-dir", pets.parent),  # the name is that of the record
    ):
        assert main(["evaluate", str(saved), *map(str, options), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert loaded[-1].fingerprint == noted.data.fingerprint
        assert found["accuracy"] == noted.results["test"].accuracy
        assert found["samples"] == noted.results["test"].samples == 8


def test_a_broken_picture_is_told_beside_the_result(saved, pets, tmp_path, capsys):
    shutil.copytree(pets, tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "3.png").write_bytes(b"")
    arguments = ["frontier", str(saved), "--data", str(tmp_path / "pets"), "--json"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)
    assert err == (
        f"1 of 40 pictures in {tmp_path / 'pets'} cannot be read and are left out: "
        "cat/3.png.\n"
    )


def test_folders_of_other_classes_are_refused(saved, pets, tmp_path, capsys):
    shutil.copytree(pets, tmp_path / "pets")
    (tmp_path / "pets" / "cat").rename(tmp_path / "pets" / "fox")
    assert main(["evaluate", str(saved), "--data", str(tmp_path / "pets")]) == 1
    message = capsys.readouterr().err
    assert "my_model has the classes cat, dog, the folders in " in message
    assert message.endswith("pets are dog, fox.\n")


def test_training_starts_with_new_classifiers_where_the_names_differ(saved, pets):
    dataset = data.from_folder(pets, 8)
    model = zoo.load(saved)
    for names, kept in ((("cat", "dog"), True), (("cat", "fox"), False)):
        other = dataclasses.replace(dataset, class_names=names)
        weights = train._initial(str(saved), other).get_weights()
        same = [np.array_equal(a, b) for a, b in zip(weights, model.get_weights())]
        assert all(same) == kept and any(same)


def test_train_passes_the_options_on_and_records_them(saved, pets, monkeypatch):
    class Stopped(Exception):
        pass

    seen = []

    def fit(model, dataset, *arguments, **options):
        seen.append((dataset, options["facts"]))
        raise Stopped

    monkeypatch.setattr(pipeline, "fit", fit)
    arguments = ["train", "--initial-weights", str(saved), "--out", "no"]
    for more in ([], ["--size", "40", "--no-flip"]):
        with pytest.raises(Stopped):
            main([*arguments, "--data", str(pets), *more])
    (usual, facts), (other, other_facts) = seen
    assert (usual.name, usual.train.images.shape[1], usual.flip) == ("pets", 128, True)
    assert (other.name, other.train.images.shape[1], other.flip) == ("pets", 40, False)
    assert not {"size", "flip"} & set(facts)
    assert other_facts | {"size": 40, "flip": False} == other_facts


def test_predict_looks_at_the_square_in_the_middle(saved, tmp_path, capsys):
    square = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)
    wide = np.pad(square, ((0, 0), (10, 11), (0, 0)))
    paths = [tmp_path / "square.png", tmp_path / "wide.png"]
    for path, pixels in zip(paths, (square, wide)):
        Image.fromarray(pixels).save(path)
    assert main(["predict", str(saved), *map(str, paths), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first | {"file": second["file"]} == second


def test_the_card_repeats_the_options(saved):
    record = zoo.registry.record(saved)
    facts = {"recipe": {"name": "short"}, "size": 24, "flip": False}
    shown = zoo.cards.render(dataclasses.replace(record, training=facts))
    assert "--data pets \\\n  --size 24 \\\n  --no-flip \\\n  --recipe short" in shown


def test_datasets_of_keras_are_fitted_and_evaluated(pets, generic):
    training, rest = keras.utils.image_dataset_from_directory(
        pets,
        image_size=(16, 16),
        batch_size=8,
        validation_split=0.25,
        subset="both",
        seed=1,
        verbose=False,
    )
    model = generic(num_classes=2)
    model.compile(keras.optimizers.Adam(0.01))
    history = model.fit(training, validation_data=rest, epochs=3, verbose=0).history
    assert history["val_accuracy"][-1] == 1
    images, labels = (np.concatenate(each) for each in zip(*rest.as_numpy_iterator()))
    found = model.evaluate(rest, verbose=0, return_dict=True)
    expected = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert found == {key: pytest.approx(v, rel=1e-5) for key, v in expected.items()}
    np.testing.assert_array_equal(model.predict_early(images).labels, labels)
