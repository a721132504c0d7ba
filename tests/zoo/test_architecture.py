import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.architecture import (
    DEPTHS,
    EXPANSIONS,
    KERNELS,
    RESOLUTIONS,
    Architecture,
    Block,
    Stage,
)
from zoo.arithmetic import make_divisible
from zoo.checks import check_thresholds
from zoo.cost import macs
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
CANDIDATES = [record[0] for record in ARCHIVE]
STAGES = (Stage.uniform(2, 3, 3),) * 5
SEARCHED = Branch((ConvModule(8),))


def branches(fixed=True):
    module = st.builds(
        ConvModule,
        size=st.sampled_from(BRANCH_SIZES),
        kernel=st.sampled_from(BRANCH_KERNELS),
        expansion=st.sampled_from(BRANCH_EXPANSIONS),
        pool=st.booleans(),
    )
    searched = st.lists(module, min_size=1, max_size=2).map(tuple).map(Branch)
    return searched | st.just(FixedBranch()) if fixed else searched


@st.composite
def architectures(draw, fixed=True, depths=DEPTHS):
    block = st.builds(Block, st.sampled_from(KERNELS), st.sampled_from(EXPANSIONS))
    stage = (
        st.sampled_from(depths)
        .flatmap(lambda depth: st.tuples(*[block] * depth))
        .map(Stage)
    )
    chosen = draw(st.tuples(*[st.none() | branches(fixed)] * 4))
    threshold = st.floats(0, 1, exclude_max=True)
    return Architecture(
        draw(st.sampled_from(RESOLUTIONS)),
        draw(st.tuples(*[stage] * 5)),
        chosen,
        tuple(1.0 if branch is None else draw(threshold) for branch in chosen),
    )


def to_ofa(architecture):
    blocks = [block for stage in architecture.stages for block in stage.blocks]
    unused = [[8, 3, 1, 0], [0, 5, 2, 1]]
    return {
        "ks": [block.kernel for block in blocks],
        "e": [block.expansion for block in blocks],
        "d": [len(stage.blocks) for stage in architecture.stages],
        "r": architecture.resolution,
        "t": list(architecture.thresholds),
        "e_ks": [
            unused
            if branch is None
            else [list(dataclasses.astuple(m)) for m in branch.modules]
            + [[0, 3, 1, 0]] * (2 - len(branch.modules))
            for branch in architecture.branches
        ],
    }


def candidate(**changes):
    d = changes.get("d", [2, 3, 4, 2, 3])
    blocks = sum(d)
    return {
        "ks": [KERNELS[i % 3] for i in range(blocks)],
        "e": [EXPANSIONS[i // 3 % 3] for i in range(blocks)],
        "d": d,
        "r": 48,
        "t": [1, 0.1, 1, 0.2],
        "e_ks": [
            [[8, 3, 1, 0], [8, 3, 1, 0]],
            [[8, 5, 2, 1], [0, 3, 1, 0]],
            [[8, 3, 1, 0], [8, 3, 1, 0]],
            [[10, 3, 1, 0], [8, 5, 2, 1]],
        ],
        **changes,
    }


def as_dict(**changes):
    return {**with_one_exit().to_dict(), **changes}


def with_one_exit(branch=SEARCHED, threshold=0.5):
    return Architecture(32, STAGES, (branch, *[None] * 3), (threshold, 1, 1, 1))


# JSON


@settings(deadline=None)
@given(architectures())
def test_json_round_trip_restores_an_equal_architecture(architecture):
    text = architecture.to_json()
    restored = Architecture.from_json(text)
    assert restored == architecture
    assert hash(restored) == hash(architecture)
    assert json.loads(text) == architecture.to_dict()
    assert restored.to_json() == text


@settings(deadline=None)
@given(architectures())
def test_exits_are_where_branches_are(architecture):
    present = [i for i in range(4) if architecture.branches[i] is not None]
    assert list(architecture.exits) == present
    assert architecture.exit_thresholds == tuple(
        architecture.thresholds[i] for i in present
    )
    assert all(threshold < 1 for threshold in architecture.exit_thresholds)


def test_a_stage_of_endless_depth_is_refused_before_it_is_made():
    with pytest.raises(ValueError, match="The depth of a stage is .*choose from 2, 3"):
        Stage.uniform(2**62, 3, 3)


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("branch", [SEARCHED, FixedBranch()])
def test_json_is_written_to_and_read_from_a_file(tmp_path, kind, branch):
    path = kind(tmp_path / "network.json")
    text = with_one_exit(branch).to_json(path)
    assert Path(path).read_text() == text + "\n"
    assert Architecture.from_json(path) == with_one_exit(branch)


def test_json_text_may_begin_with_white_space():
    text = "\n  " + with_one_exit().to_json()
    assert Architecture.from_json(text) == with_one_exit()


def test_json_without_branches_is_a_static_network():
    data = {k: v for k, v in as_dict().items() if k in ("resolution", "stages")}
    assert Architecture.from_dict(data) == Architecture(32, STAGES)
    assert Architecture(32, STAGES).exits == ()


def test_json_module_needs_only_its_size():
    data = as_dict(branches=[[{"size": 10}], None, None, None])
    assert Architecture.from_dict(data) == with_one_exit(Branch((ConvModule(10),)))


def test_a_missing_json_file_is_reported_as_such(tmp_path):
    with pytest.raises(FileNotFoundError):
        Architecture.from_json(tmp_path / "absent.json")


@pytest.mark.parametrize("text", ["", "hello", "{", '{"resolution": 32,}'])
def test_a_file_that_is_not_json_is_rejected(tmp_path, text):
    path = tmp_path / "network.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="Not a JSON architecture"):
        Architecture.from_json(path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"stages": ' * 100_000, '{"resolution": ' + "1" * 9999]
)
def test_json_that_python_refuses_to_read_is_rejected(text):
    with pytest.raises(ValueError, match="Not a JSON architecture"):
        Architecture.from_json(text)


@pytest.mark.parametrize("depth", [100, 900, 5000, 40_000])
def test_json_that_is_nested_deep_is_rejected(depth):
    text = '{"resolution": 32, "stages": ' + "[" * depth + "]" * depth + "}"
    with pytest.raises(ValueError, match="stages|rchitecture"):
        Architecture.from_json(text)


@pytest.mark.parametrize("source", [True, False, 1, 7, None])
def test_only_text_and_paths_are_read_as_json(source):
    with pytest.raises(TypeError):
        Architecture.from_json(source)
    os.fstat(1)  # standard output is still open


def test_text_that_is_not_json_is_rejected():
    with pytest.raises(ValueError, match="Not a JSON architecture"):
        Architecture.from_json('{"resolution": 32')


@pytest.mark.parametrize("text", ["[1, 2]", "[]"])
def test_json_of_another_kind_is_rejected(text):
    with pytest.raises(ValueError, match="architecture is .* expected an object"):
        Architecture.from_json(text)


@pytest.mark.parametrize("field", ["resolution", "stages"])
def test_a_missing_json_field_is_named(field):
    data = as_dict()
    del data[field]
    with pytest.raises(ValueError, match=rf"architecture .*missing.*{field}"):
        Architecture.from_json(json.dumps(data))


BLOCK = {"kernel": 3, "expansion": 3}


def with_block(block):
    stages = as_dict()["stages"]
    return as_dict(stages=[*stages[:3], [BLOCK, block], stages[4]])


def with_module(module):
    return as_dict(branches=[[module], None, None, None])


@pytest.mark.parametrize(
    "data, words",
    [
        (as_dict(depth=3), ["architecture", "unknown", "depth", "resolution"]),
        (with_block({**BLOCK, "stride": 2}), ["stages[3][1]", "unknown", "stride"]),
        (with_block({"kernel": 3}), ["stages[3][1]", "missing", "expansion"]),
        (
            with_block({**BLOCK, "kernel": 4}),
            ["stages[3][1]", "kernel", "4", "3, 5, 7"],
        ),
        (with_block(3), ["stages[3][1]", "3", "object"]),
        (with_module({"kernel": 3}), ["branches[0][0]", "missing", "size"]),
        (with_module({"size": 8, "a": 1}), ["branches[0][0]", "unknown", "'a'"]),
        (with_module({"size": 9}), ["branches[0][0]", "size", "9", "8, 10"]),
        (with_module(None), ["branches[0][0]", "None", "object"]),
        (as_dict(stages=7), ["stages", "7", "list"]),
        (as_dict(stages=[7] * 5), ["stages[0]", "7", "list"]),
        (as_dict(branches="fixed"), ["branches", "'fixed'", "list"]),
        (as_dict(branches=["free"] * 4), ["branches[0]", "'free'", "fixed", "null"]),
        (as_dict(thresholds=0.5), ["thresholds", "0.5", "list"]),
        (
            as_dict(thresholds=[float("nan"), 1, 1, 1]),
            ["thresholds[0]", "nan", "0 to 1"],
        ),
        (as_dict(resolution=None), ["resolution", "None", "32, 36"]),
        (as_dict(branches=[None] * 4), ["thresholds[0]", "branches[0]", "0.5", "None"]),
    ],
)
def test_a_wrong_json_field_is_named_with_value_and_options(data, words):
    with pytest.raises(ValueError) as error:
        Architecture.from_json(json.dumps(data))
    assert [word for word in words if word not in str(error.value)] == []


# Validation of the data classes


@pytest.mark.parametrize(
    "kind, arguments, field, allowed",
    [
        (Block, {"kernel": 3, "expansion": 3}, "kernel", KERNELS),
        (Block, {"kernel": 3, "expansion": 3}, "expansion", EXPANSIONS),
        (ConvModule, {"size": 8}, "size", BRANCH_SIZES),
        (ConvModule, {"size": 8}, "kernel", BRANCH_KERNELS),
        (ConvModule, {"size": 8}, "expansion", BRANCH_EXPANSIONS),
        (ConvModule, {"size": 8}, "pool", (True, False)),
        (Architecture, {"stages": STAGES}, "resolution", RESOLUTIONS),
    ],
)
def test_a_field_takes_its_allowed_values_only(kind, arguments, field, allowed):
    for value in allowed:
        for accepted in (value, float(value), np.int64(value), np.float32(value)):
            stored = getattr(kind(**{**arguments, field: accepted}), field)
            assert stored == value
            assert type(stored) is type(value)
    for value in (-1, 0.5, 9, 100, None, "3", str(allowed[0]), [3], float("nan")):
        with pytest.raises(ValueError) as error:
            kind(**{**arguments, field: value})
        message = str(error.value)
        expected = "expected" if field == "pool" else "choose from"
        listed = ", ".join(map(str, allowed))
        assert message == (
            f"{kind.__name__}.{field} is {value!r}; {expected} {listed}."
        )


@pytest.mark.parametrize("kind, field", [(Block, "kernel"), (ConvModule, "expansion")])
def test_a_bool_is_no_number(kind, field):
    arguments = {"expansion": 3} if kind is Block else {"size": 8}
    with pytest.raises(ValueError, match=f"{kind.__name__}.{field} is True"):
        kind(**{**arguments, field: True})


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_a_stage_has_two_to_four_blocks(depth):
    with pytest.raises(ValueError, match=rf"Stage\.blocks is {depth}.*2, 3, 4"):
        Stage((Block(3, 3),) * depth)


@pytest.mark.parametrize("count", [0, 3])
def test_a_branch_has_one_or_two_modules(count):
    with pytest.raises(ValueError, match=rf"Branch\.modules is {count}.*1, 2"):
        Branch((ConvModule(8),) * count)


@pytest.mark.parametrize(
    "field, value, expected",
    [
        ("stages", STAGES[:4], 5),
        ("stages", STAGES * 2, 5),
        ("branches", (None,) * 3, 4),
        ("thresholds", (1,) * 5, 4),
        ("thresholds", (), 4),
    ],
)
def test_wrong_counts_name_field_and_numbers(field, value, expected):
    message = rf"Architecture\.{field} has {len(value)} .* {expected}\."
    with pytest.raises(ValueError, match=message):
        Architecture(**{"resolution": 32, "stages": STAGES, field: value})


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: Stage(None), r"Stage\.blocks is None; expected a list"),
        (lambda: Stage(((3, 3), (3, 3))), r"Stage\.blocks\[0\] is \(3, 3\).* Block"),
        (lambda: Branch(ConvModule(8)), r"Branch\.modules is ConvModule.* a list"),
        (lambda: Branch((Block(3, 3),)), r"Branch\.modules\[0\] .* ConvModule"),
        (lambda: Architecture(32, 5), r"Architecture\.stages is 5; expected a list"),
        (lambda: Architecture(32, (2,) * 5), r"Architecture\.stages\[0\] is 2.* Stage"),
        (
            lambda: Architecture(32, STAGES, ("fixed",) * 4, (0.5,) * 4),
            r"Architecture\.branches\[0\] is 'fixed'.* expected Head or None",
        ),
        (
            lambda: Architecture(32, STAGES, thresholds="1111"),
            r"Architecture\.thresholds is '1111'; expected a list",
        ),
    ],
)
def test_wrong_types_name_field_value_and_expected(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    "threshold", [-0.1, 1.0001, 2, float("nan"), float("inf"), None, "high", "0.5", [0]]
)
def test_a_threshold_is_a_number_in_0_to_1(threshold):
    with pytest.raises(ValueError) as error:
        with_one_exit(threshold=threshold)
    message = f"Architecture.thresholds[0] is {threshold!r}; expected 0 to 1."
    assert str(error.value) == message


@pytest.mark.parametrize("threshold", [0, 0.1, np.float32(0.2), np.int64(0)])
def test_thresholds_become_plain_floats(threshold):
    (stored,) = check_thresholds([threshold], count=1)
    assert type(stored) is float
    assert stored == threshold


def test_a_wrong_count_of_thresholds_names_both_numbers():
    with pytest.raises(ValueError, match="limits has 2 entries; expected 3"):
        check_thresholds((0.5, 0.5), "limits", count=3)


@pytest.mark.parametrize(
    "branch, threshold", [(None, 0.5), (SEARCHED, 1.0), (FixedBranch(), 1.0)]
)
@pytest.mark.parametrize("position", range(4))
def test_branch_and_threshold_must_agree(branch, threshold, position):
    chosen, thresholds = [None] * 4, [1] * 4
    chosen[position], thresholds[position] = branch, threshold
    message = rf"thresholds\[{position}\] is {threshold} but .*branches\[{position}\]"
    with pytest.raises(ValueError, match=message):
        Architecture(32, STAGES, chosen, thresholds)


@pytest.mark.parametrize("number", [np.int32, np.uint8, np.int64, np.float64])
def test_numpy_numbers_are_stored_as_plain_ones(number):
    stage = Stage([Block(number(3), number(6)), Block(number(5), number(3))])
    module = ConvModule(number(8), number(5), number(2), number(1))
    branch = Branch([module])
    architecture = Architecture(
        number(40), [stage] * 5, [None, branch] * 2, [number(1), np.float32(0.5)] * 2
    )
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert architecture == Architecture(
        40,
        (Stage((Block(3, 6), Block(5, 3))),) * 5,
        (None, Branch((ConvModule(8, 5, 2, True),))) * 2,
        (1.0, 0.5) * 2,
    )


@pytest.mark.parametrize(
    "instance, field",
    [
        (Block(3, 3), "kernel"),
        (STAGES[0], "blocks"),
        (ConvModule(8), "pool"),
        (SEARCHED, "modules"),
        (Architecture(32, STAGES), "resolution"),
    ],
)
def test_a_description_is_frozen(instance, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(instance, field, getattr(instance, field))


def test_equal_descriptions_are_one_key():
    names = {
        with_one_exit(): "searched",
        with_one_exit(FixedBranch()): "fixed",
        with_one_exit(threshold=0.25): "early",
        Architecture(32, STAGES): "static",
        Architecture(36, STAGES): "larger",
    }
    assert len(names) == 5
    assert names[with_one_exit(Branch([ConvModule(8, 3, 1, 0)]))] == "searched"
    assert names[with_one_exit(FixedBranch(), np.float64(0.5))] == "fixed"
    assert names[Architecture(32, list(STAGES), [None] * 4, [1] * 4)] == "static"


@pytest.mark.parametrize(
    "size, kernel, convolved, pooled",
    [(8, 3, 3, 1), (10, 3, 4, 2), (8, 5, 2, 1), (10, 5, 3, 1)],
)
def test_module_sizes_follow_the_convolution_and_the_pooling(
    size, kernel, convolved, pooled
):
    assert ConvModule(size, kernel).convolved_size == convolved
    assert ConvModule(size, kernel).output_size == convolved
    assert ConvModule(size, kernel, pool=True).output_size == pooled


@pytest.mark.parametrize(
    "value, expected",
    [(1, 8), (11, 16), (12, 16), (16, 16), (18, 24), (19, 24), (50, 48), (150, 152)],
)
def test_make_divisible_rounds_without_losing_a_tenth(value, expected):
    assert make_divisible(value) == expected


# Other thresholds


@settings(deadline=None, max_examples=50)
@given(architectures(), st.data())
def test_at_leaves_out_what_is_switched_off_and_keeps_the_rest(architecture, data):
    threshold = st.just(1) | st.floats(0, 1)
    values = data.draw(st.tuples(*[threshold] * len(architecture.exits)))
    found = architecture.at(values)
    given = dict(zip(architecture.exits, values))
    on = [position for position, value in given.items() if value < 1]
    assert list(found.exits) == on
    assert found.exit_thresholds == tuple(given[position] for position in on)
    assert all(found.branches[i] == architecture.branches[i] for i in on)
    assert found.stages == architecture.stages
    assert found.resolution == architecture.resolution
    costs = macs(architecture, 10).per_exit_at(values)
    kept = [cost for cost, value in zip(costs, (*values, 0)) if value < 1]
    assert list(macs(found, 10).per_exit) == kept
    assert architecture.at(architecture.exit_thresholds) == architecture


@pytest.mark.parametrize(
    "architecture, values, message",
    [
        (with_one_exit(), (), "has 0 entries; expected 1"),
        (with_one_exit(), (0.5, 1, 1, 1), "has 4 entries; expected 1"),
        (Architecture(32, STAGES), (1,), "has 1 entries; expected 0"),
        (with_one_exit(), (1.5,), r"\[0\] is 1.5; expected 0 to 1"),
        (with_one_exit(), (None,), r"\[0\] is None; expected 0 to 1"),
    ],
)
def test_at_takes_a_threshold_for_each_exit(architecture, values, message):
    with pytest.raises(ValueError, match=rf"thresholds ?{message}"):
        architecture.at(values)


# The authors' dictionaries


@settings(deadline=None)
@given(architectures(fixed=False))
def test_from_ofa_reads_what_the_encoding_means(architecture):
    assert Architecture.from_ofa(to_ofa(architecture)) == architecture


@settings(deadline=None)
@given(architectures(fixed=False, depths=(4,)))
def test_alignments_agree_where_every_stage_is_full(architecture):
    ofa = to_ofa(architecture)
    assert Architecture.from_ofa(ofa, legacy_alignment=True) == architecture


def test_legacy_alignment_reads_entry_4s_plus_j_then_7_and_6():
    ofa = candidate(d=[2, 3, 4, 2, 3])  # 14 entries
    ofa["ks"] = [3, 5, 7, 3, 5, 7, 3, 5, 7, 3, 5, 7, 3, 5]
    ofa["e"] = [3, 3, 3, 4, 4, 4, 6, 6, 6, 3, 4, 6, 3, 4]
    expected = [
        [(3, 3), (5, 3)],  # entries 0, 1
        [(5, 4), (7, 4), (3, 6)],  # entries 4, 5, 6
        [(7, 6), (3, 3), (5, 4), (7, 6)],  # entries 8 to 11
        [(3, 3), (5, 4)],  # entries 12, 13
        [(7, 6), (7, 6), (7, 6)],  # past the end
    ]
    legacy = Architecture.from_ofa(ofa, legacy_alignment=True)
    assert legacy.stages == tuple(Stage([Block(*b) for b in s]) for s in expected)
    aligned = Architecture.from_ofa(ofa)
    assert aligned.stages[1] == Stage((Block(7, 3), Block(3, 4), Block(5, 4)))
    assert dataclasses.replace(legacy, stages=aligned.stages) == aligned


def test_legacy_alignment_can_end_within_a_stage():
    ofa = candidate(d=[2, 2, 2, 3, 4], ks=[3] * 13, e=[3] * 13)
    stages = Architecture.from_ofa(ofa, legacy_alignment=True).stages
    assert stages[3].blocks == (Block(3, 3), Block(7, 6), Block(7, 6))
    assert stages[4] == Stage.uniform(4, 7, 6)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("ofa", CANDIDATES)
def test_the_authors_candidates_parse(ofa, legacy):
    architecture = Architecture.from_ofa(ofa, legacy_alignment=legacy)
    assert architecture.resolution == ofa["r"]
    assert [len(stage.blocks) for stage in architecture.stages] == ofa["d"]
    assert architecture.thresholds == tuple(ofa["t"])
    for branch, modules, threshold in zip(architecture.branches, ofa["e_ks"], ofa["t"]):
        present = [m for m in modules if m[0] != 0]
        read = [] if branch is None else [*map(dataclasses.astuple, branch.modules)]
        assert read == ([] if threshold == 1 else [tuple(m) for m in present])


def test_the_archive_has_32_candidates():
    assert len(CANDIDATES) == 32


def test_size_0_is_no_second_module_and_threshold_1_no_branch():
    architecture = Architecture.from_ofa(candidate())
    assert architecture.branches == (
        None,
        Branch((ConvModule(8, 5, 2, True),)),
        None,
        Branch((ConvModule(10, 3, 1), ConvModule(8, 5, 2, True))),
    )
    assert architecture.thresholds == (1, 0.1, 1, 0.2)


@pytest.mark.parametrize("changes", [{}, {"t": [1, 1.0, 1, 1]}, {"e_ks": []}])
def test_without_thresholds_a_candidate_is_static(changes):
    ofa = {key: candidate()[key] for key in ("ks", "e", "d", "r")}
    assert Architecture.from_ofa({**ofa, **changes}).exits == ()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", [int, float])
def test_from_ofa_takes_numpy_arrays(kind, legacy):
    arrays = {
        key: np.array(value, kind if key in ("ks", "e", "d") else None)
        for key, value in candidate().items()
    }
    read = Architecture.from_ofa(arrays, legacy_alignment=legacy)
    assert read == Architecture.from_ofa(candidate(), legacy_alignment=legacy)
    assert Architecture.from_json(read.to_json()) == read


@pytest.mark.parametrize("key", ["ks", "e", "d", "r"])
def test_a_missing_key_of_a_candidate_is_named(key):
    ofa = candidate()
    del ofa[key]
    with pytest.raises(ValueError, match=rf"candidate has no {key}\."):
        Architecture.from_ofa(ofa)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"d": [2] * 4}, "d has 4 entries; expected 5"),
        ({"d": [2, 2, 2, 2, 5]}, "depth in d is 5; choose from 2, 3, 4"),
        ({"ks": [3] * 13}, "ks has 13 entries; expected 14"),
        ({"e": [3] * 20}, "e has 20 entries; expected 14"),
        ({"ks": [4] * 14}, "kernel is 4; choose from 3, 5, 7"),
        ({"e": [5] * 14}, "expansion is 5; choose from 3, 4, 6"),
        ({"r": 34}, "resolution is 34; choose from 32, 36"),
        ({"t": [1, 1]}, "t has 2 entries; expected 4"),
        ({"t": [1, 7, 1, 1]}, r"thresholds\[1\] is 7; expected 0 to 1"),
        ({"e_ks": []}, "e_ks has 0 entries; expected 4"),
        ({"e_ks": [[[9, 3, 1, 0], [0, 3, 1, 0]]] * 4}, "size is 9; choose from 8, 10"),
        ({"e_ks": [[[8, 7, 1, 0], [0, 3, 1, 0]]] * 4}, "kernel is 7; choose from 3, 5"),
        (
            {"e_ks": [[[8, 3, 3, 0], [0, 3, 1, 0]]] * 4},
            "expansion is 3; choose from 1, 2",
        ),
        (
            {"e_ks": [[[8, 3, 1, 2], [0, 3, 1, 0]]] * 4},
            "pool is 2; expected True, False",
        ),
        ({"e_ks": [[[0, 3, 1, 0]] * 2] * 4}, "size is 0; choose from 8, 10"),
        ({"e_ks": [[[8, 3, 1, 0]]] * 4}, "expected two lists"),
    ],
)
def test_a_wrong_candidate_names_field_value_and_options(changes, message):
    with pytest.raises(ValueError, match=message):
        Architecture.from_ofa(candidate(**changes))
