"""How commands are declared and run, what they print, and the script `aebnas`."""

import io
import os
import pathlib
import subprocess
import sys

import pytest

import aebnas
import zoo
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


# Commands


def commands(**settings):
    """A command line of two commands: one that answers, one that raises."""

    def answer(options):
        print(options.times * "yes ")
        return 3 if options.times > 1 else None

    def fail(options):
        raise options.kind("why")

    line = terminal.CommandLine("zoo", "Some text: %(prog)s answer", **settings)
    sub = line.command("answer", answer, "Answer.", "At length.")
    sub.add_argument("--times", type=int, default=1)
    line.command("fail", fail, "Fail.").add_argument("kind", type=lambda k: KINDS[k])
    return line


KINDS = {kind.__name__: kind for kind in (ValueError, TypeError, KeyboardInterrupt)}


def test_a_command_runs_with_its_options_and_gives_the_status(capsys):
    assert commands().run(["answer"]) == 0
    assert commands().run(["answer", "--times", "2"]) == 3
    assert capsys.readouterr().out == "yes \nyes yes \n"


def test_an_error_of_the_user_is_a_line_and_another_is_raised(capsys):
    assert commands().run(["fail", "ValueError"]) == 1
    assert capsys.readouterr() == ("", "zoo fail: why\n")
    with pytest.raises(TypeError, match="why"):
        commands().run(["fail", "TypeError"])
    assert commands(errors=(TypeError,)).run(["fail", "TypeError"]) == 1


def test_a_name_that_is_no_valid_text_is_printed_all_the_same(capsys):
    name = os.fsdecode(b"\xff.png")

    def show(options):
        print(name)
        raise ValueError(name)

    line = terminal.CommandLine("zoo", "Some text")
    line.command("show", show, "Show.")
    assert line.run(["show"]) == 1
    assert capsys.readouterr() == ("\\udcff.png\n", "zoo show: \\udcff.png\n")


def test_an_interruption_gives_130(capsys):
    line = commands(interrupted="interrupted; repeat the command to continue.")
    assert line.run(["fail", "KeyboardInterrupt"]) == 130
    expected = "zoo fail: interrupted; repeat the command to continue.\n"
    assert capsys.readouterr().err == expected


def test_a_command_can_have_its_own_words_for_an_interruption(capsys):
    def stop(options):
        raise KeyboardInterrupt

    line = commands()
    line.command("train", stop, "Train.", interrupted="interrupted; it continues.")
    line.command("list", stop, "List.")
    assert (line.run(["train"]), line.run(["list"])) == (130, 130)
    expected = "zoo train: interrupted; it continues.\nzoo list: interrupted.\n"
    assert capsys.readouterr().err == expected


def test_output_that_nobody_reads_on_is_no_error():
    """As in `aebnas zoo list --json | head -1`."""
    unread, output = os.pipe()
    os.close(unread)
    command = [sys.executable, "-m", "zoo", "list", "--json"]
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE)
    os.close(output)
    assert (done.returncode, done.stderr) == (1, b"")


def test_files_of_the_user_are_run_before_a_command(capsys, tmp_path):
    path = tmp_path / "own.py"
    path.write_text("print(__name__)", encoding="utf-8")
    line = commands()
    terminal.add_load(line.command("show", lambda options: print("shown"), "Show."))
    assert line.run(["show", "--load", str(path), "--load", str(path)]) == 0
    assert capsys.readouterr().out == "own\nown\nshown\n"
    assert line.run(["show", "--load", str(tmp_path / "missing.py")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "missing.py" in err


def printed(capsys, run, *arguments):
    """What an option such as --help prints before it exits."""
    with pytest.raises(SystemExit) as stop:
        run([*arguments])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "started, program",
    [
        ("/somewhere/zoo/__main__.py", "python -m zoo"),
        ("/somewhere/bin/aebnas", "aebnas zoo"),
        ("C:/Scripts/aebnas.exe", "aebnas zoo"),
    ],
)
def test_help_names_the_program_as_it_was_started(
    capsys, monkeypatch, started, program
):
    monkeypatch.setattr(sys, "argv", [started])
    assert f"Some text: {program} answer" in printed(capsys, commands().run, "--help")
    text = printed(capsys, commands().run, "answer", "--help")
    assert f"usage: {program} answer" in text
    assert "Answer.\n\nAt length." in text


def test_version_is_that_of_the_package(capsys):
    expected = f"aebnas-keras {zoo.__version__}\n"
    assert printed(capsys, commands().run, "--version") == expected
    assert printed(capsys, aebnas.main, "--version") == expected


# What the process writes to standard error while Keras is imported


def test_what_a_library_writes_is_kept_back(capfd):
    with terminal._silent():
        os.write(2, b"noise\n")
        print("more noise", file=sys.__stderr__)
    os.write(2, b"news\n")
    assert capfd.readouterr().err == "news\n"


def test_what_a_library_writes_is_shown_if_it_fails(capfd):
    with pytest.raises(ImportError, match="broken"):
        with terminal._silent():
            os.write(2, b"the reason\n")
            raise ImportError("broken")
    assert capfd.readouterr().err == "the reason\n"


# The script


@pytest.fixture
def script(tmp_path):
    """A function: run the console script in a folder with the user's own modules."""
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / "aebnas"  # as installers write it
    path.write_text("import sys\nfrom aebnas import main\nsys.exit(main())\n")
    folder = tmp_path / "folder"
    folder.mkdir()
    for package in aebnas.PACKAGES:
        (folder / f"{package}.py").write_text("raise SystemExit('the user own file')")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, path, *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(pathlib.Path(zoo.__file__).parents[1])},
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.parametrize("package", aebnas.PACKAGES)
def test_the_script_runs_a_package_where_the_user_has_files_of_that_name(
    script, package
):
    done = script(package, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: aebnas {package} ")


def test_the_script_runs_a_command(script):
    done = script("zoo", "list", "--json")
    assert done.returncode == 0, done.stderr
    assert "aebnas_digits" in done.stdout


def test_the_script_says_what_is_there(script):
    done = script("zo")
    assert done.returncode == 2
    assert "invalid choice: 'zo'" in done.stderr
    assert all(name in done.stderr for name in aebnas.PACKAGES)


def test_a_process_is_started_as_this_one_was(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/bin/aebnas", "search", "run"])
    started = [sys.executable, str(pathlib.Path("/bin/aebnas").resolve()), "search"]
    assert terminal.process("search") == started
    monkeypatch.setattr(sys, "argv", ["/x/search/__main__.py", "run"])
    assert terminal.process("search") == [sys.executable, "-m", "search"]


def test_the_script_is_an_entry_point_of_the_distribution():
    text = (pathlib.Path(zoo.__file__).parents[1] / "setup.py").read_text("utf-8")
    assert '"console_scripts": ["aebnas = aebnas:main"]' in text
