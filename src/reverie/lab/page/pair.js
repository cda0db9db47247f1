// Two dreams side by side, a step of each at a time.

import { Clock } from "./clock.js";
import { h, Seed } from "./dom.js";
import { Stage } from "./stage.js";
import { transport } from "./transport.js";

const AFTER_END = 2500; // milliseconds

export class Pair {
  // sides: [{key, title, kind, label, playable}]; begin(side) -> {run, z}; act(side, outs) -> {agent, action, temperature}
  constructor(lab, { sides, begin, act, onstep, seed = 1 }) {
    Object.assign(this, { lab, begin, act, onstep });
    this.sides = sides.map((side) => ({ ...side, stage: new Stage(side), steps: 0, over: false, lengths: [] }));
    this.clock = new Clock({ pace: lab.about.pace, step: () => this.#step() });
    this.clock.onerror = (error) => lab.fail(error);
    this.seed = new Seed(seed, () => this.restart());
    const playback = { clock: this.clock, restart: () => this.restart(), step: () => this.#once() };
    this.controls = h("div", { className: "row" }, transport(playback), this.seed.element);
    this.playback = playback;
    this.element = h("div", { className: "pair" }, ...this.sides.map((side) => side.stage.element));
  }

  async restart() {
    clearTimeout(this.again);
    this.again = undefined;
    const round = (this.round = (this.round ?? 0) + 1);
    for (const side of this.sides) {
      const begin = await this.begin(side, this.seed.value);
      const { pixels } = await this.lab.engine.ask("start", { key: side.key, seed: this.seed.value, ...begin });
      if (round !== this.round) return;
      side.stage.paint(pixels);
      side.stage.say("");
      Object.assign(side, { steps: 0, over: false, out: null });
      side.stage.note.textContent = "0 steps";
    }
  }

  async #once() {
    if (this.sides.every((side) => side.over)) await this.restart();
    await this.clock.once();
  }

  async #step() {
    if (this.again !== undefined) return;
    if (this.sides.every((side) => side.over)) await this.restart();
    const round = this.round;
    for (const side of this.sides) {
      if (side.over) continue;
      const out = await this.lab.engine.ask("step", { key: side.key, ...this.act(side, this.sides) });
      if (round !== this.round) return;
      this.#show(side, out);
    }
    this.onstep?.(this.sides);
    if (this.sides.every((side) => side.over)) this.again = setTimeout(() => this.#next(), AFTER_END);
  }

  #show(side, out) {
    side.out = out;
    side.steps = out.steps;
    side.stage.paint(out.pixels);
    side.stage.note.textContent = `${out.steps} steps`;
    if (!out.ended && out.steps < this.lab.about.max_steps) return;
    side.over = true;
    side.lengths.push(out.steps);
    side.stage.say(out.ended ? `Over after ${out.steps} steps.` : `Still alive at the limit, ${out.steps} steps.`);
  }

  async #next() {
    this.again = undefined;
    if (!this.clock.playing || !this.sides.every((side) => side.over)) return;
    this.seed.value = this.seed.value + 1;
    await this.restart();
  }

  async show() {
    if (!this.begun) {
      this.begun = true;
      await this.restart();
      if (!this.lab.calm) this.clock.play();
    } else if (this.resume) this.clock.play();
  }

  hide() {
    this.resume = this.clock.playing;
    this.clock.pause();
  }
}
