// A network with its exits, and the slider that moves along its threshold frontier.
"use strict";

// subject    has network, saved, settings, and examples if there are pictures; saved is
//            what it does at its own thresholds, settings are sorted by MACs
// data       the data set, for published values
function panel(id, subject, data) {
  const { network, saved, settings, examples } = subject;
  const picture = networkFigure(network);
  if (!saved && !settings.length)
    return make("div", {}, picture.element, make("p", { class: "note" }, "It was not measured."));
  const pictures = examples ? gallery(examples, network) : null;
  const frontier = settings.length > 1 ? frontierFigure(subject, data) : null;
  const reading = make("output", { class: "reading", "aria-live": "off" });  // the slider says it
  const exits = make("div");
  const controls = frontier ? budgetControls(id, saved, settings, show) : null;

  // Show a setting by its index; null is the one that was saved.
  function show(index) {
    const setting = index === null ? saved.setting : settings[index];
    const thresholds = setting.thresholds.map((each) => each === 1 ? "off" : each).join(", ");
    const where = index === null ? `saved thresholds, ${saved.split} split`
      : `setting ${index + 1} of ${settings.length}, validation split`;
    reading.replaceChildren(
      make("span", {}, "Accuracy ", make("b", { class: "accuracy" }, share(setting.accuracy))),
      make("span", {}, "Average MACs ", make("b", { class: "macs" }, macs(setting.average_macs))),
      thresholds ? make("span", {}, "Thresholds ", make("b", { class: "thresholds" }, thresholds)) : "",
      make("span", { class: "note" }, where));
    exits.replaceChildren(exitTable(network, setting, saved, index === null));
    picture.show(setting);
    pictures?.show(index === null ? examples.saved : examples.settings[index]);
    controls?.show(setting, index);
    frontier?.mark(setting.average_macs, setting.accuracy);
  }

  const asked = Number(recall(id, "budget"));
  if (controls && asked > 0) controls.choose(asked);
  else show(saved ? null : 0);
  const beside = frontier || pictures ? make("div", {}, frontier, pictures?.element) : null;
  return make("div", { class: "panel" },
    make("div", { class: "budget", role: "group", "aria-label": "Budget" },
      reading, controls?.elements),
    exits,
    make("div", { class: "pair" }, beside, picture.element));
}

// The slider, a field for a number of MACs, and a button back to the saved thresholds.
function budgetControls(id, saved, settings, show) {
  const keep = () => remember(id, "budget", Math.ceil(settings[slider.value].average_macs));
  const slider = make("input", {
    type: "range", min: 0, max: settings.length - 1, step: 1,
    "aria-label": "Budget: average MACs per image",
    input: () => show(Number(slider.value)), change: keep,
  });
  const field = make("input", {
    type: "number", step: "any", min: 0,
    change: () => {
      const limit = field.value * 1e6;
      if (!(limit > 0)) return;
      choose(limit);
      keep();
    },
  });
  const problem = make("span", { role: "status", class: "problem" });
  const back = saved ? make("button", {
    type: "button",
    click: () => {
      remember(id, "budget", null);
      show(null);
    },
  }, "Saved thresholds") : null;

  // Index of the most accurate setting within a budget; null: none is so cheap.
  function within(limit) {
    const found = settings.findLastIndex((each) => each.average_macs <= limit * (1 + 1e-9));
    return found < 0 ? null : found;
  }
  function choose(limit) {
    const index = within(limit);
    show(index ?? 0);
    if (index === null) problem.textContent =
      `Fewer than ${macs(settings[0].average_macs)} average MACs cannot be reached.`;
  }
  return {
    elements: [slider,
      make("label", { class: "choice" }, "at most", field, "M average MACs per image"),
      back, problem],
    choose,
    show(setting, index) {
      slider.value = index ?? within(setting.average_macs) ?? 0;
      slider.setAttribute("aria-valuetext",
        `${macs(setting.average_macs)} average MACs, accuracy ${share(setting.accuracy)}`);
      field.value = (setting.average_macs / 1e6).toFixed(3);
      problem.textContent = "";
      if (back) back.disabled = index === null;
    },
  };
}

// What each exit does. How accurate those are that leave is known of what was saved.
function exitTable(network, setting, saved, own) {
  const columns = ["exit", "threshold", "leave here", "MACs of these"];
  if (saved) columns.push("accuracy on all images");
  if (own) columns.push("accuracy of those that leave");
  const rows = network.exits.map((exit, i) => {
    const threshold = setting.thresholds[i];  // the final exit has none
    const said = threshold === undefined ? "–" : threshold === 1 ? "off" : `${threshold}`;
    const row = [exit.name, said, share(setting.shares[i]), spent(setting, i)];
    if (saved) row.push(share(saved.exit_accuracy[i]));
    if (own) row.push(share(saved.leaving_accuracy[i]));
    return row;
  });
  return table({ columns, rows }, "exits", { class: "exits" });
}

// The threshold settings, every exit alone, and what was saved.
function frontierFigure({ network, saved, settings }, data) {
  const line = settings.map((each) => [each.average_macs, each.accuracy]);
  const alone = saved ? network.exits.map((exit, i) => {
    const [x, y] = [exit.backbone + exit.branch, saved.exit_accuracy[i]];
    const says = `all images at the exit ${exit.name}: accuracy ${share(y)}, ${macs(x)} MACs`;
    return { x, y, says, label: exit.name };
  }) : [];
  const points = [{ name: "all images at one exit", colour: "c2", shape: "square", at: alone }];
  if (saved) {
    const { average_macs: x, accuracy: y } = saved.setting;
    const says = `saved thresholds: accuracy ${share(y)}, ${macs(x)} MACs`;
    points.push({ name: "saved thresholds", colour: "c3", shape: "diamond", size: 6, at: [{ x, y, says }] });
  }
  const rows = [
    ...settings.map((each) => [
      `thresholds ${each.thresholds.join(", ")}`, share(each.accuracy), macs(each.average_macs),
    ]),
    ...alone.map((each) => [`all at ${each.label}`, share(each.y), macs(each.x)]),
  ];
  const columns = ["setting", "accuracy", "average MACs"];
  const xs = [...line.map((each) => each[0]), ...alone.map((each) => each.x)];
  const note = "The ring is the setting that is chosen.";
  const title = "Accuracy against average MACs, validation split";
  const publish = (on) => {
    const added = publishedPoints(data, xs, (row) => row.accuracy);
    figure.change({ points: on ? [...points, added.points] : points });
    figure.querySelector(".note").textContent = on ? `${note} ${added.note}` : note;
    figure.querySelector(".scroll").replaceWith(
      table({ columns, rows: on ? [...rows, ...added.rows] : rows }, title));
  };
  const figure = chart({
    title,
    label: "Accuracy against average MACs of the threshold settings, and of each exit alone",
    x: { name: "average MACs per image", unit: "macs", log: wide(xs) },
    y: { name: "accuracy", unit: "share" },
    lines: [{ name: "threshold settings", colour: "c1", steps: true, points: line }],
    points,
    table: { columns, rows },
    note,
    control: publishedChoice(data, publish),
  });
  return figure;
}

// The network, drawn from input to output. show(setting) says what leaves and what goes on.
function networkFigure(network) {
  const { parts, exits } = network;
  const boxes = exits.map((exit) => {
    const says = make("span", { class: "says" });
    const lines = exit.layers.map((line) => make("span", {}, line));
    const box = make("div", { class: "exit" }, make("strong", {}, exit.name), lines, says);
    return { box, says };
  });
  const flows = [];  // between two parts: a band, its text, and how many exits come before
  const rows = parts.length ? parts.map((part, p) => {
    const index = exits.findIndex((exit) => exit.part === p);
    const block = (text) => make("span", {}, text);
    const trunk = make("div", { class: "trunk" },
      make("div", { class: "part" },
        make("strong", {}, part.name),
        make("span", {}, part.detail),
        part.blocks.length ? make("span", { class: "blocks" }, part.blocks.map(block)) : null));
    if (p < parts.length - 1) {
      const [band, text] = [make("span", { class: "band" }), make("span", { class: "on" })];
      flows.push({ band, text, before: exits.filter((exit) => exit.part <= p).length });
      trunk.append(make("div", { class: "flow" }, band, text));
    }
    const arm = index < 0 ? null : make("div", { class: "arm" }, boxes[index].box);
    return make("li", {}, trunk, arm);
  }) : exits.map((exit, i) => {
    const bar = make("span", { class: "bar" });
    bar.style.setProperty("--reach", exit.backbone / exits.at(-1).backbone);
    const trunk = make("div", { class: "trunk" },
      bar, make("span", {}, `${macs(exit.backbone)} MACs before this exit`));
    return make("li", {}, trunk, make("div", { class: "arm" }, boxes[i].box));
  });
  const note = parts.length
    ? "A block k5 e3 is an inverted residual with a depthwise kernel of 5 × 5 and an expansion "
      + "of 3. The band shows the share of images that goes on."
    : "Bars show how much of the network comes before each exit.";
  const element = make("figure", {},
    make("figcaption", {}, make("strong", {}, "The network")),
    make("ol", { class: parts.length ? "network" : "network along" }, rows),
    make("p", { class: "note" }, note));
  return {
    element,
    show(setting) {
      boxes.forEach(({ box, says }, i) => {
        const threshold = setting.thresholds[i], off = threshold === 1;
        const limit = threshold === undefined ? "" : `, threshold ${threshold}`;
        box.classList.toggle("off", off);
        box.parentElement.style.setProperty("--share", setting.shares[i]);
        says.textContent = off ? "switched off"
          : `${share(setting.shares[i])} leave, ${spent(setting, i)} MACs${limit}`;
      });
      for (const { band, text, before } of flows) {
        const left = setting.shares.slice(before).reduce((sum, each) => sum + each, 0);
        band.style.setProperty("--share", left);
        text.textContent = before ? `${share(left)} go on` : "";
      }
    },
  };
}

// Test images, a row for each exit. show(leaving) sorts them by the exits' indices.
function gallery({ pictures }, network) {
  const rows = network.exits.map((exit) => {
    const count = make("span"), place = make("div", { class: "pictures" });
    const element = make("div", { class: "leaving" }, make("h3", {}, exit.name, count), place);
    return { count, place, element };
  });
  const image = ({ source, answers, truth }, exit) => {
    const wrong = answers[exit] !== truth;
    const says = wrong ? `${answers[exit]}, wrong: it is ${truth}` : truth;
    return make("img", { src: source, alt: says, title: says, class: wrong ? "wrong" : null });
  };
  const title = `The first ${pictures.length} test images by the exit at which they leave`;
  return {
    element: make("figure", {},
      make("figcaption", {}, make("strong", {}, title)),
      rows.map((row) => row.element),
      make("p", { class: "note" }, "A dashed frame marks a wrong answer; point at it to see both.")),
    show: (leaving) => rows.forEach(({ count, place }, k) => {
      const here = pictures.filter((_, i) => leaving[i] === k);
      count.textContent = ` ${here.length} of ${pictures.length}`;
      place.replaceChildren(...here.map((picture) => image(picture, k)));
    }),
  };
}
