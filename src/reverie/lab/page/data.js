// What the lab knows besides its graphs: lab.json, arrays by name, recorded frames.

import { fetchBytes, LabError } from "./engine.js";
import { normal, START, uniform, WHICH_START } from "./noise.js";

const SIDE = 64;

export async function loadLab() {
  const text = new TextDecoder().decode(await fetchBytes("lab.json"));
  let lab;
  try {
    lab = JSON.parse(text);
  } catch {
    throw new LabError("The file lab.json is not whole. Export the lab again.");
  }
  if (lab.format !== 1 || !lab.runs?.length) {
    throw new LabError("The file lab.json was made for another version of this page. Export the lab again.");
  }
  return lab;
}

// The arrays of one run: `rows(place)` gives an array of Float32Arrays, `flat(place)` one.
export class RunData {
  constructor(about, buffer) {
    this.about = about;
    this.buffer = buffer;
    this.sheets = new Map();
  }

  static async load(about, progress) {
    return new RunData(about, await fetchBytes(`${about.folder}/data.bin`, progress));
  }

  flat({ at, shape }) {
    const count = shape.reduce((a, b) => a * b, 1);
    if ((at + count) * 4 > this.buffer.byteLength) {
      throw new LabError(`The file ${this.about.folder}/data.bin is not whole. Export the lab again.`);
    }
    return new Float32Array(this.buffer, at * 4, count);
  }

  rows(place) {
    const flat = this.flat(place), width = place.shape[1];
    return Array.from({ length: place.shape[0] }, (_, row) => flat.subarray(row * width, (row + 1) * width));
  }

  // The first latent of the dream with this seed: one of V's Gaussians of real first frames, sampled.
  start(seed) {
    const mu = this.rows(this.about.starts.mu), logvar = this.rows(this.about.starts.logvar);
    const which = Math.floor(uniform(seed, WHICH_START, 0, 1)[0] * mu.length);
    const noise = normal(seed, START, 0, this.about.latent_size);
    return mu[which].map((mean, part) => mean + Math.exp(0.5 * logvar[which][part]) * noise[part]);
  }

  // A recorded episode's frames, fetched when first asked for; `draw(context, t)` paints one.
  async sheet(episode) {
    if (!this.sheets.has(episode.sheet)) this.sheets.set(episode.sheet, openSheet(episode));
    return this.sheets.get(episode.sheet);
  }
}

async function openSheet(episode) {
  const bytes = await fetchBytes(episode.sheet);
  let picture;
  try {
    picture = await createImageBitmap(new Blob([bytes], { type: "image/webp" }));
  } catch {
    throw new LabError(`The picture ${episode.sheet} cannot be read by this browser, or is not whole.`);
  }
  const corner = (t) => [(t % episode.columns) * SIDE, Math.floor(t / episode.columns) * SIDE];
  return {
    draw(context, t) {
      context.drawImage(picture, ...corner(t), SIDE, SIDE, 0, 0, SIDE, SIDE);
    },
    pixels(t) {
      const canvas = new OffscreenCanvas(SIDE, SIDE), context = canvas.getContext("2d");
      this.draw(context, t);
      return context.getImageData(0, 0, SIDE, SIDE).data;
    },
  };
}

// Dream the dream that PyTorch dreamt when the lab was made; returns the largest difference between the latents.
export async function compareWithPyTorch(engine, data, progress = () => {}) {
  const { about } = data, { check } = about;
  const latents = data.rows(check.latents), actions = data.rows(check.actions);
  const key = `check ${about.folder}`;
  await engine.ask("start", { key, run: about.folder, z: latents[0].slice(), seed: check.seed });
  let largest = 0;
  for (const [t, action] of actions.entries()) {
    const step = { key, agent: null, action: Array.from(action), temperature: check.temperature, show: false };
    const { z } = await engine.ask("step", step);
    z.forEach((value, part) => { largest = Math.max(largest, Math.abs(value - latents[t + 1][part])); });
    progress(t + 1, actions.length);
  }
  return largest;
}
