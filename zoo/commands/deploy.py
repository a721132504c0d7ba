"""The command export: write what runs a network on a device."""

from __future__ import annotations

import argparse
import pathlib
from typing import TYPE_CHECKING, Any

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
    from zoo.data import Split
    from zoo.model import EarlyExitModel


def add(commands: CommandLine) -> None:
    """Declare the command."""
    sub = commands.command(
        "export",
        export,
        "Write a folder from which a network runs without TensorFlow, and still skips.",
        "The folder holds a file per segment, manifest.json, and run.py, which needs\n"
        "NumPy and ai-edge-litert or onnxruntime. The files are compared with the\n"
        "model on the validation split of its data set, or on random noise if there\n"
        "are no data. See docs/deploy.md.",
        keras=True,
    )
    shared.add_model(sub)
    sub.add_argument(
        "--out", type=pathlib.Path, required=True, metavar="DIR", help="folder to write"
    )
    sub.add_argument(
        "--format",
        default="litert",
        help="litert or onnx (default: litert)",
    )
    sub.add_argument(
        "--quantization",
        help="float16, dynamic (weights in 8 bits) or int8 (weights and features in 8 "
        "bits); default: none",
    )
    shared.add_data(sub)
    shared.add_stored_budget(sub)
    sub.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="use at most N images to verify the export and to calibrate int8",
    )
    add_json(sub)


def export(options: argparse.Namespace) -> None:
    """Export a model."""
    from zoo import records
    from zoo.deploy.export import export

    model, split, described = _model_and_images(options)
    shared.stored_thresholds(model, options)
    given: dict[str, Any] = {}
    if split is not None:
        split = split.take(options.images)
        given = {"images": split.images, "labels": split.labels, "described": described}
    manifest = export(
        *(model, options.out, options.format, options.quantization),
        progress=show_progress,
        **given,
    )
    show_progress("")
    if options.json:
        return print_json(records.to_dict(manifest))
    print_table(
        ("file", "exit", "bytes"),
        [
            [each.file, manifest.exit_names[each.exit], f"{each.bytes:,}"]
            for each in manifest.segments
        ],
    )
    found = manifest.agreement
    print(
        f"On {found.count:,} images ({found.images}): {found.equal_exits:.2%} leave at "
        f"the same exit as in the model and {found.equal_labels:.2%} get the same "
        f"label; logits differ by up to {found.largest_logit_difference:.2g}."
    )
    if found.accuracy is not None:
        print(
            f"Accuracy {found.accuracy:.2%} at {found.average_macs:,.0f} average MACs; "
            f"the model has {found.model_accuracy:.2%} at "
            f"{found.model_average_macs:,.0f}."
        )


def _model_and_images(
    options: argparse.Namespace,
) -> tuple[EarlyExitModel, Split | None, str]:
    """The model, and the validation split of its data set if that is at hand."""
    from zoo import registry

    try:
        model, dataset = shared.model_and_data(options)
    except (ValueError, OSError) as error:
        if options.data is not None:
            raise
        model = registry.load(options.model)
        complain(options, f"verifying on noise, as there are no images: {error}")
        return model, None, ""
    return model, dataset.validation, f"validation split of {dataset.name}"
