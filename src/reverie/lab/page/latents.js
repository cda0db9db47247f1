// The panel "Latents": what each of V's numbers means.

import { PlaneMap } from "./charts.js";
import { button, h, Slider } from "./dom.js";
import { Stage } from "./stage.js";

const FIRST = 12; // sliders shown before one asks for all

export class LatentsPanel {
  name = "Latents";

  constructor(lab) {
    this.lab = lab;
    const { about, data } = lab;
    this.nats = data.flat(about.nats);
    this.order = Array.from(this.nats.keys()).sort((a, b) => this.nats[b] - this.nats[a]);
    this.known = data.rows(about.map.latents);
    this.mean = data.flat(about.map.mean);
    this.axes = data.rows(about.map.axes);
    this.z = this.known[0].slice();
    this.stage = new Stage({ title: "What V paints", kind: "seen", label: "The frame that these latent numbers mean" });
    this.map = new PlaneMap({
      points: data.rows(about.map.points), onmove: (x, y) => this.#wander(x, y),
      label: "A map of recorded frames. Arrow keys wander on it, with Shift in larger strides.",
    });
    this.element = h("section", { className: "panel latents" },
      h("header", {}, h("h2", {}, "Latents"), h("p", { className: "lede" },
        `V tells a frame in ${about.latent_size} numbers and can paint it again from them. Move one and see what it means. ` +
        "They are ordered by how much each tells: the last ones are hardly used.")),
      h("div", { className: "two" },
        h("div", { className: "left" }, this.stage.element, this.#buttons(), this.#between()),
        h("div", { className: "right" }, this.#sliders(), this.#mapCard())));
  }

  #buttons() {
    return h("div", { className: "row" },
      button("A real frame", () => this.#set(this.#anyFrame()), { title: "A frame that was recorded, at random" }),
      button("An imagined one", () => this.#set(Float32Array.from(this.z, gaussian)), { title: "Numbers drawn from the prior" }),
      button("All zero", () => this.#set(new Float32Array(this.z.length))));
  }

  #anyFrame() { return this.known[Math.floor(Math.random() * this.known.length)].slice(); }

  #between() {
    this.ends = [0, 1].map((end) => new Stage({ title: end ? "To" : "From", kind: "end", label: `Frame to blend ${end ? "to" : "from"}` }));
    this.blend = new Slider({ label: "From one frame to another", min: 0, max: 1, step: 0.01, value: 0,
      oninput: (share) => this.#set(this.from.map((value, part) => value + share * (this.to[part] - value))) });
    const pick = button("Two others", () => this.#pickEnds());
    return h("div", { className: "card between" }, this.ends[0].element,
      h("div", {}, this.blend.element, pick), this.ends[1].element);
  }

  async #pickEnds() {
    this.from = this.#anyFrame();
    this.to = this.#anyFrame();
    this.blend.value = 0;
    const [first, second] = this.ends;
    first.paint(await this.#decode(this.from));
    second.paint(await this.#decode(this.to));
    this.#set(this.from.slice());
  }

  #mapCard() {
    const { about } = this.lab;
    return h("div", { className: "card" }, h("h3", {}, "A map of the world"), this.map.element,
      h("p", { className: "hint" }, `Each dot is a recorded frame, laid out along the two directions in which frames differ most ` +
        `(${Math.round(100 * about.map.share)} % of all variance). Wander by dragging or with the arrow keys; what the map leaves out stays as it is.`));
  }

  #sliders() {
    this.sliders = this.order.map((part, place) => new Slider({
      label: `z${part}`, min: -4, max: 4, step: 0.05, value: this.z[part], oninput: (value) => { this.z[part] = value; this.#refresh(part); },
      hint: h("small", {}, `${this.nats[part].toFixed(2)} nats`),
    }));
    const list = h("div", { className: "sliders" }, ...this.sliders.slice(0, FIRST).map((slider) => slider.element));
    const more = button(`All ${this.order.length}`, () => {
      list.append(...this.sliders.slice(FIRST).map((slider) => slider.element));
      more.remove();
    });
    return h("div", { className: "card" }, h("h3", {}, "The numbers"), list, this.order.length > FIRST ? more : null);
  }

  // Move along the two axes of the map; the rest of z stays.
  #wander(x, y) {
    const [now, then] = [this.#onMap(), [x, y]];
    this.#set(this.z.map((value, part) => value + (then[0] - now[0]) * this.axes[0][part] + (then[1] - now[1]) * this.axes[1][part]), false);
  }

  #onMap() {
    return this.axes.map((axis) => axis.reduce((sum, value, part) => sum + value * (this.z[part] - this.mean[part]), 0));
  }

  #set(z, moveMap = true) {
    this.z = z;
    return this.#refresh(null, moveMap);
  }

  async #refresh(moved = null, moveMap = true) {
    this.order.forEach((part, place) => { if (part !== moved) this.sliders[place].value = this.z[part]; });
    if (moveMap) {
      this.map.at = this.#onMap();
      this.map.draw();
    }
    this.stale = true;
    if (this.painting) return;
    this.painting = true;
    try {
      while (this.stale) {
        this.stale = false;
        this.stage.paint(await this.#decode(this.z));
      }
    } finally {
      this.painting = false;
    }
  }

  async #decode(z) {
    return (await this.lab.engine.ask("decode", { run: this.lab.about.folder, z })).pixels;
  }

  async show() {
    if (!this.from) await this.#pickEnds();
    await this.#refresh();
  }

  redraw() { this.map.draw(); }

  hide() {}
}

function gaussian() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
