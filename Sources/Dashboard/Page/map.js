// The block map: one cell a block on a canvas, drawn whole from a byte a block.
"use strict";

// As `BlockLayoutAnalyzer.bytes` has them.
const STATES = ["free", "cached", "active", "shared", "pinned", "pending"];
const PARTIAL = 8, RAW = 16, ROUNDING = 32, AHEAD = 64;

class BlockMap {
  constructor(canvas, tip) {
    this.canvas = canvas;
    this.tip = tip;
    this.cells = new Uint8Array(0);
    this.selected = 0;
    // A byte a block, not 0 for the blocks of the sequence that is chosen; null = none is.
    this.lit = null;
    this.litCount = 0;
    this.onSelect = () => {};
    canvas.addEventListener("click", e => this.select(this.at(e)));
    canvas.addEventListener("mousemove", e => this.hover(e));
    canvas.addEventListener("mouseleave", () => { tip.hidden = true; });
    canvas.addEventListener("keydown", e => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[e.key];
      if (!step) return;
      e.preventDefault();
      this.select(Math.min(this.cells.length, Math.max(1, this.selected + step)));
    });
  }

  /** What the server sent: plain, or stretches of equal bytes. */
  static decode(buffer, blocks) {
    const bytes = new Uint8Array(buffer);
    if (bytes[0] === 0) return bytes.subarray(1);
    const cells = new Uint8Array(blocks);
    let at = 1, place = 0;
    while (at < bytes.length) {
      const value = bytes[at++];
      let count = 0, shift = 0, byte;
      do { byte = bytes[at++]; count += (byte & 127) * 2 ** shift; shift += 7; } while (byte & 128);
      cells.fill(value, place, place + count);
      place += count;
    }
    return cells.subarray(0, place);
  }

  /** Draws these blocks, all but those of the stretches `first, count`, one after the other, pale; null = none is. */
  set(cells, stretches) {
    this.cells = cells;
    this.light(stretches);
  }

  light(stretches) {
    this.lit = stretches ? new Uint8Array(this.cells.length) : null;
    this.litCount = 0;
    for (let i = 0; stretches && i < stretches.length; i += 2) {
      this.lit.fill(1, stretches[i] - 1, stretches[i] - 1 + stretches[i + 1]);
      this.litCount += stretches[i + 1];
    }
    this.draw();
  }

  /** Colour and pattern of each look a cell can have, as 32-bit pixels of a tile. */
  tile(kind, size) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    BlockMap.paint(canvas.getContext("2d"), kind, size);
    return new Uint32Array(canvas.getContext("2d").getImageData(0, 0, size, size).data.buffer);
  }

  static kind(byte) {
    if (byte & ROUNDING) return "reserved";
    const state = STATES[byte & 7] || "free";
    if (byte & AHEAD) return "ahead";
    return state === "active" && byte & PARTIAL ? "partial" : state;
  }

  static words = { partial: "active, partly filled", reserved: "rounded up", ahead: "ahead of its tokens", pending: "freed lazily" };

  static paint(c, kind, size) {
    const gap = size >= 6 ? 1 : 0, side = size - gap;
    c.clearRect(0, 0, size, size);
    c.fillStyle = Charts.color(kind === "ahead" ? "reserved" : kind);
    c.fillRect(0, 0, side, side);
    if (kind === "shared" && size >= 4) {
      c.save();
      c.beginPath(); c.rect(0, 0, side, side); c.clip();
      c.strokeStyle = "rgba(0,0,0,.5)"; c.lineWidth = Math.max(1, side / 7);
      c.beginPath();
      for (let d = -side; d < side * 2; d += Math.max(3, side / 2.2)) { c.moveTo(d, side); c.lineTo(d + side, 0); }
      c.stroke();
      c.restore();
    }
    if (kind === "partial" && size >= 4) {
      c.fillStyle = Charts.color("active");
      c.fillRect(0, 0, side, Math.floor(side / 2));
    }
    if (kind === "ahead" && size >= 4) {
      c.fillStyle = Charts.color("active");
      c.fillRect(0, Math.floor(side / 2), side, Math.max(1, Math.floor(side / 6)));
    }
    if (kind === "pinned" && size >= 6) {
      c.fillStyle = "rgba(0,0,0,.6)";
      c.fillRect(side / 2 - 1, side / 2 - 1, 2, 2);
    }
  }

  measure() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const wanted = 380 * ratio;
    const blocks = Math.max(1, this.cells.length);
    this.size = Math.max(1, Math.min(Math.round(18 * ratio), Math.floor(Math.sqrt(width * wanted / blocks))));
    this.columns = Math.max(1, Math.floor(width / this.size));
    this.rows = Math.ceil(blocks / this.columns);
    this.ratio = ratio;
    const height = this.rows * this.size;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.canvas.style.height = height / ratio + "px";
      // Tiles were made for another size.
      this.tiles = null;
    }
  }

  draw() {
    if (!this.cells.length) return;
    this.measure();
    const { size, columns, cells } = this;
    const c = this.canvas.getContext("2d");
    const width = this.canvas.width;
    const image = c.createImageData(width, this.canvas.height);
    const pixels = new Uint32Array(image.data.buffer);
    const theme = document.documentElement.className + size;
    if (!this.tiles || this.tilesOf !== theme) {
      this.tilesOf = theme;
      this.tiles = Array.from({ length: 128 }, (_, byte) => this.tile(BlockMap.kind(byte), size));
      // The card shines through.
      this.pale = this.tiles.map(tile => tile.map(p => (p & 0xffffff | (p >>> 24) * .22 << 24) >>> 0));
    }
    const { tiles, pale } = this;
    const lit = this.lit;
    if (size === 1) {
      const plain = tiles.map(t => t[0]);
      // No room for a hatch: every other pixel of what is shared is dark.
      const dark = plain.map(p => (p & 0xff000000 | (p >>> 1 & 0x7f7f7f)) >>> 0);
      for (let i = 0, row = 0; i < cells.length; row += width) {
        const end = Math.min(cells.length, i + columns);
        for (let x = 0; i < end; i++, x++) {
          const byte = cells[i] & 127;
          pixels[row + x] = lit && !lit[i] ? pale[byte][0] : (byte & 7) === 3 && (x + row / width & 1) ? dark[byte] : plain[byte];
        }
      }
    } else {
      for (let i = 0; i < cells.length; i++) {
        const tile = (lit && !lit[i] ? pale : tiles)[cells[i] & 127];
        let at = Math.floor(i / columns) * size * width + i % columns * size;
        for (let y = 0; y < size; y++, at += width) pixels.set(tile.subarray(y * size, y * size + size), at);
      }
    }
    c.putImageData(image, 0, 0);
    if (this.selected && this.selected <= cells.length) this.mark(c);
    this.canvas.dataset.drawn = String(cells.length);
    this.canvas.dataset.lit = lit ? String(this.litCount) : "";
  }

  mark(c) {
    const i = this.selected - 1;
    const side = Math.max(this.size, 7 * this.ratio);
    const x = (i % this.columns + .5) * this.size, y = (Math.floor(i / this.columns) + .5) * this.size;
    c.lineWidth = 4; c.strokeStyle = Charts.color("card"); c.strokeRect(x - side / 2, y - side / 2, side, side);
    c.lineWidth = 2; c.strokeStyle = Charts.color("ink"); c.strokeRect(x - side / 2, y - side / 2, side, side);
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) * this.ratio / this.size);
    const y = Math.floor((event.clientY - box.top) * this.ratio / this.size);
    const id = y * this.columns + x + 1;
    return x >= 0 && x < this.columns && id >= 1 && id <= this.cells.length ? id : 0;
  }

  hover(event) {
    const id = this.at(event);
    this.tip.hidden = !id;
    if (!id) return;
    const byte = this.cells[id - 1];
    this.tip.textContent = `${id} · ${BlockMap.words[BlockMap.kind(byte)] || BlockMap.kind(byte)}${byte & RAW ? ", raw" : ""}`;
    const left = event.clientX - this.canvas.getBoundingClientRect().left;
    this.tip.style.left = Math.min(left + 12, this.canvas.clientWidth - this.tip.offsetWidth) + "px";
    this.tip.style.top = event.clientY - this.canvas.getBoundingClientRect().top + 16 + "px";
  }

  select(id) {
    if (!id || id > this.cells.length) return;
    this.selected = id;
    this.draw();
    this.onSelect(id);
  }
}
