"""Iterating, as in section 5 of the paper: collect with C, train V and M on, train C on inside M, and again."""

from __future__ import annotations

from dataclasses import dataclass

from reverie.errors import ReverieError


@dataclass(frozen=True)
class RoundsConfig:
    """The rounds after the first pass. Each goes on from the last one's V, M and C; old and new episodes alike are
    learned from."""

    count: int = 0
    """rounds after the first pass; 0 is the paper's own procedure for the car and for Doom"""
    episodes: int = 400
    """real episodes that C plays in each round"""
    max_steps: int | None = None
    """steps after which they are cut off; None: as in the first pass"""
    noise: float = 0.02
    """the chance, at each step of every second episode, that a random action begins; it is held for 1 to 30 steps of
    the game"""
    vision_updates: int = 0
    """updates that V trains on for; 0 leaves V as it is"""
    memory_updates: int = 1000
    """updates that M trains on for; 0 leaves M as it is"""
    gradient_updates: int | None = None
    """updates that C learns on for by gradients in the dream, before it is evolved on; None: as in the first pass"""
    generations: int = 25
    """generations that C is evolved on for"""
    evaluation_episodes: int | None = None
    """episodes that C is scored over before the last round, the first pass included; None: as many as in the end"""

    def __post_init__(self) -> None:
        lowest = {"count": 0, "episodes": 1, "vision_updates": 0, "memory_updates": 0}
        lowest |= {"gradient_updates": 0, "generations": 0, "max_steps": 1, "evaluation_episodes": 1}
        for name, least in lowest.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ReverieError(f"rounds.{name} is {value}; expected at least {least}")
        if not 0 <= self.noise <= 1:
            raise ReverieError(f"rounds.noise is {self.noise}; expected a chance, 0 to 1")
