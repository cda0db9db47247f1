"""From a run to what the lab shows of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reverie.controller.file import load_controller
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.evaluation.score import Score
from reverie.files.atomic import read_json
from reverie.lab.source import LabAgent, LabEpisode, LabSource
from reverie.learning.cmaes import BEST_FILE
from reverie.memory.sequences import split_episodes
from reverie.progress import announce
from reverie.report.recording import play_episodes
from reverie.report.wording import mean_std
from reverie.runs.opening import trained_in, whole_latents
from reverie.runs.run_folder import RunFolder, open_run
from reverie.runs.scoring import read_scores
from reverie.runs.shipped import open_trained
from reverie.vision.encode import encode_frames
from reverie.workers.seeds import evaluation_seeds

if TYPE_CHECKING:
    from reverie.agents.trained import Trained
    from reverie.dream.starts import Starts
    from reverie.episodes.episode import Episode
    from reverie.vision.latents import Latents
    from reverie.vision.model import ConvVAE

RECORDED, STEPS = 3, 600  # episodes of the store to look at, and steps of each
SURVEYED = 1500  # frames on the map
CHEAT = "reproduce/tau-0.10"  # where `reverie reproduce doom` keeps the agent of its coolest dream
CHEAT_TEMPERATURE = 0.1
PLAYERS = {  # who acts under a policy's name; under any other it is exploration
    "agent": "the agent",
    "agent, disturbed": "the agent, disturbed",
    "curious": "a curious C",
    "recorded": "recorded elsewhere",
}
AWAKE, ASLEEP = "in the real world", "in its dream"


def lab_source(place: str | Path) -> LabSource:
    """What a run folder, an export or a shipped agent has; C, the store and the simulator may be missing."""
    trained = open_trained(place)
    run = open_run(trained.path) if trained.card is None else None
    latents = None if run is None else whole_latents(run)
    episodes = ([] if run is None else _recorded(run, latents)) + _played(trained)
    source = _source(trained, episodes, latents)
    if run is None:
        scores = trained.card.scores if trained.card else {}
        return replace(source, agents=_own_agent(trained, scores))
    cheat = _cheat(run)
    if cheat is None or run.round == 0:
        return replace(source, agents=_own_agent(trained, read_scores(run)) + ([cheat] if cheat else []))
    first = _source(trained_in(run.at(0)), [], latents)  # the cheat's C knows the first round's V and M
    return replace(source, agents=_own_agent(trained, read_scores(run)), cheat=replace(first, agents=[cheat]))


def _source(trained: Trained, episodes: list[LabEpisode], latents: Latents | None) -> LabSource:
    starts = trained.starts
    mu, logvar = _survey(starts, latents, episodes)
    return LabSource(
        name=trained.path.name,
        spec=trained.spec,
        vision=trained.vision,
        memory=trained.memory,
        agents=[],
        starts=starts,
        dream=trained.experiment.dream,
        episodes=episodes,
        mu=mu,
        logvar=logvar,
    )


def _own_agent(trained: Trained, scores: dict[str, Score]) -> list[LabAgent]:
    """The C that the run ended with, if it has come so far."""
    if not trained.parts.controller.exists():
        return []
    evolution, dream = trained.experiment.evolution, trained.experiment.dream
    tau = dream.temperature if evolution.where == "dream" else None
    said = {place: scores[key] for key, place in (("agent", AWAKE), ("dream", ASLEEP)) if key in scores}
    return [LabAgent("agent", "the agent", trained.controller, trained.params, tau, _in_words(said))]


def _cheat(run: RunFolder) -> LabAgent | None:
    """The C that `reverie reproduce` evolved in the run's coolest dream."""
    folder = run.path / CHEAT
    best = folder / "controller" / BEST_FILE
    if not best.exists():
        return None
    files = {place: folder / "scores" / f"{key}.json" for key, place in (("world", AWAKE), ("dream", ASLEEP))}
    said = {place: Score.from_dict(read_json(file), str(file)) for place, file in files.items() if file.exists()}
    return LabAgent("cheat", "the cheat", *load_controller(best), CHEAT_TEMPERATURE, _in_words(said))


def _in_words(scores: dict[str, Score]) -> str:
    return ", ".join(f"{mean_std(score)} {place}" for place, score in scores.items())


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
        label=episode_label(index, policy),
        frames=store.frames(index, 0, kept + 1),
        mu=episode.mu[: kept + 1].astype(np.float32),
        logvar=episode.logvar[: kept + 1].astype(np.float32),
        actions=episode.actions[:kept],
        rewards=episode.rewards[:kept],
        terminated=episode.terminated and kept == steps,
    )


def episode_label(index: int, policy: str) -> str:
    """Who played a recorded episode."""
    who = PLAYERS.get(policy)
    return f"exploring, episode {index} ({policy})" if who is None else f"{who}, episode {index}"


def _played(trained: Trained) -> list[LabEpisode]:
    """An episode of the agent in its world; none where it has no C yet or the simulator is not installed."""
    if not trained.parts.controller.exists():
        return []
    announce("lab: the agent plays an episode in the real world")
    try:
        (episode,) = play_episodes(trained.agent(), evaluation_seeds(trained.experiment.seed, "films", count=1))
    except ReverieError as error:
        announce(f"lab: it cannot ({error})")
        return []
    return [_seen(episode, trained.vision)]


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


def _survey(starts: Starts, latents: Latents | None, episodes: list[LabEpisode]) -> tuple[np.ndarray, np.ndarray]:
    """mu and logvar of frames at even distances over what is known of the world."""
    if latents is None:
        known = [(starts.mu, starts.logvar), *((episode.mu, episode.logvar) for episode in episodes)]
    else:
        spread = np.linspace(0, len(latents.entries) - 1, min(100, len(latents.entries))).round().astype(int)
        some = [latents.episode(latents.entries[place].index) for place in spread]
        known = [(episode.mu, episode.logvar) for episode in some]
    mu, logvar = (np.concatenate(parts).astype(np.float32) for parts in zip(*known, strict=True))
    chosen = np.linspace(0, len(mu) - 1, min(SURVEYED, len(mu))).round().astype(int)
    return mu[chosen], logvar[chosen]
