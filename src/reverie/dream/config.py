"""How M is dreamt, and what keeps a C that learns in the dream from living off M's errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from reverie.errors import ReverieError

Termination = Literal["threshold", "sample", "calibrated"]
MOST_MEMBERS = 100  # of an ensemble
StartStates = Literal["initial", "replay"]


@dataclass(frozen=True)
class DreamConfig:
    """The dream. Temperature and termination hold wherever M dreams; the other settings only where C learns."""

    temperature: float = 1.0
    """tau: mixture logits are divided by it, variances multiplied by it. Above 1 the dream is harder to exploit"""
    termination: Termination = "threshold"
    """how M's done probability p ends a dream. threshold: where p > 0.5 (the paper). sample: drawn with p.
    calibrated: drawn with p after the weight that endings had in M's training is divided out"""
    horizon: int | None = None
    """steps after which a dream that C learns in is truncated. None: the world's own cap
    or, where that is above 2100, the longest recorded episode (2100 at least)"""
    starts: StartStates = "initial"
    """where dreams that C learns in begin. initial: first frames. replay: any recorded step, with M's state there"""
    dropout: float = 0.0
    """share of M's hidden units that its heads do not see, with one mask for a whole dream; M is trained with it"""
    ensemble_size: int = 1
    """how many Ms are trained. Each dream is of a random one; C always sees the state of the first"""
    disagreement_penalty: float = 0.0
    """dream the first M alone, and subtract this times the ensemble's disagreement on the next z from each reward"""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ReverieError(f"dream.temperature is {self.temperature}, expected a finite number above 0")
        for name, kinds in (("termination", Termination), ("starts", StartStates)):
            value, known = getattr(self, name), get_args(kinds)
            if value not in known:
                raise ReverieError(f"dream.{name} is {value!r}, expected {', '.join(known[:-1])} or {known[-1]}")
        if self.horizon is not None and self.horizon < 1:
            raise ReverieError(f"dream.horizon is {self.horizon}, expected at least 1, or none")
        if not 0 <= self.dropout < 1:
            raise ReverieError(f"dream.dropout is {self.dropout}, expected a share, 0 or more and below 1")
        if not 1 <= self.ensemble_size <= MOST_MEMBERS:
            raise ReverieError(f"dream.ensemble_size is {self.ensemble_size}, expected 1 to {MOST_MEMBERS}")
        if not (math.isfinite(self.disagreement_penalty) and self.disagreement_penalty >= 0):
            found = f"dream.disagreement_penalty is {self.disagreement_penalty}"
            raise ReverieError(f"{found}, expected a finite number, at least 0")
        if self.disagreement_penalty and self.ensemble_size < 2:
            raise ReverieError(
                f"dream.disagreement_penalty is {self.disagreement_penalty} with one M; "
                "set dream.ensemble_size to 2 or more"
            )

    @property
    def is_plain(self) -> bool:
        """Whether C learns in the same dreams that it is scored in."""
        return self == DreamConfig(self.temperature, self.termination)
