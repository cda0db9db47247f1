"""How M is dreamt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from reverie.errors import ReverieError


@dataclass(frozen=True)
class DreamConfig:
    """How M is dreamt: how uncertain, and when a dream ends. The paper trains at a temperature of 1.15."""

    temperature: float = 1.0
    """tau: mixture logits are divided by it, standard deviations multiplied by its root; above 1 is harder to cheat"""
    done: Literal["cutoff", "sample"] = "cutoff"
    """how M's chance of an ending ends a dream: cutoff where it is over one half (as the paper), or drawn with it"""
    max_steps: int | None = None
    """steps after which a dream is cut off; None takes the world's own cap"""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ReverieError(f"dream temperature is {self.temperature}; expected a finite number above 0")
        if self.done not in ("cutoff", "sample"):
            raise ReverieError(f"dream done is {self.done!r}; expected cutoff or sample")
        if self.max_steps is not None and self.max_steps < 1:
            raise ReverieError(f"dream max_steps is {self.max_steps}; expected at least 1")
