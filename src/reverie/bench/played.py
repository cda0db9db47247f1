"""A population in the real world, through V, M and C: steps a second beside the environments alone."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from reverie.bench.models import candidates, make_arena, paper
from reverie.bench.plain_play import PlainTask, world_rate
from reverie.bench.result import Measured
from reverie.bench.timing import Setting, median, processes
from reverie.learning.fitness import returns_of
from reverie.workers.memory_watch import MemoryWatch
from reverie.workers.pool import Workers
from reverie.worlds.registry import make
from reverie.worlds.vector import WorldVectorEnv

HOLD = 8  # steps for which random actions are held where environments are stepped alone


@dataclass(frozen=True)
class Alone:
    """Environments to be stepped by random actions, with no model: `slots` side by side, `steps` each."""

    world: str
    slots: int
    steps: int


def car(setting: Setting) -> Measured:
    """CarRacing in EnvPool, where it is installed."""
    return _played(setting, "carracing", max_steps=setting.amount(80), rollouts=2, plain_steps=setting.amount(80, 2))


def doom(setting: Setting) -> Measured:
    """Take Cover; short enough that hardly a game ends early."""
    return _played(setting, "doom", max_steps=setting.amount(100), rollouts=2, plain_steps=setting.amount(300, 2))


def _played(setting: Setting, world: str, max_steps: int, rollouts: int, plain_steps: int) -> Measured:
    experiment = paper(world, "world")
    arena = make_arena(setting.folder, experiment, max_steps)
    shard = experiment.evolution.shard if setting.effort >= 1 else 2
    params = candidates(arena, shard * setting.workers)

    def ours(pool: Workers) -> float:
        begun = time.perf_counter()
        tried = returns_of(arena, params, range(rollouts), pool, (shard, rollouts))
        return float(tried.steps.sum()) / (time.perf_counter() - begun)

    alone = [Alone(world, min(arena.slots, shard * rollouts), max_steps)] * setting.workers
    plain = PlainTask(arena.spec, experiment.memory, experiment.controller, plain_steps)
    with MemoryWatch() as memory, Workers(setting.workers) as pool:
        figure = median(lambda: ours(pool), setting.repeats)
    with Workers(setting.workers) as pool:
        limit = median(lambda: sum(pool.map(environment_rate, alone)), setting.repeats)
    with Workers(1) as pool:
        baseline = median(lambda: pool.map(world_rate, [plain])[0], setting.repeats)
    return Measured(
        ours=figure,
        baseline=baseline,
        limit=limit,
        peak_memory_mb=memory.peak_mb,
        threads=f"{processes(setting.workers)}; baseline {processes(1)}",
        even=setting.workers,
        notes="limit: the environments alone; baseline: " + PLAIN_ENGINE[world],
    )


PLAIN_ENGINE = {"carracing": "Gymnasium's CarRacing-v3", "doom": "ViZDoom at 640x480"}

_opened: dict[tuple[str, int], WorldVectorEnv] = {}  # this process's world, kept from repeat to repeat


def environment_rate(task: Alone) -> float:
    """Steps a second of the environments alone, their first resets not counted."""
    key = task.world, task.slots
    if key not in _opened:
        _opened[key] = make(*key)
    worlds = _opened[key]
    worlds.reset(seed=0)
    rng, begun = np.random.default_rng(0), time.perf_counter()
    for step in range(task.steps):
        if step % HOLD == 0:
            actions = rng.uniform(-1, 1, worlds.action_space.shape or ()).astype(np.float32)
        _, _, terminated, truncated, _ = worlds.step(actions)
        if (terminated | truncated).any():
            worlds.reset(options={"reset_mask": terminated | truncated})
    return task.slots * task.steps / (time.perf_counter() - begun)
