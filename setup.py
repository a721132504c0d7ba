"""Packaging: `pip install .` brings the package and its pretrained models."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "zoo" / "__init__.py").read_text(), re.MULTILINE
)[1]

# The second is imported by the first, which does not name it for Python 3.9 and newer.
DATA = ["tensorflow-datasets", "importlib_resources"]
SEARCH = ["keras-tuner>=1.4.7", "pymoo>=0.6.2", "scipy"]

setup(
    name="aebnas-keras",
    version=VERSION,
    description="Early-exit networks for Keras: pretrained models that skip work",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(
        include=["zoo*", "search*", "reproduce*", "figures*"],
    ),
    package_data={
        "zoo": [
            f"pretrained/*/{file}"
            for file in ("config.json", "model.weights.h5", "card.md")
        ],
        "reproduce": ["*.json"],  # the recorded results stay in the repository
    },
    install_requires=[
        "keras>=3.11",
        "tensorflow>=2.18",  # the default backend; JAX does instead, see the README
        "numpy",
        "h5py",
        "msgspec",  # checks the fields of records
        "pillow",  # python -m zoo predict
        "rich",  # tables of the command line; Keras needs it, too
        "scikit-learn",  # the digits
    ],
    extras_require={
        "jax": ["jax"],
        "data": DATA,
        "search": SEARCH,
        "figures": ["matplotlib"],
        "tensorboard": ["tensorboard"],
        "test": [
            *(*SEARCH, *DATA),
            *("jax", "matplotlib"),
            *("hypothesis", "pytest", "ruff>=0.17,<0.18"),
        ],
    },
)
