"""V: training from a store on disk, and encoding a store to latents, disk to disk."""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from reverie.bench.measuring import LARGE, Setting, measure_products, median, processes
from reverie.bench.models import PlainVision
from reverie.bench.result import Measured
from reverie.episodes.episode import Episode
from reverie.episodes.store import Store
from reverie.hardware import keep_freed_memory, pin_threads
from reverie.vision.batches import FrameBatches
from reverie.vision.config import VisionConfig
from reverie.vision.encode import encode_store
from reverie.vision.model import ConvVAE
from reverie.vision.train import train_vision
from reverie.workers.memory_watch import MemoryWatch
from reverie.workers.pool import Workers

LATENT_SIZE, BATCH = 64, 100
WARM_UP, UPDATES = 6, 12  # updates not counted, and those of each repeat


@dataclass(frozen=True)
class VisionTask:
    """What a process is to do `repeats` times, once it is warm: so many updates, or the whole store."""

    folder: Path
    updates: int
    repeats: int
    threads: int


def train(setting: Setting) -> Measured:
    """The paper's V of 64 latents, batches of 100 from the disk."""
    write_frames(setting.folder / "store", setting.amount(40), 250)
    task = VisionTask(setting.folder, setting.amount(UPDATES), setting.repeats, setting.threads)
    with MemoryWatch() as memory, Workers(1) as pool:
        ours, waited = pool.map(train_rate, [task])[0]
    with Workers(1) as pool:  # a process of its own: ours has changed how memory is freed
        baseline = pool.map(plain_train_rate, [task])[0]
    return _measured(setting, ours, baseline, memory.peak_mb, flop(training=True), f"waited for frames {waited:.1%}")


def encode(setting: Setting) -> Measured:
    """Episodes of 250 frames to mu and logvar."""
    write_frames(setting.folder / "store", setting.amount(64), 250)
    task = VisionTask(setting.folder, 0, setting.repeats, setting.threads)
    with MemoryWatch() as memory, Workers(1) as pool:
        ours = pool.map(encode_rate, [task])[0]
    with Workers(1) as pool:
        baseline = pool.map(plain_encode_rate, [task])[0]
    return _measured(setting, ours, baseline, memory.peak_mb, flop(training=False), "baseline: episode by episode")


def _measured(setting: Setting, ours: float, baseline: float, peak_mb: float, frame_flop: float, note: str) -> Measured:
    with Workers(1) as pool:
        products = measure_products(pool, LARGE, setting.threads, setting.effort)
    return Measured(
        ours=ours,
        baseline=baseline,
        limit=products.flops / frame_flop,
        peak_memory_mb=peak_mb,
        threads=processes(1, setting.threads),
        notes=f"{note}; limit: {frame_flop / 1e6:,.0f} MFLOP a frame at the speed of a large matrix "
        f"product, {products}",
    )


def flop(training: bool) -> float:
    """Floating-point operations of V for one frame: encoding it, or a whole update."""
    model, x = PlainVision(LATENT_SIZE), torch.zeros(1, 3, 64, 64)
    with FlopCounterMode(display=False) as counter:
        if training:
            model.loss(x, torch.zeros(1, LATENT_SIZE), 0.5).backward()
        else:
            model.encode(x)
    return float(counter.get_total_flops())


def write_frames(folder: Path, episodes: int, steps: int) -> None:
    """A store of frames that compress as Doom's do, to about 30 %: a still picture under noise of four levels."""
    store, rng = Store(folder), np.random.default_rng(0)
    picture = rng.integers(0, 250, (64, 64, 3), np.uint8)
    for index in range(episodes):
        frames = picture + rng.integers(0, 4, (steps, 64, 64, 3), np.uint8)
        actions, rewards = np.zeros((steps - 1, 1), np.float32), np.ones(steps - 1, np.float32)
        store.append(index, Episode(frames, actions, rewards, True), seed=index, policy="noise")


class _TimedBatches:
    """Passes batches on, noting when each was asked for and how long it took."""

    def __init__(self, batches: FrameBatches) -> None:
        self.batches = batches
        self.asked: list[float] = []
        self.waited: list[float] = []

    def batch(self, update: int) -> np.ndarray:
        self.asked.append(time.perf_counter())
        frames = self.batches.batch(update)
        self.waited.append(time.perf_counter() - self.asked[-1])
        return frames

    def batch_with_means(self, update: int) -> tuple[np.ndarray, np.ndarray]:
        return self.batches.batch_with_means(update)


def train_rate(task: VisionTask) -> tuple[float, float]:
    """Frames a second of `train_vision`, and the share of its time in which it waited for them."""
    pin_threads(task.threads)
    timed = _TimedBatches(FrameBatches(Store(task.folder / "store"), BATCH, seed=0))
    updates = WARM_UP + task.updates * task.repeats + 1
    config = VisionConfig(latent_size=LATENT_SIZE, batch_size=BATCH, updates=updates)
    train_vision(config, timed, task.folder / "vision", seed=0, checkpoint_every=updates)
    timed.batches.close()
    marks = np.array(timed.asked)[WARM_UP :: task.updates]
    waited = sum(timed.waited[WARM_UP:-1]) / (marks[-1] - marks[0])
    return BATCH * task.updates / statistics.median(np.diff(marks)), waited


def plain_train_rate(task: VisionTask) -> float:
    """Frames a second of eager float32 updates on frames that are in memory."""
    pin_threads(task.threads)
    model = PlainVision(LATENT_SIZE)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    frames = Store(task.folder / "store").frames(0, 0, BATCH)
    updates = -(-task.updates // 4)  # it is several times slower

    def frames_per_second() -> float:
        begun = time.perf_counter()
        for _ in range(updates):
            x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
            optimizer.zero_grad()
            model.loss(x, torch.randn(BATCH, LATENT_SIZE), 0.5).backward()
            optimizer.step()
        return updates * BATCH / (time.perf_counter() - begun)

    return median(frames_per_second, task.repeats)


def encode_rate(task: VisionTask) -> float:
    """Frames a second of `encode_store`, each time into a new folder."""
    pin_threads(task.threads)
    keep_freed_memory()
    model, store = ConvVAE(LATENT_SIZE), Store(task.folder / "store")
    folders = (task.folder / f"latents-{number}" for number in itertools.count())

    def whole() -> float:
        begun = time.perf_counter()
        encode_store(model, store, next(folders))
        return store.total_frames / (time.perf_counter() - begun)

    return median(whole, task.repeats)


@torch.no_grad()
def plain_encode_rate(task: VisionTask) -> float:
    """Frames a second, an episode at a time in float32, from the same store to a compressed .npz each."""
    pin_threads(task.threads)
    model, store = PlainVision(LATENT_SIZE), Store(task.folder / "store")
    entries = store.entries[: -(-len(store.entries) // 4)]

    def frames_per_second() -> float:
        begun = time.perf_counter()
        for entry in entries:
            x = torch.from_numpy(store.read(entry.index).frames).permute(0, 3, 1, 2).float() / 255
            mu, logvar = model.encode(x)
            np.savez_compressed(task.folder / f"{entry.index}.npz", mu=mu.numpy(), logvar=logvar.numpy())
        return sum(entry.steps + 1 for entry in entries) / (time.perf_counter() - begun)

    return median(frames_per_second, task.repeats)
