// Frames, axes, lines and the small panel that says what is under the pointer.

const DASHES = [null, "7 3", "2 3", "9 3 2 3", "1 4"];
const colour = (k) => `var(--series-${SERIES[k].colour})`;
const dash = (k) => DASHES[SERIES[k].dash % DASHES.length];
const narrow = () => byId("main").clientWidth < 620;

function scale(kind, domain, range) {
  const f = kind === "log" ? Math.log : (v) => v, [a, b] = domain.map(f), wide = b - a || 1;
  return (v) => range[0] + ((f(v) - a) / wide) * (range[1] - range[0]);
}

function ticks(axis, most) {
  const [low, high] = axis.domain;
  if (axis.ticks) return axis.ticks.filter((v) => v >= low && v <= high);
  if (axis.kind !== "log") {
    const raw = (high - low || 1) / most, power = 10 ** Math.floor(Math.log10(raw));
    const step = power * ([1, 2, 5].find((m) => m * power >= raw * 0.999) ?? 10);
    const found = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n += 1) found.push(n * step);
    return found;
  }
  const base = axis.base ?? 10, span = Math.log(high / low) / Math.log(base);
  const first = Math.ceil(Math.log(low) / Math.log(base) - 1e-9) - 1;
  const marks = base === 10 && span * 3 <= most ? [1, 2, 5] : [1];
  const inside = (v) => v >= low * 0.999999 && v <= high * 1.000001;
  // As far apart as there is room for, but never a single one.
  for (let every = Math.max(1, Math.ceil(span / most)); every >= 1; every -= 1) {
    const powers = Array.from({ length: Math.ceil((span + 2) / every) + 1 }, (_, i) => first + i * every);
    const found = powers.flatMap((n) => marks.map((m) => m * base ** n)).filter(inside);
    if (found.length > 1) return found;
  }
  return [low, high];
}

// A frame of the width of its host, axes drawn; returns what marks are placed with.
function frame(host, { height = 340, left = 52, right = 12, top = 26, bottom = 44, x, y, label }) {
  const width = Math.max(260, Math.round(host.clientWidth || 720));
  const X = scale(x.kind, x.domain, [left, width - right]);
  const Y = scale(y.kind, y.domain, [height - bottom, top]);
  const root = svg("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "img", tabindex: "0", "aria-label": label,
  });
  const axes = svg("g", { class: "axes", "aria-hidden": "true" });
  for (const v of ticks(y, Math.max(3, Math.floor(height / 45)))) {
    axes.append(
      svg("line", { class: "grid", x1: left, x2: width - right, y1: Y(v), y2: Y(v) }),
      svg("text", { x: left - 8, y: Y(v) + 4, "text-anchor": "end", text: y.format(v) }),
    );
  }
  for (const v of ticks(x, Math.max(3, Math.floor((width - left - right) / 78)))) {
    axes.append(
      svg("line", { class: "tick", x1: X(v), x2: X(v), y1: height - bottom, y2: height - bottom + 5 }),
      svg("text", { x: X(v), y: height - bottom + 19, "text-anchor": "middle", text: x.format(v) }),
    );
  }
  axes.append(
    svg("line", { class: "base", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    svg("text", { class: "title", x: 2, y: 12, text: y.title }),
    svg("text", { class: "title", x: width - right, y: height - 5, "text-anchor": "end", text: x.title }),
  );
  root.append(axes);
  host.replaceChildren(root);
  return { root, X, Y, width, height, left, right, top, bottom };
}

const steps = (points, X, Y, end) => {
  let path = "";
  points.forEach(([x, y], i) => {
    path += i ? `H${X(x).toFixed(1)}V${Y(y).toFixed(1)}` : `M${X(x).toFixed(1)} ${Y(y).toFixed(1)}`;
  });
  return points.length && end !== undefined ? `${path}H${X(end).toFixed(1)}` : path;
};

// Names at the right end of lines, moved apart: [{k, y, rank}], of equal height the highest rank first.
function endLabels(plot, ends) {
  const gap = 14, bottom = plot.height - plot.bottom;
  const sorted = [...ends].sort((a, b) => a.y - b.y || b.rank - a.rank);
  let last = -Infinity;
  for (const end of sorted) { end.at = Math.max(end.y, last + gap); last = end.at; }
  let next = bottom + gap;
  for (const end of sorted.reverse()) { end.at = Math.min(end.at, next - gap); next = end.at; }
  const layer = svg("g", { class: "ends", "aria-hidden": "true" });
  for (const { k, y, at } of sorted) {
    const x = plot.width - plot.right;
    const name = svg("text", { x: x + 16, y: at + 4, text: shorten(SERIES[k].name, 26) });
    name.style.fill = colour(k);
    layer.append(svg("path", { d: `M${x} ${y}L${x + 8} ${at}H${x + 12}`, stroke: colour(k), fill: "none" }), name);
  }
  plot.root.append(layer);
}
const shorten = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
function roomForLabels(count, height) {
  if (narrow() || count * 14 > height - 60) return 0;
  const longest = Math.max(...shownSeries().map((k) => Math.min(26, SERIES[k].name.length)), 0);
  return 26 + Math.round(6.6 * longest);
}

function swatch(k) {
  return svg("svg", { class: "swatch", width: 26, height: 10, viewBox: "0 0 26 10", "aria-hidden": "true" },
    svg("line", { x1: 1, x2: 25, y1: 5, y2: 5, stroke: colour(k), "stroke-width": 2.5, "stroke-dasharray": dash(k) }));
}
const legend = (shown) => el("ul", { class: "legend" },
  shown.map((k) => el("li", {}, swatch(k), el("span", { text: SERIES[k].name }))));

let panel = null;
function hint(event, lines) {
  panel ??= document.body.appendChild(el("div", { class: "hint", role: "presentation" }));
  if (!lines) { panel.classList.remove("on"); return; }
  panel.replaceChildren(...lines.map((text, i) => el(i ? "div" : "strong", { text })));
  panel.classList.add("on");
  const box = panel.getBoundingClientRect(), wide = document.documentElement.clientWidth;
  const x = Math.max(8, Math.min(event.clientX + 14, wide - box.width - 8));
  const y = event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 12 : event.clientY + 18;
  panel.style.left = `${x}px`;
  panel.style.top = `${Math.max(8, y)}px`;
}

// Marks that can be pointed at, and walked through by the arrow keys: [{node, lines, k}].
function interactive(plot, marks) {
  let at = -1;
  const light = (mark) => {
    plot.root.classList.toggle("lit", !!mark);
    marks.forEach((m) => m.node.classList.toggle("on", !!mark && m.k === mark.k));
  };
  for (const mark of marks) {
    mark.node.addEventListener("pointermove", (e) => { light(mark); hint(e, mark.lines(e)); });
    mark.node.addEventListener("pointerleave", () => { light(null); hint(null, null); });
  }
  plot.root.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") { light(null); hint(null, null); }
    if (!step || !marks.length) return;
    event.preventDefault();
    at = (at + step + marks.length) % marks.length;
    const box = marks[at].node.getBoundingClientRect(), lines = marks[at].lines(null);
    light(marks[at]);
    hint({ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 }, lines);
    say(lines.join(", "));
  });
  plot.root.addEventListener("blur", () => { light(null); hint(null, null); });
}

// A line with a wide invisible twin for the pointer.
function line(plot, k, d, lines, extra = {}) {
  const node = svg("g", { class: SERIES[k].dense ? "line dense" : "line", "data-series": SERIES[k].name },
    svg("path", { class: "ink", d, stroke: colour(k), "stroke-dasharray": dash(k), ...extra }),
    svg("path", { class: "touch", d }));
  plot.root.append(node);
  return { node, lines, k };
}

function nothing(host, text) {
  host.replaceChildren(el("p", { class: "nothing", text }));
}

// Limits of positive values on a logarithmic axis, with a little room.
function logDomain(values, floor = 0) {
  const known = values.filter((v) => v > 0 && Number.isFinite(v));
  if (!known.length) return [0.1, 1];
  const low = Math.max(floor, Math.min(...known)), high = Math.max(...known, low * 1.5);
  return [low / 1.15, high * 1.15];
}
