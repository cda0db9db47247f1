"""Evolving C: the loop is `evolve`, read top to bottom; what it calls stands below it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reverie.controller.file import save_controller
from reverie.errors import DamagedFileError
from reverie.files.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from reverie.files.metrics import MetricsLog
from reverie.files.training import require_same
from reverie.learning.arena import Arena, close_arenas
from reverie.learning.cma import CMAES, check_fitness
from reverie.learning.evolution_config import EvolutionConfig
from reverie.learning.fitness import Returns, returns_of
from reverie.progress import Bar, progress
from reverie.workers.pool import Workers
from reverie.workers.seeds import training_seeds

BEST_FILE = "best.safetensors"
RESCORE_SEEDS = 16  # episodes in a task of a re-scoring


@dataclass(frozen=True, repr=False)
class Best:
    """The agent that a run keeps: its parameters float64 [n], mean return when last re-scored, and generation."""

    params: np.ndarray
    score: float
    generation: int

    def __repr__(self) -> str:
        return f"Best(score={self.score:.1f}, generation={self.generation}, n={len(self.params)})"


def evolve(
    config: EvolutionConfig,
    arena: Arena,
    folder: str | Path,
    seed: int,
    workers: Workers,
    start: np.ndarray | None = None,
) -> Best:
    """Evolve C by CMA-ES, with checkpoints, metrics.jsonl and best.safetensors in `folder`; goes on from what is there.

    A generation is a pure function of the search's state, `seed` and its number, so a run that was killed ends with
    the same bits as one that was not, with any number of workers.
    start: the parameters [n] that the search begins at (an earlier round's C, or what gradients found), None for zeros;
        they are scored first, and kept unless something beats them
    Raises ReverieError where a fitness is not finite or `folder` holds a search with other settings.
    """
    arena = arena.as_in(config)
    folder, shape = Path(folder), arena.controller_shape()
    settings = _settings(config, shape.parameter_count, seed)
    search, best, steps = _resume(folder, settings)
    begun = 0 if search is None else search.generation
    log = MetricsLog(folder / "metrics.jsonl", resume_step=begun)
    title = f"C: evolving in the {arena.where}"
    with log, progress(config.generations, title, "generations", begun) as bar:
        if best is None and search is None and (start is not None or config.generations == 0):
            first = np.zeros((1, shape.parameter_count)) if start is None else start[None]
            rescored = _rescore(config, arena, first, seed, 0, workers, bar)
            best = _best(first, rescored, None, 0)
            save_controller(folder / BEST_FILE, shape, best.params)
            save_checkpoint(folder, _checkpoint(None, best, steps := int(rescored.steps.sum()), settings))
        if search is None and config.generations > 0:
            begin = None if best is None else best.params
            search = CMAES(shape.parameter_count, config.population, config.sigma, seed, begin)
        while search is not None and search.generation < config.generations:
            generation, started = search.generation, time.monotonic()
            candidates = search.ask()
            seeds = training_seeds(seed, "controller", generation, count=config.rollouts_in(generation))
            tried = returns_of(arena, candidates, seeds, workers, (config.shard, len(seeds)), _show(bar))
            fitness = tried.returns.mean(1)
            search.tell(fitness)
            steps += int(tried.steps.sum())
            values = {"mean": fitness.mean(), "max": fitness.max(), "min": fitness.min(), "std": fitness.std()}

            done, last = search.generation, search.generation == config.generations
            if done % config.rescore_every == 0 or last:
                rivals = _rivals(search, candidates, fitness, best, config.rescore_best)
                rescored = _rescore(config, arena, rivals, seed, generation, workers, bar)
                best = _best(rivals, rescored, best, done)
                save_controller(folder / BEST_FILE, shape, best.params)
                steps += int(rescored.steps.sum())
                values |= {"rescored": best.score, "search_mean": rescored.returns[0].mean()}

            values |= {"sigma": search.sigma, "length": tried.steps.mean(), f"{arena.where}_steps": steps}
            bar.advance(1, underway=0.0, fitness=float(values["mean"]), **({"best": best.score} if best else {}))
            log.append(step=done, **values, seconds=time.monotonic() - started)
            if done % config.checkpoint_every == 0 or last:
                save_checkpoint(folder, _checkpoint(search, best, steps, settings))
    if workers.count == 0:
        close_arenas()  # worker processes end with the pool
    assert best is not None, "the start or the last generation is always re-scored"
    save_controller(folder / BEST_FILE, shape, best.params)
    return best


def _rivals(search: CMAES, candidates: np.ndarray, fitness: np.ndarray, best: Best | None, count: int) -> np.ndarray:
    """Who is re-scored, [R, n]: the search's mean, the generation's best candidates, and the best agent so far."""
    order = np.argsort(-fitness, kind="stable")[:count]
    kept = [] if best is None else [best.params]
    return np.array([search.mean, *candidates[order], *kept])


def _rescore(
    config: EvolutionConfig, arena: Arena, rivals: np.ndarray, seed: int, generation: int, workers: Workers, bar: Bar
) -> Returns:
    """All rivals on the same fresh seeds, which the search has not seen and evaluation never sees."""
    seeds = training_seeds(seed, "controller", "rescore", generation, count=config.rescore_rollouts)
    shard = (len(rivals), RESCORE_SEEDS)
    rescored = returns_of(arena, rivals, seeds, workers, shard, _show(bar))
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


def _settings(config: EvolutionConfig, size: int, seed: int) -> dict[str, Any]:
    """What decides the course of a search, as JSON; `generations` only decides where it stops."""
    settings = asdict(config)
    for name in ("generations", "checkpoint_every"):
        del settings[name]
    return settings | {"parameters": size, "seed": seed}


def _resume(folder: Path, settings: dict[str, Any]) -> tuple[CMAES | None, Best | None, int]:
    """The search as the last checkpoint has it, None where none has begun; the best agent so far; the steps so far."""
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return None, None, 0
    kept = checkpoint.state.get("settings")
    found = asdict(EvolutionConfig()) | (kept if isinstance(kept, dict) else {})  # what it lacks was not there yet
    require_same(folder, "a search", found, settings)
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
