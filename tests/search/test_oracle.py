import functools
import itertools
import json
import math
import shutil

import keras_tuner
import numpy as np
import pytest

from search import (
    AEBNAS,
    NSGA2,
    Constraint,
    Objectives,
    ParetoOracle,
    ProposerOracle,
    RandomSearch,
    SearchSpace,
)
from search import surrogate as surrogates
from search.engine import FAILURE, pareto_oracle
from search.space import SpaceExhaustedError

MIN_A, MAX_A = (keras_tuner.Objective("a", way) for way in ("min", "max"))
MIN_B, MAX_B = (keras_tuner.Objective("b", way) for way in ("min", "max"))
SPACE = SearchSpace()
SMALL = {"initial_trials": 4, "batch_size": 3, "max_trials": 10}
OWN = ("population", "generations", "surrogate", "target", "limit")


def asks(kind, objectives=("error", "average_macs"), space=SPACE, **options):
    """An oracle that asks a proposer of that kind."""
    own = {name: options.pop(name) for name in OWN if name in options}
    size = options.get("batch_size", 8)
    if kind is RandomSearch:
        proposer = kind(space, size)
    else:
        limits = options.get("constraints", ())
        proposer = kind(space, Objectives(objectives), limits, batch_size=size, **own)
    return ProposerOracle(proposer, space, objectives, **options)


random_search = functools.partial(asks, RandomSearch)
nsga2 = functools.partial(asks, NSGA2)
aebnas = functools.partial(asks, AEBNAS)
NAMES = {random_search: "random", nsga2: "nsga2", aebnas: "aebnas"}
QUICK = {  # a few small iterations of each proposer that learns
    random_search: SMALL,
    nsga2: SMALL | {"population": 4},
    aebnas: SMALL | {"population": 6, "generations": 2},
}


def each_oracle(test):
    """A test of every kind, with surrogates that are fitted at once."""
    test = pytest.mark.usefixtures("quick_surrogate")(test)
    return pytest.mark.parametrize("kind", QUICK, ids=NAMES.get)(test)


class Unguided(ParetoOracle):
    """Two random numbers."""

    def __init__(self, objectives=("a", "b"), **changes):
        numbers = keras_tuner.HyperParameters()
        for name in ("x", "y"):
            numbers.Float(name, 0, 1)
        super().__init__(objectives, hyperparameters=numbers, **changes)

    def populate_space(self, trial_id):
        x, y = np.random.default_rng([self.seed, int(trial_id)]).random(2)
        return {"status": "RUNNING", "values": {"x": x, "y": y}}


def on(folder, oracle, reload=False):
    """The oracle, at work in a folder."""
    oracle._set_project_dir(folder, "p")
    if reload:
        oracle.reload()
    else:
        oracle.save()  # as a tuner does when it starts
    return oracle


def finish(oracle, trial, metrics):
    """End a trial with its metrics, or with the reason why it failed."""
    if isinstance(metrics, str):
        trial.status, trial.message = "FAILED", metrics
    else:
        if metrics:
            oracle.update_trial(trial.trial_id, metrics)
        trial.status = "COMPLETED"
    oracle.end_trial(trial)
    return oracle.trials[trial.trial_id]


def report(oracle, *results):
    """Try one candidate after the other, each with a result known beforehand."""
    return [finish(oracle, oracle.create_trial("w"), metrics) for metrics in results]


def drive(oracle, answer, trials=None):
    """Search to the end, or this many trials; `answer` makes metrics from genes."""
    for _ in itertools.count() if trials is None else range(trials):
        trial = oracle.create_trial("w")
        if trial.status == "STOPPED":
            break
        finish(oracle, trial, answer(oracle.genes(trial)))
    return oracle


@pytest.fixture(scope="module")
def measure(made_up):
    """A function: metrics from genes."""
    return lambda genes: made_up(SPACE.decode(genes))


def ids(trials):
    return [trial.trial_id for trial in trials]


def candidates(oracle):
    return {i: tuple(oracle.genes(t).tolist()) for i, t in oracle.trials.items()}


def course(oracle):
    """Everything that a search tried and got, in order."""
    return [
        (i, t.status, candidates(oracle)[i], oracle.values(t))
        for i, t in oracle.trials.items()
    ]


# Fronts


def random_results(count, seed=0):
    """Small integers, so that equal values occur; every fourth trial fails."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(1, 7, (count, 3)).tolist()
    return [
        "broken" if i % 4 == 2 else dict(zip("abc", map(float, row)))
        for i, row in enumerate(numbers)
    ]


def dominates(one, other):
    return all(a <= b for a, b in zip(one, other)) and tuple(one) != tuple(other)


def points(trials, objectives):
    signs = {o.name: 1 if o.direction == "min" else -1 for o in objectives}
    return {
        t.trial_id: [s * t.metrics.get_last_value(n) for n, s in signs.items()]
        for t in trials
    }


def undominated(points):
    return {
        i
        for i, one in points.items()
        if not any(dominates(other, one) for other in points.values())
    }


DIRECTIONS = {
    "min, min": (MIN_A, MIN_B),
    "max, min": (MAX_A, MIN_B),
    "max, max": (MAX_A, MAX_B),
    "single": (MIN_A,),
    "three": (MIN_A, MAX_B, keras_tuner.Objective("c", "min")),
}


@pytest.fixture(params=DIRECTIONS.values(), ids=DIRECTIONS)
def objectives(request):
    return request.param


def test_the_front_is_right_after_every_trial(objectives, tmp_path):
    oracle = on(tmp_path, Unguided(objectives))
    assert oracle.pareto_trials() == []
    done = []
    for result in random_results(24):
        (trial,) = report(oracle, result)
        done += [trial] if trial.status == "COMPLETED" else []
        found, every = oracle.pareto_trials(), points(done, objectives)
        assert set(ids(found)) == undominated(every)
        first = [every[i][0] for i in ids(found)]
        assert first == sorted(first)
    assert len(done) == 18


def test_trials_that_break_a_constraint_are_in_no_front(objectives, tmp_path):
    constraints = [Constraint("c", minimum=2), Constraint("b", maximum=4)]
    oracle = on(tmp_path, Unguided(objectives, constraints=constraints))
    done = [t for t in report(oracle, *random_results(24)) if t.status == "COMPLETED"]
    within = [
        t for t in done if oracle.values(t)["c"] >= 2 and oracle.values(t)["b"] <= 4
    ]
    assert 0 < len(within) < len(done)
    assert set(ids(oracle.pareto_trials())) == undominated(points(within, objectives))


def test_the_best_trials_come_rank_by_rank_with_the_infeasible_last(
    objectives, tmp_path
):
    oracle = on(tmp_path, Unguided(objectives, constraints=[Constraint("c", None, 4)]))
    done = [t for t in report(oracle, *random_results(24)) if t.status == "COMPLETED"]
    left = points([t for t in done if oracle.values(t)["c"] <= 4], objectives)
    best, feasible = oracle.get_best_trials(100), len(left)
    found = ids(best[:feasible])
    while left:
        rank = undominated(left)
        first = [left[i][0] for i in found[: len(rank)]]
        assert set(found[: len(rank)]) == rank
        assert first == sorted(first)
        found = found[len(rank) :]
        left = {i: point for i, point in left.items() if i not in rank}
    assert all(oracle.values(t)["c"] > 4 for t in best[feasible:])
    assert len(best) == len(done) > feasible
    assert ids(oracle.get_best_trials(3)) == ids(best[:3])


@pytest.mark.parametrize("first", [MIN_A, MAX_A], ids=["min", "max"])
def test_keras_tuner_sees_the_first_objective(first):
    objective = Unguided([first, MIN_B]).objective
    assert isinstance(objective, keras_tuner.Objective)
    assert (objective.name, objective.direction) == ("a", first.direction)
    assert objective.better_than(2, 1) == (first.direction == "max")


# Hypervolume


def cells(points, reference):
    """Volume by counting unit cells; everything is an integer."""
    if not points:
        return 0
    axes = [
        range(int(min(column)), int(end))
        for column, end in zip(zip(*points), reference)
    ]
    return sum(
        any(all(p <= c for p, c in zip(point, cell)) for point in points)
        for cell in itertools.product(*axes)
    )


def test_hypervolume_is_the_count_of_dominated_cells(objectives, tmp_path):
    reference = [7 if o.direction == "min" else 0 for o in objectives]
    oracle = on(tmp_path, Unguided(objectives, reference=reference))
    done = [t for t in report(oracle, *random_results(16)) if t.status == "COMPLETED"]
    every = list(points(done, objectives).values())
    expected = [cells(every[: i + 1], reference) for i in range(len(every))]
    if all(o.direction == "min" for o in objectives):  # a share of the box from zero
        expected = [volume / 7 ** len(objectives) for volume in expected]
    history = oracle.hypervolume_history()
    assert [i for i, _ in history] == ids(done)
    assert [v for _, v in history] == pytest.approx(expected)
    assert all(np.diff(expected) >= 0) and expected[0] < expected[-1]
    assert oracle.reference_point() == tuple(reference)


def test_an_ideal_makes_the_hypervolume_a_share_also_of_what_is_maximised(tmp_path):
    oracle = on(tmp_path, Unguided([MAX_A, MIN_B], reference=(0, 10), ideal=(1, 2)))
    report(oracle, {"a": 0.5, "b": 6.0}, {"a": 0.25, "b": 2.0})
    volumes = [v for _, v in oracle.hypervolume_history()]
    assert volumes == pytest.approx([0.5 * 4 / 8, (0.5 * 4 + 0.25 * 4) / 8])


def test_points_beyond_the_reference_and_infeasible_ones_add_no_hypervolume(tmp_path):
    constraints = [Constraint("c", maximum=1)]
    oracle = on(tmp_path, Unguided(reference=(2, 2), constraints=constraints))
    report(
        oracle,
        {"a": 0.1, "b": 0.1, "c": 2.0},
        {"a": 3.0, "b": 0.5, "c": 0.0},
        {"a": 1.0, "b": 1.0, "c": 0.0},
    )
    assert [v for _, v in oracle.hypervolume_history()] == [0, 0, 0.25]


def test_the_default_reference_is_one_percent_beyond_the_worst_initial_trial(tmp_path):
    oracle = on(tmp_path, Unguided([MIN_A, MAX_B], initial_trials=3))
    assert oracle.reference_point() is None
    assert oracle.hypervolume_history() == []
    report(oracle, "broken", {"a": 2.0, "b": 30.0})
    assert oracle.reference_point() == pytest.approx((2.02, 29.7))
    report(oracle, {"a": 4.0, "b": 50.0}, "broken", {"a": 1.0, "b": 20.0})
    assert oracle.reference_point() == pytest.approx((4.04, 19.8))
    report(oracle, {"a": 9.0, "b": 1.0}, "broken")  # no initial ones any more
    assert oracle.reference_point() == pytest.approx((4.04, 19.8))


def test_hypervolume_is_defined_when_no_candidate_makes_an_error(tmp_path):
    oracle = on(tmp_path, Unguided(initial_trials=2))
    report(oracle, {"a": 0.0, "b": 5.0}, {"a": 0.0, "b": 3.0}, {"a": 0.0, "b": 2.0})
    assert all(np.isfinite([v for _, v in oracle.hypervolume_history()]))


# What is left of a search


def answers(oracle):
    """All that a Pareto oracle answers, without objects."""
    return {
        "completed": ids(oracle.completed_trials()),
        "front": ids(oracle.pareto_trials()),
        "best": ids(oracle.get_best_trials(100)),
        "values": [oracle.values(t) for t in oracle.completed_trials()],
        "reference": oracle.reference_point(),
        "hypervolume": oracle.hypervolume_history(),
        "messages": [trial.message for trial in oracle.trials.values()],
    }


def test_a_reloaded_oracle_answers_the_same(objectives, tmp_path):
    arguments = {
        "objectives": objectives,
        "constraints": [Constraint("c", maximum=5)],
        "initial_trials": 6,
    }
    oracle = on(tmp_path, Unguided(**arguments))
    rng, running = np.random.default_rng(1), {}
    for result in random_results(20):  # three workers that end in any order
        worker = f"w{rng.integers(3)}"
        while worker in running:
            finish(oracle, running.pop(worker), result)
        running[worker] = oracle.create_trial(worker)
    before = answers(oracle)
    assert before["completed"] != sorted(before["completed"])
    assert answers(on(tmp_path, Unguided(**arguments), reload=True)) == before


@each_oracle
def test_the_state_is_json(kind, tmp_path, measure):
    oracle = drive(on(tmp_path, kind(**QUICK[kind])), measure, 7)
    report(oracle, "broken", {"error": math.nan, "average_macs": 1.0})
    state = json.loads(json.dumps(oracle.get_state(), allow_nan=False))
    other = on(tmp_path, kind(**QUICK[kind]), reload=True).get_state()
    for each in (state, other):
        each["tried_so_far"].sort()
    assert json.loads(json.dumps(other)) == state


def test_every_trial_that_ended_is_reported(tmp_path):
    oracle, told = on(tmp_path, Unguided()), []
    oracle.on_trial = lambda *event: told.append(event)
    trials = report(oracle, {"a": 1.0, "b": 1.0}, "broken")
    assert told == [(oracle, trial) for trial in trials]


# Failures


@pytest.mark.parametrize(
    "metrics, missing",
    [
        ({}, "a, b, c"),
        ({"a": 1.0, "b": 1.0}, "c"),
        ({"a": 1.0, "c": 1.0}, "b"),
        ({"a": math.nan, "b": 1.0, "c": 1.0}, "a"),
        ({"a": 1.0, "b": math.inf, "c": math.nan}, "b, c"),
    ],
    ids=str,
)
def test_a_trial_without_a_finite_value_has_failed(metrics, missing, tmp_path):
    arguments = {"constraints": [Constraint("c", maximum=5)]}
    oracle = on(tmp_path, Unguided(**arguments))
    good, _ = report(oracle, {"a": 1.0, "b": 1.0, "c": 1.0}, metrics)
    for each in (oracle, on(tmp_path, Unguided(**arguments), reload=True)):
        failed = each.trials["0001"]
        assert failed.status == "FAILED"
        assert failed.message == f"No finite value of {missing} was reported."
        assert ids(each.completed_trials()) == [good.trial_id]
        assert len(each.hypervolume_history()) == 1


def test_the_reason_of_a_worker_is_read_from_its_file(tmp_path):
    oracle = on(tmp_path, Unguided())
    trial = oracle.create_trial("w")
    folder = tmp_path / "p" / f"trial_{trial.trial_id}"
    (folder / FAILURE).write_text("ValueError: no\n", encoding="utf-8")
    trial.status = "FAILED"
    oracle.end_trial(trial)
    other = on(tmp_path, Unguided(), reload=True)
    assert other.trials[trial.trial_id].message == "ValueError: no\n"


@pytest.mark.parametrize(
    "kind",
    [
        functools.partial(random_search, max_trials=9),
        functools.partial(Unguided, max_trials=9),
    ],
    ids=["ProposerOracle", "ParetoOracle"],
)
def test_failures_in_a_row_end_the_search_with_the_last_reason(kind, tmp_path):
    oracle = on(tmp_path, kind(max_failures=3))
    fine = dict.fromkeys(("error", "average_macs", "a", "b"), 1.0)
    report(oracle, "one", "two", fine, "one", "two", "Traceback:\nreason three\n")
    assert oracle.create_trial("w").status == "STOPPED"
    assert oracle.stopped == "3 trials in a row failed, the last with: reason three"
    assert len(oracle.trials) == 6


def test_an_exhausted_space_ends_the_search(tmp_path, monkeypatch, measure):
    oracle = on(tmp_path, random_search(initial_trials=3, batch_size=2))
    left = SPACE.sample(5, np.random.default_rng(0)).tolist()

    def sample(n, rng, known):
        if n > len(left):
            raise SpaceExhaustedError("the space is exhausted")
        return np.array([left.pop() for _ in range(n)])

    monkeypatch.setattr(oracle.space, "sample", sample)
    drive(oracle, measure)
    assert len(oracle.completed_trials()) == 5
    assert oracle.stopped == "the space is exhausted"


# Interruptions


@each_oracle
def test_a_search_reloaded_after_every_trial_takes_the_same_course(
    kind, tmp_path, measure
):
    def answer(genes):
        return "broken" if sum(genes) % 5 == 0 else measure(genes)

    whole = drive(on(tmp_path / "whole", kind(**QUICK[kind])), answer)
    oracle = on(tmp_path / "parts", kind(**QUICK[kind]))
    for _ in range(SMALL["max_trials"]):
        drive(oracle, answer, trials=1)
        oracle = on(tmp_path / "parts", kind(**QUICK[kind]), reload=True)
    assert course(oracle) == course(whole)
    assert len({status for _, status, _, _ in course(whole)}) == 2


def test_a_trial_under_way_is_tried_again_and_what_it_reported_is_forgotten(tmp_path):
    oracle = on(tmp_path, Unguided())
    report(oracle, {"a": 1.0, "b": 1.0})
    lost = [oracle.create_trial(worker) for worker in ("v", "w")]
    oracle.update_trial(lost[0].trial_id, {"a": 100.0, "b": 100.0})
    oracle = on(tmp_path, Unguided(), reload=True)
    assert ids(oracle.completed_trials()) == ["0000"]
    again = [oracle.create_trial(worker) for worker in ("u", "w")]
    assert ids(again) == ids(lost) == ["0001", "0002"]
    assert [t.hyperparameters.values for t in again] == [
        t.hyperparameters.values for t in lost
    ]
    assert not any(trial.metrics.metrics for trial in again)
    finish(oracle, again[0], {"a": 2.0, "b": 2.0})
    assert oracle.values(oracle.trials["0001"]) == {"a": 2.0, "b": 2.0}
    assert oracle.create_trial("u").trial_id == "0003"


def test_a_worker_that_comes_back_gets_its_trial_without_what_it_reported(tmp_path):
    oracle = on(tmp_path, Unguided())
    trial = oracle.create_trial("w")
    oracle.update_trial(trial.trial_id, {"a": 100.0, "b": 100.0})  # and died
    again = oracle.create_trial("w")
    assert again.trial_id == trial.trial_id
    assert not again.metrics.metrics


class Killed(Exception):
    pass


def kill_before_write(monkeypatch, count):
    """The count-th file that an oracle writes from now on is not written any more."""
    write, left = pareto_oracle.write_text, itertools.count(count - 1, -1)

    def write_or_die(path, text):
        if next(left) <= 0:
            raise Killed
        write(path, text)

    monkeypatch.setattr(pareto_oracle, "write_text", write_or_die)


@pytest.fixture(scope="module")
def begun(tmp_path_factory, measure):
    """A function: an oracle; the folder of six trials of it; the course of nine."""
    folder = tmp_path_factory.mktemp("begun")
    make = functools.partial(nsga2, **QUICK[nsga2])
    drive(on(folder / "six", make()), measure, 6)
    return make, folder / "six", course(drive(on(folder / "nine", make()), measure, 9))


@pytest.mark.parametrize("count", range(1, 12))
def test_a_kill_between_two_writes_changes_nothing(
    count, begun, tmp_path, monkeypatch, measure
):
    make, six, whole = begun
    shutil.copytree(six, tmp_path / "killed")
    oracle = on(tmp_path / "killed", make(), reload=True)
    completed = ids(oracle.completed_trials())
    assert len(completed) == 6
    with monkeypatch.context() as patch:
        kill_before_write(patch, count)
        with pytest.raises(Killed):
            drive(oracle, measure)
    oracle = on(tmp_path / "killed", make(), reload=True)
    assert ids(oracle.completed_trials())[:6] == completed
    drive(oracle, measure, 9 - len(oracle.completed_trials()))
    assert course(oracle) == whole


def test_a_state_older_than_the_trials_is_repaired(tmp_path, measure):
    make = functools.partial(random_search, **QUICK[random_search])
    oracle = drive(on(tmp_path, make()), measure, 2)
    state = tmp_path / "p" / "oracle.json"
    old = state.read_text(encoding="utf-8")
    drive(oracle, measure, 2)
    running = oracle.create_trial("w")
    before = answers(oracle)
    state.write_text(old, encoding="utf-8")
    oracle = on(tmp_path, make(), reload=True)
    assert answers(oracle) == before
    assert oracle.create_trial("v").trial_id == running.trial_id
    drive(oracle, measure)
    assert len(set(candidates(oracle).values())) == SMALL["max_trials"]


# Candidates


@each_oracle
def test_workers_that_end_in_any_order_get_different_candidates(
    kind, tmp_path, measure
):
    options = QUICK[kind] | {"batch_size": 4, "max_trials": 16}
    oracle = on(tmp_path, kind(**options))
    rng, running, stopped = np.random.default_rng(0), {}, set()
    while len(stopped) < 3:
        worker = f"w{rng.integers(3)}"
        if worker in running:
            trial = running.pop(worker)
            broken = rng.random() < 0.2
            finish(oracle, trial, "broken" if broken else measure(oracle.genes(trial)))
        trial = oracle.create_trial(worker)
        if trial.status == "STOPPED":
            stopped.add(worker)
        else:
            running[worker] = trial
    assert len(oracle.end_order) == len(set(candidates(oracle).values())) == 16


@each_oracle
def test_the_seed_decides_the_candidates(kind, tmp_path, measure):
    def search(name, seed, trials=None):
        oracle = kind(**QUICK[kind], seed=seed)
        return candidates(drive(on(tmp_path / name, oracle), measure, trials))

    first = search("first", 0)
    assert len(first) == SMALL["max_trials"]
    assert search("second", 0) == first
    assert not set(search("other", 1, trials=4).values()) & set(first.values())


def test_the_seed_stays_with_a_search_that_is_reloaded(tmp_path, measure):
    drive(on(tmp_path, random_search(**SMALL, seed=0)), measure, 2)
    oracle = on(tmp_path, random_search(**SMALL, seed=0), reload=True)
    assert oracle.seed == 0
    drive(oracle, measure)
    whole = on(tmp_path / "whole", random_search(**SMALL, seed=0))
    assert candidates(oracle) == candidates(drive(whole, measure))


def test_a_search_of_one_objective_and_one_of_three_run_to_the_end(
    tmp_path, measure, quick_surrogate
):
    def answer(genes):
        return measure(genes) | {"parameters": float(sum(genes))}

    for names in (("error",), ("error", "average_macs", "parameters")):
        for kind in (nsga2, aebnas):
            oracle = kind(names, **QUICK[kind])
            drive(on(tmp_path / NAMES[kind] / names[-1], oracle), answer)
            assert len(oracle.completed_trials()) == SMALL["max_trials"]


# Learning


@pytest.fixture(scope="module")
def searched(tmp_path_factory, measure, kernel_ridge):
    """A function: an oracle that has searched for 40 trials; each search runs once.

    AEBNAS makes two batches, of twelve, which takes less time than three of eight. The
    surrogate "quick" is fitted at once: enough to use predictions well.
    """

    @functools.cache
    def search(kind, seed, **changes):
        oracle = kind(
            **{"initial_trials": 16, "max_trials": 40, "seed": seed},
            **{"batch_size": 12 if kind is aebnas else 8},
            **{"reference": (0.65, 6e7)} | changes,
        )
        return drive(on(tmp_path_factory.mktemp("search"), oracle), measure)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(surrogates.SURROGATES, "quick", kernel_ridge)
        yield search


@pytest.mark.parametrize(
    "kind, seeds, changes",
    [(nsga2, (1, 2, 3), {"population": 12}), (aebnas, (1, 2), {})],
    ids=["nsga2", "aebnas"],
)
def test_learning_beats_chance(searched, kind, seeds, changes):
    def volume(kind, **changes):
        oracles = [searched(kind, seed, **changes) for seed in seeds]
        return np.mean([oracle.hypervolume_history()[-1][1] for oracle in oracles])

    assert volume(kind, **changes) > volume(random_search) + 0.01


def proposed(oracle):
    """Average MACs of what came after the initial sample."""
    trials = list(oracle.trials.values())[oracle.initial_trials :]
    return np.array([oracle.values(trial)["average_macs"] for trial in trials])


def test_proposals_are_closer_to_a_target_than_chance(searched):
    target = 8e6
    distances = {
        kind: np.median(np.abs(proposed(searched(kind, 1, **changes)) - target))
        for kind, changes in (
            (aebnas, {"target": target, "surrogate": "quick"}),
            (random_search, {}),
        )
    }
    assert distances[aebnas] < 0.5 * distances[random_search]


def test_proposals_are_within_a_limit_more_often_than_by_chance_or_without_it(
    searched,
):
    limited, free, random = (
        np.mean(proposed(searched(kind, 1, **changes)) <= 8e6)
        for kind, changes in (
            (aebnas, {"limit": 8e6}),
            (aebnas, {}),
            (random_search, {}),
        )
    )
    assert limited > 0.2 + max(free, random)


def test_surrogates_are_judged_by_their_predictions_before_training(searched):
    oracle = searched(aebnas, 1)
    iterations = oracle.get_state()["iterations"]
    done = {tuple(oracle.genes(t)): oracle.values(t) for t in oracle.completed_trials()}
    history = oracle.iterations()
    assert [each.trials for each in history] == [16, 28]
    for each, iteration in zip(history, iterations, strict=True):
        truth = [done[tuple(genes)] for genes in iteration["genes"]]
        assert len(truth) == 12
        for name, predicted in iteration["predicted"].items():
            expected = surrogates.quality([t[name] for t in truth], predicted)
            assert vars(each.quality[name]) == pytest.approx(expected)
            assert each.quality[name].n == 12
        assert set(each.surrogates) == {"error", "average_macs"}
        assert each.seconds > 0
    assert set(history[0].quality) == {"error", "average_macs"}


WEIGHTS = np.arange(1, len(SPACE.names) + 1)


class WeighedSum:
    """A surrogate that says the same whatever it is fitted to."""

    def __init__(self, sign):
        self.sign = sign

    def fit(self, X, y):
        pass

    def predict(self, X):
        return self.sign * X[:, : len(WEIGHTS)] @ WEIGHTS


def test_predictions_belong_to_the_candidates_beside_them(
    tmp_path, measure, monkeypatch
):
    signs = itertools.cycle([1, -1])  # so that no candidate dominates another
    oracle = aebnas(**QUICK[aebnas] | {"generations": 1})
    monkeypatch.setattr(surrogates, "surrogate", lambda *_: WeighedSum(next(signs)))
    drive(on(tmp_path, oracle), measure)
    iterations = oracle.get_state()["iterations"]
    assert len(iterations) == 2
    for iteration in iterations:
        sums = np.array(iteration["genes"]) @ WEIGHTS
        assert iteration["predicted"]["error"] == sums.tolist()
        assert iteration["predicted"]["average_macs"] == (-sums).tolist()


def test_predictions_do_not_change_after_they_were_made(
    tmp_path, measure, quick_surrogate
):
    oracle = on(tmp_path, aebnas(**QUICK[aebnas]))
    drive(oracle, measure, 4)
    trial = oracle.create_trial("w")  # makes a batch
    made = json.dumps(oracle.get_state()["iterations"])
    assert oracle.iterations() == []
    finish(oracle, trial, measure(oracle.genes(trial)))
    assert oracle.iterations()[0].quality["error"].n == 1
    drive(oracle, measure, 1)
    assert json.dumps(oracle.get_state()["iterations"]) == made
    assert oracle.iterations()[0].quality["error"].n == 2
    again = on(tmp_path, aebnas(**QUICK[aebnas]), reload=True)
    assert again.iterations() == oracle.iterations()


def test_a_constraint_has_a_surrogate_and_is_kept_more_often_than_by_chance(
    tmp_path, measure, quick_surrogate
):
    def answer(genes):
        metrics = measure(genes)
        return metrics | {"size": metrics["average_macs"] / 1e6}

    for kind in (nsga2, aebnas):
        oracle = kind(
            constraints=[Constraint("size", maximum=10)],
            **{"initial_trials": 16, "max_trials": 32, "population": 20},
            batch_size=16,
        )
        drive(on(tmp_path / NAMES[kind], oracle), answer)
        kept = [oracle.is_feasible(trial) for trial in oracle.trials.values()]
        assert np.mean(kept[16:]) > np.mean(kept[:16]) + 0.2
    assert "size" in oracle.iterations()[0].quality


# Arguments


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"initial_trials": 0}, "initial_trials is 0; expected 1 or more"),
        ({"max_trials": 0}, "max_trials is 0; expected 1 or more"),
        ({"max_trials": 2.5}, "max_trials is 2.5"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"seed": None}, "seed is None"),
        ({"max_failures": 0}, "max_failures is 0; expected 1 or more"),
        ({"batch_size": 0}, "batch_size is 0; expected 1 or more"),
        ({"population": 1}, "population is 1; expected 2 or more"),
        ({"generations": 0}, "generations is 0; expected 1 or more"),
        ({"surrogate": "forest"}, "surrogate is 'forest'; choose from mlp, adaptive"),
        ({"target": 0}, "target is 0; expected more than 0"),
        ({"target": math.nan}, "target is nan; expected more than 0"),
        ({"limit": -1.0}, r"limit is -1\.0; expected more than 0"),
        ({"target": 1.0, "limit": 1.0}, "target and limit are both given"),
        ({"target": 1.0, "objectives": ("error",)}, "With a target, .* two objectives"),
        ({"limit": 1.0, "objectives": ("a", "b", "c")}, "two .*; there are a, b, c"),
        pytest.param(
            {"target": 1.0, "objectives": (MAX_A, MIN_B)},
            "target, .* be minimised",
            id="a target and an objective to maximise",
        ),
        ({"objectives": ()}, "objectives are .* at least one"),
        ({"objectives": ("error", "error")}, "objectives are .* each once"),
        ({"reference": (1.0,)}, "reference is .*; expected 2 finite numbers"),
        ({"reference": (1.0, math.inf)}, "reference is .*; expected 2 finite"),
        ({"ideal": ("a", 1.0)}, "ideal is .*; expected 2 finite numbers"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        aebnas(**arguments)


# With a tuner of keras-tuner's


class Sum(keras_tuner.Tuner):
    def run_trial(self, trial, **options):
        x, y = (trial.hyperparameters.get(name) for name in "xy")
        return {"a": x, "b": (1 - x) + y}


def test_an_ordinary_tuner_searches_with_a_pareto_oracle(tmp_path):
    def tuner(trials):
        oracle = Unguided(max_trials=trials)
        return Sum(oracle=oracle, directory=tmp_path, project_name="p")

    first = tuner(4)
    first.search(verbose=0)
    second = tuner(12)
    assert ids(second.oracle.completed_trials()) == ids(first.oracle.trials.values())
    second.search(verbose=0)
    trials = second.oracle.completed_trials()
    assert len(trials) == 12
    every = points(trials, (MIN_A, MIN_B))
    front = second.oracle.pareto_trials()
    assert set(ids(front)) == undominated(every)
    best = second.get_best_hyperparameters(len(front))
    assert [hp.values for hp in best] == [t.hyperparameters.values for t in front]
