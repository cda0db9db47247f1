"""From a run to what the lab shows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reverie.controller.file import load_controller
from reverie.dreaming.starts import Starts, first_latents
from reverie.errors import ReverieError
from reverie.evaluation.recording import play_episodes
from reverie.evaluation.wording import mean_std
from reverie.evolution.train import BEST_FILE
from reverie.lab.source import LabAgent, LabEpisode, LabSource
from reverie.memory.sequences import split_episodes
from reverie.memory.train import load_memory
from reverie.pipeline.opening import load_agent, whole_latents
from reverie.pipeline.run_folder import RunFolder
from reverie.pipeline.scoring import read_scores
from reverie.progress import announce
from reverie.rollouts.store import Store
from reverie.vision.encode import encode_frames
from reverie.vision.train import load_vision
from reverie.workers.seeds import evaluation_seeds
from reverie.worlds.registry import world_spec

if TYPE_CHECKING:
    from reverie.rollouts.episode import Episode
    from reverie.vision.latents import Latents
    from reverie.vision.model import ConvVAE

RECORDED, STEPS = 3, 600  # episodes of the store to look at, and steps of each
SURVEYED = 1500  # frames on the map
CHEAT = "reproduce/tau-0.10/controller"  # where `reverie reproduce doom` leaves the C of its coolest dream
CHEAT_TEMPERATURE = 0.1


def lab_source(run: RunFolder) -> LabSource:
    """V, M, C, starts and episodes of a run; C, the store and the simulator may be missing."""
    experiment = run.experiment
    spec = world_spec(experiment.world)
    vision, memory = load_vision(run.vision), load_memory(run.memory)
    latents = whole_latents(run)
    episodes = _recorded(run, latents) + _played(run, vision)
    if latents is None and not episodes:
        raise ReverieError(f"{run.path} holds no latents for a dream to start from; run `reverie vision {run.path}`")
    return LabSource(
        name=run.path.name,
        spec=spec,
        vision=vision,
        memory=memory,
        agents=_agents(run),
        starts=_starts_of(episodes) if latents is None else first_latents(latents),
        dream=experiment.dream,
        episodes=episodes,
        **_survey(latents, episodes),
    )


def _agents(run: RunFolder) -> list[LabAgent]:
    """The run's C and, where `reverie reproduce` has evolved it, the one of a cool dream."""
    evolution, dream = run.experiment.evolution, run.experiment.dream
    own = dream.temperature if evolution.where == "dream" else None
    scores = read_scores(run)
    said = [
        f"{mean_std(scores[key])} {place}"
        for key, place in (("agent", "in the real world"), ("dream", "in its dream"))
        if key in scores
    ]
    found = [("agent", "the agent", run.controller / BEST_FILE, own, ", ".join(said))]
    found.append(("cheat", "the cheat", run.path / CHEAT / BEST_FILE, CHEAT_TEMPERATURE, ""))
    return [
        LabAgent(key, label, *load_controller(path), temperature=temperature, scores=words)
        for key, label, path, temperature, words in found
        if path.exists()
    ]


def _recorded(run: RunFolder, latents: Latents | None) -> list[LabEpisode]:
    """The longest of the store's episodes that M was not trained on."""
    store = Store(run.rollouts)
    if latents is None or not store.entries:
        return []
    seen, unseen = split_episodes(latents, run.experiment.memory.held_out_every)
    entries = {entry.index: entry for entry in store.entries}
    known = [entries[index] for index in unseen or seen if index in entries]
    longest = sorted(known, key=lambda entry: -min(entry.steps, STEPS))[:RECORDED]
    return [_from_store(store, latents, entry.index, entry.steps, entry.policy) for entry in longest]


def _from_store(store: Store, latents: Latents, index: int, steps: int, policy: str) -> LabEpisode:
    kept, episode = min(steps, STEPS), latents.episode(index)
    return LabEpisode(
        label=f"exploring, episode {index} ({policy})",
        frames=store.frames(index, 0, kept + 1),
        mu=episode.mu[: kept + 1].astype(np.float32),
        logvar=episode.logvar[: kept + 1].astype(np.float32),
        actions=episode.actions[:kept],
        rewards=episode.rewards[:kept],
        terminated=episode.terminated and kept == steps,
    )


def _played(run: RunFolder, vision: ConvVAE) -> list[LabEpisode]:
    """An episode of the run's agent in its world; none where it has no C yet or the simulator is not installed."""
    if not (run.controller / BEST_FILE).exists():
        return []
    try:
        (episode,) = play_episodes(load_agent(run), evaluation_seeds(run.experiment.seed, "films", count=1))
    except ReverieError as error:
        announce(f"lab: no episode of the agent ({error})")
        return []
    return [_seen(episode, vision)]


def _seen(episode: Episode, vision: ConvVAE) -> LabEpisode:
    kept = min(len(episode), STEPS)
    frames = episode.frames[: kept + 1]
    mu, logvar = (part.float().cpu().numpy() for part in encode_frames(vision, frames))
    return LabEpisode(
        label="the agent, awake",
        frames=frames,
        mu=mu,
        logvar=logvar,
        actions=episode.actions[:kept],
        rewards=episode.rewards[:kept],
        terminated=episode.terminated and kept == len(episode),
    )


def _starts_of(episodes: list[LabEpisode]) -> Starts:
    return Starts(np.stack([e.mu[0] for e in episodes]), np.stack([e.logvar[0] for e in episodes]))


def _survey(latents: Latents | None, episodes: list[LabEpisode]) -> dict[str, np.ndarray]:
    """mu and logvar of frames at even distances over what is known of the world."""
    if latents is None:
        known = [(episode.mu, episode.logvar) for episode in episodes]
    else:
        spread = np.linspace(0, len(latents.entries) - 1, min(100, len(latents.entries))).round().astype(int)
        some = [latents.episode(latents.entries[place].index) for place in spread]
        known = [(episode.mu, episode.logvar) for episode in some]
    mu, logvar = (np.concatenate(parts).astype(np.float32) for parts in zip(*known, strict=True))
    chosen = np.linspace(0, len(mu) - 1, min(SURVEYED, len(mu))).round().astype(int)
    return {"mu": mu[chosen], "logvar": logvar[chosen]}
