// Controls, what they change, and the order in which everything is drawn.

const FIGURES = [
  { id: "pareto", draw: drawPareto, csv: paretoCsv },
  { id: "profile", draw: drawProfile, csv: profileCsv },
  { id: "cactus", draw: drawCactus, csv: cactusCsv },
  { id: "clocks", draw: drawClocks, csv: clocksCsv },
  { id: "spread", draw: drawSpread, csv: spreadCsv },
  { id: "pairs", draw: drawPairs, csv: pairCsv },
];

// Flags that ask the command line for what is shown here.
function flags(ratios = false) {
  const found = PACK.command.slice();
  for (const k of [...state.hidden].sort(ascending)) found.push("--hide", quoted(SERIES[k].name));
  for (const n of state.networks) found.push("--where", quoted(`network=${n}`));
  for (const p of state.problems) found.push("--where", quoted(`problem=${p}`));
  if (state.metric !== "total_s") found.push("--metric", state.metric);
  if (state.shift !== 1) found.push("--shift", String(state.shift));
  if (ratios && state.baseline !== PACK.baseline) found.push("--baseline", quoted(SERIES[state.baseline].name));
  return found.join(" ");
}
const OWN_FLAGS = {
  pareto: () => (state.fidelity === PACK.fidelity ? "" : ` --fidelity ${state.fidelity}`),
  cactus: () => (survival ? " --survival" : ""),
  clocks: () => (clockMode === "seconds" ? "" : ` --clocks ${clockMode}`),
  pairs: () => (pair.b === null || pair.b === undefined ? "" : ` --pair ${quoted(SERIES[pair.a].name)} ${quoted(SERIES[pair.b].name)}`),
};

function drawFigure(figure) {
  const section = byId(figure.id), own = OWN_FLAGS[figure.id]?.() ?? "";
  figure.draw(section.querySelector(".plot"));
  section.querySelector(".command code").textContent = `mipnet report figure ${figure.id} ${flags()}${own} -o ${figure.id}.svg`;
}
function drawAll() {
  FIGURES.forEach(drawFigure);
  updateAttention();
  updateSummary();
  updateSizes();
  updateProgress();
  updateCells();
  updateProvenance();
  for (const name of ["open", "summary", "sizes", "progress", "cells"]) {
    byId(`${name}-table`).closest("section").querySelector(".command code").textContent = `mipnet report table ${name} ${flags(true)} --format markdown`;
  }
}
function change(what) {
  what?.();
  forget();
  remember();
  syncControls();
  drawAll();
}

// The choices live in the address, so that a link or a reload keeps them.
function remember() {
  const kept = new URLSearchParams();
  const names = (set) => [...set].join("\u0001");
  if (state.hidden.size) kept.set("hide", names([...state.hidden].map((k) => SERIES[k].name)));
  if (state.networks.size) kept.set("network", names(state.networks));
  if (state.problems.size) kept.set("problem", names(state.problems));
  for (const name of ["metric", "fidelity"]) if (state[name] !== defaults[name]) kept.set(name, state[name]);
  if (state.shift !== 1) kept.set("shift", state.shift);
  if (state.baseline !== PACK.baseline) kept.set("baseline", SERIES[state.baseline].name);
  const text = kept.toString();
  history.replaceState(null, "", text ? `#?${text}` : location.pathname + location.search);
}
const defaults = { metric: state.metric, fidelity: state.fidelity };
const METRIC_CHOICES = ["total_s", "solve_s", "cpu_s", "nodes"];
const FIDELITY_CHOICES = ["accuracy", "r2", "agreement"];
function recall() {
  if (!location.hash.startsWith("#?")) return;
  const kept = new URLSearchParams(location.hash.slice(2));
  const names = (key) => (kept.get(key) ?? "").split("\u0001").filter(Boolean), series = SERIES.map((s) => s.name);
  state.hidden = new Set(names("hide").map((n) => series.indexOf(n)).filter((k) => k >= 0));
  state.networks = new Set(names("network").filter((n) => PACK.networks.includes(n)));
  state.problems = new Set(names("problem").filter((n) => PACK.problems.includes(n)));
  if (METRIC_CHOICES.includes(kept.get("metric"))) state.metric = kept.get("metric");
  if (FIDELITY_CHOICES.includes(kept.get("fidelity"))) state.fidelity = kept.get("fidelity");
  if (Number(kept.get("shift")) > 0) state.shift = Number(kept.get("shift"));
  if (series.includes(kept.get("baseline"))) state.baseline = series.indexOf(kept.get("baseline"));
}

function seriesList() {
  const toggle = (k) => change(() => { if (!state.hidden.delete(k)) state.hidden.add(k); });
  byId("series").replaceChildren(...SERIES.map((s, k) => el("li", {},
    el("label", {}, el("input", { type: "checkbox", "data-k": k, onchange: () => toggle(k) }), swatch(k), el("span", { text: s.name })),
    el("button", { type: "button", class: "only", text: "only", "aria-label": `Show only ${s.name}`,
      onclick: () => change(() => { state.hidden = new Set(SERIES.map((_, j) => j).filter((j) => j !== k)); }) }))));
  byId("show-all").addEventListener("click", () => change(() => state.hidden.clear()));
}
function choices(id, names, set) {
  const host = byId(id);
  host.closest("details").hidden = names.length < 2;
  host.replaceChildren(...names.map((name) => el("li", {}, el("label", {},
    el("input", { type: "checkbox", "data-name": name, onchange: () => change(() => {
      const set_ = set();
      if (!set_.size) names.forEach((n) => set_.add(n));
      if (!set_.delete(name)) set_.add(name);
      if (set_.size === names.length) set_.clear();
    }) }), el("span", { text: name })))));
}
const select = (label, options, value, onchange) => el("label", { class: "select" }, el("span", { text: label }),
  el("select", { onchange: (e) => onchange(e.target.value) }, options.map(([v, text]) => el("option", { value: v, text, selected: String(v) === String(value) }))));

function syncControls() {
  document.querySelectorAll("#series input").forEach((box) => {
    const k = Number(box.dataset.k);
    box.checked = !state.hidden.has(k);
    box.closest("li").classList.toggle("off", state.hidden.has(k));
  });
  for (const [id, set] of [["networks", state.networks], ["problems", state.problems]]) {
    document.querySelectorAll(`#${id} input`).forEach((box) => { box.checked = passes(set, box.dataset.name); });
  }
  byId("shown-count").textContent = `${shownSeries().length} of ${SERIES.length}`;
  const has = (name) => column(name).some((v) => v !== null);
  const metrics = METRIC_CHOICES.filter((n) => n === "total_s" || has(n)).map((n) => [n, TITLES[n]]);
  const measures = FIDELITY_CHOICES.filter(has).map((n) => [n, METRICS[n][0]]);
  byId("measures").replaceChildren(
    select("Compare", metrics, state.metric, (v) => change(() => { state.metric = v; state.shift = v === "nodes" ? 100 : 1; })),
    select("Shift of means", [0.1, 1, 10, 100].map((v) => [v, state.metric === "nodes" ? v : `${v} s`]), state.shift, (v) => change(() => { state.shift = Number(v); })),
    select("Ratios against", SERIES.map((s, k) => [k, s.name]), state.baseline, (v) => change(() => { state.baseline = Number(v); })),
    ...(measures.length > 1 ? [select("Fidelity", measures, state.fidelity, (v) => change(() => { state.fidelity = v; }))] : []));
}

function figureTools() {
  for (const figure of FIGURES) {
    const section = byId(figure.id);
    section.querySelector(".tools").prepend(
      el("button", { type: "button", class: "csv", text: "Data as CSV", onclick: () => save(`${figure.id}.csv`, csvText(...figure.csv()), "text/csv") }),
      el("button", { type: "button", class: "svg", text: "Figure as SVG", onclick: () => save(`${figure.id}.svg`, svgText(section), "image/svg+xml") }));
    section.querySelector(".tools").append(command(""));
  }
  const mode = (id, options, set) => {
    const host = byId(id).querySelector(".options");
    const draw = (value) => host.replaceChildren(...options.map(([v, text]) => el("button", { type: "button", text, "aria-pressed": String(v === value),
      onclick: () => { set(v); draw(v); drawFigure(FIGURES.find((f) => f.id === id)); [...host.children].find((b) => b.textContent === text).focus(); } })));
    draw(options[0][0]);
  };
  mode("cactus", [[false, "Solved"], [true, "Still open"]], (v) => { survival = v; });
  mode("clocks", [["seconds", "Seconds"], ["shares", "Shares"], ["before", "With preparation"]], (v) => { clockMode = v; });
  const host = byId("pairs").querySelector(".options"), redraw = () => { pairChoices(); drawFigure(FIGURES.find((f) => f.id === "pairs")); };
  const pairChoices = () => {
    pairData();
    const options = shownSeries().map((k) => [k, SERIES[k].name]);
    host.replaceChildren(select("across", options, pair.a, (v) => { pair.a = Number(v); redraw(); }), select("up", options, pair.b, (v) => { pair.b = Number(v); redraw(); }));
  };
  FIGURES.find((f) => f.id === "pairs").draw = (place) => { pairChoices(); drawPairs(place); };
}

// A figure that stands alone: the colours of the page are written into it.
function svgText(section) {
  const source = section.querySelector(".plot > svg");
  if (!source) return "";
  const copied = source.cloneNode(true), from = [source, ...source.querySelectorAll("*")], to = [copied, ...copied.querySelectorAll("*")];
  from.forEach((node, i) => {
    const look = getComputedStyle(node);
    for (const name of ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "font-size", "font-family", "font-weight"]) {
      to[i].setAttribute(name, look.getPropertyValue(name));
    }
    to[i].removeAttribute("class");
    to[i].removeAttribute("style");
  });
  copied.setAttribute("xmlns", SVG);
  return new XMLSerializer().serializeToString(copied);
}

function tables() {
  const make = (name, label, options) => {
    const host = byId(`${name}-table`);
    TABLES[name] = new DataTable(host, { label, ...options });
    host.closest("section").querySelector(".tools").append(
      el("button", { type: "button", class: "csv", text: "Data as CSV", onclick: () => save(`${name}.csv`, csvText(...TABLES[name].csv()), "text/csv") }), command(""));
  };
  make("open", "Cells without an answer", { page: 12, search: true, detail: showCell });
  make("summary", "Series", { page: 100 });
  make("sizes", "Sizes", { page: 100 });
  make("progress", "Way to the answer", { page: 100 });
  make("cells", "Cells", { page: 25, search: true, detail: showCell });
  const host = byId("view"), draw = () => host.replaceChildren(...[[true, "Series side by side"], [false, "Every cell"]].map(([v, text]) =>
    el("button", { type: "button", text, "aria-pressed": String(v === view.items), onclick: () => { view.items = v; draw(); updateCells(); [...host.children].find((b) => b.textContent === text).focus(); } })));
  draw();
}

function start() {
  recall();
  seriesList();
  choices("networks", PACK.networks, () => state.networks);
  choices("problems", PACK.problems, () => state.problems);
  figureTools();
  tables();
  byId("copy-command").append(command(PACK.build));
  byId("close-cell").addEventListener("click", () => byId("cell").close());
  byId("panel-toggle").addEventListener("click", () => {
    const open = byId("panel").classList.toggle("unfolded");
    byId("panel-toggle").setAttribute("aria-expanded", String(open));
  });
  syncControls();
  drawAll();
  let width = byId("main").clientWidth;
  new ResizeObserver(() => {
    if (Math.abs(byId("main").clientWidth - width) < 2) return;
    width = byId("main").clientWidth;
    FIGURES.forEach(drawFigure);
  }).observe(byId("main"));
  addEventListener("beforeprint", () => document.querySelectorAll("details.print").forEach((d) => { d.open = true; }));
  document.documentElement.dataset.ready = "yes";
}

// For whoever wants to compute from the console, and for the tests.
window.mipnet = { PACK, state, change, profileData, cactusData, paretoData, clocksData, spreadData, pairData, summaryRows, wholeGrid, commonGrid, kaplanMeier, csv: Object.fromEntries(FIGURES.map((f) => [f.id, f.csv])) };
start();
