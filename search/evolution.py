"""NSGA-II on integer genes: the one module that uses pymoo.

Deb et al., A fast and elitist multiobjective genetic algorithm, IEEE Trans. Evol. Comp.
2002, with two-point crossover and polynomial mutation.

pymoo (0.6.2) mutates and crosses real numbers unless both operators get `vtype=int` and
a repair that rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.survival import Survival
from pymoo.indicators.hv import HV
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.problems.static import StaticProblem
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

if TYPE_CHECKING:
    from search.genes import Space

# Points of shape (genes, objectives), to minimise, and violations of shape
# (genes, constraints), 0 where a constraint is satisfied.
Judgement = tuple[np.ndarray, np.ndarray]


def sort_by_dominance(points: np.ndarray) -> list[np.ndarray]:
    """Indices of the points by rank; shape `(points, objectives)`, to minimise."""
    return NonDominatedSorting().do(points)


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Volume between the points and a reference point, all to minimise."""
    return float(HV(ref_point=reference)(points))


def offspring(
    space: Space,
    genes: np.ndarray,
    judgement: Judgement,
    population: int,
    count: int,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Children of the best candidates by rank and crowding, without end.

    Args:
        space: The search space.
        genes: Candidates, shape `(candidates, genes)`.
        judgement: Their points and violations.
        population: How many of them may be parents.
        count: Children in each batch.
        rng: Source of randomness.

    Yields:
        Canonical genes of up to `count` children, none of which is a parent.
    """
    points, violations = judgement
    problem = _Problem(space, points.shape[1], violations.shape[1])
    candidates = _judged(problem, Population.new(X=genes), judgement)
    parents = RankAndCrowding().do(
        problem,
        candidates,
        n_survive=min(population, len(candidates)),
        random_state=rng,
    )
    options = {"survival": _All(), "n_offsprings": count}
    nsga2 = _nsga2(space, len(parents), parents, **options)
    nsga2.setup(problem, seed=int(rng.integers(2**31)))
    nsga2.tell(infills=nsga2.ask())  # the parents, which have been judged
    while True:
        children = nsga2.ask()
        yield genes[:0] if children is None else children.get("X").astype(int)


def minimise(
    evaluate: Callable[[np.ndarray], Judgement],
    space: Space,
    initial: np.ndarray,
    objectives: int,
    constraints: int,
    generations: int,
    seed: int,
    survived: Callable[[np.ndarray], Judgement] | None = None,
) -> np.ndarray:
    """Minimise a function of genes by NSGA-II.

    Args:
        evaluate: Points and violations of genes.
        space: The search space.
        initial: The first population, shape `(population, genes)`.
        objectives: Columns of the points.
        constraints: Columns of the violations.
        generations: How many to compute after the first population.
        seed: Seed of everything.
        survived: Judges the population anew after every generation, for an `evaluate`
            that depends on the population.

    Returns:
        The last population, canonical genes of the shape of `initial`.
    """
    problem = _Problem(space, objectives, constraints)
    nsga2 = _nsga2(space, len(initial), initial)
    nsga2.setup(problem, termination=("n_gen", generations + 1), seed=seed)
    while nsga2.has_next():
        asked = nsga2.ask()
        if asked is None:  # there are no other children
            break
        nsga2.tell(infills=_judged(problem, asked, evaluate(asked.get("X"))))
        if survived is not None:
            _judged(problem, nsga2.pop, survived(nsga2.pop.get("X")))
    return nsga2.pop.get("X").astype(int)


def _judged(
    problem: Problem, candidates: Population, judgement: Judgement
) -> Population:
    """The candidates with points and violations computed elsewhere."""
    points, violations = judgement
    values = {"F": points} | ({"G": violations} if violations.shape[1] else {})
    evaluator = Evaluator(skip_already_evaluated=False)
    return evaluator.eval(StaticProblem(problem, **values), candidates)


class _Problem(Problem):
    """The search space as pymoo sees it; values come from outside."""

    def __init__(self, space: Space, objectives: int, constraints: int) -> None:
        super().__init__(
            n_var=len(space.names),
            n_obj=objectives,
            n_ieq_constr=constraints,
            xl=0,
            xu=space.counts - 1,
            vtype=int,
        )


class _Canonical(Repair):
    """Replaces genes by the canonical ones, so that equal networks are duplicates."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space

    def _do(self, problem, X, **kwargs):
        return self.space.canonical(np.around(X).astype(int))


class _All(Survival):
    """Every candidate survives, with the rank and the crowding that it has."""

    def __init__(self) -> None:
        super().__init__(filter_infeasible=False)

    def _do(self, problem, pop, *args, **kwargs):
        return pop


def _nsga2(space: Space, population: int, sampling: Any, **options: Any) -> NSGA2:
    whole = {"vtype": int, "repair": RoundingRepair()}
    return NSGA2(
        pop_size=population,
        sampling=sampling,
        crossover=TwoPointCrossover(prob=0.9, **whole),
        mutation=PM(eta=1, **whole),
        repair=_Canonical(space),
        eliminate_duplicates=True,
        **options,
    )
