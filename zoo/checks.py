"""Checks of user input, with messages that name field, value and options."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from zoo.names import find
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


def whole_number(field: str, value: Any, least: int) -> int:
    """Return `value` as a plain int, or raise if it is none or below `least`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{field} is {value!r}; expected a whole number.")
    if value < least:
        raise ValueError(f"{field} is {value}; expected {least} or more.")
    return int(value)


def check_number(field: str, value: Any) -> None:
    """Raise a ValueError if `value` is no real number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise ValueError(f"{field} is {value!r}; expected a number.")


def check_target(field: str, value: Any) -> None:
    """Raise a ValueError if a number to aim at is not more than 0 and finite."""
    check_number(field, value)
    if not 0 < value < math.inf:  # so written, NaN is refused, too
        raise ValueError(f"{field} is {value!r}; expected more than 0.")


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


def check_weights(
    field: str, weights: Sequence[float], count: int
) -> tuple[float, ...]:
    """Return the weights of `count` exits as floats, or raise a ValueError."""
    if len(weights) != count:
        raise ValueError(
            f"{field} has {len(weights)} entries; expected {count}, the final "
            "classifier's last."
        )
    weights = tuple(map(float, weights))
    for i, weight in enumerate(weights):
        if not 0 <= weight < math.inf:  # so written, NaN is refused, too
            raise ValueError(f"{field}[{i}] is {weight}; expected a number from 0.")
    return weights


def check_shares(field: str, shares: Sequence[float | None], count: int) -> None:
    """Raise a ValueError unless there are `count` numbers in 0..1; None is skipped."""
    require_length(field, shares, count)
    for share in shares:
        if share is not None and not 0 <= share <= 1 + 1e-6:  # NaN is refused, too
            raise ValueError(f"{field} holds {share}; expected 0 to 1.")


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
    """Return the labels as integers of shape `(samples,)`, or raise a ValueError.

    Args:
        labels: Integers of shape `(samples,)` or `(samples, 1)`, or the probabilities
            of all classes, shape `(samples, num_classes)`: one-hot labels, also those
            that label smoothing or mixup made soft. Their likeliest class counts.
        samples: How many there have to be.
        num_classes: Number of classes.
    """
    labels = np.asarray(labels)
    if labels.shape == (samples, 1):
        labels = labels[:, 0]
    if labels.shape == (samples, num_classes):
        labels = _likeliest(labels)
    if labels.shape != (samples,):
        raise ValueError(
            f"labels have the shape {labels.shape}; expected ({samples},), or "
            f"({samples}, {num_classes}) for one-hot labels."
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


def check_answers(logits: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Logits and the labels of the same samples; see the two checks."""
    logits = check_logits(logits)
    return logits, check_labels(labels, len(logits), logits.shape[-1])


def _likeliest(probabilities: np.ndarray) -> np.ndarray:
    """The classes of one-hot or soft labels, which are checked."""
    if probabilities.dtype.kind not in "biuf":
        raise ValueError(f"labels are {probabilities.dtype}; expected numbers.")
    sums = probabilities.sum(1, dtype=float)
    if not (probabilities >= 0).all() or not np.allclose(sums, 1, atol=1e-2):
        raise ValueError(
            "labels have a column per class, but a row is not a distribution; expected "
            "numbers of 0 or more that add up to 1."
        )
    return probabilities.argmax(1)


def check_rule(rule: str) -> None:
    """Raise a ValueError if there is no such exit rule."""
    find(RULES, "exit rule", rule)
