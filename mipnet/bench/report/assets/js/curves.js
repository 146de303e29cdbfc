// Performance profiles, cactus plots and survival estimates.

const FLOOR = 1e-3; // shorter times are noise of the timer

function profileData() {
  const grid = commonGrid(), ratios = ratiosToBest(grid.times, grid.solved, FLOOR);
  return {
    grid,
    curves: grid.shown.map((k, j) => {
      const own = ratios.filter((_, i) => grid.cells[i][j] !== null).map((r) => r[j]);
      return { k, steps: profile(own), count: own.length };
    }),
  };
}

function drawProfile(host) {
  const { grid, curves } = profileData();
  if (!curves.length || !grid.items.length) { nothing(host, "No series is shown."); return; }
  const ends = curves.flatMap((c) => c.steps.slice(-1).map((s) => s[0]));
  const most = Math.max(2, ...ends) * 1.05, height = narrow() ? 300 : 360;
  const plot = frame(host, {
    height, right: roomForLabels(curves.length, height) || 12,
    label: "Performance profile: share of items solved within a factor of the best",
    x: { kind: "log", base: 2, domain: [1, most], title: "times the best of the shown", format: (v) => `${tickNumber(v)}×` },
    y: { kind: "linear", domain: [0, 1], title: "share of items solved", format: (v) => `${Math.round(100 * v)}${THIN}%` },
  });
  const marks = curves.map(({ k, steps: points }) => {
    const full = points.length && points[0][0] <= 1 ? points : [[1, 0], ...points];
    const lines = () => {
      const best = points.length && points[0][0] <= 1 ? points[0][1] : 0;
      const last = points.length ? points[points.length - 1][1] : 0;
      return [SERIES[k].name, `fastest on ${written(best, "share")}`, `solves ${written(last, "share")}`];
    };
    return line(plot, k, steps(full, plot.X, plot.Y, most), lines);
  });
  if (plot.right > 12) {
    endLabels(plot, curves.map((c) => ({
      k: c.k, y: plot.Y(c.steps.length ? c.steps[c.steps.length - 1][1] : 0), rank: -mean(c.steps.map((s) => Math.log(s[0]))),
    })));
  } else host.append(legend(grid.shown));
  interactive(plot, marks);
  host.append(itemsNote(grid));
}

function itemsNote(grid) {
  const parts = [`${significant(grid.items.length, true)} items`];
  if (grid.dropped) parts.push(`${grid.dropped} left out that not every shown series has`);
  if (grid.uneven) parts.push("no item is common to all shown series: each is drawn over its own");
  return el("p", { class: "note", text: `${parts.join("; ")}.` });
}

const profileCsv = () => [["series", "factor", "share", "items"],
  profileData().curves.flatMap((c) => c.steps.map(([f, s]) => [SERIES[c.k].name, f, s, c.count]))];

function cactusData() {
  const grid = wholeGrid();
  return grid.shown.map((k, j) => {
    const own = lineOf(grid, j);
    const cut = own.times.filter((_, i) => !own.solved[i]).sort(ascending);
    return { k, own, points: cactus(own.times, own.solved), cut, count: own.times.length };
  });
}

let survival = false;
function drawCactus(host) {
  const data = cactusData();
  if (!data.length) { nothing(host, "No series is shown."); return; }
  const isCount = !LIMITED.has(state.metric) && !state.metric.endsWith("_s");
  const domain = logDomain(data.flatMap((d) => d.own.times), isCount ? 1 : FLOOR), height = narrow() ? 300 : 360;
  const top = survival ? 1 : Math.max(1, ...data.map((d) => d.count));
  const plot = frame(host, {
    height, right: roomForLabels(data.length, height) || 12,
    label: survival ? "Share of items still open against time" : "Items solved against time",
    x: { kind: "log", domain, title: metricTitle(), format: isCount ? tickNumber : tickSeconds },
    y: survival
      ? { kind: "linear", domain: [0, 1], title: "share still open", format: (v) => `${Math.round(100 * v)}${THIN}%` }
      : { kind: "linear", domain: [0, 1.03 * top], title: "items solved", format: (v) => significant(v, true) },
  });
  const inside = (t) => Math.max(domain[0], Math.min(t, domain[1]));
  const ends = [];
  const marks = data.map((d) => {
    const curve = survival
      ? [[domain[0], 1], ...kaplanMeier(d.own.times, d.own.solved).map((s) => [inside(s.time), s.open])]
      : [[domain[0], 0], ...d.points.map(([t, n]) => [inside(t), n])];
    const last = curve[curve.length - 1], end = domain[1];
    ends.push({ k: d.k, y: plot.Y(last[1]), rank: -mean(d.own.times) });
    const lines = () => [SERIES[d.k].name, `${d.points.length} of ${d.count} solved`,
      ...(d.cut.length ? [`${d.cut.length} cut short (ticks)`] : [])];
    const mark = line(plot, d.k, steps(curve, plot.X, plot.Y, end), lines);
    // Ticks where runs were cut short: they left without being solved.
    for (const t of new Set(d.cut.map((c) => plot.X(inside(c)).toFixed(0)))) {
      mark.node.append(svg("line", { class: "censored", x1: t, x2: t, stroke: colour(d.k),
        y1: plot.Y(last[1]) - 5, y2: plot.Y(last[1]) + 5 }));
    }
    return mark;
  });
  if (plot.right > 12) endLabels(plot, ends);
  else host.append(legend(data.map((d) => d.k)));
  interactive(plot, marks);
}

const cactusCsv = () => [["series", "time", "solved", "open", "standard_error", "items"],
  cactusData().flatMap((d) => {
    const open = new Map(kaplanMeier(d.own.times, d.own.solved).map((s) => [s.time, s]));
    return d.points.map(([t, n]) => [SERIES[d.k].name, t, n, open.get(t).open, open.get(t).error, d.count]);
  })];

const TITLES = {
  total_s: "time of the whole search", solve_s: "time in the solver", cpu_s: "processor time",
  bound_s: "time for bounds", nodes: "nodes",
};
const metricTitle = () => TITLES[state.metric] ?? state.metric;
