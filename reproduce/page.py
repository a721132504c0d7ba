"""The page `docs/results.md`: everything that was measured, from the records."""

from __future__ import annotations

import os
import pathlib
from dataclasses import dataclass

from reproduce import tables
from reproduce.records import RESULTS

COMMAND = "aebnas reproduce results-page --out docs/results.md"
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
        "This table lists the pretrained models. Accuracy is that of the exit rule (an "
        "image leaves at the first exit that is confident enough) on the test split, "
        "and MACs are averages over the same split; the column `aebnas` counts them as "
        "the authors' tools do. Thresholds were chosen on the validation split, which "
        "is held out from the training images. Epochs are those of the last round of "
        "training, without those of the initial weights. `aebnas zoo show NAME` prints "
        "the details: every exit, the data and its fingerprint, recipe, initial "
        "weights, seed and versions.",
        "models",
    ),
    Section(
        "Earlier and present models",
        "Each name stands for two models: an earlier one and the present one. The "
        "earlier models for CIFAR-10 were trained from random weights, and the one for "
        "CIFAR-100 from the backbone of the earlier large one for CIFAR-10. The "
        "initial weights of the present models come from the supernet, which began "
        "with ImageNet weights, or, for CIFAR-100, directly from ImageNet (see the "
        "notes of `aebnas zoo show NAME`). The two also differ in architecture and "
        "length of training, so the table does not isolate the effect of the weights. "
        "Each model was trained with one seed. When we decided to train further, we "
        "sometimes knew a test accuracy: the earlier medium model and the two earlier "
        "large ones were trained in rounds; all present models replace versions "
        "that were trained for fewer epochs; and the present medium model was trained "
        "in two rounds.",
        "inheritance",
    ),
    Section(
        "Test pictures that are JPEG copies",
        "In the copy of CIFAR-10 used here, 32 of the 10,000 test pictures are JPEG "
        "copies of the originals. The table shows each model with and without these "
        "pictures (`aebnas reproduce exact`):",
        "pixel_exact",
    ),
    Section(
        "What branches and exits gain",
        "Three networks of 2.2 to 2.5 M average MACs, trained on CIFAR-10 for the same "
        "number of epochs, with one seed each. The static network is the first two "
        "stages and one branch of a larger network, of which nothing else is computed "
        "or trained. The other two networks learn from their final exit "
        "(distillation); this one cannot.",
        "baselines",
    ),
    Section(
        "The search against a guess",
        "The first network was found by a search that trained its candidates from "
        "random weights. The second was designed by hand, with resolution 40 and exits "
        "after stages 2 and 3. Both were trained from random weights in the same way. "
        "We chose between them on the validation split, but already knew the test "
        "accuracy of the second. With one seed each, a difference of a tenth of a "
        "point means nothing.",
        "guess",
    ),
    Section(
        "Other early-exit networks, and static ones",
        "This table compares our earlier small and medium networks (`from_scratch/` "
        "in the records) with those of other methods and with static networks of "
        "similar cost. All are trained briefly "
        "from random weights, except EfficientNet-Lite0, which has ImageNet weights "
        "(`aebnas reproduce compare`). Within 2.6 M average MACs and within 0.4 ms, "
        "our small network is the most accurate of those without ImageNet weights. Our "
        "medium network and the larger MobileNetV3-Small differ by less than the "
        "spread of the seeds, and ours costs less. Within 1 ms, BranchyNet on "
        "ResNet-20 is as accurate as our medium network: its plain convolutions take "
        "less time than their MACs suggest. ImageNet weights bring more than any of "
        "these designs. [figures.md](figures.md) shows "
        "them in a chart.",
        "contenders",
    ),
    Section(
        "Speed of skipping",
        "Images per second of `predict_early` and of the full network, measured "
        "alternately (`aebnas zoo benchmark aebnas_cifar10_small`). The last two "
        "columns give, for comparison, the speed-up that the times of the network's "
        "segments (its parts from exit to exit) allow, and the one that MACs alone "
        "predict.",
        "skipping",
    ),
    Section(
        "Models on a device",
        "Exported models on the test split (`aebnas reproduce device`). They were "
        "exported with the validation images. Equal exits is the share of the images "
        "that leave at the same exit as with `predict_early`, and equal labels the "
        "share that get the same label. The column `tuned` is for the thresholds that "
        "the export chose on the validation images, at no more average MACs than the "
        "model's own thresholds need on them.",
        "device_agreement",
    ),
    Section(
        "Latency on a device",
        "How long the same exports take on one thread. The segments are timed on one "
        "image. The time of an image under the exit rule is the mean over the exits, "
        "weighted by the shares of the test images that leave there. The last column "
        "is for the network without its early exits: a static network of about the "
        "same accuracy, in the same format. All formats of a model took turns in one "
        "process. The table shows the 10th percentile of the CPU time, which other "
        "work on the machine hardly affects. Resizing images is not included.",
        "device_latency",
    ),
    Section(
        "Two latency tables, two fronts",
        "The candidates of a search for small networks "
        "(`searches/cifar10_small.json` in the records), with the "
        "latencies that two latency tables of the same machine predict for them "
        "(`aebnas search latency-table`).",
        "latency_fronts",
    ),
    Section(
        "Fine-tuning",
        "A pretrained model and the same network with random weights. Both got new "
        "classifiers and were trained on the digits with Keras's Adam optimiser "
        "(`aebnas reproduce finetune`):",
        "finetune",
    ),
    Section(
        "The paper's comparison",
        "Searches on CIFAR-10 with 340 candidates each, as many as in the paper. The "
        "candidates inherit their weights from the supernet `aebnas_cifar10` and are "
        "not trained. From its front, each search reports the network with the best "
        "score on the validation split. This network is then trained for 5 epochs and "
        "measured on the test split. The score is the accuracy in percent, minus a "
        "tenth of the percentage by which the average MACs deviate from the target, "
        "2.44 M, or 7.5 M where the table says so. The table shows the mean ± sample "
        "standard deviation over the seeds, with MACs in the `aebnas` convention. All "
        "that remains of NACHOS is a limit in place of the target, because no "
        "candidate is trained. EDANAS has fixed branches, and its thresholds are "
        "searched, not tuned. [reproduce.md](reproduce.md#differences-from-the-paper) "
        "lists the differences from the paper. `aebnas reproduce table cifar10` shows "
        "published results, and searches at a smaller scale, next to these.\n\n"
        "Does the paper's claim hold? The mean scores have the paper's order, but only "
        "AEBNAS and EDANAS are further apart than the spread of the seeds: the worst "
        "score of AEBNAS is better than the best of EDANAS. The differences in "
        "accuracy are much smaller than in the paper: AEBNAS is 0.5 points above "
        "EDANAS and 0.1 above NACHOS, where the paper reports 6.9 and 2.0.\n\n"
        "At 7.5 M, one seed each cannot tell the methods apart. NACHOS has the best "
        "accuracy and AEBNAS the best score, because only AEBNAS is drawn to the "
        "target: for NACHOS, 7.5 M is a limit that need not be reached, and the front "
        "of EDANAS ends at 4.98 M, because no candidate that costs more was more "
        "accurate.",
        "searches",
        SCORED,
    ),
    Section(
        "The same searches, with thresholds chosen in the same way",
        "This table shows how much of the difference between the methods is due to how "
        "they choose thresholds. The networks have inherited weights.",
        "thresholds",
    ),
    Section(
        "Ablation: branches and thresholds",
        "What do the search of branches and the tuning of thresholds contribute? This "
        "is the search of AEBNAS above, changed in one respect at a time: every exit "
        "has the fixed branch of EDANAS, or all exits have one fixed threshold, 0.1 or "
        "0.2. In all these searches, each exit can still be turned on or off. Tuned "
        "thresholds are the best combination of 0.1, 0.2 and off.\n\n"
        "The search of branches helps: the worst score with it, 82.53, is better than "
        "the best with fixed branches, 82.41, and the means differ by 0.7 points. "
        "Three seeds are too few to tell whether tuned thresholds help: with them, the "
        "mean score is 0.4 points better than with thresholds of 0.1 and 1.2 points "
        "better than with 0.2, which is about the spread of the seeds. About half of "
        "this is the penalty for missing the target: training makes a network more "
        "confident, so that more images leave early; thresholds that are tuned "
        "afterwards can spend the MACs that this saves, and fixed ones cannot.",
        "ablation",
        SCORED,
        remark=False,
    ),
    Section(
        "Do inherited weights rank networks?",
        "A search needs to know which of two networks is better, not how good they "
        "are. Is the one that is more accurate with inherited weights also the more "
        "accurate one after it has been trained separately? The same question is asked "
        "of MACs alone, and of the short training that candidates get without a "
        "supernet (`aebnas reproduce ranking`). [figures.md](figures.md) shows every "
        "network.\n\n"
        "Inherited weights rank networks well here: the rank correlation (Spearman) is "
        "0.94 for the mean accuracy of all exits and 0.64 for the final exit. That of "
        "the short training is 0.15 and -0.06, and that of MACs -0.03 and -0.29. The "
        "networks are few and their final exits differ by less than three points, each "
        "was trained with one seed, and 3 epochs favour networks that learn fast, so "
        "these numbers are rough. The separate training began with the ImageNet "
        "weights that the supernet began with, and the short training with random "
        "ones, which favours the inherited weights.",
        "ranking",
    ),
    Section(
        "Search methods on digits",
        "Does a search beat random candidates? Candidates are trained for 2 epochs on "
        "640 digits at a resolution of 32 pixels, without a target. For each seed, all "
        "methods start from the same random candidates. The table shows the "
        "hypervolume of error and average MACs (`aebnas reproduce oracles`):",
        "oracles",
    ),
    Section(
        "Exits for a trained network",
        "Where should the backbone of `lite0_cifar10` have exits, to spend 70 M MACs "
        "on average instead of 125 M? Heads are trained on 5,000 images; the backbone "
        "does not change. `aebnas` and `random` may place up to three exits at twelve "
        "places; `aebnas 240` is the same search with more candidates, for one seed. "
        "`fixed heads` has the exits of the pretrained model: three, evenly spaced by "
        "MACs, with fixed heads. `linear heads` has linear heads at the same places. "
        "Both try all eight combinations of these exits. The hypervolume is that of "
        "error and average MACs. The searches are `aebnas search run --backbone "
        "lite0_cifar10`, with records in `lite0_exits/`.",
        "exits",
    ),
    Section(
        "Surrogates",
        "Surrogates predict each of the 32 candidates in the authors' archive from the "
        "other 31 (`aebnas reproduce surrogates`):",
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
        "This page is generated from the records in `reproduce/results` by "
        f"`{COMMAND}`; do not edit it by hand. `aebnas reproduce verify` recomputes "
        "everything that follows from the records.",
    ]
    for section in SECTIONS:
        found = tables.table(section.table, pathlib.Path(results))
        if section.columns:
            found = found.only(section.columns)
        parts += [f"## {section.heading}", section.text]
        parts += [tables.FORMATS["markdown"](found)]
        parts += [found.remark] if found.remark and section.remark else []
    return "\n\n".join(parts) + "\n"
