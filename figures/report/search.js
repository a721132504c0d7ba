// A search: its front, how it went, its trials, and the trial that is chosen.
"use strict";

function searchSection(search) {
  if (!search.trials.length)
    return [facts(search.facts), make("p", {}, "No trial is trained yet."), failures(search)];
  const detail = make("section", { class: "detail", "aria-label": "the chosen trial" });
  const [objective] = search.objectives;
  const members = search.trials.filter((each) => onFront(search, each));
  const best = [...members].sort((a, b) => a.metrics[objective] - b.metrics[objective])[0];
  const front = frontFigure(search, (each) => choose(each, true));
  const rows = trialTable(search, (each) => choose(each, true));

  function choose(each, asked) {
    const heading = make("h3", { tabindex: -1, id: `${search.id}-trial` }, `Trial ${each.trial}`);
    const origin = each.origin === "random" ? "Drawn at random" : "Proposed by the search";
    const about = [origin, onFront(search, each) ? "on the front" : "not on the front"];
    for (const [name, value] of Object.entries(each.metrics))
      about.push(`${words(name)} ${say(name, value)}`);
    if (asked) {
      remember(search.id, "trial", each.trial);
      remember(search.id, "budget", null);
    }
    detail.replaceChildren(heading, make("p", {}, `${about.join(", ")}.`),
      panel(search.id, each, search.data));
    front.mark(each);
    if (asked) heading.focus();
  }
  const asked = recall(search.id, "trial");
  choose(search.trials.find((each) => each.trial === asked) ?? best ?? search.trials[0], false);
  return [
    facts(search.facts),
    search.notes.map((note) => make("p", {}, note)),
    front.element,
    make("div", { class: "pair" }, volumeFigure(search), surrogateFigure(search)),
    detail, rows, failures(search),
  ];
}

function onFront(search, each) {
  return search.front.includes(each.trial);
}

// Trials and fronts on two metrics that the reader chooses.
function frontFigure(search, choose) {
  const options = search.metrics.map((metric) => [metric.name, words(metric.name)]);
  const summary = (each) => search.objectives
    .map((name) => `${words(name)} ${say(name, each.metrics[name])}`).join(", ");
  const members = search.trials.filter((each) => onFront(search, each));
  const others = search.trials.filter((each) => !onFront(search, each));
  const holder = make("div");
  let x = search.objectives[1] ?? "average_macs", y = search.objectives[0];
  let published = false, chosen = null;

  // Whether the chart shows just these two metrics, the better one at the bottom left.
  const shows = (a, b) => y === a && x === b && [a, b].every((name) =>
    search.metrics.find((metric) => metric.name === name)?.direction === "min");

  function build() {
    const point = (each) => ({
      x: each.metrics[x], y: each.metrics[y],
      says: `Trial ${each.trial}: ${summary(each)}`, run: () => choose(each),
    });
    const lines = [];
    if (search.objectives.length === 2 && shows(...search.objectives)) lines.push({
      name: "front of trials", colour: "c1", steps: true,
      points: members.map((each) => [each.metrics[x], each.metrics[y]]).sort((a, b) => a[0] - b[0]),
    });
    if (shows("error", "average_macs") && search.settings_front.length) lines.push({
      name: "front of all threshold settings", colour: "c2", dashed: true, steps: true,
      points: search.settings_front.map(([, error, cost]) => [cost, error]),
    });
    const points = [["random", "circle"], ["proposed", "square"]].map(([origin, shape]) => ({
      name: origin, colour: "quiet", shape, size: 4,
      at: others.filter((each) => each.origin === origin).map(point),
    })).filter((group) => group.at.length);
    points.push({
      name: "on the front, with the trial's number", colour: "c1", size: 6,
      at: members.map((each) => ({ ...point(each), label: each.trial })),
    });
    const row = (each) => [each.trial, say(y, each.metrics[y]), say(x, each.metrics[x])];
    const rows = [
      ...members.map(row).map(([number, ...rest]) => [`${number} (front)`, ...rest]),
      ...others.map(row),
    ];
    const xs = search.trials.map((each) => each.metrics[x]);
    let note = "Select a trial here or in the table to see its network.";
    if (published && shows("error", "average_macs")) {
      const added = publishedPoints(search.data, xs, (each) => 1 - each.accuracy);
      points.push(added.points);
      rows.push(...added.rows.map(([name, accuracy, cost]) => [name, `accuracy ${accuracy}`, cost]));
      note = added.note;
    } else if (published) note = "Published values are of error and average MACs: choose these two.";
    const figure = chart({
      title: `Trials: ${words(y)} against ${words(x)}, validation split`,
      label: `${words(y)} against ${words(x)} of ${search.trials.length} trials, `
        + `${members.length} of them on the front. Arrow keys move among them, Enter selects one.`,
      x: { name: words(x), unit: unit(x), log: wide(xs) },
      y: { name: words(y), unit: unit(y) },
      lines, points, note,
      rules: search.target_macs && x === "average_macs" ? [{ x: search.target_macs, label: "target" }] : [],
      table: { columns: ["trial", words(y), words(x)], rows },
    });
    holder.replaceChildren(figure);
    if (chosen) figure.mark(chosen.metrics[x], chosen.metrics[y]);
  }

  const change = (apply) => (value) => {
    apply(value);
    build();
  };
  const choices = make("div", { class: "choices" },
    select("vertical", options, y, change((value) => { y = value; })),
    select("horizontal", options, x, change((value) => { x = value; })),
    publishedChoice(search.data, change((value) => { published = value; })));
  build();
  return {
    element: make("div", { class: "front" }, choices, holder),
    mark(each) {
      chosen = each;
      holder.firstChild.mark(each.metrics[x], each.metrics[y]);
    },
  };
}

function volumeFigure({ hypervolume, trials }) {
  const origin = (number) => trials.find((each) => each.trial === number)?.origin;
  const begins = hypervolume.findIndex(([number]) => origin(number) === "proposed");
  return chart({
    title: "Hypervolume over trials",
    label: `Hypervolume after each trial, ${hypervolume.at(-1)?.[1].toFixed(3)} after the last`,
    x: { name: "trained trials", unit: "number" },
    y: { name: "share of the box", unit: "number", zero: true },
    lines: [{ colour: "c1", steps: true, points: hypervolume.map(([, volume], i) => [i + 1, volume]) }],
    rules: begins > 0 ? [{ x: begins, label: "proposed from here on" }] : [],
    table: {
      columns: ["trained trials", "trial", "hypervolume"],
      rows: hypervolume.map(([number, volume], i) => [`${i + 1}`, number, volume.toFixed(4)]),
    },
  });
}

function surrogateFigure({ iterations }) {
  const names = Object.keys(iterations[0]?.quality ?? {});
  if (!names.length) return make("figure", {},
    make("figcaption", {}, make("strong", {}, "Surrogates")),
    make("p", { class: "note" }, "Nothing has been predicted by surrogates."));
  const ranked = (each, name) => each.quality[name].spearman;
  const rows = iterations.flatMap((each) => names.map((name) => {
    const { n, rmse, spearman, kendall } = each.quality[name];
    return [`${each.trials}`, words(name), each.surrogates[name], `${n}`, say(name, rmse),
      spearman.toFixed(2), kendall.toFixed(2)];
  }));
  return chart({
    title: "How well surrogates ranked new trials",
    label: "Spearman correlation of predicted and measured values, by iteration",
    x: { name: "trials they were fitted to", unit: "number" },
    y: { name: "Spearman correlation", unit: "number", zero: true },
    lines: names.map((name, i) => ({
      name: words(name), colour: COLOURS[i % COLOURS.length],
      points: iterations.map((each) => [each.trials, ranked(each, name)]),
    })),
    points: names.map((name, i) => ({
      colour: COLOURS[i % COLOURS.length], shape: i ? "square" : "circle", size: 4,
      at: iterations.map((each) => ({
        x: each.trials, y: ranked(each, name), says: `${words(name)}: ${ranked(each, name).toFixed(2)}`,
      })),
    })),
    table: {
      columns: ["trials", "metric", "surrogate", "predicted", "root mean square error", "Spearman", "Kendall"],
      rows,
    },
    note: "1: the predicted order was the measured one; 0: no better than chance.",
  });
}

// All trials: a column's heading sorts, the fields above filter.
function trialTable(search, choose) {
  const { id, trials } = search, metrics = search.metrics.map((metric) => metric.name);
  const limited = search.objectives.filter((name) => metrics.includes(name));
  const limits = Object.fromEntries(limited.map((name) => [name, recall(id, `max-${name}`) ?? ""]));
  let sort = recall(id, "sort") ?? "trial", kept = recall(id, "show") ?? "all";
  const body = make("tbody"), count = make("output"), headings = new Map();

  const early = (each) => each.network.exits.length - 1;
  const columns = {
    trial: ["trial", (each) => Number(each.trial)],
    origin: ["origin", (each) => each.origin],
    exits: ["early exits", early],
    ...Object.fromEntries(metrics.map((name) => [name, [words(name), (each) => each.metrics[name]]])),
  };
  const shown = (each) =>
    (kept === "all" || kept === each.origin || (kept === "front" && onFront(search, each)))
    && limited.every((name) =>
      !(limits[name] > 0) || each.metrics[name] <= limits[name] * FACTORS[unit(name)]);

  function build() {
    const name = sort.replace(/^-/, ""), sign = sort === name ? 1 : -1;
    const value = (columns[name] ?? columns.trial)[1];
    const rows = trials.filter(shown).sort((a, b) =>
      sign * (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0));
    for (const [column, heading] of headings) heading.setAttribute("aria-sort",
      column !== name ? "none" : sign > 0 ? "ascending" : "descending");
    count.textContent = `${rows.length} of ${trials.length} trials`;
    body.replaceChildren(...rows.map(row));
  }
  function row(each) {
    const button = make("button", {
      type: "button", "aria-label": `show trial ${each.trial}`, click: () => choose(each),
    }, each.trial);
    const member = onFront(search, each);
    return make("tr", { class: member ? "member" : null },
      make("th", { scope: "row" }, button),
      make("td", {}, member ? `${each.origin}, front` : each.origin),
      make("td", {}, `${early(each)}`),
      metrics.map((name) => make("td", {}, say(name, each.metrics[name]))));
  }
  for (const [name, [text]] of Object.entries(columns)) {
    const title = search.metrics.find((metric) => metric.name === name)?.summary;
    const click = () => {
      sort = sort === name ? `-${name}` : name;
      remember(id, "sort", sort);
      build();
    };
    headings.set(name, make("th", { scope: "col" },
      make("button", { type: "button", title, click }, text)));
  }
  const limit = (name) => {
    const field = make("input", {
      type: "number", step: "any", min: 0, value: limits[name],
      input: () => {
        limits[name] = field.value;
        build();
      },
      change: () => remember(id, `max-${name}`, field.value),
    });
    const sign = { share: "%", macs: "M" }[unit(name)];
    return make("label", { class: "choice" }, `${words(name)} at most`, field, sign);
  };
  const kinds = [
    ["all", "all trials"], ["front", "the front"],
    ["random", "random ones"], ["proposed", "proposed ones"],
  ];
  const filter = select("show", kinds, kept, (value) => {
    kept = value;
    remember(id, "show", value === "all" ? null : value);
    build();
  });
  build();
  return make("section", { class: "trials" },
    make("h3", {}, "Trials"),
    make("div", { class: "choices" }, filter, limited.map(limit), count),
    make("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "trials" },
      make("table", {}, make("thead", {}, make("tr", {}, ...headings.values())), body)));
}

function failures({ failed }) {
  if (!failed.length) return null;
  return make("section", {},
    make("h3", {}, "Trials without a result"),
    table({ columns: ["trial", "reason"], rows: failed }, "trials without a result"));
}
