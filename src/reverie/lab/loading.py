"""Loading a run, an export or a shipped agent for the lab."""

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
from reverie.lab.source import LabAgent, LabEpisode, LabRun
from reverie.learning.phases import BEST_FILE
from reverie.memory.sequences import split_episodes
from reverie.progress import announce
from reverie.report.number_format import mean_std
from reverie.report.recording import play_episodes
from reverie.runs.opening import open_trained, trained_in, whole_latents
from reverie.runs.run_folder import RunFolder, open_run
from reverie.runs.scoring import read_scores
from reverie.vision.encode import encode_frames
from reverie.workers.seeds import evaluation_seeds

if TYPE_CHECKING:
    from reverie.agents.trained import Trained
    from reverie.dream.starts import Starts
    from reverie.episodes.episode import Episode
    from reverie.vision.latents import Latents
    from reverie.vision.model import ConvVAE

RECORDED, STEPS = 3, 600  # episodes of the store to look at, and steps of each
MAPPED_FRAMES = 1500  # frames on the map
CHEAT = "reproduce/tau-0.10"  # where `reverie reproduce doom` keeps the agent of its lowest temperature
CHEAT_TEMPERATURE = 0.1
POLICY_LABELS = {  # of episodes that are not exploration
    "agent": "the agent",
    "agent, disturbed": "the agent, disturbed",
    "curious": "a curious C",
    "curious, disturbed": "a curious C, disturbed",
    "recorded": "recorded elsewhere",
}
AWAKE, ASLEEP = "in the real world", "in its dream"


def load_lab_run(place: str | Path) -> LabRun:
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


def _source(trained: Trained, episodes: list[LabEpisode], latents: Latents | None) -> LabRun:
    starts = trained.starts
    mu, logvar = _sampled_latents(starts, latents, episodes)
    return LabRun(
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
    experiment = trained.experiment
    tau = experiment.dream.temperature if experiment.trains_in_dream else None
    known = {place: scores[key] for key, place in (("agent", AWAKE), ("dream", ASLEEP)) if key in scores}
    return [LabAgent("agent", "the agent", trained.controller, trained.params, tau, _as_text(known))]


def _cheat(run: RunFolder) -> LabAgent | None:
    """The C that `reverie reproduce` trained in the run's dream of the lowest temperature."""
    folder = run.path / CHEAT
    best = folder / "controller" / BEST_FILE
    if not best.exists():
        return None
    files = {place: folder / "scores" / f"{key}.json" for key, place in (("world", AWAKE), ("dream", ASLEEP))}
    known = {place: Score.from_dict(read_json(file), str(file)) for place, file in files.items() if file.exists()}
    return LabAgent("cheat", "the cheat", *load_controller(best), CHEAT_TEMPERATURE, _as_text(known))


def _as_text(scores: dict[str, Score]) -> str:
    return ", ".join(f"{mean_std(score)} {place}" for place, score in scores.items())


def _recorded(run: RunFolder, latents: Latents | None) -> list[LabEpisode]:
    """The longest of the store's episodes that M was not trained on."""
    store = Store(run.rollouts)
    if latents is None or not store.entries:
        return []
    training, held_out = split_episodes(latents)
    entries = {entry.index: entry for entry in store.entries}
    candidates = [entries[index] for index in held_out or training if index in entries]
    longest = sorted(candidates, key=lambda entry: -min(entry.steps, STEPS))[:RECORDED]
    return [_from_store(store, latents, entry.index, entry.steps, entry.policy) for entry in longest]


def _from_store(store: Store, latents: Latents, index: int, steps: int, policy: str) -> LabEpisode:
    shown, episode = min(steps, STEPS), latents.episode(index)
    return LabEpisode(
        label=episode_label(index, policy),
        frames=store.frames(index, 0, shown + 1),
        mu=episode.mu[: shown + 1].astype(np.float32),
        logvar=episode.logvar[: shown + 1].astype(np.float32),
        actions=episode.actions[:shown],
        rewards=episode.rewards[:shown],
        terminated=episode.terminated and shown == steps,
    )


def episode_label(index: int, policy: str) -> str:
    """Who played a recorded episode."""
    label = POLICY_LABELS.get(policy)
    return f"exploring, episode {index} ({policy})" if label is None else f"{label}, episode {index}"


def _played(trained: Trained) -> list[LabEpisode]:
    """An episode of the agent in its world; none where it has no C yet or the simulator is not installed."""
    if not trained.parts.controller.exists():
        return []
    announce("lab: the agent plays an episode in the real world")
    try:
        (episode,) = play_episodes(
            trained.agent(), evaluation_seeds(trained.experiment.seed, "films", count=1), STEPS + 1
        )
    except ReverieError as error:
        announce(f"lab: it cannot ({error})")
        return []
    return [_encoded(episode, trained.vision)]


def _encoded(episode: Episode, vision: ConvVAE) -> LabEpisode:
    shown = min(len(episode), STEPS)
    frames = episode.frames[: shown + 1]
    mu, logvar = (part.float().cpu().numpy() for part in encode_frames(vision, frames))
    return LabEpisode(
        label="the agent, awake",
        frames=frames,
        mu=mu,
        logvar=logvar,
        actions=episode.actions[:shown],
        rewards=episode.rewards[:shown],
        terminated=episode.terminated and shown == len(episode),
    )


def _sampled_latents(
    starts: Starts, latents: Latents | None, episodes: list[LabEpisode]
) -> tuple[np.ndarray, np.ndarray]:
    """mu and logvar of at most 1,500 frames, at even distances over all recorded ones."""
    if latents is None:
        known = [(starts.mu, starts.logvar), *((episode.mu, episode.logvar) for episode in episodes)]
    else:
        places = np.linspace(0, len(latents.entries) - 1, min(100, len(latents.entries))).round().astype(int)
        episodes_read = [latents.episode(latents.entries[place].index) for place in places]
        known = [(episode.mu, episode.logvar) for episode in episodes_read]
    mu, logvar = (np.concatenate(parts).astype(np.float32) for parts in zip(*known, strict=True))
    chosen = np.linspace(0, len(mu) - 1, min(MAPPED_FRAMES, len(mu))).round().astype(int)
    return mu[chosen], logvar[chosen]
