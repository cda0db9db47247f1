"""Dreams: a whole population's steps a second as `evolve` has them, beside M's matrix products alone."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import torch

from reverie.bench.models import candidates, make_arena, paper
from reverie.bench.plain_play import PlainTask, dream_rate
from reverie.bench.products import measure_products
from reverie.bench.result import Measured
from reverie.bench.timing import Setting, median, processes
from reverie.dream.engine import Dreams
from reverie.errors import ReverieError
from reverie.learning.arena import Arena, open_dream
from reverie.learning.evolution_config import EvolutionConfig
from reverie.learning.fitness import Task, returns_of
from reverie.memory.config import MemoryConfig
from reverie.recipe.experiment import Experiment
from reverie.workers.memory_watch import MemoryWatch
from reverie.workers.pool import Workers

STEPS = 150  # of each dream where none ends
MEAN_LENGTH, LONGEST = 120, 500  # of dreams that end: as 500 and 2,100, in less time
PLAIN_STEPS = 1500


def doom(setting: Setting) -> Measured:
    """512 cells, 64 candidates x 16 episodes."""
    return _full(setting, paper("doom", "dream"))


def car(setting: Setting) -> Measured:
    """256 cells, 64 candidates x 16 episodes."""
    return _full(setting, paper("carracing", "dream"))


def live(setting: Setting) -> Measured:
    """A population whose dreams end: its live steps beside those of one in which none ends.

    The baseline simulates every dream to the end of the longest beside it.
    """
    experiment = paper("doom", "dream")
    ending = make_arena(setting.folder / "ending", experiment, LONGEST, -math.log(MEAN_LENGTH - 1))
    endless = make_arena(setting.folder / "endless", experiment, setting.amount(STEPS))
    with MemoryWatch() as memory, Workers(setting.workers) as pool:
        ours = median(lambda: generation_rate(ending, pool, setting), setting.repeats)
        batch = median(lambda: generation_rate(endless, pool, setting), setting.repeats)
        kept = sum(pool.map(undropped_rate, [_shard(ending, setting)] * setting.workers))
    return Measured(
        ours=ours,
        baseline=kept,
        limit=batch,
        peak_memory_mb=memory.peak_mb,
        threads=processes(setting.workers),
        notes=f"dreams of {MEAN_LENGTH} steps on average, {LONGEST} at most; limit: none ends; baseline: those that "
        "ended are simulated on until the last one of their batch has ended",
    )


def two_workers(setting: Setting) -> Measured:
    """The same generation by two worker processes and by one."""
    if setting.workers < 2:
        raise ReverieError("needs two cores; this process may use 1")
    arena = make_arena(setting.folder, paper("doom", "dream"), setting.amount(STEPS))
    with MemoryWatch() as memory, Workers(2) as pool:
        two = median(lambda: generation_rate(arena, pool, setting), setting.repeats)
    with Workers(1) as pool:
        one = median(lambda: generation_rate(arena, pool, setting), setting.repeats)
    return Measured(
        ours=two,
        baseline=one,
        limit=2 * one,
        peak_memory_mb=memory.peak_mb,
        threads=f"{processes(2)}; baseline {processes(1)}",
        even=2,
        notes="Doom's dream; baseline: one worker; limit: twice that",
    )


def _full(setting: Setting, experiment: Experiment) -> Measured:
    """A population of whose dreams none ends."""
    arena = make_arena(setting.folder, experiment, setting.amount(STEPS))
    plain = PlainTask(
        arena.spec, experiment.memory, experiment.controller, setting.amount(PLAIN_STEPS), arena.dream.temperature
    )
    with MemoryWatch() as memory, Workers(setting.workers) as pool:
        ours = median(lambda: generation_rate(arena, pool, setting), setting.repeats)
    with Workers(setting.workers) as pool:
        rows = _rows(setting)
        products = measure_products(pool, step_products(experiment.memory, rows), 1, setting.effort)
        baseline = median(lambda: pool.map(dream_rate, [plain])[0], setting.repeats)
    return Measured(
        ours=ours,
        baseline=baseline,
        limit=products.passes * rows,
        peak_memory_mb=memory.peak_mb,
        threads=f"{processes(setting.workers)}; baseline {processes(1)}",
        even=setting.workers,
        notes=f"{rows} dreams side by side; limit: M's matrix products alone, {products}",
    )


def generation_rate(arena: Arena, pool: Workers, setting: Setting) -> float:
    """Steps a second of one generation, the way `evolve` spreads it."""
    config = _population(setting)
    params, seeds = candidates(arena, config.population), range(config.rollouts)
    begun = time.perf_counter()
    tried = returns_of(arena, params, seeds, pool, (config.shard, config.rollouts))
    return float(tried.steps.sum()) / (time.perf_counter() - begun)


@torch.inference_mode()
def undropped_rate(task: Task) -> float:
    """Live steps a second where no dream is dropped before the last one of its batch ends."""
    engine = open_dream(task.arena)
    dreams = Dreams(engine, task.params, task.seeds)
    live = torch.ones(dreams.rows.count, dtype=torch.bool)
    steps, begun = 0, time.perf_counter()
    for _ in range(engine.max_steps):
        steps += int(live.sum())
        live &= ~dreams.step()[2]
        if not live.any():
            break
    return steps / (time.perf_counter() - begun)


def step_products(config: MemoryConfig, rows: int) -> tuple[tuple[int, int, int, int], ...]:
    """The two products of a step of `rows` dreams: [h, z, a, restart] to the gates, h to the outputs."""
    hidden = config.hidden_size
    return (1, rows, hidden + config.input_size, 4 * hidden), (1, rows, hidden, config.output_size)


def _population(setting: Setting) -> EvolutionConfig:
    """The paper's 64 x 16; tests ask for fewer candidates, in as many tasks."""
    config = EvolutionConfig()
    shard = setting.amount(config.shard)
    return replace(config, population=shard * (config.population // config.shard), shard=shard)


def _rows(setting: Setting) -> int:
    config = _population(setting)
    return config.shard * config.rollouts


def _shard(arena: Arena, setting: Setting) -> Task:
    config = _population(setting)
    return Task(arena, candidates(arena, config.shard), tuple(range(config.rollouts)))
