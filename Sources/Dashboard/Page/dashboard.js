// Takes looks from the server as they come, asks for the map when it has drawn the last, and draws.
"use strict";

const $ = id => document.getElementById(id);
const MOST_ROWS = 900;
// Upper ends of the ranges of durations, seconds; one more range is beyond them.
const BOUNDS = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, .01, .02, .05, .1, .2, .5, 1];

let pool = null, look = null, previous = null, source = null, generation = 0;
let rows = [], latency = [], ticks = [], calls = null;
let sort = { key: "blocks", down: true };
// The sequence whose blocks are shown on the map: its row's key, and where they are; null = not known yet.
let chosen = null, stretches = null, ownersDue = 0;
const map = new BlockMap($("map"), $("tip"));

const percent = v => (v * 100).toFixed(v > 0 && v < 1 ? 1 : 0) + " %";
const count = n => n.toLocaleString("en");
const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds === 0) return "0";
  if (seconds < 1e-3) return +(seconds * 1e6).toPrecision(2) + " µs";
  if (seconds < 1) return +(seconds * 1e3).toPrecision(2) + " ms";
  if (seconds < 120) return Math.round(seconds) + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  return Math.round(seconds / 3600) + " h";
}
async function ask(path, kind) {
  const reply = await fetch(path, { cache: "no-store" });
  if (!reply.ok) throw Object.assign(new Error(`${path}: ${reply.status}`), { status: reply.status });
  return kind === "bytes" ? reply.arrayBuffer() : reply.json();
}

// Pools

async function choose(name) {
  pool = name;
  const mine = ++generation;
  look = previous = null;
  rows = []; latency = []; ticks = []; calls = null;
  map.selected = 0;
  chosen = stretches = null;
  ownersDue = 0;
  $("owners").tBodies[0].replaceChildren();
  map.set(new Uint8Array(0));
  $("block").innerHTML = '<span class="quiet">Click a block to see who has it.</span>';
  document.title = `${name} · Quire`;
  history.replaceState(null, "", `?pool=${encodeURIComponent(name)}`);
  if (source) source.close();
  const past = await ask(`api/history?pool=${encodeURIComponent(name)}`);
  if (mine !== generation) return;
  rows = past.t.map((t, i) => ({
    t, free: past.free[i], cached: past.cached[i], active: past.active[i], shared: past.shared[i],
    pinned: past.pinned[i], ext: past.ext[i], int: past.int[i],
  }));
  ticks = past.t.filter((t, i) => i > 0 && past.preemptions[i] > past.preemptions[i - 1]);
  source = new EventSource(`events?pool=${encodeURIComponent(name)}`);
  source.addEventListener("look", event => { if (mine === generation) take(JSON.parse(event.data)); });
  source.addEventListener("gone", () => { if (mine === generation) start(); });
  source.onopen = () => live("on", "live");
  source.onerror = () => live("off", "no connection");
  askForMap(mine);
}

async function askForMap(mine) {
  while (mine === generation) {
    let pause = 500;
    if (look && !document.hidden) {
      const began = performance.now();
      try {
        const bytes = await ask(`api/map?pool=${encodeURIComponent(pool)}`, "bytes");
        if (mine !== generation) return;
        await follow();
        if (mine !== generation) return;
        map.set(BlockMap.decode(bytes, look.blocks), stretches);
        if (map.selected) show(map.selected);
      } catch (error) { pause = 2000; }
      pause = Math.max(look ? look.mapMs - (performance.now() - began) : pause, 50);
    } else {
      pause = 50;
    }
    await new Promise(done => setTimeout(done, pause));
  }
}

function live(kind, text) { $("live").className = "live " + kind; $("live").textContent = text; }

function take(next) {
  previous = look;
  look = next;
  const last = rows[rows.length - 1];
  const row = {
    t: next.t, free: next.free, cached: next.cached, active: next.active, shared: next.shared,
    pinned: next.pinned + next.pending, ext: next.ext,
    int: next.slotsHeld ? 1 - next.slotsUsed / next.slotsHeld : 0,
  };
  if (!last || next.t - last.t >= 450) rows.push(row);
  if (rows.length > MOST_ROWS) rows.splice(0, rows.length - MOST_ROWS);
  if (previous && next.preemptions > previous.preemptions) ticks.push(next.t);
  ticks = ticks.filter(t => t >= rows[0].t);
  takeLatency(next);
  names(next.names);
  if (!document.hidden) requestAnimationFrame(draw);
  if (next.t >= ownersDue) { ownersDue = next.t + 10000; askForOwners(generation); }
}

// Owners over time

async function askForOwners(mine) {
  let past;
  try { past = await ask(`api/owners?pool=${encodeURIComponent(pool)}`); } catch (error) { return; }
  if (mine !== generation) return;
  const most = Math.max(1, ...past.owners.flatMap(o => o.blocks));
  $("owners-now").textContent = past.t.length ? `those that held most since ${Charts.clock(past.t[0])}; 0 is also: not among the eight that held most` : "nobody looked yet; see --sample-interval";
  $("owners").tBodies[0].replaceChildren(...past.owners.map(o => {
    const row = document.createElement("tr");
    const name = row.insertCell(), session = row.insertCell(), now = row.insertCell(), line = row.insertCell();
    name.textContent = o.label || "no label";
    if (!o.label) name.className = "quiet";
    session.textContent = o.session === "0" ? "default" : o.session;
    now.textContent = count(o.blocks[o.blocks.length - 1] || 0);
    now.className = "n";
    line.append(sparkline(o.blocks, past.t, most));
    return row;
  }));
  $("owners-card").hidden = !past.owners.length;
}

/** Blocks over time, the same scale for all. */
function sparkline(values, times, most) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const area = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const from = times[0], span = Math.max(1, times[times.length - 1] - from);
  const points = values.map((v, i) => `${(300 * (times[i] - from) / span).toFixed(1)},${(27 - 24 * v / most).toFixed(1)}`);
  svg.setAttribute("viewBox", "0 0 300 28");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `from ${values[0]} to ${values[values.length - 1]} blocks, at most ${Math.max(...values)}`);
  if (points.length === 1) points.push("300," + points[0].split(",")[1]);
  area.setAttribute("d", `M0,28 L${points.join(" L")} L300,28 Z`);
  svg.append(area);
  return svg;
}

// The blocks of one sequence

/** Asks where the chosen sequence's blocks are by now. Where no answer comes they stay as they were. */
async function follow() {
  const mine = generation, wish = chosen;
  if (!wish) return;
  let found;
  try {
    found = (await ask(`api/sequence?pool=${encodeURIComponent(pool)}&id=${wish.id}&session=${wish.session}`)).stretches;
  } catch (error) {
    if (error.status !== 404) return;
    found = null;
  }
  if (mine !== generation || chosen !== wish) return;
  stretches = found;
  // It has gone.
  if (!found) { chosen = null; if (look) table(); }
}

/** Chooses a sequence of the table, or none. */
async function mark(sequence) {
  chosen = sequence && chosen && chosen.id === sequence.id && chosen.session === sequence.session ? null : sequence;
  stretches = null;
  if (look) table();
  const mine = generation, wish = chosen;
  await follow();
  if (mine === generation && (chosen === wish || !chosen)) map.light(stretches);
}

function takeLatency(next) {
  const before = calls;
  calls = { t: next.t, counts: next.lat };
  const row = { t: next.t, p50: null, p99: null, rate: 0 };
  if (before) {
    const fresh = next.lat.map((n, i) => n - (before.counts[i] || 0));
    const all = fresh.reduce((a, b) => a + b, 0);
    row.rate = all / Math.max(.001, (next.t - before.t) / 1000);
    row.p50 = quantile(fresh, all, .5);
    row.p99 = quantile(fresh, all, .99);
  }
  latency.push(row);
  if (latency.length > MOST_ROWS) latency.shift();
}

/** Within the range in which it lies, evenly spread. */
function quantile(counts, all, q) {
  if (!all) return null;
  let rest = q * all;
  for (let i = 0; i < counts.length; i++) {
    if (rest <= counts[i]) {
      const low = i ? BOUNDS[i - 1] : 0, high = BOUNDS[i] || BOUNDS[BOUNDS.length - 1];
      return low + (high - low) * (counts[i] ? rest / counts[i] : 1);
    }
    rest -= counts[i];
  }
  return BOUNDS[BOUNDS.length - 1];
}

function names(list) {
  const select = $("pool");
  if ([...select.options].map(o => o.value).join("\n") === list.join("\n")) { select.value = pool; return; }
  select.replaceChildren(...list.map(name => new Option(name, name)));
  select.value = pool;
}

// Drawing

function draw() {
  if (!look) return;
  figures();
  legend();
  const colour = Charts.color;
  const bands = [["pinned", colour("pinned")], ["shared", colour("shared"), true], ["active", colour("active")], ["cached", colour("cached")]];
  const use = Charts.stack($("c-use"), rows, bands, look.blocks, look.watermark, ticks);
  if (use) Charts.legend(use, [["active", colour("active")], ["shared", colour("shared")], ["cached", colour("cached")],
    ...(look.watermark ? [["watermark", colour("ink"), [5, 4]]] : []), ...(ticks.length ? [["▾ preemption", colour("error")]] : [])]);
  $("c-use-now").textContent = `${count(look.active + look.shared + look.pinned)} of ${count(look.blocks)} blocks in use, highest ${count(look.high)}`;
  const frag = Charts.lines($("c-frag"), rows, [["ext", colour("error")], ["int", colour("active"), [6, 3]]], 1, v => Math.round(v * 100) + " %", "nothing was sampled yet");
  Charts.legend(frag, [["external: 1 − longest free run / free", colour("error"), [99, 1]], ["internal: slots held, not used", colour("active"), [6, 3]]]);
  $("c-frag-now").textContent = `external ${percent(look.ext)} · refusals caused by fragmentation: ${count(look.refusedRun)}`;
  const labels = look.hist.map((_, k) => k === 0 ? "1" : k < 7 ? `${2 ** k}–${2 ** (k + 1) - 1}` : `${Charts.short(2 ** k)}+`);
  Charts.columns($("c-hist"), look.hist, labels, colour("partial"), "no block is free");
  $("c-hist-now").textContent = `${plural(look.freeRuns, "run")}, longest ${count(look.largestFree)}, with cached ${count(look.largestAvailable)}`;
  const highest = Math.max(1e-5, ...latency.map(r => r.p99 || 0));
  const lat = Charts.lines($("c-lat"), latency, [["p99", colour("error")], ["p50", colour("active"), [6, 3]]], Charts.roof(highest), duration, "no calls yet");
  Charts.legend(lat, [["p99", colour("error"), [99, 1]], ["p50", colour("active"), [6, 3]]]);
  const last = latency[latency.length - 1];
  $("c-lat-now").textContent = last && last.p99 != null ? `p50 ${duration(last.p50)} · p99 ${duration(last.p99)}, within the server` : "within the server, all methods";
  table();
  document.documentElement.dataset.looks = String((+document.documentElement.dataset.looks || 0) + 1);
}

function figure(id, value, more, bad) {
  $("f-" + id).textContent = value;
  $("f-" + id + "-more").textContent = more;
  $("f-" + id).parentElement.classList.toggle("bad", !!bad);
}

function figures() {
  const used = look.blocks - look.free - look.cached - look.pending;
  $("about").textContent = `${count(look.blocks)} blocks of ${look.blockSize} tokens · ${look.strategy} · revision ${count(look.revision)}`;
  figure("usage", percent(used / look.blocks), `${count(look.free + look.cached + look.pending)} blocks available`, used / look.blocks > .95);
  const others = [[look.waiting, "waiting"], [look.preempted, "preempted"], [look.swapped, "swapped"]].filter(([n]) => n).map(([n, w]) => `${count(n)} ${w}`);
  figure("running", count(look.running), others.join(", ") || "nothing waits");
  figure("hits", look.queries ? percent(look.hits / look.queries) : "–", look.queries ? `${count(look.hits)} of ${Charts.short(look.queries)} tokens` : "nothing looked up");
  const seconds = previous ? (look.t - previous.t) / 1000 : 0;
  figure("preempt", count(look.preemptions), `${count(look.evictions)} evictions`, previous && look.preemptions > previous.preemptions);
  const unused = look.slotsHeld - look.slotsUsed;
  figure("int", look.slotsHeld ? percent(unused / look.slotsHeld) : "–", look.slotsHeld ? `${count(unused)} of ${Charts.short(look.slotsHeld)} slots` : look.rawBlocks ? "raw blocks: fill unknown" : "nothing is held");
  figure("ext", percent(look.ext), `${plural(look.refusedRun, "refusal")} caused by fragmentation`, look.refusedRun > 0);
  const rate = latency.length ? latency[latency.length - 1].rate : 0;
  figure("calls", `${Charts.short(rate)}/s`, seconds ? `${Charts.short((look.allocated - previous.allocated) / seconds)} blocks/s handed out` : "");
}

function legend() {
  const entries = [["free", look.free], ["cached", look.cached], ["active", look.active], ["partial", null], ["shared", look.shared], ["pinned", look.pinned], ["pending", look.pending || null], ["ahead", look.emptyBlocks || null], ["reserved", null]];
  const list = $("legend");
  const dark = document.documentElement.className;
  if (list.dataset.theme !== dark || !list.children.length) {
    list.dataset.theme = dark;
    list.replaceChildren(...entries.map(([kind]) => {
      const item = document.createElement("li"), swatch = document.createElement("canvas");
      swatch.width = swatch.height = 12;
      BlockMap.paint(swatch.getContext("2d"), kind, 12);
      item.append(swatch, document.createElement("span"));
      return item;
    }));
  }
  const words = BlockMap.words;
  entries.forEach(([kind, n], i) => {
    list.children[i].hidden = n === null && (kind === "pending" || kind === "ahead") || kind === "reserved" && look.strategy !== "buddy";
    list.children[i].lastChild.textContent = (words[kind] || kind) + (n === null ? "" : ` ${count(n)}`);
  });
}

function table() {
  const body = $("seq").tBodies[0];
  $("seq-now").textContent = look.running ? `the ${Math.min(look.running, 30)} of ${count(look.running)} running that hold most${look.waiting + look.preempted + look.swapped ? ", and some that wait" : ""} · a click shows its blocks on the map` : "";
  for (const th of document.querySelectorAll("th[data-key]")) {
    if (th.dataset.key === sort.key) th.setAttribute("aria-sort", sort.down ? "descending" : "ascending"); else th.removeAttribute("aria-sort");
  }
  const list = [...look.sequences].sort((a, b) => {
    const one = a[sort.key], two = b[sort.key];
    const order = sort.key === "id" ? (one.length - two.length || (one < two ? -1 : one > two ? 1 : 0)) : typeof one === "string" ? one.localeCompare(two) : (one ?? -1) - (two ?? -1);
    return sort.down ? -order : order;
  });
  const most = Math.max(1, ...list.map(s => s.blocks));
  if (!list.length) {
    const cell = document.createElement("td");
    cell.colSpan = 11; cell.className = "empty";
    cell.textContent = look.rawBlocks ? `no sequences; raw holders have ${plural(look.rawBlocks, "block")}` : "no sequences";
    const row = document.createElement("tr");
    row.append(cell);
    body.replaceChildren(row);
    return;
  }
  while (body.rows.length > list.length) body.deleteRow(-1);
  list.forEach((s, i) => {
    let row = body.rows[i];
    if (!row || row.cells.length !== 11) {
      const fresh = document.createElement("tr");
      for (let k = 0; k < 11; k++) { const cell = fresh.insertCell(); if (k === 0 || k > 5 || k === 3 || k === 4) cell.className = "n"; }
      const bar = document.createElement("div"); bar.className = "bar"; bar.append(document.createElement("i"));
      fresh.cells[5].append(bar);
      if (row) row.replaceWith(fresh); else body.append(fresh);
      row = fresh;
    }
    const set = (k, text) => { if (row.cells[k].textContent !== text) row.cells[k].textContent = text; };
    row.sequence = s;
    row.tabIndex = 0;
    row.setAttribute("aria-selected", String(!!chosen && chosen.id === s.id && chosen.session === s.session));
    set(0, s.id); set(1, s.label); set(2, s.state); set(3, count(s.tokens)); set(4, count(s.blocks));
    row.cells[2].className = "state-" + s.state;
    const bar = row.cells[5].firstChild;
    bar.style.width = 100 * s.blocks / most + "%";
    bar.firstChild.style.width = (s.blocks ? 100 * s.shared / s.blocks : 0) + "%";
    bar.hidden = !s.blocks;
    bar.title = `${s.blocks} blocks, ${s.shared} of them shared`;
    set(6, count(s.shared)); set(7, count(s.unused)); set(8, s.runs ? count(s.runs) : "–"); set(9, count(s.preemptions)); set(10, duration(s.age));
  });
}

async function show(id) {
  const mine = generation;
  let found;
  try { found = await ask(`api/block?pool=${encodeURIComponent(pool)}&id=${id}`); } catch (error) { return; }
  if (mine !== generation || map.selected !== id) return;
  const owner = { nobody: "nobody", raw: `session ${found.session}, raw`, several: "several", sequence: `sequence ${found.sequence}${found.label ? ` “${found.label}”` : ""}` }[found.owner];
  const fields = [["Block", count(id)], ["State", found.state + (found.fill === "partly" ? ", partly filled" : "")], ["Owner", owner],
    ["References", String(found.references)], ["Place in its table", found.index >= 0 ? `block ${found.index}` : ""],
    ["Handed out", found.generation ? (found.age != null ? `${duration(found.age)} ago, ` : "") + `revision ${count(found.generation)}` : "never"],
    ["Content", found.hash ? found.hash : "none that could be hit"], ["Pins", found.pins ? String(found.pins) : ""]];
  $("block").dataset.block = String(id);
  $("block").replaceChildren(...fields.filter(([, value]) => value).map(([name, value]) => {
    const box = document.createElement("div"), term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    if (name === "Content" && found.hash) { const code = document.createElement("code"); code.textContent = value; text.append(code); } else { text.textContent = value; }
    box.append(term, text);
    return box;
  }));
  $("goto").value = id;
}

// What people do

map.onSelect = show;
$("pool").addEventListener("change", event => choose(event.target.value));
$("goto").addEventListener("change", event => map.select(+event.target.value));
document.querySelectorAll("th[data-key]").forEach(th => th.addEventListener("click", () => {
  sort = { key: th.dataset.key, down: sort.key === th.dataset.key ? !sort.down : true };
  if (look) table();
}));
$("seq").tBodies[0].addEventListener("click", event => {
  const row = event.target.closest("tr");
  if (row && row.sequence) mark(row.sequence);
});
$("seq").tBodies[0].addEventListener("keydown", event => {
  if ((event.key === "Enter" || event.key === " ") && event.target.sequence) { event.preventDefault(); mark(event.target.sequence); }
});
document.addEventListener("keydown", event => { if (event.key === "Escape" && chosen) mark(null); });
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
function theme() {
  const wish = localStorage.getItem("quire-theme");
  document.documentElement.className = (wish ? wish === "dark" : prefersDark.matches) ? "dark" : "light";
  map.draw();
  draw();
}
$("theme").addEventListener("click", () => {
  localStorage.setItem("quire-theme", document.documentElement.className === "dark" ? "light" : "dark");
  theme();
});
prefersDark.addEventListener("change", theme);
window.addEventListener("resize", () => { map.draw(); draw(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) { map.draw(); draw(); } });

async function start() {
  try {
    const { pools } = await ask("api/pools");
    if (!pools.length) { live("on", "there are no pools"); setTimeout(start, 2000); return; }
    const wish = pool || new URLSearchParams(location.search).get("pool");
    names(pools.map(p => p.name));
    await choose((pools.find(p => p.name === wish) || pools[0]).name);
  } catch (error) {
    live("off", "no connection");
    setTimeout(start, 2000);
  }
}
theme();
start();
