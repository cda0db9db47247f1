"""How C learns by gradients in the dream; torch-free, so that `--help` stays fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reverie.errors import ReverieError


@dataclass(frozen=True)
class GradientConfig:
    """PPO (Schulman et al., 2017) in M's dream, before CMA-ES goes on from what it found. Not in the paper."""

    updates: int = 0
    """updates of C, each on `dreams` x `window` steps; 0 leaves C to CMA-ES alone, as the paper does"""
    dreams: int = 2048
    """dreams side by side; one that ends begins anew"""
    window: int = 32
    """steps of every dream between two updates"""
    epochs: int = 2
    """passes over an update's steps"""
    batches: int = 8
    """batches that each pass is cut into"""
    discount: float = 0.99
    """gamma: what a reward one step later is worth"""
    trace: float = 0.95
    """lambda of generalized advantage estimation (Schulman et al., 2016)"""
    clip: float = 0.2
    """how far an update may change the odds of an action"""
    entropy: float = 0.002
    """the weight of the policy's entropy, which keeps it trying things"""
    learning_rate: float = 3e-3
    """Adam's, of C's parameters (per root mean square of the feature that a weight reads)"""
    critic_learning_rate: float = 1e-3
    """Adam's, of the critic's"""
    critic_size: int = 64
    """tanh units of the critic, which is thrown away in the end"""
    log_every: int = 5
    """updates between two lines of metrics"""
    checkpoint_every: int = 25
    """updates between two checkpoints"""

    def __post_init__(self) -> None:
        for name, lowest in LOWEST.items():
            if getattr(self, name) < lowest:
                raise ReverieError(f"gradient.{name} is {getattr(self, name)}, expected at least {lowest}")
        for name in ("discount", "trace"):
            if not 0 <= getattr(self, name) <= 1:
                raise ReverieError(f"gradient.{name} is {getattr(self, name)}, expected 0 to 1")
        for name in ("clip", "learning_rate", "critic_learning_rate"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ReverieError(f"gradient.{name} is {getattr(self, name)}, expected a finite number above 0")
        if not (math.isfinite(self.entropy) and self.entropy >= 0):
            raise ReverieError(f"gradient.entropy is {self.entropy}, expected a finite number, at least 0")


LOWEST = {
    "updates": 0,
    "dreams": 1,
    "window": 1,
    "epochs": 1,
    "batches": 1,
    "critic_size": 1,
    "log_every": 1,
    "checkpoint_every": 1,
}
