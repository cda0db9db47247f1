"""How C learns: the settings of each method; torch-free, so that `--help` stays fast."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from reverie.errors import ReverieError

INITIAL_STD = 0.35  # of exploration noise: three-way actions begin with 27, 46 and 27 in 100
CLIP_RANGE = 0.2  # PPO's
NUM_MINIBATCHES = 8  # that each pass over an update's steps is cut into
CRITIC_LEARNING_RATE, CRITIC_SIZE = 1e-3, 64  # Adam's, and tanh units of the critic, which is thrown away in the end


@dataclass(frozen=True)
class PPOConfig:
    """Policy gradients: PPO (Schulman et al., 2017), and where said so backpropagation through the dream."""

    num_envs: int = 2048
    """dreams side by side; in the world, whole episodes that an update plays"""
    num_steps: int = 32
    """steps of every dream between two updates: the imagination horizon"""
    n_epochs: int = 2
    """passes over an update's steps, each in eight minibatches"""
    gamma: float = 0.99
    """discount"""
    gae_lambda: float = 0.95
    """lambda of generalized advantage estimation (Schulman et al., 2016), and of backprop's returns"""
    learning_rate: float = 3e-3
    """Adam's, of C's parameters, per root mean square of the input that a weight reads"""
    ent_coef: float = 0.002
    """weight of the policy's entropy"""
    target_kl: float | None = None
    """largest KL (nats) to the policy before the update; a longer step is halved until it fits. none: off"""
    reward_clip: float | None = None
    """upper clip on the imagined reward of a step. none: no clipping"""
    ez_prob: float = 0.0
    """ez-greedy exploration (Dabney et al., 2021): chance that an action is repeated for some steps. 0: off"""
    ez_max_steps: int = 16
    """longest repeat; each length from 2 steps on is as likely"""
    final_std: float | None = None
    """exploration noise at the last update, reached geometrically, the learning rate with it. none: it is learned"""
    anneal_fraction: float = 0.0
    """share of the updates, the last ones, over which learning_rate, ent_coef and ez_prob fall linearly to 0"""
    average_last: int = 1
    """C ends as the mean of so many updates' parameters: the last ones; in the world those in a row whose episodes
    brought most"""
    no_reward_timeout: int | None = None
    """in the world: steps without a positive reward after which an episode ends. none: off"""
    bootstrap_at_end: bool = False
    """in the world: value an episode's end as if it went on, where an end is no loss, as that of a lap"""

    def __post_init__(self) -> None:
        lowest = dict.fromkeys(("num_envs", "num_steps", "n_epochs", "average_last"), 1)
        _require_counts("ppo", self, lowest | {"ez_max_steps": 2, "no_reward_timeout": 1})
        for name in ("gamma", "gae_lambda", "ez_prob", "anneal_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ReverieError(f"ppo.{name} is {getattr(self, name)}, expected 0 to 1")
        for name in ("learning_rate", "reward_clip", "target_kl"):
            _require_positive(f"ppo.{name}", getattr(self, name))
        if not (math.isfinite(self.ent_coef) and self.ent_coef >= 0):
            raise ReverieError(f"ppo.ent_coef is {self.ent_coef}, expected a finite number, at least 0")
        if self.final_std is not None and not 0 < self.final_std <= INITIAL_STD:
            raise ReverieError(f"ppo.final_std is {self.final_std}, expected above 0, at most {INITIAL_STD}, or none")

    def at(self, update: int, updates: int) -> PPOConfig:
        """The settings of `update` (0 is the first) of so many, where they are annealed."""
        left = 1 - update / updates
        if left >= self.anneal_fraction:
            return self
        share = left / self.anneal_fraction
        return replace(
            self,
            learning_rate=self.learning_rate * share,
            ent_coef=self.ent_coef * share,
            ez_prob=self.ez_prob * share,
        )


@dataclass(frozen=True)
class CMAESConfig:
    """CMA-ES over C's parameters. The defaults are the paper's."""

    population: int = 64
    """candidates in a generation"""
    episodes: int = 16
    """episodes of each candidate, on the same seeds for all of a generation; fitness is their mean return"""
    sigma: float = 0.1
    """initial step size; the search begins where C is"""
    max_steps: int | None = None
    """in the world: steps after which an episode is truncated. none: the world's own cap"""
    no_reward_timeout: int | None = None
    """in the world: steps without a positive reward after which an episode ends. none: off"""
    rescore_every: int = 25
    """generations between two re-scorings of the search's mean, its best candidates and the best C so far"""
    rescore_episodes: int = 128
    """episodes of each C that is re-scored, on fresh seeds (the paper: 1,024)"""

    def __post_init__(self) -> None:
        lowest = dict.fromkeys(("episodes", "max_steps", "no_reward_timeout", "rescore_every", "rescore_episodes"), 1)
        _require_counts("cmaes", self, {"population": 4, **lowest})
        _require_positive("cmaes.sigma", self.sigma)


def _require_counts(section: str, config: Any, lowest: dict[str, int]) -> None:
    for name, least in lowest.items():
        value = getattr(config, name)
        if value is not None and value < least:
            raise ReverieError(f"{section}.{name} is {value}, expected at least {least}")


def _require_positive(name: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise ReverieError(f"{name} is {value}, expected a finite number above 0")
