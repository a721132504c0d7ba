"""What a training notes about itself: its settings, and a line for every epoch."""

from __future__ import annotations

import itertools
import json
import pathlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from search.supernet import stored
from search.supernet.plan import Plan
from zoo import files


def trim(path: pathlib.Path, epochs: int) -> None:
    """Keep the finished epochs' lines, where a kill came between log and checkpoint."""
    if path.exists():
        lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines()
        files.write_text(path, "".join(f"{line}\n" for line in lines[: epochs + 1]))


def check(
    folder: pathlib.Path,
    plan: Plan,
    facts: dict[str, Any],
    teacher: str | None,
    epochs: float,
) -> None:
    """Note the settings, or raise if the folder holds a training with others.

    Args:
        folder: Of the training.
        plan: How to train.
        facts: On what, and from what.
        teacher: Digest of the teacher's logits.
        epochs: Those done so far, a fraction amid one.
    """
    path = folder / stored.TRAINING
    teachers = [teacher] * len(plan.phases)  # one for each phase
    settings = json.loads(json.dumps(asdict(plan) | facts | {"teachers": teachers}))
    if (folder / stored.CHECKPOINT).exists() and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        ends = [*itertools.accumulate(p["epochs"] for p in before["phases"])]
        begun = (epochs > 0) + sum(end < epochs for end in ends[:-1])
        free = ("phases", "teacher_share", "teachers")
        changed = [
            key
            for key, value in settings.items()
            if key not in free and value != before.get(key)
        ]
        if settings["phases"][:begun] != before["phases"][:begun]:
            changed.append("phases")
        taught = before.get("teachers", [None] * len(before["phases"]))[:begun]
        if epochs not in (0, *ends):  # amid a phase
            changed += ["teacher"] * (taught[-1] != teacher)
            share = before.get("teacher_share")
            changed += ["teacher_share"] * (share not in (None, plan.teacher_share))
        settings["teachers"][:begun] = taught
        if changed:
            raise ValueError(
                f"{folder} holds a training that differs in {', '.join(changed)}. Use "
                "the same settings to continue it, or another folder."
            )
    files.write_text(path, json.dumps(settings, indent=1))
