"""Training: recipes, one compiled step with augmentation in it, resume after a kill."""

from typing import TYPE_CHECKING

from zoo import lazy
from zoo.training.recipes import RECIPES, Recipe, recipe

if TYPE_CHECKING:
    from zoo.training.loop import TrainingResult, train
    from zoo.training.teachers import teacher_logits
    from zoo.training.trainer import augment
else:
    __getattr__, __dir__ = lazy.exports(
        __name__,
        {
            "zoo.training.loop": ("TrainingResult", "train"),
            "zoo.training.teachers": ("teacher_logits",),
            "zoo.training.trainer": ("augment",),
        },
    )

__all__ = [
    "RECIPES",
    "Recipe",
    "TrainingResult",
    "augment",
    "recipe",
    "teacher_logits",
    "train",
]
