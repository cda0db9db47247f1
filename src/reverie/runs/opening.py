"""Opening what a run has made so far: its store, its latents, its agent, the arena of its C."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reverie.errors import ReverieError
from reverie.runs.run_folder import RunFolder
from reverie.agents.trained import Parts, Trained

if TYPE_CHECKING:
    import numpy as np

    from reverie.agent import Agent
    from reverie.learning.arena import Arena
    from reverie.episodes.store import Store
    from reverie.vision.latents import Latents


def collected(run: RunFolder) -> Store:
    """The store, with all of its episodes: what V learns must not depend on when collecting was interrupted."""
    from reverie.episodes.store import Store

    store = Store(run.rollouts)
    done, wanted = len(store.entries), run.experiment.episodes_by(run.round)
    if done < wanted:
        raise ReverieError(f"{run.rollouts} has {done} of {wanted} episodes; run `reverie collect {run.path}` first")
    return store


def encoded(run: RunFolder) -> Latents:
    """The latents, of every episode in the store (where the store is still there)."""
    require_trained(run, "vision")
    latents = whole_latents(run)
    if latents is None:
        raise ReverieError(f"{run.latents} holds no latents; run `reverie vision {run.path}` first")
    return latents


def seen_by(run: RunFolder) -> int | None:
    """The episodes that the round's latents are of: those so far where each round has a V of its own, else all."""
    return run.experiment.episodes_by(run.round) if run.experiment.rounds.vision_updates else None


def whole_latents(run: RunFolder) -> Latents | None:
    """The latents, None before the first; refuses those that lack episodes of the store."""
    from reverie.episodes.store import Store
    from reverie.vision.latents import Latents

    if not any(run.latents.glob("part-*.safetensors")):
        return None
    latents = Latents(run.latents)
    seen = {entry.sha256 for entry in latents.entries}
    entries = collected(run).entries if Store(run.rollouts).entries else ()
    episodes = [entry.sha256 for entry in entries[: seen_by(run)]]
    encoded = sum(episode in seen for episode in episodes)
    if encoded < len(episodes):
        raise ReverieError(
            f"{run.latents} has {encoded} of {len(episodes)} episodes; run `reverie vision {run.path}` first"
        )
    return latents


def require_trained(run: RunFolder, stage: Literal["vision", "memory"]) -> None:
    """Refuse to go on from a V or an M that is missing or has updates left to do."""
    folder, wanted = {
        "vision": (run.vision, run.plan.vision.updates),
        "memory": (run.memory, run.plan.memory.updates),
    }[stage]
    _require_updates(run, stage, folder, wanted)


def _require_updates(run: RunFolder, stage: str, folder: Path, wanted: int) -> None:
    from reverie.files.checkpoint import latest_checkpoint

    checkpoint = latest_checkpoint(folder)
    done = 0 if checkpoint is None else checkpoint.step
    if checkpoint is None or done < wanted:
        raise ReverieError(f"{folder} has {done} of {wanted} updates; run `reverie {stage} {run.path}` first")


def arena_of(run: RunFolder, where: Literal["dream", "world"] | None = None) -> Arena:
    """Where the run's C is tried: `where`, or the place that the experiment evolves it in."""
    experiment = run.experiment
    place = where or experiment.evolution.where
    needs_memory = place == "dream" or experiment.controller.features != "z"
    require_trained(run, "memory" if needs_memory else "vision")
    return trained_in(run).arena(place)


def under_guards(run: RunFolder, arena: Arena) -> Arena:
    """The arena with the run's guards, where it has any: for learning, never for a score."""
    guards = run.experiment.guards
    if guards == type(guards)():
        return arena
    for folder in run.members:
        _require_updates(run, "memory", folder, run.plan.memory.updates)
    return replace(arena, guards=guards, members=(*run.members, *run.earlier))


def trained_in(run: RunFolder) -> Trained:
    """V, M and C as the run's stages left them."""
    from reverie.learning.cmaes import BEST_FILE

    return Trained(run.path, run.experiment, Parts(run.vision, run.memory, run.controller / BEST_FILE, run.latents))


def load_params(run: RunFolder) -> np.ndarray:
    """The parameters of the best C so far, float64 [n]."""
    return trained_in(run).params


def load_agent(run: RunFolder) -> Agent:
    """The run's agent as its stages left it: V, M and the best C so far."""
    return trained_in(run).agent()
