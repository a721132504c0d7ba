"""Do our MACs agree with the authors' archive, and under which reading of it?

Two findings, both needed for agreement: their supernet reads the genes of a block by
its position among four blocks a stage (`Architecture.from_ofa(legacy_alignment=True)`),
and their counter adds some element-wise work (`zoo.macs(convention="aebnas")`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from reproduce import archive
from zoo.architecture import Architecture
from zoo.cost import CONVENTIONS, macs

CLASSES = 10

EXPLANATION = """\
1. Alignment. The lists of kernels and expansions have an entry per block, stage after
   stage. The authors' supernet has four blocks a stage, active or not, and takes entry
   4 s + j for block j of stage s; past the end of the list it keeps kernel 7 and
   expansion 6. So a network with shallow stages is not the one that was encoded.
2. Convention. `aebnas` adds to convolutions and dense layers one operation per element
   for the product in each hard-swish and in squeeze-excite's gating, and the elements
   that the two mean reductions of squeeze-excite and of the backbone's global pooling
   give; it leaves out the resizes in the branches, which `standard` counts.
"""

# Static networks (no exits, 10 classes) of EDANAS (IJCNN 2023), table I: the candidate,
# and its published MACs and parameters.
ANCHORS = (
    (
        {"ks": [3] * 10, "e": [3] * 10, "d": [2] * 5, "r": 40},
        10.64e6,
        3.40e6,
    ),
    (
        {
            "ks": [5, 3, 7, 7, 3, 7, 3, 5, 3, 7, 7, 7, 5],
            "e": [4, 3, 4, 4, 3, 3, 6, 4, 4, 3, 3, 6, 3],
            "d": [2, 2, 2, 3, 4],
            "r": 72,
        },
        37.21e6,
        5.33e6,
    ),
)


def compare() -> list[dict[str, Any]]:
    """Largest deviation from the archive's MACs, for every reading of it.

    Returns:
        For each alignment ("theirs", "as encoded") and convention: `first_exit` and
        `all_exits`, the largest absolute deviations over all candidates, counts.
    """
    rows = []
    for legacy in (True, False):
        for convention in reversed(CONVENTIONS):
            deviations = []
            for entry, _, recorded, _ in archive.read():
                architecture = Architecture.from_ofa(entry, legacy)
                counted = macs(architecture, CLASSES, convention).per_exit
                deviations.append(
                    np.abs(np.subtract(counted, np.multiply(recorded, 1e6)))
                )
            rows.append(
                {
                    "alignment": "theirs" if legacy else "as encoded",
                    "convention": convention,
                    "first_exit": max(float(each[0]) for each in deviations),
                    "all_exits": max(float(each.max()) for each in deviations),
                }
            )
    return rows


def anchors() -> list[dict[str, Any]]:
    """The two published static networks under both alignments, in `aebnas` MACs."""
    rows = []
    for entry, published_macs, published_parameters in ANCHORS:
        row: dict[str, Any] = {
            "resolution": entry["r"],
            "published_macs": published_macs,
            "published_parameters": published_parameters,
        }
        for legacy, key in ((True, "theirs"), (False, "as_encoded")):
            cost = macs(Architecture.from_ofa(entry, legacy), CLASSES, "aebnas")
            row[f"{key}_macs"] = cost.per_exit[-1]
            row[f"{key}_parameters"] = cost.parameters
        rows.append(row)
    return rows


def example(number: int = 0) -> dict[str, Any]:
    """One candidate of the archive, worked out.

    Returns:
        `blocks`: for every block its stage, position, and (kernel, expansion) as
        encoded and as their code builds it, with the entry of the list that each reads
        (None: past its end); `exits`: for every exit the recorded MACs, and ours as
        built by their code, split into convolutions and dense layers (`layers`), what
        the `aebnas` convention adds (`elementwise`), and what the standard one adds
        instead (`resizes`); `aligned`: the `aebnas` MACs as encoded.
    """
    entry, _, recorded, _ = archive.read()[number]
    encoded, built = (Architecture.from_ofa(entry, legacy) for legacy in (False, True))
    blocks, start = [], 0
    for s, (meant, got) in enumerate(zip(encoded.stages, built.stages)):
        for j, (one, other) in enumerate(zip(meant.blocks, got.blocks)):
            source = 4 * s + j
            blocks.append(
                {
                    "stage": s + 1,
                    "block": j + 1,
                    "encoded": (one.kernel, one.expansion),
                    "encoded_entry": start + j,
                    "built": (other.kernel, other.expansion),
                    "built_entry": source if source < len(entry["ks"]) else None,
                }
            )
        start += len(meant.blocks)
    theirs, standard = (macs(built, CLASSES, c) for c in ("aebnas", "standard"))
    rows = []
    for k, total in enumerate(theirs.per_exit):
        resizes = sum(
            s - t for s, t in zip(standard.branches[: k + 1], theirs.branches)
        )
        layers = standard.per_exit[k] - resizes
        rows.append(
            {
                "recorded": recorded[k] * 1e6,
                "counted": total,
                "layers": layers,
                "elementwise": total - layers,
                "resizes": resizes,
                "aligned": macs(encoded, CLASSES, "aebnas").per_exit[k],
            }
        )
    return {"number": number, "blocks": blocks, "exits": rows}
