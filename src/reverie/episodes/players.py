"""Who acts while episodes are played side by side: the seam between exploring and a trained agent.

Collecting knows only `Players`. Exploration gives each episode a policy of its own; an agent acts for all of them in
one batched call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reverie.episodes.policies import Policy, make_policy
from reverie.worlds.spec import ActionSpec, WorldSpec


class Players(Protocol):
    """Acts in `count` slots, each of which plays one episode after another."""

    def begin(self, slot: int, rng: np.random.Generator) -> str:
        """An episode begins in `slot`, its randomness comes from `rng`; returns the name to record as its policy."""

    def act(self, frames: np.ndarray) -> np.ndarray:
        """Frames uint8 [count, 64, 64, 3] -> actions float32 [count, A]; rows of idle slots are ignored.

        A slot's actions may depend on its own frames and rng only, or the store would depend on what plays beside it.
        """


MakePlayers = Callable[[WorldSpec, int], Players]  # travels to the workers: a frozen dataclass or a top-level function


@dataclass(frozen=True)
class Exploration:
    """Makes players of which each episode draws one of the exploration policies `names`."""

    names: tuple[str, ...]

    def __call__(self, spec: WorldSpec, count: int) -> Explorers:
        return Explorers(self.names, spec.actions, count)


class Explorers:
    """A policy of its own for each slot."""

    def __init__(self, names: tuple[str, ...], actions: ActionSpec, count: int) -> None:
        self.names = names
        self.actions = actions
        self._policies: list[Policy | None] = [None] * count

    def begin(self, slot: int, rng: np.random.Generator) -> str:
        name = self.names[int(rng.integers(len(self.names)))]
        self._policies[slot] = make_policy(name, self.actions, rng)
        return name

    def act(self, frames: np.ndarray) -> np.ndarray:
        actions = np.zeros((len(frames), self.actions.size), np.float32)
        for slot, policy in enumerate(self._policies):
            if policy is not None:
                actions[slot] = policy.act(frames[slot])
        return actions
