"""The picture of docs/reference/worlds.md: six frames of each world while held random actions play it.

python docs/images/make_worlds_picture.py docs/images/worlds.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import reverie

WORLDS = {"doom": 24, "carracing": 30, "tiny": 4, "climb": 12}  # steps between two frames
FRAMES, SCALE, GAP = 6, 2, 4


def row(world: str, stride: int) -> np.ndarray:
    """Six frames side by side, uint8 [64, width, 3]."""
    rng, env = np.random.default_rng(3), reverie.make(world, seed=3)
    frames, _ = env.reset(seed=3)
    shown = []
    for step in range(stride * FRAMES):
        if step % 10 == 0:
            action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
            if world == "carracing":
                action = np.array([[action[0, 0] / 4, 0.2, 0]], np.float32)  # a gentle driver
        if step % stride == stride - 1:
            shown += [frames[0], np.full((64, GAP // SCALE, 3), 255, np.uint8)]
        frames, *_ = env.step(action)
    env.close()
    return np.concatenate(shown[:-1], 1)


def main(to: Path) -> None:
    """Write the picture."""
    rows = [[row(world, stride)] for world, stride in WORLDS.items()]
    gap = np.full((GAP // SCALE, rows[0][0].shape[1], 3), 255, np.uint8)
    picture = np.concatenate([part for frames in rows for part in (*frames, gap)][:-1])
    image = Image.fromarray(picture)
    image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.NEAREST).save(to, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
