"""What `import reverie` offers: load an agent, open a world or a dream, score the one in the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.errors import ReverieError

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

    from reverie.agent import Agent
    from reverie.evaluation.score import Score
    from reverie.feature_env import FeatureVectorEnv
    from reverie.worlds.vector import WorldVectorEnv


def load(name: str | Path) -> Agent:
    """The agent (V, M and C) of a run folder or an export, or the one that comes with Reverie under a name.

    Raises: ReverieError where there is none, or a run's C has not been evolved yet.
    """
    from reverie.runs.opening import open_trained

    return open_trained(name).agent()


def make(world: str, num_envs: int = 1, seed: int | None = None, **options: Any) -> WorldVectorEnv:
    """A real world: a `gymnasium.vector.VectorEnv` of uint8 frames [n, 64, 64, 3] and float32 actions [n, A].

    world: doom (and doom-skill-1 to doom-skill-5, doom-repeat-4), carracing, tiny, climb or any Gymnasium id
    options: as `reverie.worlds.registry.make` takes them
    """
    from reverie.worlds.registry import make as make_world

    return make_world(world, num_envs, seed, **options)


def dream(
    name: str | Path, num_envs: int = 1, temperature: float | None = None, seed: int | None = None
) -> FeatureVectorEnv:
    """The dream of an agent's M: a `VectorEnv` of C's features float32 [n, F]; `render()` decodes them to frames.

    name: as `load` takes it; temperature: tau, that of the training where None.
    """
    from reverie.runs.opening import open_trained

    return open_trained(name).dream(num_envs, temperature, seed)


def evaluate(agent: Agent, world: VectorEnv, episodes: int = 100, seed: int = 0) -> Score:
    """Score `agent` over `episodes` of `world`, a real one of `make` or a `dream`, on seeds that training never saw.

    Plays in this process, as many episodes side by side as the world has sub-environments; the seeds are those of
    `reverie evaluate`. A figure for publication wants the official engine: make("carracing", engine="gymnasium").
    """
    from reverie.agent import SeenWorld
    from reverie.evaluation.score import Score, dream_seeds, world_seeds
    from reverie.feature_env import FeatureVectorEnv
    from reverie.play.loop import Limits, Population, play
    from reverie.worlds.vector import WorldVectorEnv

    if not isinstance(world, FeatureVectorEnv | WorldVectorEnv):
        raise ReverieError(f"world is a {type(world).__name__}; expected what reverie.make or reverie.dream returns")
    if world.world_spec.actions != agent.spec.actions:
        raise ReverieError(f"the agent acts in {agent.spec.name!r}, whose actions are not those of this world")
    env = SeenWorld(world, agent.senses) if isinstance(world, WorldVectorEnv) else world.fresh()
    z, (h, _), expectation = env.observe()
    given, read = (z.shape[1], h.shape[1]), (agent.senses.latent_size, agent.senses.memory_size or h.shape[1])
    if given != read or (expectation is None) != (agent.senses.expectation is None):
        raise ReverieError(f"the dream gives z and h of {given} and the agent reads {read}; take both from one run")
    seeds = {"dream": dream_seeds, "world": world_seeds}[env.place](seed, episodes)
    returns = play(env, Population.of(agent), seeds, Limits(world.max_steps)).returns
    cut = world.world_spec.cut(world.max_steps)
    return Score.of(returns.tolist(), agent.spec.name, seed, env.place, env.temperature, cut)
