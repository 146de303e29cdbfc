// Tables that sort by a press on their heading, filter by words, and give themselves away as CSV.

// Words and conditions: `optimal`, `status:killed`, `total_s>1`, all of which have to hold.
function filterOf(text, fields) {
  const tests = text.trim().toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const found = word.match(/^([\w]+)([:<>])(.+)$/), field = found && fields.find((f) => f.name === found[1]);
    if (!field) return (row) => fields.some((f) => String(f.value(row) ?? "").toLowerCase().includes(word));
    if (found[2] === ":") return (row) => String(field.value(row) ?? "").toLowerCase().includes(found[3]);
    const limit = Number(found[3]), sign = found[2] === ">" ? 1 : -1;
    return (row) => typeof field.value(row) === "number" && sign * (field.value(row) - limit) > 0;
  });
  return (row) => tests.every((test) => test(row));
}

// Missing values last, whichever way the rest goes.
function compareBy(field, way) {
  const empty = (v) => v === null || v === undefined || Number.isNaN(v);
  return (r, s) => {
    const a = field.value(r), b = field.value(s);
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    return way * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  };
}

class DataTable {
  // fields: [{name, heading, kind, formula, value(row), show(row) -> text or node}]
  constructor(host, { label, page = 50, search = false, sort = null, detail = null }) {
    Object.assign(this, { host, label, page, detail, limit: page, text: "", sort, fields: [], rows: [] });
    this.search = search && el("input", {
      type: "search", class: "search", "aria-label": `Filter ${label}`, placeholder: "Filter: words, status:killed, total_s>1",
      oninput: () => { this.text = this.search.value; this.limit = this.page; this.draw(); },
    });
    this.head = el("tr");
    this.body = el("tbody");
    this.note = el("p", { class: "note", role: "status" });
    this.more = el("button", { type: "button", class: "more", text: "Show more", onclick: () => { this.limit += 4 * this.page; this.draw(); } });
    host.replaceChildren(...(this.search ? [this.search] : []),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
        el("table", {}, el("caption", { class: "quiet", text: label }), el("thead", {}, this.head), this.body)),
      this.note, this.more);
  }

  set(fields, rows) {
    this.fields = fields;
    this.rows = rows;
    if (this.sort && !fields.some((f) => f.name === this.sort.name)) this.sort = null;
    this.draw();
  }

  // Rows that pass the filter, sorted.
  visible() {
    const rows = this.rows.filter(filterOf(this.text, this.fields));
    const field = this.sort && this.fields.find((f) => f.name === this.sort.name);
    return field ? rows.sort(compareBy(field, this.sort.way)) : rows;
  }

  draw() {
    const rows = this.visible(), shown = rows.slice(0, this.limit);
    this.head.replaceChildren(...this.fields.map((field) => this.heading(field)));
    this.body.replaceChildren(...shown.map((row) => el("tr", { class: this.detail ? "open" : null,
      onclick: this.detail && (() => this.detail(row)) }, this.fields.map((field, i) => this.cell(field, row, i)))));
    this.note.textContent = rows.length === this.rows.length && shown.length === rows.length
      ? `${significant(rows.length, true)} rows` : `${shown.length} of ${significant(rows.length, true)} rows shown${rows.length < this.rows.length ? `, filtered from ${significant(this.rows.length, true)}` : ""}`;
    this.more.hidden = shown.length === rows.length;
  }

  heading(field) {
    const on = this.sort?.name === field.name, way = on ? this.sort.way : 0;
    const press = () => { this.sort = { name: field.name, way: on ? -way : 1 }; this.draw(); this.refocus(field.name); };
    const unit = field.kind === "seconds" ? " s" : "";
    return el("th", { scope: "col", class: field.kind === "text" ? null : "n", "aria-sort": on ? (way > 0 ? "ascending" : "descending") : "none" },
      el("button", { type: "button", "data-field": field.name, class: field.heading.length > 14 ? "wide" : null, onclick: press, text: field.heading },
        unit && el("small", { text: unit }), el("span", { class: "way", "aria-hidden": "true", text: on ? (way > 0 ? "↑" : "↓") : "" })),
      field.formula ? el("a", { class: "what", href: `#f-${field.formula}`, "aria-label": `Formula of ${field.heading}`, text: "ƒ" }) : null);
  }

  refocus(name) {
    [...this.head.querySelectorAll("button")].find((b) => b.dataset.field === name)?.focus();
  }

  cell(field, row, i) {
    const shown = field.show ? field.show(row) : written(field.value(row), field.kind);
    const inside = i === 0 && this.detail
      ? el("button", { type: "button", class: "row", onclick: (e) => { e.stopPropagation(); this.detail(row); } }, shown) : shown;
    return el(i === 0 ? "th" : "td", { class: field.kind === "text" ? null : "n", scope: i === 0 ? "row" : null }, inside);
  }

  csv() {
    return [this.fields.map((f) => f.name), this.visible().map((row) => this.fields.map((f) => f.value(row)))];
  }
}

const metricField = (name, value, extra = {}) => ({
  name, heading: METRICS[name][0], kind: METRICS[name][1], formula: METRICS[name][2], value, ...extra,
});
