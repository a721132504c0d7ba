"""Training: recipes, one compiled step with augmentation in it, resume after a kill."""

from zoo.training.loop import TrainingResult, train
from zoo.training.recipes import RECIPES, Recipe, recipe
from zoo.training.trainer import augment

__all__ = ["RECIPES", "Recipe", "TrainingResult", "augment", "recipe", "train"]
