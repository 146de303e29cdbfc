// The tables of the page: what is open, the series, sizes, cells, provenance.

const TABLES = {};
const statusMark = (status) => el("span", { class: `status ${status}` }, el("i", { "aria-hidden": "true" }), status);
const seriesCell = (k) => el("span", { class: "name" }, swatch(k), SERIES[k].name);
const field = (name, extra = {}) => metricField(name, (i) => column(name)[i], extra);
const seriesField = () => metricField("series", (i) => SERIES[column("series")[i]].name, { show: (i) => seriesCell(column("series")[i]) });
const statusField = () => field("status", { show: (i) => statusMark(column("status")[i]) });
const FAILED = new Set(["error", "killed", "memory", "inconsistent"]);
const RANK = ["inconsistent", "error", "memory", "killed", "unresolved"];

function updateAttention() {
  const rows = shownRows(), solved = column("solved"), status = column("status");
  const open = rows.filter((i) => !solved[i]);
  const rank = (i) => (RANK.indexOf(status[i]) + 6) % 6;
  open.sort((a, b) => rank(a) - rank(b) || a - b);
  const counts = new Map();
  for (const i of rows) counts.set(status[i], (counts.get(status[i]) ?? 0) + 1);
  const ordered = [...counts].sort((a, b) => PACK.statuses.indexOf(a[0]) - PACK.statuses.indexOf(b[0]));
  byId("tally").replaceChildren(...ordered.map(([name, n]) => el("li", {}, statusMark(name), el("b", { text: significant(n, true) }))));
  const failed = open.filter((i) => FAILED.has(status[i])).length;
  const words = [];
  if (failed) words.push(`${failed} failed or contradict each other`);
  if (open.length - failed) words.push(`${open.length - failed} ended at a limit or unresolved`);
  if (PACK.missing) words.push(`${PACK.missing} of the plan have not been asked yet`);
  byId("verdict").textContent = words.length ? `Of ${significant(rows.length, true)} cells ${words.join(", ")}.` : `All ${significant(rows.length, true)} cells ended with an answer.`;
  byId("verdict").className = failed ? "lede bad" : "lede";
  byId("open-table").hidden = !open.length;
  TABLES.open.set([statusField(), seriesField(), field("network"), field("problem"), field("instance"), field("seed"),
    field("reason"), field("total_s"), field("time_limit"), field("gap")], open);
}

function summaryRows() {
  const grid = wholeGrid(), common = commonGrid(), base = grid.shown.indexOf(state.baseline);
  const complete = common.cells.length > 0 && common.cells.every((row) => row.every((c) => c !== null));
  const contribution = complete ? marginalContribution(common.times, common.solved, common.limits) : [];
  const status = column("status"), solved = column("solved");
  return grid.shown.map((k, j) => {
    const rows = rowsBySeries()[k], own = lineOf(common, j), nets = artefactRows(rows);
    return {
      k, series: SERIES[k].name, cells: rows.length, items: own.times.length,
      solved: rows.filter((i) => solved[i]).length,
      limits: rows.filter((i) => !solved[i] && !FAILED.has(status[i])).length,
      failed: rows.filter((i) => FAILED.has(status[i])).length,
      sgm: shiftedGeometricMean(own.times, state.shift), censored: own.solved.filter((s) => !s).length,
      par2: penalisedAverage(own.times, own.solved, own.limits, 2),
      par10: penalisedAverage(own.times, own.solved, own.limits, 10),
      contribution: contribution[j] ?? NaN,
      ...(base < 0 ? {} : against(grid, j, base)),
      fidelity: averageOf(state.fidelity, nets), regret: averageOf("regret", rows),
      spread: quantile(spreadData()[j].points.map((p) => p.factor), 0.5),
      size_binaries: averageOf("size_binaries", rows), cycles: averageOf("cycles", nets),
    };
  });
}
function against(grid, j, base) {
  const kept = grid.items.map((_, i) => i).filter((i) =>
    grid.cells[i][j] !== null && grid.cells[i][base] !== null && (grid.solved[i][j] || grid.solved[i][base]));
  const of = (name, k) => kept.map((i) => grid[name][i][k]), a = of("times", base), b = of("times", j);
  const ratio = pairedRatio(a, b, kept.map((i) => questionOf(grid.items[i])), state.shift);
  const [wins, ties, losses] = winsTiesLosses(a, of("solved", base), b, of("solved", j));
  return { ...ratio, ratio_low: ratio.low, ratio_high: ratio.high, p: signedRank(a, b), wins, ties, losses };
}

const isCountMetric = () => !state.metric.endsWith("_s");
function updateSummary() {
  const rows = summaryRows(), pick = (name, extra) => metricField(name, (r) => r[name], extra);
  const kind = isCountMetric() ? "number" : "seconds";
  const interval = (r) => (r.pairs ? `${written(r.ratio, "ratio")} [${written(r.low, "ratio")}, ${written(r.high, "ratio")}]` : MISSING);
  const fields = [
    pick("series", { show: (r) => seriesCell(r.k) }), pick("solved", { show: (r) => `${r.solved} / ${r.cells}` }), pick("failed"),
    pick("sgm", { kind, heading: isCountMetric() ? "Nodes" : "Time", show: (r) => (r.censored ? "≥ " : "") + written(r.sgm, kind) }),
    pick("par2", { kind }), pick("par10", { kind }), pick("contribution", { kind }),
    pick("ratio", { show: interval }), pick("ratio_low", { hidden: true }), pick("ratio_high", { hidden: true }), pick("p"),
    pick("wins", { heading: "W / T / L", show: (r) => (r.pairs ? `${r.wins} / ${r.ties} / ${r.losses}` : MISSING) }),
    metricField("fidelity", (r) => r.fidelity, { heading: METRICS[state.fidelity][0], kind: METRICS[state.fidelity][1] }),
    pick("regret"), pick("spread"), pick("size_binaries"), pick("cycles"),
  ];
  const seen = fields.filter((f) => !f.hidden && rows.some((r) => f.value(r) !== undefined && !Number.isNaN(f.value(r))));
  TABLES.summary.set(seen, rows);
  const head = ["series", "cells", "items", "solved", "limits", "failed", "sgm", "censored", "par2", "par10", "contribution",
    "pairs", "ratio", "ratio_low", "ratio_high", "p", "wins", "ties", "losses", "fidelity", "regret", "spread", "size_binaries", "cycles"];
  TABLES.summary.csv = () => [head, rows.map((r) => head.map((name) => r[name]))];
}

const SIZE_NET = ["units", "parameters", "nonzeros"];
const SIZE_PROGRAM = ["size_unstable", "size_binaries", "size_rows", "size_nonzeros"];
const SIZE_COST = ["tiles", "cycles", "utilization", "energy_pj"];
function groupRows(rows) {
  const groups = new Map(), network = column("network"), series = column("series");
  for (const i of rows) {
    const key = `${network[i]}\u0000${series[i]}`;
    if (!groups.has(key)) groups.set(key, { network: network[i], k: series[i], rows: [] });
    groups.get(key).rows.push(i);
  }
  return [...groups.values()].sort((a, b) => a.network.localeCompare(b.network, "en", { numeric: true }) || a.k - b.k);
}
function updateSizes() {
  const rows = groupRows(shownRows()).map((g) => {
    const nets = artefactRows(g.rows), values = (name) => finite(g.rows.map((i) => column(name)[i]));
    const row = { ...g, series: SERIES[g.k].name };
    for (const name of [...SIZE_NET, ...SIZE_COST]) row[name] = averageOf(name, nets);
    for (const name of [...SIZE_PROGRAM, "m_median"]) row[name] = averageOf(name, g.rows);
    row.m_min = values("m_min").length ? Math.min(...values("m_min")) : NaN;
    row.m_max = values("m_max").length ? Math.max(...values("m_max")) : NaN;
    return row;
  });
  const pick = (name, extra) => metricField(name, (r) => r[name], extra);
  const fields = [pick("network"), pick("series", { show: (r) => seriesCell(r.k) }), ...SIZE_NET.map((n) => pick(n)), ...SIZE_PROGRAM.map((n) => pick(n)),
    pick("m_min"), pick("m_median"), pick("m_max"), ...SIZE_COST.map((n) => pick(n))];
  TABLES.sizes.set(fields.filter((f) => f.kind === "text" || rows.some((r) => !Number.isNaN(f.value(r)))), rows);
}

const PROGRESS = ["primal_integral", "primal_dual_integral", "gap", "first_s", "best_s"];
function updateProgress() {
  const rows = shownSeries().map((k) => ({ k, series: SERIES[k].name, cells: rowsBySeries()[k].length,
    ...Object.fromEntries([...PROGRESS, "nodes"].map((n) => [n, averageOf(n, rowsBySeries()[k])])) }));
  const fields = [metricField("series", (r) => r.series, { show: (r) => seriesCell(r.k) }), ...[...PROGRESS, "nodes"].map((n) => metricField(n, (r) => r[n]))];
  TABLES.progress.set(fields.filter((f) => f.kind === "text" || rows.some((r) => !Number.isNaN(f.value(r)))), rows);
}

const view = { problem: null, items: true };
function updateCells() {
  const problem = column("problem"), known = distinct("problem", filteredRows());
  if (!known.includes(view.problem)) view.problem = known[0];
  byId("tabs").replaceChildren(...known.map((name) => el("button", { type: "button", text: name, "aria-pressed": String(name === view.problem),
    onclick: () => { view.problem = name; updateCells(); [...byId("tabs").children].find((b) => b.textContent === name).focus(); } })));
  const rows = shownRows().filter((i) => problem[i] === view.problem);
  if (view.items) {
    const grid = gridOf(rows, shownSeries().filter((k) => rows.some((i) => column("series")[i] === k)));
    const kind = isCountMetric() ? "count" : "seconds", label = ["network", "problem", "instance", "seed"];
    const part = (name) => metricField(name, (i) => PACK.items[grid.items[i]][label.indexOf(name)]);
    const best = grid.times.map((row, i) => Math.min(...row.filter((_, j) => grid.solved[i][j])));
    const own = grid.shown.map((k, j) => ({
      name: SERIES[k].name, heading: SERIES[k].name, kind, formula: "",
      value: (i) => (grid.cells[i][j] === null ? null : grid.times[i][j]),
      show: (i) => (grid.cells[i][j] === null ? MISSING : grid.solved[i][j]
        ? el("span", { class: grid.times[i][j] <= best[i] ? "best" : null, text: written(grid.times[i][j], kind) }) : el("span", { class: "cut", title: column("status")[grid.cells[i][j]], text: `> ${written(grid.times[i][j], kind)}` })),
    }));
    TABLES.cells.detail = null;
    TABLES.cells.set([part("network"), part("instance"), part("seed"), ...own], grid.items.map((_, i) => i));
    return;
  }
  TABLES.cells.detail = showCell;
  TABLES.cells.set([field("instance"), field("network"), seriesField(), field("seed"), statusField(),
    ...["verdict", "decided_by"].map((n) => ({ name: n, heading: n === "verdict" ? "Verdict" : "Decided by", kind: "text", formula: "", value: (i) => column(n)[i] })),
    field("total_s"), ...["objective", "bound"].map((n) => ({ name: n, heading: n === "bound" ? "Bound" : "Value", kind: "number", formula: "", value: (i) => column(n)[i] })),
    field("gap"), field("nodes"), field("size_binaries"), field("regret")], rows);
}

// Everything known about one cell.
function showCell(i) {
  const log = column("log")[i], id = column("cell")[i], groups = new Map();
  for (const [name, group, meaning] of PACK.schema) {
    const value = column(name)[i];
    if (value === null || value === "") continue;
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(el("div", {}, el("dt", { text: name, title: meaning }), el("dd", { text: typeof value === "number" ? String(value) : written(value, "text") })));
  }
  byId("cell-title").textContent = `${SERIES[column("series")[i]].name} · ${itemLabel(column("item")[i])}`;
  byId("cell-body").replaceChildren(
    el("p", {}, statusMark(column("status")[i]), " ", column("reason")[i] || ""),
    el("dl", { class: "where" }, PACK.records ? el("div", {}, el("dt", { text: "record" }), el("dd", { text: `${PACK.folder}/cells/${id}.json` })) : null,
      /^logs\/\w+\.log$/.test(log ?? "") ? el("div", {}, el("dt", { text: "log" }), el("dd", {}, el("a", { href: `${PACK.logs}${log}`, text: `${PACK.folder}/${log}` }))) : null),
    PACK.records ? command(`mipnet bench repeat ${quoted(PACK.folder)} ${id}`) : "",
    ...[...groups].map(([group, list]) => el("section", {}, el("h3", { text: group }), el("dl", {}, list))));
  byId("cell").showModal();
}

const command = (text) => el("div", { class: "command" }, el("code", { text }),
  el("button", { type: "button", text: "Copy", onclick: (e) => copy(text, e.currentTarget) }));

function updateProvenance() {
  const rows = shownRows(), list = [];
  for (const [name, group, meaning] of PACK.schema) {
    if (group !== "provenance" || name === "log" || !(name in PACK.columns)) continue;
    const values = distinct(name, rows).filter((v) => v !== null && v !== "");
    if (!values.length) continue;
    const days = name === "started" && values.sort();
    const numbers = values.every((v) => typeof v === "number") && values.length > 4;
    const text = days ? [...new Set([days[0], days[days.length - 1]])].join(" to ") : numbers ? `${written(Math.min(...values), "number")} to ${written(Math.max(...values), "number")}, median ${written(quantile(values, 0.5), "number")}`
      : values.slice(0, 6).map(String).join(", ") + (values.length > 6 ? `, … (${values.length})` : "");
    list.push(el("div", {}, el("dt", { text: name, title: meaning }), el("dd", { text })));
  }
  for (const name of ["seed", "mask_seed", "time_limit"]) {
    const values = distinct(name, rows).filter((v) => v !== null);
    if (values.length) list.push(el("div", {}, el("dt", { text: name }), el("dd", { text: values.slice(0, 20).join(", ") })));
  }
  byId("provenance-list").replaceChildren(...list);
}
