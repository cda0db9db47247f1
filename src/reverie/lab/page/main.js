// The page: loads the lab, lays out its panels as tabs.

import { CheatPanel } from "./cheat.js";
import { ComparePanel } from "./compare.js";
import { compareWithPyTorch, loadLab, RunData } from "./data.js";
import { DreamPanel } from "./dream.js";
import { announce, button, h } from "./dom.js";
import { Engine, LabError } from "./engine.js";
import { LatentsPanel } from "./latents.js";
import { SeePanel } from "./see.js";

const PANELS = [DreamPanel, SeePanel, LatentsPanel, CheatPanel, ComparePanel];
const TOLERANCE = 1e-3; // of a latent, after the check's 200 steps

// Put a sentence where the lab would have been.
export function fail(error) {
  const known = error instanceof LabError;
  if (!known) console.error(error);
  const text = known ? error.message : `Something went wrong in this page: ${error?.message ?? error}`;
  document.getElementById("lab").replaceChildren(h("p", { className: "card failure", role: "alert" }, text));
  document.body.dataset.state = "failed";
}

function loading(runs) {
  const total = runs.reduce((sum, about) => sum + about.bytes, 0), bar = document.getElementById("progress");
  let loaded = 0;
  return (bytes) => {
    loaded += bytes;
    bar.value = Math.min(1, loaded / total);
    document.getElementById("progress-words").textContent = `${(loaded / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB`;
  };
}

async function open() {
  const { runs: abouts } = await loadLab(), about = abouts[0];
  document.title = `${about.title} · the dream lab`;
  document.getElementById("title").textContent = about.title;
  document.getElementById("run").textContent = `A world learned from pixels, in the run “${about.name}”.`;
  const progress = loading(abouts.slice(0, 1)), engine = new Engine();
  const [, ...data] = await Promise.all([
    engine.begin(progress),
    ...abouts.map((each, place) => RunData.load(each, place ? undefined : progress)),
  ]);
  await engine.open(about, progress);
  const runs = abouts.map((each, place) => ({ about: each, data: data[place] }));
  return { about, data: data[0], engine, runs, fail, calm: matchMedia("(prefers-reduced-motion: reduce)").matches };
}

class Tabs {
  constructor(lab) {
    this.panels = PANELS.map((Panel) => new Panel(lab));
    this.tabs = this.panels.map((panel, place) => {
      const word = panel.name.toLowerCase();
      Object.assign(panel.element, { id: `panel-${word}`, hidden: true });
      panel.element.setAttribute("role", "tabpanel");
      panel.element.setAttribute("aria-labelledby", `tab-${word}`);
      return h("button", { type: "button", role: "tab", id: `tab-${word}`, "aria-controls": `panel-${word}`,
        onclick: () => this.open(place), onkeydown: (event) => this.#key(event, place) }, panel.name);
    });
    this.element = h("nav", { role: "tablist", "aria-label": "Panels" }, ...this.tabs);
    this.lab = lab;
  }

  #key(event, place) {
    const last = this.tabs.length - 1;
    const to = { ArrowLeft: place ? place - 1 : last, ArrowRight: place < last ? place + 1 : 0, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.tabs[to].focus();
    this.open(to);
  }

  async open(place) {
    this.panels.forEach((panel, other) => {
      const chosen = other === place;
      if (!chosen && !panel.element.hidden) panel.hide();
      panel.element.hidden = !chosen;
      this.tabs[other].setAttribute("aria-selected", String(chosen));
      this.tabs[other].tabIndex = chosen ? 0 : -1;
    });
    history.replaceState(null, "", `#${this.panels[place].name.toLowerCase()}`);
    try {
      await this.panels[place].show();
      document.body.dataset.panel = this.panels[place].name.toLowerCase();
    } catch (error) {
      fail(error);
    }
  }
}

function footer(lab) {
  const said = h("span", { role: "status" });
  const check = button("Check this browser against PyTorch", async () => {
    check.disabled = true;
    try {
      const largest = await compareWithPyTorch(lab.engine, lab.data, (t, all) => { said.textContent = `${t} of ${all} steps`; });
      const words = largest < TOLERANCE ? "the same dream" : "NOT the same dream";
      said.textContent = `200 steps with the same seed and actions: ${words}, the latents differ by at most ${largest.toExponential(1)}.`;
      said.dataset.largest = largest;
    } catch (error) {
      fail(error);
    }
    check.disabled = false;
  }, { className: "small" });
  const { V, M } = lab.about.parameters, C = lab.about.agents[0]?.parameters;
  return h("footer", {},
    h("p", {}, check, " ", said),
    h("p", {}, `V ${V.toLocaleString("en")}, M ${M.toLocaleString("en")}${C ? `, C ${C.toLocaleString("en")}` : ""} parameters, run in this page by ONNX Runtime Web; ` +
      "nothing leaves this device. After “World Models”, Ha & Schmidhuber 2018. Made by Reverie."));
}

export async function main() {
  try {
    const lab = await open(), tabs = new Tabs(lab);
    lab.enterDream = async (from) => {
      await tabs.panels[0].enter(from);
      await tabs.open(0);
      tabs.panels[0].clock.play();
      tabs.panels[0].stage.screen.focus();
    };
    const redraw = () => tabs.panels.forEach((panel) => { if (!panel.element.hidden) panel.redraw?.(); });
    addEventListener("resize", redraw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    document.getElementById("lab").replaceChildren(tabs.element, ...tabs.panels.map(({ element }) => element), footer(lab));
    const asked = tabs.panels.findIndex(({ name }) => `#${name.toLowerCase()}` === location.hash);
    await tabs.open(Math.max(0, asked));
    if (!document.body.dataset.state) document.body.dataset.state = "ready";
    announce("The lab is ready.");
  } catch (error) {
    fail(error);
  }
}
