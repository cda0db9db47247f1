"""Climb: a world that random play does not cover, simulated in NumPy.

A gold bar shows where a cart is in a valley, from the left wall to the right one; a thin blue bar below shows the hill:
its end is the summit. The action pushes left or right, too weakly to climb at once: who wants to see the right side
must swing, each time further. The reward of a step is 1 beyond the summit and 0 elsewhere. Speed shows in no single
frame, so only who remembers can swing.

The dynamics are those of Gymnasium's continuous mountain car, but that nothing ends at the summit: an episode is
truncated after 150 steps. Scores over 1,000 episodes: random actions 0, random pushes held for up to 30 steps 1.6 ± 7.8
(94 in 100 never get there), always pushing the way that the cart moves 45 ± 1.
"""

from __future__ import annotations

import numpy as np

from reverie.worlds.spec import FRAME_SHAPE, FRAME_SIZE, ActionSpec, WorldSpec
from reverie.worlds.vector import Outcome

CLIMB = WorldSpec(name="climb", actions=ActionSpec("continuous", 1), reward="predicted", max_steps=150)

LEFT, RIGHT, SUMMIT = -1.2, 0.6, 0.45
POWER, GRAVITY, FASTEST = 0.0015, 0.0025, 0.07
BEGIN = (-0.6, -0.4)
MARGIN, EDGE = 6.0, 8.0  # pixels beside the walls, and over which a bar's end fades
NIGHT, GOLD, BLUE = (np.array(colour, np.float32) for colour in ((20, 20, 50), (225, 190, 80), (40, 110, 230)))
COLUMNS = np.arange(FRAME_SIZE, dtype=np.float32) + 0.5
HILL_ROWS = 12


def places_in(frames: np.ndarray) -> np.ndarray:
    """Where the cart is in frames uint8 [n, 64, 64, 3], read off the gold bar: float64 [n], to about 0.002."""
    row = frames[:, 0, :, 1].astype(np.float64)  # green, where gold is far from the night
    end = ((row - NIGHT[1]) / (GOLD[1] - NIGHT[1])).sum(1)
    places: np.ndarray = LEFT + (end - MARGIN) / (FRAME_SIZE - 2 * MARGIN) * (RIGHT - LEFT)
    return places


class ClimbGames:
    """n games at once; an episode's only chance is where it begins."""

    def __init__(self, num_envs: int) -> None:
        self.frames = np.zeros((num_envs, *FRAME_SHAPE), np.uint8)
        self.place = np.zeros(num_envs)
        self.speed = np.zeros(num_envs)
        self.frames[:, FRAME_SIZE - HILL_ROWS :] = _bar(np.array([SUMMIT]), BLUE)[:, None]

    def reset(self, slot: int, seed: int) -> None:
        self.place[slot] = np.random.default_rng(seed).uniform(*BEGIN)
        self.speed[slot] = 0
        self._draw(np.array([slot]))

    def step(self, slots: np.ndarray, actions: np.ndarray) -> Outcome:
        push = POWER * actions[:, 0].clip(-1, 1).astype(np.float64)
        speed = self.speed[slots] + push - GRAVITY * np.cos(3 * self.place[slots])
        moved = self.place[slots] + speed.clip(-FASTEST, FASTEST)
        at_a_wall = (moved <= LEFT) | (moved >= RIGHT)
        self.place[slots] = moved.clip(LEFT, RIGHT)
        self.speed[slots] = np.where(at_a_wall, 0, speed.clip(-FASTEST, FASTEST))
        self._draw(slots)
        nothing = np.zeros(len(slots), bool)
        return Outcome((self.place[slots] >= SUMMIT).astype(np.float64), nothing, nothing.copy(), {})

    def replace(self, slot: int) -> None:
        """Nothing here can break."""

    def close(self) -> None:
        """Nothing is held."""

    def _draw(self, slots: np.ndarray) -> None:
        self.frames[slots, : FRAME_SIZE - HILL_ROWS] = _bar(self.place[slots], GOLD)[:, None]


def _bar(place: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """One row of pixels a game, in `colour` from the left up to about `place` [k]: uint8 [k, 64, 3]."""
    end = MARGIN + (place - LEFT) / (RIGHT - LEFT) * (FRAME_SIZE - 2 * MARGIN)
    filled = ((end[:, None].astype(np.float32) - COLUMNS) / EDGE + 0.5).clip(0, 1)[:, :, None]
    return (NIGHT + filled * (colour - NIGHT)).astype(np.uint8)
