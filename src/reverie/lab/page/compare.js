// The panel "Compare": two dreams from the same start with the same actions.

import { Trace } from "./charts.js";
import { Choice, h, Select, Slider } from "./dom.js";
import { Hands, keysInWords } from "./hands.js";
import { Pair } from "./pair.js";
import { playbackKeys } from "./transport.js";

const SIDES = ["left", "right"];

export class ComparePanel {
  name = "Compare";

  constructor(lab) {
    this.lab = lab;
    const { about, runs } = lab;
    this.controls = Object.fromEntries(SIDES.map((key, place) => [key, {
      run: new Select({ label: `Run, ${key}`, value: runs[Math.min(place, runs.length - 1)].about.folder,
        options: runs.map((run) => [run.about.folder, run.about.name]), onchange: () => this.pair.restart() }),
      temperature: new Slider({ label: `Temperature, ${key}`, min: 0.05, max: 2.5, step: 0.05,
        value: place && runs.length === 1 ? Math.min(2.5, about.temperature + 0.6) : about.temperature,
        oninput: () => this.pair.sides.forEach((side) => this.#name(side)) }),
    }]));
    this.pair = new Pair(lab, {
      sides: SIDES.map((key) => ({ key, kind: "dream", title: "", playable: key === "left",
        label: key === "left" ? `The left dream; what you press acts in both. ${keysInWords(about.actions)}` : "The right dream" })),
      begin: (side, seed) => this.#begin(side, seed),
      act: (side, sides) => this.#act(side, sides),
      onstep: (sides) => this.#apart(sides),
    });
    const left = this.pair.sides[0].stage.screen;
    this.hands = new Hands(left, about.actions);
    playbackKeys(left, this.pair.playback);
    left.addEventListener("pointerdown", () => left.focus());
    this.who = new Choice({ label: "Who acts in both", value: about.agents.length ? "agent" : "you",
      options: [["agent", "The left run's agent"], ["you", "You"]].slice(about.agents.length ? 0 : 1),
      onchange: (who) => { if (who === "you") left.focus(); } });
    this.difference = new Trace({ label: "How far the pictures are apart", ink: "--paper", low: 0, format: (x) => `${(100 * x).toFixed(1)} %` });
    this.element = h("section", { className: "panel" },
      h("header", {}, h("h2", {}, "Compare"), h("p", { className: "lede" }, this.#lede())), this.pair.element, this.hands.pads,
      h("div", { className: "card" }, this.pair.controls, this.who.element,
        h("div", { className: "split" }, ...SIDES.map((key) => h("div", {}, runs.length > 1 ? this.controls[key].run.element : null,
          this.controls[key].temperature.element))), this.difference.element));
  }

  #lede() {
    return this.lab.runs.length > 1
      ? "Two runs dream on from the same moment with the same actions and the same noise: what one has learned of the world, and the other has not."
      : "The same start, the same actions and the same noise, at two temperatures. Give the command a second run (--beside RUN) to compare two runs.";
  }

  #name(side) {
    const { temperature } = this.controls[side.key];
    side.stage.title.textContent = `${this.#run(side.key).about.name}, temperature ${temperature.value.toFixed(2)}`;
  }

  #run(key) { return this.lab.runs.find(({ about }) => about.folder === this.controls[key].run.value); }

  // One run's own start, or, for two runs, a real frame that each sees with its own V.
  async #begin({ key }, seed) {
    const { lab } = this, run = this.#run(key);
    this.pair.sides.forEach((side) => this.#name(side));
        const { folder } = run.about, same = this.#run("left") === this.#run("right");
    if (key === "left") this.difference.clear();
    if (same || !lab.about.episodes.length) return { run: folder, z: run.data.start(seed) };
    await lab.engine.open(run.about);
    const episode = lab.about.episodes[seed % lab.about.episodes.length], sheet = await lab.data.sheet(episode);
    const pixels = sheet.pixels((seed * 37) % (episode.steps + 1));
    const { mu } = await lab.engine.ask("encode", { run: folder, pixels });
    return { run: folder, z: mu };
  }

  #act({ key }, [left]) {
    const temperature = this.controls[key].temperature.value;
    if (this.who.value === "you") return { agent: null, action: this.hands.action(true), temperature };
    const agent = this.#run("left").about.agents[0]?.key ?? null;
    if (key === "left") return { agent, action: null, temperature };
    return { agent: null, action: Array.from(left.out.action), temperature };
  }

  #apart([left, right]) {
    if (!left.out?.pixels || !right.out?.pixels || left.over || right.over) return;
    let sum = 0;
    left.out.pixels.forEach((value, place) => { sum += Math.abs(value - right.out.pixels[place]); });
    this.difference.push(sum / (255 * 3 * 4096));
  }

  async show() {
    await Promise.all(this.lab.runs.map(({ about }) => this.lab.engine.open(about)));
    await this.pair.show();
    this.redraw();
  }

  redraw() { this.difference.draw(); }

  hide() { this.pair.hide(); }
}
