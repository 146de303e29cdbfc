// Elements, numbers as text, files to take away. Text always goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

const MISSING = "–";
const THIN = "\u2009";

function significant(value, whole) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e7 || size < 1e-4) return value.toExponential(2).replace("e+", "e").replace("-", "−");
  if (size >= 1e3 || (whole && Number.isInteger(value))) {
    return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, THIN).replace("-", "−");
  }
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size)))).replace("-", "−");
}

// A value as text, the way metrics.py writes it.
function written(value, kind) {
  if (value === null || value === undefined || Number.isNaN(value)) return MISSING;
  if (kind === "text" || typeof value === "string") return String(value) || MISSING;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (value === Infinity) return "∞";
  if (value === -Infinity) return "−∞";
  if (kind === "share") return `${(100 * value).toFixed(1)}${THIN}%`;
  if (kind === "p") return value < 1e-4 ? "< 0.0001" : value.toFixed(4);
  return significant(value, kind === "count");
}

function seconds(value) {
  if (!(value >= 0)) return MISSING;
  if (value < 0.9995) return `${significant(1000 * value)}${THIN}ms`;
  if (value < 120) return `${significant(value)}${THIN}s`;
  if (value < 7200) return `${significant(value / 60)}${THIN}min`;
  return `${significant(value / 3600)}${THIN}h`;
}

// The same for the marks of an axis: 10 s, not 10.0 s.
const tidy = (text) => text.replace(/(\.\d*?)0+(?!\d)/, "$1").replace(/\.(?!\d)/, "");
const tickSeconds = (value) => (value === 0 ? "0" : tidy(seconds(value)));
const tickNumber = (value) => tidy(significant(value, true));

const csvCell = (value) => {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  // A spreadsheet must not take a name for a formula.
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
const csvText = (head, rows) => [head, ...rows].map((r) => r.map(csvCell).join(",")).join("\n") + "\n";

function save(name, text, type) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  // A busy machine takes its time to begin.
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function say(text) {
  byId("live").textContent = text;
}

async function copy(text, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Pages from a disk may have no clipboard: select the text instead.
    const range = document.createRange();
    range.selectNodeContents(button.previousElementSibling);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

// Quoted for a shell.
const quoted = (text) => (/^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

const formulaLink = (formula, text) =>
  formula ? el("a", { href: `#f-${formula}`, class: "formula", text }) : document.createTextNode(text);
