"""A score: what an agent got in a number of episodes on seeds that training never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from reverie.episodes.policies import random_policy
from reverie.errors import DamagedFileError, ReverieError
from reverie.feature_env import Place
from reverie.progress import progress
from reverie.workers.pool import Workers
from reverie.workers.seeds import evaluation_seeds

if TYPE_CHECKING:
    from reverie.agent import Agent
    from reverie.play.env_spec import EnvSpec


@dataclass(frozen=True, repr=False)
class Score:
    """The returns of `episodes` episodes on seeds that training never saw.

    where: the real world, or M's dream of it at `temperature` (None in the real world)
    seed: root of the episodes' seeds
    std: the population standard deviation over the episodes (divided by N, not N - 1)
    scores: each episode's return, in the order of the seeds
    max_steps: steps after which episodes were cut, where the world's cap is above that; else None
    """

    world: str
    where: Place
    temperature: float | None
    episodes: int
    seed: int
    mean: float
    std: float
    min: float
    max: float
    scores: tuple[float, ...]
    max_steps: int | None = None

    @classmethod
    def of(
        cls,
        scores: Sequence[float],
        world: str,
        seed: int,
        where: Place = "world",
        temperature: float | None = None,
        max_steps: int | None = None,
    ) -> Score:
        """The score of these returns, at least one, all finite."""
        values = np.asarray(scores, np.float64)
        if values.ndim != 1 or not len(values):
            raise ReverieError(f"a score needs at least one episode, found {len(values)}")
        if not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values))[0])
            raise ReverieError(f"episode {bad} in {world} returned {values[bad]}, expected a finite number")
        return cls(
            world=world,
            where=where,
            temperature=temperature,
            episodes=len(values),
            seed=seed,
            mean=float(values.mean()),
            std=float(values.std()),
            min=float(values.min()),
            max=float(values.max()),
            scores=tuple(values.tolist()),
            max_steps=max_steps,
        )

    @classmethod
    def from_dict(cls, data: Any, source: str = "this score") -> Score:
        """The inverse of `as_dict`; `source` names the file in the error of a score that does not add up."""
        try:
            _require_plain(data)
            with np.errstate(over="ignore", invalid="ignore"):
                names = ("scores", "world", "seed", "where", "temperature")
                score = cls.of(**{name: data[name] for name in names}, max_steps=data.get("max_steps"))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DamagedFileError(f"{source} is not a score ({error!r:.200}); delete it and evaluate again") from None
        if score.as_dict() != data:
            fault = "was altered: its figures do not follow from its scores"
            raise DamagedFileError(f"{source} {fault}; delete it and evaluate again")
        return score

    def __repr__(self) -> str:
        place = self.where if self.temperature is None else f"dream at tau {self.temperature:g}"
        return f"Score({self.world}, {place}: {self.mean:.1f} ± {self.std:.1f} over {self.episodes} episodes)"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, with the fields that scripts rely on."""
        plain = asdict(self) | {"scores": list(self.scores)}
        return plain if self.max_steps is not None else {name: plain[name] for name in plain if name != "max_steps"}


def _require_plain(data: Any) -> None:
    """Refuse a score of other types than `as_dict` has."""
    temperature, seed = data["temperature"], data["seed"]
    if not isinstance(data["world"], str) or data["where"] not in get_args(Place):
        raise ValueError(f"of {data['world']!r:.50} in the {data['where']!r:.50}")
    if not (temperature is None or isinstance(temperature, int | float)) or type(seed) is not int:
        raise ValueError(f"at temperature {temperature!r:.50} with seed {seed!r:.50}")
    if type(data.get("max_steps", 1)) is not int:
        raise ValueError(f"cut after {data['max_steps']!r:.50} steps")
    if not all(type(value) in (int, float) for value in data["scores"]):
        raise ValueError("its scores are no numbers")


def evaluate_agent(
    agent: Agent,
    episodes: int,
    seed: int,
    workers: Workers,
    world: str | None = None,
    blinded: bool = False,
    max_steps: int | None = None,
) -> Score:
    """Play `episodes` episodes of the agent's real world; the same score with any number of workers.

    world: another world with the same actions ("doom-skill-5"), None for the agent's own
    blinded: show it each episode's first frame for ever, to learn whether it uses its eyes
    max_steps: steps after which episodes are cut; None: the world's cap
    """
    world = world or agent.spec.name
    returns = returns_on(agent, world_seeds(seed, episodes), workers, world, blinded, max_steps)
    return Score.of(returns, world, seed, max_steps=max_steps)


def returns_on(
    agent: Agent,
    seeds: Sequence[int],
    workers: Workers,
    world: str | None = None,
    blinded: bool = False,
    max_steps: int | None = None,
) -> list[float]:
    """The agent's returns in the episodes of `seeds`, as `evaluate_agent` plays them."""
    from reverie.evaluation.shards import AgentShard, play_agent

    world = world or agent.spec.name
    tasks = [AgentShard(agent, world, some, blinded, max_steps) for some in _shards(seeds)]
    return _play(play_agent, tasks, f"score: agent in {world}", workers, shared=[agent])


def evaluate_random(world: str, episodes: int, seed: int, workers: Workers, max_steps: int | None = None) -> Score:
    """The random baseline: the world's own random policy (`random_policy`) on the seeds that agents are scored on."""
    return evaluate_policy(world, random_policy(world), episodes, seed, workers, max_steps)


def evaluate_policy(
    world: str, policy: str, episodes: int, seed: int, workers: Workers, max_steps: int | None = None
) -> Score:
    """As `evaluate_agent`, for an exploration policy by its name (`episodes/policies.py`), such as "sweep"."""
    from reverie.evaluation.shards import PolicyShard, play_policy

    tasks = [PolicyShard(world, policy, seed, seeds, max_steps) for seeds in _shards(world_seeds(seed, episodes))]
    returns = _play(play_policy, tasks, f"score: {policy} play in {world}", workers)
    return Score.of(returns, world, seed, max_steps=max_steps)


def evaluate_dream(env: EnvSpec, params: np.ndarray, episodes: int, seed: int, workers: Workers) -> Score:
    """Dream `episodes` episodes of the candidate [n]; `env.dream` says at which temperature."""
    from reverie.evaluation.shards import SHARD
    from reverie.play.candidates import returns_of

    seeds = dream_seeds(seed, episodes)
    with progress(episodes, f"score: agent in its dream of {env.spec.name}", "episodes") as bar:

        def show(share: float) -> None:
            bar.advance(round(share * episodes) - bar.done)

        returns, _ = returns_of(env, params[None], seeds, workers, (1, SHARD), show)
    cut = env.spec.cut(env.episode_limits.max_steps)
    return Score.of(returns[0].tolist(), env.spec.name, seed, env.place, env.dream.temperature, cut)


def world_seeds(seed: int, episodes: int) -> list[int]:
    """The seeds of a score's episodes, the same for every agent and baseline; a longer list begins with a shorter."""
    return evaluation_seeds(seed, "world", count=checked_episodes(episodes))


def dream_seeds(seed: int, episodes: int) -> list[int]:
    """The seeds of a dream's episodes, as `world_seeds` has those of the world."""
    return evaluation_seeds(seed, "dream", count=checked_episodes(episodes))


def checked_episodes(episodes: int) -> int:
    """The number itself, where it is at least 1."""
    if episodes < 1:
        raise ReverieError(f"episodes is {episodes}, expected at least 1")
    return episodes


def _shards(seeds: Sequence[int]) -> list[tuple[int, ...]]:
    from reverie.evaluation.shards import SHARD

    return [tuple(seeds[first : first + SHARD]) for first in range(0, len(seeds), SHARD)]


def _play(
    function: Callable[[Any], list[float]],
    tasks: Sequence[Any],
    title: str,
    workers: Workers,
    shared: Sequence[object] = (),
) -> list[float]:
    """The returns of all tasks' episodes, in order, with a bar that shows their mean so far."""
    from reverie.evaluation.shards import close_worlds

    known: list[float] = []
    with progress(sum(len(task.seeds) for task in tasks), title, "episodes") as bar:

        def show(index: int, returns: list[float]) -> None:
            known.extend(returns)
            bar.advance(len(returns), mean=float(np.mean(known)))

        try:
            parts = workers.map(function, tasks, on_done=show, shared=shared)
        finally:
            close_worlds()  # where there are no workers, they were opened here
    return [total for part in parts for total in part]


def histogram(scores: Sequence[Score], most_bins: int = 28) -> tuple[np.ndarray, list[np.ndarray]]:
    """Shared bin edges [B + 1], at round numbers, and the counts [B] of each score between them."""
    low, high = min(score.min for score in scores), max(score.max for score in scores)
    width = _round_width((high - low) / most_bins)
    first, last = np.floor(low / width), np.floor(high / width) + 1
    edges = np.arange(first, last + 1) * width
    return edges, [np.histogram(score.scores, bins=edges)[0] for score in scores]


def _round_width(width: float) -> float:
    """The next 1, 2 or 5 times a power of ten that is at least `width` (1 where all scores are equal)."""
    if width <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= width * (1 - 1e-9)))
