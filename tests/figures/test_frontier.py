import json

import pytest

from figures.__main__ import main
from zoo import records, registry


@pytest.mark.parametrize(
    "suffix, begins", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_a_frontier_is_drawn_in_the_format_of_the_suffix(tmp_path, suffix, begins):
    out = tmp_path / f"frontier.{suffix}"
    assert main(["frontier", "aebnas_digits", "--out", str(out)]) == 0
    assert out.read_bytes().startswith(begins)


def test_the_figure_names_model_exits_and_axes(tmp_path):
    out = tmp_path / "frontier.svg"
    main(["frontier", "aebnas_digits", "--out", str(out)])
    text = out.read_text()  # glyphs are paths; the text stands in comments
    for label in ("after stage 1", "final", "accuracy (%)"):
        assert f"<!-- {label} -->" in text


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_record_gives_the_same_picture(tmp_path, monkeypatch, suffix):
    files = [tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"]
    for day, out in enumerate(files, 1):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(86400 * day))
        main(["frontier", "aebnas_digits", "--out", str(out)])
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("frontier", [[]])
def test_a_model_without_a_frontier_is_an_error(tmp_path, capsys, frontier):
    record = records.to_dict(registry.record("aebnas_digits")) | {"frontier": frontier}
    (tmp_path / "config.json").write_text(json.dumps(record))
    assert main(["frontier", str(tmp_path), "--out", str(tmp_path / "a.png")]) == 1
    assert "no recorded frontier" in capsys.readouterr().err


def test_an_unknown_model_is_an_error(tmp_path, capsys):
    assert main(["frontier", "aebnas_digit", "--out", str(tmp_path / "a.png")]) == 1
    assert "aebnas_digits" in capsys.readouterr().err
