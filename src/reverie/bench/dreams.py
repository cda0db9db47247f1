"""Dreams: a whole population's steps a second as `evolve` has them, beside M's matrix products alone."""

from __future__ import annotations

import math
import time

import torch

from reverie.bench.measuring import Setting, measure_products, median, processes
from reverie.bench.models import candidates, make_env, paper
from reverie.bench.plain_rollouts import PlainTask, dream_rate
from reverie.bench.result import Measured
from reverie.dream.engine import Dream
from reverie.errors import ReverieError
from reverie.learning.cmaes import CANDIDATES_PER_TASK
from reverie.learning.config import CMAESConfig
from reverie.memory.config import MemoryConfig
from reverie.play.candidates import Task, returns_of
from reverie.play.env_spec import EnvSpec
from reverie.play.loop import Population
from reverie.recipe.experiment import Experiment
from reverie.workers.memory_watch import MemoryWatch
from reverie.workers.pool import Workers

STEPS = 150  # of each dream where none ends
MEAN_LENGTH, LONGEST = 120, 500  # of dreams that end: as 500 and 2,100, in less time
PLAIN_STEPS = 1500


def doom(setting: Setting) -> Measured:
    """512 cells, 64 candidates x 16 episodes."""
    return _measure_population(setting, paper("doom", "dream"))


def car(setting: Setting) -> Measured:
    """256 cells, 64 candidates x 16 episodes."""
    return _measure_population(setting, paper("carracing", "dream"))


def live(setting: Setting) -> Measured:
    """A population whose dreams end: its live steps beside those of one in which none ends.

    The baseline simulates every dream to the end of the longest beside it.
    """
    experiment = paper("doom", "dream")
    ending = make_env(setting.folder / "ending", experiment, LONGEST, -math.log(MEAN_LENGTH - 1))
    endless = make_env(setting.folder / "endless", experiment, setting.amount(STEPS))
    with MemoryWatch() as memory, Workers(setting.workers) as pool:
        ours = median(lambda: generation_rate(ending, pool, setting), setting.repeats)
        batch = median(lambda: generation_rate(endless, pool, setting), setting.repeats)
        undropped = sum(pool.map(undropped_rate, [_one_task(ending, setting)] * setting.workers))
    return Measured(
        ours=ours,
        baseline=undropped,
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
    env = make_env(setting.folder, paper("doom", "dream"), setting.amount(STEPS))
    with MemoryWatch() as memory, Workers(2) as pool:
        two = median(lambda: generation_rate(env, pool, setting), setting.repeats)
    with Workers(1) as pool:
        one = median(lambda: generation_rate(env, pool, setting), setting.repeats)
    return Measured(
        ours=two,
        baseline=one,
        limit=2 * one,
        peak_memory_mb=memory.peak_mb,
        threads=f"{processes(2)}; baseline {processes(1)}",
        even=2,
        notes="Doom's dream; baseline: one worker; limit: twice that",
    )


def _measure_population(setting: Setting, experiment: Experiment) -> Measured:
    """A population of whose dreams none ends."""
    env = make_env(setting.folder, experiment, setting.amount(STEPS))
    plain = PlainTask(
        env.spec, experiment.memory, experiment.controller, setting.amount(PLAIN_STEPS), env.dream.temperature
    )
    with MemoryWatch() as memory, Workers(setting.workers) as pool:
        ours = median(lambda: generation_rate(env, pool, setting), setting.repeats)
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


def generation_rate(env: EnvSpec, pool: Workers, setting: Setting) -> float:
    """Steps a second of one generation, the way `evolve` spreads it."""
    chunk, episodes = _chunk(setting)
    tasks = CMAESConfig().population // CANDIDATES_PER_TASK
    params, begun = candidates(env, tasks * chunk), time.perf_counter()
    tried = returns_of(env, params, range(episodes), pool, (chunk, episodes))
    return float(tried.steps.sum()) / (time.perf_counter() - begun)


@torch.inference_mode()
def undropped_rate(task: Task) -> float:
    """Live steps a second where no dream is dropped before the last one of its batch ends."""
    (engine,), seeds = task.env.engines(), list(task.seeds) * len(task.params)
    dream, episodes = Dream(engine, len(seeds), share_noise=True), torch.arange(len(seeds))
    actor = Population(task.env.controller_shape(), task.params, episodes.numpy() // len(task.seeds))
    live = torch.ones(len(seeds), dtype=torch.bool)
    dream.begin(episodes, seeds)
    steps, begun = 0, time.perf_counter()
    for _ in range(LONGEST):
        steps += int(live.sum())
        live &= ~dream.step(actor.act(dream.observe(), episodes)).terminated
        if not live.any():
            break
    return steps / (time.perf_counter() - begun)


def step_products(config: MemoryConfig, rows: int) -> tuple[tuple[int, int, int, int], ...]:
    """The two products of a step of `rows` dreams: [h, z, a, restart] to the gates, h to the outputs."""
    hidden = config.hidden_size
    return (1, rows, hidden + config.input_size, 4 * hidden), (1, rows, hidden, config.output_size)


def _chunk(setting: Setting) -> tuple[int, int]:
    """Candidates and episodes of a task: the paper's 16 episodes; tests ask for fewer candidates."""
    return setting.amount(CANDIDATES_PER_TASK), CMAESConfig().episodes


def _rows(setting: Setting) -> int:
    chunk, episodes = _chunk(setting)
    return chunk * episodes


def _one_task(env: EnvSpec, setting: Setting) -> Task:
    chunk, episodes = _chunk(setting)
    return Task(env, candidates(env, chunk), tuple(range(episodes)))
