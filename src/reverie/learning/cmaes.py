"""C by CMA-ES: the loop is `evolve`, read top to bottom; what it calls stands below it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.errors import DamagedFileError
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from reverie.files.metrics import MetricsLog
from reverie.files.training import require_same
from reverie.learning.cma import CMAES, check_fitness
from reverie.learning.config import CMAESConfig
from reverie.play.candidates import Returns, returns_of
from reverie.play.env_spec import EnvSpec, close_envs
from reverie.progress import Bar, progress
from reverie.workers.pool import Workers
from reverie.workers.seeds import training_seeds

CANDIDATES_PER_TASK = 16  # whatever the number of workers
RESCORE_SEEDS = 16  # episodes in a task of a re-scoring
RESCORE_BEST = 3  # of the generation's best candidates


@dataclass(frozen=True, repr=False)
class Best:
    """The agent that a run keeps: its parameters float64 [n], mean return when last re-scored, and generation."""

    params: np.ndarray
    score: float
    generation: int

    def __repr__(self) -> str:
        return f"Best(score={self.score:.1f}, generation={self.generation}, n={len(self.params)})"


def evolve(
    config: CMAESConfig,
    generations: int,
    env: EnvSpec,
    folder: str | Path,
    seed: int,
    workers: Workers,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Evolve C, with checkpoints and metrics.jsonl in `folder`; goes on from what is there.

    A generation is a pure function of the search's state, `seed` and its number, so a run that was killed ends with
    the same bits as one that was not, with any number of workers.
    start: the parameters [n] that the search begins at, None for zeros; they are scored first, and kept unless
        something beats them
    Returns the parameters, float64 [n], of the best C by the re-scorings. Raises ReverieError where a fitness is not
    finite or `folder` holds a search with other settings.
    """
    folder, size = Path(folder), env.controller_shape().parameter_count
    settings = _settings(config, size, seed)
    search, best, steps = resume(folder, settings)
    begun = 0 if search is None else search.generation
    log = MetricsLog(folder / "metrics.jsonl", resume_step=begun)
    with log, progress(generations, f"C: CMA-ES in the {env.place}", "generations", begun) as bar:
        if best is None and search is None and start is not None:
            rescored = _rescore(config, env, start[None], seed, 0, workers, bar)
            best = _best(start[None], rescored, None, 0)
            save_checkpoint(folder, _checkpoint(None, best, steps := int(rescored.steps.sum()), settings))
        if search is None:
            search = CMAES(size, config.population, config.sigma, seed, None if best is None else best.params)
        while search.generation < generations:
            generation, started = search.generation, time.monotonic()
            candidates = search.ask()
            seeds = training_seeds(seed, "controller", generation, count=config.episodes)
            tried = returns_of(env, candidates, seeds, workers, (CANDIDATES_PER_TASK, len(seeds)), _show(bar))
            fitness = tried.returns.mean(1)
            search.tell(fitness)
            steps += int(tried.steps.sum())
            values = {"mean": fitness.mean(), "max": fitness.max(), "min": fitness.min(), "std": fitness.std()}
            values = {f"fitness_{name}": value for name, value in values.items()}

            done, last = search.generation, search.generation == generations
            if done % config.rescore_every == 0 or last:
                rivals = _rivals(search, candidates, fitness, best)
                rescored = _rescore(config, env, rivals, seed, generation, workers, bar)
                best = _best(rivals, rescored, best, done)
                steps += int(rescored.steps.sum())
                values |= {"best_return_mean": best.score, "search_return_mean": rescored.returns[0].mean()}

            values |= {"sigma": search.sigma, "episode_length_mean": tried.steps.mean(), f"{env.place}_steps": steps}
            shown = {"best": best.score} if best else {}
            bar.advance(1, underway=0.0, fitness=float(values["fitness_mean"]), **shown)
            log.append(step=done, **values, seconds=time.monotonic() - started)
            save_checkpoint(folder, _checkpoint(search, best, steps, settings))
    if workers.count == 0:
        close_envs()  # worker processes end with the pool
    assert best is not None, "the start or the last generation is always re-scored"
    return best.params


def _rivals(search: CMAES, candidates: np.ndarray, fitness: np.ndarray, best: Best | None) -> np.ndarray:
    """Who is re-scored, [R, n]: the search's mean, the generation's best candidates, and the best agent so far."""
    order = np.argsort(-fitness, kind="stable")[:RESCORE_BEST]
    kept = [] if best is None else [best.params]
    return np.array([search.mean, *candidates[order], *kept])


def _rescore(
    config: CMAESConfig, env: EnvSpec, rivals: np.ndarray, seed: int, generation: int, workers: Workers, bar: Bar
) -> Returns:
    """All rivals on the same fresh seeds, which the search has not seen and evaluation never sees."""
    seeds = training_seeds(seed, "controller", "rescore", generation, count=config.rescore_episodes)
    chunk = (len(rivals), RESCORE_SEEDS)
    rescored = returns_of(env, rivals, seeds, workers, chunk, _show(bar))
    check_fitness(rescored.returns.mean(1), len(rivals), generation)
    return rescored


def _best(rivals: np.ndarray, rescored: Returns, best: Best | None, generation: int) -> Best:
    """The rival with the highest mean; the best so far stands last and stays only where it beats all others."""
    scores = rescored.returns.mean(1)
    winner = int(scores.argmax())
    stays = best is not None and winner == len(rivals) - 1
    return Best(rivals[winner], float(scores[winner]), best.generation if best and stays else generation)


def _show(bar: Bar) -> Callable[[float], None]:
    """Shows the share of a generation's tasks that is done: a generation can take minutes."""
    return lambda share: bar.advance(0, underway=share)


def _checkpoint(search: CMAES | None, best: Best | None, steps: int, settings: dict[str, Any]) -> Checkpoint:
    """search: None where none has begun, whose matrices a large C would have no memory for"""
    found, state = ({}, None) if search is None else search.to_arrays()
    arrays = {f"search.{name}": array for name, array in found.items()}
    record: dict[str, Any] = {"search": state, "steps": steps, "best": None, "settings": settings}
    if best is not None:
        arrays["best"] = best.params
        record["best"] = {"score": best.score, "generation": best.generation}
    return Checkpoint(0 if search is None else search.generation, arrays, record)


def _settings(config: CMAESConfig, size: int, seed: int) -> dict[str, Any]:
    """What decides the course of a search, as JSON."""
    return asdict(config) | {"parameters": size, "seed": seed}


def resume(folder: Path, settings: dict[str, Any]) -> tuple[CMAES | None, Best | None, int]:
    """The search as the last checkpoint has it, None where none has begun; the best agent so far; the steps so far."""
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return None, None, 0
    kept = checkpoint.state.get("settings")
    require_same(folder, "a search", kept if isinstance(kept, dict) else {}, settings)
    try:
        return _restored(checkpoint)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamagedFileError(
            f"{folder} holds no search in step {checkpoint.step} ({error!s:.200}); remove it to evolve C again"
        ) from None


def _restored(checkpoint: Checkpoint) -> tuple[CMAES | None, Best | None, int]:
    """The search, the best agent and the steps of a checkpoint of `_checkpoint`."""
    prefix = "search."
    arrays = {name.removeprefix(prefix): array for name, array in checkpoint.arrays.items() if name.startswith(prefix)}
    state, size = checkpoint.state["search"], checkpoint.state["settings"]["parameters"]
    search = None if state is None else CMAES.from_arrays(arrays, state)
    kept, best, steps = checkpoint.state["best"], checkpoint.arrays.get("best"), checkpoint.state["steps"]
    generation = 0 if search is None else search.generation
    if type(steps) is not int or generation != checkpoint.step:
        raise ValueError(f"generation {generation} and {steps!r:.50} steps")
    if kept is None and search is not None:
        return search, None, steps
    if kept is None or best is None or best.shape != (size,) or best.dtype != np.float64:
        raise ValueError("the best agent's parameters are not there")
    return search, Best(best, float(kept["score"]), int(kept["generation"])), steps
