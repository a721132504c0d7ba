// The page: a section for each source, and what the sections share.
"use strict";

const report = JSON.parse(document.getElementById("data").textContent);
const several = report.sources.length > 1;

// What the reader chose is kept in the address, such as #budget=2.1e6&trial=21. With
// several sources a name begins with the source, as in #s2.budget=2.1e6; a name without
// one counts for all of them.
let state = new URLSearchParams(location.hash.slice(1));

function recall(id, name) {
  return state.get(`${id}.${name}`) ?? state.get(name);
}

function remember(id, name, value) {
  const key = several ? `${id}.${name}` : name;
  if (value === null || value === "") state.delete(key);
  else state.set(key, value);
  history.replaceState(null, "", `#${state}`);
}

const COLOURS = ["c1", "c2", "c3", "c4", "c5", "c6"];
const FACTORS = { share: 0.01, macs: 1e6, number: 1 };  // of what a reader types
const NAMES = { average_macs: "average MACs", latency_ms: "latency (ms)" };

const words = (metric) => NAMES[metric] ?? metric.replaceAll("_", " ");
const say = (metric, value) => UNITS[unit(metric)].text(value);
const share = (value) => value === null ? "–" : UNITS.share.text(value);
const macs = UNITS.macs.text;
const spent = (setting, exit) => setting.macs.length ? macs(setting.macs[exit]) : "–";
const wide = (values) => Math.max(...values) > 4 * Math.min(...values);  // better on a log scale

// The unit of a metric, one of UNITS.
function unit(metric) {
  if (/error|accuracy/.test(metric)) return "share";
  return /macs|parameters/.test(metric) ? "macs" : "number";
}

function facts(pairs) {
  return make("dl", { class: "facts" }, pairs.map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function select(text, options, chosen, changed) {
  const menu = make("select", { change: () => changed(menu.value) },
    options.map(([value, name]) => make("option", { value, selected: value === chosen }, name)));
  return make("label", { class: "choice" }, text, menu);
}

// A checkbox for published values; nothing where none are known.
function publishedChoice(data, changed) {
  if (!report.published[data]?.length) return null;
  const box = make("input", { type: "checkbox", change: () => changed(box.checked) });
  return make("label", { class: "choice" }, box, "show published values");
}

// Published networks for a chart over MACs like `xs`; y gives the height of one. Those
// that are far away are named in the note instead.
function publishedPoints(data, xs, y) {
  const rows = report.published[data] ?? [];
  const near = (row) =>
    row.average_macs < 3 * Math.max(...xs) && row.average_macs > Math.min(...xs) / 3;
  const at = rows.filter(near).map((row) => ({
    x: row.average_macs, y: y(row), label: row.system,
    says: `${row.system}: test accuracy ${share(row.accuracy)}, ${macs(row.average_macs)} MACs; `
      + `${row.source}${row.derived ? ", derived" : ""}`,
  }));
  const far = rows.filter((row) => !near(row))
    .map((row) => `${row.system} (${share(row.accuracy)}, ${macs(row.average_macs)})`);
  const note = "Diamonds are published test accuracies, their MACs in the aebnas convention.";
  return {
    points: { name: "published", colour: "quiet", shape: "diamond", at },
    note: far.length ? `${note} Far away: ${far.join("; ")}.` : note,
    rows: rows.map((row) => [`published: ${row.system}`, share(row.accuracy), macs(row.average_macs)]),
  };
}

function modelSection(model) {
  const notes = model.notes.map((note) => make("p", {}, note));
  return [
    facts(model.facts),
    notes.length ? make("details", {}, make("summary", {}, "Notes"), notes) : null,
    model.test ? make("details", {}, make("summary", {}, "Its exits on the test split"),
      exitTable(model.network, model.test.setting, model.test, true)) : null,
    panel(model.id, model, model.data),
  ];
}

// The sources of one data set on one chart.
function overview(data) {
  const sources = report.sources.filter((source) => source.data === data);
  const best = (source) => source.kind === "search"
    ? source.settings_front.map(([, error, cost]) => [cost, 1 - error])
    : source.settings.map((each) => [each.average_macs, each.accuracy]);
  const lines = sources.map((source, i) => ({
    name: source.name, colour: COLOURS[i % COLOURS.length], dashed: i >= COLOURS.length,
    steps: true, points: best(source),
  })).filter((line) => line.points.length);
  const xs = lines.flatMap((line) => line.points.map((each) => each[0]));
  if (!xs.length) return null;
  const points = lines.map((line) => ({
    colour: line.colour, size: 3, tinted: true,
    at: line.points.map(([x, y], i) => ({
      x, y, label: i === line.points.length - 1 ? line.name : null,
      says: `${line.name}: accuracy ${share(y)}, ${macs(x)} MACs`,
    })),
  }));
  const rows = lines.flatMap((line) => line.points.map(([x, y]) => [line.name, share(y), macs(x)]));
  const conventions = sources.map((source) => `${source.name}: ${source.convention}`);
  const differ = new Set(sources.map((source) => source.convention)).size > 1;
  const note = "The best threshold settings on the validation split."
    + (differ ? ` MACs are counted differently (${conventions.join(", ")}).` : "");
  const holder = make("div");
  const build = (published) => {
    const added = published ? publishedPoints(data, xs, (row) => row.accuracy) : null;
    holder.replaceChildren(chart({
      title: `Accuracy against average MACs on ${data}`,
      label: `Accuracy against average MACs of ${lines.length} searches and models on ${data}`,
      x: { name: "average MACs per image", unit: "macs", log: wide(xs) },
      y: { name: "accuracy", unit: "share" },
      lines,
      points: added ? [...points, added.points] : points,
      table: {
        columns: ["source", "accuracy", "average MACs"],
        rows: added ? [...rows, ...added.rows] : rows,
      },
      note: added ? `${note} ${added.note}` : note,
    }));
  };
  build(false);
  return make("div", {}, make("div", { class: "choices" }, publishedChoice(data, build)), holder);
}

// The hypervolumes of searches that measure it in the same way, together.
function volumes() {
  const groups = new Map();
  for (const source of report.sources) if (source.hypervolume?.length && source.reference) {
    const measured = JSON.stringify([source.data, source.objectives, source.reference]);
    groups.set(measured, [...groups.get(measured) ?? [], source]);
  }
  return [...groups.values()].filter((group) => group.length > 1).map((group) => {
    const title = `Hypervolume over trials on ${group[0].data}, by the same reference point`;
    const lines = group.map((source, i) => ({
      name: source.name, colour: COLOURS[i % COLOURS.length], dashed: i >= COLOURS.length,
      steps: true, points: source.hypervolume.map(([, volume], k) => [k + 1, volume]),
    }));
    const points = lines.map(({ name, colour, points: line }) => {
      const [x, y] = line.at(-1);
      const at = [{ x, y, label: name, says: `${name}: ${y.toFixed(4)}` }];
      return { colour, size: 3, tinted: true, at };
    });
    const rows = group.map(({ name, hypervolume }) =>
      [name, `${hypervolume.length}`, hypervolume.at(-1)[1].toFixed(4)]);
    return chart({
      title, label: title, lines, points,
      x: { name: "trained trials", unit: "number" },
      y: { name: "share of the box", unit: "number", zero: true },
      table: { columns: ["search", "trained trials", "hypervolume"], rows },
    });
  });
}

function build() {
  const sections = report.sources.map((source) => {
    const name = `${source.id}-name`;
    return make("section", { id: source.id, "aria-labelledby": name },
      make("h2", { id: name, class: several ? null : "hidden" }, source.name),
      source.kind === "search" ? searchSection(source) : modelSection(source));
  });
  if (several) {
    const data = new Set(report.sources.map((source) => source.data).filter(Boolean));
    sections.unshift(make("section", { "aria-labelledby": "overview" },
      make("h2", { id: "overview" }, "Side by side"), [...data].map(overview), volumes()));
    document.querySelector("nav").replaceChildren(make("ul", {}, report.sources.map(link)));
  }
  document.querySelector("main").replaceChildren(...sections);
}

function link(source) {
  const click = (event) => {
    event.preventDefault();  // the address keeps what was chosen
    document.getElementById(source.id).scrollIntoView();
  };
  return make("li", {}, make("a", { href: `#${source.id}`, click }, source.name));
}

// While a search runs, its file is written anew, and this page reads it again.
function reload() {
  if (!report.refresh) return;
  const box = make("input", {
    type: "checkbox", change: () => remember("page", "stay", box.checked ? null : "1"),
  });
  box.checked = !recall("page", "stay");
  document.getElementById("about").append("A search is running. ",
    make("label", {}, box, ` Read this page again every ${report.refresh} seconds.`));
  const typing = () => document.activeElement?.matches("input[type=number]");
  setInterval(() => { if (box.checked && !typing()) location.reload(); }, 1000 * report.refresh);
}

window.addEventListener("hashchange", () => {
  state = new URLSearchParams(location.hash.slice(1));
  build();
});
build();
reload();
