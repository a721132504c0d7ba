"""`import zoo` takes no Keras, and Keras finds the classes of saved models."""

import ast
import importlib
import os
import pathlib
import pkgutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import search
import zoo
from zoo import lazy

ROOT = pathlib.Path(zoo.__file__).parent.parent


# Keras imports them where they are installed, which takes long, and needs none of them.
UNUSED = "import sys; sys.modules.update(matplotlib=None, pandas=None, sklearn=None)\n"


def python(code, **variables):
    """What a fresh interpreter prints that runs the code."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_of_the_package_takes_no_keras_and_no_backend():
    heavy = "'keras', 'tensorflow', 'jax', 'torch', 'h5py', 'sklearn', 'numpy'"
    found = python(
        f"import sys, zoo; print([m for m in ({heavy}) if m in sys.modules])"
    )
    assert found == "[]\n"


def type_checked_names(package):
    """The names that type checkers see, by the module that they come from."""
    tree = ast.parse(pathlib.Path(package.__file__).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {alias.name: node.module for node in block.body for alias in node.names}


@pytest.mark.parametrize("package", [zoo, search])
def test_type_checkers_see_what_there_is_at_run_time(package):
    seen = type_checked_names(package)
    assert sorted(seen) == sorted(package.__all__)
    for name, module in seen.items():
        source = importlib.import_module(module)
        expected = getattr(source, name)
        assert getattr(package, name) is expected
        assert name in dir(package)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'zoo' has no attribute 'laod'"):
        _ = zoo.laod
    with pytest.raises(ImportError, match="cannot import name 'laod'"):
        exec("from zoo import laod", {})


def test_every_class_that_can_be_in_a_saved_model_is_announced():
    for module in pkgutil.walk_packages(zoo.__path__, "zoo."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    known = keras.saving.get_custom_objects()
    found = {
        name: known[name].__module__ for name in known if name.startswith("aebnas>")
    }
    announced = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy, "register", announced.update)
        spec = importlib.util.spec_from_file_location("zoo_again", zoo.__file__)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    tests = {name for name, module in found.items() if not module.startswith("zoo.")}
    assert announced == {k: v for k, v in found.items() if k not in tests}


@pytest.fixture(scope="module")
def saved(tmp_path_factory, classifier, images):
    """A folder of a saved network, what it answers, and a layer saved alone."""
    path = tmp_path_factory.mktemp("saved")
    classifier.save(path / "model.keras")
    np.save(path / "images.npy", images[:2])
    np.save(path / "logits.npy", classifier.predict(images[:2], verbose=0))
    layer = keras.Sequential([keras.Input((16, 16, 3)), zoo.layers.FitResolution(8)])
    layer.save(path / "layer.keras")
    return path


def test_keras_loads_a_saved_model_after_an_import_of_the_package(saved):
    code = f"""
import numpy as np
model = keras.saving.load_model({str(saved / "model.keras")!r})
assert type(model) is zoo.EarlyExitClassifier
logits = np.asarray(model(np.load({str(saved / "images.npy")!r})))
expected = np.load({str(saved / "logits.npy")!r})
np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
"""
    loads = UNUSED + layer_after("import zoo, keras", saved)
    assert "FitResolution" in python(loads + code)


def layer_after(imports, saved):
    """Code that loads a layer after these imports, and prints it."""
    return f"""
{imports}
assert "aebnas>EarlyExitClassifier" in keras.saving.get_custom_objects()
print(keras.saving.load_model({str(saved / "layer.keras")!r}).layers[-1])
"""


@pytest.mark.parametrize("imports", ["import keras, zoo", "import zoo.layers, keras"])
def test_other_orders_of_the_imports_do_as_well(saved, imports):
    code = UNUSED + layer_after(imports, saved)
    # TensorFlow takes longer to import, and is what other tests import.
    assert "FitResolution" in python(code, KERAS_BACKEND="jax")
