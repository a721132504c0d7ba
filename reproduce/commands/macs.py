"""The command macs: do our MACs agree with the authors' archive?"""

from __future__ import annotations

import argparse

from zoo.terminal import CommandLine, add_json, print_json, print_table


def add(commands: CommandLine) -> None:
    """Declare the command."""
    sub = commands.command(
        "macs", macs, "Compare our count of MACs with the authors' archive."
    )
    add_json(sub)


def macs(options: argparse.Namespace) -> None:
    """Compare our MACs with the archive's, block by block and exit by exit."""
    from reproduce import agreement, archive
    from zoo import records
    from zoo.cards import million

    rows, anchors = agreement.compare(), agreement.anchors()
    example = agreement.example()
    if options.json:
        found = {"agreement": rows, "anchors": anchors, "example": example}
        return print_json(records.to_dict(found))
    print(
        f"{len(archive.read())} candidates of the authors' archive: largest deviation "
        "of our count, under every reading"
    )
    print_table(
        ("gene alignment", "convention", "first exit", "all exits"),
        [
            [row.alignment, row.convention]
            + [million(row.first_exit), million(row.all_exits)]
            for row in rows
        ],
    )
    print("Published static networks (EDANAS, table I), `aebnas` MACs and parameters")
    print_table(
        ("resolution", "published", "their alignment", "as encoded"),
        [
            [
                str(row.resolution),
                *(
                    f"{million(size.macs)}, {million(size.parameters)}"
                    for size in (row.published, row.theirs, row.as_encoded)
                ),
            ]
            for row in anchors
        ],
    )
    print(agreement.EXPLANATION)
    print(f"Candidate {example.number}, block by block: kernel, expansion (entry)")
    print_table(
        ("stage", "block", "as encoded", "as their code builds it"),
        [
            [
                str(block.stage),
                str(block.block),
                _gene(block.encoded),
                _gene(block.built),
            ]
            for block in example.blocks
        ],
    )
    print("Its MACs at each exit, as their code builds it unless said otherwise")
    print_table(
        (
            *("recorded", "ours (aebnas)", "= layers", "+ element-wise"),
            *("resizes (standard)", "ours, as encoded"),
        ),
        [list(map(million, vars(row).values())) for row in example.exits],
    )


def _gene(gene) -> str:
    entry = "past the end" if gene.entry is None else gene.entry
    return f"{gene.kernel}, {gene.expansion} ({entry})"
