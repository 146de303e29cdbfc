// The cells, what is shown of them, and tables of items by series.

const PACK = JSON.parse(byId("data").textContent);
const METRICS = PACK.metrics;
const COUNT = PACK.count;
const LIMITED = new Set(["total_s", "solve_s", "cpu_s"]);

// Column as an array of values; text columns are stored as codes, constant ones once.
const columns = new Map();
function column(name) {
  if (!columns.has(name)) {
    const stored = PACK.columns[name];
    let values = new Array(COUNT).fill(null);
    if (stored && "c" in stored) values.fill(stored.c);
    else if (stored && "d" in stored) values = stored.v.map((k) => (k < 0 ? null : stored.d[k]));
    else if (stored) values = stored.v;
    columns.set(name, values);
  }
  return columns.get(name);
}
const distinct = (name, rows) => [...new Set(rows.map((i) => column(name)[i]))];
const ALL = Array.from({ length: COUNT }, (_, i) => i);

const SERIES = PACK.series;
const state = {
  hidden: new Set(),
  networks: new Set(), // empty: all
  problems: new Set(),
  metric: "total_s",
  shift: 1,
  baseline: PACK.baseline,
  fidelity: PACK.fidelity,
};

const passes = (chosen, value) => !chosen.size || chosen.has(value);

let cache = {};
// Rows of cells that pass the filters, whatever series are hidden.
function filteredRows() {
  const network = column("network"), problem = column("problem");
  cache.rows ??= ALL.filter((i) => passes(state.networks, network[i]) && passes(state.problems, problem[i]));
  return cache.rows;
}
function shownSeries() {
  const series = column("series");
  cache.present ??= new Set(filteredRows().map((i) => series[i]));
  return SERIES.map((s, k) => k).filter((k) => !state.hidden.has(k) && cache.present.has(k));
}
function shownRows() {
  const series = column("series");
  cache.shown ??= filteredRows().filter((i) => !state.hidden.has(series[i]));
  return cache.shown;
}
const forget = () => { cache = {}; };

function valueOf(row) {
  const value = column(state.metric)[row];
  if (LIMITED.has(state.metric) && !column("solved")[row]) return column("time_limit")[row] ?? 0;
  return Math.max(0, value ?? 0);
}

// Items by series: times, solved, limit; of several cells of one place the upper median counts.
function gridOf(rows, shown) {
  const at = new Map(shown.map((k, j) => [k, j])), items = new Map(), item = column("item");
  const series = column("series"), solved = column("solved"), limit = column("time_limit");
  for (const row of rows) {
    if (!at.has(series[row])) continue;
    if (!items.has(item[row])) {
      items.set(item[row], { item: item[row], limit: 0, cells: shown.map(() => []) });
    }
    const entry = items.get(item[row]);
    entry.limit = Math.max(entry.limit, limit[row] ?? 0);
    entry.cells[at.get(series[row])].push(row);
  }
  const list = [...items.values()].sort((a, b) => a.item - b.item);
  const pick = (cells) => {
    if (!cells.length) return null;
    const order = [...cells].sort((a, b) => !!solved[b] - !!solved[a] || valueOf(a) - valueOf(b));
    return order[Math.floor(order.length / 2)];
  };
  const chosen = list.map((entry) => entry.cells.map(pick));
  return {
    shown,
    items: list.map((entry) => entry.item),
    limits: list.map((entry) => entry.limit),
    cells: chosen,
    times: chosen.map((r) => r.map((c) => (c === null ? NaN : valueOf(c)))),
    solved: chosen.map((r) => r.map((c) => c !== null && !!solved[c])),
  };
}

const take = (grid, kept) => ({
  ...grid,
  ...Object.fromEntries(["items", "limits", "cells", "times", "solved"].map((name) =>
    [name, grid[name].filter((_, i) => kept[i])])),
});
function commonOf(grid) {
  const kept = grid.cells.map((row) => row.every((c) => c !== null));
  const some = kept.some(Boolean);
  return { ...(some ? take(grid, kept) : grid), dropped: some ? kept.filter((k) => !k).length : 0, uneven: !some };
}
function wholeGrid() {
  cache.grid ??= gridOf(shownRows(), shownSeries());
  return cache.grid;
}
function commonGrid() {
  cache.common ??= commonOf(wholeGrid());
  return cache.common;
}
// Times, flags and limits of one series over the items it has.
function lineOf(grid, j) {
  const at = grid.items.map((_, i) => i).filter((i) => grid.cells[i][j] !== null);
  return {
    times: at.map((i) => grid.times[i][j]),
    solved: at.map((i) => grid.solved[i][j]),
    limits: at.map((i) => grid.limits[i]),
  };
}

const itemLabel = (i) => PACK.items[i].filter((v) => v !== null && v !== "").join(" · ");
// Without the seed: what a bootstrap draws.
const questionOf = (i) => PACK.items[i].slice(0, 3).join("\u0000");

function averageOf(name, rows) {
  return mean(finite(rows.map((i) => column(name)[i])));
}
// One cell for each network or mask.
function artefactRows(rows) {
  const seen = new Set(), artefact = column("artefact"), network = column("network");
  return rows.filter((i) => {
    const key = `${artefact[i]}\u0000${network[i]}`;
    return !seen.has(key) && seen.add(key);
  });
}
function rowsBySeries() {
  if (!cache.bySeries) {
    cache.bySeries = SERIES.map(() => []);
    for (const i of shownRows()) cache.bySeries[column("series")[i]].push(i);
  }
  return cache.bySeries;
}
