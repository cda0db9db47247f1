"""Random rollouts to disk: frames a second beside the environments alone."""

from __future__ import annotations

import itertools
from pathlib import Path

from reverie.bench.plain_play import PlainTask, collect_rate
from reverie.bench.played import PLAIN_ENGINE, Alone, environment_rate
from reverie.bench.result import Measured
from reverie.bench.timing import Setting, median, processes
from reverie.episodes.collect import BLOCK_EPISODES, SLOTS, collect
from reverie.episodes.config import CollectConfig
from reverie.episodes.store import Store
from reverie.recipe.presets import make_experiment
from reverie.workers.memory_watch import MemoryWatch
from reverie.workers.pool import Workers
from reverie.worlds.registry import world_spec


def doom(setting: Setting) -> Measured:
    """Take Cover, with the standard preset's policies."""
    return _collected(setting, "doom", blocks=2, steps=400)


def car(setting: Setting) -> Measured:
    """CarRacing in EnvPool, where it is installed."""
    return _collected(setting, "carracing", blocks=1, steps=250)


def _collected(setting: Setting, world: str, blocks: int, steps: int) -> Measured:
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
    alone = [Alone(world, SLOTS, setting.amount(2 * steps))] * setting.workers
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
