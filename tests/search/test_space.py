import dataclasses
import functools
import json
import random
from pathlib import Path

import keras_tuner
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search import engine
from search.space import SearchSpace
from zoo.architecture import Architecture, Stage
from zoo.cost import macs
from zoo.heads import Branch, ConvModule, FixedBranch

ARCHIVE = json.loads(
    (Path(__file__).parents[2] / "reproduce" / "authors_archive.json").read_text()
)
CANDIDATES = [record[0] for record in ARCHIVE]
FULL = SearchSpace()
SPACES = {
    "long_threshold": SearchSpace(thresholds=(1 / 3, 1.0)),
    "full": FULL,
    "thresholds_apart": SearchSpace(tune_thresholds=False),
    "static": SearchSpace(exits=()),
    "two_exits": SearchSpace(exits=(1, 3), resolutions=(32, 48)),
    "fixed_heads": SearchSpace(exits=(0, 2), head="fixed"),
    "a_threshold_twice": SearchSpace(thresholds=(1, 0.9, 0.9), tune_thresholds=False),
    "all_exits": SearchSpace(thresholds=(0.9, 0.25)),
}
ZEROS = np.zeros(82, int)
STAGES = (Stage.uniform(2, 3, 3),) * 5
BRANCH = Branch((ConvModule(8),))

in_every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
genes_drawn = given(
    st.tuples(*[st.integers(0, 2)] * 81, st.integers(0, 10)).map(np.array)
)
some_examples = settings(deadline=None, max_examples=25)


def within(space, genes):
    """The full space's genes as those of a space with fewer genes or values."""
    genes = np.concatenate([genes[: len(space.names) - 1], genes[-1:]])
    return genes % space.counts


def place(name, space=FULL):
    return space.names.index(name)


def with_genes(space=FULL, **values):
    genes = np.zeros(len(space.names), int)
    for name, value in values.items():
        genes[place(name.replace("__", "/"), space)] = value
    return genes


def network(branch=BRANCH, threshold=0.1, position=0, resolution=32):
    branches, thresholds = [None] * 4, [1] * 4
    branches[position], thresholds[position] = branch, threshold
    return Architecture(resolution, STAGES, branches, thresholds)


def up_to_thresholds(space, architecture):
    """The architecture with the thresholds of canonical genes."""
    if not space.tune_thresholds:
        return architecture
    first = next((t for t in space.thresholds if t < 1), None)
    thresholds = [1 if t == 1 else first for t in architecture.thresholds]
    return dataclasses.replace(architecture, thresholds=thresholds)


def described(architecture):
    """What `to_values` has to give, read off the architecture."""
    values = {"resolution": architecture.resolution}
    for s, stage in enumerate(architecture.stages, 1):
        values[f"stage{s}/depth"] = len(stage.blocks)
        for b, block in enumerate(stage.blocks, 1):
            values[f"stage{s}/block{b}/kernel"] = block.kernel
            values[f"stage{s}/block{b}/expansion"] = block.expansion
    for e, branch in enumerate(architecture.branches, 1):
        if branch is None:
            values[f"exit{e}/threshold"] = "off"
            continue
        values[f"exit{e}/threshold"] = str(architecture.thresholds[e - 1])
        if branch == FixedBranch():
            continue
        modules = branch.modules
        for m, module in enumerate(modules, 1):
            for field, value in dataclasses.asdict(module).items():
                values[f"exit{e}/module{m}/{field}"] = int(value)
        if len(modules) == 1:
            values[f"exit{e}/module2/size"] = 0
    return values


# Genes and networks


@in_every_space
@some_examples
@genes_drawn
def test_encoding_loses_nothing_of_a_network(space, genes):
    architecture = space.decode(within(space, genes))
    encoded = space.encode(architecture)
    assert space.decode(encoded) == architecture
    np.testing.assert_array_equal(
        space.canonical(encoded), space.canonical(within(space, genes))
    )


@in_every_space
@some_examples
@genes_drawn
def test_canonical_genes_are_those_of_an_equal_network(space, genes):
    genes = within(space, genes)
    before = genes.copy()
    canonical = space.canonical(genes)
    np.testing.assert_array_equal(genes, before)
    architecture = space.decode(canonical)
    assert architecture == up_to_thresholds(space, space.decode(genes))
    np.testing.assert_array_equal(space.canonical(canonical), canonical)
    np.testing.assert_array_equal(space.encode(architecture), canonical)


@in_every_space
@some_examples
@genes_drawn
def test_named_values_describe_the_network_and_can_be_read_back(space, genes):
    genes = within(space, genes)
    canonical, values = space.canonical(genes), space.to_values(genes)
    assert values == described(space.decode(canonical))
    np.testing.assert_array_equal(space.from_values(values), canonical)


@some_examples
@genes_drawn
def test_genes_are_canonically_equal_just_when_networks_are(genes):
    canonical = FULL.canonical(genes)
    architecture = FULL.decode(canonical)
    for i, count in enumerate(FULL.counts):
        other = canonical.copy()
        other[i] = (other[i] + 1) % count
        equal = up_to_thresholds(FULL, FULL.decode(other)) == architecture
        assert equal == (FULL.canonical(other).tolist() == canonical.tolist())


@in_every_space
def test_many_candidates_are_made_canonical_as_each_one_is(space):
    genes = np.random.default_rng(0).integers(space.counts, size=(20, len(space.names)))
    rows = [space.canonical(each) for each in genes]
    np.testing.assert_array_equal(space.canonical(genes), rows)


@pytest.mark.parametrize(
    "inactive",
    [
        {"stage1__block3__kernel": 1},
        {"stage5__block4__expansion": 2},
        {"exit1__threshold": 2, "exit1__module1__size": 2},
        {"exit1__threshold": 2, "exit1__module2__size": 1},
        {"exit4__module2__size": 0, "exit4__module2__pool": 2},
        {"exit2__module1__kernel": 1},  # repeated options
        {"exit2__module1__size": 1},
        {"exit2__module1__expansion": 1},
        {"exit2__module1__pool": 1},
    ],
)
def test_genes_without_effect_become_0(inactive):
    genes = with_genes(**inactive)
    effect = {"exit1__threshold": genes[place("exit1/threshold")]}
    assert FULL.canonical(genes).tolist() == with_genes(**effect).tolist()


@pytest.mark.parametrize(
    "active",
    [
        {"stage1__depth": 1, "stage1__block3__kernel": 1},
        {"stage5__depth": 2, "stage5__block4__expansion": 2},
        {"exit1__module1__size": 2},
        {"exit1__module2__size": 1},
        {"exit4__module2__size": 1, "exit4__module2__pool": 2},
        {"exit3__threshold": 2},
        {"resolution": 10},
    ],
)
def test_genes_with_an_effect_are_kept(active):
    genes = with_genes(**active)
    assert FULL.canonical(genes).tolist() == genes.tolist()


# The space


def test_the_full_space_has_the_papers_82_genes():
    assert FULL.counts.tolist() == [3] * 81 + [11]
    assert len(set(FULL.names)) == 82
    assert FULL.names[0] == "stage1/depth"
    assert FULL.names[45:49] == tuple(f"exit{e}/threshold" for e in (1, 2, 3, 4))
    assert FULL.names[-1] == "resolution"


def test_counts_cannot_be_changed_from_outside():
    FULL.counts[:] = 1
    assert FULL.counts.max() == 11


@pytest.mark.parametrize(
    "options, name, expected",
    [
        ({}, "stage3/depth", (2, 3, 4)),
        ({}, "stage3/block4/kernel", (3, 5, 7)),
        ({}, "stage3/block4/expansion", (3, 4, 6)),
        ({}, "exit1/threshold", (0.1, 0.2, 1)),
        ({}, "exit1/module1/size", (8, 8, 10)),
        ({}, "exit1/module2/size", (0, 8, 10)),
        ({}, "resolution", tuple(range(32, 73, 4))),
        ({"resolutions": (48, 32.0, 48)}, "resolution", (32, 48)),
        ({"exits": (1,)}, "exit1/threshold", (1,)),
        ({"exits": (1,)}, "exit2/threshold", (0.1, 0.2, 1)),
        ({"exits": (1,)}, "exit1/module1/kernel", (3,)),
        ({"exits": (1,)}, "exit2/module1/kernel", (3, 3, 5)),
        ({"exits": ()}, "exit4/threshold", (1,)),
        ({"head": "fixed"}, "exit1/threshold", (0.1, 0.2, 1)),
        ({"thresholds": [0.3, 1]}, "exit4/threshold", (0.3, 1)),
    ],
)
def test_options_narrow_what_genes_mean(options, name, expected):
    space = SearchSpace(**options)
    assert space[name] == expected
    assert space.counts[place(name, space)] == len(expected)
    assert set(space.names) <= set(FULL.names)


def test_a_head_without_options_has_no_genes():
    names = SearchSpace(head="fixed").names
    assert names == tuple(n for n in FULL.names if "/module" not in n)


@pytest.mark.parametrize(
    "options, resolutions, exits, branches",
    [
        ({"resolutions": (40, 44)}, {40, 44}, {0, 1, 2, 3}, {Branch}),
        ({"exits": (1, 3)}, set(range(32, 73, 4)), {1, 3}, {Branch}),
        ({"exits": (), "thresholds": ()}, set(range(32, 73, 4)), set(), set()),
        (
            {"exits": [2], "head": "fixed"},
            set(range(32, 73, 4)),
            {2},
            {FixedBranch},
        ),
    ],
)
def test_options_narrow_what_is_drawn(options, resolutions, exits, branches):
    space = SearchSpace(**options)
    drawn = [space.decode(g) for g in space.sample(200, np.random.default_rng(0))]
    assert {each.resolution for each in drawn} == resolutions
    assert {e for each in drawn for e in each.exits} == exits
    kinds = {type(each.branches[e]) for each in drawn for e in each.exits}
    assert kinds == branches


@pytest.mark.parametrize("tuned", [True, False])
def test_tuned_thresholds_only_say_whether_an_exit_exists(tuned):
    space = SearchSpace(tune_thresholds=tuned)
    low, high, off = (
        space.canonical(with_genes(exit2__threshold=value)).tolist()
        for value in (0, 1, 2)
    )
    assert (low == high) == tuned
    assert off not in (low, high)


def test_without_an_option_of_1_every_exit_exists():
    space = SearchSpace(thresholds=(0.9, 0.25))
    drawn = space.sample(20, np.random.default_rng(0))
    assert {space.decode(genes).exits for genes in drawn} == {(0, 1, 2, 3)}


@in_every_space
def test_a_space_can_be_built_again_from_its_config(space):
    config = json.loads(json.dumps(space.get_config()))
    again = SearchSpace(**config)
    assert again.get_config() == config
    assert [again[name] for name in again.names] == [space[n] for n in space.names]


def test_a_config_is_that_of_the_constructor():
    assert FULL.get_config() == {
        "resolutions": list(range(32, 73, 4)),
        "exits": [0, 1, 2, 3],
        "head": "searched",
        "thresholds": [0.1, 0.2, 1.0],
        "tune_thresholds": True,
    }


@pytest.mark.parametrize(
    "options, message",
    [
        ({"resolutions": ()}, "resolutions is empty"),
        ({"resolutions": (32, 33)}, "resolutions holds 33; expected 32, 36"),
        ({"exits": (4,)}, "exits holds 4; expected 0, 1, 2, 3"),
        ({"exits": (-1,)}, "exits holds -1"),
        ({"thresholds": (1.0,)}, "at least one below 1, or no exits"),
        ({"thresholds": ()}, "at least one below 1, or no exits"),
        ({"head": "fxed"}, "no head 'fxed'.*Did you mean 'fixed'"),
        ({"thresholds": (0.1, 1.5)}, r"thresholds\[1\] is 1.5; expected 0 to 1"),
    ],
)
def test_an_option_that_is_not_allowed_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(**options)


# Sampling


@in_every_space
def test_a_sample_is_canonical_and_without_repetition(space):
    genes = space.sample(60, np.random.default_rng(0))
    assert genes.shape == (60, len(space.names))
    assert len(np.unique(genes, axis=0)) == 60
    np.testing.assert_array_equal(space.canonical(genes), genes)


def test_a_sample_depends_only_on_the_generator():
    first, again, other = (FULL.sample(5, np.random.default_rng(s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("kind", [np.array, lambda known: set(map(tuple, known))])
def test_what_is_known_is_not_drawn(kind):
    all_of_them = FULL.sample(20, np.random.default_rng(0))
    known = kind(all_of_them[:8].tolist())
    rest = FULL.sample(12, np.random.default_rng(0), known)
    np.testing.assert_array_equal(rest, all_of_them[8:])


@pytest.fixture(scope="module")
def drawn():
    values = map(FULL.to_values, FULL.sample(600, np.random.default_rng(0)))
    return [
        (name.removeprefix(name.split("/")[0] + "/"), value)
        for each in values
        for name, value in each.items()
    ]


@pytest.mark.parametrize(
    "gene, shares",
    [
        ("module1/size", {8: 2 / 3, 10: 1 / 3}),
        ("module2/size", {0: 1 / 3, 8: 1 / 3, 10: 1 / 3}),
        ("module1/kernel", {3: 2 / 3, 5: 1 / 3}),
        ("module1/expansion", {1: 2 / 3, 2: 1 / 3}),
        ("module2/pool", {0: 2 / 3, 1: 1 / 3}),
        ("threshold", {"0.1": 2 / 3, "off": 1 / 3}),
        ("depth", {2: 1 / 3, 3: 1 / 3, 4: 1 / 3}),
        ("block1/kernel", {3: 1 / 3, 5: 1 / 3, 7: 1 / 3}),
    ],
)
def test_an_option_listed_twice_is_drawn_twice_as_often(drawn, gene, shares):
    values = [value for name, value in drawn if name == gene]
    assert len(values) > 1000
    found = {value: values.count(value) / len(values) for value in set(values)}
    assert found == pytest.approx(shares, abs=0.04)


class Stuck:
    """A generator that always draws the same."""

    def integers(self, counts):
        return np.zeros_like(counts)


def test_an_exhausted_space_is_an_error():
    only = FULL.sample(1, Stuck())
    assert only.tolist() == [ZEROS.tolist()]
    with pytest.raises(ValueError, match="2 new candidates .* the space is exhausted"):
        FULL.sample(2, Stuck())
    with pytest.raises(ValueError, match="1 new candidates .* the space is exhausted"):
        FULL.sample(1, Stuck(), known=only)


def test_an_empty_sample_is_empty():
    assert FULL.sample(0, Stuck(), known=[ZEROS]).shape == (0, 82)


# Errors


@pytest.mark.parametrize(
    "method, shape",
    [
        ("decode", (81,)),
        ("decode", (2, 82)),
        ("canonical", ()),
        ("canonical", (83,)),
        ("canonical", (1, 1, 82)),
        ("to_values", (82, 1)),
    ],
)
def test_genes_of_a_wrong_shape_are_rejected(method, shape):
    with pytest.raises(ValueError, match=r"genes have the shape \(.*expected \(82,"):
        getattr(FULL, method)(np.zeros(shape, int))


@pytest.mark.parametrize("method", ["decode", "canonical", "to_values"])
@pytest.mark.parametrize("kind", [float, bool])
def test_genes_that_are_no_integers_are_rejected(method, kind):
    with pytest.raises(ValueError, match=rf"genes are {kind.__name__}.*integers"):
        getattr(FULL, method)(np.zeros(82, kind))


@pytest.mark.parametrize("method", ["decode", "canonical", "to_values"])
@pytest.mark.parametrize(
    "name, value, most",
    [
        ("stage1/depth", 3, 2),
        ("stage2/block4/kernel", -1, 2),
        ("exit3/module2/pool", 7, 2),
        ("resolution", 11, 10),
    ],
)
def test_a_gene_out_of_range_is_named(method, name, value, most):
    genes = ZEROS.copy()
    genes[place(name)] = value
    with pytest.raises(ValueError, match=f"{name} is {value}; expected 0..{most}"):
        getattr(FULL, method)(genes)


def test_a_gene_out_of_range_is_named_among_many_candidates():
    genes = np.zeros((4, 82), int)
    genes[2, place("exit1/module1/kernel")] = 3
    with pytest.raises(ValueError, match="exit1/module1/kernel is 3"):
        FULL.canonical(genes)


@pytest.mark.parametrize(
    "options, outside, message",
    [
        ({"resolutions": (36, 40)}, network(), "resolution is 32; .* allows 36, 40"),
        ({}, network(threshold=0.5), "exit1/threshold is 0.5; .* allows 0.1, 0.2, 1.0"),
        ({"exits": (1,)}, network(), "exit1/threshold is 0.1; .* allows 1.0"),
        ({"exits": ()}, network(), "exit1/threshold is 0.1; .* allows 1.0"),
        ({"thresholds": (0.1,)}, network(), "exit2/threshold is 1.0; .* allows 0.1"),
        ({}, network(FixedBranch(), position=2), r"branches\[2\] .* a searched one"),
        ({"head": "fixed"}, network(), r"branches\[0\] .* a fixed one"),
    ],
)
def test_a_network_outside_of_the_space_is_rejected(options, outside, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(**options).encode(outside)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("stage6/depth", 2, "no 'stage6/depth'"),
        ("exit5/threshold", "off", "no 'exit5/threshold'"),
        ("stage1/depth", 5, "stage1/depth is 5; .* allows 2, 3, 4"),
        ("exit1/threshold", "0.3", "exit1/threshold is '0.3'; .* allows 0.1, 0.2, 1.0"),
        ("exit1/module1/size", 0, "exit1/module1/size is 0; .* allows 8, 10"),
    ],
)
def test_a_named_value_outside_of_the_space_is_rejected(name, value, message):
    with pytest.raises(ValueError, match=message):
        FULL.from_values({name: value})


# keras-tuner


@functools.cache
def hyperparameters(space):
    return engine.hyperparameters(space)


def with_values(space, values):
    hp = hyperparameters(space)
    hp.values = dict(values)
    return hp


def conditions(hp):
    return [(p.name, p.values, p.conditions) for p in hp.space]


def test_every_gene_of_the_full_space_is_a_hyperparameter():
    space = hyperparameters(FULL).space
    assert [hp.name for hp in space] == list(FULL.names)
    assert all(type(hp.values) is list for hp in space)
    options = {hp.name: hp.values for hp in space}
    assert options["exit1/threshold"] == ["0.1", "0.2", "off"]
    assert options["exit1/module1/size"] == [8, 10]


def test_a_gene_that_is_never_active_is_no_hyperparameter():
    names = {hp.name for hp in hyperparameters(SPACES["static"]).space}
    assert len(names) == 50
    assert {name for name in names if "exit" in name} == {
        f"exit{e}/threshold" for e in (1, 2, 3, 4)
    }


@in_every_space
def test_defaults_are_those_of_genes_0(space):
    assert engine.hyperparameters(space).values == space.to_values(within(space, ZEROS))


@in_every_space
@some_examples
@genes_drawn
def test_keras_tuner_agrees_on_what_is_active(space, genes):
    values = space.to_values(within(space, genes))
    hp = with_values(space, values)
    hp.ensure_active_values()
    assert hp.values == values
    options = {p.name: p.values for p in hp.space}
    assert all(value in options[name] for name, value in values.items())


@in_every_space
@some_examples
@given(st.integers(0, 2**32))
def test_what_keras_tuner_draws_can_be_read(space, seed):
    rng = random.Random(seed)
    hp = with_values(space, {})
    for p in hp.space:
        if hp.is_active(p):
            hp.values[p.name] = p.random_sample(rng.random())
    architecture = space.decode(space.from_values(hp.values))
    expected = dict(hp.values)
    if space.tune_thresholds:
        first = next((str(t) for t in space.thresholds if t < 1), "off")
        for name, value in hp.values.items():
            if name.endswith("/threshold") and value != "off":
                expected[name] = first
    assert described(architecture) == expected


@in_every_space
@settings(deadline=None, max_examples=5)
@genes_drawn
def test_keras_tuners_protocol_changes_nothing(space, genes):
    genes = within(space, genes)
    values = space.to_values(genes)
    sent = with_values(space, values)
    proto = sent.to_proto()
    message = proto.FromString(proto.SerializeToString())
    received = keras_tuner.HyperParameters.from_proto(message)
    np.testing.assert_array_equal(
        space.from_values(received.values), space.canonical(genes)
    )
    received.ensure_active_values()
    assert received.values == values
    assert conditions(received) == conditions(sent)


# The authors' candidates


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("candidate", CANDIDATES)
def test_the_authors_candidates_are_in_the_space(candidate, legacy):
    architecture = Architecture.from_ofa(candidate, legacy_alignment=legacy)
    genes = FULL.encode(architecture)
    assert FULL.decode(genes) == architecture
    canonical = FULL.decode(FULL.canonical(genes))
    assert canonical == up_to_thresholds(FULL, architecture)


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_the_authors_lists_become_the_values_of_the_same_name(candidate):
    space = SPACES["thresholds_apart"]
    values = space.to_values(space.encode(Architecture.from_ofa(candidate)))
    blocks = iter(zip(candidate["ks"], candidate["e"]))
    expected = {"resolution": candidate["r"]}
    for s, depth in enumerate(candidate["d"], 1):
        expected[f"stage{s}/depth"] = depth
        for b in range(1, depth + 1):
            block = f"stage{s}/block{b}"
            expected[f"{block}/kernel"], expected[f"{block}/expansion"] = next(blocks)
    for e, (threshold, branch) in enumerate(zip(candidate["t"], candidate["e_ks"]), 1):
        exists = threshold != 1
        expected[f"exit{e}/threshold"] = str(threshold) if exists else "off"
        for m, (size, *others) in enumerate(branch if exists else (), 1):
            expected[f"exit{e}/module{m}/size"] = size
            for field, value in zip(("kernel", "expansion", "pool"), others):
                if size:
                    expected[f"exit{e}/module{m}/{field}"] = value
    assert values == expected


@pytest.mark.parametrize("record", ARCHIVE)
def test_the_published_macs_are_those_of_the_decoded_candidate(record):
    candidate, _, published, _ = record
    genes = FULL.encode(Architecture.from_ofa(candidate, legacy_alignment=True))
    ours = np.array(macs(FULL.decode(genes), 10, "aebnas").per_exit)
    np.testing.assert_allclose(ours, 1e6 * np.array(published), rtol=0, atol=0.05e6)
