"""Model cards, rendered from a model's record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

FRONTIER_ROWS = 16


def percent(share: float | None) -> str:
    """A share of 1 as a percentage with two decimals; a dash for None."""
    return "–" if share is None else f"{100 * share:.2f} %"


def million(macs: float) -> str:
    """MACs, a count, in millions."""
    return f"{macs / 1e6:.3f} M"


def exit_names(model: dict[str, Any]) -> list[str]:
    """What to call the exits of a recorded model, the final classifier last."""
    branches = model["architecture"]["branches"]
    return [
        f"after stage {i}" for i, branch in enumerate(branches, 1) if branch is not None
    ] + ["final"]


def exit_rows(model: dict[str, Any], result: dict[str, Any]) -> list[list[str]]:
    """One row per exit: name, threshold, MACs by convention, share, accuracies."""
    thresholds = [
        "off" if threshold == 1 else f"{threshold:g}"
        for threshold in result["thresholds"]
    ] + ["–"]
    return [
        [name, threshold, million(standard), million(aebnas), *map(percent, shares)]
        for name, threshold, standard, aebnas, *shares in zip(
            exit_names(model),
            thresholds,
            result["macs"]["standard"],
            result["macs"]["aebnas"],
            result["utilisation"],
            result["leaving_accuracy"],
            result["exit_accuracy"],
        )
    ]


EXIT_COLUMNS = (
    "exit",
    "threshold",
    "MACs",
    "MACs (aebnas)",
    "share leaving",
    "accuracy of those",
    "accuracy on all",
)


def summary(result: dict[str, Any]) -> str:
    """One sentence: accuracy by the exit rule and average MACs."""
    average = result["average_macs"]
    return (
        f"Accuracy by the exit rule {percent(result['accuracy'])} on "
        f"{result['samples']:,} images, at {million(average['standard'])} average MACs "
        f"({million(average['aebnas'])} in the `aebnas` convention)."
    )


def thinned(points: Sequence[Any], count: int = FRONTIER_ROWS) -> list[Any]:
    """At most `count` points, spread evenly over the list, both ends kept."""
    if len(points) <= count:
        return list(points)
    return [points[round(i * (len(points) - 1) / (count - 1))] for i in range(count)]


def frontier_rows(points: Sequence[dict[str, Any]]) -> list[list[str]]:
    """One row per operating point: average MACs, accuracy, thresholds, shares."""
    return [
        [
            million(point["average_macs"]),
            percent(point["accuracy"]),
            " ".join("off" if t == 1 else f"{t:g}" for t in point["thresholds"]),
            " ".join(f"{100 * share:.1f} %" for share in point["utilisation"]),
        ]
        for point in points
    ]


FRONTIER_COLUMNS = ("average MACs", "accuracy", "thresholds", "share leaving")


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def render(record: dict[str, Any]) -> str:
    """The model card of a record, Markdown text.

    Args:
        record: What `zoo.registry.config` returns.
    """
    model, weights = record["model"], record["weights"]
    side = model["architecture"]["resolution"]
    parts = [
        f"# {record['name']}",
        f"An early-exit network of {model['num_classes']} classes: "
        f"{weights['parameters']:,} parameters, input {side} x {side}, "
        f"{weights['bytes'] / 1e6:.1f} MB of weights (kernels in half precision). "
        f"Exit rule: {model['exit_rule']}. Generated from `config.json`.",
    ]
    if "results" in record:
        data = record["data"]
        parts += [
            "## Results on the test split",
            summary(record["results"]["test"]),
            markdown_table(EXIT_COLUMNS, exit_rows(model, record["results"]["test"])),
            "MACs are those spent by an image that leaves at the exit, every exit in "
            "use before it included.",
            "## Data",
            f"`{data['name']}`, fingerprint `{data['fingerprint']}`: "
            f"{data['train']:,} images for training, {data['validation']:,} for "
            f"choosing thresholds, {data['test']:,} for the results above.",
        ]
    if record["notes"]:
        parts += ["## Notes", "\n".join(f"- {note}" for note in record["notes"])]
    if record["training"]:
        parts += ["## Training", _facts(record["training"])]
        if "recipe" in record["training"] and "data" in record:
            start = record["training"].get("start")
            again = (
                f"To train it again from `{start}`, which has to be trained first "
                "unless it is a pretrained model:"
                if start
                else "To train it again:"
            )
            parts += [again, f"```\n{_command(record)}\n```"]
    if record.get("frontier"):
        points = thinned(record["frontier"])
        parts += [
            "## Threshold frontier",
            f"{len(points)} of the {len(record['frontier'])} Pareto-optimal settings "
            "on the validation split, in standard MACs; `model.set_budget` chooses "
            "among all of them.",
            markdown_table(FRONTIER_COLUMNS, frontier_rows(points)),
        ]
    parts += ["## Weights", f"SHA-256 `{weights['sha256']}`."]
    return "\n\n".join(parts) + "\n"


def _command(record: dict[str, Any]) -> str:
    """The command that repeats the recorded training."""
    facts, recipe = record["training"], record["training"]["recipe"]
    source = "--start" if facts.get("start") else "--architecture"
    chosen = facts.get("thresholds") or {}
    options = {
        source: facts.get("start") or record["name"],
        "--teacher": facts.get("teacher"),
        "--data": record["data"]["name"],
        "--recipe": recipe.get("name"),
        "--epochs": recipe.get("epochs"),
        "--batch-size": recipe.get("batch_size"),
        "--learning-rate": recipe.get("learning_rate"),
        "--weight-decay": recipe.get("weight_decay"),
        "--distillation": recipe.get("distillation"),
        "--exit-weights": " ".join(
            f"{weight:g}" for weight in record["model"]["exit_weights"] or ()
        )
        or None,
        "--max-macs": chosen.get("max_macs"),
        "--target-macs": chosen.get("target_macs"),
        "--convention": chosen.get("convention"),
        "--seed": facts.get("seed"),
        "--out": "DIR",
    }
    given = (f"{key} {value}" for key, value in options.items() if value is not None)
    return " \\\n  ".join(["python -m zoo train", *given])


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
