// What a person does: keys held while the dream has focus, buttons on the screen, a gamepad.

import { h } from "./dom.js";

const KEYS = {
  ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
  KeyA: "left", KeyD: "right", KeyW: "up", KeyS: "down",
};
const DEAD_ZONE = 0.2;

// kind of actions -> for each part: [negative, positive, resting value]
const PARTS = {
  "three-way": [["left", "right", 0]],
  driving: [["left", "right", 0], [null, "up", -1], [null, "down", 0]],
};

export class Hands {
  constructor(screen, actions) {
    this.actions = actions;
    this.groups = actions.spans.filter(([, , oneHot]) => oneHot);
    const numbers = actions.spans.filter(([, , oneHot]) => !oneHot)
      .flatMap(([start, stop]) => Array.from({ length: stop - start }, (_, n) => start + n));
    this.held = new Set();
    // the numbers of an action that keys push, and where in it they lie
    this.parts = PARTS[actions.kind] ?? [["left", "right", 0], ["down", "up", 0]].slice(0, numbers.length);
    this.places = PARTS[actions.kind] ? this.parts.map((_, part) => part) : numbers;
    screen.addEventListener("keydown", (event) => this.#key(event, true));
    screen.addEventListener("keyup", (event) => this.#key(event, false));
    screen.addEventListener("blur", () => this.held.clear());
    this.pads = this.#makePads();
  }

  #key(event, down) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const digit = /^Digit([1-9])$/.exec(event.code);
    const word = this.groups.length && digit ? this.#choices()[Number(digit[1]) - 1]?.[0] : KEYS[event.code];
    if (!word) return;
    event.preventDefault();
    if (down) this.held.add(word);
    else this.held.delete(word);
  }

  // What can be chosen, [word, sign, name]: each number of each one-hot group.
  #choices() {
    return this.groups.flatMap(([start, stop]) => Array.from({ length: stop - start }, (_, n) => start + n))
      .map((place, n) => [`#${place}`, String(n + 1), this.actions.labels[place] ?? `action ${n + 1}`]);
  }

  // Buttons to hold down, for fingers (and mice).
  #makePads() {
    const words = [...this.#choices(),
      ...[["left", "←", "left"], ["up", "↑", this.actions.labels[1] ?? "up"],
        ["down", "↓", this.actions.labels[2] ?? "down"], ["right", "→", "right"]]
        .filter(([word]) => this.parts.some((part) => part.includes(word)))];
    return h("div", { className: "pads", role: "group", "aria-label": "Hold to act" },
      ...words.map(([word, sign, name]) => this.#pad(word, sign, name)));
  }

  #pad(word, sign, name) {
    const down = (event) => { event.preventDefault(); this.held.add(word); };
    const up = () => this.held.delete(word);
    return h("button", {
      type: "button", "aria-label": name, onpointerdown: down, onpointerup: up, onpointerleave: up,
      onpointercancel: up, oncontextmenu: (event) => event.preventDefault(),
      onkeydown: (event) => { if (event.key === " " || event.key === "Enter") down(event); },
      onkeyup: up, onblur: up,
    }, sign);
  }

  // How far each way is pushed, 0 to 1, keys and gamepad together.
  #pushed() {
    const pushed = Object.fromEntries([...this.held].map((word) => [word, 1]));
    const pad = navigator.getGamepads?.().find((found) => found?.connected);
    if (!pad) return pushed;
    const push = (word, value) => { if (value > DEAD_ZONE) pushed[word] = Math.max(pushed[word] ?? 0, Math.min(1, value)); };
    push("left", -pad.axes[0]);
    push("right", pad.axes[0]);
    [["up", 7], ["down", 6], ["up", 0], ["down", 1], ["up", 12], ["down", 13], ["left", 14], ["right", 15]]
      .forEach(([word, number]) => push(word, pad.buttons[number]?.value ?? 0));
    return pushed;
  }

  // The action of this moment. `alone`: a person acts alone, and what rests is at rest;
  // otherwise null wherever the agent keeps its hands on.
  action(alone) {
    const pushed = this.#pushed();
    if (this.actions.kind === "discrete" && !alone && !Object.keys(pushed).some((name) => name.startsWith("#"))) return null;
    const action = new Array(this.actions.size).fill(alone ? 0 : null);
    this.groups.forEach((group) => this.#choose(action, pushed, group, alone));
    this.parts.forEach(([negative, positive, rest], number) => {
      const part = this.places[number];
      const value = (pushed[positive] ?? 0) - (pushed[negative] ?? 0);
      const moved = pushed[positive] || pushed[negative];
      if (moved) action[part] = rest < 0 ? rest + (1 - rest) * value : value;
      else if (alone) action[part] = rest;
    });
    return action;
  }

  // Of one group the choice that is pressed; where none is, its first if a person acts alone, else the agent's.
  #choose(action, pushed, [start, stop], alone) {
    const pressed = Array.from({ length: stop - start }, (_, n) => start + n).find((place) => pushed[`#${place}`]);
    if (pressed === undefined && !alone) return;
    for (let place = start; place < stop; place += 1) action[place] = place === (pressed ?? start) ? 1 : 0;
  }

  get busy() { return Object.keys(this.#pushed()).length > 0; }
}

// What to press, in words.
export function keysInWords({ kind, size, spans }) {
  const choices = spans.reduce((sum, [start, stop, oneHot]) => sum + (oneHot ? stop - start : 0), 0);
  if (choices) return `Keys 1 to ${Math.min(9, choices)} choose${choices < size ? "; arrow keys push the numbers." : " an action."}`;
  if (kind === "driving") return "← → or A D steer, ↑ or W is gas, ↓ or S brakes.";
  return size > 1 ? "Arrow keys or W A S D act." : "← → or A D move.";
}
