// Charts as inline SVG. A chart is drawn anew when its width changes, so that its text
// keeps its size on a phone. Everything comes in by textContent: no text becomes markup.
"use strict";

// An element with attributes and children; functions become listeners.
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function drawn(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// A number axis: where values go, and round numbers for its ticks.
function scale(values, log, start, end, apart) {
  let low = Math.min(...values), high = Math.max(...values);
  if (low === high) [low, high] = low === 0 ? [0, 1] : log ? [low / 1.5, low * 1.5] : [low - Math.abs(low) / 10, low + Math.abs(low) / 10];
  const by = log ? Math.log : (value) => value;
  const margin = (by(high) - by(low)) * 0.06;
  const first = by(low) - margin, last = by(high) + margin;
  const place = (value) => start + ((by(value) - first) / (last - first)) * (end - start);
  const back = log ? Math.exp : (value) => value;
  return { place, ticks: ticks(back(first), back(last), log, Math.max(2, Math.floor(Math.abs(end - start) / apart))) };
}

function ticks(low, high, log, most) {
  if (log) {
    for (const factors of [[1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 3, 5], [1, 2, 5], [1, 3], [1]]) {
      const found = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
        for (const factor of factors) {
          const value = factor * 10 ** power;
          if (value >= low && value <= high) found.push(value);
        }
      if (found.length <= most && found.length >= 2) return found;
    }
  }
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
  return found;
}

// Numbers in the words of a unit. `axis` is for ticks, which are round.
const UNITS = {
  share: { text: (v) => `${(100 * v).toFixed(1)} %`, axis: (v) => tidy(100 * v), unit: "%" },
  macs: { text: (v) => `${(v / 1e6).toFixed(2)} M`, axis: (v) => tidy(v / 1e6), unit: "millions" },
  number: { text: (v) => `${Number(v.toPrecision(4))}`, axis: tidy, unit: "" },
};

function tidy(value) {
  return `${Number(value.toPrecision(6))}`;
}

// A figure: chart, legend and a table of the same numbers.
//
// spec.label    what a screen reader says of it
// spec.title    above it
// spec.x, .y    {name, unit, log}; unit is one of UNITS
// spec.lines    {name, colour, steps, dashed, points: [[x, y], ...]}
// spec.points   {name, colour, shape, at: [{x, y, label, says, run}]}; label is drawn
//               beside it, says is what a screen reader says, run is what Enter does
// spec.rules    {x, label}: vertical lines
// spec.table    {columns, rows}
// spec.note     a sentence below it
// spec.control  an element above it, such as a checkbox
//
// Returns the element, with a method mark(x, y) that moves a ring to a place.
function chart(spec) {
  const place = make("div", { class: "chart" });
  const keys = [...spec.lines ?? [], ...spec.points ?? []].filter((each) => each.name);
  const figure = make("figure", {},
    make("figcaption", {}, make("strong", {}, spec.title)),
    keys.length > 1 ? make("ul", { class: "keys" }, keys.map(key)) : null,
    spec.control,
    place,
    spec.note ? make("p", { class: "note" }, spec.note) : null,
    make("details", {}, make("summary", {}, "These numbers as a table"), table(spec.table)));
  let ring = null, width = 0, focused = 0;
  const draw = () => {
    width = place.clientWidth || 640;
    place.replaceChildren(plot(spec, width, ring, focused, (index) => { focused = index; }));
  };
  figure.mark = (x, y) => { ring = [x, y]; if (place.isConnected) draw(); };
  figure.change = (changed) => { Object.assign(spec, changed); draw(); };
  const fit = () => { if (place.clientWidth && place.clientWidth !== width) draw(); };
  queueMicrotask(fit);  // by then it is in the page
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(place);
  return figure;
}

function key(each) {
  const shown = each.points
    ? drawn("path", { d: "M1 7H21", class: `line ${each.colour}${each.dashed ? " dashed" : ""}` })
    : symbol(each.shape, 11, 7, 5, { class: `point ${each.colour}` });
  return make("li", {}, drawn("svg", { width: 22, height: 14, "aria-hidden": "true" }, shown), each.name);
}

function symbol(shape, x, y, r, attributes) {
  const path = {
    square: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    diamond: `M${x} ${y - r * 1.3}l${r * 1.3} ${r * 1.3}l${-r * 1.3} ${r * 1.3}l${-r * 1.3} ${-r * 1.3}z`,
  }[shape];
  return path ? drawn("path", { d: path, ...attributes }) : drawn("circle", { cx: x, cy: y, r, ...attributes });
}

function plot(spec, width, ring, focused, focusing) {
  const height = Math.round(Math.min(380, Math.max(260, width * 0.5)));
  const left = 58, right = 18, top = 12, bottom = 46;
  const lines = spec.lines ?? [], groups = spec.points ?? [];
  const all = [...lines.flatMap((line) => line.points), ...groups.flatMap((group) => group.at.map((p) => [p.x, p.y]))];
  const svg = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": spec.label });
  if (!all.length) return svg;
  const rules = spec.rules ?? [];
  const xs = all.map((p) => p[0]).concat(rules.map((rule) => rule.x)), ys = all.map((p) => p[1]);
  if (spec.y.zero) ys.push(0);
  const log = spec.x.log && Math.min(...xs) > 0;
  const x = scale(xs, log, left, width - right, 55), y = scale(ys, false, height - bottom, top, 34);
  const [xUnit, yUnit] = [UNITS[spec.x.unit], UNITS[spec.y.unit]];
  const taken = [];  // boxes of what is drawn, for the labels to avoid

  const axes = drawn("g", { class: "axes", "aria-hidden": "true" });
  for (const value of y.ticks) axes.append(
    drawn("path", { d: `M${left} ${y.place(value)}H${width - right}` }),
    drawn("text", { x: left - 7, y: y.place(value) + 4, "text-anchor": "end" }, yUnit.axis(value)));
  for (const value of x.ticks) axes.append(
    drawn("path", { d: `M${x.place(value)} ${top}V${height - bottom}` }),
    drawn("text", { x: x.place(value), y: height - bottom + 17, "text-anchor": "middle" }, xUnit.axis(value)));
  const named = (axis, unit) => axis.name + (unit.unit ? ` (${unit.unit})` : "");
  axes.append(
    drawn("text", { x: (left + width - right) / 2, y: height - 8, "text-anchor": "middle", class: "name" }, named(spec.x, xUnit)),
    drawn("text", { transform: `translate(14 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle", class: "name" }, named(spec.y, yUnit)));
  svg.append(axes);

  for (const rule of rules) {
    const at = x.place(rule.x), near = at > width - 130;
    svg.append(drawn("path", { class: "rule", d: `M${at} ${top}V${height - bottom}` }),
      drawn("text", { class: "rule", x: at + (near ? -5 : 5), y: height - bottom - 6, "text-anchor": near ? "end" : "start" }, rule.label));
    taken.push([near ? at - 130 : at, height - bottom - 20, near ? at : at + 130, height - bottom]);
  }
  for (const line of lines) {
    // The corners of the line: a staircase goes across first, then up or down.
    const corners = line.points.flatMap(([px, py], i) => {
      const end = [x.place(px), y.place(py)];
      return line.steps && i ? [[end[0], y.place(line.points[i - 1][1])], end] : [end];
    });
    corners.slice(1).forEach(([bx, by], i) => {
      const [ax, ay] = corners[i];
      taken.push([Math.min(ax, bx) - 1, Math.min(ay, by) - 1, Math.max(ax, bx) + 1, Math.max(ay, by) + 1]);
    });
    const d = `M${corners.map((corner) => corner.join(" ")).join("L")}`;
    svg.append(drawn("path", { d, class: `line ${line.colour}${line.dashed ? " dashed" : ""}` }));
  }

  // One stop of the Tab key for all points; arrow keys move among them from left to right.
  const stops = groups.flatMap((group) => group.at.filter((p) => p.run)).sort((a, b) => a.x - b.x);
  const elements = new Map();
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const index = stops.findIndex((p) => elements.get(p) === event.currentTarget);
    if (event.key === "Enter" || event.key === " ") stops[index].run();
    else if (step) {
      const next = (index + step + stops.length) % stops.length;
      event.currentTarget.setAttribute("tabindex", -1);
      elements.get(stops[next]).setAttribute("tabindex", 0);
      elements.get(stops[next]).focus();
      focusing(next);
    } else return;
    event.preventDefault();
  };
  const labels = [];
  for (const group of groups) for (const p of group.at) {
    const [px, py] = [x.place(p.x), y.place(p.y)], r = group.size ?? 5;
    const dot = symbol(group.shape, px, py, r, { class: `point ${group.colour}${p.run ? " active" : ""}` });
    dot.append(drawn("title", {}, p.says));
    if (p.run) {
      fill(dot, { role: "button", tabindex: stops.indexOf(p) === Math.min(focused, stops.length - 1) ? 0 : -1, "aria-label": p.says, click: p.run, keydown: move }, []);
      elements.set(p, dot);
    }
    svg.append(dot);
    taken.push([px - r, py - r, px + r, py + r]);
    if (p.label) labels.push([p.label, px, py, r]);
  }
  if (ring) svg.append(drawn("circle", { class: "ring", cx: x.place(ring[0]), cy: y.place(ring[1]), r: 9 }));
  for (const [text, px, py, r] of labels) {
    const found = free(text.length * 7.2, px, py, r, taken, [left, top, width - 2, height - bottom]);
    if (!found) continue;  // it is in the table, and shown on pointing at it
    taken.push(found.box);
    svg.append(drawn("text", { class: "label", x: found.x, y: found.y, "aria-hidden": "true" }, text));
  }
  return svg;
}

// A place beside a point for a text so wide that touches nothing.
function free(wide, px, py, r, taken, [left, top, right, bottom]) {
  for (const gap of [5, 12, 20]) for (const [dx, dy] of [[1, 0], [0, -1], [0, 1], [-1, 0], [1, -1], [1, 1], [-1, -1], [-1, 1]]) {
    const x = px + dx * (r + gap) - (dx < 0 ? wide : dx ? 0 : wide / 2);
    const y = py + dy * (r + gap) + (dy > 0 ? 12 : dy ? 0 : 4);
    const box = [x, y - 11, x + wide, y + 2];
    if (box[0] < left || box[1] < top || box[2] > right || box[3] > bottom) continue;
    if (!taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) return { x, y, box };
  }
  return null;
}

function table({ columns, rows }, attributes = {}) {
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table" }, make("table", attributes,
    make("thead", {}, make("tr", {}, columns.map((name) => make("th", { scope: "col" }, name)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell, i) => make(i ? "td" : "th", i ? {} : { scope: "row" }, cell)))))));
}
