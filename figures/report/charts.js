// Elements, numbers in words, and charts as inline SVG.
//
// A chart is drawn anew when its width changes, so that its text keeps its size on a
// phone. Text comes in as text nodes and attributes: none of it becomes markup.
"use strict";

// An HTML element with attributes and children; a function becomes a listener.
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

// The same in SVG.
function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return fill(element, attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value);
  }
  const there = (child) => child !== null && child !== undefined;
  element.append(...children.flat(Infinity).filter(there));
  return element;
}

// Numbers in the words of a unit; `axis` is for ticks, which are round.
const UNITS = {
  share: {
    name: "%",
    text: (value) => `${(100 * value).toFixed(1)}\u00a0%`,  // not on two lines
    axis: (value) => tidy(100 * value),
  },
  macs: {
    name: "millions",
    text: (value) => `${(value / 1e6).toFixed(2)}\u00a0M`,
    axis: (value) => tidy(value / 1e6),
  },
  number: { name: "", text: (value) => `${Number(value.toPrecision(4))}`, axis: tidy },
};

function tidy(value) {
  return `${Number(value.toPrecision(6))}`;
}

// A table that scrolls if it is too large; label names it, and the first cell of a row is its heading.
function table({ columns, rows }, label, attributes = {}) {
  const head = columns.map((name) => make("th", { scope: "col" }, name));
  const body = rows.map(([first, ...rest]) => make("tr", {},
    make("th", { scope: "row" }, first),
    rest.map((cell) => make("td", {}, cell))));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label },
    make("table", attributes,
      make("thead", {}, make("tr", {}, head)),
      make("tbody", {}, body)));
}

// A figure: a chart, its legend, and a table of the same numbers.
//
// spec.title    above it
// spec.label    what a screen reader says of it
// spec.x, .y    {name, unit, log, zero}: unit is one of UNITS
// spec.lines    {name, colour, steps, dashed, points: [[x, y], ...]}
// spec.points   {name, colour, shape, size, tinted, at: [{x, y, label, says, run}, ...]}:
//               label is written beside a point, in the group's colour if that is tinted;
//               says is what the point means, run is what Enter does
// spec.rules    {x, label}: vertical lines
// spec.table    {columns, rows}
// spec.note     a sentence below it
// spec.control  an element above it, such as a checkbox
//
// Returns the element, with two methods: mark(x, y) puts a ring around a place, and
// change(spec) draws it with another part of the specification.
function chart(spec) {
  const place = make("div", { class: "chart" });
  const named = [...spec.lines ?? [], ...spec.points ?? []].filter((each) => each.name);
  const figure = make("figure", {},
    make("figcaption", {}, make("strong", {}, spec.title)),
    named.length > 1 ? make("ul", { class: "keys" }, named.map(key)) : null,
    spec.control,
    place,
    spec.note ? make("p", { class: "note" }, spec.note) : null,
    make("details", {}, make("summary", {}, "These numbers as a table"), table(spec.table, spec.title)));
  const view = { width: 0, ring: null, stop: 0 };
  const redraw = () => {
    view.width = place.clientWidth;
    if (view.width) place.replaceChildren(plot(spec, view));
  };
  const fit = () => { if (place.clientWidth !== view.width) redraw(); };
  queueMicrotask(fit);  // by then it is in the page
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(place);
  figure.mark = (x, y) => {
    view.ring = [x, y];
    redraw();
  };
  figure.change = (changed) => {
    Object.assign(spec, changed);
    redraw();
  };
  return figure;
}

// An entry of the legend.
function key(each) {
  const sample = each.points ? draw("path", { d: "M1 7H21", class: look(each) })
    : symbol(each.shape, 11, 7, 5, { class: `point ${each.colour}` });
  const picture = draw("svg", { width: 22, height: 14, "aria-hidden": "true" }, sample);
  return make("li", {}, picture, each.name);
}

function look(line) {
  return `line ${line.colour}${line.dashed ? " dashed" : ""}`;
}

function symbol(shape, x, y, r, attributes) {
  const w = r * 1.3;
  if (shape === "square")
    return draw("path", { d: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`, ...attributes });
  if (shape === "diamond")
    return draw("path", { d: `M${x - w} ${y}l${w} ${-w}l${w} ${w}l${-w} ${w}z`, ...attributes });
  return draw("circle", { cx: x, cy: y, r, ...attributes });
}

// Where the values of an axis go, from pixel `start` to `end`, and where its ticks are.
function scale(values, log, start, end, apart) {
  let low = Math.min(...values), high = Math.max(...values);
  if (low === high) {
    const around = Math.abs(low) / 10;
    [low, high] = around ? [low - around, high + around] : [0, 1];
  }
  const [to, from] = log ? [Math.log, Math.exp] : [(value) => value, (value) => value];
  const margin = (to(high) - to(low)) * 0.06;
  const first = to(low) - margin, last = to(high) + margin;
  const most = Math.max(2, Math.floor(Math.abs(end - start) / apart));
  return {
    place: (value) => start + ((to(value) - first) / (last - first)) * (end - start),
    ticks: ticks(from(first), from(last), log, most),
  };
}

// Round numbers between two others, at most so many.
function ticks(low, high, log, most) {
  const series = [[1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 3, 5], [1, 2, 5], [1, 3], [1]];
  for (const factors of log ? series : []) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      found.push(...factors.map((factor) => factor * 10 ** power));
    const inside = found.filter((value) => value >= low && value <= high);
    if (inside.length >= 2 && inside.length <= most) return inside;
  }
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
  return found;
}

// The picture. `view` has its width, where the ring is, and the point that Tab stops at.
function plot(spec, view) {
  const width = view.width, height = Math.round(Math.min(380, Math.max(260, width * 0.5)));
  const box = { left: 58, right: width - 18, top: 12, bottom: height - 46 };
  const { lines = [], points: groups = [], rules = [] } = spec;
  const svg = draw("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": spec.label,
  });
  const values = [
    ...lines.flatMap((line) => line.points),
    ...groups.flatMap((group) => group.at.map((each) => [each.x, each.y])),
  ];
  if (!values.length) return svg;
  const xs = [...values.map((each) => each[0]), ...rules.map((rule) => rule.x)];
  const ys = [...values.map((each) => each[1]), ...spec.y.zero ? [0] : []];
  const x = scale(xs, spec.x.log && Math.min(...xs) > 0, box.left, box.right, 55);
  const y = scale(ys, false, box.bottom, box.top, 34);
  const taken = [];  // rectangles [left, top, right, bottom] that labels have to avoid

  svg.append(axes(spec, x, y, box));
  for (const rule of rules) svg.append(...vertical(rule, x.place(rule.x), box, taken));
  for (const line of lines) svg.append(path(line, x, y, taken));
  const labels = [];
  const dots = groups.flatMap((group) => group.at.map((each) => {
    const px = x.place(each.x), py = y.place(each.y), r = group.size ?? 5;
    const dot = symbol(group.shape, px, py, r, { class: `point ${group.colour}` });
    dot.append(draw("title", {}, each.says));
    taken.push([px - r, py - r, px + r, py + r]);
    if (each.label) labels.push([each.label, px, py, r, group.tinted ? group.colour : ""]);
    return { each, dot };
  }));
  activate(dots.filter(({ each }) => each.run), view);
  svg.append(...dots.map(({ dot }) => dot));
  if (view.ring) {
    const [cx, cy] = [x.place(view.ring[0]), y.place(view.ring[1])];
    svg.append(draw("circle", { class: "ring", cx, cy, r: 9 }));
  }
  for (const [text, px, py, r, colour] of labels) {
    const at = free(text.length * 7.2, px, py, r, taken, { ...box, right: width - 2 });
    if (!at) continue;  // its number is in the table, and shown on pointing at it
    taken.push(at.box);
    const tint = colour ? `label tinted ${colour}` : "label";
    svg.append(draw("text", { class: tint, x: at.x, y: at.y, "aria-hidden": "true" }, text));
  }
  return svg;
}

function axes(spec, x, y, { left, right, top, bottom }) {
  const [xUnit, yUnit] = [UNITS[spec.x.unit], UNITS[spec.y.unit]];
  const title = (axis, unit) => unit.name ? `${axis.name} (${unit.name})` : axis.name;
  const group = draw("g", { class: "axes", "aria-hidden": "true" });
  for (const value of y.ticks) group.append(
    draw("path", { d: `M${left} ${y.place(value)}H${right}` }),
    draw("text", { x: left - 7, y: y.place(value) + 4, "text-anchor": "end" }, yUnit.axis(value)));
  for (const value of x.ticks) group.append(
    draw("path", { d: `M${x.place(value)} ${top}V${bottom}` }),
    draw("text", { x: x.place(value), y: bottom + 17, "text-anchor": "middle" }, xUnit.axis(value)));
  const across = { x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle" };
  const turned = `translate(14 ${(top + bottom) / 2}) rotate(-90)`;
  group.append(
    draw("text", across, title(spec.x, xUnit)),
    draw("text", { transform: turned, "text-anchor": "middle" }, title(spec.y, yUnit)));
  return group;
}

function vertical(rule, at, { right, top, bottom }, taken) {
  const before = at > right - 110;  // no room for the text behind the line
  taken.push([before ? at - 130 : at, bottom - 20, before ? at : at + 130, bottom]);
  return [
    draw("path", { class: "rule", d: `M${at} ${top}V${bottom}` }),
    draw("text", {
      class: "rule", x: at + (before ? -5 : 5), y: bottom - 6, "text-anchor": before ? "end" : "start",
    }, rule.label),
  ];
}

function path(line, x, y, taken) {
  // The corners: a staircase goes across first, then up or down.
  const corners = line.points.flatMap(([px, py], i) => {
    const end = [x.place(px), y.place(py)];
    return line.steps && i ? [[end[0], y.place(line.points[i - 1][1])], end] : [end];
  });
  corners.slice(1).forEach(([bx, by], i) => {
    const [ax, ay] = corners[i];
    taken.push([Math.min(ax, bx) - 1, Math.min(ay, by) - 1, Math.max(ax, bx) + 1, Math.max(ay, by) + 1]);
  });
  const d = `M${corners.map((corner) => corner.join(" ")).join("L")}`;
  return draw("path", { d, class: look(line) });
}

// Tab stops once at the points; arrow keys move among them, Enter and Space select.
function activate(dots, view) {
  dots.sort((a, b) => a.each.x - b.each.x);
  view.stop = Math.min(view.stop, dots.length - 1);
  dots.forEach(({ each, dot }, i) => {
    const move = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Enter" || event.key === " ") each.run();
      else if (step) {
        view.stop = (i + step + dots.length) % dots.length;
        dot.setAttribute("tabindex", -1);
        dots[view.stop].dot.setAttribute("tabindex", 0);
        dots[view.stop].dot.focus();
      } else return;
      event.preventDefault();
    };
    dot.classList.add("active");
    const tabindex = i === view.stop ? 0 : -1;
    fill(dot, { role: "button", tabindex, "aria-label": each.says, click: each.run, keydown: move }, []);
  });
}

// A place beside a point where a text so wide touches nothing; null if there is none.
function free(wide, px, py, r, taken, { left, top, right, bottom }) {
  const sides = [[1, 0], [0, -1], [0, 1], [-1, 0], [1, -1], [1, 1], [-1, -1], [-1, 1]];
  for (const gap of [5, 12, 20]) for (const [dx, dy] of sides) {
    const x = px + dx * (r + gap) - (dx < 0 ? wide : dx ? 0 : wide / 2);
    const y = py + dy * (r + gap) + (dy > 0 ? 12 : dy ? 0 : 4);
    const box = [x, y - 11, x + wide, y + 2];
    const inside = box[0] >= left && box[1] >= top && box[2] <= right && box[3] <= bottom;
    const meets = (other) =>
      box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3];
    if (inside && !taken.some(meets)) return { x, y, box };
  }
  return null;
}
