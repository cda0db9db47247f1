"""The stages of a run, each resumable by calling it again."""

from __future__ import annotations

from reverie.pipeline.opening import arena_of, collected, encoded
from reverie.pipeline.reporting import report
from reverie.pipeline.run_folder import RunFolder
from reverie.pipeline.scoring import evaluate

STAGES = ("collect", "vision", "memory", "controller", "evaluate", "report")

__all__ = ["STAGES", "collect", "controller", "evaluate", "memory", "report", "vision"]


def collect(run: RunFolder, workers: int, device: str = "auto") -> None:
    """Stage 1: real episodes from exploration policies, into the store."""
    from reverie.rollouts.collect import collect as collect_episodes
    from reverie.rollouts.store import Store
    from reverie.workers.pool import Workers

    experiment = run.experiment
    with run.timed("collect"), Workers(workers) as pool:
        collect_episodes(experiment.world, Store(run.rollouts), experiment.collect, experiment.seed, pool)


def vision(run: RunFolder, workers: int, device: str = "auto") -> None:
    """Stage 2: train V on the store's frames, then encode every frame."""
    from reverie.hardware import pin_threads, resolve_device
    from reverie.rollouts.batches import FrameBatches
    from reverie.vision.encode import encode_store
    from reverie.vision.train import train_vision

    experiment, where = run.experiment, resolve_device(device)
    store = collected(run)
    pin_threads()
    batches = FrameBatches(store, experiment.vision.batch_size, experiment.seed)
    try:
        with run.timed("vision"):
            model = train_vision(experiment.vision, batches, run.vision, experiment.seed, where)
    finally:
        batches.close()
    with run.timed("encode"):
        encode_store(model, store, run.latents)


def memory(run: RunFolder, workers: int, device: str = "auto") -> None:
    """Stage 3: train M on the latents."""
    from reverie.hardware import pin_threads, resolve_device
    from reverie.memory.train import train_memory
    from reverie.worlds.registry import world_spec

    experiment, where = run.experiment, resolve_device(device)
    latents, actions = encoded(run), world_spec(experiment.world).actions
    pin_threads()
    with run.timed("memory"):
        train_memory(experiment.memory, latents, actions, run.memory, experiment.seed, where)


def controller(run: RunFolder, workers: int, device: str = "auto") -> None:
    """Stage 4: evolve C, in the dream or in the world."""
    from reverie.evolution.train import evolve
    from reverie.workers.pool import Workers

    arena = arena_of(run)
    with run.timed("controller"), Workers(workers) as pool:
        evolve(run.experiment.evolution, arena, run.controller, run.experiment.seed, pool)
