"""Whatever a user passes, the answer is a result or an error that says what is wrong.

Each case takes a call that works and puts something else in place of one argument, or
of one value somewhere inside it.
"""

import copy
import dataclasses
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import zoo
from zoo import cards, data, exits, heads, measure, records, registry, training, weights
from zoo.model_record import ModelRecord

ERRORS = (ValueError, TypeError, OSError)

# What may stand in any place.
NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([2**31, 2**63, -(2**63), 10**400]),
    st.floats(),
    st.sampled_from([0.0, 1.0, 0.5, 1e308, -1e308, 1e-308]),
)
# Hypothesis's own text begins with seconds of finding out which characters there are.
CODES = st.one_of(*(st.integers(*c) for c in ((32, 126), (0, 55295), (57344, 1114111))))
TEXT = st.lists(CODES, max_size=8).map(lambda codes: "".join(map(chr, codes)))
PLAIN = st.one_of(st.none(), st.booleans(), NUMBERS, TEXT)
JUNK = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(TEXT, inner, max_size=4),
    ),
    max_leaves=8,
)
OBJECTS = st.sampled_from([b"bytes", {1, 2}, object(), 1j, range(3), len, int])
ARRAYS = st.builds(
    lambda shape, kind, number: np.full(shape, number).astype(kind),
    st.lists(st.sampled_from([0, 1, 2, 3, 8]), max_size=5).map(tuple),
    st.sampled_from(["float32", "float64", "int64", "uint8", "bool", "complex64"]),
    st.sampled_from([0, 1, 2, -1, 255, math.nan, math.inf, 1e300]),
)
ANYTHING = st.one_of(JUNK, OBJECTS, ARRAYS)

ARCHITECTURE = zoo.Architecture(
    32,
    (zoo.Stage.uniform(2, 3, 3),) * 5,
    (zoo.Branch((zoo.ConvModule(8),)), None, zoo.Branch((zoo.ConvModule(10),)), None),
    (0.5, 1, 0.4, 1),
)
COST = zoo.macs(ARCHITECTURE, 3)
LOGITS = np.random.default_rng(0).normal(size=(12, 3, 3)).astype(np.float32)
LABELS = np.arange(12) % 3
RECORD = json.loads(
    (registry.PRETRAINED / "aebnas_digits" / "config.json").read_text("utf-8")
)
SPLIT = data.Split(np.zeros((12, 8, 8, 3), np.uint8), LABELS)
RECIPE = dataclasses.asdict(training.recipe("paper"))


def described(record):
    """A record from a dictionary, its card and what follows from it."""
    read = records.from_dict(record, ModelRecord, assume=ModelRecord)
    cards.render(read)
    return [read.cost(convention) for convention in ("standard", "aebnas")]


LOGITS_AND_MORE = {"logits": LOGITS, "labels": LABELS, "cost": COST}
CALLS = {
    "macs": (
        zoo.macs,
        {"architecture": ARCHITECTURE, "num_classes": 3, "convention": "standard"},
    ),
    "Architecture": (
        zoo.Architecture,
        {field: getattr(ARCHITECTURE, field) for field in vars(ARCHITECTURE)},
    ),
    "Stage": (zoo.Stage.uniform, {"depth": 2, "kernel": 3, "expansion": 3}),
    "ConvModule": (zoo.ConvModule, vars(zoo.ConvModule(8))),
    "Branch": (zoo.Branch, {"modules": (zoo.ConvModule(8),)}),
    "from_dict": (zoo.Architecture.from_dict, {"data": ARCHITECTURE.to_dict()}),
    "from_json": (zoo.Architecture.from_json, {"source": ARCHITECTURE.to_json()}),
    "head": (
        heads.from_json,
        {"data": ARCHITECTURE.to_dict()["branches"][0], "field": "head"},
    ),
    "recipe": (training.Recipe, RECIPE),
    "record": (described, {"record": RECORD}),
    "card": (zoo.card, {"name": "aebnas_digits"}),
    "load": (zoo.load, {"name": "aebnas_digit"}),
    "pareto": (zoo.pareto, {"data": "digits", "convention": "standard"}),
    "list_models": (zoo.list_models, {"pattern": "*"}),
    "data": (data.load, {"name": "digit", "data_dir": None}),
    "from_arrays": (
        data.from_arrays,
        {
            **{"name": "own", "train": SPLIT, "test": SPLIT, "validation": 3},
            **{"class_names": ("a", "b", "c"), "flip": False},
        },
    ),
    "confidence": (exits.confidence, {"logits": LOGITS, "rule": "entropy"}),
    "decide": (
        exits.decide,
        {"logits": LOGITS, "thresholds": (0.4, 0.4), "rule": "score_margin"},
    ),
    "evaluate": (
        exits.evaluate,
        LOGITS_AND_MORE | {"thresholds": (0.4, 0.4), "rule": "score_margin"},
    ),
    "tune_thresholds": (
        exits.tune_thresholds,
        LOGITS_AND_MORE | {"values": (0.2, 0.4), "target_macs": 1e6},
    ),
    "frontier": (exits.frontier, LOGITS_AND_MORE | {"values": (0.2, 0.4)}),
    "thresholds_for_budget": (
        exits.thresholds_for_budget,
        LOGITS_AND_MORE | {"max_macs": 1e9, "values": (0.2, 0.4)},
    ),
    "within_budget": (
        exits.within_budget,
        {"points": exits.frontier(LOGITS, LABELS, COST), "max_macs": 1e9},
    ),
    "within": (measure.within, {"max_macs": 1e6}),
    "towards": (measure.towards, {"target_macs": 1e6}),
    "weights": (
        weights.loads,
        {"data": weights.dumps({"a/b": np.zeros(3)}), "where": "here"},
    ),
}


def inside(value, path=()):
    """The places in nested data, outermost first."""
    yield path
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return
    for key, item in items:
        yield from inside(item, (*path, key))


def replaced(value, path, new):
    """A copy of nested data with something else in one place."""
    if not path:
        return new
    result = list(value) if isinstance(value, tuple) else copy.copy(value)
    result[path[0]] = replaced(value[path[0]], path[1:], new)
    return tuple(result) if isinstance(value, tuple) else result


def not_a_number(value):
    """Whether a result holds NaN anywhere."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = list(vars(value).values())
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return any(map(not_a_number, value))
    if isinstance(value, np.ndarray) and value.dtype.kind in "fc":
        return bool(np.isnan(value).any())
    return isinstance(value, float) and math.isnan(value)


@st.composite
def cases(draw):
    """A call, with something else in place of one or two of its values."""
    name = draw(st.sampled_from(list(CALLS)))
    function, arguments = CALLS[name]
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(inside(arguments))[1:]))
        with_junk = draw(ANYTHING)
        try:
            arguments = replaced(arguments, path, with_junk)
        except (IndexError, KeyError, TypeError):  # the first one replaced it
            pass
    return name, function, arguments


@pytest.fixture
def options(campaign):
    """A function: hypothesis's settings for so many cases."""

    def options(small, full):
        count = campaign.size(small, full)
        phases = [Phase.generate] if not campaign.full else list(Phase)
        return lambda test: seed(campaign.seed)(
            settings(
                max_examples=count,
                deadline=None,
                database=None,
                phases=phases,
                suppress_health_check=list(HealthCheck),
            )(test)
        ), count

    return options


def test_a_call_with_anything_in_it_gives_a_result_or_a_clear_error(
    options, campaign, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    decorate, count = options(300, 20_000)

    @decorate
    @given(cases())
    def run(case):
        name, function, arguments = case
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                result = function(**arguments)
            except ERRORS as error:
                assert str(error), name
            else:
                assert not not_a_number(result), name

    run()
    campaign.note("calls of the API", count, "a result without NaN, or a clear error")
