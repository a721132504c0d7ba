"""The page `docs/results.md`: everything that was measured, from the records."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass

from reproduce import tables
from reproduce.records import RESULTS

COMMAND = "python -m reproduce results-page --out docs/results.md"
SCORED = ("system", "accuracy (%)", "average MACs (M, aebnas)", "seeds", "score")


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        heading: Its title.
        text: What was measured, before the table.
        table: One of `tables.TABLES`.
        columns: Of the table, to show; empty: all.
        remark: Whether to print the table's remark.
    """

    heading: str
    text: str
    table: str
    columns: tuple[str, ...] = ()
    remark: bool = True


SECTIONS = (
    Section(
        "Models",
        "The pretrained models. Accuracy is that of the exit rule on the test split; "
        "MACs are averages over that split. Thresholds were chosen on images held out "
        "of the training split. Epochs are those of the last stage of training; the "
        "medium and the two large models were trained in stages, and the decision to "
        "train further was made with the test accuracy known. "
        "`python -m zoo show NAME` prints the rest: every exit, the data and its "
        "fingerprint, recipe, seed and versions.",
        "models",
    ),
    Section(
        "Test pictures that are JPEG copies",
        "32 of the 10,000 test pictures of the copy of CIFAR-10 used here are JPEG "
        "copies. The models with them and without "
        "(`python -m reproduce exact`):",
        "pixel_exact",
    ),
    Section(
        "What branches and exits gain",
        "Three networks of about 2.4 M average MACs, trained for the same number of "
        "epochs on CIFAR-10, one seed each. The static network is trained without "
        "distillation, because its final exit is not trained.",
        "baselines",
    ),
    Section(
        "The search against a guess",
        "`aebnas_cifar10_small` was found by a search. The other network was designed "
        "by hand: resolution 40, exits after stages 2 and 3. Both were trained in the "
        "same way, one seed each, and the choice between them was made on the "
        "validation split, with the test accuracy of the second known. A tenth of a "
        "point is less than one seed can show.",
        "guess",
    ),
    Section(
        "Speed of skipping",
        "Images per second of `predict_early` and of the full network, measured in "
        "turns (`python -m zoo benchmark aebnas_cifar10_small`). Beside the measured "
        "speed-up are the one that the times of the network's segments allow, and the "
        "one that would follow from MACs alone.",
        "skipping",
    ),
    Section(
        "Fine-tuning",
        "A pretrained model and the same network from random weights, both with new "
        "classifiers, trained on the digits with Keras's Adam "
        "(`python -m reproduce finetune`):",
        "finetune",
    ),
    Section(
        "The paper's comparison, at a reduced scale",
        "Searches on CIFAR-10: 24 candidates of 2 epochs on 5,000 images, from random "
        "weights, all methods trained in the same way. Mean ± sample standard "
        "deviation over the seeds, on the test split, MACs in the `aebnas` convention. "
        "The score is accuracy in percent, minus a tenth of the deviation from 2.44 M "
        "average MACs in percent. After so short a training the accuracies are far "
        "below the published ones; only the order can be compared, and three seeds "
        "cannot separate neighbours. NACHOS is trained like the others here; what "
        "remains of it is a limit in place of the target. "
        "`python -m reproduce table cifar10` sets published figures beside these.",
        "searches",
        SCORED,
    ),
    Section(
        "The same searches, with thresholds chosen in the same way",
        "How much of the difference between the methods is due to their thresholds?",
        "thresholds",
    ),
    Section(
        "Ablation: tuned or fixed thresholds",
        "The same search with one threshold given for all exits, each of which is "
        "still on or off. Tuned thresholds are the best of 0.1, 0.2 and off at every "
        "exit, after training:",
        "ablation",
        SCORED,
        remark=False,
    ),
    Section(
        "Search methods on digits",
        "Does a search beat random candidates? 2 epochs on 640 digits, resolution 32, "
        "no target. The methods share the random candidates of a seed. Hypervolume "
        "of error and average MACs (`python -m reproduce oracles`):",
        "oracles",
    ),
    Section(
        "Surrogates",
        "Each of the 32 candidates of the authors' archive, predicted from the other "
        "31 (`python -m reproduce surrogates`):",
        "surrogates",
        (
            *("surrogate", "kind", "candidates", "target", "RMSE", "Spearman"),
            *("Kendall",),
        ),
    ),
)


def render(results: str | os.PathLike = RESULTS) -> str:
    """The page, Markdown text.

    Args:
        results: Folder of records.

    Raises:
        FileNotFoundError: The folder, or a record that the page needs, is missing.
        ValueError: A record is damaged.
    """
    parts = [
        "# Results",
        f"Generated from the records in `reproduce/results` by `{COMMAND}`; change "
        "those, not this page. `python -m reproduce verify` recomputes what follows "
        "from them.",
    ]
    for section in SECTIONS:
        found = tables.table(section.table, pathlib.Path(results))
        if section.columns:
            found = found.only(section.columns)
        parts += [f"## {section.heading}", section.text]
        parts += [tables.FORMATS["markdown"](found)]
        parts += [found.remark] if found.remark and section.remark else []
    return "\n\n".join(parts) + "\n"
