"""One small early-exit network and some data, shared by all tests."""

import collections
import contextlib
import dataclasses
import gc
import os
import subprocess

# Before anything imports NumPy or TensorFlow: two processes share two cores, and a
# second thread of each only waits for the first one on matrices as small as here.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
    os.environ.setdefault(_threads, "1")

# By default a twentieth of the time goes to looking for garbage.
gc.set_threshold(10_000, 20, 20)

import numpy as np  # noqa: E402
import pytest  # noqa: E402

import zoo  # noqa: E402

# Keras is imported by what needs it, which the process that hands out tests does not.


def pytest_addoption(parser):
    """The options of `make check` and `make campaign`."""
    parser.addoption(
        "--quick",
        action="store_true",
        help="skip the tests that build a network, start a process or take long",
    )
    parser.addoption(
        "--campaign", action="store_true", help="run every case of tests/campaign"
    )
    parser.addoption(
        "--campaign-seed", type=int, default=1, help="of its random cases (default: 1)"
    )


# Files that take longest begin first: no process is left with a long one at the end.
LONGEST = (
    "test_training.py",
    "test_main.py",
    "test_classifier.py",
    "test_registry.py",
    "test_oracle.py",
    "test_settings.py",
    "test_readme.py",
    "test_resume.py",
    "test_tuner.py",
    "test_workers.py",
    "test_surrogate.py",
    "test_measurements.py",
    "test_model.py",
    "test_search.py",
    "test_experiments.py",
    "test_network.py",
    "test_attachment.py",
    "test_tables.py",
    "test_contents.py",
    "test_page.py",
    "test_verify.py",
    "test_ranking.py",
    "test_inheriting.py",
    "test_minimal.py",
)


def pytest_collection_modifyitems(config, items):
    """Put the files that take longest first, in order; with --quick leave them out."""
    if config.getoption("--quick"):
        items[:] = [item for item in items if item.path.name not in LONGEST]
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_collection_finish():
    """What the tests imported stays, too."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before any fixture of the test
def pytest_runtest_setup(item):
    """Run eagerly what TensorFlow would compile, except in tests marked `compiled`.

    A test takes few steps, and compiling one takes longer than many of them.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.run_functions_eagerly(item.get_closest_marker("compiled") is None)


@pytest.fixture(scope="session", autouse=True)
def skip_what_takes_long(request):
    """With --quick a test is skipped when it builds a network or starts a process."""
    if not request.config.getoption("--quick"):
        yield
        return

    def skip(self, *_, **__):  # Keras looks at the first argument
        pytest.skip("builds a network or starts a process")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo.EarlyExitModel, "__init__", skip)
        patch.setattr(subprocess.Popen, "__init__", skip)
        yield


@pytest.fixture(scope="session")
def architecture():
    """The cheapest stages at 32 pixels, exits after stages 1 and 3."""
    branch = zoo.Branch([zoo.ConvModule(8)])
    stages, branches = [zoo.Stage.uniform(2, 3, 3)] * 5, [branch, None, branch, None]
    return zoo.Architecture(32, stages, branches, [0.5, 1, 0.5, 1])


@pytest.fixture(scope="session")
def classifier(architecture):
    """A network of random weights, not compiled. Do not change it."""
    import keras

    keras.utils.set_random_seed(1)
    return zoo.EarlyExitClassifier(architecture, num_classes=10)


@pytest.fixture(scope="session")
def model(classifier):
    """The network that a package's tests share; those of `zoo` have another one."""
    return classifier


@pytest.fixture(scope="session")
def ranked():
    """A record of `reproduce.ranking`, made up: six networks."""
    from reproduce import ranking, records
    from search.records import DataSource

    rng = np.random.default_rng(1)
    rows = [
        records.RankedNetwork(
            architecture.to_dict(),
            zoo.macs(architecture, 10).per_exit,
            *(tuple(rng.random(5)) for _ in range(3)),
        )
        for architecture in ranking.architectures(6, (32,), seed=3)
    ]
    return records.RankingRecord(
        supernet="0",
        initial=None,
        data=DataSource("cifar10", "0"),
        num_classes=10,
        recipe={"epochs": 15},
        short_images=5000,
        seed=3,
        rows=tuple(rows),
        provenance={},
    )


@pytest.fixture(scope="session")
def compared(architecture):
    """A record of `reproduce.compare`, made up: three networks, two seeds."""
    from reproduce import comparison as kinds
    from search.records import DataSource

    early = zoo.macs(architecture, 10)
    dear, *_, final = early.per_exit
    static = zoo.cost.Cost((2_000_000,), (), 9)
    settings = {
        "early": (early, [(dear, 0.5, (1.0, 0.0, 0.0)), (final, 0.7, (0.0, 0.0, 1.0))]),
        "static": (static, [(2_000_000, 0.6, (1.0,))]),
        "pretrained": (static, [(2_000_000, 0.65, (1.0,))]),
    }
    rows = [
        kinds.ContenderRecord(
            contender=name,
            seed=seed,
            data="0",
            recipe={"epochs": 12, "learning_rate": 0.01 if name[0] == "p" else 0.03},
            architecture=architecture.to_dict() if name == "early" else None,
            macs=cost,
            exit_accuracy=(0.5,) * len(cost.backbone),
            frontier=tuple(
                kinds.Setting(
                    *((0.5,) * len(cost.branches), accuracy, float(spent)),
                    *(accuracy + seed / 100, float(spent), shares),
                )
                for spent, accuracy, shares in points
            ),
            seconds=1.0,
        )
        for seed in (1, 3)
        for name, (cost, points) in settings.items()
    ]
    times = {(0, 1): 0.25, (0, 2): 0.3, (0, 3): 0.4, (1, 2): 0.1, (1, 3): 0.2}
    times[2, 3] = 0.15
    whole = (kinds.SegmentTime(0, 1, 0.35),)
    segments = tuple(kinds.SegmentTime(*place, ms) for place, ms in times.items())
    return kinds.ComparisonRecord(
        data=DataSource("cifar10", "0"),
        num_classes=10,
        images=10_000,
        test_images=500,
        recipe={"epochs": 12, "learning_rate": 0.03},
        networks=(
            kinds.ComparedNetwork("early", "ours", "an early-exit network", {}),
            kinds.ComparedNetwork("static", "static", "a static network", {}),
            kinds.ComparedNetwork(
                *("pretrained", "static", "a pretrained one", {"learning_rate": 0.01})
            ),
        ),
        rows=tuple(rows),
        latency=kinds.LatencyRecord(
            *("litert", 50),
            {"early": segments, "static": whole, "pretrained": whole},
            {"processor": "a processor"},
        ),
        provenance={},
    )


@pytest.fixture(scope="session")
def first_digits():
    """The digits, with only the first images of each part."""

    def first(**parts):
        digits = zoo.data.load("digits")
        taken = {part: getattr(digits, part).take(n) for part, n in parts.items()}
        return dataclasses.replace(digits, **taken)

    return first


@pytest.fixture(scope="session")
def skip_training():
    """In place of `zoo.training.train`: does nothing, and says that it took a while."""
    told = zoo.training.TrainingResult(1, seconds=0.1, images_per_second=1, final={})
    return lambda *_, **__: told


@pytest.fixture
def untrained(monkeypatch, skip_training):
    """Networks are built and measured, but keep their initial weights."""
    monkeypatch.setattr(zoo.training, "train", skip_training)


class Guess:
    """Stands in for `EarlyExitClassifier`: its logits are random, but its own.

    They depend on images and weights, which are saved and loaded.
    """

    exit_rule = "score_margin"

    def __init__(
        self, architecture, num_classes, thresholds=None, crop=1.0, origin="aebnas"
    ):
        import keras

        if not isinstance(architecture, zoo.Architecture):
            architecture = zoo.Architecture.from_dict(architecture)
        self.architecture, self.num_classes = architecture, num_classes
        self.crop, self.origin = crop, origin
        self.macs = zoo.macs(architecture, num_classes)
        own = tuple(t for t in architecture.thresholds if t < 1)
        self.thresholds = own if thresholds is None else tuple(thresholds)
        self.num_exits = len(architecture.exits) + 1
        shape = (51, self.num_exits * num_classes)
        self.guesses = keras.Variable(np.random.normal(size=shape), name="kernel")
        layer = collections.namedtuple("Layer", "name, weights")
        self.layers = [layer("guess", [self.guesses])]

    def cost(self, convention="standard"):
        return zoo.macs(self.architecture, self.num_classes, convention)

    def conventions(self):
        return zoo.cost.CONVENTIONS

    def predict(self, images, **_):
        seen = images.reshape(len(images), -1)[:, ::61] / 255
        shape = (len(images), -1, self.num_classes)
        return (seen @ np.array(self.guesses)).reshape(shape).astype("float32")


@pytest.fixture(scope="session")
def kernel_ridge():
    """A function: in place of the adaptive surrogate one of those it chooses among.

    It is fitted at once.
    """
    from sklearn.kernel_ridge import KernelRidge

    from search import surrogate

    return lambda seed: surrogate.scaled(KernelRidge(kernel="rbf", alpha=0.1))


@pytest.fixture(scope="session")
def without_training(skip_training, kernel_ridge):
    """A function: in its context candidates are neither built nor trained, but guess.

    See `Guess` and `kernel_ridge`. The context is a `pytest.MonkeyPatch`.
    """
    from search import candidates, surrogate, tuner

    @contextlib.contextmanager
    def without_training():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gc.collect", lambda: 0)  # nothing to collect, and it is slow
            patch.setattr("os.fsync", lambda file: None)  # no power is lost
            patch.setattr(zoo.training, "train", skip_training)
            patch.setitem(surrogate.SURROGATES, "adaptive", kernel_ridge)
            patch.setattr(tuner, "EarlyExitClassifier", Guess)
            patch.setattr(candidates, "EarlyExitClassifier", Guess)
            yield patch

    return without_training


@pytest.fixture
def guessing(without_training):
    """The same for a whole test."""
    with without_training() as patch:
        yield patch
