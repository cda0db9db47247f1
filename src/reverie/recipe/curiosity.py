"""Curiosity: part of what a later round collects is played by Cs that are evolved to surprise M."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reverie.errors import ReverieError

CURIOSITY_FILE = "curiosity.jsonl"  # in the folder of a round
MOST_CANDIDATES = 16  # what one world plays side by side


@dataclass(frozen=True)
class CuriosityConfig:
    """M's loss on real steps as a reward for the Cs that collect (paper, section 5)."""

    weight: float = 0.0
    """what a surprise of one standard deviation above the usual is worth, in rewards of usual size; 0: no curiosity"""
    share: float = 0.5
    """of a round's episodes, those that curious candidates play; C plays the others"""
    population: int = 8
    """candidates in a generation, each of which plays one episode"""
    sigma: float = 0.5
    """the step size of the search, which begins at the round's C"""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.weight) and self.weight >= 0):
            raise ReverieError(f"curiosity.weight is {self.weight}; expected a finite number, at least 0")
        if not 0 < self.share <= 1:
            raise ReverieError(f"curiosity.share is {self.share}; expected a share above 0, at most 1")
        if not 4 <= self.population <= MOST_CANDIDATES:
            raise ReverieError(f"curiosity.population is {self.population}; expected 4 to {MOST_CANDIDATES}")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ReverieError(f"curiosity.sigma is {self.sigma}; expected a finite number above 0")

    def generations(self, episodes: int) -> int:
        """Generations among the episodes of a round: as many whole ones as the share allows."""
        return int(self.share * episodes) // self.population if self.weight else 0
