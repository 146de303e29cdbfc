// The headline: fidelity against time, the area of a mark being its cycles.

const SHAPES = ["circle", "square", "diamond", "triangle", "down", "hexagon"];
function shapePath(name, x, y, r) {
  const polygon = (points) => `M${points.map(([a, b]) => `${(x + a * r).toFixed(1)} ${(y + b * r).toFixed(1)}`).join("L")}Z`;
  const regular = (n, turn) => polygon(Array.from({ length: n }, (_, i) =>
    [1.15 * Math.sin(turn + (2 * Math.PI * i) / n), -1.15 * Math.cos(turn + (2 * Math.PI * i) / n)]));
  if (name === "square") return polygon([[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]);
  if (name === "diamond") return regular(4, 0);
  if (name === "triangle") return regular(3, 0);
  if (name === "down") return regular(3, Math.PI);
  if (name === "hexagon") return regular(6, 0);
  return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
}
const networksShown = () => PACK.networks.filter((n) => passes(state.networks, n));
const shapeOf = (network) => SHAPES[PACK.networks.indexOf(network) % SHAPES.length];

function paretoData() {
  const network = column("network"), points = [];
  for (const name of networksShown()) {
    const rows = shownRows().filter((i) => network[i] === name);
    const series = column("series"), own = new Set(rows.map((i) => series[i]));
    const shown = shownSeries().filter((k) => own.has(k)), grid = commonOf(gridOf(rows, shown));
    shown.forEach((k, j) => {
      const { times, solved } = lineOf(grid, j);
      const nets = artefactRows(rows.filter((i) => series[i] === k));
      points.push({
        network: name, k, fidelity: averageOf(state.fidelity, nets), cycles: averageOf("cycles", nets),
        seconds: shiftedGeometricMean(times, state.shift), bound: solved.some((s) => !s),
      });
    });
  }
  const costed = points.some((p) => Number.isFinite(p.cycles));
  const front = paretoFront(points.map((p) => [-p.fidelity, p.seconds, ...(costed ? [p.cycles] : [])]));
  points.forEach((p, i) => { p.front = front[i]; });
  return { points, costed };
}

function drawPareto(host) {
  const { points, costed } = paretoData();
  const known = points.filter((p) => Number.isFinite(p.fidelity) && p.seconds >= 0);
  if (!known.length) {
    nothing(host, points.length ? `No network has a value of ${METRICS[state.fidelity][0]}.` : "No series is shown.");
    return;
  }
  const values = known.map((p) => p.fidelity), low = Math.min(...values), high = Math.max(...values);
  const room = Math.max(0.06 * (high - low), 0.01), most = Math.max(...known.map((p) => p.cycles).filter(Number.isFinite), 0);
  const radius = (p) => (costed && p.cycles > 0 ? 4 + 16 * Math.sqrt(p.cycles / most) : 7);
  const share = state.fidelity !== "r2";
  const isCount = !state.metric.endsWith("_s");
  const times = known.map((p) => Math.max(p.seconds, isCount ? 0.5 : FLOOR)), domain = logDomain(times);
  const plot = frame(host, {
    height: narrow() ? 340 : 430, right: 24, left: 62, top: 34,
    label: `${METRICS[state.fidelity][0]} against time; area is cycles; the front is outlined`,
    x: { kind: "linear", domain: [low - room, Math.min(high + room, share ? 1.01 : Infinity)],
      title: `${METRICS[state.fidelity][0].toLowerCase()} → better`,
      format: (v) => (share ? `${Math.round(1000 * v) / 10}${THIN}%` : significant(v)) },
    y: { kind: "log", domain: [domain[0] / 1.25, domain[1] * 1.25],
      title: narrow() ? "mean ↓ better" : `${metricTitle()}, shifted geometric mean ↓ better`, format: isCount ? tickNumber : tickSeconds },
  });
  const order = [...known].sort((a, b) => radius(b) - radius(a));
  const marks = order.map((p) => {
    const x = plot.X(p.fidelity), y = plot.Y(Math.max(p.seconds, isCount ? 0.5 : FLOOR)), r = radius(p);
    const node = svg("g", { class: p.front ? "point front" : "point", "data-series": SERIES[p.k].name },
      svg("path", { class: "blob", d: shapePath(shapeOf(p.network), x, y, r), fill: colour(p.k), stroke: colour(p.k) }),
      svg("circle", { cx: x, cy: y, r: 1.5, fill: colour(p.k), class: "dot" }));
    plot.root.append(node);
    const lines = () => [SERIES[p.k].name, p.network, `${METRICS[state.fidelity][0]} ${written(p.fidelity, share ? "share" : "number")}`,
      `${isCount ? significant(p.seconds) : seconds(p.seconds)}${p.bound ? " or more" : ""}`,
      ...(Number.isFinite(p.cycles) ? [`${significant(p.cycles, true)} cycles`] : []),
      ...(p.front ? ["on the front"] : [])];
    return { node, lines, k: p.k, x, y, r, p };
  });
  if (!narrow()) nameFront(plot, marks);
  interactive(plot, marks);
  const keys = networksShown().filter((n) => known.some((p) => p.network === n));
  host.append(legend([...new Set(known.map((p) => p.k))]));
  host.append(el("ul", { class: "legend shapes" }, keys.length > 1 && keys.length <= 12 ? keys.map((n) => el("li", {},
    svg("svg", { width: 16, height: 16, viewBox: "0 0 16 16", "aria-hidden": "true" },
      svg("path", { d: shapePath(shapeOf(n), 8, 8, 5.5), class: "shape" })), el("span", { text: n }))) : [],
  costed ? [el("li", { class: "key", text: `area: cycles, up to ${significant(most, true)}` })] : [el("li", { class: "key", text: "no array in the plan: cycles unknown" })],
  el("li", { class: "key", text: "outlined: no other mark is better in everything" })));
}

// Names beside the marks of the front, where they meet no other name or mark.
function nameFront(plot, marks) {
  const taken = [];
  for (const mark of marks.filter((m) => m.p.front)) {
    const text = shorten(SERIES[mark.k].name, 28), wide = 6.6 * text.length, { x, y, r } = mark;
    const spots = [[x + r + 6, y + 4, "start"], [x - r - 6, y + 4, "end"], [x, y - r - 7, "middle"], [x, y + r + 16, "middle"]];
    const others = marks.filter((m) => m !== mark).map((m) => [m.x - m.r, m.y - m.r, m.x + m.r, m.y + m.r]);
    const boxOf = ([a, b, anchor]) => {
      const from = { start: a, end: a - wide, middle: a - wide / 2 }[anchor];
      return [from, b - 11, from + wide, b + 3];
    };
    const fits = (box) => box[0] >= plot.left && box[2] <= plot.width - 2 && box[1] > 14 && box[3] < plot.height - plot.bottom
      && ![...taken, ...others].some((o) => box[0] < o[2] && o[0] < box[2] && box[1] < o[3] && o[1] < box[3]);
    const spot = spots.find((s) => fits(boxOf(s)));
    if (!spot) continue;
    taken.push(boxOf(spot));
    plot.root.append(svg("text", { class: "name", x: spot[0], y: spot[1], "text-anchor": spot[2], text }));
  }
}

const paretoCsv = () => [["network", "series", state.fidelity, state.metric, "lower_bound", "cycles", "front"],
  paretoData().points.map((p) => [p.network, SERIES[p.k].name, p.fidelity, p.seconds, p.bound, p.cycles, p.front])];
