// The panel "Dream": one dream, to watch, to play, or to play together with the agent.

import { actionBars, Trace } from "./charts.js";
import { Clock } from "./clock.js";
import { announce, button, Choice, h, Seed, Select, Slider } from "./dom.js";
import { Hands, keysInWords } from "./hands.js";
import { Stage } from "./stage.js";
import { playbackKeys, transport } from "./transport.js";

const KEY = "dream";
const AFTER_END = 2000; // milliseconds before an agent's dream begins again

export class DreamPanel {
  name = "Dream";

  constructor(lab) {
    this.lab = lab;
    const { about } = lab;
    this.from = null; // {z, h, c, words} where the dream begins in a recorded episode
    this.best = 0;
    this.ended = false;
    this.stage = new Stage({
      title: "M's dream", kind: "dream", playable: true,
      label: `The dream. ${keysInWords(about.actions)} Space pauses, R begins again, full stop makes one step.`,
    });
    this.hands = new Hands(this.stage.screen, about.actions);
    this.clock = new Clock({ pace: about.pace, step: () => this.#step() });
    this.clock.onerror = (error) => lab.fail(error);
    const restart = () => this.restart();
    const playback = { clock: this.clock, restart, step: () => this.#once() };
    playbackKeys(this.stage.screen, playback);
    this.stage.screen.addEventListener("pointerdown", () => this.stage.screen.focus());
    this.element = h("section", { className: "panel dreaming" },
      h("header", {}, h("h2", {}, "Dream"), h("p", { className: "lede" }, this.#lede())),
      h("div", { className: "two" },
        h("div", { className: "left" }, this.stage.element, this.hands.pads, transport(playback), this.#counters()),
        h("div", { className: "right" }, this.#controls(), this.#feelings())));
  }

  #lede() {
    const { about } = this.lab, { M } = about.parameters;
    const size = M >= 1e6 ? `${(M / 1e6).toFixed(1)} million` : M.toLocaleString("en");
    return `No game runs here. M, a memory of ${size} numbers, imagines what comes next, V paints it, and ` +
      `C acts on it. Click the picture, or Tab to it, and play: ${keysInWords(about.actions)}`;
  }

  #controls() {
    const { about } = this.lab, { agents } = about;
    const options = [["agent", "Agent"], ["both", "Agent + you"], ["you", "You"]];
    this.who = new Choice({
      label: "Who acts", options: agents.length ? options : options.slice(2), value: agents.length ? "both" : "you",
      onchange: (who) => { if (who !== "agent") this.stage.screen.focus(); },
    });
    this.agent = new Select({ label: "Which agent", value: agents[0]?.key ?? "",
      options: agents.map((agent) => [agent.key, agentInWords(agent)]) });
    this.temperature = new Slider({ label: "Temperature", min: 0.05, max: 2.5, step: 0.05, value: about.temperature });
    const own = agents[0]?.temperature === about.temperature ? "As trained" : "The run's own";
    const trained = button(`${own}: ${about.temperature.toFixed(2)}`, () => { this.temperature.value = about.temperature; },
      { className: "small" });
    this.seed = new Seed(1, () => { this.from = null; this.restart(); });
    return h("div", { className: "card controls" },
      this.who.element, agents.length > 1 ? this.agent.element : null, this.temperature.element,
      h("div", { className: "hint split-hint" }, h("span", {}, "Low: a dream that is sure of itself. High: a wilder, harder one."), trained),
      this.seed.element, h("p", { className: "hint" }, "The same seed and the same actions give the same dream, here and in PyTorch."));
  }

  #feelings() {
    const { about } = this.lab, { bars, felt } = actionBars(about.actions);
    this.bars = bars;
    this.felt = felt;
    this.done = about.heads.done
      ? new Trace({ label: "Chance of the end", ink: "--paper", low: 0, high: 1, mark: 0.5, format: percent }) : null;
    this.reward = about.heads.reward ? new Trace({ label: "Reward expected", ink: "--real" }) : null;
    const lacks = [!this.done && "how an episode ends", !this.reward && about.reward !== "survival" && "rewards"].filter(Boolean);
    return h("div", { className: "card" }, h("h3", {}, "What it feels"), bars.element, this.done?.element, this.reward?.element,
      lacks.length ? h("p", { className: "hint missing" }, `This run's M did not learn ${lacks.join(" or ")}, so the dream ` +
        `${!this.done ? "only ends at its step limit" : ""}${lacks.length > 1 ? " and " : ""}${!this.reward && about.reward !== "survival" ? "keeps no score" : ""}.`) : null);
  }

  #counters() {
    const { about } = this.lab;
    this.scored = about.reward === "survival" || about.heads.reward;
    this.steps = h("dd", {}, "0");
    this.score = h("dd", {}, "0");
    this.bestSaid = h("dd", {}, "–");
    this.pace = h("dd", {}, "–");
    const rows = [["Step", this.steps]];
    if (about.heads.reward) rows.push(["Score", this.score]);
    if (this.scored) rows.push(["Best here", this.bestSaid]);
    rows.push(["Time a step", this.pace]);
    return h("dl", { className: "counters" }, ...rows.map(([what, value]) => h("div", {}, h("dt", {}, what), value)));
  }

  async show() {
    if (!this.begun) {
      this.begun = true;
      await this.restart();
      if (!this.lab.calm) this.clock.play();
    } else if (this.resume) this.clock.play();
    this.redraw();
  }

  redraw() {
    this.done?.draw();
    this.reward?.draw();
  }

  hide() {
    this.resume = this.clock.playing;
    this.clock.pause();
  }

  // Enter the dream at {z, h, c} of a recorded episode.
  async enter(from) {
    this.from = from;
    this.begun = true;
    await this.restart();
    announce(`The dream begins at ${from.words}.`);
  }

  async restart() {
    clearTimeout(this.again);
    this.again = undefined;
    const begin = this.from ?? { z: this.lab.data.start(this.seed.value) };
    const message = { key: KEY, run: this.lab.about.folder, seed: this.seed.value, ...begin };
    const { pixels } = await this.lab.engine.ask("start", message);
    this.stage.paint(pixels);
    this.stage.say("");
    this.stage.note.textContent = this.from ? `from ${this.from.words}` : "";
    this.ended = false;
    this.total = 0;
    this.touched = false;
    this.steps.textContent = this.score.textContent = "0";
    this.done?.clear();
    this.reward?.clear();
  }

  async #once() {
    if (this.ended) await this.restart();
    await this.clock.once();
  }

  async #step() {
    if (this.ended) {
      if (this.#playsAlone()) return;
      await this.restart();
    }
    const who = this.who.value, action = who === "agent" ? null : this.hands.action(who === "you");
    this.touched ||= who === "you" || this.hands.busy;
    const out = await this.lab.engine.ask("step", {
      key: KEY, agent: who === "you" ? null : this.agent.value, action, temperature: this.temperature.value,
    });
    this.#show(out);
    const last = this.lab.about.max_steps;
    if (out.ended || out.steps >= last) this.#end(out, !out.ended);
  }

  // An agent's dream begins again by itself; a person's when they say so.
  #playsAlone() { return this.again !== undefined; }

  #show({ pixels, action, chance, reward, steps, milliseconds }) {
    this.stage.paint(pixels);
    this.bars.show(this.felt(action));
    if (this.done) this.done.push(chance);
    if (this.reward) this.reward.push(reward);
    this.total += reward ?? this.lab.about.repeat;
    this.steps.textContent = String(this.#lived(steps));
    this.score.textContent = this.total.toFixed(1);
    this.smooth = this.smooth ? 0.95 * this.smooth + 0.05 * milliseconds : milliseconds;
    this.pace.textContent = `${this.smooth.toFixed(1)} ms`;
    document.body.dataset.steps = steps;
  }

  // Steps of the game: an action of this world can last several.
  #lived(steps) { return steps * this.lab.about.repeat; }

  #end(out, cut) {
    this.ended = true;
    const steps = this.#lived(out.steps);
    const points = this.lab.about.heads.reward ? this.total : steps;
    const record = points > this.best;
    this.best = Math.max(this.best, points);
    if (this.scored) this.bestSaid.textContent = this.best.toFixed(this.lab.about.heads.reward ? 1 : 0);
    const what = cut ? `The longest a dream goes: ${steps} steps.` : `The dream ended after ${steps} steps${record && this.touched ? ", your best" : ""}.`;
    const mine = this.touched;
    this.stage.say(mine ? `${what} Press R to dream again.` : what);
    announce(what);
    if (mine) this.clock.pause();
    else this.again = setTimeout(() => this.#next(), AFTER_END);
  }

  async #next() {
    this.again = undefined;
    if (!this.ended || !this.clock.playing) return;
    if (!this.from) this.seed.value = this.seed.value + 1;
    await this.restart();
  }
}

export const percent = (share) => (share < 0.1 ? `${(100 * share).toFixed(1)} %` : `${Math.round(100 * share)} %`);

export function agentInWords({ label, temperature }) {
  return `${label}, trained ${temperature === null ? "in the real world" : `in dreams of temperature ${temperature}`}`;
}
