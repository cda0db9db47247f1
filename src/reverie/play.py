"""Playing many episodes over a few sub-environments: one that finishes takes the next episode."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from reverie.controller.model import Controller
from reverie.errors import ReverieError
from reverie.worlds.vector import WorldDiedError

TRIES = 3


class Played(NamedTuple):
    """What J episodes brought: returns float64 [J], lengths in steps int64 [J]."""

    returns: np.ndarray
    steps: np.ndarray


@torch.inference_mode()
def play(
    world: VectorEnv,
    controller: Controller,
    params: np.ndarray,
    seeds: Sequence[int],
    max_steps: int | None = None,
    patience: int | None = None,
    full_length: int | None = None,
) -> Played:
    """Play episode j with the candidate params[j] (of [J, n]) on seeds[j], in a world of C's features.

    max_steps cuts an episode off; patience gives it up after so many steps without a positive reward. Both keep the
    return so far; with `full_length`, one that is given up counts as if those steps went on, on average, to there. An
    episode whose environment dies is played again; after 3 deaths it raises `ReverieError`.
    """
    table = _Table(len(seeds), world.num_envs)
    weights = torch.as_tensor(np.asarray(params, np.float32))
    seen = _begin(world, table, seeds, np.ones(world.num_envs, bool), None)
    while (table.job >= 0).any():
        actions = controller.act(weights[table.job], torch.from_numpy(seen)[:, None])[:, 0]
        try:
            seen, rewards, terminated, truncated, infos = world.step(actions.numpy())
        except WorldDiedError as death:
            raise _lost(death) from death
        table.count(rewards)
        died = infos.get("died", np.zeros(world.num_envs, bool)) & (table.job >= 0)
        for slot in np.flatnonzero(died):
            table.redo(int(slot), seeds)
        over = terminated | truncated | table.cut_off(max_steps)
        given_up = table.given_up(patience) & ~over
        if full_length is not None:
            table.extrapolate(given_up & (table.job >= 0), full_length)
        over |= given_up
        free = (table.job >= 0) & (over | died)
        if free.any():
            seen = _begin(world, table, seeds, free, seen)
    return Played(table.returns, table.steps)


def _begin(
    world: VectorEnv, table: _Table, seeds: Sequence[int], free: np.ndarray, seen: np.ndarray | None
) -> np.ndarray:
    """Give waiting episodes to the `free` slots and reset those (all of them, the first time); the features [n, F]."""
    taken = table.deal(free)
    if seen is not None and not taken.any():
        return seen
    slot_seeds = [seeds[job] for job in table.job]  # an idle slot's job is -1: any seed will do
    options = None if seen is None else {"reset_mask": taken}
    try:
        return np.asarray(world.reset(seed=slot_seeds, options=options)[0])  # type: ignore[arg-type]
    except WorldDiedError as death:
        raise _lost(death) from death


def _lost(death: WorldDiedError) -> ReverieError:
    return ReverieError(f"{death}; it died {TRIES} times in a row, so try the world by itself on that seed")


class _Table:
    """Which episode each slot plays (`job` int [n], -1 where idle) and what the episodes have brought."""

    def __init__(self, jobs: int, slots: int) -> None:
        self.waiting = deque(range(jobs))
        self.job = np.full(slots, -1)
        self.returns, self.steps = np.zeros(jobs), np.zeros(jobs, np.int64)
        self.idle_steps = np.zeros(jobs, np.int64)  # since the last positive reward
        self.idle_returns = np.zeros(jobs)  # the rewards of those
        self.deaths = np.zeros(jobs, np.int64)

    def deal(self, free: np.ndarray) -> np.ndarray:
        """The next waiting episodes go to `free` slots, bool [n]; returns those that got one."""
        self.job[free] = -1
        for slot in np.flatnonzero(free)[: len(self.waiting)]:
            self.job[slot] = self.waiting.popleft()
        return free & (self.job >= 0)

    def count(self, rewards: np.ndarray) -> None:
        """Add a step's rewards [n]."""
        playing = self.job >= 0
        job, reward = self.job[playing], rewards[playing]
        self.returns[job] += reward
        self.steps[job] += 1
        self.idle_steps[job] = np.where(reward > 0, 0, self.idle_steps[job] + 1)
        self.idle_returns[job] = np.where(reward > 0, 0, self.idle_returns[job] + reward)

    def cut_off(self, max_steps: int | None) -> np.ndarray:
        """Slots whose episode is as long as it may be, bool [n]."""
        return self.steps[self.job] >= (np.inf if max_steps is None else max_steps)

    def given_up(self, patience: int | None) -> np.ndarray:
        """Slots whose episode has brought nothing for too long, bool [n]."""
        return self.idle_steps[self.job] >= (np.inf if patience is None else patience)

    def extrapolate(self, slots: np.ndarray, length: int) -> None:
        """Let the idle steps of the episodes in `slots` (bool [n]) go on, on average, until step `length`."""
        job = self.job[slots]
        self.returns[job] += self.idle_returns[job] / self.idle_steps[job] * (length - self.steps[job]).clip(0)

    def redo(self, slot: int, seeds: Sequence[int]) -> None:
        """Put the episode of a slot that died back in front of the others, as if it had not begun."""
        job = self.job[slot]
        self.deaths[job] += 1
        if self.deaths[job] >= TRIES:
            died = f"the world died {TRIES} times in the episode with seed {seeds[job]}"
            raise ReverieError(f"{died}; try the world by itself on that seed")
        self.returns[job] = self.steps[job] = self.idle_steps[job] = self.idle_returns[job] = 0
        self.waiting.appendleft(job)
