"""M: training at both sizes of the paper, beside torch's own LSTM and the matrix products alone."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from reverie.bench.measuring import Setting, measure_products, median, processes
from reverie.bench.models import PlainMemory, paper, write_latents
from reverie.bench.result import Measured
from reverie.files.metrics import read_metrics
from reverie.hardware import pin_threads
from reverie.memory.config import MemoryConfig
from reverie.memory.train import train_memory
from reverie.vision.latents import Latents
from reverie.workers.memory_watch import MemoryWatch
from reverie.workers.pool import Workers
from reverie.worlds.registry import world_spec
from reverie.worlds.spec import WorldSpec

BATCH, WINDOW = 100, 100
WARM_UP, UPDATES = 2, 4  # updates not counted, and those of each repeat
EPISODES, STEPS = 60, 500


@dataclass(frozen=True)
class TrainTask:
    """What a process is to do: `repeats` times so many updates, once it is warm."""

    folder: Path
    spec: WorldSpec
    config: MemoryConfig
    updates: int
    repeats: int
    threads: int


def train_doom(setting: Setting) -> Measured:
    """512 cells, 64 latents, with the done head."""
    return _measure_training(setting, "doom")


def train_car(setting: Setting) -> Measured:
    """256 cells, 32 latents."""
    return _measure_training(setting, "carracing")


def _measure_training(setting: Setting, world: str) -> Measured:
    spec, config = world_spec(world), paper(world, "dream" if world == "doom" else "world").memory
    config = replace(config, batch_size=setting.amount(BATCH), sequence_length=setting.amount(WINDOW))
    write_latents(setting.folder / "latents", spec, config.latent_size, setting.amount(EPISODES), STEPS)
    task = TrainTask(setting.folder, spec, config, setting.amount(UPDATES), setting.repeats, setting.threads)
    with MemoryWatch() as memory, Workers(1) as pool:
        ours = pool.map(train_rate, [task])[0]
    with Workers(1) as pool:  # a process of its own: ours has changed how memory is freed
        baseline = pool.map(plain_train_rate, [task])[0]
    with Workers(1) as pool:
        products = measure_products(pool, update_products(config), setting.threads, setting.effort)
    return Measured(
        ours=ours,
        baseline=baseline,
        limit=products.passes * config.batch_size * config.sequence_length,
        peak_memory_mb=memory.peak_mb,
        threads=processes(1, setting.threads),
        notes=f"{config.batch_size} streams of {config.sequence_length} steps; limit: the update's matrix products "
        f"alone, {products}",
    )


def update_products(config: MemoryConfig) -> tuple[tuple[int, int, int, int], ...]:
    """The products of an update over L steps of B streams: forward, gradients of h, gradients of weights."""
    batch, steps, hidden = config.batch_size, config.sequence_length, config.hidden_size
    rows, gates, inputs, outputs = batch * steps, 4 * hidden, config.input_size, config.output_size
    return (
        (1, rows, inputs, gates),
        (steps, batch, hidden, gates),
        (1, rows, hidden, outputs),
        (1, rows, outputs, hidden),
        (1, outputs, rows, hidden),
        (steps, batch, gates, hidden),
        (1, gates, rows, inputs + hidden),
    )


def train_rate(task: TrainTask) -> float:
    """Steps a second of `train_memory`, from the rates that it logs.

    For its first 30 seconds the rate in a row is the mean since the start: row k tells when update k was done.
    """
    pin_threads(task.threads)
    updates = WARM_UP + task.updates * task.repeats + 1
    config, folder, latents = (
        replace(task.config, updates=updates),
        task.folder / "memory",
        Latents(task.folder / "latents"),
    )
    train_memory(config, latents, task.spec.actions, folder, seed=0, checkpoint_every=updates)
    rows = read_metrics(folder / "metrics.jsonl")
    # the last row is written after the held-out loss, which the others do without
    marks = [row["step"] / row["updates_per_second"] for row in rows[WARM_UP - 1 : -1]]
    seconds = [later - sooner for sooner, later in pairwise(marks)]
    return config.batch_size * config.sequence_length / statistics.median(seconds)


def plain_train_rate(task: TrainTask) -> float:
    """Steps a second of eager float32 updates through nn.LSTM on latents that are in memory."""
    pin_threads(task.threads)
    config = task.config
    model = PlainMemory(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    shape = (config.batch_size, config.sequence_length)
    x, done = torch.randn(*shape, config.input_size), torch.zeros(shape)
    mu, std = torch.randn(*shape, config.latent_size), torch.full((*shape, config.latent_size), 0.4)

    updates = -(-task.updates // 2)  # it is slower

    def steps_per_second() -> float:
        begun = time.perf_counter()
        for _ in range(updates):
            optimizer.zero_grad()
            model.loss(model(x)[0], mu + std * torch.randn_like(mu), done).backward()
            torch.nn.utils.clip_grad_value_(model.parameters(), 1.0)
            optimizer.step()
        return updates * int(np.prod(shape)) / (time.perf_counter() - begun)

    return median(steps_per_second, task.repeats)
