"""Collecting with curiosity: candidates for C play real episodes, and those that surprise M most lead the search.

Every episode that the search plays is collected, so it costs no step beyond those of the round. A generation follows
from the episodes of the earlier ones, which are in the store: an interrupted search reads them and goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from reverie.controller.file import load_controller
from reverie.controller.model import Controller
from reverie.controller.senses import Senses
from reverie.learning.cma import CMAES
from reverie.learning.cmaes import BEST_FILE
from reverie.files.metrics import MetricsLog
from reverie.memory.model import MDNRNN
from reverie.memory.sequences import split_episodes
from reverie.memory.surprise import surprise, usual_surprise
from reverie.memory.train import load_memory
from reverie.recipe.curiosity import CURIOSITY_FILE
from reverie.runs.run_folder import RunFolder
from reverie.episodes.block import missing_episodes
from reverie.episodes.collect import collect
from reverie.episodes.store import Store
from reverie.vision.encode import encode_episode
from reverie.vision.latents import Latents
from reverie.vision.model import fast_copy
from reverie.vision.train import load_vision
from reverie.workers.pool import Workers
from reverie.workers.seeds import training_seeds
from reverie.worlds.registry import world_spec
from reverie.worlds.spec import WorldSpec

KNOWN_EPISODES = 40  # that tell what is usual


@dataclass(frozen=True, repr=False)
class Candidates:
    """Makes players of which slot s acts as the s-th of the candidates params, float64 [P, n]."""

    vision: Path
    memory: Path | None
    controller: Path
    params: np.ndarray

    @property
    def files(self) -> list[Path]:
        """What they are opened from."""
        return [place for place in (self.vision, self.memory, self.controller) if place is not None]

    def __call__(self, spec: WorldSpec, count: int) -> CuriousPlayers:
        controller, _ = load_controller(self.controller)
        memory = None if self.memory is None else load_memory(self.memory)
        senses = Senses(load_vision(self.vision), memory, controller.config, spec.actions)
        return CuriousPlayers(senses, controller, self.params[:count])


class CuriousPlayers:
    """A candidate in each slot."""

    def __init__(self, senses: Senses, controller: Controller, params: np.ndarray) -> None:
        self._senses, self._controller = senses, controller
        self._params = torch.as_tensor(params.astype(np.float32), device=senses.device)
        self._state = senses.initial(len(params))
        self._rng = [np.random.default_rng(0)] * len(params)

    def begin(self, slot: int, rng: np.random.Generator) -> str:
        self._rng[slot] = rng
        self._state = self._state.restarted(np.arange(len(self._rng)) == slot)
        return "curious"

    def act(self, frames: np.ndarray) -> np.ndarray:
        noise = np.stack([rng.standard_normal(self._senses.latent_size, np.float32) for rng in self._rng])
        z = self._senses.see(frames, noise)
        actions = self._controller.act(self._params, self._senses.features(self._state, z)[:, None])[:, 0]
        self._state = self._senses.follow(self._state, z, actions)
        taken: np.ndarray = actions.cpu().numpy()
        return taken


def explore(run: RunFolder, before: RunFolder, store: Store, first: int, workers: Workers) -> None:
    """Fill the store from index `first` on with the generations of this round's curious search.

    before: the round whose V, M and C it begins with. `curiosity.jsonl` in the round's folder says how it went.
    """
    experiment = run.experiment
    config, size = experiment.curiosity, experiment.curiosity.population
    generations = config.generations(experiment.rounds.episodes)
    log_file = run.memory.parent / CURIOSITY_FILE
    if not missing_episodes(store, range(first, first + size * generations)) and log_file.exists():
        return
    _, start = load_controller(before.controller / BEST_FILE)
    critic = Critic.of(before)
    (seed,) = training_seeds(run.seed, "curiosity", count=1)
    search = CMAES(len(start), size, config.sigma, seed, start)
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with MetricsLog(log_file, resume_step=-1) as log:
        for generation in range(generations):
            begin = first + generation * size
            players = Candidates(before.vision, critic.file_for(before), before.controller / BEST_FILE, search.ask())
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
            search.tell(rewards + config.weight * nats)
            log.append(step=generation + 1, surprise=float(nats.mean()), reward=float(rewards.mean()))


class Critic:
    """What episodes are worth to the curious: their rewards, and how much more than usual they surprise M."""

    def __init__(self, run: RunFolder, memory: MDNRNN, latents: Latents) -> None:
        self._spec = world_spec(run.experiment.world)
        self._vision, self._memory = fast_copy(load_vision(run.vision)), memory
        parts = split_episodes(latents, run.experiment.memory.held_out_every)
        last = run.experiment.episodes_by(run.round)  # later ones are there where an episode was lost since
        trained, held_out = ([index for index in part if 0 <= index < last] for part in parts)
        known = [latents.episode(index) for index in (held_out or trained)[-KNOWN_EPISODES:]]
        self._usual, self._spread = usual_surprise(memory, self._spec.actions, known)
        rewards = np.concatenate([episode.rewards for episode in known]).astype(np.float64)
        self._reward_size = float(np.sqrt(np.square(rewards).mean())) or 1.0

    @classmethod
    def of(cls, run: RunFolder) -> Critic:
        """With the V and M that a round ended with, and the episodes that it learned from."""
        return cls(run, load_memory(run.memory), Latents(run.latents))

    @staticmethod
    def file_for(run: RunFolder) -> Path | None:
        """M's folder where C sees it."""
        return run.memory if run.experiment.controller.features != "z" else None

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
