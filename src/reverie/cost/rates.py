"""Rates of a world and of this machine, measured by the run's own stages at a small scale in a scratch folder."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.files.scratch import scratch_folder
from reverie.progress import silence
from reverie.workers.memory_watch import MemoryWatch

if TYPE_CHECKING:
    from reverie.episodes.manifest import Entry
    from reverie.play.players import MakePlayers
    from reverie.recipe.experiment import Experiment
    from reverie.runs.run_folder import RunFolder
    from reverie.workers.pool import Workers

SECONDS = 10.0  # that are measured; processes that start and first updates take about as long again
BRIEF_SECONDS = 3.0
SHARES = {"play": 0.15, "act": 0.15, "vision": 0.2, "memory": 0.2, "controller": 0.3}
FIRST_STEPS, GROWTH = 20, 4  # of the first episodes played, whose number and length then grow
MOST_UPDATES = 512  # of a training that is measured


@dataclass(frozen=True)
class Training:
    """A training: the seconds before its first update, of an update, and of saving it; the bytes of what it saves."""

    start: float
    update: float
    save: float = 0.0
    bytes: int = 0

    def seconds(self, updates: int, saves: int) -> float:
        """Of so many updates, and of so many checkpoints, the last of which `start` has in it."""
        return self.start + updates * self.update + max(0, saves - 1) * self.save


@dataclass(frozen=True)
class Play:
    """Real steps: the seconds until the first, and of each, with all workers at work."""

    start: float
    step: float


@dataclass(frozen=True)
class Rates:
    """What was measured.

    play, act: at random, and by an agent with this V, M and C
    length: steps of an episode played at random, where nothing but the world ends it; cap: of any
    frame_bytes: on disk; encode: seconds of a frame
    phases: of C's phases in turn; those in the world have no training of their own: their steps are played
    peak_mb: memory of all that was measured; seconds: that it took
    """

    workers: int
    play: Play
    act: Play
    length: float
    cap: int
    frame_bytes: float
    vision: Training
    encode: float
    memory: Training
    phases: tuple[Training | None, ...]
    peak_mb: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self) | {"phases": [None if phase is None else asdict(phase) for phase in self.phases]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rates:
        """The inverse of `as_dict`. Raises: KeyError, TypeError where it is something else."""
        parts = {name: Play(**data[name]) for name in ("play", "act")}
        trainings = {name: Training(**data[name]) for name in ("vision", "memory")}
        phases = tuple(None if phase is None else Training(**phase) for phase in data["phases"])
        return cls(**{**data, **parts, **trainings, "phases": phases})


def measure(experiment: Experiment, workers: int | str, device: str = "auto", seconds: float = SECONDS) -> Rates:
    """Play, train and dream for about so many seconds as the experiment would; nothing of it is kept.

    Raises: ReverieError where the world or the settings are wrong, as the run itself would.
    """
    from reverie.play.env_spec import close_envs
    from reverie.runs.run_folder import create_run
    from reverie.workers.pool import Workers
    from reverie.worlds.registry import world_spec

    begun = time.perf_counter()
    with silence(), scratch_folder("cost") as folder, MemoryWatch() as watch:
        run = create_run(folder / "run", _small(experiment))
        with Workers(workers) as pool:
            play, length, frame_bytes = _played(run, experiment, pool, seconds * SHARES["play"])
        watch.sample()
        vision, encode = _vision(run, experiment, device, seconds * SHARES["vision"])
        watch.sample()
        memory = _memory(run, experiment, device, seconds * SHARES["memory"])
        watch.sample()
        try:
            with Workers(workers) as pool:
                act = _acted(run, experiment, pool, seconds * SHARES["act"])
                phases = _phases(run, experiment, pool, seconds * SHARES["controller"])
                watch.sample()
                processes = pool.count
        finally:
            close_envs()
    longest = world_spec(experiment.world).max_steps
    return Rates(
        workers=max(1, processes),
        play=play,
        act=act,
        length=min(length, longest),
        cap=longest,
        frame_bytes=frame_bytes,
        vision=vision,
        encode=encode,
        memory=memory,
        phases=phases,
        peak_mb=watch.peak_mb,
        seconds=time.perf_counter() - begun,
    )


def _small(experiment: Experiment) -> Experiment:
    """The experiment with one update of each part, in one pass, from random weights."""
    return replace(
        experiment,
        collect=replace(experiment.collect, episodes=1, steps=0, min_steps=0),
        vision=replace(experiment.vision, updates=1),
        memory=replace(experiment.memory, updates=1),
        phases=tuple(replace(phase, updates=1, rounds="all") for phase in experiment.phases),
        rounds=replace(experiment.rounds, count=0, curiosity=0.0),
        start_from=None,
        start_digest=None,
        data=None,
        data_digest=None,
    )


def _played(run: RunFolder, experiment: Experiment, pool: Workers, seconds: float) -> tuple[Play, float, float]:
    """Random play; the length of its episodes; the bytes of a frame."""
    from reverie.episodes.store import Store

    play = _timed_play(run, experiment, pool, seconds, None)
    entries = Store(run.rollouts).entries
    frames = sum(entry.steps + 1 for entry in entries)
    # episodes that were cut off tell that they are longer: the estimate of an exponential with such observations
    ended = sum(entry.terminated for entry in entries)
    length = sum(entry.steps for entry in entries) / ended if ended else math.inf
    return play, length, sum(entry.size for entry in entries) / frames


def _acted(run: RunFolder, experiment: Experiment, pool: Workers, seconds: float) -> Play:
    """The agent's play."""
    import numpy as np

    from reverie.controller.file import save_controller
    from reverie.learning.phases import BEST_FILE
    from reverie.play.players import AgentFiles
    from reverie.runs.opening import env_of

    shape = env_of(run, "world").controller_shape()
    save_controller(run.controller / BEST_FILE, shape, np.zeros(shape.parameter_count))
    memory = run.memory if experiment.controller.needs_memory else None
    players = AgentFiles(run.vision, memory, run.controller / BEST_FILE, experiment.rounds.epsilon)
    return _timed_play(run, experiment, pool, seconds, players)


def _timed_play(
    run: RunFolder, experiment: Experiment, pool: Workers, seconds: float, players: MakePlayers | None
) -> Play:
    """Play more and longer episodes until some take long enough to tell."""
    from reverie.episodes.store import Store
    from reverie.play.collect import BLOCK_EPISODES, PLAYERS_SLOTS, collect

    store = Store(run.rollouts)
    episodes = max(1, pool.count) * (PLAYERS_SLOTS if players else BLOCK_EPISODES)
    longest, first_seconds = FIRST_STEPS, 0.0
    while True:
        first = len(store.entries)
        config = replace(
            experiment.collect,
            episodes=episodes,
            steps=0,
            min_steps=0,
            max_steps=min(longest, experiment.collect.max_steps),
        )
        begun = time.perf_counter()
        collect(
            experiment.world,
            store,
            config,
            experiment.seed,
            pool,
            round=1 if players else 0,
            first=first,
            players=players,
            files=getattr(players, "files", ()),
        )
        took = time.perf_counter() - begun
        run.note_episodes(0, len(store.entries))
        played: tuple[Entry, ...] = store.entries[first:]
        step = took / sum(entry.steps for entry in played)
        if not first_seconds:
            first_seconds, first_steps = took, sum(entry.steps for entry in played)
        elif took >= seconds / GROWTH:
            return Play(max(0.0, first_seconds - first_steps * step), step)
        episodes, longest = 2 * episodes, GROWTH * longest


def _vision(run: RunFolder, experiment: Experiment, device: str, seconds: float) -> tuple[Training, float]:
    """V's training, and the seconds that it takes to encode a frame."""
    from reverie.episodes.store import Store
    from reverie.hardware import resolve_device
    from reverie.runs import stages
    from reverie.vision.batches import FrameBatches
    from reverie.vision.train import train_vision

    store, where = Store(run.rollouts), resolve_device(device)
    batches = FrameBatches(store, experiment.vision.batch_size, experiment.seed, experiment.mirror)

    def train(updates: int, folder: Path) -> None:
        config = replace(experiment.vision, updates=updates)
        train_vision(config, batches, folder, experiment.seed, where, checkpoint_every=updates)

    try:
        found = _timed(train, run.path / "timed-vision", seconds)
    finally:
        batches.close()
    stages.vision(run, 0, device)
    frames = sum(entry.steps + 1 for entry in store.entries)
    return found, run.timings["encode"] / frames


def _memory(run: RunFolder, experiment: Experiment, device: str, seconds: float) -> Training:
    """M's training."""
    from reverie.hardware import resolve_device
    from reverie.memory.train import train_memory
    from reverie.runs import stages
    from reverie.runs.opening import encoded
    from reverie.worlds.registry import world_spec

    stages.memory(run, 0, device)
    latents, actions, where = encoded(run), world_spec(experiment.world).actions, resolve_device(device)

    def train(updates: int, folder: Path) -> None:
        config, dropout = replace(experiment.memory, updates=updates), experiment.dream.dropout
        train_memory(
            config, latents, actions, folder, experiment.seed, where, dropout=dropout, checkpoint_every=updates
        )

    return _timed(train, run.path / "timed-memory", seconds)


def _phases(run: RunFolder, experiment: Experiment, pool: Workers, seconds: float) -> tuple[Training | None, ...]:
    """C's phases in the dream, each kind of them once."""
    from reverie.learning.phases import Phase, Planned, any_in_dream
    from reverie.learning.train import train_controller
    from reverie.play.env_spec import EnvSpec
    from reverie.play.loop import Limits
    from reverie.runs.opening import env_of

    def open_env(phase: Phase, limits: Limits) -> EnvSpec:
        return env_of(run, phase.place, learns=True, limits=limits)

    def kind(phase: Phase) -> Phase:
        return replace(phase, updates=1, rounds="all")

    found: dict[Phase, Training | None] = {}
    kinds = list(dict.fromkeys(map(kind, experiment.phases)))
    for number, phase in enumerate(kinds, start=1):
        config = phase.config(experiment.methods)
        if phase.method == "cmaes":
            config = replace(config, episodes=1, rescore_every=MOST_UPDATES + 1, rescore_episodes=1)

        def train(updates: int, folder: Path, phase: Phase = phase, config: object = config) -> None:
            plan = Planned(1, replace(phase, updates=updates), config)
            train_controller([plan], open_env, folder, experiment.seed, pool)

        dreamt = any_in_dream([phase])
        found[phase] = _timed(train, run.path / f"timed-{number}", seconds / len(kinds)) if dreamt else None
    return tuple(found[kind(phase)] for phase in experiment.phases)


def _timed(train: Callable[[int, Path], None], folder: Path, seconds: float) -> Training:
    """Train for more and more updates, each time from the beginning, until it takes so many seconds."""

    def took(updates: int) -> float:
        begun = time.perf_counter()
        train(updates, folder / str(next(numbers)))
        return time.perf_counter() - begun

    numbers = count()
    took(1)  # the first time much is loaded and compiled
    one, updates = took(1), 2
    while True:
        more = took(updates)
        extra = max(more - one, 1e-6)
        if extra >= seconds / 2 or updates >= MOST_UPDATES:
            break
        updates = min(MOST_UPDATES, max(2 * updates, math.ceil(0.8 * updates * seconds / extra)), 8 * updates)
    update = extra / (updates - 1)
    save, size = _saving(folder / str(next(numbers) - 1), folder / "saved")
    return Training(max(0.0, one - update), update, save, size)


def _saving(folder: Path, copy: Path) -> tuple[float, int]:
    """The seconds and the bytes of the last checkpoint below `folder`."""
    from reverie.files.checkpoint import latest_checkpoint, save_checkpoint

    homes = {path.parent for path in folder.rglob("step-*.json")}
    checkpoint = latest_checkpoint(homes.pop())
    assert checkpoint is not None, folder
    begun = time.perf_counter()
    file = save_checkpoint(copy, checkpoint)
    return time.perf_counter() - begun, file.stat().st_size + file.with_suffix(".safetensors").stat().st_size
