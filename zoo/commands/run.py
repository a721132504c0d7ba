"""The commands evaluate and predict: run a model on data or on pictures."""

from __future__ import annotations

import argparse
from typing import Any

from zoo.commands import options as shared
from zoo.terminal import CommandLine, add_json, print_json, print_table


def add(commands: CommandLine) -> None:
    """Declare the commands."""
    sub = commands.command(
        "evaluate",
        evaluate,
        "Measure accuracy, share and MACs of every exit.",
        "Prints for every exit also the expected calibration error (ECE) and how well\n"
        "its confidence tells right answers from wrong ones (failure AUROC), and for\n"
        "the network the gain over the best single exit at equal average MACs. See\n"
        "docs/calibration.md.\n\n"
        "The digits come with scikit-learn. CIFAR-10, CIFAR-100 and SVHN are read\n"
        "from --data-dir, or downloaded by tensorflow-datasets if it is installed.",
        keras=True,
    )
    shared.add_model(sub)
    shared.add_data(sub)
    sub.add_argument("--split", choices=("test", "validation", "train"), default="test")
    shared.add_budget(sub).add_argument(
        "--thresholds",
        metavar="T,T,...",
        help="one per exit, 0 to 1; 1 switches an exit off (default: the model's)",
    )
    sub.add_argument(
        "--update",
        action="store_true",
        help="measure the validation and test splits at the model's own thresholds "
        "and write its record and card anew",
    )
    add_json(sub)

    sub = commands.command(
        "predict",
        predict,
        "Classify picture files, computing no more than each needs.",
        "Reads any format that Pillow reads, and resizes the square in the middle to\n"
        "the network's input.",
        keras=True,
    )
    shared.add_model(sub)
    sub.add_argument("images", nargs="+", metavar="FILE")
    add_json(sub)


def evaluate(options: argparse.Namespace) -> None:
    """Measure a model on a split of a data set."""
    from zoo import cards, measure, records, registry

    chosen = (options.thresholds, options.max_macs, options.target_macs)
    if options.update and (
        options.split == "train" or any(c is not None for c in chosen)
    ):
        raise ValueError(
            "--update measures the validation and test splits at the model's own "
            "thresholds; leave out --thresholds, --max-macs, --target-macs and "
            "--split train."
        )
    model, dataset = shared.model_and_data(options)
    if options.update:
        result = registry.update(options.model, dataset).results[options.split]
    else:
        if options.thresholds is not None:
            model.thresholds = _floats(options.thresholds)
        shared.choose_thresholds(model, dataset, options)
        split = getattr(dataset, options.split)
        logits = measure.predict(model, split.images)
        result = measure.report(model, logits, split.labels)
    if options.json:
        return print_json(
            {
                "model": model.name,
                "data": dataset.name,
                "fingerprint": dataset.fingerprint,
                "split": options.split,
                **records.to_dict(result),
            }
        )
    rows = cards.exit_rows(model.exit_names(), result)
    print(f"{model.name} on the {options.split} split of {dataset.name}")
    print_table(cards.exit_columns(result), rows)
    print(cards.summary(result))


def _floats(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"--thresholds is {text!r}; expected numbers such as 0.3,0.5."
        ) from None


def predict(options: argparse.Namespace) -> None:
    """Classify picture files."""
    from zoo import pictures, registry
    from zoo.cards import million, percent

    model = registry.load(options.model)
    names = model.exit_names()
    costs = model.macs.per_exit_at(model.thresholds)
    answers: list[dict[str, Any]] = []
    for path in options.images:
        picture = pictures.middle(pictures.read(path))
        prediction = model.predict_early(picture[None])
        label, leaving = int(prediction.labels[0]), int(prediction.exits[0])
        answers.append(
            {
                "file": str(path),
                "label": label,
                "class": model.class_names[label] if model.class_names else str(label),
                "probability": float(prediction.probabilities[0, label]),
                "confidence": float(prediction.confidences[0]),
                "exit": names[leaving],
                "macs": costs[leaving],
            }
        )
    if options.json:
        return print_json(answers)
    print_table(
        ("file", "class", "probability", "exit", "MACs"),
        [
            [
                answer["file"],
                answer["class"],
                percent(answer["probability"]),
                answer["exit"],
                million(answer["macs"]),
            ]
            for answer in answers
        ],
    )
