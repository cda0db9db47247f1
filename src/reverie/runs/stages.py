"""The stages of a run, each resumable by calling it again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reverie.runs.opening import arena_of, collected, encoded, seen_by, under_guards
from reverie.runs.gather import report
from reverie.runs.run_folder import RunFolder
from reverie.runs.scoring import evaluate
from reverie.runs.starting import start_of, start_params

if TYPE_CHECKING:
    import numpy as np

    from reverie.memory.model import MDNRNN
    from reverie.runs.driving import Driving
    from reverie.episodes.store import Store
    from reverie.vision.latents import Latents
    from reverie.vision.model import ConvVAE
    from reverie.workers.pool import Workers
    from reverie.worlds.spec import ActionSpec

ROUND = ("collect", "vision", "memory", "controller", "evaluate")  # each round before the last
STAGES = (*ROUND, "report")

__all__ = ["STAGES", "collect", "controller", "evaluate", "memory", "report", "vision"]


def collect(run: RunFolder, workers: int | str, device: str = "auto") -> None:
    """Stage 1: real episodes, into the store: from exploration policies, and from C in later rounds."""
    from reverie.episodes.collect import collect as collect_episodes
    from reverie.episodes.store import Store
    from reverie.workers.pool import Workers

    experiment, number = run.experiment, run.round
    if experiment.data is not None and number == 0:
        from reverie.runs.data import take_in

        with run.timed("collect"):
            take_in(run)
        return
    first = experiment.episodes_by(number - 1) if number else 0
    players = _driving(run.at(number - 1)) if number else None
    plan, curiosity = run.plan.collect, experiment.curiosity
    curious = curiosity.population * curiosity.generations(plan.episodes) if number else 0
    with run.timed("collect"), Workers(workers) as pool:
        if curious < plan.episodes:
            collect_episodes(
                experiment.world,
                Store(run.rollouts),
                replace(plan, episodes=plan.episodes - curious),
                experiment.seed,
                pool,
                round=number,
                first=first,
                players=players,
                files=players.files if players else (),
            )
        if curious:
            from reverie.runs.exploring import explore

            explore(run, run.at(number - 1), Store(run.rollouts), first + plan.episodes - curious, pool)


def vision(run: RunFolder, workers: int | str, device: str = "auto") -> None:
    """Stage 2: train V on the store's frames, then encode every frame that is not encoded yet."""
    from reverie.hardware import pin_threads
    from reverie.vision.encode import encode_store
    from reverie.vision.train import load_vision
    from reverie.worlds.registry import world_spec

    store, trains = collected(run), run.round == 0 or run.experiment.rounds.vision_updates > 0
    pin_threads()
    model = _train_vision(run, store, device) if trains else load_vision(run.vision)
    mirror = world_spec(run.experiment.world).actions if run.experiment.mirror else None
    with run.timed("encode"):
        encode_store(model, store, run.latents, mirror, seen_by(run))


def memory(run: RunFolder, workers: int | str, device: str = "auto") -> None:
    """Stage 3: train M on the latents."""
    from reverie.hardware import pin_threads, resolve_device
    from reverie.memory.train import train_memory
    from reverie.workers.seeds import training_seeds
    from reverie.worlds.registry import world_spec

    where, start = resolve_device(device), start_of(run, run.memory)
    latents, actions = encoded(run), world_spec(run.experiment.world).actions
    pin_threads()
    with run.timed("memory"):
        model = start.memory if start else None
        if run.round and model is not None and not run.experiment.rounds.vision_updates:
            _note_fresh_losses(run, model, latents, actions)
        dropout = run.experiment.guards.dropout
        train_memory(run.plan.memory, latents, actions, run.memory, run.seed, where, model, dropout)
        for number, folder in enumerate(run.members, start=1):
            (seed,) = training_seeds(run.seed, "member", number, count=1)
            begin = _member_start(run, number, folder)
            train_memory(run.plan.memory, latents, actions, folder, seed, where, begin, dropout)


def controller(run: RunFolder, workers: int | str, device: str = "auto") -> None:
    """Stage 4: C learns by gradients, in the dream and then in the world, where it is to, and is evolved in either."""
    from reverie.learning.cmaes import evolve
    from reverie.learning.gradient import learned
    from reverie.workers.pool import Workers

    arena, params = arena_of(run), start_params(run)
    with run.timed("controller"):
        if run.plan.gradient.updates:
            dream = under_guards(run, arena_of(run, "dream"))
            params = learned(run.plan.gradient, dream, run.gradient, run.seed, params)
        settle = run.experiment.settle
        if run.is_last and settle.updates:
            dream = under_guards(run, arena_of(run, "dream"))
            params = learned(settle.of(run.plan.gradient), dream, run.settle, run.seed, params)
        with Workers(workers) as pool:
            if run.is_last and run.experiment.finetune.updates:
                params = _finetuned(run, pool, params)
            evolve(run.plan.evolution, under_guards(run, arena), run.controller, run.seed, pool, params)


def _finetuned(run: RunFolder, pool: Workers, params: np.ndarray | None) -> np.ndarray:
    """C's parameters after it learned in the real world, from those that the dream left."""
    from reverie.learning.finetune import finetune

    experiment = run.experiment
    place = (arena_of(run, "world"), run.finetune, run.seed, pool)
    return finetune(
        experiment.finetune,
        experiment.gradient,
        *place,
        start=params,
        learned=run.settle if experiment.settle.updates else run.gradient,
    )


def _member_start(run: RunFolder, number: int, folder: Path) -> MDNRNN | None:
    """The weights that a further M begins at: its own of the last round, or what `--from` gave the run."""
    from reverie.memory.train import load_memory

    start = start_of(run, folder)
    if start is None:
        return None
    return load_memory(run.at(run.round - 1).members[number - 1]) if run.round else start.memory


def _driving(run: RunFolder) -> Driving:
    """The agent that a round ended with, as a player."""
    from reverie.learning.cmaes import BEST_FILE
    from reverie.runs.driving import Driving

    memory = run.memory if run.experiment.controller.features != "z" else None
    return Driving(run.vision, memory, run.controller / BEST_FILE, run.experiment.rounds.noise)


def _note_fresh_losses(run: RunFolder, model: MDNRNN, latents: Latents, actions: ActionSpec) -> None:
    """How much there is to learn: M's loss on this round's episodes before it learns from them.

    Nothing to be told where V has learned on: the last round's M does not know the latents of this round's V.
    """
    from reverie.files.atomic import write_json
    from reverie.memory.train import losses_on
    from reverie.runs.rounds import FRESH_FILE

    first, last = (run.experiment.episodes_by(number) for number in (run.round - 1, run.round))
    fresh = [entry.index for entry in latents.entries if first <= entry.index < last and entry.steps > 0]
    run.memory.mkdir(parents=True, exist_ok=True)
    write_json(run.memory / FRESH_FILE, losses_on(model, latents, actions, run.seed, fresh))


def _train_vision(run: RunFolder, store: Store, device: str) -> ConvVAE:
    from reverie.hardware import resolve_device
    from reverie.episodes.batches import FrameBatches
    from reverie.vision.train import train_vision

    config, start = run.plan.vision, start_of(run, run.vision)
    batches = FrameBatches(store, config.batch_size, run.seed, run.experiment.mirror)
    try:
        with run.timed("vision"):
            model = start.vision if start else None
            return train_vision(config, batches, run.vision, run.seed, resolve_device(device), model)
    finally:
        batches.close()
