"""Figures of docs/dream.md: dream steps a second beside the matrix products alone, in the same processes.

python benchmarks/dream.py                    two sizes, as many processes as cores, 32 candidates x 16 episodes each
python benchmarks/dream.py --workers 1 --eager
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.dreaming.config import DreamConfig
from reverie.dreaming.engine import DreamEngine, Dreams, dream_returns
from reverie.dreaming.starts import Starts
from reverie.hardware import core_count
from reverie.memory.config import MemoryConfig
from reverie.memory.model import MDNRNN
from reverie.worlds.spec import ActionSpec, WorldSpec

CANDIDATES, EPISODES = 32, 16
REPEATS, STEPS = 9, 40
NEVER, LENGTH = -30.0, 500  # a done logit that ends nothing; the mean length of the dreams of "a population"


@dataclass(frozen=True)
class Figures:
    """Of one process: rates a second, medians over repeats."""

    full: float  # steps, no dream ever ending
    products: float  # what M's two matrix products alone would allow
    live: float  # steps of dreams that end after `LENGTH` steps on average, each dropped as it ends
    alone: float  # steps of one dream alone by MDNRNN.step, eager float32
    cores: float  # seconds of processor for each second that passed: below 1, others took the rest


def engine_of(size: str, eager: bool, done_logit: float) -> DreamEngine:
    """An untrained M of the paper's size, whose dreams end with a constant probability at each step."""
    doom = size == "doom"
    sizes = (64, 1, 512, 5, True, True) if doom else (32, 3, 256, 5, False, True, True)
    memory = MDNRNN(MemoryConfig(*sizes))
    with torch.no_grad():
        memory.head_weight[memory.config.mixture_size] = 0
        memory.head_bias[memory.config.mixture_size] = done_logit
    actions = ActionSpec("three-way", 1) if doom else ActionSpec("driving", 3)
    spec = WorldSpec(size, actions, "survival" if doom else "predicted", 2100)
    config = ControllerConfig(features="zch", bias=False) if doom else ControllerConfig()
    shape = Controller(config, config.feature_size(memory.config.latent_size, memory.config.hidden_size), actions)
    zeros = np.zeros((1, memory.config.latent_size), np.float32)
    return DreamEngine(memory, shape, Starts(zeros, zeros), spec, DreamConfig(1.15, "sample"), compiled=not eager)


def seconds(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median time of a call, after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def candidates(engine: DreamEngine) -> np.ndarray:
    """A population as CMA-ES starts it."""
    return np.random.default_rng(0).standard_normal((CANDIDATES, engine.controller.parameter_count)) * 0.1


@torch.inference_mode()
def measure(task: tuple[str, bool]) -> Figures:
    """All figures of one process."""
    size, eager = task
    wall, processor = time.perf_counter(), time.process_time()
    engine, rows = engine_of(size, eager, NEVER), CANDIDATES * EPISODES
    dreams, memory = Dreams(engine, candidates(engine), range(EPISODES)), engine.memory
    x = torch.randn(rows, memory.gates.shape[1]).to(memory.dtype)
    h = x[:, : memory.config.hidden_size]
    gates, outputs = x.new_empty(rows, len(memory.gates)), x.new_empty(rows, len(memory.head))

    def products() -> tuple[torch.Tensor, torch.Tensor]:
        return torch.mm(x, memory.gates.t(), out=gates), torch.mm(h, memory.head.t(), out=outputs)

    full = seconds(lambda: [dreams.step() for _ in range(STEPS)]) / STEPS
    limit = seconds(lambda: [products() for _ in range(STEPS)]) / STEPS
    population = engine_of(size, eager, -float(np.log(LENGTH - 1)))
    start = time.perf_counter()
    _, lengths = dream_returns(population, candidates(population), range(EPISODES))
    live = lengths.sum() / (time.perf_counter() - start)
    cores = (time.process_time() - processor) / (time.perf_counter() - wall)
    return Figures(rows / full, rows / limit, float(live), alone(size), cores)


def alone(size: str) -> float:
    """Steps a second of one dream: a batch of one, eager, float32, by MDNRNN.step."""
    config = engine_of(size, True, NEVER).memory.config
    memory = MDNRNN(config)
    z, a, restart = torch.zeros(1, config.latent_size), torch.zeros(1, config.action_size), torch.zeros(1)
    state = memory.initial_state(1)
    return STEPS / seconds(lambda: [memory.step(state, z, a, restart) for _ in range(STEPS)])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=core_count())
    parser.add_argument("--eager", action="store_true", help="without the compiled kernel")
    words = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f} on {core_count()} cores; {words.workers} processes")
    print(
        "| size | steps/s | matrix products alone | share | a population, live steps/s | of steps/s | one dream alone |"
    )
    context = get_context("spawn")
    with ProcessPoolExecutor(words.workers, context, torch.set_num_threads, (1,)) as workers:
        for size in ("doom", "carracing"):
            every = list(workers.map(measure, [(size, words.eager)] * words.workers))
            full, products, live, one = (
                sum(getattr(figures, name) for figures in every) for name in ("full", "products", "live", "alone")
            )
            print(f"| {size} | {full:,.0f} | {products:,.0f} | {full / products:.0%} ", end="")
            print(f"| {live:,.0f} | {live / full:.0%} | {one:,.0f} |")
            if min(figures.cores for figures in every) < 0.9:
                print("busy: other programs took part of these cores; repeat on a quiet machine")


if __name__ == "__main__":
    main()
