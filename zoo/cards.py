"""Model cards, rendered from a model's record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo.device_record import DeviceRecord
from zoo.exits import OperatingPoint, single_exit_accuracy
from zoo.model_record import DataRecord, ModelRecord, Report

FRONTIER_ROWS = 16
PRECISIONS = {
    None: "kernels in half precision",
    6: "large kernels in 6 bits, the others in half precision",
    8: "large kernels in 8 bits, the others in half precision",
    32: "in single precision",
}
LEGEND = (
    " On all images: ECE, the expected calibration error, is the gap between "
    "probability and accuracy; failure AUROC says how well the confidence tells right "
    "answers from wrong ones, from 0.5 (not at all) to 1 (always)."
)


def percent(share: float | None) -> str:
    """A share of 1 as a percentage with two decimals; a dash for None."""
    return "–" if share is None else f"{100 * share:.2f} %"


def million(macs: float) -> str:
    """MACs, a count, in millions."""
    return f"{macs / 1e6:.3f} M"


def exit_columns(result: Report) -> tuple[str, ...]:
    """Names of the columns of `exit_rows`."""
    others = [f"MACs ({name})" for name in result.macs if name != "standard"]
    return (
        *("exit", "threshold", "MACs", *others),
        *("share leaving", "accuracy of those", "accuracy on all"),
        *("ECE",) * (result.calibration_error is not None),
        *("failure AUROC",) * (result.failure_auroc is not None),
    )


def exit_rows(names: Sequence[str], result: Report) -> list[list[str]]:
    """One row per exit: name, threshold, MACs by convention, share, accuracies.

    Calibration error and failure AUROC follow if they were measured.

    Args:
        names: Of the exits.
        result: What was measured.
    """
    thresholds = [
        "off" if threshold == 1 else f"{threshold:g}" for threshold in result.thresholds
    ] + ["–"]
    columns = [
        list(names),
        thresholds,
        *(map(million, spent) for spent in result.macs.values()),
        map(percent, result.utilisation),
        map(percent, result.leaving_accuracy),
        map(percent, result.exit_accuracy),
    ]
    if result.calibration_error is not None:
        columns.append(map(percent, result.calibration_error))
    if result.failure_auroc is not None:
        columns.append(
            "–" if area is None else f"{area:.3f}" for area in result.failure_auroc
        )
    return [list(row) for row in zip(*columns)]


def summary(result: Report) -> str:
    """Sentences: accuracy by the exit rule, average MACs, and what the exits gain."""
    counted = [
        f"{million(average)} in the `{name}` convention"
        for name, average in result.average_macs.items()
        if name != "standard"
    ]
    sentences = [
        f"Accuracy by the exit rule: {percent(result.accuracy)} on "
        f"{result.samples:,} images, at {million(result.average_macs['standard'])} "
        f"average MACs{' (' if counted else ''}{', '.join(counted)}"
        f"{')' if counted else ''}."
    ]
    if result.gain_over_single_exits is not None:
        sentences.append(
            f"Gain over the best single exit at equal average MACs: "
            f"{100 * result.gain_over_single_exits:+.2f} points."
        )
    if result.oracle_accuracy is not None:
        sentences.append(
            f"Accuracy of an oracle that picks the right exit: "
            f"{percent(result.oracle_accuracy)}."
        )
    return " ".join(sentences)


def largest_gain(record: ModelRecord) -> tuple[float, OperatingPoint] | None:
    """Where the exit rule of a model gains most, on the validation split.

    Returns:
        The accuracy minus `zoo.exits.single_exit_accuracy` at the same average MACs, in
        -1..1, and the setting of the frontier where it is largest. None: not measured.
    """
    if record.results is None or not record.frontier:
        return None
    alone = record.results["validation"].exit_accuracy
    gains = [
        point.accuracy - single_exit_accuracy(alone, record.macs, point.average_macs)
        for point in record.frontier
    ]
    best = max(range(len(gains)), key=gains.__getitem__)
    return gains[best], record.frontier[best]


def thinned(points: Sequence[Any], count: int = FRONTIER_ROWS) -> list[Any]:
    """At most `count` points, spread evenly over the list, both ends kept."""
    if len(points) <= count:
        return list(points)
    return [points[round(i * (len(points) - 1) / (count - 1))] for i in range(count)]


def frontier_rows(points: Sequence[OperatingPoint]) -> list[list[str]]:
    """One row per operating point: average MACs, accuracy, thresholds, shares."""
    return [
        [
            million(point.average_macs),
            percent(point.accuracy),
            " ".join("off" if t == 1 else f"{t:g}" for t in point.thresholds),
            " ".join(f"{100 * share:.1f} %" for share in point.utilisation),
        ]
        for point in points
    ]


FRONTIER_COLUMNS = ("average MACs", "accuracy", "thresholds", "share leaving")


DEVICE_COLUMNS = (
    *("format", "size", "accuracy", "average MACs"),
    *("ms per image", "ms without exits"),
)


def device_rows(record: DeviceRecord) -> list[list[str]]:
    """One row per format: size, accuracy, average MACs, milliseconds, those without."""
    return [
        [
            row.name,
            "–" if row.bytes is None else f"{row.bytes / 1e6:.2f} MB",
            percent(first_of(row.tuned_accuracy, row.accuracy)),
            million(first_of(row.tuned_macs, row.average_macs)),
            f"{row.image_ms:.2f}",
            f"{row.static_ms:.2f}",
        ]
        for row in record.rows
    ]


def first_of(*values: float | None) -> float:
    """The first that is known."""
    return next(value for value in values if value is not None)


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def render(record: ModelRecord) -> str:
    """The model card of a record, Markdown text."""
    weights, results, data = record.weights, record.results, record.data
    size = ""
    if record.architecture is not None:
        side = record.architecture.resolution
        size = f"input {side} x {side}, "
    parts = [
        f"# {record.name}",
        f"An early-exit network of {record.num_classes} classes: "
        f"{weights.parameters:,} parameters, {size}{weights.bytes / 1e6:.1f} MB of "
        f"weights ({PRECISIONS[weights.bits]}). Exit rule: "
        f"{record.config['exit_rule']}. Generated from `config.json`.",
    ]
    if results and data:
        test = results["test"]
        parts += [
            "## Results on the test split",
            summary(test),
            markdown_table(exit_columns(test), exit_rows(record.exit_names, test)),
            "MACs are those that an image spends if it leaves at the exit. They "
            "include every exit in use before it."
            + LEGEND
            * (test.calibration_error is not None),
            "## Data",
            f"`{data.name}`, fingerprint `{data.fingerprint}`: {data.train:,} images "
            f"for training, {data.validation:,} for choosing thresholds, "
            f"{data.test:,} for the results above{_pixels(data)}.",
        ]
    if record.device is not None:
        found = record.device
        parts += [
            "## On a device",
            f"{found.device['processor']}, batch 1, one thread; all formats took turns "
            "in one process. Times are CPU times, 10th percentile. The last "
            "column is the same network with only its final exit: a static "
            f"network with an accuracy of {percent(found.static_accuracy)}, in the "
            "same format. Accuracy is that at the thresholds of the format, on "
            f"{found.images:,} test images.",
            markdown_table(DEVICE_COLUMNS, device_rows(found)),
        ]
    if record.notes:
        parts += ["## Notes", "\n".join(f"- {note}" for note in record.notes)]
    if record.training:
        parts += ["## Training", _facts(record.training)]
        if record.recipe and data:
            start = record.initial_weights
            again = (
                f"To train it again from `{start}` (unless that is a pretrained "
                "model, the notes should say how to make it):"
                if start
                else "To train it again:"
            )
            parts += [again, f"```\n{_command(record)}\n```"]
    if record.frontier:
        points = thinned(record.frontier)
        parts += [
            "## Threshold frontier",
            f"{len(points)} of the {len(record.frontier)} Pareto-optimal settings "
            "on the validation split, in standard MACs; `model.set_budget` chooses "
            "among all of them." + _gain(record),
            markdown_table(FRONTIER_COLUMNS, frontier_rows(points)),
        ]
    parts += ["## Weights", f"SHA-256 `{weights.sha256}`."]
    return "\n\n".join(parts) + "\n"


def _gain(record: ModelRecord) -> str:
    """How much the exit rule gains on the validation split, at most."""
    largest = largest_gain(record)
    if largest is None:
        return ""
    gain, point = largest
    return (
        " The largest gain over the best single exit at equal average MACs is "
        f"{100 * gain:+.2f} points, at {million(point.average_macs)}."
    )


def _pixels(data: DataRecord) -> str:
    """How large the images are, if that is noted."""
    if data.image_size is None:
        return ""
    return f"; {data.image_size[0]} x {data.image_size[1]} pixels"


def _command(record: ModelRecord) -> str:
    """The command that repeats the recorded training."""
    facts, recipe = record.training or {}, record.recipe or {}
    source = "--architecture"
    if record.initial_weights:
        source = "--initial-weights"
    elif facts.get("backbone"):
        source = "--backbone"
    chosen = facts.get("thresholds") or {}
    weights = record.config.get("exit_weights") or ()
    options = {
        source: record.initial_weights or facts.get("backbone") or record.name,
        "--resolution": facts.get("resolution"),
        "--exits": " ".join(facts.get("exits") or ()) or None,
        "--head": facts.get("head"),
        "--teacher": facts.get("teacher"),
        "--data": record.data and record.data.name,
        "--size": facts.get("size"),
        "--no-flip": "" if facts.get("flip") is False else None,
        "--recipe": recipe.get("name"),
        "--epochs": recipe.get("epochs"),
        "--batch-size": recipe.get("batch_size"),
        "--learning-rate": recipe.get("learning_rate"),
        "--weight-decay": recipe.get("weight_decay"),
        "--distillation": recipe.get("distillation"),
        "--exit-weights": " ".join(f"{weight:g}" for weight in weights) or None,
        "--max-macs": chosen.get("max_macs"),
        "--least-gain": chosen.get("least_gain"),
        "--target-macs": chosen.get("target_macs"),
        "--convention": chosen.get("convention"),
        "--weight-bits": record.weights.bits,
        "--seed": facts.get("seed"),
        "--out": "DIR",
    }
    given = (
        f"{key} {value}".rstrip() for key, value in options.items() if value is not None
    )
    return " \\\n  ".join(["aebnas zoo train", *given])


def _facts(facts: dict[str, Any]) -> str:
    lines = []
    for key, value in facts.items():
        if key == "recipe":
            value = _used(value)
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items() if v is not None)
        if value is not None:
            lines.append(f"- {key.replace('_', ' ')}: {value}")
    return "\n".join(lines)


SOFT_EXITS = ("phases", "macs_limit", "convention", "cost_weight", "peak_weight")


def _used(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe without the fields of soft exits, if it trains without."""
    if recipe.get("soft_exits"):
        return recipe
    unused = ("soft_exits", *SOFT_EXITS)
    return {key: value for key, value in recipe.items() if key not in unused}
