// Small charts that follow the page's colours.

import { h } from "./dom.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function fit(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas, ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// The last values of something, as a line that moves to the left.
export class Trace {
  constructor({ label, ink, low = null, high = null, mark = null, length = 240, format = (x) => x.toFixed(2) }) {
    Object.assign(this, { ink, low, high, mark, length, format, values: [] });
    this.canvas = h("canvas", { className: "trace", role: "img", "aria-label": label });
    this.said = h("output", {});
    this.element = h("div", { className: "traced" }, h("span", {}, label), this.said, this.canvas);
  }

  push(value) {
    this.values.push(value);
    if (this.values.length > this.length) this.values.shift();
    this.draw();
  }

  clear() {
    this.values = [];
    this.draw();
  }

  draw() {
    const { context, width, height } = fit(this.canvas);
    const low = this.low ?? Math.min(0, ...this.values), high = this.high ?? Math.max(low + 1e-3, ...this.values);
    const y = (value) => height - 2 - ((value - low) / (high - low)) * (height - 4);
    const x = (place) => (place / (this.length - 1)) * width;
    if (this.mark !== null) line(context, colour("--rule"), [[0, y(this.mark)], [width, y(this.mark)]], [3, 3]);
    line(context, colour(this.ink), this.values.map((value, place) => [x(place), y(value)]));
    this.said.textContent = this.values.length ? this.format(this.values.at(-1)) : "";
  }
}

function line(context, style, points, dash = []) {
  context.beginPath();
  points.forEach(([x, y], place) => (place ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.strokeStyle = style;
  context.lineWidth = 1.5;
  context.setLineDash(dash);
  context.stroke();
  context.setLineDash([]);
}

// A bar for each part of an action, from the middle or from the left.
export class Bars {
  constructor(labels, ranges) {
    this.ranges = ranges; // [low, high] of each part
    this.fills = labels.map(() => h("i", {}));
    this.meters = labels.map((label, part) => h("div", {
      className: ranges[part][0] < 0 ? "bar both" : "bar", role: "meter", "aria-label": label,
      "aria-valuemin": ranges[part][0], "aria-valuemax": ranges[part][1], "aria-valuenow": 0,
    }, this.fills[part]));
    this.element = h("div", { className: "bars" },
      ...labels.flatMap((label, part) => [h("span", {}, label), this.meters[part]]));
  }

  show(values) {
    values.forEach((value, part) => {
      const [low, high] = this.ranges[part];
      const at = (x) => (100 * (Math.min(high, Math.max(low, x)) - low)) / (high - low);
      const from = Math.min(at(0), at(value)), to = Math.max(at(0), at(value));
      this.fills[part].style.left = `${from}%`;
      this.fills[part].style.width = `${to - from}%`;
      this.meters[part].setAttribute("aria-valuenow", value.toFixed(2));
    });
  }
}

// Bars of what the world feels of an action, and the values to show on them.
export function actionBars({ kind, labels, spans }) {
  const chosen = (part) => spans.some(([start, stop, oneHot]) => oneHot && start <= part && part < stop);
  const ranges = kind === "driving" ? [[-1, 1], [0, 1], [0, 1]] : labels.map((_, part) => (chosen(part) ? [0, 1] : [-1, 1]));
  const felt = {
    driving: ([steer, gas, brake]) => [steer, (gas + 1) / 2, Math.min(1, Math.max(0, brake))],
    "three-way": ([move]) => [move > 1 / 3 ? 1 : move < -1 / 3 ? -1 : 0],
  }[kind] ?? ((action) => Array.from(action));
  return { bars: new Bars(labels, ranges), felt };
}

// A filled curve over the steps of an episode, with places marked on it; `onseek(t)` when it is pressed.
export class Timeline {
  constructor({ label, ink, onseek }) {
    Object.assign(this, { ink, values: new Float32Array(1), at: 0, from: null, until: 0, onseek });
    this.canvas = h("canvas", { className: "timeline", role: "img", "aria-label": label });
    this.element = this.canvas;
    const seek = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      this.onseek(Math.round(Math.min(1, Math.max(0, share)) * this.values.length));
    };
    this.canvas.addEventListener("pointerdown", (event) => { this.canvas.setPointerCapture(event.pointerId); seek(event); });
    this.canvas.addEventListener("pointermove", (event) => { if (event.buttons) seek(event); });
  }

  draw() {
    const { context, width, height } = fit(this.canvas);
    const count = this.values.length, high = Math.max(...this.values), low = Math.min(...this.values);
    const x = (t) => (t / count) * width, y = (value) => height - 3 - ((value - low) / (high - low || 1)) * (height - 8);
    if (this.from !== null) {
      context.fillStyle = colour("--dream");
      context.globalAlpha = 0.16;
      context.fillRect(x(this.from), 0, x(this.until) - x(this.from), height);
      context.globalAlpha = 1;
    }
    context.beginPath();
    context.moveTo(0, height);
    this.values.forEach((value, t) => context.lineTo(x(t + 1), y(value)));
    context.lineTo(width, height);
    context.fillStyle = colour(this.ink);
    context.globalAlpha = 0.28;
    context.fill();
    context.globalAlpha = 1;
    line(context, colour(this.ink), Array.from(this.values, (value, t) => [x(t + 1), y(value)]));
    if (this.from !== null) line(context, colour("--dream"), [[x(this.from), 0], [x(this.from), height]]);
    line(context, colour("--ink"), [[x(this.at), 0], [x(this.at), height]]);
  }
}

// Points of the plane, and where we are on it; `onmove(x, y)` by pointer or by arrow keys.
export class PlaneMap {
  constructor({ points, label, onmove }) {
    Object.assign(this, { points, onmove, at: [0, 0] });
    const spread = Math.max(...points.flatMap((point) => [Math.abs(point[0]), Math.abs(point[1])]), 1);
    this.reach = spread * 1.08;
    this.canvas = h("canvas", { className: "plane", tabIndex: 0, role: "application", "aria-label": label });
    this.element = this.canvas;
    const go = (event) => {
      const box = this.canvas.getBoundingClientRect();
      this.move(((event.clientX - box.left) / box.width) * 2 * this.reach - this.reach,
        this.reach - ((event.clientY - box.top) / box.height) * 2 * this.reach);
    };
    this.canvas.addEventListener("pointerdown", (event) => { this.canvas.setPointerCapture(event.pointerId); go(event); });
    this.canvas.addEventListener("pointermove", (event) => { if (event.buttons) go(event); });
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const stride = this.reach * (event.shiftKey ? 0.1 : 0.025);
    this.move(this.at[0] + way[0] * stride, this.at[1] + way[1] * stride);
  }

  move(x, y) {
    const clamp = (value) => Math.min(this.reach, Math.max(-this.reach, value));
    this.at = [clamp(x), clamp(y)];
    this.draw();
    this.onmove(...this.at);
  }

  draw() {
    const { context, width, height } = fit(this.canvas);
    const place = ([x, y]) => [((x + this.reach) / (2 * this.reach)) * width, ((this.reach - y) / (2 * this.reach)) * height];
    line(context, colour("--rule"), [[width / 2, 0], [width / 2, height]]);
    line(context, colour("--rule"), [[0, height / 2], [width, height / 2]]);
    context.fillStyle = colour("--real");
    context.globalAlpha = 0.45;
    for (const point of this.points) {
      const [x, y] = place(point);
      context.fillRect(x - 1.25, y - 1.25, 2.5, 2.5);
    }
    context.globalAlpha = 1;
    const [x, y] = place(this.at);
    context.beginPath();
    context.arc(x, y, 7, 0, 2 * Math.PI);
    context.fillStyle = colour("--dream");
    context.fill();
    context.lineWidth = 2.5;
    context.strokeStyle = colour("--card");
    context.stroke();
  }
}
