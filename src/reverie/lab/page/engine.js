// The page's side of the worker: loads files with progress, and asks for dreams as promises.

export class LabError extends Error {} // its message is a sentence for the visitor

// The bytes of a file beside the page; `progress(bytes)` is called as they come.
export async function fetchBytes(path, progress = () => {}) {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    throw new LabError(`The file ${path} could not be fetched. Is the server that gave you this page still running?`);
  }
  if (!answer.ok) {
    throw new LabError(`The file ${path} is missing here (${answer.status}). Export the lab again and copy the whole folder.`);
  }
  const parts = [];
  let size = 0;
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    progress(value.length);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes.buffer;
}

// Unpack gzip, unless the server has already done so on the way.
async function unpacked(buffer) {
  const head = new Uint8Array(buffer, 0, 2);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return buffer;
  const stream = new Blob([buffer]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

export class Engine {
  #worker = new Worker("worker.js", { type: "module" });
  #waiting = new Map();
  #next = 1;
  #opened = new Map();

  constructor() {
    this.#worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error) reject(new LabError(`The dream machine stopped: ${data.error}`));
      else resolve(data);
    };
    this.#worker.onerror = (event) => {
      const error = new LabError(`This browser could not start the dream machine (${event.message || "no module workers"}).`);
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    };
  }

  ask(act, message = {}, transfer = []) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, act, ...message }, transfer);
    });
  }

  async begin(progress) {
    const wasm = await unpacked(await fetchBytes("runtime/ort.wasm.gz", progress));
    await this.ask("begin", { wasm }, [wasm]);
  }

  // Fetch and open a run's graphs, once.
  open(about, progress) {
    if (!this.#opened.has(about.folder)) this.#opened.set(about.folder, this.#open(about, progress));
    return this.#opened.get(about.folder);
  }

  async #open(about, progress) {
    const names = ["memory", "decoder", "encoder", ...about.agents.map((agent) => agent.key)];
    const files = await Promise.all(names.map((name) => fetchBytes(`${about.folder}/${name}.onnx`, progress)));
    const graphs = Object.fromEntries(names.map((name, place) => [name, files[place]]));
    await this.ask("open", { about, graphs }, files);
  }
}
