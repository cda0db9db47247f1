"""Steps a second of each world on one core, random actions, frames at 64x64: `python benchmarks/worlds.py`.

Rates are per second of processor time, the games' own processes and threads included: what one core brings, and less
disturbed by whatever else the machine does than the wall clock.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from reverie.worlds.registry import make
from reverie.worlds.resize import AreaResize
from reverie.worlds.vector import WorldVectorEnv

# world, sub-environments, options, steps
CASES = [
    ("doom", 8, {}, 8000),
    ("carracing", 16, {"engine": "envpool"}, 3200),
    ("carracing", 2, {"engine": "gymnasium"}, 400),
    ("tiny", 16, {}, 100_000),
    ("tiny", 1, {}, 20_000),
    ("CartPole-v1", 4, {}, 1200),
]


def processor_seconds() -> float:
    """The processor time of this process and of its living children."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            ticks += int(fields[11]) + int(fields[12])
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def play(worlds: WorldVectorEnv, steps: int) -> None:
    """At least `steps` steps of random actions held for 8 steps; finished episodes begin again at once."""
    rng = np.random.default_rng(0)
    for _ in range(0, steps, 8 * worlds.num_envs):
        actions = rng.uniform(-1, 1, worlds.action_space.shape).astype(np.float32)
        for _ in range(8):
            _, _, terminated, truncated, _ = worlds.step(actions)
            if (terminated | truncated).any():
                worlds.reset(options={"reset_mask": terminated | truncated})


def main() -> None:
    """Print one line a case, then the cost of one resize."""
    for name, num_envs, options, steps in CASES:
        worlds = make(name, num_envs, seed=0, **options)
        worlds.reset()
        play(worlds, steps // 4)
        began = processor_seconds()
        play(worlds, steps)
        print(f"{name} x {num_envs} {options or ''}: {steps / (processor_seconds() - began):,.0f} steps/s a core")
        worlds.close()
    for height, width in ((100, 160), (84, 96), (400, 600)):
        image, resize = np.zeros((height, width, 3), np.uint8), AreaResize(height, width)
        began = time.process_time()
        for _ in range(1000):
            resize(image)
        print(f"resize {height} x {width}: {(time.process_time() - began) * 1000:.0f} microseconds")


if __name__ == "__main__":
    main()
