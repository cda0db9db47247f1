// The panel "Cheat": what an agent learns in a dream that is too sure of itself.

import { RunData } from "./data.js";
import { h, Slider } from "./dom.js";
import { Pair } from "./pair.js";

const COOL = 0.1;

export class CheatPanel {
  name = "Cheat";

  constructor(lab) {
    this.lab = lab;
    const { about } = lab;
    this.home = about.cheat ?? about; // the run whose V and M the cheat knows
    const cheat = this.home.agents.find(({ key }) => key === "cheat");
    const honest = about.agents.find(({ key }) => key === "agent") ?? null;
    const intro = h("header", {}, h("h2", {}, "Cheat"), h("p", { className: "lede" },
      "A dream is only a guess at the world, and an agent trained in it looks for its mistakes. At a low temperature M nearly always " +
      "dreams its one favourite future, in which dangers fail to form or melt away; an agent trained there scores high, " +
      "and fails awake. A higher temperature makes such luck impossible to rely on."));
    if (!honest) {
      this.element = h("section", { className: "panel" }, intro,
        h("p", { className: "card missing" }, "This run has no agent yet, so nobody can cheat. Evolve one, then make the lab again."));
      return;
    }
    const warm = honest.temperature ?? about.temperature;
    this.temperatures = {
      cool: new Slider({ label: "Temperature, left", min: 0.05, max: 2.5, step: 0.05, value: cheat?.temperature ?? COOL }),
      warm: new Slider({ label: "Temperature, right", min: 0.05, max: 2.5, step: 0.05, value: warm }),
    };
    const agentOf = { cool: cheat ?? honest, warm: honest };
    this.pair = new Pair(lab, {
      sides: [
        { key: "cool", kind: "cheat", title: cheat ? "The cheat, in its cool dream" : "The agent, in a cool dream",
          label: "A dream at a low temperature" },
        { key: "warm", kind: "dream", title: "The honest agent", label: "The dream at the temperature of training" },
      ],
      begin: ({ key }, seed) => (key === "cool" ? { run: this.home.folder, z: this.data.start(seed) }
        : { run: about.folder, z: lab.data.start(seed) }),
      act: ({ key }) => ({ agent: agentOf[key].key, action: null, temperature: this.temperatures[key].value }),
      onstep: () => this.#say(),
    });
    this.said = h("p", { className: "hint said" });
    this.element = h("section", { className: "panel" }, intro, this.pair.element,
      h("div", { className: "card" }, this.pair.controls, h("div", { className: "split" }, this.temperatures.cool.element, this.temperatures.warm.element),
        this.said, ...this.#notes(cheat, honest)));
  }

  #notes(cheat, honest) {
    const notes = [];
    if (!cheat) {
      notes.push(h("p", { className: "hint missing" }, "This run has no agent that was trained at a low temperature, so the same agent " +
        "plays on both sides" + (this.lab.about.world === "doom" ? "; `reverie reproduce doom` evolves the cheat." : ".")));
    } else {
      notes.push(h("p", { className: "hint" }, "Wake the cheat: raise the left temperature to the right one's, and watch what is left of its skill."));
    }
    for (const agent of [cheat, honest]) {
      if (agent?.scores) notes.push(h("p", { className: "hint" }, `Measured, ${agent.label}: ${agent.scores}.`));
    }
    if (!this.lab.about.heads.done) {
      notes.push(h("p", { className: "hint missing" }, "This run's M did not learn how an episode ends, so neither dream can be lost here; " +
        "look at how still and tidy the cool one is."));
    }
    return notes;
  }

  #say() {
    const parts = this.pair.sides.filter(({ lengths }) => lengths.length).map(({ title, lengths }) =>
      `${title}: ${Math.round(this.home.repeat * lengths.reduce((a, b) => a + b, 0) / lengths.length)} steps on average over ${lengths.length} dream${lengths.length > 1 ? "s" : ""}.`);
    this.said.textContent = parts.join(" ");
  }

  async show() {
    if (!this.pair) return;
    const { about, data, engine } = this.lab;
    this.data ??= this.home === about ? data : await RunData.load(this.home);
    await engine.open(this.home);
    await this.pair.show();
  }

  hide() { this.pair?.hide(); }
}
