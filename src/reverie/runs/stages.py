"""The stages of a run, each resumable by calling it again."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reverie.runs.gather import report
from reverie.runs.opening import collected, encoded, env_of, seen_by, steps_to_cut
from reverie.runs.run_folder import RunFolder
from reverie.runs.scoring import evaluate
from reverie.runs.starting import start_of, start_params

if TYPE_CHECKING:
    from collections.abc import Callable

    from reverie.episodes.store import Store
    from reverie.memory.model import MDNRNN
    from reverie.play.env_spec import EnvSpec
    from reverie.play.players import AgentFiles
    from reverie.vision.latents import Latents
    from reverie.vision.model import ConvVAE
    from reverie.workers.pool import Workers
    from reverie.worlds.spec import ActionSpec

ROUND = ("collect", "vision", "memory", "controller", "evaluate")  # each round before the last
STAGES = (*ROUND, "report")

__all__ = ["STAGES", "collect", "controller", "evaluate", "memory", "report", "vision"]


def collect(run: RunFolder, workers: int | str, device: str = "auto") -> None:
    """Stage 1: real episodes, into the store: from exploration policies, and from C in later rounds."""
    from reverie.episodes.store import Store, missing_episodes
    from reverie.play.collect import collect as collect_episodes
    from reverie.workers.pool import Workers

    experiment, number = run.experiment, run.round
    if experiment.data is not None and number == 0:
        from reverie.runs.starting import take_in

        with run.timed("collect"):
            take_in(run)
        return
    first = run.episodes_by(number - 1) if number else 0
    plan, store = run.plan.collect, Store(run.rollouts)

    def play(begin: int, episodes: int, open_players: Callable[[], AgentFiles | None]) -> None:
        if not missing_episodes(store, range(begin, begin + episodes)):
            return
        players = open_players()
        collect_episodes(
            experiment.world,
            store,
            replace(plan, episodes=episodes),
            experiment.seed,
            pool,
            round=number,
            first=begin,
            players=players,
            files=players.files if players else (),
        )

    with run.timed("collect"), Workers(workers) as pool:
        count = 0
        for open_players, share in _turns(run, pool):
            episodes, steps = math.ceil(share * plan.episodes), math.ceil(share * plan.steps)
            begin = count
            while more := episodes or _missing_episodes(store, first + begin, count - begin, steps):
                play(first + count, more, open_players)
                count, episodes = count + more, 0
        run.note_episodes(number, first + count)


def _turns(run: RunFolder, pool: Workers) -> list[tuple[Callable[[], AgentFiles | None], float]]:
    """Who plays, in this order, and which share of a round: exploration policies, or a curious C and then C.

    The curious one learns from what is there before the round has episodes, so it is the same after an interruption.
    """
    if run.round == 0:
        return [(lambda: None, 1.0)]
    before = run.at(run.round - 1)
    if run.experiment.rounds.curiosity == 0:
        return [(partial(_last_agent, before), 1.0)]
    from reverie.runs.curiosity import curious_players

    return [(partial(curious_players, run, before, pool), 0.5), (partial(_last_agent, before), 0.5)]


def _missing_episodes(store: Store, first: int, count: int, steps: int) -> int:
    """How many more episodes are to follow the `count` from index `first` on, to come by `steps`."""
    played = [entry.steps for entry in store.entries if first <= entry.index < first + count]
    missing = steps - sum(played)
    return max(0, math.ceil(missing / (sum(played) / len(played))))


def vision(run: RunFolder, workers: int | str, device: str = "auto") -> None:
    """Stage 2: train V on the store's frames, then encode every frame that is not encoded yet."""
    from reverie.vision.encode import encode_store
    from reverie.vision.train import load_vision
    from reverie.worlds.registry import world_spec

    store, trains = collected(run), run.round == 0 or run.experiment.rounds.vision_updates > 0
    model = _train_vision(run, store, device) if trains else load_vision(run.vision)
    mirror = world_spec(run.experiment.world).actions if run.experiment.mirror else None
    with run.timed("encode"):
        encode_store(model, store, run.latents, mirror, seen_by(run))


def memory(run: RunFolder, workers: int | str, device: str = "auto") -> None:
    """Stage 3: train M on the latents."""
    from reverie.hardware import resolve_device
    from reverie.memory.train import train_memory
    from reverie.workers.seeds import training_seeds
    from reverie.worlds.registry import world_spec

    where, start = resolve_device(device), start_of(run, run.memory)
    latents, actions = encoded(run), world_spec(run.experiment.world).actions
    with run.timed("memory"):
        model = start.memory if start else None
        if run.round and model is not None and not run.experiment.rounds.vision_updates:
            _note_fresh_losses(run, model, latents, actions)
        dropout = run.experiment.dream.dropout
        train_memory(run.plan.memory, latents, actions, run.memory, run.seed, where, model, dropout)
        for number, folder in enumerate(run.members, start=1):
            (seed,) = training_seeds(run.seed, "member", number, count=1)
            begin = _member_start(run, number, folder)
            train_memory(run.plan.memory, latents, actions, folder, seed, where, begin, dropout)


def controller(run: RunFolder, workers: int | str, device: str = "auto") -> None:
    """Stage 4: C goes through its phases, in the dream and in the world."""
    from reverie.controller.file import save_controller
    from reverie.learning.phases import BEST_FILE, Phase
    from reverie.learning.train import train_controller
    from reverie.play.loop import Limits
    from reverie.workers.pool import Workers

    steps = steps_to_cut(run)

    def open_env(phase: Phase, limits: Limits) -> EnvSpec:
        if limits.max_steps is None and steps is not None:
            limits = replace(limits, max_steps=steps)
        return env_of(run, phase.place, learns=True, limits=limits)

    with run.timed("controller"), Workers(workers) as pool:
        start = start_params(run)
        params = train_controller(run.phases, open_env, run.controller, run.seed, pool, start)
        shape = env_of(run, "world").controller_shape()
        save_controller(
            run.controller / BEST_FILE, shape, np.zeros(shape.parameter_count) if params is None else params
        )


def _member_start(run: RunFolder, number: int, folder: Path) -> MDNRNN | None:
    """The weights that a further M begins at: its own of the last round, or what `--from` gave the run."""
    from reverie.memory.train import load_memory

    start = start_of(run, folder)
    if start is None:
        return None
    return load_memory(run.at(run.round - 1).members[number - 1]) if run.round else start.memory


def _last_agent(run: RunFolder) -> AgentFiles:
    """The agent that a round ended with, as a player."""
    from reverie.learning.phases import BEST_FILE
    from reverie.play.players import AgentFiles

    memory = run.memory if run.experiment.controller.needs_memory else None
    return AgentFiles(run.vision, memory, run.controller / BEST_FILE, run.experiment.rounds.epsilon)


def _note_fresh_losses(run: RunFolder, model: MDNRNN, latents: Latents, actions: ActionSpec) -> None:
    """How much there is to learn: M's loss on this round's episodes before it learns from them.

    Nothing to be told where V has learned on: the last round's M does not know the latents of this round's V.
    """
    from reverie.files.atomic import write_json
    from reverie.memory.train import losses_on
    from reverie.runs.rounds import FRESH_FILE

    first, last = (run.episodes_by(number) for number in (run.round - 1, run.round))
    fresh = [entry.index for entry in latents.entries if first <= entry.index < last and entry.steps > 0]
    run.memory.mkdir(parents=True, exist_ok=True)
    write_json(run.memory / FRESH_FILE, losses_on(model, latents, actions, run.seed, fresh))


def _train_vision(run: RunFolder, store: Store, device: str) -> ConvVAE:
    from reverie.hardware import resolve_device
    from reverie.vision.batches import FrameBatches
    from reverie.vision.train import train_vision

    config, start = run.plan.vision, start_of(run, run.vision)
    batches = FrameBatches(store, config.batch_size, run.seed, run.experiment.mirror)
    try:
        with run.timed("vision"):
            model = start.vision if start else None
            return train_vision(config, batches, run.vision, run.seed, resolve_device(device), model)
    finally:
        batches.close()
