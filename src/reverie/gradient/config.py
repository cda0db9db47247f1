"""How C learns by gradients in the dream; torch-free, so that `--help` stays fast."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from reverie.worlds.spec import WorldSpec

Method = Literal["ppo", "backprop"]


@dataclass(frozen=True)
class GradientConfig:
    """C by gradients in M's dream, before CMA-ES goes on from what they found. Not in the paper, which hints at it."""

    method: Method = "ppo"
    """ppo: what was drawn and paid becomes likelier (Schulman et al., 2017); backprop: what is paid is differentiated
    through M, which takes continuous actions (Hafner et al., 2020)"""
    updates: int = 0
    """updates of C, each on `dreams` x `window` steps; 0 leaves C to CMA-ES alone, as the paper does"""
    dreams: int = 2048
    """dreams side by side; one that ends begins anew"""
    window: int = 32
    """steps of every dream between two updates"""
    epochs: int = 2
    """passes over an update's steps; of the critic alone, where the method is backprop"""
    batches: int = 8
    """batches that each pass is cut into"""
    discount: float = 0.99
    """gamma: what a reward one step later is worth"""
    trace: float = 0.95
    """lambda of generalized advantage estimation (Schulman et al., 2016), and of backprop's returns"""
    clip: float = 0.2
    """how far an update of PPO may change the odds of an action"""
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
        if self.method not in get_args(Method):
            raise ReverieError(f"gradient.method is {self.method!r}, expected {' or '.join(get_args(Method))}")
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


def require_method(method: Method, world: WorldSpec, done: str) -> None:
    """Refuse backprop where what C does is no number that can be changed a little, or where nothing says what it costs.

    done: how dreams end, `DreamConfig.done`
    """
    if method != "backprop":
        return
    if world.actions.kind in ("discrete", "three-way"):
        raise ReverieError(
            f"gradient.method is 'backprop', and the actions of {world.name} are {world.actions.kind}, which have no "
            "gradient; expected continuous or driving ones; set it to ppo"
        )
    if world.reward == "survival" and done == "cutoff":
        raise ReverieError(
            f"gradient.method is 'backprop', and the reward of {world.name} is to survive, where dream.done 'cutoff' "
            "has no gradient; set dream.done to calibrated or sample, or gradient.method to ppo"
        )
