"""The commands evaluate and predict: run a model on data or on pictures."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.commands import options as shared
from zoo.terminal import (
    CommandLine,
    add_json,
    complain,
    print_json,
    print_table,
    show_progress,
)

if TYPE_CHECKING:
    from zoo.model import EarlyExitModel


def add(commands: CommandLine) -> None:
    """Declare the commands."""
    sub = commands.command(
        "evaluate",
        evaluate,
        "Measure accuracy, share and MACs of every exit.",
        "For every exit, it also prints the expected calibration error (ECE) and how\n"
        "well the confidence separates correct answers from wrong ones (failure\n"
        "AUROC), and for the network, the gain over the best single exit at equal\n"
        "average MACs. See docs/calibration.md.\n\n"
        "The digits come with scikit-learn. CIFAR-10, CIFAR-100 and SVHN are read\n"
        "from --data-dir, or downloaded by tensorflow-datasets if it is installed.",
        keras=True,
    )
    shared.add_model(sub)
    shared.add_data(sub)
    sub.add_argument(
        "--split",
        choices=("test", "validation", "train"),
        default="test",
        help="split to measure (default: test)",
    )
    shared.add_thresholds(shared.add_budget(sub))
    sub.add_argument(
        "--update",
        action="store_true",
        help="measure the validation and test splits at the model's own thresholds "
        "and rewrite its record and card",
    )
    add_json(sub)

    sub = commands.command(
        "predict",
        predict,
        "Classify picture files; easy ones leave the network early.",
        "Reads any format that Pillow reads, and resizes the central square to the\n"
        "network's input. Files that cannot be read are named at the end, and the\n"
        "exit status is then 1.",
        keras=True,
    )
    shared.add_model(sub)
    sub.add_argument(
        "images", nargs="+", metavar="FILE", help="a picture, or a folder of pictures"
    )
    shared.add_stored_budget(sub)
    sub.add_argument(
        "--top",
        type=int,
        default=1,
        metavar="N",
        help="how many of the most likely classes to name (default: 1)",
    )
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


def predict(options: argparse.Namespace) -> int:
    """Classify picture files; those that cannot be read do not stop the others."""
    from zoo import registry
    from zoo.checks import whole_number

    top = whole_number("--top", options.top, 1)
    model = registry.load(options.model)
    shared.stored_thresholds(model, options)
    answers: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for path, picture in _pictures(options.images):
        if isinstance(picture, ValueError):
            failures.append({"file": str(path), "error": str(picture)})
        else:
            show_progress(str(path))
            answers.append({"file": str(path), **_answer(model, picture, top)})
    show_progress("")
    if options.json:
        print_json([*answers, *failures])
    elif answers:
        _print_answers(answers, top)
    for failure in failures:
        complain(options, failure["error"])
    return 1 if failures else 0


def _pictures(
    names: Sequence[str],
) -> Iterator[tuple[str | pathlib.Path, np.ndarray | ValueError]]:
    """Each picture file with its pixels, or with why it cannot be read."""
    from zoo import pictures

    for name in names:
        try:
            paths = pictures.find(name)
        except ValueError as error:
            yield name, error
            continue
        for path in paths:
            try:
                yield path, pictures.read(path)
            except ValueError as error:
                yield path, error


def _answer(model: EarlyExitModel, picture: np.ndarray, top: int) -> dict[str, Any]:
    """What the model says of a picture, as JSON shows it."""
    from zoo import pictures

    prediction = model.predict_early(pictures.middle(picture)[None])
    (leaving,), (probabilities,) = prediction.exits, prediction.probabilities
    likeliest = [
        {
            "label": int(label),
            "class": model.class_names[label] if model.class_names else str(label),
            "probability": float(probabilities[label]),
        }
        for label in np.argsort(-probabilities, kind="stable")[:top]
    ]
    return {
        **likeliest[0],
        "confidence": float(prediction.confidences[0]),
        "exit": model.exit_names()[leaving],
        "macs": model.macs.per_exit_at(model.thresholds)[leaving],
        **({"top": likeliest} if top > 1 else {}),
    }


def _print_answers(answers: Sequence[dict[str, Any]], top: int) -> None:
    from zoo.cards import million, percent

    rows = []
    for answer in answers:
        others = ", ".join(
            f"{other['class']} {percent(other['probability'])}"
            for other in answer.get("top", ())[1:]
        )
        rows.append(
            [
                *(answer["file"], answer["class"], percent(answer["probability"])),
                *([others] if top > 1 else []),
                *(answer["exit"], million(answer["macs"])),
            ]
        )
    also = ["then"] if top > 1 else []
    print_table(("file", "class", "probability", *also, "exit", "MACs"), rows)
