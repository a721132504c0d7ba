// The page: sections for searches and models, built from the JSON block.
"use strict";

const report = JSON.parse(document.getElementById("data").textContent);

// What the reader chose is kept in the address, such as #budget=2.1e6&trial=21. With
// several sources the names begin with the source, as in #s2.budget=2.1e6; a name
// without one counts for all of them.
let state = new URLSearchParams(location.hash.slice(1));

function recall(id, name) {
  return state.get(`${id}.${name}`) ?? state.get(name);
}

function remember(id, name, value) {
  const key = report.sources.length > 1 ? `${id}.${name}` : name;
  if (value === null || value === "") state.delete(key);
  else state.set(key, value);
  history.replaceState(null, "", `#${state}`);
}

const COLOURS = ["c1", "c2", "c3", "c4", "c5", "c6"];
const WORDS = { average_macs: "average MACs", latency_ms: "latency (ms)" };
const words = (metric) => WORDS[metric] ?? metric.replaceAll("_", " ");
const capital = (text) => text[0].toUpperCase() + text.slice(1);

// Which of UNITS a metric has.
function unit(metric) {
  if (/error|accuracy/.test(metric)) return "share";
  return /macs|parameters/.test(metric) ? "macs" : "number";
}
const say = (metric, value) => UNITS[unit(metric)].text(value);
const share = UNITS.share.text, macs = UNITS.macs.text;
const spent = (setting, exit) => setting.macs.length ? macs(setting.macs[exit]) : "–";

function facts(pairs) {
  return make("dl", { class: "facts" }, pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

function checkbox(text, changed) {
  const box = make("input", { type: "checkbox", change: () => changed(box.checked) });
  return make("label", { class: "choice" }, box, text);
}

function select(text, options, chosen, changed) {
  const box = make("select", { change: () => changed(box.value) },
    options.map(([value, name]) => make("option", { value, selected: value === chosen }, name)));
  return make("label", { class: "choice" }, text, box);
}

// Published networks as points of a chart, without those far away from what it shows.
function publishedPoints(data, xs, y) {
  const rows = report.published[data] ?? [];
  const near = rows.filter((row) => row.average_macs < 3 * Math.max(...xs) && row.average_macs > Math.min(...xs) / 3);
  const far = rows.filter((row) => !near.includes(row)).map((row) => `${row.system} (${macs(row.average_macs)}, ${share(row.accuracy)})`);
  const at = near.map((row) => ({
    x: row.average_macs, y: y(row), label: row.system,
    says: `${row.system}: test accuracy ${share(row.accuracy)}, ${macs(row.average_macs)} MACs; ${row.source}${row.derived ? ", derived" : ""}`,
  }));
  const outside = far.length ? ` Outside of this chart: ${far.join("; ")}.` : "";
  return {
    points: { name: "published (test split)", colour: "quiet", shape: "diamond", at },
    note: `Published values are test accuracies, MACs in the aebnas convention.${outside}`,
    rows: rows.map((row) => [`published: ${row.system}`, share(row.accuracy), macs(row.average_macs)]),
  };
}

// The network, drawn from input to output. show(setting) widens and narrows what flows.
function drawing(network) {
  const total = network.exits.at(-1).backbone;
  const list = make("ol", { class: network.parts.length ? "network" : "network along" });
  const exits = network.exits.map((exit, i) => {
    const reading = make("span", { class: "says" });
    const last = i === network.exits.length - 1;
    const box = make("div", { class: "exit" }, make("strong", {}, exit.name), exit.layers.map((line) => make("span", {}, line)), reading);
    return { exit, box, reading, last, flow: null };
  });
  const flows = [];  // [share element, index of the last exit before it]
  const between = (before) => {
    const band = make("span", { class: "band" }), text = make("span", { class: "on" });
    flows.push([band, text, before]);
    return make("div", { class: "flow" }, band, text);
  };
  if (network.parts.length) network.parts.forEach((part, p) => {
    const index = exits.findIndex((each) => each.exit.part === p);
    const before = exits.filter((each) => each.exit.part <= p).length;
    list.append(make("li", {},
      make("div", { class: "trunk" },
        make("div", { class: "part" }, make("strong", {}, part.name), make("span", {}, part.detail),
          part.blocks.length ? make("span", { class: "blocks" }, part.blocks.map((block) => make("span", {}, block))) : null),
        p < network.parts.length - 1 ? between(before) : null),
      index < 0 ? null : make("div", { class: "arm" }, exits[index].box)));
  });
  else for (const each of exits) {
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--reach", each.exit.backbone / total);
    list.append(make("li", {}, make("div", { class: "trunk" }, bar, make("span", {}, `${macs(each.exit.backbone)} MACs of the backbone`)),
      make("div", { class: "arm" }, each.box)));
  }
  const note = network.parts.length
    ? "A block k5 e3 is an inverted residual with a depthwise kernel of 5 × 5 and an expansion of 3. The band shows the share of images that goes on."
    : "Bars show how much of the backbone comes before each exit.";
  return {
    element: make("figure", {}, make("figcaption", {}, make("strong", {}, "The network")), list, make("p", { class: "note" }, note)),
    show(setting) {
      exits.forEach(({ box, reading, last }, i) => {
        const off = !last && setting.thresholds[i] === 1;
        box.classList.toggle("off", off);
        box.style.setProperty("--share", setting.shares[i]);
        reading.textContent = off ? "switched off" : `${share(setting.shares[i])} leave, ${spent(setting, i)} MACs${last ? "" : `, threshold ${setting.thresholds[i]}`}`;
      });
      for (const [band, text, before] of flows) {
        const on = Math.max(0, 1 - setting.shares.slice(0, before).reduce((a, b) => a + b, 0));
        band.style.setProperty("--share", on);
        text.textContent = before ? `${share(on)} go on` : "";
      }
    },
  };
}

// Test images in a row for each exit; show(exits) sorts them.
function gallery(examples, network) {
  const rows = network.exits.map((exit) => [exit, make("span"), make("div", { class: "pictures" })]);
  const show = (exits) => rows.forEach(([, count, pictures], k) => {
    const here = examples.pictures.filter((_, i) => exits[i] === k);
    count.textContent = ` ${here.length} of ${exits.length}`;
    pictures.replaceChildren(...here.map((picture) => {
      const answer = picture.answers[k], wrong = answer !== picture.truth;
      const says = wrong ? `${answer}, wrong: it is ${picture.truth}` : answer;
      return make("img", { src: picture.source, alt: says, title: says, class: wrong ? "wrong" : null });
    }));
  });
  const element = make("figure", {},
    make("figcaption", {}, make("strong", {}, `The first ${examples.pictures.length} test images by the exit at which they leave`)),
    rows.map(([exit, count, pictures]) => make("div", { class: "leaving" }, make("h4", {}, exit.name, count), pictures)),
    make("p", { class: "note" }, "A dashed orange frame marks a wrong answer; point at a picture to see both."));
  return { element, show };
}

// A network with its exits, and a slider over its threshold settings where it has some.
function panel(id, subject, data, convention) {
  const { network, saved, settings, examples } = subject;
  const first = saved ?? { setting: settings[0], exit_accuracy: null, leaving_accuracy: null };
  if (!first.setting) {
    const picture = drawing(network);
    return make("div", {}, picture.element, make("p", { class: "note" }, "Nothing was measured of it."));
  }
  const element = make("div", { class: "panel" });
  const picture = drawing(network), pictures = examples && gallery(examples, network);
  const reading = make("output", { class: "reading" }), exits = make("div");
  const frontier = settings.length > 1 ? frontierChart(subject, data) : null;
  let slider = null, budget = null, problem = null, back = null;

  function show(index) {
    const setting = index === null ? first.setting : settings[index];
    reading.replaceChildren(
      make("span", {}, "Accuracy ", make("b", { class: "accuracy" }, share(setting.accuracy))),
      make("span", {}, "Average MACs ", make("b", { class: "macs" }, macs(setting.average_macs))),
      make("span", {}, "Thresholds ", make("b", { class: "thresholds" }, setting.thresholds.map((t) => t === 1 ? "off" : t).join(", "))),
      make("span", { class: "note" }, index === null ? `saved thresholds, ${first.split ?? "validation"} split` : `setting ${index + 1} of ${settings.length}, validation split`));
    exits.replaceChildren(table({
      columns: ["exit", "threshold", "leave here", "MACs of these", ...first.exit_accuracy ? ["accuracy on all images"] : [], ...index === null && first.leaving_accuracy ? ["accuracy of those that leave"] : []],
      rows: network.exits.map((exit, i) => [
        exit.name, i === network.exits.length - 1 ? "–" : setting.thresholds[i] === 1 ? "off" : `${setting.thresholds[i]}`,
        share(setting.shares[i]), spent(setting, i),
        ...first.exit_accuracy ? [share(first.exit_accuracy[i])] : [],
        ...index === null && first.leaving_accuracy ? [first.leaving_accuracy[i] === null ? "–" : share(first.leaving_accuracy[i])] : [],
      ]),
    }, { class: "exits" }));
    picture.show(setting);
    pictures?.show(index === null ? examples.saved : examples.settings[index]);
    if (!frontier) return;
    frontier.mark(setting.average_macs, setting.accuracy);
    slider.value = index ?? within(first.setting.average_macs) ?? 0;
    slider.setAttribute("aria-valuetext", `${macs(setting.average_macs)} average MACs, accuracy ${share(setting.accuracy)}`);
    budget.value = (setting.average_macs / 1e6).toFixed(3);
    problem.textContent = "";
    back.disabled = index === null;
  }
  // Index of the most accurate setting within a budget; settings are sorted by both.
  function within(limit) {
    const found = settings.findLastIndex((each) => each.average_macs <= limit * (1 + 1e-9));
    return found < 0 ? null : found;
  }
  function choose(limit) {
    const index = within(limit);
    if (index !== null) return show(index);
    show(0);
    problem.textContent = `Fewer than ${macs(settings[0].average_macs)} average MACs cannot be reached.`;
  }

  if (frontier) {
    slider = make("input", { type: "range", min: 0, max: settings.length - 1, step: 1, "aria-label": "Budget: average MACs per image", input: () => {
      show(Number(slider.value));
      remember(id, "budget", Math.ceil(settings[slider.value].average_macs));
    } });
    budget = make("input", { type: "number", step: "any", min: 0, change: () => {
      if (!(budget.value > 0)) return;
      remember(id, "budget", Math.ceil(budget.value * 1e6));
      choose(budget.value * 1e6);
    } });
    problem = make("span", { role: "status", class: "problem" });
    back = make("button", { type: "button", click: () => { remember(id, "budget", null); show(null); } }, "Saved thresholds");
  }
  element.append(make("div", { class: "budget", role: "group", "aria-label": "Budget" }, reading, frontier ? [slider,
    make("label", { class: "choice" }, "at most", budget, "M average MACs per image"), back, problem] : null), exits);
  element.append(make("div", { class: "pair" }, frontier || pictures ? make("div", {}, frontier, pictures?.element) : null, picture.element));
  const asked = Number(recall(id, "budget"));
  if (frontier && asked > 0) choose(asked);
  else show(saved ? null : 0);
  return element;
}

function frontierChart({ network, saved, settings }, data) {
  const at = settings.map((each) => [each.average_macs, each.accuracy]);
  const alone = saved ? network.exits.map((exit, i) => ({
    x: exit.backbone + exit.branch, y: saved.exit_accuracy[i], label: exit.name,
    says: `all images at the exit ${exit.name}: accuracy ${share(saved.exit_accuracy[i])}, ${macs(exit.backbone + exit.branch)} MACs`,
  })) : [];
  const points = [{ name: "all images at one exit", colour: "c2", shape: "square", at: alone }];
  if (saved) points.push({ name: "saved thresholds", colour: "c3", shape: "diamond", size: 6, at: [{
    x: saved.setting.average_macs, y: saved.setting.accuracy, says: `saved thresholds: accuracy ${share(saved.setting.accuracy)}, ${macs(saved.setting.average_macs)} MACs`,
  }] });
  const rows = [...settings.map((each) => [`thresholds ${each.thresholds.join(", ")}`, share(each.accuracy), macs(each.average_macs)]),
    ...alone.map((each) => [`all at ${each.label}`, share(each.y), macs(each.x)])];
  const columns = ["setting", "accuracy", "average MACs"];
  const xs = [...at.map((p) => p[0]), ...alone.map((p) => p.x)];
  const figure = chart({
    title: "Accuracy against average MACs, validation split",
    label: "Accuracy against average MACs of the threshold settings, and of each exit alone, on the validation split",
    x: { name: "average MACs per image", unit: "macs", log: Math.max(...xs) > 4 * Math.min(...xs) },
    y: { name: "accuracy", unit: "share" },
    lines: [{ name: "threshold settings", colour: "c1", steps: true, points: at }],
    points, table: { columns, rows },
    note: "The ring is the setting that is chosen.",
    control: report.published[data]?.length ? checkbox("show published values", (on) => publish(on)) : null,
  });
  const publish = (on) => {
    const added = publishedPoints(data, xs, (row) => row.accuracy);
    figure.change({ points: on ? [...points, added.points] : points });
    figure.querySelector(".note").textContent = on ? added.note : "The ring is the setting that is chosen.";
    figure.querySelector(".scroll").replaceWith(table({ columns, rows: on ? [...rows, ...added.rows] : rows }));
  };
  return figure;
}

function modelSection(model) {
  return [facts(model.facts), model.notes.length ? make("details", {}, make("summary", {}, "Notes"), model.notes.map((note) => make("p", {}, note))) : null,
    panel(model.id, model, model.data, model.convention)];
}

function searchSection(search) {
  if (!search.trials.length) return [facts(search.facts), make("p", {}, "No trial has been trained yet."), failures(search)];
  const detail = make("section", { class: "detail", "aria-label": "the chosen trial" });
  const best = [...search.front].sort((a, b) => trial(search, a).metrics[search.objectives[0]] - trial(search, b).metrics[search.objectives[0]])[0];
  const front = frontFigure(search, (number) => choose(number, true));
  const rows = trialTable(search, (number) => choose(number, true));
  function choose(number, asked) {
    const found = trial(search, number) ?? trial(search, best) ?? search.trials[0];
    const heading = make("h3", { tabindex: -1, id: `${search.id}-trial` }, `Trial ${found.trial}`);
    const about = [found.origin, search.front.includes(found.trial) ? "on the front" : "not on the front", ...Object.entries(found.metrics).map(([name, value]) => `${words(name)} ${say(name, value)}`)];
    if (asked) { remember(search.id, "trial", found.trial); remember(search.id, "budget", null); }
    detail.replaceChildren(heading, make("p", {}, capital(`${about.join(", ")}.`)), panel(search.id, found, search.data, search.convention));
    front.mark(found);
    if (asked) heading.focus();
  }
  choose(recall(search.id, "trial") ?? best, false);
  return [facts(search.facts), search.notes.map((note) => make("p", {}, note)), front.element,
    make("div", { class: "pair" }, volumeChart(search), surrogateChart(search)), detail, rows, failures(search)];
}

function trial(search, number) {
  return search.trials.find((each) => each.trial === number);
}

function describe(search, each) {
  return `Trial ${each.trial}: ${search.objectives.map((name) => `${words(name)} ${say(name, each.metrics[name])}`).join(", ")}`;
}

// Trials and fronts on two metrics that the reader chooses.
function frontFigure(search, choose) {
  const names = search.metrics.map((metric) => metric.name);
  let x = search.objectives[1] ?? "average_macs", y = search.objectives[0], published = false, chosen = null;
  const holder = make("div"), direction = (name) => search.metrics.find((metric) => metric.name === name)?.direction;
  function build() {
    const point = (each) => ({ x: each.metrics[x], y: each.metrics[y], says: describe(search, each), run: () => choose(each.trial) });
    const members = search.trials.filter((each) => search.front.includes(each.trial));
    const others = search.trials.filter((each) => !members.includes(each));
    const both = (a, b) => x === b && y === a;
    const lines = [];
    const sorted = members.map((each) => [each.metrics[x], each.metrics[y]]).sort((a, b) => a[0] - b[0]);
    if (search.objectives.length === 2 && both(...search.objectives) && direction(x) === "min" && direction(y) === "min")
      lines.push({ name: "front of trials", colour: "c1", steps: true, points: sorted });
    if (both("error", "average_macs") && search.settings_front.length)
      lines.push({ name: "front of all threshold settings", colour: "c2", dashed: true, steps: true, points: search.settings_front.map(([, error, spent]) => [spent, error]) });
    const points = ["random", "proposed"].map((origin) => ({ name: origin, colour: "quiet", shape: origin === "random" ? "circle" : "square", size: 4, at: others.filter((each) => each.origin === origin).map(point) }))
      .filter((group) => group.at.length);
    points.push({ name: "on the front, with the trial's number", colour: "c1", shape: "circle", size: 6, at: members.map((each) => ({ ...point(each), label: each.trial })) });
    const xs = search.trials.map((each) => each.metrics[x]);
    const added = published && both("error", "average_macs") ? publishedPoints(search.data, xs, (row) => 1 - row.accuracy) : null;
    if (added) points.push(added.points);
    const figure = chart({
      title: `${search.trials.length} trials: ${words(y)} against ${words(x)}, validation split`,
      label: `${words(y)} against ${words(x)} of ${search.trials.length} trials, ${members.length} of them on the front. Move among them with the arrow keys; Enter shows one.`,
      x: { name: words(x), unit: unit(x), log: Math.max(...xs) > 4 * Math.min(...xs) }, y: { name: words(y), unit: unit(y) },
      lines, points, rules: search.target_macs && x === "average_macs" ? [{ x: search.target_macs, label: "target" }] : [],
      table: { columns: ["trial", words(y), words(x)], rows: [
        ...members.map((each) => [`${each.trial} (front)`, say(y, each.metrics[y]), say(x, each.metrics[x])]),
        ...others.map((each) => [each.trial, say(y, each.metrics[y]), say(x, each.metrics[x])]),
        ...added ? added.rows.map(([name, accuracy, spent]) => [name, `accuracy ${accuracy}`, spent]) : []] },
      note: added ? added.note : "Select a trial here or in the table to see its network.",
    });
    holder.replaceChildren(figure);
    if (chosen) figure.mark(chosen.metrics[x], chosen.metrics[y]);
  }
  const options = names.map((name) => [name, words(name)]);
  const choices = make("div", { class: "choices" },
    select("vertical", options, y, (value) => { y = value; build(); }),
    select("horizontal", options, x, (value) => { x = value; build(); }),
    report.published[search.data]?.length ? checkbox("show published values", (on) => { published = on; build(); }) : null);
  build();
  return { element: make("div", { class: "front" }, choices, holder), mark: (found) => { chosen = found; holder.firstChild.mark(found.metrics[x], found.metrics[y]); } };
}

function volumeChart(search) {
  const origins = search.hypervolume.map(([number]) => trial(search, number)?.origin);
  const begins = origins.indexOf("proposed");
  return chart({
    title: "Hypervolume over trials",
    label: `Hypervolume after each trained trial, ${search.hypervolume.at(-1)?.[1].toFixed(3)} at the end`,
    x: { name: "trained trials", unit: "number" }, y: { name: "share of the box", unit: "number", zero: true },
    lines: [{ name: "hypervolume", colour: "c1", steps: true, points: search.hypervolume.map(([, volume], i) => [i + 1, volume]) }],
    rules: begins > 0 ? [{ x: begins, label: "proposed from here on" }] : [],
    table: { columns: ["trained trials", "trial", "hypervolume"], rows: search.hypervolume.map(([number, volume], i) => [`${i + 1}`, number, volume.toFixed(4)]) },
  });
}

function surrogateChart(search) {
  const names = Object.keys(search.iterations[0]?.quality ?? {});
  if (!names.length) return make("figure", {}, make("figcaption", {}, make("strong", {}, "Surrogates")), make("p", { class: "note" }, "Nothing was predicted: the method uses no surrogates, or has made no proposals yet."));
  return chart({
    title: "How well surrogates ranked new trials",
    label: "Spearman correlation of predicted and measured values at each iteration",
    x: { name: "trials they were fitted to", unit: "number" }, y: { name: "Spearman correlation", unit: "number", zero: true },
    lines: names.map((name, i) => ({ name: words(name), colour: COLOURS[i % 6], points: search.iterations.map((each) => [each.trials, each.quality[name].spearman]) })),
    points: names.map((name, i) => ({ colour: COLOURS[i % 6], shape: i ? "square" : "circle", size: 4, at: search.iterations.map((each) => ({ x: each.trials, y: each.quality[name].spearman, says: `${words(name)}: ${each.quality[name].spearman.toFixed(2)}` })) })),
    table: { columns: ["trials", "metric", "surrogate", "predicted", "root mean square error", "Spearman", "Kendall"], rows: search.iterations.flatMap((each) => names.map((name) => {
      const quality = each.quality[name];
      return [`${each.trials}`, words(name), each.surrogates[name], `${quality.n}`, say(name, quality.rmse), quality.spearman.toFixed(2), quality.kendall.toFixed(2)];
    })) },
    note: "1: the predicted order was the measured one; 0: no better than chance.",
  });
}

// All trials; a column's heading sorts, the fields above filter.
function trialTable(search, choose) {
  const columns = search.metrics.map((metric) => metric.name);
  const body = make("tbody"), count = make("output"), headings = new Map();
  const limits = Object.fromEntries(search.objectives.map((name) => [name, recall(search.id, `max-${name}`) ?? ""]));
  let sort = recall(search.id, "sort") ?? "trial", kept = recall(search.id, "show") ?? "all";
  const values = { trial: (each) => Number(each.trial), origin: (each) => each.origin, exits: (each) => each.network.exits.length - 1 };
  const value = (each, name) => values[name] ? values[name](each) : each.metrics[name];
  const by = (name) => unit(name) === "share" ? 100 : unit(name) === "macs" ? 1e-6 : 1;

  function build() {
    const name = sort.replace(/^-/, ""), sign = sort.startsWith("-") ? -1 : 1;
    const rows = search.trials.filter((each) =>
      (kept === "all" || kept === each.origin || (kept === "front" && search.front.includes(each.trial)))
      && search.objectives.every((limit) => !(limits[limit] > 0) || each.metrics[limit] * by(limit) <= Number(limits[limit])));
    rows.sort((a, b) => sign * (value(a, name) < value(b, name) ? -1 : value(a, name) > value(b, name) ? 1 : 0));
    for (const [column, heading] of headings) heading.setAttribute("aria-sort", column !== name ? "none" : sign > 0 ? "ascending" : "descending");
    count.textContent = `${rows.length} of ${search.trials.length} trials`;
    body.replaceChildren(...rows.map((each) => make("tr", { class: search.front.includes(each.trial) ? "member" : null },
      make("th", { scope: "row" }, make("button", { type: "button", "aria-label": `show trial ${each.trial}`, click: () => choose(each.trial) }, each.trial)),
      make("td", {}, search.front.includes(each.trial) ? `${each.origin}, front` : each.origin),
      make("td", {}, `${values.exits(each)}`), columns.map((column) => make("td", {}, say(column, each.metrics[column]))))));
  }
  const heading = (name, text) => {
    const cell = make("th", { scope: "col", "aria-sort": "none" }, make("button", { type: "button", click: () => {
      sort = sort === name ? `-${name}` : name;
      remember(search.id, "sort", sort);
      build();
    } }, text));
    headings.set(name, cell);
    return cell;
  };
  const limit = (name) => {
    const box = make("input", { type: "number", step: "any", min: 0, value: limits[name], input: () => {
      limits[name] = box.value;
      remember(search.id, `max-${name}`, box.value);
      build();
    } });
    return make("label", { class: "choice" }, `${words(name)} at most`, box, { share: "%", macs: "M" }[unit(name)] ?? "");
  };
  const kinds = [["all", "all trials"], ["front", "the front"], ["random", "random ones"], ["proposed", "proposed ones"]];
  const element = make("section", { class: "trials" }, make("h3", {}, "Trials"),
    make("div", { class: "choices" }, select("show", kinds, kept, (chosen) => { kept = chosen; remember(search.id, "show", chosen === "all" ? null : chosen); build(); }),
      search.objectives.filter((name) => columns.includes(name)).map(limit), count),
    make("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "trials" }, make("table", {},
      make("thead", {}, make("tr", {}, heading("trial", "trial"), heading("origin", "origin"), heading("exits", "early exits"), columns.map((name) => heading(name, words(name))))), body)));
  build();
  return element;
}

function failures(search) {
  if (!search.failed.length) return null;
  return make("section", {}, make("h3", {}, "Trials without a result"), table({ columns: ["trial", "reason"], rows: search.failed }));
}

// Sources of one data set on one chart.
function overview(data, sources) {
  const lines = sources.map((source, i) => ({
    name: source.name, colour: COLOURS[i % 6], dashed: i >= 6, steps: true,
    points: source.kind === "search" ? source.settings_front.map(([, error, spent]) => [spent, 1 - error]) : source.settings.map((each) => [each.average_macs, each.accuracy]),
  })).filter((line) => line.points.length);
  const xs = lines.flatMap((line) => line.points.map((p) => p[0]));
  if (!xs.length) return null;
  const points = lines.map((line) => ({ colour: line.colour, shape: "circle", size: 3, at: line.points.map(([x, y], i) => ({
    x, y, label: i === line.points.length - 1 ? line.name : null, says: `${line.name}: accuracy ${share(y)}, ${macs(x)} MACs`,
  })) }));
  const conventions = [...new Set(sources.map((source) => source.convention))];
  const note = "Best threshold settings on the validation split." + (conventions.length > 1 ? ` MACs are counted in different conventions: ${sources.map((source) => `${source.name} ${source.convention}`).join(", ")}.` : "");
  const rows = lines.flatMap((line) => line.points.map(([x, y]) => [line.name, share(y), macs(x)]));
  const holder = make("div");
  const build = (published) => {
    const added = published ? publishedPoints(data, xs, (row) => row.accuracy) : null;
    holder.replaceChildren(chart({
      title: `Accuracy against average MACs on ${data}`, label: `Accuracy against average MACs of ${lines.length} searches and models on ${data}`,
      x: { name: "average MACs per image", unit: "macs", log: Math.max(...xs) > 4 * Math.min(...xs) }, y: { name: "accuracy", unit: "share" },
      lines, points: added ? [...points, added.points] : points,
      table: { columns: ["source", "accuracy", "average MACs"], rows: added ? [...rows, ...added.rows] : rows }, note: added ? `${note} ${added.note}` : note,
    }));
  };
  build(false);
  return make("div", {}, report.published[data]?.length ? make("div", { class: "choices" }, checkbox("show published values", build)) : null, holder);
}

function build() {
  const sections = report.sources.map((source) => make("section", { id: source.id, "aria-labelledby": `${source.id}-name` },
    report.sources.length > 1 ? make("h2", { id: `${source.id}-name` }, source.name) : make("h2", { id: `${source.id}-name`, class: "hidden" }, source.name),
    (source.kind === "search" ? searchSection : modelSection)(source)));
  if (report.sources.length > 1) {
    const sets = [...new Set(report.sources.map((source) => source.data).filter(Boolean))];
    const charts = sets.map((data) => overview(data, report.sources.filter((source) => source.data === data)));
    sections.unshift(make("section", { "aria-labelledby": "overview" }, make("h2", { id: "overview" }, "Side by side"), charts));
    document.querySelector("nav").replaceChildren(make("ul", {}, report.sources.map((source) => make("li", {},
      make("a", { href: `#${source.id}`, click: (event) => { event.preventDefault(); document.getElementById(source.id).scrollIntoView(); } }, source.name)))));
  }
  document.querySelector("main").replaceChildren(...sections);
}

// While a search runs the file is written anew, and this page reads it again.
function reloading() {
  const about = document.getElementById("about");
  if (!report.refresh) return;
  const box = make("input", { type: "checkbox", change: () => remember("page", "stay", box.checked ? null : "1") });
  box.checked = !recall("page", "stay");
  about.append("A search is running. ", make("label", {}, box, ` Read this page again every ${report.refresh} seconds.`));
  setInterval(() => { if (box.checked && !document.activeElement?.matches("input[type=number]")) location.reload(); }, 1000 * report.refresh);
}

window.addEventListener("hashchange", () => {
  state = new URLSearchParams(location.hash.slice(1));
  build();
});
build();
reloading();
