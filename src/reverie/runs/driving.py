"""C as a player: what an agent does while it collects the episodes of a later round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from reverie.agent import Agent
from reverie.controller.file import load_controller
from reverie.controller.model import Controller
from reverie.memory.train import load_memory
from reverie.episodes.policies import emit
from reverie.vision.train import load_vision
from reverie.worlds.spec import WorldSpec

LONGEST = 30  # steps of the game that a random action is held for


@dataclass(frozen=True)
class Driving:
    """Makes players that act as the agent of these files; `memory` is None where C sees z alone.

    noise: the chance, at each step of every second episode, that a random action begins
    """

    vision: Path
    memory: Path | None
    controller: Path
    noise: float

    @property
    def files(self) -> list[Path]:
        """What the agent is opened from."""
        return [place for place in (self.vision, self.memory, self.controller) if place is not None]

    def __call__(self, spec: WorldSpec, count: int) -> Drivers:
        controller, params = load_controller(self.controller)
        drawn = replace(controller.config, sample_z=True)  # what M learns of is drawn, and so is what C is shown
        controller = Controller(drawn, controller.feature_size, controller.actions)
        memory = None if self.memory is None else load_memory(self.memory)
        return Drivers(Agent(load_vision(self.vision), memory, controller, params, spec), self.noise, count)


class Drivers:
    """One agent in `count` slots."""

    def __init__(self, agent: Agent, noise: float, count: int) -> None:
        self.agent, self.noise = agent, noise
        self._state = agent.initial(count)
        self._rng = [np.random.default_rng(0)] * count
        self._disturbed = np.zeros(count, bool)
        self._left = np.zeros(count, np.int64)  # steps that a random action is still held for
        self._held = np.zeros((count, agent.spec.actions.size), np.float32)

    def begin(self, slot: int, rng: np.random.Generator) -> str:
        self._rng[slot] = rng
        self._state = self._state.restarted(np.arange(len(self._rng)) == slot)
        self._disturbed[slot], self._left[slot] = rng.random() < 0.5, 0
        return "agent, disturbed" if self._disturbed[slot] else "agent"

    def act(self, frames: np.ndarray) -> np.ndarray:
        senses = self.agent.senses
        noise = np.stack([rng.standard_normal(senses.latent_size, np.float32) for rng in self._rng])
        z = senses.see(frames, noise)
        seen = senses.features(self._state, z)
        actions = self.agent.controller.act(self.agent.params, seen[None])[0].cpu().numpy().copy()
        for slot in np.flatnonzero(self._disturbed):
            self._disturb(int(slot), actions)
        self._state = senses.follow(self._state, z, torch.from_numpy(actions).to(z.device))
        return actions

    def _disturb(self, slot: int, actions: np.ndarray) -> None:
        """Put the random action that is held in the place of the agent's, where one is."""
        rng, spec = self._rng[slot], self.agent.spec.actions
        if self._left[slot] == 0 and rng.random() < self.noise:
            self._left[slot] = rng.integers(1, max(1, LONGEST // self.agent.spec.repeat) + 1)
            self._held[slot] = emit(spec, rng.uniform(-1, 1, spec.size))
        if self._left[slot] > 0:
            actions[slot] = self._held[slot]
            self._left[slot] -= 1
