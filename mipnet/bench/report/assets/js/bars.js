// Clocks stacked, spread over seeds, two series against each other.

const CLOCKS = ["attack_s", "bound_s", "build_s", "solve_s", "check_s"];
const BEFORE = ["prune_s", "compact_s", "finetune_s"];
let clockMode = "seconds"; // or shares, or with preparation

const clockNames = () => (clockMode === "before" ? [...BEFORE, ...CLOCKS] : CLOCKS);
function clocksData() {
  return shownSeries().map((k) => {
    const rows = rowsBySeries()[k], nets = artefactRows(rows);
    const parts = clockNames().map((name) => averageOf(name, BEFORE.includes(name) ? nets : rows) || 0);
    return { k, parts, total: parts.reduce((a, b) => a + b, 0), rows: rows.length };
  });
}

// Room for names at the left of rows.
function rowsFrame(host, data, { x, label, each = 30 }) {
  const above = narrow(), step = above ? each + 16 : each;
  const left = above ? 4 : Math.min(230, 24 + Math.max(60, ...data.map((d) => 6.8 * SERIES[d.k].name.length)));
  const height = 34 + 44 + step * data.length;
  const plot = frame(host, { height, left, right: 18, top: 14, label, x, y: { kind: "linear", domain: [0, 1], title: "", format: () => "" } });
  plot.root.querySelectorAll(".grid").forEach((node) => node.remove());
  plot.row = (i) => plot.top + 10 + step * (i + 0.5) + (above ? 8 : 0);
  // Where there is no room beside a row, its name stands above it.
  const place = (i) => (above ? { x: left, y: plot.row(i) - 14 } : { x: left - 10, y: plot.row(i) + 4, "text-anchor": "end" });
  data.forEach((d, i) => plot.root.append(svg("text", { class: "row", ...place(i), text: shorten(SERIES[d.k].name, above ? 44 : 32) })));
  return plot;
}

function drawClocks(host) {
  const data = clocksData(), names = clockNames();
  if (!data.length) { nothing(host, "No series is shown."); return; }
  const shares = clockMode === "shares", most = Math.max(...data.map((d) => d.total), 1e-6);
  const plot = rowsFrame(host, data, {
    label: "Mean seconds of a cell by clock",
    x: { kind: "linear", domain: [0, shares ? 1 : most], title: shares ? "share of the mean time" : "mean seconds of a cell",
      format: (v) => (shares ? `${Math.round(100 * v)}${THIN}%` : tickSeconds(v)) },
  });
  const marks = data.map((d, i) => {
    const node = svg("g", { class: "bar", "data-series": SERIES[d.k].name });
    let from = 0;
    d.parts.forEach((part, j) => {
      const size = shares ? part / (d.total || 1) : part, a = plot.X(from), b = plot.X(from + size);
      from += size;
      if (b - a > 0.05) node.append(svg("rect", { class: `clock ${names[j]}`, x: a, y: plot.row(i) - 9, width: Math.max(b - a, 0.6), height: 18 }));
    });
    node.append(svg("rect", { class: "touch", x: plot.left, y: plot.row(i) - 13, width: plot.width - plot.left - plot.right, height: 26 }));
    plot.root.append(node);
    const lines = () => [SERIES[d.k].name, ...names.map((n, j) => `${METRICS[n][0]} ${seconds(d.parts[j])}`), `in all ${seconds(d.total)}`];
    return { node, lines, k: d.k };
  });
  interactive(plot, marks);
  host.append(el("ul", { class: "legend" }, names.map((n) => el("li", {},
    svg("svg", { width: 14, height: 12, viewBox: "0 0 14 12", "aria-hidden": "true" }, svg("rect", { class: `clock ${n}`, width: 14, height: 12, rx: 2 })),
    el("span", { text: METRICS[n][0] })))));
}
const clocksCsv = () => [["series", ...clockNames(), "cells"],
  clocksData().map((d) => [SERIES[d.k].name, ...d.parts, d.rows])];

// Factor of every question whose seeds were solved more than once.
function spreadData() {
  const grid = wholeGrid();
  return grid.shown.map((k, j) => {
    const groups = new Map();
    grid.items.forEach((item, i) => {
      if (!grid.solved[i][j]) return;
      const key = questionOf(item);
      if (!groups.has(key)) groups.set(key, { item, values: [] });
      groups.get(key).values.push(grid.times[i][j]);
    });
    const points = [...groups.values()].filter((g) => g.values.length > 1)
      .map((g) => ({ item: g.item, seeds: g.values.length, factor: spreadFactor(g.values) }));
    return { k, points, median: quantile(points.map((p) => p.factor), 0.5) };
  });
}

function drawSpread(host) {
  const data = spreadData().filter((d) => d.points.length);
  if (!data.length) { nothing(host, "No question was answered under more than one seed."); return; }
  const all = data.flatMap((d) => d.points.map((p) => p.factor)), most = Math.max(1.2, ...all) * 1.05;
  const plot = rowsFrame(host, data, {
    label: "Spread of times over seeds",
    x: { kind: "log", base: most > 8 ? 10 : 2, domain: [1, most], title: narrow() ? "factor, one dot a question" : "geometric standard deviation over seeds, one dot a question",
      ticks: most < 3 ? [1, 1.05, 1.1, 1.25, 1.5, 2, 2.5].filter((v) => most > 1.6 ? v !== 1.05 : true) : undefined, format: (v) => `${tickNumber(v)}×` },
  });
  const marks = data.map((d, i) => {
    const node = svg("g", { class: "strip", "data-series": SERIES[d.k].name });
    d.points.slice(0, 400).forEach((p, n) => node.append(svg("circle", { class: "seed", r: 3, fill: colour(d.k),
      cx: plot.X(p.factor), cy: plot.row(i) + 14 * (uniform(n) - 0.5) })));
    const m = plot.X(d.median);
    node.append(svg("line", { class: "median", x1: m, x2: m, y1: plot.row(i) - 11, y2: plot.row(i) + 11, stroke: colour(d.k) }),
      svg("rect", { class: "touch", x: plot.left, y: plot.row(i) - 14, width: plot.width - plot.left, height: 28 }));
    plot.root.append(node);
    const lines = () => [SERIES[d.k].name, `median ${significant(d.median)}×`, `${d.points.length} questions under several seeds`,
      ...(d.points.length > 400 ? ["400 of them drawn"] : [])];
    return { node, lines, k: d.k };
  });
  interactive(plot, marks);
}
const spreadCsv = () => [["series", "question", "seeds", "factor"], spreadData().flatMap((d) =>
  d.points.map((p) => [SERIES[d.k].name, PACK.items[p.item].slice(0, 3).join(" · "), p.seeds, p.factor]))];

const pair = { a: null, b: null };
function pairData() {
  const shown = shownSeries();
  if (!shown.includes(pair.a)) pair.a = shown.includes(state.baseline) ? state.baseline : shown[0];
  if (!shown.includes(pair.b) || pair.b === pair.a) pair.b = shown.find((k) => k !== pair.a);
  if (pair.b === undefined) return [];
  const grid = wholeGrid(), a = grid.shown.indexOf(pair.a), b = grid.shown.indexOf(pair.b);
  return grid.items.map((item, i) => ({
    item, a: grid.times[i][a], b: grid.times[i][b], wonA: grid.solved[i][a], wonB: grid.solved[i][b],
    both: grid.cells[i][a] !== null && grid.cells[i][b] !== null,
  })).filter((p) => p.both);
}

function drawPairs(host) {
  const points = pairData();
  if (!points.length) { nothing(host, "Show two series that were asked the same."); return; }
  const isCount = !state.metric.endsWith("_s"), floor = isCount ? 0.5 : FLOOR;
  const domain = logDomain(points.flatMap((p) => [Math.max(p.a, floor), Math.max(p.b, floor)]));
  const form = isCount ? (v) => significant(v, true) : seconds, mark = isCount ? tickNumber : tickSeconds, size = Math.min(460, host.clientWidth || 460);
  const plot = frame(host, {
    height: Math.max(300, size), left: 60, right: 16, label: `${SERIES[pair.b].name} against ${SERIES[pair.a].name}`,
    x: { kind: "log", domain, title: shorten(SERIES[pair.a].name, 40), format: mark },
    y: { kind: "log", domain, title: shorten(SERIES[pair.b].name, 40), format: mark },
  });
  const at = (v) => [plot.X(v), plot.Y(v)], [x1, y1] = at(domain[0]), [x2, y2] = at(domain[1]);
  plot.root.append(svg("line", { class: "diagonal", x1, y1, x2, y2 }));
  for (const f of [2, 10]) for (const g of [f, 1 / f]) {
    const lo = Math.max(domain[0], domain[0] / g), hi = Math.min(domain[1], domain[1] / g);
    if (lo < hi) plot.root.append(svg("line", { class: "factor", x1: plot.X(lo), y1: plot.Y(lo * g), x2: plot.X(hi), y2: plot.Y(hi * g) }));
  }
  const drawnPoints = points.slice(0, 3000);
  const marks = drawnPoints.map((p) => {
    const x = plot.X(Math.max(p.a, floor)), y = plot.Y(Math.max(p.b, floor)), won = p.wonA && p.wonB;
    const k = p.b <= p.a ? pair.b : pair.a;
    const node = won ? svg("circle", { class: "pair", cx: x, cy: y, r: 3.5, fill: colour(k) })
      : svg("path", { class: "pair open", d: `M${x - 4} ${y - 4}L${x + 4} ${y + 4}M${x - 4} ${y + 4}L${x + 4} ${y - 4}`, stroke: colour(k) });
    plot.root.append(node);
    const text = (v, ok) => (ok ? form(v) : `not solved in ${form(v)}`);
    return { node, k: p.item, lines: () => [itemLabel(p.item), `${SERIES[pair.a].name}: ${text(p.a, p.wonA)}`, `${SERIES[pair.b].name}: ${text(p.b, p.wonB)}`] };
  });
  interactive(plot, marks);
  const counts = winsTiesLosses(points.map((p) => p.a), points.map((p) => p.wonA), points.map((p) => p.b), points.map((p) => p.wonB));
  host.append(el("p", { class: "note", text: `Below the diagonal ${SERIES[pair.b].name} is faster: ${counts[0]} wins, ${counts[1]} ties within 5 %, ${counts[2]} losses over ${points.length} items. Crosses were not solved by both. Dotted: factors 2 and 10.${points.length > 3000 ? " 3000 items are drawn." : ""}` }));
}
const pairCsv = () => [["item", "a", "b", "a_solved", "b_solved"], pairData().map((p) => [itemLabel(p.item), p.a, p.b, p.wonA, p.wonB])];
