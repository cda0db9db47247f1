"""The README's picture: a run's agent in the real world, what V makes of it, and the agent in M's dream.

python docs/images/make_strip.py runs/doom-quick docs/images/dream-doom.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from reverie.learning.arena import open_dream

from reverie.report.pictures import strip
from reverie.report.recording import record_dream, record_world
from reverie.runs.opening import arena_of, load_agent
from reverie.runs.run_folder import open_run
from reverie.workers.seeds import evaluation_seeds

FRAMES, EVERY, FIRST = 10, 14, 240  # pictures in a row, steps between two, steps before the first
SCALE = 2


def main(run_path: str, picture: str) -> None:
    """Write the three rows as one PNG."""
    run = open_run(Path(run_path))
    agent = load_agent(run)
    seeds = evaluation_seeds(run.experiment.seed, "films", count=1)
    awake = record_world(agent, seeds)
    dream = open_dream(arena_of(run, "dream"))
    asleep = record_dream(dream, agent.params[0].double().numpy(), agent.senses.vision, seeds)
    assert awake.seen is not None
    chosen = slice(FIRST, FIRST + FRAMES * EVERY, EVERY)
    rows = [strip(frames[chosen]) for frames in (awake.frames, awake.seen, asleep.frames)]
    gap = np.zeros((4, *rows[0].shape[1:]), np.uint8)
    image = Image.fromarray(np.concatenate([rows[0], gap, rows[1], gap, rows[2]]))
    image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.NEAREST).save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
