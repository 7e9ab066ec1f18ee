"use strict";
// Draws the report. What is shown is in the address; every text becomes a text node.

const $ = (id) => document.getElementById(id);
const CELL = 24;
const MANY = 60;

// Text from hosts must not hide words or turn them around.
const PAINT = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])/g;
const HARMFUL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const shown = (text) => String(text).replace(PAINT, "").replace(/\r\n/g, "\n").replace(HARMFUL, (c) => {
  const code = c.codePointAt(0);
  return code < 32 ? "^" + String.fromCharCode(code + 64) : `\\u{${code.toString(16)}}`;
});

// An element: attributes, what it does when it is clicked, what is in it.
function el(name, about, ...within) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(about || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "click") made.addEventListener("click", value);
    else if (key === "css") for (const [k, v] of Object.entries(value)) made.style.setProperty(k, v);
    else made.setAttribute(key, shown(value));
  }
  for (const one of within.flat(3)) {
    if (one === undefined || one === null || one === false || one === "") continue;
    made.append(one instanceof Node ? one : document.createTextNode(shown(one)));
  }
  return made;
}

let report, marks, books, bounds;
let state = {};
let hits = null;
let focused = { row: 0, column: 0 };
let printing = false;
// What has to be drawn again when something is scrolled.
let redraw = null;

const FILTERS = ["q", "mark", "book", "host"];
const stepKey = (step) => `${step.playbook}/${step.id}`;
const many = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
const verdictAt = (h, s) => {
  const v = report.cells[h]?.[s];
  return v === null || v === undefined ? null : report.verdicts[v];
};
const duration = (ms) =>
  ms < 1000 ? `${ms} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;

// The address.

function address(next) {
  const out = new URLSearchParams();
  for (const [key, value] of Object.entries(next)) if (value) out.set(key, value);
  return "#" + out;
}
function read() {
  state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  state.view = VIEWS[state.view] ? state.view : "overview";
}
const filters = () => Object.fromEntries(FILTERS.filter((f) => state[f]).map((f) => [f, state[f]]));
const to = (view, more) => address({ view, ...filters(), ...more });
function go(hash) {
  history.pushState({ depth: (history.state?.depth || 0) + 1 }, "", hash);
  show();
}
function back() {
  if (history.state?.depth) history.back();
  else if (state.view !== "overview") go(to("overview"));
}
const link = (hash, ...within) => el("a", { href: hash }, ...within);
const hostLink = (h) => link(to("host", { at: report.hosts[h].name }), report.hosts[h].name);
const stepLink = (s) => link(to("step", { step: stepKey(report.steps[s]) }), report.steps[s].name);
const cellHash = (h, s) => to("cell", { at: report.hosts[h].name, step: stepKey(report.steps[s]) });

// The filter: which hosts and steps are left, and which cells are meant.

function filter() {
  const q = (state.q || "").toLowerCase();
  const host = (state.host || "").toLowerCase();
  const known = new Array(report.verdicts.length);
  const has = (text) => text.toLowerCase().includes(q);
  const verdictHas = (v) => (known[v] ??= has(report.verdicts[v].reason || "") || has(marks[report.verdicts[v].mark].word));
  const stepHas = report.steps.map((s) => !q || has(`${s.name}\n${s.kind}\n${stepKey(s)}\n${s.place.file}:${s.place.line}`));
  const hostHas = report.hosts.map((h) => !q || has(h.name));
  const bookIs = report.steps.map((s) => !state.book || s.playbook === state.book);
  const open = !q && !state.mark;
  const steps = new Set(), hosts = [];
  let cells = 0;
  const meant = (h, s) => {
    const v = report.cells[h][s];
    return v !== null && bookIs[s] && (!state.mark || report.verdicts[v].mark === state.mark) && (stepHas[s] || hostHas[h] || verdictHas(v));
  };
  report.hosts.forEach((line, h) => {
    if (host && !line.name.toLowerCase().includes(host)) return;
    let found = false;
    for (let s = 0; s < report.steps.length; s++) {
      if (!meant(h, s)) continue;
      found = true;
      cells++;
      steps.add(s);
    }
    // A host of which nothing is known is in no cell.
    if (found || (open && !state.book) || (!state.mark && q && hostHas[h])) hosts.push(h);
  });
  if (open) report.steps.forEach((_, s) => bookIs[s] && steps.add(s));
  return { hosts, steps: [...steps].sort((a, b) => a - b), cells, meant };
}

// Pieces.

const badge = (mark, n) => el("span", { class: `badge ${mark}` }, el("b", { "aria-hidden": "true" }, marks[mark].letter), n === undefined ? "" : `${n} `, marks[mark].word);
function hostList(all) {
  const names = (some) => some.flatMap((h, n) => [n ? ", " : "", hostLink(h)]);
  if (all.length <= MANY) return names(all);
  const more = el("details", {}, el("summary", {}, `and ${all.length - MANY} more`));
  more.addEventListener("toggle", () => more.childElementCount > 1 || more.append(el("p", {}, names(all.slice(MANY)))));
  return [names(all.slice(0, MANY)), more];
}
const onHosts = (g) => ` on ${g.hosts.length === 1 ? report.hosts[g.hosts[0]].name : many(g.hosts.length, "host")}`;
const definitions = (pairs) => el("dl", {}, pairs.filter(([, what]) => what !== undefined && what !== null && what !== "").map(([word, what]) => [el("dt", {}, word), el("dd", {}, what)]));
function table(about, heads, rows, look) {
  const head = heads.map((h) => el("th", { scope: "col", class: h.class || (h.count && "count") }, h.word));
  const cells = (row) => row.map((cell, n) => el("td", { class: heads[n].class || (heads[n].count && "count") }, cell));
  return el("div", { class: "scroll" }, el("table", { "aria-label": about, class: look }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows.map((row) => el("tr", {}, cells(row))))));
}
const place = (step) => el("span", { class: "mono" }, `${step.place.file}:${step.place.line}`);

function diff(text) {
  const kind = { "+": "plus", "-": "minus", "@": "at" };
  return el("pre", { class: "diff", tabindex: "0", "aria-label": "Difference" }, text.replace(/\n$/, "").split("\n").map((line) => el("span", { class: kind[line[0]] }, line || " ")));
}
function field(f) {
  if (f.diff !== undefined) return el("div", {}, el("p", {}, el("b", {}, f.sign), " ", f.name, f.sign === "+" ? " (new)" : f.sign === "-" ? " (goes)" : ""), diff(f.diff));
  const gone = el("span", { class: "gone" }, f.before), comes = el("span", { class: "comes" }, f.after);
  const values = f.sign === "+" ? [comes] : f.sign === "-" ? [gone] : f.before === f.after ? [f.after] : [gone, " → ", comes];
  return el("p", { class: "mono" }, el("b", {}, f.sign), ` ${f.name}: `, values);
}
const code = (what, text) => text && [el("p", { class: "faint" }, what), el("pre", { tabindex: "0" }, text.replace(/\n$/, ""))];

// All that a verdict says; its reason only where nothing above has told it.
function details(verdict, told = false) {
  const out = [];
  const { change, failure } = verdict;
  if (verdict.reason && !failure && !told) out.push(el("p", {}, verdict.reason));
  if (verdict.predicted) out.push(el("p", {}, "Rests on what comes of: ", verdict.predicted.join(", ")));
  if (failure) {
    out.push(el("p", {}, el("b", {}, failure.message)));
    out.push(failure.causes.map((cause) => el("p", {}, "because: ", cause)));
    if (failure.hint) out.push(el("p", { class: "hint" }, "What to do: ", failure.hint));
    if (failure.differs.length) out.push(el("p", { class: "faint" }, "Still differs, found → wanted:"), failure.differs.map(field));
    out.push(code("Command", failure.command), code("Program", failure.program));
    if (failure.code !== null) out.push(el("p", {}, `Exit code: ${failure.code}`));
    out.push(code("Output", failure.output));
  }
  if (change) {
    if (change.summary !== verdict.reason) out.push(el("p", {}, change.summary));
    out.push(change.fields.map(field));
    if (change.disrupts) out.push(el("p", {}, el("b", {}, "! interrupts: "), change.disrupts));
    out.push(change.notes.map((note) => el("p", {}, "note: ", note)));
    if (change.actions.length) {
      const one = (action, n) => el("li", {}, action, change.programs[n] && el("pre", { tabindex: "0" }, change.programs[n].replace(/\n$/, "")));
      out.push(el("details", {}, el("summary", {}, many(change.actions.length, "action")), el("ol", {}, change.actions.map(one))));
    }
  }
  return out;
}

// Turns of a host as bars.

function end() {
  let last = 1;
  for (const turns of report.times) for (const t of turns) last = Math.max(last, t.began_ms + t.took_ms);
  return last;
}
const waited = (t) => t.waited_ms ? `waited ${duration(t.waited_ms)}${t.waited_for?.length ? ` for ${t.waited_for.join(", ")}` : ""}` : "";
function bars(h, total) {
  return (report.times[h] || []).map((t) => {
    const verdict = verdictAt(h, t.step);
    const says = `${report.steps[t.step].name}: ${verdict ? marks[verdict.mark].word : ""}, ${duration(t.took_ms)} from ${duration(t.began_ms)}${waited(t) && ", " + waited(t)}`;
    const css = { left: `${(100 * t.began_ms) / total}%`, width: `${(100 * t.took_ms) / total}%` };
    const wait = t.waited_ms && el("i", { css: { width: `${Math.min(100, (100 * t.waited_ms) / t.took_ms)}%` } });
    return el("div", { class: `bar ${verdict?.mark || ""}`, role: "img", "aria-label": says, title: says, css, click: () => go(cellHash(h, t.step)) }, wait, verdict && marks[verdict.mark].letter);
  });
}

// What of many things of one size is in a box that scrolls.
function range(from, size, room, count) {
  if (printing) return [0, count];
  return [Math.max(0, Math.floor(from / size) - 3), Math.min(count, Math.ceil((from + room) / size) + 3)];
}
// As high as the window lets it be.
function fit(box) {
  box.style.setProperty("--above", `${Math.round(box.getBoundingClientRect().top + scrollY + 24)}px`);
}

// The views.

const VIEWS = {
  overview: { word: "Overview", draw: overview },
  matrix: { word: "Matrix", draw: matrix },
  findings: { word: "Findings", draw: findings },
  time: { word: "Time", draw: time },
  host: { draw: host },
  step: { draw: step },
  cell: { draw: cell },
};

function overview() {
  const made = report.made;
  const count = {};
  const drifts = report.steps.map(() => 0);
  report.cells.forEach((row) => row.forEach((v, s) => {
    if (v === null) return;
    const mark = report.verdicts[v].mark;
    count[mark] = (count[mark] || 0) + 1;
    if (mark === "drift" || mark === "failed") drifts[s]++;
  }));
  const tiles = report.marks.filter((m) => count[m.mark]).map((m) => el("a", { class: "tile", href: address({ view: "matrix", mark: m.mark }) }, el("b", {}, String(count[m.mark])), badge(m.mark)));
  const most = drifts.map((n, s) => [n, s]).filter(([n]) => n).sort((a, b) => b[0] - a[0] || a[1] - b[1]).slice(0, 10);
  const missing = new Map();
  report.hosts.forEach((line, h) => {
    const key = `${line.standing} ${line.why || ""}`;
    if (line.standing !== "asked") missing.set(key, { line, hosts: [...(missing.get(key)?.hosts || []), h] });
  });
  const unseen = groups(["unseen"]);
  const revision = made.revision && `${made.revision.commit}${made.revision.dirty ? ", with changes that are not committed" : ""}`;
  return [
    el("h1", {}, `${made.playbooks.join(", ")}: ${report.conforming} of ${many(report.hosts.length, "host")} as described`),
    el("p", { class: "faint" }, `${made.mode} of ${report.when}`),
    el("div", { class: "tiles" }, tiles),
    most.length > 0 && [
      el("h2", {}, "Steps that drift most"),
      table("Steps that drift most", [{ word: "Hosts", count: true }, { word: "Step" }, { word: "Playbook" }, { word: "Place" }],
        most.map(([n, s]) => [String(n), stepLink(s), report.steps[s].playbook, place(report.steps[s])])),
    ],
    missing.size > 0 && [
      el("h2", {}, "Not reached"),
      table("Hosts that were not reached", [{ word: "Verdict", class: "mark" }, { word: "Why" }, { word: "Hosts" }],
        [...missing.values()].map(({ line, hosts }) => [badge(line.standing), line.why || "", hostList(hosts)])),
    ],
    unseen.length > 0 && [
      el("h2", {}, "Could not be seen"),
      table("Steps that could not be seen", [{ word: "Step" }, { word: "Why" }, { word: "Hosts" }],
        unseen.map((g) => [stepLink(g.step), [g.verdict.reason, g.verdict.failure?.hint && el("p", { class: "faint" }, g.verdict.failure.hint)], hostList(g.hosts)])),
    ],
    report.compared && compared(report.compared),
    el("h2", {}, "What was looked at, and by whom"),
    definitions([
      ["When", report.when], ["Who", `${made.user} on ${made.controller}`], ["From", el("span", { class: "mono" }, made.folder)],
      ["Command", el("span", { class: "mono" }, `hostwright ${made.arguments.join(" ")}`)], ["Version", made.hostwright],
      ["Run", made.run], ["Goes on with", made.resumes], ["Saved plan", made.saved_plan], ["Git revision", el("span", { class: "mono" }, revision || "none")],
    ]),
    table("Files", [{ word: "File" }, { word: "SHA-256" }], Object.entries(made.files).map(([file, digest]) => [file, el("span", { class: "mono" }, digest)])),
  ];
}

function compared(c) {
  const hosts = new Map(report.hosts.map((line, h) => [line.name, h]));
  const steps = new Map(report.steps.map((line, s) => [stepKey(line), s]));
  const points = (word, list) => {
    const by = new Map();
    for (const point of list) by.set(point.step, [...(by.get(point.step) || []), hosts.get(point.host)]);
    return [...by].map(([key, all]) => [word, steps.has(key) ? stepLink(steps.get(key)) : key, hostList(all.filter((h) => h !== undefined))]);
  };
  const rows = [
    ...points("drifted", c.drifted), ...points("mended", c.mended), ...points("found, and not seen before", c.found), ...points("not seen any more", c.unseen),
    ...c.new_steps.map((key) => ["new step", steps.has(key) ? stepLink(steps.get(key)) : key, ""]), ...c.gone_steps.map((key) => ["step gone", key, ""]),
  ];
  if (c.new_hosts.length) rows.push(["new hosts", "", hostList(c.new_hosts.map((name) => hosts.get(name)))]);
  if (c.gone_hosts.length) rows.push(["hosts gone", "", c.gone_hosts.join(", ")]);
  return [
    el("h2", {}, `Since ${c.made} (run ${c.with})`),
    rows.length ? table("What has changed", [{ word: "What", class: "mark" }, { word: "Step" }, { word: "Hosts" }], rows) : el("p", {}, "Nothing has changed."),
  ];
}

// Equal verdicts on a step once, with their hosts.
function groups(wanted, only) {
  const found = new Map();
  report.cells.forEach((row, h) => row.forEach((v, s) => {
    if (v === null || (only && !only(h, s)) || (wanted && !wanted.includes(report.verdicts[v].mark))) return;
    const key = s * report.verdicts.length + v;
    if (!found.has(key)) found.set(key, { step: s, verdict: report.verdicts[v], hosts: [] });
    found.get(key).hosts.push(h);
  }));
  return [...found.values()].sort((a, b) => a.step - b.step || b.hosts.length - a.hosts.length);
}

const WORTH = ["failed", "unseen", "drift", "predicted", "changed"];
function findings() {
  const meant = new Set(hits.hosts);
  const all = groups(state.mark ? null : WORTH, (h, s) => meant.has(h) && hits.meant(h, s));
  const one = (g) => box([badge(g.verdict.mark), " ", report.steps[g.step].name, el("span", { class: "faint" }, onHosts(g))],
    () => [el("p", { class: "faint" }, stepLink(g.step), `, ${report.steps[g.step].kind}, `, place(report.steps[g.step])), details(g.verdict), el("p", {}, "On ", hostList(g.hosts))], all.length <= 20);
  return [el("h1", {}, many(all.length, "finding")), some(all, one)];
}
// A part that is drawn when it is opened.
function box(head, draw, open) {
  const made = el("details", { class: "box" }, el("summary", {}, head));
  made.fill = () => made.childElementCount === 1 && made.append(...el("div", {}, draw()).childNodes);
  made.addEventListener("toggle", made.fill);
  if (open) {
    made.fill();
    made.open = true;
  }
  return made;
}
// The first ones, and the others when they are asked for.
function some(all, draw, from = 0) {
  const made = all.slice(from, from + 200).map(draw);
  if (from + 200 >= all.length) return made;
  const more = el("button", { type: "button", click: () => more.replaceWith(...some(all, draw, from + 200).flat()) }, `Show more of ${all.length}`);
  return [...made, more];
}

function matrix() {
  const { hosts, steps } = hits;
  const used = new Set(report.verdicts.map((v) => v.mark));
  const legend = el("div", { class: "legend", "aria-label": "Marks" }, report.marks.filter((m) => used.has(m.mark)).map((m) => badge(m.mark)));
  if (!hosts.length || !steps.length) return [legend, el("p", { class: "none" }, "Nothing is left by this filter.")];
  const longest = Math.max(...hosts.map((h) => report.hosts[h].name.length));
  const head = Math.min(190, Math.max(60, longest * 8 + 16));
  const heads = el("div", { class: "heads", role: "row", "aria-rowindex": "1", css: { "--head": `${head}px` } });
  const body = el("div", { role: "rowgroup", css: { position: "relative", height: `${steps.length * CELL}px` } });
  const grid = el("div", { class: "view", id: "grid", role: "grid", "aria-label": "Steps and hosts", "aria-rowcount": steps.length + 1, "aria-colcount": hosts.length + 1 }, heads, body);
  focused = { row: Math.min(focused.row, steps.length - 1), column: Math.min(focused.column, hosts.length - 1) };
  const names = () => parseInt(getComputedStyle(document.documentElement).getPropertyValue("--names"), 10);
  const tab = (row, column) => (focused.row === row && focused.column === column ? "0" : "-1");
  const at = (row, column) => ({ "data-row": row, "data-column": column, tabindex: tab(row, column) });
  const draw = () => {
    const width = names();
    grid.style.zoom = printing ? Math.max(0.3, Math.min(1, 700 / (width + hosts.length * CELL))) : "";
    const hadFocus = grid.contains(document.activeElement) && document.activeElement !== grid;
    for (const part of [heads, body]) part.style.setProperty("width", `${width + hosts.length * CELL + 4}px`);
    const [top, bottom] = range(grid.scrollTop, CELL, grid.clientHeight, steps.length);
    const [left, right] = range(grid.scrollLeft, CELL, grid.clientWidth, hosts.length);
    const x = (column) => `${width + column * CELL}px`;
    const columns = [];
    for (let c = left; c < right; c++) columns.push(el("div", { class: "head", role: "columnheader", "aria-colindex": c + 2, title: report.hosts[hosts[c]].name, css: { left: x(c) }, ...at(-1, c) }, report.hosts[hosts[c]].name));
    heads.replaceChildren(el("div", { class: "corner", role: "columnheader", "aria-colindex": "1" }, `${many(steps.length, "step")} on ${many(hosts.length, "host")}`), ...columns);
    const rows = [];
    for (let r = top; r < bottom; r++) {
      const line = report.steps[steps[r]];
      const name = shown(line.name);
      const title = `${line.playbook}: ${line.name} (${line.place.file}:${line.place.line})`;
      const row = el("div", { class: "row", role: "row", "aria-rowindex": r + 2, css: { top: `${r * CELL}px` } },
        el("div", { class: "name", role: "rowheader", "aria-colindex": "1", title, ...at(r, -1) }, books.length > 1 && el("span", { class: "book" }, `${line.playbook} `), line.name));
      for (let c = left; c < right; c++) {
        const verdict = verdictAt(hosts[c], steps[r]);
        const says = `${verdict ? marks[verdict.mark].word : "not for this host"}: ${name} on ${report.hosts[hosts[c]].name}`;
        const off = verdict && !hits.meant(hosts[c], steps[r]) ? " off" : "";
        // There are so many of them that they are made by hand.
        const cell = document.createElement("div");
        cell.className = `at-cell ${verdict?.mark || ""}${off}`;
        cell.setAttribute("role", "gridcell");
        cell.setAttribute("aria-colindex", c + 2);
        cell.setAttribute("aria-label", says);
        cell.dataset.row = r;
        cell.dataset.column = c;
        cell.tabIndex = tab(r, c);
        cell.style.left = x(c);
        cell.textContent = verdict ? marks[verdict.mark].letter : "";
        row.append(cell);
      }
      rows.push(row);
    }
    body.replaceChildren(...rows);
    if (hadFocus) cellOf(grid)?.focus({ preventScroll: true });
  };
  const see = () => {
    const { row, column } = focused;
    const width = names();
    if (row >= 0) grid.scrollTop = Math.min(row * CELL, Math.max(grid.scrollTop, (row + 1) * CELL - (grid.clientHeight - head)));
    if (column >= 0) grid.scrollLeft = Math.min(column * CELL, Math.max(grid.scrollLeft, (column + 1) * CELL - (grid.clientWidth - width)));
    draw();
    cellOf(grid)?.focus({ preventScroll: true });
  };
  const open = (row, column) => {
    if (row < 0 && column < 0) return;
    if (row < 0) go(to("host", { at: report.hosts[hosts[column]].name }));
    else if (column < 0 || !verdictAt(hosts[column], steps[row])) go(to("step", { step: stepKey(report.steps[steps[row]]) }));
    else go(cellHash(hosts[column], steps[row]));
  };
  grid.addEventListener("click", (event) => {
    const cell = event.target.closest("[data-row]");
    if (!cell) return;
    focused = { row: +cell.dataset.row, column: +cell.dataset.column };
    open(focused.row, focused.column);
  });
  grid.addEventListener("mouseover", ({ target }) => {
    if (target.className.startsWith("at-cell")) target.title = target.getAttribute("aria-label");
  });
  grid.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor((grid.clientHeight - head) / CELL) - 1);
    let { row, column } = focused;
    const ways = {
      ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], PageUp: [-page, 0], PageDown: [page, 0],
      Home: [event.ctrlKey ? -1e9 : 0, -1e9], End: [event.ctrlKey ? 1e9 : 0, 1e9],
    };
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      return open(row, column);
    }
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    row = Math.max(column < 0 ? 0 : -1, Math.min(steps.length - 1, row + way[0]));
    column = Math.max(row < 0 ? 0 : -1, Math.min(hosts.length - 1, column + way[1]));
    focused = { row, column };
    see();
  });
  redraw = { box: grid, draw };
  return [legend, grid];
}
const cellOf = (grid) => grid.querySelector(`[data-row="${focused.row}"][data-column="${focused.column}"]`);

function time() {
  if (!report.times.length) return [el("h1", {}, "Time"), el("p", {}, "Only an apply has times: nothing was applied here.")];
  const total = end();
  const { hosts } = hits;
  const body = el("div", { role: "list", "aria-label": "Hosts", css: { position: "relative", height: `${hosts.length * CELL}px` } });
  const ticks = [0, 1, 2, 3].map((n) => el("span", { css: { left: `${25 * n}%` } }, duration(Math.round((total * n) / 4))));
  const scale = el("div", { class: "ticks", "aria-hidden": "true" }, el("div", { class: "track" }, ticks));
  const box = el("div", { class: "view", tabindex: "0", role: "group", "aria-label": "Time of each host" }, scale, body);
  const draw = () => {
    const [top, bottom] = range(box.scrollTop, CELL, box.clientHeight, hosts.length);
    const rows = [];
    for (let r = top; r < bottom; r++) {
      const h = hosts[r];
      rows.push(el("div", { class: "row", role: "listitem", css: { top: `${r * CELL}px` } },
        el("a", { class: "name", href: to("host", { at: report.hosts[h].name }), title: report.hosts[h].name }, report.hosts[h].name), el("div", { class: "track" }, bars(h, total))));
    }
    body.replaceChildren(...rows);
  };
  redraw = { box, draw };
  const sums = report.steps.map((_, s) => ({ s, own: 0, wait: 0, turns: 0 }));
  for (const h of hosts) {
    for (const t of report.times[h]) {
      const sum = sums[t.step];
      sum.own += t.took_ms - (t.waited_ms || 0);
      sum.wait += t.waited_ms || 0;
      sum.turns++;
    }
  }
  const most = sums.filter((sum) => sum.turns).sort((a, b) => b.own + b.wait - a.own - a.wait).slice(0, 10);
  const heads = [{ word: "Work", count: true }, { word: "Waiting", count: true }, { word: "Hosts", count: true }, { word: "Step" }];
  const longest = table("Steps that took longest", heads, most.map((sum) => [duration(sum.own), sum.wait ? duration(sum.wait) : "", String(sum.turns), stepLink(sum.s)]));
  return [el("h1", {}, `Where the ${duration(total)} went`), el("p", { class: "faint" }, "A bar is a step; the hatched part of it is what it waited for other hosts. Hosts in inventory order."), box, el("h2", {}, "Steps that took longest, over all hosts"), longest];
}

function turnsOf(h) {
  return new Map((report.times[h] || []).map((t) => [t.step, t]));
}
const timing = (t) => t && [duration(t.took_ms), el("p", { class: "faint" }, `from ${duration(t.began_ms)}`), waited(t) && el("p", { class: "faint" }, waited(t))];

function host() {
  const h = report.hosts.findIndex((line) => line.name === state.at);
  if (h < 0) return missing(`host ${state.at}`);
  const line = report.hosts[h];
  const turns = turnsOf(h);
  const all = report.steps.map((_, s) => s).filter((s) => verdictAt(h, s));
  const count = {};
  for (const s of all) count[verdictAt(h, s).mark] = (count[verdictAt(h, s).mark] || 0) + 1;
  const heads = [{ word: "Verdict", class: "mark" }, { word: "Step" }, { word: "Place" }, { word: "What was found" }];
  if (turns.size) heads.push({ word: "Time", class: "when" });
  const row = (s) => {
    const verdict = verdictAt(h, s);
    const more = verdict.change || verdict.failure ? box(verdict.failure?.message || verdict.reason || verdict.change.summary, () => details(verdict, true), false) : verdict.reason || "";
    const cells = [badge(verdict.mark), [link(cellHash(h, s), report.steps[s].name), el("p", { class: "faint" }, `${report.steps[s].playbook}, ${report.steps[s].kind}`)], place(report.steps[s]), more];
    return turns.size ? [...cells, timing(turns.get(s)) || ""] : cells;
  };
  return [
    el("h1", {}, line.name),
    line.standing !== "asked" && el("p", {}, badge(line.standing), " ", line.why),
    el("div", { class: "legend" }, report.marks.filter((m) => count[m.mark]).map((m) => badge(m.mark, count[m.mark]))),
    turns.size > 0 && el("div", { class: "own", role: "group", "aria-label": "Steps in time" }, bars(h, end())),
    table(`Steps of ${line.name}`, heads, all.map(row), "stack"),
  ];
}

function stepIndex() {
  return report.steps.findIndex((line) => stepKey(line) === state.step);
}
function about(s) {
  const line = report.steps[s];
  return definitions([["Playbook", line.playbook], ["Step", line.id], ["Kind", line.kind], ["Place", place(line)]]);
}
function step() {
  const s = stepIndex();
  if (s < 0) return missing(`step ${state.step}`);
  const worst = (g) => -report.marks.findIndex((m) => m.mark === g.verdict.mark);
  const all = groups(null, (_, other) => other === s).sort((a, b) => worst(a) - worst(b) || b.hosts.length - a.hosts.length);
  const slow = report.times.flatMap((turns, h) => turns.filter((t) => t.step === s).map((t) => [h, t])).sort((a, b) => b[1].took_ms - a[1].took_ms);
  const one = (g) => box([badge(g.verdict.mark), onHosts(g), el("span", { class: "faint" }, g.verdict.reason && `: ${g.verdict.reason}`)], () => [details(g.verdict, true), el("p", {}, "On ", hostList(g.hosts))], all.length <= 10);
  return [
    el("h1", {}, report.steps[s].name), about(s), some(all, one),
    slow.length > 0 && [el("h2", {}, "Longest turns"), table("Longest turns", [{ word: "Host" }, { word: "Time" }], slow.slice(0, 20).map(([h, t]) => [hostLink(h), timing(t)]))],
  ];
}
function cell() {
  const s = stepIndex();
  const h = report.hosts.findIndex((line) => line.name === state.at);
  if (s < 0 || h < 0 || !verdictAt(h, s)) return missing(`step ${state.step} on ${state.at}`);
  const verdict = verdictAt(h, s);
  const same = report.cells.filter((row) => row[s] === report.cells[h][s]).length - 1;
  return [
    el("h1", {}, report.steps[s].name, " on ", report.hosts[h].name),
    el("p", {}, badge(verdict.mark), " ", same > 0 && el("span", { class: "faint" }, `the same on ${many(same, "other host")}`)),
    el("p", {}, "All of the step: ", stepLink(s), ". All of the host: ", hostLink(h), "."),
    about(s), details(verdict),
    turnsOf(h).has(s) && [el("h2", {}, "Time"), timing(turnsOf(h).get(s))],
  ];
}
const missing = (what) => [el("h1", {}, "Not in this report"), el("p", {}, what)];

// All together.

function show() {
  const started = performance.now();
  read();
  hits = filter();
  redraw = null;
  for (const f of FILTERS) if ($(f) !== document.activeElement || $(f).value !== (state[f] || "")) $(f).value = state[f] || "";
  const views = Object.entries(VIEWS).filter(([key, view]) => view.word && (key !== "time" || report.times.length));
  $("views").replaceChildren(...views.map(([key, view]) => el("a", { href: to(key), "aria-current": key === state.view && "page" }, view.word)));
  const open = FILTERS.every((f) => !state[f]);
  $("status").textContent = open ? "" : `${many(hits.cells, "verdict")}: ${many(hits.steps.length, "step")} on ${many(hits.hosts.length, "host")}`;
  const main = $("main");
  main.className = state.view === "matrix" || state.view === "time" ? "wide" : "";
  main.replaceChildren(...el("div", {}, VIEWS[state.view].draw()).childNodes);
  main.dataset.view = state.view;
  if (redraw) {
    fit(redraw.box);
    redraw.draw();
    let asked = false;
    const { box, draw } = redraw;
    box.addEventListener("scroll", () => {
      if (!asked) requestAnimationFrame(() => { asked = false; draw(); });
      asked = true;
    });
  }
  main.dataset.took = (performance.now() - started).toFixed(1);
}
function change() {
  const next = { ...state };
  for (const f of FILTERS) next[f] = $(f).value;
  // To filter shows what is left of the matrix, unless another list is shown.
  if (!["matrix", "findings", "time"].includes(next.view)) {
    go(address({ view: "matrix", ...Object.fromEntries(FILTERS.map((f) => [f, next[f]])) }));
    return;
  }
  history.replaceState(history.state, "", address(next));
  show();
}

async function start() {
  const bytes = Uint8Array.from(atob($("data").textContent), (c) => c.charCodeAt(0));
  const open = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  report = JSON.parse(await new Response(open).text());
  marks = Object.fromEntries(report.marks.map((m) => [m.mark, m]));
  books = [...new Set(report.steps.map((s) => s.playbook))];
  document.title = shown(`${report.made.playbooks.join(", ")}, ${report.made.mode} of ${report.when}`);
  const used = new Set(report.verdicts.map((v) => v.mark));
  $("mark").append(el("option", { value: "" }, "Any verdict"), ...report.marks.filter((m) => used.has(m.mark)).map((m) => el("option", { value: m.mark }, `${m.letter} ${m.word}`)));
  $("book").append(el("option", { value: "" }, "Any playbook"), ...books.map((b) => el("option", { value: b }, b)));
  for (const f of FILTERS) $(f).addEventListener("input", change);
  addEventListener("popstate", show);
  addEventListener("resize", () => redraw && (fit(redraw.box), redraw.draw()));
  addEventListener("beforeprint", () => {
    printing = true;
    for (const part of document.querySelectorAll("details.box")) part.fill(), (part.open = true);
    redraw?.draw();
  });
  addEventListener("afterprint", () => { printing = false; redraw?.draw(); });
  document.addEventListener("click", (event) => {
    const a = event.target.closest("a[href^='#']");
    if (!a || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(a.getAttribute("href"));
    scrollTo(0, 0);
    $("main").focus({ preventScroll: true });
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT)$/.test(event.target.tagName);
    if (event.key === "/" && !typing) {
      event.preventDefault();
      $("q").focus();
      $("q").select();
    } else if (event.key === "Escape") {
      event.preventDefault();
      if (typing) event.target.blur();
      else back();
    }
  });
  show();
  document.documentElement.dataset.ready = performance.now().toFixed(0);
}
start().catch((error) => {
  $("main").textContent = `This page cannot be drawn; a newer browser may be needed. ${error}`;
  throw error;
});
