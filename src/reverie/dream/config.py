"""How M is dreamt, and what guards a C that is evolved in the dream."""

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
    done: Literal["cutoff", "sample", "calibrated"] = "cutoff"
    """how M's chance of an ending ends a dream: cutoff where it is over one half (as the paper), sample: drawn with it,
    calibrated: drawn with it, less the weight that endings had in M's training"""
    max_steps: int | None = None
    """steps after which a dream is cut off; None takes the world's own cap"""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ReverieError(f"dream temperature is {self.temperature}; expected a finite number above 0")
        if self.done not in ("cutoff", "sample", "calibrated"):
            raise ReverieError(f"dream done is {self.done!r}; expected cutoff, sample or calibrated")
        if self.max_steps is not None and self.max_steps < 1:
            raise ReverieError(f"dream max_steps is {self.max_steps}; expected at least 1")


@dataclass(frozen=True)
class GuardsConfig:
    """Guards against a C that lives off what M gets wrong. They hold in the dreams that C learns in, and not in those
    that it is scored in; M is trained for them."""

    dropout: float = 0.0
    """the share of M's cells that its outputs do not see: others for each stream while M trains, and for each dream"""
    members: int = 1
    """Ms that are trained; with several, each dream is of a random one, and C still sees the state of the first"""
    earlier: int = 0
    """so many Ms that the rounds before ended with take their turns too, each with errors of its own; they cost no
    training"""
    doubt: float = 0.0
    """dream the first M alone, and take this times the members' disagreement on the next latent from each reward"""
    starts: Literal["first", "anywhere"] = "first"
    """where dreams begin: at recorded first frames, or inside recorded episodes, which M follows up to there"""
    steps: int | None = None
    """steps after which a dream that C learns in is cut off; None: as all dreams"""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ReverieError(f"guards.dropout is {self.dropout}; expected a share, 0 or more and below 1")
        if self.members < 1:
            raise ReverieError(f"guards.members is {self.members}; expected at least 1")
        if self.earlier < 0:
            raise ReverieError(f"guards.earlier is {self.earlier}; expected at least 0")
        if not (math.isfinite(self.doubt) and self.doubt >= 0):
            raise ReverieError(f"guards.doubt is {self.doubt}; expected a finite number, at least 0")
        if self.doubt and self.members < 2:
            raise ReverieError(f"guards.doubt is {self.doubt} with one M; set guards.members to 2 or more")
        if self.starts not in ("first", "anywhere"):
            raise ReverieError(f"guards.starts is {self.starts!r}; expected first or anywhere")
        if self.steps is not None and self.steps < 1:
            raise ReverieError(f"guards.steps is {self.steps}; expected at least 1")
