"""Checks of the settings of a search for exits on a backbone."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from search.backbone.space import ExitSpace

if TYPE_CHECKING:
    from search.methods import Method
    from search.settings import Settings

HEADS_RECIPE = "heads"
EXIT_OPTIONS = ("places", "heads", "max_exits")  # that the paper's space has not
FOREIGN = ("initial_weights", "supernet")


def check_backbone(settings: Settings, method: Method) -> None:
    """Raise a ValueError if a setting makes no sense where a backbone is given."""
    for name in FOREIGN:
        if getattr(settings, name, None) is not None:
            raise ValueError(
                f"{name} is given, and so is a backbone, which has its own weights; "
                "leave one of them out."
            )
    if method.space or method.recipe:
        from search.methods import METHODS

        usable = [m.name for m in METHODS.values() if not (m.space or m.recipe)]
        raise ValueError(
            f"The method {method.name} is for the paper's search space; with a "
            f"backbone, choose from {', '.join(usable)}."
        )
    for name in settings.space:
        if name not in inspect.signature(ExitSpace).parameters:
            raise ValueError(
                f"{name} is an option of the paper's search space; with a backbone, "
                f"leave it out, or choose from {', '.join(EXIT_OPTIONS)}."
            )
    if settings.recipe != HEADS_RECIPE:
        raise ValueError(
            f"recipe is {settings.recipe!r}; expected {HEADS_RECIPE!r}, because the "
            "weights of a backbone stay as they are."
        )
    if settings.convention != "standard":
        raise ValueError(
            f"convention is {settings.convention!r}; the MACs of a backbone can be "
            "counted only as 'standard'."
        )
