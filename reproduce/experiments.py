"""Experiments as data: what is compared with what, and at which scale.

Register one of your own in a file that the command line gets by `--load FILE`:

    from reproduce import experiments

    experiments.register(
        experiments.Experiment("mine", "aebnas", "cifar10", 3e6, "AEBNAS, 3 M")
    )
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.names import add, find

if TYPE_CHECKING:
    from search import Settings

CONVENTION = "aebnas"  # what published figures use


@dataclass(frozen=True)
class Scale:
    """How much of a search is done.

    Attributes:
        summary: One line.
        trials: Candidates to train.
        initial_trials: Random ones among them.
        batch_size: Candidates per iteration.
        surrogate: See `search.Settings`.
        recipe: Training recipe of a candidate.
        epochs: Epochs of its training; None: the recipe's.
        train_images: Training images to use; None: all.
        resolutions: Resolutions to choose from; empty: all.
        same_training: Whether all methods train by `recipe`, NACHOS too.
        inherited: Whether candidates inherit their weights from the supernet
            `aebnas_DATA` and are not trained.
        tuning: Fields of `recipe` that differ when the reported candidate is trained
            further; None: it is not.
        data: Data set that stands in for the experiment's; None: its own.
    """

    summary: str
    trials: int
    initial_trials: int
    batch_size: int = 8
    surrogate: str = "adaptive"
    recipe: str = "short"
    epochs: int | None = None
    train_images: int | None = None
    resolutions: tuple[int, ...] = ()
    same_training: bool = False
    inherited: bool = False
    tuning: Mapping[str, Any] | None = None
    data: str | None = None


SCALES = {
    "smoke": Scale(
        "4 candidates, on digits instead of the experiment's data, to check that "
        "everything works",
        trials=4,
        initial_trials=2,
        batch_size=2,
        epochs=1,
        train_images=320,
        resolutions=(32,),
        data="digits",
    ),
    "reduced": Scale(
        "24 candidates, 2 epochs on 5,000 images of 32 pixels, random weights, all "
        "methods trained in the same way",
        trials=24,
        initial_trials=8,
        train_images=5000,
        resolutions=(32,),
        same_training=True,
    ),
    "inherited": Scale(
        "the paper's 340 candidates, at 32 pixels and with weights inherited from a "
        "supernet, and 5 epochs of training for the one that is reported",
        trials=340,
        initial_trials=100,
        recipe="paper",
        resolutions=(32,),
        inherited=True,
        tuning={"augmentation": "shift"},  # with which the supernet was trained
    ),
    "paper": Scale(
        "the paper's 340 candidates of 5 epochs and its kind of surrogate, but from "
        "random weights",
        trials=340,
        initial_trials=100,
        surrogate="mlp",
        recipe="paper",
    ),
}


@dataclass(frozen=True)
class Experiment:
    """One search, to be run once per seed.

    Attributes:
        name: Its name.
        method: One of `search.METHODS`.
        data: The data set.
        target_macs: Average MACs to aim at, a count in the `aebnas` convention.
        system: What publications call the method.
        space: Arguments of `search.SearchSpace` in addition to the method's.
        seeds: Which to run.
    """

    name: str
    method: str
    data: str
    target_macs: float
    system: str
    space: Mapping[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (1, 2, 3)

    def settings(self, scale: str, seed: int) -> Settings:
        """The search's settings at a scale.

        Raises:
            ValueError: There is no such scale.
        """
        from search import Settings, methods
        from zoo import training

        size = find(SCALES, "scale", scale)
        space = {"resolutions": size.resolutions} if size.resolutions else {}
        method = methods.get(self.method)
        if "resolutions" in method.space:
            space = {}
        changes = {} if size.epochs is None else {"epochs": size.epochs}
        if size.same_training:
            base = training.recipe(size.recipe)
            changes |= {name: getattr(base, name) for name in method.recipe}
        return Settings(
            data=size.data or self.data,
            method=self.method,
            trials=size.trials,
            target_macs=self.target_macs,
            convention=CONVENTION,
            seed=seed,
            initial_trials=size.initial_trials,
            batch_size=size.batch_size,
            surrogate=size.surrogate,
            space={**space, **self.space},
            recipe=size.recipe,
            recipe_changes=changes,
            train_images=size.train_images,
            supernet=f"aebnas_{self.data}" if size.inherited else None,
        )


EXPERIMENTS: dict[str, Experiment] = {}
"""The experiments by name."""


def register(experiment: Experiment) -> Experiment:
    """Add an experiment to those that `run`, `list` and tables know.

    Raises:
        ValueError: There is one of that name.
    """
    return add(EXPERIMENTS, "experiment", experiment.name, experiment)


def get(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ValueError: There is none.
    """
    return find(EXPERIMENTS, "experiment", name)


for _prefix, _data, _target in (
    ("cifar10", "cifar10", 2.44e6),
    ("svhn", "svhn_cropped", 1e6),
    ("cifar100", "cifar100", 17e6),
):
    for _method, _system in (
        ("aebnas", "AEBNAS"),
        ("edanas", "EDANAS"),
        ("nachos", "NACHOS"),
        ("static", "Static NAS"),
    ):
        register(Experiment(f"{_prefix}_{_method}", _method, _data, _target, _system))

# At three times the MACs, once each.
for _method, _system in (
    ("aebnas", "AEBNAS"),
    ("edanas", "EDANAS"),
    ("nachos", "NACHOS"),
):
    register(
        Experiment(
            f"cifar10_{_method}_7m",
            *(_method, "cifar10", 7.5e6, f"{_system}, 7.5 M"),
            seeds=(1,),
        )
    )

# The ablation of what is searched: the same search with every branch as EDANAS's.
register(
    Experiment(
        "cifar10_fixed_branches",
        *("aebnas", "cifar10", 2.44e6, "AEBNAS, fixed branches"),
        {"head": "fixed"},
    )
)

# The ablation of threshold tuning: the same search with thresholds given.
for _name, _threshold in (("01", 0.1), ("02", 0.2)):
    register(
        Experiment(
            f"cifar10_threshold_{_name}",
            *("aebnas", "cifar10", 2.44e6, f"AEBNAS, thresholds {_threshold}"),
            {"tune_thresholds": False, "thresholds": (_threshold, 1.0)},
        )
    )
