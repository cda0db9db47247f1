// Steps at an even pace, one at a time, while the page is visible.

export class Clock {
  constructor({ pace, step, onchange }) {
    this.pace = pace; // steps a second
    this.speed = 1;
    this.step = step;
    this.onchange = onchange;
    this.playing = false;
    this.busy = false;
    this.due = 0;
  }

  play() {
    if (this.playing) return;
    this.playing = true;
    this.due = performance.now();
    this.onchange?.(true);
    requestAnimationFrame((now) => this.#tick(now));
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.onchange?.(false);
  }

  async once() {
    if (this.busy) return;
    this.busy = true;
    try {
      await this.step();
    } finally {
      this.busy = false;
    }
  }

  #tick(now) {
    if (!this.playing) return;
    const interval = 1000 / (this.pace * this.speed);
    if (!this.busy && now >= this.due) {
      this.due = Math.max(this.due + interval, now - 2 * interval); // a late step is not made up for
      this.once().catch((error) => { this.pause(); this.onerror?.(error); });
    }
    requestAnimationFrame((later) => this.#tick(later));
  }
}
