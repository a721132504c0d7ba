"""The best settings of several saved models together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoo import exits
from zoo.cost import check_convention
from zoo.exits import OperatingPoint
from zoo.names import unknown

if TYPE_CHECKING:
    from zoo.model import EarlyExitModel


@dataclass(frozen=True)
class ModelPoint(OperatingPoint):
    """An operating point, and the `model` that has it."""

    model: str = ""


class Front(tuple[ModelPoint, ...]):
    """Operating points of several models, cheapest first; see `pareto`."""

    def best(self, max_macs: float) -> EarlyExitModel:
        """Load the most accurate model within a budget, its thresholds set.

        Args:
            max_macs: Highest allowed average MACs per image, a count in the front's
                convention.

        Raises:
            ValueError: The budget cannot be met; the message says what can.
        """
        from zoo import registry

        point = exits.within_budget(self, max_macs)
        model = registry.load(point.model)
        model.thresholds = point.thresholds
        return model


def pareto(data: str, convention: str = "standard") -> Front:
    """The best settings of all pretrained models of a data set together.

    Args:
        data: The data set's name, such as "cifar10".
        convention: How to count MACs; see `zoo.macs`. Models that cannot be counted in
            it are left out.

    Returns:
        A `Front`: the operating points on the models' stored frontiers (accuracy and
        average MACs on the validation split) that no other point dominates, cheapest
        first.

    Raises:
        ValueError: No pretrained model belongs to the data set, or the convention is
            unknown.

    Example:
        >>> model = zoo.pareto("cifar10").best(max_macs=3e6)
    """
    from zoo import registry

    check_convention(convention)
    found = [registry.record(name) for name in registry.list_models()]
    noted = {
        record.name: record.data
        for record in found
        if record.data and convention in record.conventions
    }
    names = [name for name, owner in noted.items() if owner.name == data]
    if not names:
        known = sorted({owner.name for owner in noted.values()})
        raise ValueError(unknown("data set with pretrained models", data, known))
    points = [point for name in names for point in operating_points(name, convention)]
    return Front(exits.pareto_optimal(points))


def operating_points(
    name: str | os.PathLike, convention: str = "standard"
) -> list[ModelPoint]:
    """The stored frontier of a model, its MACs in a convention.

    Arguments and errors are those of `zoo.registry.record` and `pareto`.
    """
    from zoo import registry

    noted = registry.record(name)
    cost = noted.cost(convention)
    return [
        ModelPoint(**vars(exits.recount(point, cost)), model=str(name))
        for point in noted.frontier
    ]
