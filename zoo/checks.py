"""Checks of user input, with messages that name field, value and options."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from zoo.names import unknown
from zoo.runtime import RULES


def require(field: str, value: Any, options: Sequence[int]) -> int:
    """Return `value` as a plain int, or raise if it is not one of `options`."""
    if isinstance(value, (bool, str)) or value not in options:
        listed = ", ".join(map(str, options))
        raise ValueError(f"{field} is {value!r}; choose from {listed}.")
    return int(value)


def choose(instance: Any, name: str, options: Sequence[int]) -> None:
    """Validate one field of a frozen data class and store it as a plain int."""
    field = f"{type(instance).__name__}.{name}"
    object.__setattr__(instance, name, require(field, getattr(instance, name), options))


def check_thresholds(
    thresholds: Sequence[float], field: str = "thresholds", count: int | None = None
) -> tuple[float, ...]:
    """Return the thresholds as floats, or raise a ValueError that names the bad one."""
    if not isinstance(thresholds, Iterable) or isinstance(thresholds, str):
        raise ValueError(f"{field} is {thresholds!r}; expected one number per exit.")
    thresholds = tuple(thresholds)
    if count is not None:
        require_length(field, thresholds, count)
    for i, threshold in enumerate(thresholds):
        if not isinstance(threshold, numbers.Real) or not 0 <= threshold <= 1:
            raise ValueError(f"{field}[{i}] is {threshold!r}; expected 0 to 1.")
    return tuple(float(threshold) for threshold in thresholds)


def read_fields(kind: type, data: Any, field: str, optional: Sequence[str] = ()) -> Any:
    """Build the data class `kind` from the dictionary found at `field`."""
    check_fields(field, data, kind, optional)
    try:
        return kind(**data)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{field}: {error}") from error


def check_fields(
    field: str, data: Any, kind: type, optional: Sequence[str] = ()
) -> None:
    """Raise if `data` is no dictionary of the fields of the data class `kind`."""
    if not isinstance(data, Mapping):
        raise ValueError(f"{field} is {data!r}; expected an object with fields.")
    names = [f.name for f in fields(kind)]
    unknown = sorted(set(data) - set(names))
    missing = [n for n in names if n not in data and n not in optional]
    if unknown or missing:
        wrong = [f"unknown fields {unknown}"] * bool(unknown)
        wrong += [f"missing fields {missing}"] * bool(missing)
        raise ValueError(f"{field} has {' and '.join(wrong)}; expected {names}.")


def list_of(field: str, value: Any, expected: str = "a list") -> list:
    """Return a list or tuple as a list, or raise."""
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{field} is {value!r}; expected {expected}.")
    return list(value)


def tuple_of(field: str, value: Any) -> tuple:
    """Return a list or tuple as a tuple, or raise."""
    return tuple(list_of(field, value))


def require_length(field: str, value: Sequence[Any], count: int) -> None:
    """Raise if a sequence has another number of entries."""
    if len(value) != count:
        raise ValueError(f"{field} has {len(value)} entries; expected {count}.")


def require_types(field: str, values: Sequence[Any], kinds: Any) -> None:
    """Raise if an entry is no instance of one of the `kinds`."""
    for i, value in enumerate(values):
        if not isinstance(value, kinds):
            names = [
                "None" if kind is type(None) else kind.__name__
                for kind in (kinds if isinstance(kinds, tuple) else (kinds,))
            ]
            raise ValueError(
                f"{field}[{i}] is {value!r}; expected {' or '.join(names)}."
            )


def check_logits(logits: Any) -> np.ndarray:
    """Return logits in single precision, or raise a ValueError.

    Args:
        logits: Shape `(samples, exits, classes)`.
    """
    logits = np.asarray(logits)
    if logits.ndim != 3 or logits.shape[-1] < 2:
        raise ValueError(
            f"logits have the shape {logits.shape}; expected "
            "(samples, exits, classes) with two classes or more."
        )
    with np.errstate(over="ignore"):
        logits = logits.astype(np.float32, copy=False)
    if not np.isfinite(logits).all():
        raise ValueError("logits hold values that are not finite in single precision.")
    return logits


def check_labels(labels: Any, samples: int, num_classes: int) -> np.ndarray:
    """Return the labels as integers of shape `(samples,)`, or raise a ValueError."""
    labels = np.asarray(labels)
    if labels.shape == (samples, 1):
        labels = labels[:, 0]
    if labels.shape != (samples,):
        raise ValueError(
            f"labels have the shape {labels.shape}; expected ({samples},)."
        )
    if not samples:
        raise ValueError("There are no samples.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels are {labels.dtype}; expected integers.")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels lie in {labels.min()}..{labels.max()}; expected "
            f"0..{num_classes - 1} for {num_classes} classes."
        )
    return labels


def check_rule(rule: str) -> None:
    """Raise a ValueError if there is no such exit rule."""
    if rule not in RULES:
        raise ValueError(unknown("exit rule", rule, RULES))
