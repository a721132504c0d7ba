"""The figure of cheap measures against accuracies after separate training."""

import dataclasses

import pytest

from reproduce import ranking
from zoo import records


def test_every_network_has_a_marker_in_the_colour_of_its_band(draw, ranked, tmp_path):
    path = tmp_path / "ranking.json"
    records.write(path, dataclasses.replace(ranked, rows=ranked.rows[::-1]))
    panels = draw("ranking", path)
    rows = sorted(ranked.rows, key=lambda row: row.macs[-1])
    measures = (
        [100 * row.inherited[-1] for row in rows],
        [100 * row.short[-1] for row in rows],
        [row.macs[-1] / 1e6 for row in rows],
    )
    for axes, values in zip(panels, measures, strict=True):
        bands = axes.get_lines()
        assert len({line.get_color() for line in bands}) == len(bands) == ranking.BANDS
        assert [x for line in bands for x in line.get_xdata()] == pytest.approx(values)
        long = [y for line in bands for y in line.get_ydata()]
        assert long == pytest.approx([100 * row.long[-1] for row in rows])
    labels = [text.get_text() for text in panels[0].get_legend().get_texts()]
    low, high = (rows[k].macs[-1] / 1e6 for k in (0, 1))
    assert labels[0] == f"{low:.1f} to {high:.1f} M MACs"
    spearman = {
        row.measure: f"Spearman {row.spearman:.2f}"
        for row in ranking.agreement(ranked)
        if row.exit == "final"
    }
    assert [axes.get_title() for axes in panels] == list(spearman.values())


def test_a_record_of_another_kind_is_an_error(fail, tmp_path, ranked):
    path = tmp_path / "row.json"
    records.write(path, dataclasses.replace(ranked.data))
    assert "expected 'ranking'" in fail("ranking", path)
