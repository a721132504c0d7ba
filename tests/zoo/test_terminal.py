"""Tables on the command line."""

import io

import pytest

from zoo import terminal

PATH = "/".join(["a_folder_of_pictures"] * 12) + "/0.png"  # longer than two lines


@pytest.fixture
def rows(capsys):
    terminal.print_table(("file", "class"), [(PATH, "7"), ("short.png", "3")])
    return capsys.readouterr().out.splitlines()


def test_a_row_is_a_line_where_nobody_watches(rows):
    (line,) = [line for line in rows if PATH in line]
    assert line.split() == [PATH, "7"]


def test_a_table_is_no_wider_than_what_is_in_it(rows):
    assert max(map(len, rows)) < len(PATH) + 20


def test_a_narrow_terminal_shows_all_of_a_long_word(monkeypatch):
    out = io.StringIO()
    narrow = terminal.Console(
        file=out, width=40, force_terminal=True, color_system=None
    )
    monkeypatch.setattr(terminal, "console", lambda width: narrow)
    terminal.print_table(("file", "class"), [(PATH, "7")])
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    first, *more = [line for line in lines if "folder" in line or "png" in line]
    shown = first.split()[0] + "".join(line.strip() for line in more)
    assert shown == PATH
