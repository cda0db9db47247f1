// A picture of 64 x 64 pixels drawn large, with a title and words over it.

import { h } from "./dom.js";

export const SIDE = 64;

export class Stage {
  constructor({ title, kind = "", label, playable = false }) {
    this.canvas = h("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": label });
    this.words = h("p", { className: "over", hidden: true });
    this.screen = h("div", { className: "screen" }, this.canvas, this.words);
    if (playable) {
      this.screen.tabIndex = 0;
      this.screen.setAttribute("role", "application");
      this.screen.setAttribute("aria-label", label);
    }
    this.title = h("span", {}, title);
    this.note = h("span", { className: "note" });
    this.element = h("figure", { className: `stage ${kind}` },
      h("figcaption", {}, this.title, this.note), this.screen);
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.context.fillStyle = "#18181e";
    this.context.fillRect(0, 0, SIDE, SIDE);
  }

  // Show RGBA pixels, a Uint8ClampedArray.
  paint(pixels) {
    this.context.putImageData(new ImageData(pixels, SIDE, SIDE), 0, 0);
  }

  // Lay a sentence over the picture; an empty one takes it away.
  say(text) {
    this.words.textContent = text;
    this.words.hidden = !text;
    this.screen.classList.toggle("dimmed", Boolean(text));
  }
}
