// Charts on canvases: a few shapes, redrawn whole. No state but what is passed in.
"use strict";

const Charts = {
  color(name) { return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim(); },

  /** Fits the canvas to its box and clears it. */
  begin(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const w = Math.round(width * ratio), h = Math.round(height * ratio);
    if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    c.font = "11px system-ui, sans-serif";
    return { c, left: 46, top: 16, right: width - 10, bottom: height - 20 };
  },

  /** A round number at or above `value`, for the top of an axis. */
  roof(value) {
    if (!(value > 0)) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 5, 10].map(f => f * power).find(v => v >= value * 0.999);
  },

  short(n) {
    if (n >= 1e6) return (n / 1e6).toFixed(n >= 1e7 ? 0 : 1).replace(".0", "") + " M";
    if (n >= 1e4) return (n / 1e3).toFixed(0) + " k";
    return String(Math.round(n * 100) / 100);
  },

  /** A count's axis: no fractions. */
  whole(n) { return n === Math.round(n) ? Charts.short(n) : ""; },

  axes(box, top, format, from, to) {
    const { c, left, right, bottom } = box;
    c.lineWidth = 1;
    c.textBaseline = "middle";
    c.textAlign = "right";
    for (let i = 0; i <= 4; i++) {
      const y = Math.round(bottom - (bottom - box.top) * i / 4) + 0.5;
      c.strokeStyle = Charts.color("grid");
      c.beginPath(); c.moveTo(left, y); c.lineTo(right, y); c.stroke();
      c.fillStyle = Charts.color("quiet");
      const label = format(top * i / 4);
      if (label !== "") c.fillText(label, left - 6, y);
    }
    if (from === undefined) return;
    c.textBaseline = "top";
    const steps = Math.max(2, Math.floor((right - left) / 110));
    for (let i = 0; i <= steps; i++) {
      c.textAlign = i === 0 ? "left" : i === steps ? "right" : "center";
      c.fillText(Charts.clock(from + (to - from) * i / steps), left + (right - left) * i / steps, bottom + 5);
    }
  },

  clock(ms) { return new Date(ms).toLocaleTimeString([], { hour12: false }); },

  /** `key(c, x, y)` draws a sample of 9 by 9; text follows. */
  legend(box, entries) {
    const { c } = box;
    let x = box.left;
    c.textAlign = "left";
    c.textBaseline = "middle";
    for (const [name, color, dash] of entries) {
      if (dash) {
        c.strokeStyle = color; c.lineWidth = 2; c.setLineDash(dash);
        c.beginPath(); c.moveTo(x, 6); c.lineTo(x + 14, 6); c.stroke(); c.setLineDash([]);
      } else {
        c.fillStyle = color; c.fillRect(x, 2, 9, 9);
      }
      x += dash ? 19 : 14;
      c.fillStyle = Charts.color("quiet");
      c.fillText(name, x, 7);
      x += c.measureText(name).width + 14;
    }
  },

  hint(box, text) {
    box.c.fillStyle = Charts.color("quiet");
    box.c.textAlign = "center";
    box.c.textBaseline = "middle";
    box.c.fillText(text, (box.left + box.right) / 2, (box.top + box.bottom) / 2);
  },

  /** Bands on top of each other; `rows` of {t, ...}, `bands` of [key, colour]. */
  stack(canvas, rows, bands, total, line, ticks) {
    const box = Charts.begin(canvas);
    const { c, left, right, top, bottom } = box;
    const to = rows.length ? rows[rows.length - 1].t : 0;
    const from = rows.length ? Math.min(rows[0].t, to - 30000) : 0;
    Charts.axes(box, total, Charts.short, rows.length ? from : undefined, to);
    if (!rows.length) return Charts.hint(box, "nothing was sampled yet");
    const x = t => left + (right - left) * (t - from) / Math.max(1, to - from);
    const y = v => bottom - (bottom - top) * v / total;
    let below = rows.map(() => 0);
    for (const [key, color, hatch] of bands) {
      const above = rows.map((row, i) => below[i] + row[key]);
      c.beginPath();
      rows.forEach((row, i) => c.lineTo(x(row.t), y(above[i])));
      for (let i = rows.length - 1; i >= 0; i--) c.lineTo(x(rows[i].t), y(below[i]));
      c.closePath();
      c.fillStyle = color; c.fill();
      if (hatch) { c.fillStyle = Charts.hatch(c); c.fill(); }
      below = above;
    }
    if (line > 0) {
      c.strokeStyle = Charts.color("ink"); c.lineWidth = 1.5; c.setLineDash([5, 4]);
      c.beginPath(); c.moveTo(left, y(total - line)); c.lineTo(right, y(total - line)); c.stroke();
      c.setLineDash([]);
    }
    c.fillStyle = Charts.color("error");
    for (const t of ticks) {
      c.beginPath(); c.moveTo(x(t) - 3, top); c.lineTo(x(t) + 3, top); c.lineTo(x(t), top + 7); c.fill();
    }
    return box;
  },

  hatch(c) {
    if (!Charts.hatchTile) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 6;
      const p = tile.getContext("2d");
      p.strokeStyle = "rgba(0,0,0,.35)"; p.lineWidth = 1.2;
      p.beginPath(); p.moveTo(-1, 7); p.lineTo(7, -1); p.moveTo(-1, 1); p.lineTo(1, -1);
      p.moveTo(5, 7); p.lineTo(7, 5); p.stroke();
      Charts.hatchTile = tile;
    }
    return c.createPattern(Charts.hatchTile, "repeat");
  },

  /** Lines over time; `lines` of [key, colour, dash]; values that are null leave gaps. */
  lines(canvas, rows, lines, top, format, empty) {
    const box = Charts.begin(canvas);
    const { c, left, right, bottom } = box;
    const to = rows.length ? rows[rows.length - 1].t : 0;
    const from = rows.length ? Math.min(rows[0].t, to - 30000) : 0;
    Charts.axes(box, top, format, rows.length ? from : undefined, to);
    if (!rows.some(row => lines.some(([key]) => row[key] != null))) { Charts.hint(box, empty); return box; }
    for (const [key, color, dash] of lines) {
      c.strokeStyle = color; c.lineWidth = 1.8; c.setLineDash(dash || []); c.lineJoin = "round";
      c.beginPath();
      let pen = false;
      for (const row of rows) {
        if (row[key] == null) { pen = false; continue; }
        const px = left + (right - left) * (row.t - from) / Math.max(1, to - from);
        const py = bottom - (bottom - box.top) * Math.min(row[key], top) / top;
        if (pen) c.lineTo(px, py); else c.moveTo(px, py);
        pen = true;
      }
      c.stroke();
    }
    c.setLineDash([]);
    return box;
  },

  /** Columns with their value on top. */
  columns(canvas, values, labels, color, empty) {
    const box = Charts.begin(canvas);
    const { c, left, right, top, bottom } = box;
    const roof = Charts.roof(Math.max(0, ...values));
    Charts.axes(box, roof, Charts.whole);
    if (!values.length) return Charts.hint(box, empty);
    const step = (right - left) / Math.max(values.length, 6);
    // As many labels as have room.
    const every = Math.ceil((Math.max(...labels.map(l => c.measureText(l).width)) + 8) / step);
    c.textAlign = "center";
    values.forEach((value, i) => {
      const h = (bottom - top) * value / roof;
      c.fillStyle = color;
      c.fillRect(left + step * i + step * .12, bottom - h, step * .76, h);
      c.fillStyle = Charts.color("quiet");
      c.textBaseline = "top";
      if (i % every === 0) c.fillText(labels[i], left + step * (i + .5), bottom + 5);
      c.textBaseline = "bottom";
      if (value > 0 && step > 24) c.fillText(Charts.short(value), left + step * (i + .5), bottom - h - 1);
    });
  },
};
