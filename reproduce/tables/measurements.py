"""Surrogates, oracles, fine-tuning, skipping and pixel-exact pictures, from records."""

from __future__ import annotations

import pathlib

from reproduce import (
    archive,
    comparison,
    finetune,
    oracles,
    published,
    ranking,
    records,
)
from reproduce.records import (
    BenchmarkRecord,
    ComparisonRecord,
    FinetuneRecord,
    PixelExactRecord,
    RankingRecord,
    SurrogateQualityRecord,
)
from reproduce.tables.models import SMALL
from reproduce.tables.registry import Table, register
from zoo.cards import million, percent


def _surrogates(results: pathlib.Path) -> Table:
    record = records.read(
        *(results, records.SURROGATES, SurrogateQualityRecord),
        command="aebnas reproduce surrogates",
    )
    theirs = published.SURROGATE
    rows = [
        (
            *(theirs.surrogate, "published", f"about {theirs.candidates}", "error"),
            *(f"{x:.3f}" for x in (theirs.rmse, theirs.spearman, theirs.kendall)),
            *("", "", theirs.source),
        )
    ]
    for row in record.rows:
        found = row.quality
        difference = f"{found.spearman - theirs.spearman:+.3f}"
        rows.append(
            (
                f"{row.surrogate}, {row.inputs}",
                "measured",
                str(found.n),
                row.target,
                *(f"{x:.3f}" for x in (found.rmse, found.spearman, found.kendall)),
                difference if row.target == "error" else "",
                str(record.seed),
                "each from all others; `aebnas reproduce surrogates`",
            )
        )
    return Table(
        (
            *("surrogate", "kind", "candidates", "target", "RMSE", "Spearman"),
            *("Kendall", "difference (Spearman)", "seed", "protocol or source"),
        ),
        rows,
        f"RMSE in points of error or millions of MACs. The {len(archive.load())} "
        "candidates available to us are a sample of the published archive. The authors "
        f"report a hypervolume of {theirs.hypervolume} for a search with their "
        "surrogate. Without the archive of that search, we cannot compute ours in the "
        "same box.",
    )


def _oracles(results: pathlib.Path) -> Table:
    rows = oracles.compare(oracles.load(results))
    return Table(
        ("method", "trials", "hypervolume of each seed", "mean ± spread"),
        [
            (
                row.method,
                str(row.trials),
                " / ".join(f"{volume:.3f}" for volume in row.hypervolumes),
                f"{row.mean:.3f}"
                + ("" if row.spread is None else f" ± {row.spread:.3f}"),
            )
            for row in rows
        ],
        "A hypervolume is a share of the box between zero and a reference point that "
        "is the same for all searches.",
    )


def _exits(results: pathlib.Path) -> Table:
    rows = oracles.compare(oracles.load(results, records.EXITS))
    return Table(
        ("search", "networks", "accuracy of each seed", "hypervolume of each seed"),
        [
            (
                row.method.replace("_", " "),
                str(row.trials),
                " / ".join(percent(accuracy) for accuracy in row.accuracies or ()),
                " / ".join(f"{volume:.4f}" for volume in row.hypervolumes),
            )
            for row in rows
        ],
        "Accuracy: the best on the validation split, of all threshold settings within "
        "the target.",
    )


def _finetune(results: pathlib.Path) -> Table:
    record = records.read(
        *(results, records.FINETUNE, FinetuneRecord),
        command="aebnas reproduce finetune",
    )
    return Table(
        ("initial weights", "epochs", "seeds", "test accuracy", "spread"),
        [
            (
                f"`{record.model}`"
                if row.initial_weights == "pretrained"
                else row.initial_weights,
                " ".join(map(str, sorted({each.epochs for each in record.rows}))),
                str(row.seeds),
                percent(row.mean),
                percent(row.spread),
            )
            for row in finetune.compare(record.rows)
        ],
        f"On the test split of {record.data.name}; the spread is the sample standard "
        "deviation over the seeds.",
    )


def _pixel_exact(results: pathlib.Path) -> Table:
    record = records.read(
        *(results, records.PIXEL_EXACT, PixelExactRecord),
        command="aebnas reproduce exact",
    )
    return Table(
        ("model", "test pictures", "accuracy", "average MACs"),
        [
            (
                f"`{row.model}`",
                f"{measured.samples:,}",
                percent(measured.accuracy),
                million(measured.average_macs["standard"]),
            )
            for row in record.rows
            for measured in (row.all, row.exact)
        ],
    )


def _ranking(results: pathlib.Path) -> Table:
    record = records.read(
        *(results, records.RANKING, RankingRecord),
        command="aebnas reproduce ranking",
    )
    weights = "random weights" if record.initial is None else "another supernet"
    return Table(
        ranking.COLUMNS,
        ranking.cells(record),
        f"{len(record.rows)} random networks of the space, measured on the validation "
        f"split of {record.data.name} with a supernet's weights, after the training of "
        f"a search's candidate (2 epochs on {record.short_images:,} images, from "
        "random weights) and after separate training "
        f"({record.recipe['epochs']} epochs on all images, from {weights}). How well "
        "do the first two, and the MACs alone, rank the networks as separate training "
        "does? Exit: the final one, or the mean of all. "
        f"There are {ranking.BANDS} bands, each with the same number of networks.",
    )


def _skipping(results: pathlib.Path) -> Table:
    record = records.read(
        *(results, records.SKIPPING, BenchmarkRecord),
        command=f"aebnas zoo benchmark {SMALL}",
    )
    versions, backend = record.provenance["versions"], record.provenance["backend"]
    return Table(
        (
            *("batch", "full, images/s", "skipping, images/s"),
            *("speed-up", "segments allow", "MACs ratio"),
        ),
        [
            (
                str(speed.batch_size),
                f"{speed.full_images_per_second:,.0f}",
                f"{speed.early_images_per_second:,.0f}",
                f"{speed.speedup:.2f}",
                f"{speed.segments_speedup:.2f}",
                f"{speed.macs_ratio:.2f}",
            )
            for speed in record.speeds
        ],
        f"`{record.model}` on {record.provenance['hardware']}, {backend} "
        f"{versions[backend]}.",
    )


def _contenders(results: pathlib.Path) -> Table:
    record = records.read(
        *(results, records.COMPARISON, ComparisonRecord),
        command="aebnas reproduce compare",
    )
    changed = [
        f"{each.text} ({', '.join(f'{k} {v}' for k, v in each.changes.items())})"
        for each in record.networks
        if each.changes
    ]
    alike = f" Except for {', '.join(changed)}, all" if changed else " All"
    return Table(
        comparison.COLUMNS,
        comparison.cells(record),
        f"Accuracy in percent on {record.test_images:,} test images of "
        f"{record.data.name} after {record.recipe['epochs']} epochs on "
        f"{record.images:,} images, mean ± sample standard deviation over the seeds."
        f"{alike} are trained by the same recipe. MACs (standard) and time are "
        "averages per image, for the cheapest and for the most expensive threshold "
        "setting. "
        "Settings are chosen on the validation split; the accuracy at a cost lies on "
        "the line between the two measured settings around it, and a network that "
        "cannot spend so much keeps the accuracy of its most expensive setting. A dash "
        "means that even the cheapest setting costs more. Times are those of the "
        f"exported {record.latency.runtime} segments, one image at a time, on one "
        "thread of "
        f"{record.latency.provenance.get('processor', 'an unknown processor')}.",
    )


register("surrogates", _surrogates)
register("contenders", _contenders)
register("ranking", _ranking)
register("skipping", _skipping)
register("oracles", _oracles)
register("exits", _exits)
register("finetune", _finetune)
register("pixel_exact", _pixel_exact)
