"""Sub-networks: the elastic network and the extracted Keras models agree."""

import numpy as np
import pytest

import zoo

pytest.importorskip("tensorflow")

from search.supernet import shared  # noqa: E402
from search.supernet.network import Supernet  # noqa: E402

ARCHITECTURES = (0, 279, 618, 684)  # with every option, which a test makes sure of


@pytest.fixture(scope="module")
def supernet():
    """Weights that leave nothing at its initial zero, one or identity."""
    rng = np.random.default_rng(5)
    weights = shared.initial(10, 3)
    for name, value in weights.items():
        spread = 0.3 if name.endswith(("gamma", "beta", "bias")) else 0.02
        value += rng.normal(0, spread, value.shape).astype(np.float32)
        if name.endswith("project_bn/gamma"):
            value += 0.5
        if "classifier" in name and name.endswith("kernel"):
            value *= 0.25  # logits of a usual size: the tolerance is absolute
    return Supernet(weights)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (24, 32, 32, 3), np.uint8)


def random_architecture(seed: int) -> zoo.Architecture:
    rng = np.random.default_rng(seed)
    stages = tuple(
        zoo.Stage(
            tuple(
                zoo.Block(int(rng.choice((3, 5, 7))), int(rng.choice((3, 4, 6))))
                for _ in range(rng.integers(2, 5))
            )
        )
        for _ in range(5)
    )
    options = ((8, 10), (3, 5), (1, 2), (0, 1))
    branches = []
    for _ in range(4):
        modules = tuple(
            zoo.ConvModule(*(int(rng.choice(values)) for values in options))
            for _ in range(rng.integers(1, 3))
        )
        searched = zoo.Branch(modules)
        kinds = (None, zoo.FixedBranch(), searched, searched, searched)
        branches.append(kinds[rng.integers(0, 5)])
    thresholds = [1 if branch is None else 0.5 for branch in branches]
    return zoo.Architecture(
        int(rng.choice(range(32, 73, 4))), stages, tuple(branches), tuple(thresholds)
    )


def options(architecture: zoo.Architecture) -> set[tuple]:
    """What was chosen in each place."""
    chosen = set()
    for place, stage in enumerate(architecture.stages):
        chosen.add((place, "depth", len(stage.blocks)))
        for block in stage.blocks:
            chosen |= {(place, *each) for each in vars(block).items()}
    for place, head in enumerate(architecture.branches):
        modules = getattr(head, "modules", ())
        chosen.add((place, type(head).__name__, len(modules)))
        chosen |= {each for module in modules for each in vars(module).items()}
    return chosen


def test_the_architectures_have_every_option():
    many = [options(random_architecture(seed)) for seed in range(120)]
    chosen = [options(random_architecture(seed)) for seed in ARCHITECTURES]
    assert set.union(*chosen) == set.union(*many)


@pytest.mark.parametrize("seed", ARCHITECTURES)
def test_extracted_model_gives_the_elastic_networks_logits(supernet, images, seed):
    architecture = random_architecture(seed)
    statistics = supernet.calibrate(architecture, images[:16], batch_size=8)
    inherited = supernet.predict(architecture, images[16:], statistics)
    model = supernet.extract(architecture, statistics)
    logits = np.asarray(model(images[16:], training=False))
    assert logits.shape == inherited.shape == (8, len(architecture.exits) + 1, 10)
    assert np.ptp(logits, axis=0).min() > 1e-3  # the images make a difference
    np.testing.assert_allclose(inherited, logits, atol=1e-4)
