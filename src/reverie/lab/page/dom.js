// Small words for making a page.

// h("button", {onclick, "aria-label": "..."}, "text", child): an element.
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name in element && name !== "list" && name !== "form") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

let names = 0;
export const uniqueId = (word) => `${word}-${++names}`;

// A labelled slider that shows its value; `slider.value` is a number.
export class Slider {
  constructor({ label, min, max, step, value, format = (x) => x.toFixed(2), oninput, hint = null }) {
    const id = uniqueId("slider");
    this.format = format;
    this.input = h("input", { type: "range", id, min, max, step, oninput: () => { this.#say(); oninput?.(this.value); } });
    this.said = h("output", { htmlFor: id });
    this.element = h("div", { className: "slider" }, h("label", { htmlFor: id }, label), this.said, this.input, hint);
    this.value = value;
  }
  get value() { return Number(this.input.value); }
  set value(value) { this.input.value = value; this.#say(); }
  #say() {
    this.said.textContent = this.format(this.value);
    this.input.setAttribute("aria-valuetext", this.format(this.value));
    const { min, max } = this.input;
    this.input.style.setProperty("--filled", `${(100 * (this.value - min)) / Math.max(1e-9, max - min)}%`);
  }
}

// A row of choices of which one holds; `choice.value` is its key.
export class Choice {
  constructor({ label, options, value, onchange }) {
    const name = uniqueId("choice");
    this.inputs = options.map(([key]) => h("input", { type: "radio", name, value: key, checked: key === value,
      onchange: () => onchange?.(key) }));
    const labels = options.map(([, text], place) => h("label", {}, this.inputs[place], h("span", {}, text)));
    this.element = h("fieldset", { className: "choice" }, h("legend", {}, label), h("div", {}, ...labels));
  }
  get value() { return this.inputs.find((input) => input.checked)?.value; }
  set value(key) { this.inputs.forEach((input) => { input.checked = input.value === key; }); }
}

// A labelled <select>; `select.value` is a key.
export class Select {
  constructor({ label, options, value, onchange }) {
    const id = uniqueId("select");
    this.input = h("select", { id, onchange: () => onchange?.(this.value) },
      ...options.map(([key, text]) => h("option", { value: key }, text)));
    this.input.value = value;
    this.element = h("div", { className: "select" }, h("label", { htmlFor: id }, label), this.input);
  }
  get value() { return this.input.value; }
  set value(value) { this.input.value = value; }
}

// A button; `title` is a longer name where the text is short.
export function button(text, onclick, { title = null, className = "" } = {}) {
  return h("button", { type: "button", onclick, className, title, "aria-label": title }, text);
}

// A labelled seed with a button for another.
export class Seed {
  constructor(value, onchange) {
    const id = uniqueId("seed");
    this.input = h("input", { type: "number", id, min: 0, max: 4294967295, step: 1, value, inputMode: "numeric",
      onchange: () => { this.value = this.value; onchange(this.value); } });
    const again = button("New", () => { this.value = Math.floor(Math.random() * 1e6); onchange(this.value); },
      { title: "Another seed" });
    this.element = h("div", { className: "seed" }, h("label", { htmlFor: id }, "Seed"), this.input, again);
  }
  get value() { return Math.min(4294967295, Math.max(0, Math.floor(Number(this.input.value) || 0))); }
  set value(value) { this.input.value = value; }
}

let announcer = null;

// Say a sentence to a screen reader.
export function announce(text) {
  announcer ??= document.getElementById("announcer");
  announcer.textContent = text;
}
