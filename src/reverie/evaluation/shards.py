"""What a worker does for a score: play a shard of episodes, all of them side by side.

A shard's size never depends on the number of workers: arithmetic on a batch of another size may round otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper

from reverie.agent import Agent, SeenWorld
from reverie.episodes.policies import Policy, make_policy
from reverie.errors import ReverieError
from reverie.play import play
from reverie.workers.seeds import generator
from reverie.worlds.registry import make
from reverie.worlds.vector import WorldDiedError, WorldVectorEnv

SHARD = 10  # episodes


@dataclass(frozen=True)
class AgentShard:
    """Episodes of an agent in `world`, its own or one like it; blinded: it is shown first frames only."""

    agent: Agent
    world: str
    seeds: tuple[int, ...]
    blinded: bool = False


@dataclass(frozen=True)
class PolicyShard:
    """Episodes of a policy that learned nothing; its own randomness in each is a function of (root, episode's seed)."""

    world: str
    policy: str
    root: int
    seeds: tuple[int, ...]


def play_agent(shard: AgentShard) -> list[float]:
    """The returns of the shard's episodes; each has its own noise for z, a function of its seed."""
    agent, seeds = shard.agent, shard.seeds
    world: VectorEnv = open_world(shard.world, len(seeds))
    seen = SeenWorld(Blindfold(world) if shard.blinded else world, agent.senses, seed=0)
    params = np.repeat(agent.params.cpu().numpy(), len(seeds), axis=0)
    returns: list[float] = play(seen, agent.controller, params, seeds).returns.tolist()
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
    """The returns of the shard's episodes; one whose environment dies is played again."""
    world = open_world(shard.world, len(shard.seeds))
    try:
        return _play_policies(world, shard)
    except WorldDiedError as death:
        raise ReverieError(f"{death}; fresh environments died too: check that the world runs by itself") from death


def _play_policies(world: WorldVectorEnv, shard: PolicyShard) -> list[float]:
    frames, _ = world.reset(seed=list(shard.seeds))
    policies = [_policy(world, shard, seed) for seed in shard.seeds]
    totals = np.zeros(len(policies))
    live = np.ones(len(policies), bool)
    actions = np.zeros(world.action_space.shape or (), np.float32)
    while live.any():
        for slot in np.flatnonzero(live):
            actions[slot] = policies[slot].act(frames[slot])
        frames, rewards, terminated, truncated, infos = world.step(actions)
        totals += rewards
        live = ~(terminated | truncated)
        died = infos["died"]
        if died.any():
            frames, _ = world.reset(seed=list(shard.seeds), options={"reset_mask": died})
            totals[died], live[died] = 0, True
            policies = [_policy(world, shard, shard.seeds[i]) if died[i] else p for i, p in enumerate(policies)]
    return totals.tolist()


def _policy(world: WorldVectorEnv, shard: PolicyShard, seed: int) -> Policy:
    return make_policy(shard.policy, world.world_spec.actions, generator(shard.root, "evaluation policy", seed))


_opened: dict[tuple[str, int], WorldVectorEnv] = {}  # this process's world, kept from shard to shard


def open_world(name: str, slots: int) -> WorldVectorEnv:
    """The world as scores mean it: the car is always Gymnasium's, never EnvPool's faster copy."""
    if (name, slots) not in _opened:
        close_worlds()
        _opened[name, slots] = make(name, slots, engine="gymnasium" if name == "carracing" else "auto")
    return _opened[name, slots]


def close_worlds() -> None:
    """Close what this process holds open for its next shard."""
    for world in _opened.values():
        world.close()
    _opened.clear()
