"""The figure of networks that were trained alike."""

import dataclasses

import pytest

from reproduce import comparison
from zoo import records


def test_a_network_is_a_line_or_a_marker_that_is_named(draw, made_up_comparison):
    record, path = made_up_comparison
    (axes,) = draw("contenders", path)
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert set(lines) == {network.text for network in record.networks}
    early = lines["an early-exit network"]
    spent, accuracy = comparison.curve(comparison.points(record, "early")[0])
    assert list(early.get_xdata()) == pytest.approx([x / 1e6 for x in spent])
    assert list(early.get_ydata()) == pytest.approx([100 * y for y in accuracy])
    static = lines["a static network"]
    assert list(static.get_xdata()) == [2.0] and static.get_marker() != "None"
    assert static.get_color() != early.get_color()
    names = sorted(axes.texts, key=lambda text: text.xyann[1])
    assert {text.get_text() for text in names} == set(lines)
    heights = [text.xyann[1] for text in names]
    low, high = axes.get_ylim()
    gaps = [b - a for a, b in zip(heights, heights[1:])]
    assert low <= heights[0] and min(gaps) > 0.05 * (high - low)
    assert "mean of 2 seeds" in axes.get_title()


def test_a_record_of_another_kind_is_an_error(fail, tmp_path, made_up_comparison):
    record, _ = made_up_comparison
    path = tmp_path / "row.json"
    records.write(path, dataclasses.replace(record.rows[0]))
    assert "expected 'comparison'" in fail("contenders", path)
