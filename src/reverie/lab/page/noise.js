// The lab's randomness: a number is a hash of (seed, stream, step, index). This is noise.py in JavaScript.

export const WHICH_START = 0, START = 1, COMPONENT = 2, SPREAD = 3, ENDING = 4;

function mix(x) {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

function root(seed, stream, step) {
  return mix(mix(mix((seed + 0x9e3779b9) | 0) ^ stream) + step);
}

const top = (word, index) => mix(word ^ index) >>> 8; // the upper 24 bits

// Float32Array [count] in [0, 1).
export function uniform(seed, stream, step, count) {
  const word = root(seed, stream, step);
  return Float32Array.from({ length: count }, (_, index) => top(word, index) / 2 ** 24);
}

// Standard normal Float32Array [count], by Box and Muller's method.
export function normal(seed, stream, step, count) {
  const word = root(seed, stream, step);
  return Float32Array.from({ length: count }, (_, index) => {
    const u = (top(word, 2 * index) + 0.5) / 2 ** 24;
    const v = top(word, 2 * index + 1) / 2 ** 24;
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  });
}
