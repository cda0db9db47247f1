"""Real environments: agents playing through V, M and C, and random rollouts to disk, beside the environments alone."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from reverie.bench.measuring import Setting, median, processes
from reverie.bench.models import candidates, make_env, paper
from reverie.bench.plain_rollouts import PlainTask, collect_rate, world_rate
from reverie.bench.result import Measured
from reverie.episodes.config import CollectConfig
from reverie.episodes.store import Store
from reverie.learning.cmaes import CANDIDATES_PER_TASK
from reverie.play.candidates import returns_of
from reverie.play.collect import BLOCK_EPISODES, SLOTS, collect
from reverie.play.env_spec import ENVS_PER_WORKER
from reverie.recipe.presets import make_experiment
from reverie.workers.memory_watch import MemoryWatch
from reverie.workers.pool import Workers
from reverie.worlds.registry import make, world_spec
from reverie.worlds.vector import WorldVectorEnv

HOLD = 8  # steps for which random actions are held where environments are stepped alone


@dataclass(frozen=True)
class EnvironmentTask:
    """Environments to be stepped by random actions, with no model: `slots` side by side, `steps` each."""

    world: str
    slots: int
    steps: int


def play_car(setting: Setting) -> Measured:
    """CarRacing in EnvPool, where it is installed."""
    return measure_playing(
        setting, "carracing", max_steps=setting.amount(80), episodes=2, plain_steps=setting.amount(80, 2)
    )


def play_doom(setting: Setting) -> Measured:
    """Take Cover; short enough that hardly a game ends early."""
    return measure_playing(
        setting, "doom", max_steps=setting.amount(100), episodes=2, plain_steps=setting.amount(300, 2)
    )


def measure_playing(setting: Setting, world: str, max_steps: int, episodes: int, plain_steps: int) -> Measured:
    experiment = paper(world, "world")
    env = make_env(setting.folder, experiment, max_steps)
    chunk = CANDIDATES_PER_TASK if setting.effort >= 1 else 2
    params = candidates(env, chunk * setting.workers)

    def ours(pool: Workers) -> float:
        begun = time.perf_counter()
        tried = returns_of(env, params, range(episodes), pool, (chunk, episodes))
        return float(tried.steps.sum()) / (time.perf_counter() - begun)

    alone = [EnvironmentTask(world, min(ENVS_PER_WORKER, chunk * episodes), max_steps)] * setting.workers
    plain = PlainTask(env.spec, experiment.memory, experiment.controller, plain_steps)
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


@lru_cache(maxsize=1)
def open_alone(world: str, slots: int) -> WorldVectorEnv:
    """This process's world, kept from repeat to repeat."""
    return make(world, slots)


def environment_rate(task: EnvironmentTask) -> float:
    """Steps a second of the environments alone, their first resets not counted."""
    worlds = open_alone(task.world, task.slots)
    worlds.reset(seed=0)
    rng, begun = np.random.default_rng(0), time.perf_counter()
    for step in range(task.steps):
        if step % HOLD == 0:
            actions = rng.uniform(-1, 1, worlds.action_space.shape or ()).astype(np.float32)
        _, _, terminated, truncated, _ = worlds.step(actions)
        if (terminated | truncated).any():
            worlds.reset(options={"reset_mask": terminated | truncated})
    return task.slots * task.steps / (time.perf_counter() - begun)


def collect_doom(setting: Setting) -> Measured:
    """Take Cover, with the standard preset's policies."""
    return measure_collecting(setting, "doom", blocks=2, steps=400)


def collect_car(setting: Setting) -> Measured:
    """CarRacing in EnvPool, where it is installed."""
    return measure_collecting(setting, "carracing", blocks=1, steps=250)


def measure_collecting(setting: Setting, world: str, blocks: int, steps: int) -> Measured:
    """`blocks` blocks of episodes for each worker, at most `steps` steps each."""
    episodes = setting.workers * (blocks * BLOCK_EPISODES if setting.effort >= 1 else 1)
    config = CollectConfig(
        episodes, setting.amount(steps), policies=make_experiment(world, "standard").collect.policies
    )
    spec, folders = world_spec(world), (setting.folder / str(number) for number in itertools.count())

    def ours(pool: Workers) -> float:
        done = collect(world, Store(next(folders)), config, seed=0, workers=pool)
        return done.frames / done.seconds

    def plain(folder: Path) -> PlainTask:
        folder.mkdir()
        sizes = make_experiment(world, "paper")
        return PlainTask(spec, sizes.memory, sizes.controller, setting.amount(steps), folder=folder)

    with MemoryWatch() as memory, Workers(setting.workers) as pool:
        figure = median(lambda: ours(pool), setting.repeats)
        size = sum(entry.size for entry in Store(setting.folder / "0").entries)
        stored = Store(setting.folder / "0").total_frames
    alone = [EnvironmentTask(world, SLOTS, setting.amount(2 * steps))] * setting.workers
    with Workers(setting.workers) as pool:
        limit = median(lambda: sum(pool.map(environment_rate, alone)), setting.repeats)
    with Workers(1) as pool:
        baseline = median(lambda: pool.map(collect_rate, [plain(next(folders))])[0], setting.repeats)
    return Measured(
        ours=figure,
        baseline=baseline,
        limit=limit,
        peak_memory_mb=memory.peak_mb,
        threads=f"{processes(setting.workers)}; baseline {processes(1)}",
        even=setting.workers,
        notes=f"{size / stored:,.0f} bytes a frame; limit: the environments alone; baseline: {PLAIN_ENGINE[world]}, "
        "np.savez_compressed",
    )
