import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from zoo.architecture import (
    DEPTHS,
    EXPANSIONS,
    KERNELS,
    RESOLUTIONS,
    Architecture,
    Block,
    Stage,
)
from zoo.cost import CONVENTIONS, Cost, macs
from zoo.heads import (
    BRANCH_EXPANSIONS,
    BRANCH_KERNELS,
    BRANCH_SIZES,
    Branch,
    ConvModule,
    FixedBranch,
)

ARCHIVE = json.loads(
    (Path(__file__).parents[2] / "reproduce" / "authors_archive.json").read_text()
)
STAGES = (Stage.uniform(2, 3, 3),) * 5
SMALL = {"ks": [3] * 10, "e": [3] * 10, "d": [2] * 5, "r": 40}
LARGE = {
    "ks": [5, 3, 7, 7, 3, 7, 3, 5, 3, 7, 7, 7, 5],
    "e": [4, 3, 4, 4, 3, 3, 6, 4, 4, 3, 3, 6, 3],
    "d": [2, 2, 2, 3, 4],
    "r": 72,
}


def sample(seed):
    rng = np.random.default_rng(seed)

    def module():
        options = (BRANCH_SIZES, BRANCH_KERNELS, BRANCH_EXPANSIONS, (0, 1))
        return ConvModule(*map(rng.choice, options))

    def branch():
        modules = [module() for _ in range(rng.integers(1, 3))]
        return [None, FixedBranch(), Branch(modules)][rng.integers(3)]

    def stage():
        depth = rng.choice(DEPTHS)
        return Stage(
            [Block(rng.choice(KERNELS), rng.choice(EXPANSIONS)) for _ in range(depth)]
        )

    branches = [branch() for _ in range(4)]
    thresholds = [1 if b is None else rng.choice([0.1, 0.2]) for b in branches]
    return Architecture(
        rng.choice(RESOLUTIONS), [stage() for _ in range(5)], branches, thresholds
    )


SAMPLES = [sample(seed) for seed in range(12)]


def network(branch, position=0, resolution=32):
    branches, thresholds = [None] * 4, [1] * 4
    branches[position], thresholds[position] = branch, 0.5
    return Architecture(resolution, STAGES, branches, thresholds)


def without_exit(architecture, position):
    branches, thresholds = list(architecture.branches), list(architecture.thresholds)
    branches[position], thresholds[position] = None, 1
    return dataclasses.replace(architecture, branches=branches, thresholds=thresholds)


def branch_cost(branch, num_classes=10, convention="standard", **where):
    architecture = network(branch, **where)
    cost = macs(architecture, num_classes, convention)
    static = macs(Architecture(architecture.resolution, STAGES), num_classes)
    return cost.branches, cost.parameters - static.parameters


# Published figures


def test_the_archive_holds_32_candidates():
    assert len(ARCHIVE) == 32


@pytest.mark.parametrize("record", ARCHIVE)
def test_the_archive_is_reproduced_at_every_exit(record):
    candidate, _, published, _ = record
    architecture = Architecture.from_ofa(candidate, legacy_alignment=True)
    ours = np.array(macs(architecture, 10, "aebnas").per_exit)
    theirs = 1e6 * np.array(published)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 0.05e6
    assert np.abs(ours - theirs)[0] < 0.01e6


@pytest.mark.parametrize(
    "candidate, legacy, convention, expected_macs, expected_parameters",
    [
        (SMALL, True, "aebnas", 10.65e6, 3.4035e6),
        (SMALL, False, "standard", 6.79e6, 2.1426e6),
        (LARGE, True, "aebnas", 37.22e6, 5.3296e6),
        (LARGE, False, "standard", 29.13e6, 3.7293e6),
    ],
)
def test_static_anchors(
    candidate, legacy, convention, expected_macs, expected_parameters
):
    architecture = Architecture.from_ofa(candidate, legacy_alignment=legacy)
    cost = macs(architecture, 10, convention)
    assert cost.branches == ()
    assert cost.per_exit == cost.backbone
    assert cost.backbone == (pytest.approx(expected_macs, abs=0.01e6),)
    assert cost.parameters == pytest.approx(expected_parameters, abs=100)


# Hand-computed branches. At resolution 32 the maps after stages 1 to 4 are 8x8x24,
# 4x4x40, 2x2x80 and 2x2x112.


@pytest.mark.parametrize(
    "branch, position, resizes, rest, parameters",
    [
        (  # 8x8x24 -> 8x8 -> 3x3x24
            Branch([ConvModule(8)]),
            0,
            24 * (8 * 8 * 8 + 8 * 8 * 8),
            3 * 3 * 24 * 24 * 9 + 24 * 10,
            24 * 24 * 9 + 24 + 2 * 24 + 24 * 10 + 10,
        ),
        (  # 8x8x24 -> rows: 10x8, columns: 10x10 -> 3x3x48
            Branch([ConvModule(10, kernel=5, expansion=2)]),
            0,
            24 * (10 * 8 * 8 + 10 * 10 * 8),
            3 * 3 * 24 * 48 * 25 + 48 * 10,
            24 * 48 * 25 + 48 + 2 * 48 + 48 * 10 + 10,
        ),
        (  # 2x2x80 -> 10x10 -> 4x4x160, pooled 2x2 -> 8x8 -> 3x3x160, pooled 1x1
            Branch([ConvModule(10, 3, 2, True), ConvModule(8, pool=True)]),
            2,
            80 * (10 * 2 * 2 + 10 * 10 * 2) + 160 * (8 * 2 * 2 + 8 * 8 * 2),
            4 * 4 * 80 * 160 * 9 + 3 * 3 * 160 * 160 * 9 + 160 * 10,
            (80 * 160 * 9 + 3 * 160) + (160 * 160 * 9 + 3 * 160) + 160 * 10 + 10,
        ),
        (  # 4x4x40 -> 4x4x240, mean -> 320 -> 10
            FixedBranch(),
            1,
            0,
            4 * 4 * 40 * 240 + 240 * 320 + 320 * 10,
            40 * 240 + 2 * 240 + 240 * 320 + 320 * 10 + 10,
        ),
    ],
)
def test_a_branch_costs_what_paper_and_pencil_say(
    branch, position, resizes, rest, parameters
):
    assert branch_cost(branch, position=position) == ((resizes + rest,), parameters)
    theirs = branch_cost(branch, position=position, convention="aebnas")
    assert theirs == ((rest,), parameters)


@pytest.mark.parametrize("resolution, size", [(32, 8), (36, 9), (40, 10), (44, 11)])
def test_the_resize_is_counted_from_the_size_of_the_map(resolution, size):
    branch = Branch([ConvModule(8)])
    (standard,), _ = branch_cost(branch, resolution=resolution)
    (theirs,), _ = branch_cost(branch, convention="aebnas", resolution=resolution)
    assert standard - theirs == 24 * (8 * size * size + 8 * 8 * size)


# Relations that hold for any network


@pytest.mark.parametrize("architecture", SAMPLES)
def test_the_conventions_differ_in_macs_only(architecture):
    standard, theirs = (macs(architecture, 10, name) for name in CONVENTIONS)
    assert standard.parameters == theirs.parameters
    assert all(np.array(theirs.backbone) > standard.backbone)
    searched = [
        isinstance(architecture.branches[i], Branch) for i in architecture.exits
    ]
    cheaper = np.array(theirs.branches, int) < np.array(standard.branches, int)
    assert cheaper.tolist() == searched


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("architecture", SAMPLES)
def test_an_exit_adds_its_branch_and_nothing_else(architecture, convention):
    cost = macs(architecture, 10, convention)
    assert len(cost.branches) == len(architecture.exits) == len(cost.backbone) - 1
    assert all(np.diff(cost.backbone) > 0)
    for i, position in enumerate(architecture.exits):
        fewer = macs(without_exit(architecture, position), 10, convention)
        assert fewer.backbone == (*cost.backbone[:i], *cost.backbone[i + 1 :])
        assert fewer.branches == (*cost.branches[:i], *cost.branches[i + 1 :])
        assert fewer.parameters < cost.parameters


@pytest.mark.parametrize("architecture", SAMPLES)
def test_classes_cost_one_dense_column_in_each_classifier(architecture):
    few, many = macs(architecture, 10), macs(architecture, 100)
    widths = [
        8 * channels
        if isinstance(branch, FixedBranch)
        else channels * int(np.prod([module.expansion for module in branch.modules]))
        for branch, channels in zip(architecture.branches, (24, 40, 80, 112))
        if branch is not None
    ]
    added = np.subtract(many.branches, few.branches)
    assert added.tolist() == [90 * width for width in widths]
    assert many.backbone[:-1] == few.backbone[:-1]
    assert many.backbone[-1] - few.backbone[-1] == 90 * 1280
    assert many.parameters - few.parameters == 90 * sum(w + 1 for w in (*widths, 1280))


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("architecture", SAMPLES)
def test_counts_are_plain_integers(architecture, convention):
    cost = macs(architecture, 10, convention)
    counts = (*cost.backbone, *cost.branches, *cost.per_exit, cost.parameters)
    assert {type(count) for count in counts} == {int}


def test_thresholds_do_not_change_the_cost():
    early = network(FixedBranch())
    late = dataclasses.replace(early, thresholds=(0.1, 1, 1, 1))
    assert macs(early, 10) == macs(late, 10)


def test_standard_is_the_default_convention():
    assert macs(SAMPLES[0], 10) == macs(SAMPLES[0], 10, convention="standard")


# Cost


COST = Cost(backbone=(100, 200, 300, 400), branches=(1, 20, 50), parameters=7)


@pytest.mark.parametrize(
    "active, expected",
    [
        ((True, True, True), (101, 221, 371, 471)),
        ((False, True, True), (100, 220, 370, 470)),
        ((True, False, True), (101, 201, 351, 451)),
        ((True, True, False), (101, 221, 321, 421)),
        ((0, 0, 1), (100, 200, 350, 450)),
        ([False] * 3, (100, 200, 300, 400)),
        (np.array([True, False, False]), (101, 201, 301, 401)),
    ],
)
def test_active_branches_are_paid_at_their_exit_and_after(active, expected):
    assert COST.per_exit_with(active) == expected


def test_per_exit_counts_every_branch():
    assert COST.per_exit == (101, 221, 371, 471)
    assert Cost((400,), (), 7).per_exit == (400,)


@pytest.mark.parametrize("active", [(), (True,), (True,) * 2, (True,) * 4])
def test_a_wrong_count_of_active_branches_is_rejected(active):
    with pytest.raises(ValueError, match=f"{len(active)}.*3"):
        COST.per_exit_with(active)


@pytest.mark.parametrize("field", ["backbone", "branches", "parameters"])
def test_a_cost_is_frozen(field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(COST, field, getattr(COST, field))


@pytest.mark.parametrize("convention", ["", "Standard", "flops", None])
def test_an_unknown_convention_is_named_with_the_known_ones(convention):
    message = f"convention is {convention!r}; choose from standard, aebnas"
    with pytest.raises(ValueError, match=message):
        macs(SAMPLES[0], 10, convention)


@pytest.mark.parametrize("num_classes", [1, 0, -3])
def test_fewer_than_two_classes_are_rejected(num_classes):
    with pytest.raises(ValueError, match=f"num_classes is {num_classes}; .* 2 or more"):
        macs(SAMPLES[0], num_classes)


@pytest.mark.parametrize("num_classes", [1e308, 2.5, True, "10", None, [10]])
def test_a_number_of_classes_is_a_whole_number(num_classes):
    with pytest.raises(ValueError, match="num_classes is .*; expected a whole number"):
        macs(SAMPLES[0], num_classes)


def test_something_else_than_an_architecture_is_named():
    with pytest.raises(TypeError, match="architecture is a dict; expected a zoo.Arch"):
        macs({}, 10)


def test_two_classes_are_enough():
    assert macs(SAMPLES[0], 2).backbone[-1] < macs(SAMPLES[0], 3).backbone[-1]
