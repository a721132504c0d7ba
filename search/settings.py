"""A search as data: everything that decides what it does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search import latency, methods, metrics
from search.backbone.checks import EXIT_OPTIONS, HEADS_RECIPE, check_backbone
from search.backbone.space import ExitSpace
from search.genes import Space
from search.objectives import Constraint, Objectives, check_numbers
from search.space import SearchSpace
from zoo import records
from zoo.checks import check_target, whole_number
from zoo.cost import CONVENTIONS

if TYPE_CHECKING:
    from zoo.training import Recipe


@dataclass(frozen=True)
class Settings:
    """Everything that decides what a search does, as plain numbers, lists and text.

    Args:
        data: Name of the data set; see `zoo.data`.
        method: One of `search.METHODS`.
        trials: Candidates to train, including those that fail.
        target_macs: Average MACs to aim at, a count (for "nachos" the limit). The
            thresholds of candidates are tuned for it, and "aebnas" proposes for it if
            the objectives are error and average MACs.
        convention: How MACs are counted; see `zoo.macs`.
        seed: Seed of everything, 0 or more.
        initial_trials: Candidates drawn at random before anything is learnt; None: 40 %
            of the trials, at most 100, or as many as before if a search is continued.
        batch_size: Candidates per iteration.
        surrogate: "adaptive" or "mlp", where the method uses one.
        population: Population of NSGA-II.
        generations: Generations of NSGA-II on surrogates.
        objectives: What to improve; see `search.METRICS`.
        constraints: Limits, as `{metric: [minimum or None, maximum or None]}`.
        reference: Reference point of the hypervolume, one number per objective.
        space: Arguments of `SearchSpace` in addition to those of the method; with a
            backbone those of `search.backbone.space.ExitSpace`.
        backbone: Trained model whose exits are searched, while its weights stay: a
            pretrained name, a folder or a `.keras` file. None: whole networks are
            searched.
        recipe: Name of a training recipe; with a backbone it is "heads".
        recipe_changes: Fields of the recipe to change.
        train_images: Train on this many of the first training images; None: on all.
        initial_weights: Model to copy matching weights from; None: all are random.
        latency_batch_size: Also measure latency in batches of this size; 1 by default
            with a runtime or a table.
        supernet: Name, file or folder of a supernet: candidates inherit its weights and
            are not trained; `train_images` is then how many training images their
            batch-normalisation statistics are computed from (None: 2,000), and the
            resolutions are those of the supernet unless the space names others.
        runtime: Measure latency as deployed, "litert" or "onnx", on one thread; None:
            in TensorFlow.
        quantization: How to export for that: "float16", "dynamic" or None.
        latency_table: File of a `search.latency.LatencyTable`, from which latency is
            predicted instead of measured.

    Raises:
        ValueError: A value is unknown or out of range.
    """

    data: str = "digits"
    method: str = "aebnas"
    trials: int = 340
    target_macs: float | None = None
    convention: str = "standard"
    seed: int = 1
    initial_trials: int | None = None
    batch_size: int = 8
    surrogate: str = "adaptive"
    population: int = 40
    generations: int = 20
    objectives: tuple[str, ...] = ("error", "average_macs")
    constraints: Mapping[str, tuple[float | None, float | None]] = field(
        default_factory=dict
    )
    reference: tuple[float, ...] | None = None
    space: Mapping[str, Any] = field(default_factory=dict)
    backbone: str | None = records.added()
    recipe: str = "short"
    recipe_changes: Mapping[str, Any] = field(default_factory=dict)
    train_images: int | None = None
    initial_weights: str | None = None
    latency_batch_size: int | None = None
    supernet: str | None = records.added()
    runtime: str | None = records.added()
    quantization: str | None = records.added()
    latency_table: str | None = records.added()

    def __post_init__(self) -> None:
        for name in (
            "objectives",
            "constraints",
            "reference",
            "space",
            "recipe_changes",
        ):
            # So that settings are equal to what their JSON gives back.
            object.__setattr__(self, name, _tuples(getattr(self, name)))
        method = methods.get(self.method)
        if self.backbone is not None:
            if self.recipe == Settings.recipe:
                object.__setattr__(self, "recipe", HEADS_RECIPE)
            check_backbone(self, method)
        elif foreign := [name for name in EXIT_OPTIONS if name in self.space]:
            raise ValueError(
                f"{foreign[0]} is only for a search with a backbone; leave it out."
            )
        if self.latency_batch_size is None and (self.runtime or self.latency_table):
            object.__setattr__(self, "latency_batch_size", 1)
        _check_latency(self)
        for name, least in {
            **{"trials": 1, "initial_trials": 1, "seed": 0, "batch_size": 1},
            **{"train_images": 1, "latency_batch_size": 1},
        }.items():
            value = getattr(self, name)
            if value is not None:
                whole_number(name, value, least)
        if self.target_macs is not None:
            check_target("target_macs", self.target_macs)
        if self.convention not in CONVENTIONS:
            raise ValueError(
                f"convention is {self.convention!r}; expected {', '.join(CONVENTIONS)}."
            )
        if method.macs_as == "limit" and self.target_macs is None:
            raise ValueError(f"The method {self.method} needs target_macs, its limit.")
        for name in method.space:
            if name in self.space:
                raise ValueError(f"The method {self.method} fixes {name} of the space.")
        metrics.check((*self.objectives, *self.constraints), vars(self))
        # A wrong setting is an error here, not in the middle of a search.
        objectives = self.objectives_in_order()
        self.limits()
        if self.reference is not None:
            check_numbers("reference", self.reference, len(objectives))
        space = self.search_space()
        method.proposer(self, space)
        if self.supernet is not None:
            _check_inheritance(self, space)
        self.training_recipe()

    def objectives_in_order(self) -> Objectives:
        """The objectives, each with its direction."""
        return metrics.objectives(self.objectives)

    def limits(self) -> tuple[Constraint, ...]:
        """The constraints."""
        return tuple(
            Constraint(metric, *limits) for metric, limits in self.constraints.items()
        )

    def search_space(self) -> Space:
        """The space, with the options of the method."""
        options = {**methods.get(self.method).space, **self.space}
        try:
            if self.backbone is not None:
                return ExitSpace(**options)
            return SearchSpace(**options)
        except TypeError as error:
            raise ValueError(f"space: {error}") from error

    def training_recipe(self) -> Recipe:
        """How a candidate is trained."""
        from zoo import training

        changes = {**methods.get(self.method).recipe, **self.recipe_changes}
        if changes.get("soft_exits"):
            changes.setdefault("macs_limit", self.target_macs)
            changes.setdefault("convention", self.convention)
        return training.recipe(self.recipe, **changes)

    @property
    def random_trials(self) -> int:
        """Candidates drawn at random before anything is learnt."""
        if self.initial_trials is not None:
            return self.initial_trials
        return min(100, math.ceil(0.4 * self.trials))

    def differences(self, other: Settings) -> list[str]:
        """What differs between two searches.

        Returns:
            Names of fields; of one that is a mapping the names of its parts, such as
            "recipe_changes.epochs".
        """
        found = []
        for each in dataclasses.fields(self):
            one, two = getattr(self, each.name), getattr(other, each.name)
            if isinstance(one, Mapping) and isinstance(two, Mapping):
                parts = sorted({*one, *two})
                found += [f"{each.name}.{p}" for p in parts if one.get(p) != two.get(p)]
            elif one != two:
                found.append(each.name)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and text; `from_dict` reads it back."""
        return records.to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """Read what `to_dict` gave.

        Raises:
            ValueError: A field is unknown or a value is out of range.
        """
        names = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - names)
        if unknown:
            raise ValueError(f"Unknown settings: {', '.join(unknown)}.")
        return cls(**values)


def _check_latency(settings: Settings) -> None:
    """Raise if it is not clear how latency is to be measured."""
    runtime, table = settings.runtime, settings.latency_table
    if runtime is not None:
        latency.check_deployment(runtime, settings.quantization)
    elif settings.quantization is not None:
        raise ValueError(
            f"quantization is {settings.quantization!r}, and there is no runtime; "
            f"choose from {', '.join(latency.RUNTIMES)}."
        )
    if table is None:
        return
    if runtime is not None:
        raise ValueError(
            "There are a runtime and a latency_table, which has its own; expected "
            "one of them."
        )
    if settings.latency_batch_size != 1:
        raise ValueError(
            f"latency_batch_size is {settings.latency_batch_size}; a latency_table is "
            "for 1."
        )
    if settings.backbone is not None:
        raise ValueError(
            "A latency_table is for networks of the paper's search space, not for "
            "exits on a backbone; measure with a runtime."
        )


def _check_inheritance(settings: Settings, space: SearchSpace) -> None:
    """Raise if a setting makes no sense where weights come from a supernet."""
    for name in ("initial_weights", "recipe_changes"):
        if getattr(settings, name):
            raise ValueError(
                f"{name} is {getattr(settings, name)!r}, but candidates with a "
                "supernet inherit all weights and are not trained; expected none."
            )
    if space.exits and space.head not in ("searched", "fixed"):
        raise ValueError(
            f"head is {space.head!r}; a supernet has searched and fixed ones only."
        )


def _tuples(value: Any) -> Any:
    """The value with tuples in place of lists."""
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def upgrade(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that version 0.1 wrote, with the names of today."""
    values = dict(values)
    values["initial_weights"] = values.pop("start")
    space = dict(values["space"])
    if "fixed_branches" in space:
        space["head"] = "fixed" if space.pop("fixed_branches") else "searched"
    return values | {"space": space}
