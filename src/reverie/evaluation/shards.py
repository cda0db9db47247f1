"""What a worker does for a score: play a shard of episodes, all of them side by side.

A shard's size never depends on the number of workers: arithmetic on a batch of another size may round otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium.vector import VectorEnv, VectorWrapper
from torch import Tensor

from reverie.agent import Agent, FrameWorld, SeenWorld
from reverie.episodes.policies import Policy, make_policy
from reverie.play.loop import Limits, Population, play
from reverie.workers.seeds import generator
from reverie.worlds.registry import base_world, make, most_slots
from reverie.worlds.vector import WorldVectorEnv

SHARD = 10  # episodes


@dataclass(frozen=True)
class AgentShard:
    """Episodes of an agent in `world`, its own or one like it; blinded: it is shown first frames only.

    max_steps: steps after which they are cut, besides the world's cap
    """

    agent: Agent
    world: str
    seeds: tuple[int, ...]
    blinded: bool = False
    max_steps: int | None = None


@dataclass(frozen=True)
class PolicyShard:
    """Episodes of a policy that learned nothing; its own randomness in each is a function of (root, episode's seed)."""

    world: str
    policy: str
    root: int
    seeds: tuple[int, ...]
    max_steps: int | None = None


def play_agent(shard: AgentShard) -> list[float]:
    """The returns of the shard's episodes; each has its own noise for z, a function of its seed."""
    agent = shard.agent
    world: VectorEnv = open_world(shard.world, most_slots(shard.world, len(shard.seeds)))
    env = SeenWorld(Blindfold(world) if shard.blinded else world, agent.senses)
    returns: list[float] = play(env, Population.of(agent), shard.seeds, Limits(shard.max_steps)).returns.tolist()
    return returns


class Blindfold(VectorWrapper):
    """A world that shows each episode's first frame for ever: an agent that used its eyes plays worse in it."""

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        frames, infos = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        mask = (options or {}).get("reset_mask")
        if mask is None:
            self._first = np.array(frames)
        else:
            self._first[mask] = frames[mask]
        return self._first.copy(), infos

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        _, *rest = self.env.step(actions)
        return self._first.copy(), *rest


def play_policy(shard: PolicyShard) -> list[float]:
    """The returns of the shard's episodes."""
    env = FrameWorld(open_world(shard.world, most_slots(shard.world, len(shard.seeds))))
    actor = _Policies(env, shard)
    returns: list[float] = play(env, actor, shard.seeds, Limits(shard.max_steps), watch=actor).returns.tolist()
    return returns


class _Policies:
    """A policy of its own for each episode, made anew when that begins."""

    def __init__(self, env: FrameWorld, shard: PolicyShard) -> None:
        self._actions, self._shard = env.spec.actions, shard
        self._policies: dict[int, Policy] = {}

    def begin(self, episodes: Sequence[int], rows: Sequence[int]) -> None:
        for episode in episodes:
            rng = generator(self._shard.root, "evaluation policy", self._shard.seeds[episode])
            self._policies[episode] = make_policy(self._shard.policy, self._actions, rng)

    def act(self, frames: np.ndarray, episodes: Tensor) -> Tensor:
        pairs = zip(episodes.tolist(), frames, strict=True)
        return torch.from_numpy(np.stack([self._policies[episode].act(frame) for episode, frame in pairs]))

    def step(self, episodes: Sequence[int], actions: np.ndarray, rewards: np.ndarray) -> None:
        pass

    def end(self, episode: int, terminated: bool) -> None:
        pass


_opened: dict[tuple[str, int], WorldVectorEnv] = {}  # this process's world, kept from shard to shard


def open_world(name: str, slots: int) -> WorldVectorEnv:
    """The world as scores mean it: in its official engine, but where its name is that of a variant (EnvPool's car)."""
    if (name, slots) not in _opened:
        close_worlds()
        _opened[name, slots] = make(name, slots, engine="gymnasium" if base_world(name) == name else "auto")
    return _opened[name, slots]


def close_worlds() -> None:
    """Close what this process holds open for its next shard."""
    for world in _opened.values():
        world.close()
    _opened.clear()
