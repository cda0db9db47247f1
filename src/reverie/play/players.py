"""Who acts while episodes are collected: exploration policies, or an agent of an earlier round.

Exploration gives each episode a policy of its own; an agent acts for all of them in one batched call.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from reverie.agent import Agent
from reverie.controller.file import load_controller
from reverie.controller.model import Controller
from reverie.episodes.policies import Policy, emit, make_policy
from reverie.memory.train import load_memory
from reverie.vision.train import load_vision
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


LONGEST_REPEAT = 30  # steps of the game that a random action is repeated for


@dataclass(frozen=True, repr=False)
class AgentFiles:
    """Makes players that act as the agent of these files; `memory` is None where C sees z alone.

    epsilon: the chance, at each step of every second episode, that a random action begins, repeated for some steps
    name: recorded as the policy
    """

    vision: Path
    memory: Path | None
    controller: Path
    epsilon: float = 0.0
    name: str = "agent"

    @property
    def files(self) -> list[Path]:
        """What the agent is opened from."""
        return [place for place in (self.vision, self.memory, self.controller) if place is not None]

    def __call__(self, spec: WorldSpec, count: int) -> AgentPlayers:
        controller, params = load_controller(self.controller)
        drawn = replace(controller.config, sample_z=True)  # what M learns of is drawn, and so is what C is shown
        controller = Controller(drawn, controller.feature_size, controller.actions)
        memory = None if self.memory is None else load_memory(self.memory)
        agent = Agent(load_vision(self.vision), memory, controller, params, spec)
        return AgentPlayers(agent, self.name, self.epsilon, count)


class AgentPlayers:
    """One agent in `count` slots."""

    def __init__(self, agent: Agent, name: str, epsilon: float, count: int) -> None:
        self.agent, self.name, self.epsilon = agent, name, epsilon
        self._state = agent.initial(count)
        self._rng = [np.random.default_rng(0)] * count
        self._disturbed = np.zeros(count, bool)
        self._left = np.zeros(count, np.int64)  # steps that a random action is still repeated for
        self._random = np.zeros((count, agent.spec.actions.size), np.float32)

    def begin(self, slot: int, rng: np.random.Generator) -> str:
        self._rng[slot] = rng
        self._state = self._state.restarted(np.arange(len(self._rng)) == slot)
        self._disturbed[slot], self._left[slot] = rng.random() < 0.5, 0
        return f"{self.name}, disturbed" if self._disturbed[slot] else self.name

    def act(self, frames: np.ndarray) -> np.ndarray:
        noise = np.stack([rng.standard_normal(self.agent.senses.latent_size, np.float32) for rng in self._rng])
        disturb = self._disturb if self._disturbed.any() else None
        actions, self._state = self.agent.act(self._state, frames, noise, disturb)
        return actions

    def _disturb(self, actions: np.ndarray) -> None:
        """Put the random actions that are repeated in the place of the agent's."""
        spec = self.agent.spec.actions
        for slot in np.flatnonzero(self._disturbed):
            rng = self._rng[slot]
            if self._left[slot] == 0 and rng.random() < self.epsilon:
                self._left[slot] = rng.integers(1, max(1, LONGEST_REPEAT // self.agent.spec.repeat) + 1)
                self._random[slot] = emit(spec, rng.uniform(-1, 1, spec.size))
            if self._left[slot] > 0:
                actions[slot] = self._random[slot]
                self._left[slot] -= 1
