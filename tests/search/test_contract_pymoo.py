"""What `search.evolution` relies on in pymoo.

When one of these tests fails with a new version, its message says what broke. The
upper bound of pymoo in setup.py is the newest version that passes.
"""

import numpy as np
import pymoo
import pytest
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.problems.static import StaticProblem

from search import evolution
from search.space import SearchSpace

SPACE = SearchSpace()
VERSION = pymoo.__version__


def broken(what):
    return f"pymoo {VERSION}: {what} search/evolution.py has to be adapted."


@pytest.fixture(scope="module")
def genes():
    return SPACE.sample(24, np.random.default_rng(0))


def judged(genes, constraints=0):
    """Two objectives that contradict each other, and limits that half of them keep."""
    ones, twos = (genes == 1).sum(1), (genes == 2).sum(1)
    points = np.stack([ones - twos, twos], 1).astype(float)
    violations = np.maximum(0, ones - np.median(ones))[:, None].repeat(constraints, 1)
    return points, violations


@pytest.fixture
def crossed(monkeypatch):
    """What crossover and mutation make, before anything else is done to it."""
    seen = []
    original = evolution._Canonical._do

    def note(self, problem, X, **options):
        seen.append(np.array(X))
        return original(self, problem, X, **options)

    monkeypatch.setattr(evolution._Canonical, "_do", note)
    return seen


def test_operators_keep_genes_whole(genes, crossed):
    evolution.minimise(judged, SPACE, genes, 2, 0, generations=2, seed=0)
    made = np.concatenate(crossed[1:])
    whole = np.array_equal(made, np.round(made))
    assert whole, broken("crossover or mutation makes fractions of integer genes.")
    inside = (made >= 0).all() and (made < SPACE.counts).all()
    assert inside, broken("crossover or mutation leaves the range of the genes.")
    assert (made != 0).any(), broken("crossover and mutation make nothing.")


def test_children_differ_from_parents_and_from_one_another(genes):
    rng = np.random.default_rng(0)
    batches = evolution.offspring(SPACE, genes, judged(genes), 8, 6, rng)
    first, second = next(batches), next(batches)
    parents = set(map(tuple, genes.tolist()))
    for batch in (first, second):
        children = set(map(tuple, batch.tolist()))
        assert len(children) == 6, broken("ask() does not give n_offsprings children.")
        assert not children & parents, broken("duplicates are not eliminated.")
    assert (first != second).any(), broken("ask() gives the same children twice.")


def test_children_inherit_from_the_best(genes):
    points = np.stack([np.arange(24.0), np.arange(24.0)], 1)  # each dominates the next
    judgement = points, np.zeros((24, 0))
    rng = np.random.default_rng(0)
    children = next(evolution.offspring(SPACE, genes, judgement, 2, 20, rng))
    nearest = (children[:, None] != genes[None]).sum(2).argmin(1)
    message = broken("children do not inherit from the parents that survival chose.")
    assert set(nearest) <= {0, 1}, message


def test_the_seed_decides_everything(genes):
    def minimised(seed):
        return evolution.minimise(judged, SPACE, genes, 2, 0, 3, seed)

    assert (minimised(1) == minimised(1)).all(), broken("a seed is not enough.")
    assert (minimised(1) != minimised(2)).any(), broken("the seed has no effect.")
    draws = [
        next(evolution.offspring(SPACE, genes, judged(genes), 8, 6, rng))
        for rng in map(np.random.default_rng, (0, 0, 1))
    ]
    assert (draws[0] == draws[1]).all(), broken("children depend on more than a seed.")
    assert (draws[0] != draws[2]).any(), broken("the seed of children has no effect.")


def test_generations_are_counted_and_improve(genes):
    seen = []

    def count(genes):
        seen.append(len(genes))
        return judged(genes)

    last = evolution.minimise(count, SPACE, genes, 2, 0, generations=5, seed=0)
    message = broken("the first population and 5 generations are not 6 evaluations.")
    assert seen == [24] * 6, message
    assert last.shape == genes.shape
    before, after = judged(genes)[0].min(0), judged(last)[0].min(0)
    assert (after <= before).all() and (after < before).any(), broken(
        "the best of a population do not survive."
    )


def test_those_within_limits_survive_those_outside(genes):
    last = evolution.minimise(
        lambda genes: judged(genes, 1), SPACE, genes, 2, 1, generations=6, seed=0
    )
    ones = (genes == 1).sum(1)
    kept = np.mean((last == 1).sum(1) <= np.median(ones))
    assert kept > 0.9, broken("constraints are not kept by survival.")


def test_survivors_are_evaluated_again_if_the_measure_moves(genes):
    signs, sizes = [1.0], []

    def evaluate(genes):
        points, violations = judged(genes)
        return signs[0] * points, violations

    def survived(population):
        sizes.append(len(population))
        signs[0] = -1.0  # what was good is bad from now on
        return evaluate(population)

    last = evolution.minimise(
        evaluate, SPACE, genes, 2, 0, generations=8, seed=0, survived=survived
    )
    assert sizes == [24] * 9
    message = broken("survivors keep the values of an earlier generation.")
    assert judged(last)[0].max(0)[0] >= judged(genes)[0].max(0)[0], message


def test_values_from_outside_reach_survival():
    problem = evolution._Problem(SPACE, 2, 1)
    found = Population.new(X=SPACE.sample(3, np.random.default_rng(0)))
    points = np.array([[1.0, 1.0], [0.0, 0.0], [2.0, 0.0]])
    violations = np.array([[0.0], [1.0], [0.0]])
    static = StaticProblem(problem, F=points, G=violations)
    Evaluator(skip_already_evaluated=False).eval(static, found)
    best = RankAndCrowding().do(problem, found, n_survive=2)
    chosen = best.get("F").tolist()
    message = broken("StaticProblem and Evaluator do not set points and violations.")
    assert sorted(chosen) == [[1.0, 1.0], [2.0, 0.0]], message


def test_sorting_and_volume_by_hand():
    points = np.array([(1.0, 3.0), (2.0, 2.0), (3.0, 3.0), (3.0, 1.0)])
    ranks = [sorted(rank.tolist()) for rank in evolution.sort_by_dominance(points)]
    assert ranks == [[0, 1, 3], [2]], broken("non-dominated sorting changed.")
    volume = evolution.hypervolume(points, np.array([4.0, 4.0]))
    assert volume == pytest.approx(6), broken("the hypervolume changed.")
