"""What lets `import zoo` take no Keras: names and classes that are imported when used.

A package's names are imported when they are used (PEP 562). When Keras is imported, it
learns where the classes of saved models are, and imports them when it loads such a
model.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import wrapt


def exports(
    package: str, names: Mapping[str, Sequence[str]], modules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The functions `__getattr__` and `__dir__` of a package with lazy names.

    Args:
        package: The package's `__name__`.
        names: What the package exports from each module, by the module's full name.
        modules: The package's modules that are attributes of it, too.

    Example:
        >>> __getattr__, __dir__ = exports(__name__, {"zoo.cost": ["macs"]}, ["cost"])
    """
    homes = {name: module for module, listed in names.items() for name in listed}
    modules = tuple(modules)

    def get(name: str) -> Any:
        if name in homes:
            value = getattr(importlib.import_module(homes[name]), name)
        elif name in modules:
            value = importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)  # found at once the next time
        return value

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes, *modules})

    return get, listed


class _Deferred:
    """Stands in Keras's table of classes for one whose module is not imported yet."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def from_config(self, config: dict[str, Any]) -> Any:
        """Import the class, which then registers itself, and make an object of it."""
        cls = getattr(importlib.import_module(self.module), self.name)
        return cls.from_config(config)


def register(classes: Mapping[str, str]) -> None:
    """Let `keras.saving.load_model` find classes before their modules are imported.

    Keras may be imported before or after; it is not imported here.

    Args:
        classes: The full name of the module of each class, by the name that
            `register_keras_serializable` gives it, such as "aebnas>BicubicResize".
    """

    def tell(keras: Any) -> None:
        known = keras.saving.get_custom_objects()
        for name, module in classes.items():
            known.setdefault(name, _Deferred(module, name.split(">")[-1]))

    wrapt.register_post_import_hook(tell, "keras")
