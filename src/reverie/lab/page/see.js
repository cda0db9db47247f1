// The panel "See": a recorded episode beside what V keeps of it and what M expected.

import { Timeline } from "./charts.js";
import { Clock } from "./clock.js";
import { announce, button, h, Select, Slider } from "./dom.js";
import { Stage } from "./stage.js";
import { transport } from "./transport.js";

const ANCHOR = 20; // steps that M follows before it first dreams on alone
const AHEAD = 150; // steps that it dreams on for
const KEY = "see";

export class SeePanel {
  name = "See";

  constructor(lab) {
    this.lab = lab;
    const { episodes } = lab.about;
    const intro = h("header", {}, h("h2", {}, "See"), h("p", { className: "lede" },
      "What the world was, what V keeps of it in a few numbers, what M expected one step before, and where M's fancy goes " +
      "when it is told only the actions. Where M was surprised, something happened that it did not see coming."));
    if (!episodes.length) {
      this.element = h("section", { className: "panel" }, intro, h("p", { className: "card missing" },
        "This run brought no recorded episode, so there is nothing real to show. Make the lab from a run folder with its rollouts."));
      return;
    }
    this.stages = [
      new Stage({ title: "Real", kind: "real", label: "A frame of the recorded episode" }),
      new Stage({ title: "As V keeps it", kind: "seen", label: "V's reconstruction of that frame" }),
      new Stage({ title: "M, a step ahead", kind: "ahead", label: "What M expected of this frame one step before" }),
      new Stage({ title: "M, dreaming on", kind: "dream", label: "M's dream that began at the mark" }),
    ];
    this.clock = new Clock({ pace: Math.min(15, lab.about.pace), step: () => this.#forward() });
    this.clock.onerror = (error) => lab.fail(error);
    this.time = new Slider({ label: "Step", min: 0, max: 1, step: 1, value: 0, format: String, oninput: (t) => this.#seek(t) });
    this.surprise = new Timeline({ label: "M's surprise at each step", ink: "--paper", onseek: (t) => this.#seek(t) });
    this.said = h("p", { className: "hint said" });
    this.element = h("section", { className: "panel seeing" }, intro,
      h("div", { className: "four" }, ...this.stages.map((stage) => stage.element)),
      h("div", { className: "card" }, this.#choose(), this.time.element,
        h("p", { className: "axis" }, "M's surprise, nats for each latent number"), this.surprise.element, this.said,
        h("div", { className: "row" },
          transport({ clock: this.clock, restart: () => this.#seek(0), speeds: false, step: () => this.#forward() }),
          button("Next surprise", () => this.#nextSurprise()),
          button("M dreams on from here", () => this.#anchor(this.time.value)),
          button("Enter the dream here", () => this.#enter(), { className: "accent" }))));
  }

  #choose() {
    const { episodes } = this.lab.about;
    this.which = new Select({ label: "Episode", value: String(episodes.length - 1),
      options: episodes.map(({ label, steps, terminated }, place) =>
        [String(place), `${label}: ${steps} steps${terminated ? ", to its end" : ""}`]),
      onchange: () => this.#open() });
    return this.which.element;
  }

  async show() {
    if (!this.lab.about.episodes.length) return;
    if (!this.episode) await this.#open();
    this.redraw();
  }

  redraw() { this.surprise?.draw(); }

  hide() { this.clock?.pause(); }

  async #open() {
    this.clock.pause();
    const opened = (this.opened = (this.opened ?? 0) + 1);
    const { data, engine, about } = this.lab, episode = about.episodes[Number(this.which.value)];
    this.said.textContent = "M is reading this episode …";
    this.episode = null;
    const mu = data.rows(episode.mu), actions = data.flat(episode.actions);
    const sheet = await data.sheet(episode);
    const followed = await engine.ask("follow", {
      run: about.folder, mu: data.flat(episode.mu).slice(), actions: actions.slice(), steps: episode.steps });
    if (opened !== this.opened) return; // another one was chosen meanwhile
    const nll = data.flat(episode.surprise);
    Object.assign(this, { sheet, followed, mu, episode, nll, actions: data.rows(episode.actions) });
    this.time.input.max = episode.steps;
    this.surprise.values = this.nll;
    this.sorted = Array.from(this.nll.keys()).sort((a, b) => this.nll[b] - this.nll[a]).slice(0, 12);
    await this.#anchor(Math.min(ANCHOR, Math.floor(episode.steps / 3)));
    await this.#seek(Math.min(this.from + 10, episode.steps));
  }

  // Let M dream on alone from frame t, with the actions that were really taken.
  async #anchor(t) {
    const { engine, about } = this.lab, { episode, actions } = this;
    if (!episode) return;
    this.from = Math.min(t, episode.steps - 1);
    const free = (this.free = [this.mu[this.from]]);
    await engine.ask("start", { key: KEY, run: about.folder, seed: 1, ...this.#state(this.from) });
    const last = Math.min(episode.steps, this.from + AHEAD);
    for (let step = this.from; step < last; step++) {
      const { z } = await engine.ask("step", { key: KEY, agent: null, action: Array.from(actions[step]),
        temperature: about.temperature, show: false });
      if (free !== this.free) return; // it was asked to dream from elsewhere meanwhile
      free.push(z);
    }
    this.surprise.from = this.from;
    this.surprise.until = last;
    await this.#seek(this.time.value);
  }

  #state(t) {
    const { memory_size } = this.lab.about, { h: hidden, c: cell } = this.followed;
    if (t === 0) return { z: this.mu[0].slice() };
    const row = (array) => array.slice(t * memory_size, (t + 1) * memory_size);
    return { z: this.mu[t].slice(), h: row(hidden), c: row(cell) };
  }

  async #seek(t) {
    if (!this.episode) return;
    this.time.value = t;
    this.wanted = t;
    this.surprise.at = t;
    this.surprise.draw();
    this.#say(t);
    if (this.painting) return;
    this.painting = true;
    try {
      for (let painted = -1; painted !== this.wanted && this.episode;) await this.#paint(painted = this.wanted);
    } finally {
      this.painting = false;
    }
  }

  async #paint(t) {
    const [real, seen, ahead, dream] = this.stages, size = this.lab.about.latent_size;
    this.sheet.draw(real.context, t);
    seen.paint(await this.#decode(this.mu[t]));
    if (t > 0) ahead.paint(await this.#decode(this.followed.expected.slice((t - 1) * size, t * size)));
    ahead.say(t > 0 ? "" : "M has nothing to go by yet.");
    const dreamt = this.free[t - this.from];
    if (dreamt) dream.paint(await this.#decode(dreamt));
    dream.say(dreamt ? "" : t < this.from ? `The dream begins at step ${this.from}.` : "M dreamt no further.");
    dream.note.textContent = dreamt ? `+${t - this.from}` : "";
  }

  async #decode(z) {
    return (await this.lab.engine.ask("decode", { run: this.lab.about.folder, z })).pixels;
  }

  #say(t) {
    const rank = t > 0 ? this.sorted.indexOf(t - 1) : -1;
    this.said.textContent = t === 0 ? "The first frame: M expects nothing yet."
      : `Surprise at this frame: ${this.nll[t - 1].toFixed(2)} nats${rank >= 0 ? `, number ${rank + 1} of the most surprising` : ""}.`;
  }

  async #forward() {
    if (!this.episode) return;
    if (this.time.value >= this.episode.steps) this.clock.pause();
    else await this.#seek(this.time.value + 1);
  }

  #nextSurprise() {
    if (!this.episode) return;
    const places = this.sorted.map((t) => t + 1).sort((a, b) => a - b);
    const t = places.find((place) => place > this.time.value) ?? places[0];
    this.#seek(t);
    announce(this.said.textContent);
  }

  #enter() {
    if (!this.episode) return;
    const t = Math.min(this.time.value, this.episode.steps);
    this.lab.enterDream({ ...this.#state(t), words: `step ${t} of a real episode` });
  }
}
