// V, M and C behind messages: {id, act, ...} in, {id, ...} or {id, error} out. The page never waits for a matrix product.

import * as ort from "./runtime/ort.js";
import * as noise from "./noise.js";

const runs = new Map(); // folder -> {about, sessions}
const dreams = new Map(); // key -> state of a dream

const acts = {
  async begin({ wasm }) {
    ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
    ort.env.wasm.wasmBinary = wasm;
    ort.env.logLevel = "error";
    const probe = new ort.Tensor("float32", new Float32Array(1));
    return { ready: probe.size === 1 };
  },

  // Open the graphs of a run, given as {name: ArrayBuffer}.
  async open({ about, graphs }) {
    const sessions = {};
    for (const [name, bytes] of Object.entries(graphs)) {
      sessions[name] = await ort.InferenceSession.create(new Uint8Array(bytes), { graphOptimizationLevel: "all" });
    }
    runs.set(about.folder, { about, sessions });
    return {};
  },

  // Start dream `key` at z, or at {z, h, c} in the middle of an episode.
  async start({ key, run, z, h, c, seed }) {
    const { memory_size } = runs.get(run).about;
    const fresh = !h;
    dreams.set(key, {
      run, z, seed,
      h: h ?? new Float32Array(memory_size),
      c: c ?? new Float32Array(memory_size),
      restart: fresh ? 1 : 0,
      step: 0,
    });
    return { pixels: await decode(run, z), z };
  },

  // One step of dream `key`: by `agent` (a name), with the parts of `action` that are not null in its place.
  async step({ key, agent, action, temperature, show = true }) {
    const dream = dreams.get(key);
    const began = performance.now();
    const taken = await act(dream, agent, action);
    const out = await advance(dream.run, dream, taken, temperature, dream.seed, dream.step);
    dream.z = out.next_z;
    dream.h = out.next_h;
    dream.c = out.next_c;
    dream.restart = 0;
    const chance = out.done ? ending(dream.run, out.done[0]) : null;
    const ended = chance !== null && chance > limit(dream);
    dream.step += 1;
    const pixels = show || ended ? await decode(dream.run, dream.z) : null;
    return {
      pixels, action: taken, z: dream.z.slice(), chance, ended, steps: dream.step,
      reward: out.reward ? out.reward[0] : null, milliseconds: performance.now() - began,
    };
  },

  async decode({ run, z }) {
    return { pixels: await decode(run, z) };
  },

  // V's mean latent of a frame of RGBA pixels.
  async encode({ run, pixels }) {
    const frame = new Float32Array(3 * 64 * 64);
    for (let place = 0; place < 64 * 64; place++)
      for (let colour = 0; colour < 3; colour++) frame[colour * 4096 + place] = pixels[place * 4 + colour] / 255;
    const { sessions } = runs.get(run);
    const out = await sessions.encoder.run({ frame: new ort.Tensor("float32", frame, [1, 3, 64, 64]) });
    return { mu: out.mu.data };
  },

  // M along a whole episode: what it expected of each next frame, and its state before each step.
  async follow({ run, mu, actions, steps }) {
    const { latent_size, memory_size, actions: { size } } = runs.get(run).about;
    const expected = new Float32Array(steps * latent_size);
    const h = new Float32Array((steps + 1) * memory_size), c = new Float32Array((steps + 1) * memory_size);
    const row = (array, t, width) => array.slice(t * width, (t + 1) * width);
    const chance = new Float32Array(steps);
    for (let t = 0; t < steps; t++) {
      const state = {
        z: row(mu, t, latent_size), h: row(h, t, memory_size), c: row(c, t, memory_size), restart: t === 0 ? 1 : 0,
      };
      const out = await advance(run, state, row(actions, t, size), 1, 0, t);
      expected.set(out.expected, t * latent_size);
      h.set(out.next_h, (t + 1) * memory_size);
      c.set(out.next_c, (t + 1) * memory_size);
      chance[t] = out.done ? ending(run, out.done[0]) : 0;
    }
    return { expected, h, c, chance };
  },
};

// C acts on what it sees; what a person holds down replaces its part.
async function act(dream, agent, action) {
  const { about, sessions } = runs.get(dream.run);
  const taken = new Float32Array(about.actions.size);
  if (agent) {
    const session = sessions[agent];
    const seen = {};
    for (const name of session.inputNames) seen[name] = new ort.Tensor("float32", dream[name], [1, dream[name].length]);
    taken.set((await session.run(seen)).action.data);
  }
  if (action) action.forEach((value, part) => { if (value !== null) taken[part] = value; });
  return taken;
}

async function advance(run, state, action, temperature, seed, step) {
  const { about, sessions } = runs.get(run);
  const size = about.latent_size;
  const row = (values) => new ort.Tensor("float32", values, [1, values.length]);
  const out = await sessions.memory.run({
    z: row(state.z), action: row(action), h: row(state.h), c: row(state.c),
    restart: new ort.Tensor("float32", Float32Array.of(state.restart), [1]),
    temperature: new ort.Tensor("float32", Float32Array.of(temperature), []),
    uniform: row(noise.uniform(seed, noise.COMPONENT, step, size)),
    normal: row(noise.normal(seed, noise.SPREAD, step, size)),
  });
  return Object.fromEntries(Object.entries(out).map(([name, tensor]) => [name, tensor.data]));
}

// M's chance of an ending, less the weight that endings had in its training where dreams end by that.
function ending(run, chance) {
  const { termination, done_weight: weight } = runs.get(run).about;
  return termination === "calibrated" ? chance / (chance + weight * (1 - chance)) : chance;
}

// The chance of an ending over which a dream ends at this step.
function limit(dream) {
  if (runs.get(dream.run).about.termination === "threshold") return 0.5;
  return noise.uniform(dream.seed, noise.ENDING, dream.step, 1)[0];
}

async function decode(run, z) {
  const { sessions } = runs.get(run);
  const out = await sessions.decoder.run({ z: new ort.Tensor("float32", z, [1, z.length]) });
  return new Uint8ClampedArray(out.pixels.data); // rounds and clamps
}

let last = Promise.resolve(); // one act after the other: a session runs one thing at a time
self.onmessage = ({ data }) => {
  last = last.then(async () => {
    try {
      const answer = await acts[data.act](data);
      self.postMessage({ id: data.id, ...answer }, answer.pixels ? [answer.pixels.buffer] : []);
    } catch (error) {
      self.postMessage({ id: data.id, error: String(error?.message ?? error) });
    }
  });
};
