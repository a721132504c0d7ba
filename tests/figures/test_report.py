"""The report: what is in it, what a reader does with it in a real browser."""

import dataclasses
import html.parser
import json
import os
import re
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

import figures.report
from figures.__main__ import main
from figures.report import networks, report, watch
from reproduce import published
from reproduce.records import RESULTS
from search.records import SearchRecord
from zoo import data, exits, records, registry

SEARCH = RESULTS / "searches" / "cifar10_small.json"
RUN = RESULTS / "experiments" / "reduced" / "cifar10_aebnas_seed1.json"
MODEL = "aebnas_cifar10_medium"
EVIL = '</script><script>throw "<b>&amp;"</script>\u2028'
CHROMIUM = next(
    filter(
        None,
        map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome")),
    ),
    None,
)


class Page(html.parser.HTMLParser):
    """The elements of a page, and the JSON in it."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.data = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text):
        if self.elements and self.elements[-1][1].get("id") == "data":
            self.data += text.strip()


@pytest.fixture(scope="module")
def record():
    return records.read(SEARCH, SearchRecord)


@pytest.fixture
def written(tmp_path):
    """A function: write a report; returns the page's elements and data."""

    def written(*sources, **options):
        out = tmp_path / "report.html"
        report(sources, out, **options)
        page = Page(out.read_text(encoding="utf-8"))
        return page.elements, json.loads(page.data)

    return written


@pytest.fixture
def saved(tmp_path):
    """A function: a folder with the record of a model, some of its fields changed."""

    def saved(config=None, **changes):
        found = records.to_dict(registry.record(MODEL)) | changes
        found["model"]["config"] |= config or {}
        folder = tmp_path / "saved"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(found), encoding="utf-8")
        return folder

    return saved


# What is in it


def test_a_search_is_shown_as_it_was_recorded(written, record):
    _, page = written(SEARCH)
    (search,) = page["sources"]
    assert search["name"] == page["title"] == "cifar10_small"
    assert search["front"] == list(record.front)
    assert search["hypervolume"] == [list(each) for each in record.hypervolume]
    assert len(search["settings_front"]) == len(record.settings_front)
    assert [each["trials"] for each in search["iterations"]] == [
        each.trials for each in record.iterations
    ]
    origins = [each["origin"] for each in search["trials"]]
    initial = record.settings.initial_trials
    assert origins == ["random"] * initial + ["proposed"] * (40 - initial)
    for shown, candidate in zip(search["trials"], record.candidates, strict=True):
        assert shown["metrics"] == candidate.metrics
        found, setting = candidate.evaluation, shown["saved"]["setting"]
        assert setting["shares"] == list(found.utilisation)
        assert setting["macs"] == list(found.macs)
        assert setting["average_macs"] == pytest.approx(found.average_macs)
        assert shown["saved"]["exit_accuracy"] == list(found.exit_accuracy)
        assert len(shown["settings"]) == len(candidate.frontier)
        stages = [part for part in shown["network"]["parts"] if part["blocks"]]
        assert [len(stage["blocks"]) for stage in stages] == [
            len(stage.blocks) for stage in candidate.network.stages
        ]
    assert not search["running"] and page["refresh"] is None


def test_a_model_is_shown_with_its_frontier_and_its_exits(written):
    _, page = written(MODEL)
    (model,) = page["sources"]
    noted = registry.record(MODEL)
    cost, points = noted.macs, registry.operating_points(MODEL)
    assert [each["accuracy"] for each in model["settings"]] == [
        point.accuracy for point in points
    ]
    for shown, point in zip(model["settings"], points, strict=True):
        assert shown["average_macs"] == pytest.approx(point.average_macs)
        assert shown["macs"] == list(cost.per_exit_at(point.thresholds))
    drawn = model["network"]["exits"]
    assert [each["name"] for each in drawn] == list(noted.exit_names)
    assert [each["branch"] for each in drawn] == [*cost.branches, 0]
    names = [model["network"]["parts"][each["part"]]["name"] for each in drawn]
    assert names == ["stage 2", "stage 3", "stage 4", "head"]
    assert drawn[1]["layers"] == ["size 8, kernel 3, expansion 2"]
    assert model["test"]["setting"]["accuracy"] == noted.results["test"].accuracy


def test_models_are_counted_like_the_searches_beside_them(written):
    _, page = written(MODEL, SEARCH, "aebnas_digits")
    assert [each["convention"] for each in page["sources"]] == [
        *("aebnas", "aebnas"),
        "standard",  # no search on the digits is beside it
    ]
    spent = [each["average_macs"] for each in page["sources"][0]["settings"]]
    points = registry.operating_points(MODEL, "aebnas")
    np.testing.assert_allclose(spent, [point.average_macs for point in points])
    _, page = written(MODEL, SEARCH, convention="standard")
    assert page["sources"][0]["convention"] == "standard"


def test_published_values_are_those_of_the_data_set(written):
    _, page = written(SEARCH)
    known = [row for row in published.rows("cifar10") if row.accuracy is not None]
    shown = page["published"]["cifar10"]
    assert [each["system"] for each in shown] == [row.system for row in known]
    assert [each["accuracy"] for each in shown] == pytest.approx(
        [row.accuracy / 100 for row in known]
    )
    assert [each["source"] for each in shown if each["derived"]] == [
        published.AEBNAS_TEXT
    ]


def test_an_experiment_says_which_trial_it_reports(written):
    _, page = written(RUN)
    (note,) = page["sources"][0]["notes"]
    found = json.loads(RUN.read_text(encoding="utf-8"))
    assert f"reports trial {found['selected']['trial']}: test accuracy" in note


def test_limits_and_failures_of_a_search_are_told(written, tmp_path):
    found = json.loads(SEARCH.read_text(encoding="utf-8"))
    found["settings"]["constraints"] = {"parameters": [None, 3e6]}
    found["failed"] = [{"trial": "40", "reason": "The loss is NaN."}]
    (tmp_path / "limited.json").write_text(json.dumps(found))
    _, page = written(tmp_path / "limited.json")
    (search,) = page["sources"]
    assert ["limit of parameters", "at most 3e+06"] in search["facts"]
    assert search["failed"] == [["40", "The loss is NaN."]]


def test_a_network_of_another_kind_has_exits_along_its_macs(written, saved):
    config = {"architecture": None}
    _, page = written(saved(config, exit_names=["a", "b", "c", "final"]))
    network = page["sources"][0]["network"]
    assert network["parts"] == []
    assert [each["name"] for each in network["exits"]] == ["a", "b", "c", "final"]
    assert [each["backbone"] for each in network["exits"]] == list(
        registry.record(MODEL).macs.backbone
    )


def test_exits_on_a_backbone_are_placed_by_what_they_spent(record):
    found = record.candidates[0].evaluation
    heads = {"layer4": {"head": "linear"}, "layer9": {"head": "token", "token": "mean"}}
    drawn = networks.attached(heads, found)
    assert [each.name for each in drawn.exits] == ["layer4", "layer9", "final"]
    assert drawn.exits[1].layers == ("token head, token mean",)
    assert [each.backbone for each in drawn.exits] == list(found.macs)
    point = exits.OperatingPoint((0.5, 0.5), 0.5, 1e6, (0.4, 0.4, 0.2))
    assert networks.setting(point, None).average_macs == 1e6


def test_a_model_without_results_and_a_search_without_trials_are_shown(
    written, saved, tmp_path
):
    found = json.loads(SEARCH.read_text(encoding="utf-8"))
    empty = ("candidates", "front", "settings_front", "hypervolume", "iterations")
    path = tmp_path / "empty.json"
    path.write_text(json.dumps(found | {name: [] for name in empty}))
    _, page = written(path, saved(results=None, frontier=[], data=None))
    search, model = page["sources"]
    assert search["trials"] == [] and model["saved"] is None and not model["settings"]


def test_text_of_records_cannot_become_markup(written, saved):
    names = [EVIL, *"bcdefghij"]
    folder = saved(notes=[EVIL], class_names=names, exit_names=[EVIL, "b", "c", "d"])
    elements, page = written(folder)
    assert [tag for tag, _ in elements].count("script") == 5
    (model,) = page["sources"]
    assert model["notes"] == [EVIL]
    assert model["network"]["exits"][0]["name"] == EVIL
    shown = dataclasses.replace(
        figures.report.content.content([folder]), title="<script>"
    )
    assert "<title>&lt;script&gt;</title>" in figures.report.page(shown)


def test_the_page_is_small_and_needs_no_network(written, tmp_path):
    elements, page = written(SEARCH, MODEL)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown = json.dumps(page, ensure_ascii=False, separators=(",", ":"))
    assert len(text.encode()) - len(shown.encode()) < 100_000
    assert set(re.findall(r"https?://[\w./]+", text.replace(shown, ""))) == {
        "http://www.w3.org/2000/svg"  # the name of SVG
    }
    assert not [each for tag, each in elements if "src" in each or "href" in each]
    (policy,) = [each["content"] for _, each in elements if "http-equiv" in each]
    assert policy.startswith("default-src 'none'")


def test_colours_are_those_of_the_figures():
    from figures.style import COLOURS

    css = (figures.report.FOLDER / "page.css").read_text(encoding="utf-8")
    for name, colour in zip(("c1", "c2", "c3"), COLOURS):
        assert f"--{name}: {colour.lower()};" in css


# Sources


@pytest.mark.parametrize(
    "source, message",
    [
        ("aebnas_cifar10_smal", "Did you mean 'aebnas_cifar10_small'"),
        ("setup.py", "setup.py is damaged: it is not JSON"),
        ("reproduce/results/finetune_digits.json", "of kind 'finetune'; expected"),
    ],
)
def test_what_is_no_search_and_no_model_is_an_error(
    source, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(RESULTS.parent.parent)
    out = tmp_path / "report.html"
    assert main(["report", source, "--out", str(out)]) == 1
    assert message in capsys.readouterr().err and not out.exists()


@pytest.mark.parametrize(
    "options", [["--examples", "-1"], ["--watch", "--every", "0"], ["--every", "nan"]]
)
def test_options_out_of_range_are_errors(options, tmp_path, capsys):
    arguments = ["report", MODEL, "--out", str(tmp_path / "report.html"), *options]
    assert main(arguments) == 1
    assert options[-2] in capsys.readouterr().err


def test_the_report_needs_neither_keras_nor_matplotlib(tmp_path):
    code = (
        "import sys; from figures.__main__ import main; "
        f"main(['report', {MODEL!r}, '--out', 'report.html']); "
        "print({'keras', 'tensorflow', 'matplotlib'} & {*sys.modules})"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(RESULTS.parent.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines() == ["Wrote report.html.", "set()"]


@pytest.fixture
def running(tmp_path, record, monkeypatch):
    """The folder of a search that is running, and a function that finishes it."""
    folder = tmp_path / "my_search"
    folder.mkdir()
    begun = json.loads(SEARCH.read_text(encoding="utf-8"))
    parts = {name: begun[name] for name in ("settings", "data", "provenance")}
    started = {"kind": "started_search", "format": 2, **parts}
    (folder / "search.json").write_text(json.dumps(started))
    half = dataclasses.replace(
        record, candidates=record.candidates[:12], front=("09",), settings_front=()
    )
    reading = types.SimpleNamespace(record=lambda path: half)
    monkeypatch.setitem(sys.modules, "search.reading", reading)
    monkeypatch.setattr("search.reading", reading, raising=False)
    monkeypatch.setattr("zoo.terminal.import_keras", lambda: None)
    return folder, lambda: shutil.copy(SEARCH, folder / "record.json")


def test_a_running_search_is_watched_until_it_is_finished(running, tmp_path):
    folder, finish = running
    out, seen = tmp_path / "report.html", []

    def wait(seconds):
        page = json.loads(Page(out.read_text(encoding="utf-8")).data)
        seen.append((seconds, len(page["sources"][0]["trials"]), page["refresh"]))
        if len(seen) == 2:
            finish()

    shown = watch([folder], out, 7, wait)
    assert seen == [(7, 12, 7), (7, 12, 7)]
    assert not shown.sources[0].running and len(shown.sources[0].trials) == 40
    assert json.loads(Page(out.read_text("utf-8")).data)["refresh"] is None


def test_a_search_that_is_continued_is_running_again(running, tmp_path):
    folder, finish = running
    finish()
    started = json.loads((folder / "search.json").read_text())
    started["settings"]["trials"] = 80
    (folder / "search.json").write_text(json.dumps(started))
    assert report([folder], tmp_path / "report.html").sources[0].running


# Pictures


@pytest.fixture
def fake(monkeypatch):
    """A model of three exits that answers images without a network."""
    noted = registry.record("aebnas_digits")
    digits = data.load("digits")

    def predict(images, verbose):
        rng = np.random.default_rng(1)
        return rng.normal(size=(len(images), 3, 10)).astype(np.float32) * 3

    model = types.SimpleNamespace(
        predict=predict, thresholds=(0.5, 0.5), exit_rule="score_margin"
    )
    monkeypatch.setattr(registry, "load", lambda name: model)
    return noted, digits, predict(np.zeros(20), 0)


def test_pictures_leave_where_the_exit_rule_says(written, fake):
    noted, digits, logits = fake
    _, page = written("aebnas_digits", pictures=20)
    shown = page["sources"][0]["examples"]
    assert shown["saved"] == exits.decide(logits, (0.5, 0.5)).tolist()
    for leaving, point in zip(shown["settings"], noted.frontier, strict=True):
        assert leaving == exits.decide(logits, point.thresholds).tolist()
    for k, picture in enumerate(shown["pictures"]):
        assert picture["source"].startswith("data:image/png;base64,")
        assert picture["truth"] == str(digits.test.labels[k])
        assert picture["answers"] == [str(i) for i in logits[k].argmax(-1)]


# In a browser


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """A function: what a script returns in a page, with nothing on the console."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    folder = tmp_path_factory.mktemp("browser")

    def browse(sources, script, address="", width=1000, **options):
        out = folder / "report.html"
        shown = report(sources, out, **options)
        text = out.read_text(encoding="utf-8")
        added = f"""<script>
        const drawn_anew = () => new Promise((done) => setTimeout(done, 50));
        drawn_anew().then(async () => {{ {script} }}).then((found) =>
          document.body.append(make("pre", {{ id: "found" }}, JSON.stringify(found))));
        </script></body>"""
        out.write_text(text.replace("</body>", added), encoding="utf-8")
        root = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        done = subprocess.run(
            [
                *(CHROMIUM, "--headless", "--disable-gpu", *root, "--dump-dom"),
                *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000"),
                *(f"--user-data-dir={folder / 'profile'}", "--disable-dev-shm-usage"),
                *(f"--window-size={width},900", f"{out.as_uri()}{address}"),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert "CONSOLE" not in done.stderr, done.stderr
        assert "[object " not in done.stdout
        (found,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
        return shown, json.loads(html.unescape(found).replace("\u00a0", " "))

    return browse


READ = """
const text = (selector, root = document) => root.querySelector(selector).textContent;
const reading = () => [".accuracy", ".macs", ".thresholds"].map((name) => text(name));
const rows = (selector) => [...document.querySelectorAll(`${selector} tbody tr`)].map(
  (row) => [...row.cells].map((cell) => cell.textContent));
const change = (element, value) => {
  element.value = value;
  for (const type of ["input", "change"]) element.dispatchEvent(new Event(type));
};
"""


def said(setting):
    """What the page says of a setting."""
    thresholds = ("off" if each == 1 else f"{each:g}" for each in setting.thresholds)
    return [
        f"{100 * setting.accuracy:.1f} %",
        f"{setting.average_macs / 1e6:.2f} M",
        ", ".join(thresholds),
    ]


def test_the_slider_moves_accuracy_shares_thresholds_and_drawing(browse):
    script = f"""{READ}
    const look = () => [reading(), rows(".panel .exits"), [...document.querySelectorAll(
      ".exit .says")].map((each) => each.textContent), location.hash];
    const slider = document.querySelector("input[type=range]");
    const all = [look()];
    for (const index of [0, 20]) {{ change(slider, index); all.push(look()); }}
    change(document.querySelector(".budget input[type=number]"), "0.1");
    const problem = text(".problem");
    document.querySelector(".budget button").click();
    return {{ all, problem, back: look() }};"""
    shown, found = browse([MODEL], script, "#budget=4e6")
    (model,) = shown.sources
    within = [each for each in model.settings if each.average_macs <= 4e6]
    settings = [within[-1], model.settings[0], model.settings[20]]
    for setting, (numbers, table, drawn, _) in zip(settings, found["all"]):
        assert numbers == said(setting)
        assert [row[2] for row in table] == [
            f"{100 * share:.1f} %" for share in setting.shares
        ]
        for share, threshold, text in zip(setting.shares, setting.thresholds, drawn):
            off = threshold == 1
            assert text.startswith("switched off" if off else f"{100 * share:.1f} %")
    assert [each[3] for each in found["all"]][1:] == [
        f"#budget={np.ceil(setting.average_macs):.0f}" for setting in settings[1:]
    ]
    assert "cannot be reached" in found["problem"]
    assert found["back"][0] == said(model.saved.setting)
    assert len(found["back"][1][0]) == 6  # also how accurate those are that leave


def test_trials_are_sorted_filtered_and_chosen(browse):
    script = f"""{READ}
    const first = () => rows(".trials").map((row) => row[0]);
    const asked = [first(), text(".detail h3")];
    const button = [...document.querySelectorAll(".trials thead button")].find(
      (each) => each.textContent === "average MACs");
    button.click();
    const sorted = [first(), button.parentElement.getAttribute("aria-sort")];
    change(document.querySelector(".trials select"), "front");
    const front = first();
    change(document.querySelector(".trials select"), "all");
    change(document.querySelectorAll(".trials input")[1], "3");
    const limited = [first(), text(".trials output")];
    const points = [...document.querySelectorAll(".front .active")];
    const stops = points.filter((each) => each.getAttribute("tabindex") === "0");
    const press = (key) => document.activeElement.dispatchEvent(
      new KeyboardEvent("keydown", {{ key, bubbles: true }}));
    stops[0].focus();
    press("ArrowRight");
    const second = document.activeElement.getAttribute("aria-label");
    press("Enter");
    const chosen = [text(".detail h3"), document.activeElement.id, location.hash];
    const unnamed = [...document.querySelectorAll("button, input, select, svg[role]")]
      .filter((each) => !each.ariaLabel && !each.labels?.length
        && !(each.matches("button") && each.textContent)).length;
    const before = document.querySelectorAll(".front .point").length;
    document.querySelector(".front .choices input").click();
    await drawn_anew();
    const added = document.querySelectorAll(".front .point").length - before;
    return {{ asked, sorted, front, limited, stops: stops.length, second, chosen,
      unnamed, added, charts: document.querySelectorAll(".chart svg").length,
      tables: document.querySelectorAll("figure details table").length,
      wide: document.documentElement.scrollWidth - innerWidth }};"""
    shown, found = browse([SEARCH], script, "#sort=-error&trial=27", width=500)
    (search,) = shown.sources

    def by(name, sign=1):
        return [
            each.trial
            for each in sorted(search.trials, key=lambda t: sign * t.metrics[name])
        ]

    assert found["asked"] == [by("error", -1), "Trial 27"]
    assert found["sorted"] == [by("average_macs"), "ascending"]
    assert sorted(found["front"]) == sorted(search.front)
    cheap = [each.trial for each in search.trials if each.metrics["average_macs"] < 3e6]
    assert sorted(found["limited"][0]) == cheap and len(cheap) < 40
    assert found["limited"][1] == f"{len(cheap)} of 40 trials"
    assert found["stops"] == 1  # Tab stops once; arrow keys go on from there
    second = by("average_macs")[1]
    assert found["second"].startswith(f"Trial {second}: error ")
    assert found["chosen"][:2] == [f"Trial {second}", "s1-trial"]
    assert f"trial={second}" in found["chosen"][2]
    assert found["unnamed"] == 0 and found["wide"] <= 0
    assert found["charts"] == found["tables"] >= 3
    assert found["added"] > 3


def test_several_sources_with_pictures_and_hostile_names_are_shown(
    browse, saved, fake, tmp_path
):
    hostile = tmp_path / "hostile.json"
    model = json.loads((saved({"architecture": None}) / "config.json").read_text())
    exit_names = [EVIL, "b", "c", "final"]
    hostile.write_text(json.dumps(model | {"notes": [EVIL], "exit_names": exit_names}))
    script = f"""{READ}
    const pictures = () => [...document.querySelectorAll("#s2 .pictures")].map(
      (row) => row.children.length);
    const saved = pictures();
    change(document.querySelector("#s2 input[type=range]"), 0);
    const moved = [pictures(), location.hash];
    document.querySelector("#about input").click();
    const volumes = [...document.querySelectorAll("strong")].filter((each) =>
      each.textContent.startsWith("Hypervolume over trials on cifar10")).length;
    return {{ saved, moved, volumes, about: text("#about"), stay: location.hash,
      headings: [...document.querySelectorAll("h2")].map((each) => each.textContent),
      evil: text("#s4 .exit strong"), bars: document.querySelectorAll(".bar").length,
      drawn: document.querySelectorAll("#s2 .part").length }};"""
    # Only the digits' model is run; the other record has no data set any more.
    found = json.loads(hostile.read_text()) | {"data": None}
    hostile.write_text(json.dumps(found))
    with pytest.raises(ValueError, match="records no data set"):
        report([hostile], tmp_path / "no.html", pictures=20)
    page = figures.report.content.content
    shown = page([RUN, "aebnas_digits", RUN], pictures=20)
    other = page([hostile]).sources[0]
    both = dataclasses.replace(
        shown,
        sources=(*shown.sources, dataclasses.replace(other, id="s4")),
        refresh=30,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("figures.report.content.content", lambda *_, **__: both)
        _, found = browse([RUN], script)
    digits = shown.sources[1]
    for leaving, counted in (
        (digits.examples.saved, found["saved"]),
        (digits.examples.settings[0], found["moved"][0]),
    ):
        assert counted == np.bincount(leaving, minlength=3).tolist()
    assert found["saved"] != found["moved"][0]
    assert found["moved"][1].startswith("#s2.budget=")
    assert "Read this page again every 30 seconds" in found["about"]
    assert found["stay"].endswith("&page.stay=1")
    assert found["headings"] == ["Side by side", *(each.name for each in both.sources)]
    assert found["volumes"] == 1  # of both searches together
    assert found["evil"] == EVIL and found["bars"] == 4 and found["drawn"] == 8
