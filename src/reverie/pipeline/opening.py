"""Opening what a run has made so far: its store, its agent, its dream, the arena of its C."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from reverie.errors import ReverieError
from reverie.pipeline.run_folder import RunFolder

if TYPE_CHECKING:
    from reverie.agent import Agent
    from reverie.dreaming.config import DreamConfig
    from reverie.dreaming.env import DreamVectorEnv
    from reverie.evolution.arena import Arena
    from reverie.rollouts.store import Store
    from reverie.vision.latents import Latents


def collected(run: RunFolder) -> Store:
    """The store, with all of its episodes: what V learns must not depend on when collecting was interrupted."""
    from reverie.rollouts.store import Store

    store = Store(run.rollouts)
    done, wanted = len(store.entries), run.experiment.collect.episodes
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


def whole_latents(run: RunFolder) -> Latents | None:
    """The latents, None before the first; refuses those that lack episodes of the store."""
    from reverie.rollouts.store import Store
    from reverie.vision.latents import Latents

    if not any(run.latents.glob("part-*.safetensors")):
        return None
    latents = Latents(run.latents)
    seen = {entry.sha256 for entry in latents.entries}
    episodes = [entry.sha256 for entry in collected(run).entries] if Store(run.rollouts).entries else []
    encoded = sum(episode in seen for episode in episodes)
    if encoded < len(episodes):
        raise ReverieError(
            f"{run.latents} has {encoded} of {len(episodes)} episodes; run `reverie vision {run.path}` first"
        )
    return latents


def require_trained(run: RunFolder, stage: Literal["vision", "memory"]) -> None:
    """Refuse to go on from a V or an M that is missing or has updates left to do."""
    from reverie.files.checkpoint import latest_checkpoint

    folder, wanted = {
        "vision": (run.vision, run.experiment.vision.updates),
        "memory": (run.memory, run.experiment.memory.updates),
    }[stage]
    checkpoint = latest_checkpoint(folder)
    done = 0 if checkpoint is None else checkpoint.step
    if checkpoint is None or done < wanted:
        raise ReverieError(f"{folder} has {done} of {wanted} updates; run `reverie {stage} {run.path}` first")


def arena_of(run: RunFolder, where: Literal["dream", "world"] | None = None) -> Arena:
    """Where the run's C is tried: `where`, or the place that the experiment evolves it in."""
    from reverie.evolution.arena import Arena
    from reverie.worlds.registry import world_spec

    experiment = run.experiment
    evolution = experiment.evolution
    place = where or evolution.where
    sees_memory = experiment.controller.features != "z"
    require_trained(run, "memory" if place == "dream" or sees_memory else "vision")
    return Arena(
        where=place,
        spec=world_spec(experiment.world),
        controller=experiment.controller,
        latent_size=experiment.vision.latent_size,
        memory_size=experiment.memory.hidden_size if sees_memory else 0,
        dream=experiment.dream,
        vision=run.vision,
        memory=run.memory if place == "dream" or sees_memory else None,
        latents=run.latents if place == "dream" else None,
        max_steps=evolution.max_steps,
        patience=evolution.patience,
        slots=evolution.slots,
    )


def load_agent(run: RunFolder) -> Agent:
    """The run's agent as its stages left it: V, M and the best C so far."""
    from reverie.agent import Agent
    from reverie.controller.file import load_controller
    from reverie.evolution.train import BEST_FILE
    from reverie.memory.train import load_memory
    from reverie.vision.train import load_vision
    from reverie.worlds.registry import world_spec

    best = run.controller / BEST_FILE
    if not best.exists():
        raise ReverieError(f"{run.path} has no evolved controller yet; run `reverie controller {run.path}` first")
    shape, params = load_controller(best)
    memory = load_memory(run.memory) if run.experiment.controller.features != "z" else None
    return Agent(load_vision(run.vision), memory, shape, params, world_spec(run.experiment.world))


def open_dream(run: RunFolder, num_envs: int, temperature: float | None, seed: int | None) -> DreamVectorEnv:
    """The dream of the run's M as an environment that can be rendered; tau is the run's own where None."""
    from reverie.dreaming.env import DreamVectorEnv
    from reverie.dreaming.starts import first_latents
    from reverie.memory.train import load_memory
    from reverie.vision.latents import Latents
    from reverie.vision.train import load_vision
    from reverie.worlds.registry import world_spec

    experiment = run.experiment
    return DreamVectorEnv(
        load_memory(run.memory),
        first_latents(Latents(run.latents)),
        world_spec(experiment.world),
        at_temperature(experiment.dream, temperature),
        num_envs,
        experiment.controller.features,
        seed,
        load_vision(run.vision),
        render_mode="rgb_array",
    )


def at_temperature(config: DreamConfig, temperature: float | None) -> DreamConfig:
    """The same dream at another tau; as it is where None."""
    return config if temperature is None else replace(config, temperature=temperature)
