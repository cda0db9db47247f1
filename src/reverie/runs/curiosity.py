"""Collecting with curiosity: candidates for C play real episodes, and those that surprise M most lead the search.

Every episode that the search plays is collected, so it costs no step beyond those of the round. A generation follows
from the episodes of the earlier ones, which are in the store: an interrupted search reads them and goes on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from reverie.controller.file import load_controller
from reverie.episodes.store import Store, missing_episodes
from reverie.files.metrics import MetricsLog, read_metrics
from reverie.learning.cma import CMAES
from reverie.learning.phases import BEST_FILE
from reverie.memory.loss import surprise, surprise_statistics
from reverie.memory.model import MDNRNN
from reverie.memory.sequences import split_episodes
from reverie.memory.train import load_memory
from reverie.play.collect import collect
from reverie.play.players import AgentFiles
from reverie.recipe.rounds import CURIOSITY_FILE, CURIOUS_POPULATION, CURIOUS_SIGMA
from reverie.runs.run_folder import RunFolder
from reverie.vision.encode import encode_episode
from reverie.vision.latents import Latents
from reverie.vision.model import fast_copy
from reverie.vision.train import load_vision
from reverie.workers.pool import Workers
from reverie.workers.seeds import training_seeds
from reverie.worlds.registry import world_spec

KNOWN_EPISODES = 40  # that tell what is usual


def explore(run: RunFolder, before: RunFolder, store: Store, first: int, workers: Workers) -> None:
    """Fill the store from index `first` on with the generations of this round's curious search.

    before: the round whose V, M and C it begins with. `curiosity.jsonl` in the round's folder says how it went.
    """
    experiment = run.experiment
    size, generations = CURIOUS_POPULATION, experiment.rounds.curious_generations
    log_file = run.memory.parent / CURIOSITY_FILE
    played = not missing_episodes(store, range(first, first + size * generations))
    if played and len(read_metrics(log_file)) == generations:  # else it was stopped before it judged the last one
        return
    _, start = load_controller(before.controller / BEST_FILE)
    critic = Critic.of(before)
    (seed,) = training_seeds(run.seed, "curiosity", count=1)
    search = CMAES(len(start), size, CURIOUS_SIGMA, seed, start)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with MetricsLog(log_file, resume_step=-1) as log:
        for generation in range(generations):
            begin = first + generation * size
            memory, best = critic.file_for(before), before.controller / BEST_FILE
            players = AgentFiles(before.vision, memory, best, params=search.ask(), name="curious")
            collect(
                experiment.world,
                store,
                replace(run.plan.collect, episodes=size),
                experiment.seed,
                workers,
                round=run.round,
                first=begin,
                players=players,
                files=players.files,
            )
            rewards, nats = critic.judge(store, range(begin, begin + size))
            search.tell(rewards + experiment.rounds.curiosity * nats)
            log.append(step=generation + 1, surprise=float(nats.mean()), reward=float(rewards.mean()))


class Critic:
    """What episodes are worth to the curious: their rewards, and how much more than usual they surprise M."""

    def __init__(self, run: RunFolder, memory: MDNRNN, latents: Latents) -> None:
        self._spec = world_spec(run.experiment.world)
        self._vision, self._memory = fast_copy(load_vision(run.vision)), memory
        parts = split_episodes(latents)
        last = run.episodes_by(run.round)  # later ones are there where an episode was lost since
        trained, held_out = ([index for index in part if 0 <= index < last] for part in parts)
        known = [latents.episode(index) for index in (held_out or trained)[-KNOWN_EPISODES:]]
        self._usual, self._spread = surprise_statistics(memory, self._spec.actions, known)
        rewards = np.concatenate([episode.rewards for episode in known]).astype(np.float64)
        self._reward_size = float(np.sqrt(np.square(rewards).mean())) or 1.0

    @classmethod
    def of(cls, run: RunFolder) -> Critic:
        """With the V and M that a round ended with, and the episodes that it learned from."""
        return cls(run, load_memory(run.memory), Latents(run.latents))

    @staticmethod
    def file_for(run: RunFolder) -> Path | None:
        """M's folder where C sees it."""
        return run.memory if run.experiment.controller.needs_memory else None

    def judge(self, store: Store, indices: range) -> tuple[np.ndarray, np.ndarray]:
        """Of each episode: the sum of its rewards in units of their usual size, and of M's surprise at its steps.

        A step counts by how many standard deviations it lies above what is usual, so that what M knows well, long or
        short, is worth nothing. Both float64 [E].
        """
        episodes = [encode_episode(self._vision, store.read(index)) for index in indices]
        nats = [surprise(self._memory, self._spec.actions, episode).astype(np.float64) for episode in episodes]
        return (
            np.array([episode.rewards.astype(np.float64).sum() / self._reward_size for episode in episodes]),
            np.array([((each - self._usual) / self._spread).sum() for each in nats]),
        )
