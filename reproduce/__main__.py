"""Command line: python -m reproduce list|run|table|verify|macs|..."""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from reproduce import (
    agreement,
    archive,
    exact,
    experiments,
    finetune,
    oracles,
    tables,
    verify,
)
from reproduce.experiments import EXPERIMENTS, SCALES
from search.__main__ import Progress
from zoo.cards import million, percent
from zoo.files import write_text
from zoo.registry import provenance
from zoo.terminal import print_json, print_table

DESCRIPTION = """\
Reproduce the paper: experiments, their records, and tables made of these.

  python -m reproduce list                          what there is
  python -m reproduce table cifar10                 published beside measured
  python -m reproduce run cifar10_aebnas --scale smoke
  python -m reproduce verify                        recompute what follows from records

Start `run` again after an interruption with the same arguments: it continues."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"reproduce {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m reproduce", description=DESCRIPTION, formatter_class=raw
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Any, text: str, as_json: bool = True) -> Any:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        if as_json:
            sub.add_argument("--json", action="store_true", help="print JSON")
        return sub

    def results(sub: Any, default: pathlib.Path, text: str) -> None:
        sub.add_argument(
            "--results", type=pathlib.Path, default=default, metavar="DIR", help=text
        )

    def data_dir(sub: Any) -> None:
        sub.add_argument(
            "--data-dir",
            metavar="DIR",
            help="folder of NAME.npz or of tensorflow-datasets "
            "(default: the environment variable AEBNAS_DATA_DIR)",
        )

    sub = command("list", _list, "List the experiments, and which have records.")
    results(sub, experiments.RESULTS, "folder of records (default: those shipped)")

    sub = command(
        "run",
        _run,
        "Run an experiment, or continue it; writes one record.",
        as_json=False,
    )
    sub.add_argument("experiment", metavar="NAME", help="see `list`")
    sub.add_argument("--seed", type=int, default=1, help="(default: 1)")
    sub.add_argument("--scale", choices=tuple(SCALES), default="reduced")
    data_dir(sub)
    sub.add_argument(
        "--directory",
        type=pathlib.Path,
        default=pathlib.Path("runs"),
        help="where searches are kept, to continue them (default: runs)",
    )
    results(sub, pathlib.Path("results"), "where records go (default: results)")

    sub = command(
        "table", _table, "Print a table of the paper: published beside measured."
    )
    sub.add_argument("table", choices=tuple(tables.TABLES), metavar="NAME")
    sub.add_argument("--format", choices=tuple(tables.FORMATS), default="markdown")
    results(sub, experiments.RESULTS, "folder of records (default: those shipped)")

    sub = command(
        "verify", _verify, "Recompute every derived value in the records.", False
    )
    results(sub, verify.FOLDER, "folder of records (default: those shipped)")

    command("macs", _macs, "Compare our MACs with the authors' archive.")

    sub = command(
        "surrogates",
        _surrogates,
        "Predict each of the authors' 32 candidates from the other 31.",
    )
    sub.add_argument("--out", type=pathlib.Path, help="also write the record there")

    command("oracles", _oracles, "Compare the recorded searches on digits.")

    sub = command(
        "finetune",
        _finetune,
        "Fine-tune a pretrained model on digits, against the same from random.",
    )
    sub.add_argument("--model", default="aebnas_cifar10_small")
    sub.add_argument("--epochs", type=int, default=3, help="(default: 3)")
    sub.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    sub.add_argument("--out", type=pathlib.Path, help="also write the record there")

    sub = command(
        "exact",
        _exact,
        "Measure the CIFAR-10 models without the test pictures that are JPEG copies.",
    )
    data_dir(sub)
    sub.add_argument("--out", type=pathlib.Path, help="also write the record there")
    return parser


def _list(options: argparse.Namespace) -> None:
    counts = {
        scale: collections.Counter(
            record["experiment"] for record in experiments.load(scale, options.results)
        )
        for scale in SCALES
    }
    rows = [
        {
            "name": each.name,
            "method": each.method,
            "data": each.data,
            "target_macs": each.target_macs,
            "space": dict(each.space),
            "seeds": list(each.seeds),
            "records": {scale: counts[scale][each.name] for scale in SCALES},
        }
        for each in EXPERIMENTS.values()
    ]
    if options.json:
        return print_json(rows)
    print_table(
        ("name", "method", "data", "target", "seeds", "records"),
        [
            [
                row["name"],
                row["method"],
                row["data"],
                million(row["target_macs"]),
                " ".join(map(str, row["seeds"])),
                ", ".join(f"{n} {scale}" for scale, n in row["records"].items() if n)
                or "none",
            ]
            for row in rows
        ],
    )
    for name, scale in SCALES.items():
        print(f"{name}: {scale.summary}")


def _run(options: argparse.Namespace) -> None:
    settings = experiments.experiment(options.experiment).settings(
        options.scale, options.seed
    )
    progress = Progress(settings.trials)
    path = experiments.run(
        *(options.experiment, options.seed, options.scale),
        *(options.data_dir, options.directory, options.results, progress),
    )
    print("\n" * progress.live, end="", file=sys.stderr)
    print(f"Wrote {path}.")


def _table(options: argparse.Namespace) -> None:
    columns, rows, remark = tables.table(options.table, options.results)
    if options.json:
        return print_json([dict(zip(columns, row)) for row in rows])
    print(tables.FORMATS[options.format](columns, rows))
    # Not part of a LaTeX or CSV file that standard output is sent to.
    markdown = options.format == "markdown"
    print(f"\n{remark}", file=sys.stdout if markdown else sys.stderr)


def _verify(options: argparse.Namespace) -> None:
    compared, wrong = verify.check(options.results)
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {compared:,} values differ:\n" + "\n".join(wrong)
        )
    print(f"All {compared:,} derived values agree.")


def _macs(options: argparse.Namespace) -> None:
    rows, anchors, example = (
        agreement.compare(),
        agreement.anchors(),
        agreement.example(),
    )
    if options.json:
        return print_json({"agreement": rows, "anchors": anchors, "example": example})
    print(
        f"{len(archive.read())} candidates of the authors' archive: largest deviation "
        "of our count, under every reading"
    )
    print_table(
        ("gene alignment", "convention", "first exit", "all exits"),
        [
            [
                row["alignment"],
                row["convention"],
                million(row["first_exit"]),
                million(row["all_exits"]),
            ]
            for row in rows
        ],
    )
    print("Published static networks (EDANAS, table I), `aebnas` MACs and parameters")
    print_table(
        ("resolution", "published", "their alignment", "as encoded"),
        [
            [str(row["resolution"])]
            + [
                f"{million(row[f'{key}_macs'])}, {million(row[f'{key}_parameters'])}"
                for key in ("published", "theirs", "as_encoded")
            ]
            for row in anchors
        ],
    )
    print(agreement.EXPLANATION)
    print(f"Candidate {example['number']}, block by block: kernel, expansion (entry)")
    print_table(
        ("stage", "block", "as encoded", "as their code builds it"),
        [
            [
                str(block["stage"]),
                str(block["block"]),
                *(
                    "{}, {} ({})".format(
                        *block[kind],
                        "past the end"
                        if block[f"{kind}_entry"] is None
                        else block[f"{kind}_entry"],
                    )
                    for kind in ("encoded", "built")
                ),
            ]
            for block in example["blocks"]
        ],
    )
    print("Its MACs at each exit, as their code builds it unless said otherwise")
    keys = ("recorded", "counted", "layers", "elementwise", "resizes", "aligned")
    print_table(
        (
            *("recorded", "ours (aebnas)", "= layers", "+ element-wise"),
            *("resizes (standard)", "ours, as encoded"),
        ),
        [[million(row[key]) for key in keys] for row in example["exits"]],
    )


def _finetune(options: argparse.Namespace) -> None:
    def progress(row: dict[str, Any]) -> None:
        print(
            f"{row['start']}, seed {row['seed']}: {percent(row['accuracy'])}",
            file=sys.stderr,
            flush=True,
        )

    _prepare(options.out)
    record = finetune.finetune(
        options.model, epochs=options.epochs, seeds=options.seeds, progress=progress
    )
    record["provenance"] = provenance()
    _write(options.out, record)
    if options.json:
        return print_json(record)
    print(f"{options.model} on digits after {options.epochs} epochs, test accuracy")
    print_table(
        ("start", "seeds", "mean", "spread"),
        [
            [row["start"], str(row["seeds"]), percent(row["mean"])]
            + [percent(row["spread"])]
            for row in finetune.compare(record["rows"])
        ],
    )


def _exact(options: argparse.Namespace) -> None:
    _prepare(options.out)
    record = exact.measure(options.data_dir) | {"provenance": provenance()}
    _write(options.out, record)
    if options.json:
        return print_json(record)
    print_table(
        ("model", "pictures", "accuracy", "average MACs"),
        [
            [row["model"], f"{row[key]['samples']:,}", percent(row[key]["accuracy"])]
            + [million(row[key]["average_macs"]["standard"])]
            for row in record["rows"]
            for key in ("all", "exact")
        ],
    )


def _prepare(path: pathlib.Path | None) -> None:
    """Make the folder of a record before measuring, so that nothing is lost."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)


def _write(path: pathlib.Path | None, record: dict[str, Any]) -> None:
    if path:
        write_text(path, json.dumps(record, indent=1) + "\n")


def _surrogates(options: argparse.Namespace) -> None:
    _prepare(options.out)
    record = {"rows": archive.leave_one_out(), "provenance": provenance(seed=1)}
    _write(options.out, record)
    if options.json:
        return print_json(record)
    print_table(
        ("surrogate", "inputs", "target", "RMSE", "Spearman", "Kendall"),
        [
            [row["surrogate"], row["inputs"], row["target"]]
            + [f"{row[key]:.2f}" for key in ("rmse", "spearman", "kendall")]
            for row in record["rows"]
        ],
    )


def _oracles(options: argparse.Namespace) -> None:
    rows = oracles.compare(oracles.load())
    if options.json:
        return print_json(rows)
    print_table(
        ("method", "trials", "hypervolume of each seed", "mean", "spread"),
        [
            [
                row["method"],
                str(row["trials"]),
                " ".join(f"{volume:.3f}" for volume in row["hypervolumes"]),
                f"{row['mean']:.3f}",
                f"{row['spread']:.3f}",
            ]
            for row in rows
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
