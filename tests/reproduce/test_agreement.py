import numpy as np
import pytest

from reproduce import agreement, archive
from zoo import Architecture, macs, records


@pytest.fixture(scope="module")
def entries():
    """Of every candidate: what is encoded, and the MACs recorded for its exits."""
    return [
        (entry, 1e6 * np.array(recorded)) for entry, _, recorded, _ in archive.read()
    ]


def test_only_their_reading_and_convention_agree_with_the_archive(entries):
    rows = {(r.alignment, r.convention): r for r in agreement.compare()}
    assert len(rows) == 4
    for (alignment, convention), row in rows.items():
        apart = [
            np.abs(
                np.array(
                    macs(
                        Architecture.from_ofa(entry, alignment == "theirs"),
                        10,
                        convention,
                    ).per_exit
                )
                - recorded
            )
            for entry, recorded in entries
        ]
        assert row.first_exit == pytest.approx(max(each[0] for each in apart))
        assert row.all_exits == pytest.approx(max(map(max, apart)))
        agrees = (alignment, convention) == ("theirs", "aebnas")
        assert (row.first_exit < 0.01e6) == (row.all_exits < 0.05e6) == agrees


def test_published_static_networks_match_only_in_their_alignment():
    for row, (entry, *_) in zip(agreement.anchors(), agreement.ANCHORS, strict=True):
        assert row.resolution == entry["r"]
        for key in ("macs", "parameters"):
            published = getattr(row.published, key)
            assert getattr(row.theirs, key) == pytest.approx(published, rel=2e-3)
            assert abs(getattr(row.as_encoded, key) / published - 1) > 0.1


@pytest.mark.parametrize("number", [0, 7, 31])
def test_the_example_reads_the_entries_that_it_names(number, entries):
    example, (entry, recorded) = agreement.example(number), entries[number]
    assert example.number == number
    blocks = example.blocks
    assert [block.encoded.entry for block in blocks] == list(range(len(entry["ks"])))
    for block in blocks:
        for gene in (block.encoded, block.built):
            k = gene.entry
            expected = (7, 6) if k is None else (entry["ks"][k], entry["e"][k])
            assert (gene.kernel, gene.expansion) == expected
        place = 4 * (block.stage - 1) + block.block - 1
        known = place if place < len(entry["ks"]) else None
        assert block.built.entry == known
    assert [sum(block.stage == s + 1 for block in blocks) for s in range(5)] == entry[
        "d"
    ]

    built, encoded = (Architecture.from_ofa(entry, legacy) for legacy in (True, False))
    rows = example.exits
    assert [row.recorded for row in rows] == pytest.approx(recorded.tolist())
    assert tuple(row.counted for row in rows) == macs(built, 10, "aebnas").per_exit
    assert tuple(r.layers + r.resizes for r in rows) == macs(built, 10).per_exit
    assert tuple(row.aligned for row in rows) == macs(encoded, 10, "aebnas").per_exit
    for row in rows:
        assert row.layers + row.elementwise == row.counted
        assert row.layers > 100 * row.elementwise > 0
    resizes = [row.resizes for row in rows]
    assert resizes == sorted(resizes) and resizes[0] > 0


def test_macs_prints_the_agreement(call):
    found = call("macs", "--json")
    assert found["agreement"] == records.to_dict(agreement.compare())
    assert found["anchors"] == records.to_dict(agreement.anchors())
    assert found["example"] == records.to_dict(agreement.example())
    text = call("macs")
    for row in agreement.compare():
        (line,) = [
            line
            for line in text.splitlines()
            if line.split()[-5:-4] == [row.convention] and row.alignment in line
        ]
        assert f"{row.first_exit / 1e6:.3f} M" in line
        assert f"{row.all_exits / 1e6:.3f} M" in line
    assert text.count("past the end") == 1 + sum(
        block["built"]["entry"] is None for block in found["example"]["blocks"]
    )  # once in the explanation
    for row in agreement.example().exits:
        assert f"{row.counted / 1e6:.3f} M" in text
