"""Iterating, as in section 5 of the paper: collect with C, train V and M on, train C on inside M, and again."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reverie.errors import ReverieError

MOST_ROUNDS = 1000
CURIOUS_UPDATES = 80  # of PPO that the curious C learns for


@dataclass(frozen=True)
class RoundsConfig:
    """The rounds after the first pass. Each goes on from the last one's V, M and C; old and new episodes alike are
    learned from. Which phases of C's training take place in which round, `phases` says."""

    count: int = 0
    """rounds after the first pass; 0 is the paper's own procedure for the car and for Doom"""
    episodes: int = 400
    """real episodes of a round, at least"""
    steps: int = 0
    """real steps of a round, at least: more episodes follow until they are reached. 0: `episodes` says how many"""
    max_steps: int | None = None
    """steps after which they are truncated. none: as in the first pass"""
    epsilon: float = 0.02
    """chance, at each step of every second episode, that a random action begins; it lasts 1 to 30 steps of the game"""
    vision_updates: int = 0
    """updates that V trains on for; 0 leaves V as it is"""
    memory_updates: int = 1000
    """updates that M trains on for; 0 leaves M as it is"""
    curiosity: float = 0.0
    """what a latent twice as new as usual is worth, in rewards of usual size, to a second C that learns in the dream
    and plays half of a round (paper, section 5; Burda et al., 2019). 0: off"""
    evaluation_episodes: int | None = None
    """episodes that C is scored over before the last round. none: as many as in the end"""

    def __post_init__(self) -> None:
        lowest = {"count": 0, "episodes": 1, "steps": 0, "vision_updates": 0, "memory_updates": 0}
        lowest |= {"max_steps": 1, "evaluation_episodes": 1}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ReverieError(f"rounds.{name} is {value}, expected at least {least}")
        if self.count > MOST_ROUNDS:
            raise ReverieError(f"rounds.count is {self.count}, expected at most {MOST_ROUNDS}")
        if not 0 <= self.epsilon <= 1:
            raise ReverieError(f"rounds.epsilon is {self.epsilon}, expected a chance, 0 to 1")
        if not (math.isfinite(self.curiosity) and self.curiosity >= 0):
            raise ReverieError(f"rounds.curiosity is {self.curiosity}, expected a finite number, at least 0")
