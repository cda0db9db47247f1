"""The returns of candidates, in M's dream or in the real world: the tasks that workers run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reverie.dream.engine import dream_returns
from reverie.dream.guarded import guarded_returns
from reverie.learning.arena import Arena, open_dream, open_guarded, open_world
from reverie.learning.travel import travelling
from reverie.play import play
from reverie.workers.pool import Workers


@dataclass(frozen=True)
class Task:
    """Candidates, float64 [p, n], each to be tried on every one of E `seeds`."""

    arena: Arena
    params: np.ndarray
    seeds: tuple[int, ...]


class Returns(NamedTuple):
    """What p candidates got in E episodes: sums of rewards float64 [p, E] and lengths in steps int64 [p, E]."""

    returns: np.ndarray
    steps: np.ndarray


def returns_of(
    arena: Arena,
    params: np.ndarray,
    seeds: Sequence[int],
    workers: Workers,
    shard: tuple[int, int],
    on_done: Callable[[float], None] = lambda share: None,
) -> Returns:
    """Try candidates [P, n] on all of E seeds, spread over the workers.

    shard: candidates and seeds in a task; fixed whatever the number of workers, because arithmetic on a batch of
        another size may round otherwise
    on_done: called with the share of tasks done, in (0, 1], as they finish
    """
    if workers.scratch is not None:
        arena = travelling(arena, workers.scratch)
    parts = {p: params[p : p + shard[0]] for p in range(0, len(params), shard[0])}
    corners = [(p, e) for p in parts for e in range(0, len(seeds), shard[1])]
    tasks = [Task(arena, parts[p], tuple(seeds[e : e + shard[1]])) for p, e in corners]
    finished: list[int] = []

    def count(index: int, result: Returns) -> None:
        finished.append(index)
        on_done(len(finished) / len(tasks))

    function, shared = dream_fitness if arena.where == "dream" else world_fitness, list(parts.values())
    results = workers.map(function, tasks, on_done=count, files=arena.places, shared=shared)
    whole = Returns(np.zeros((len(params), len(seeds))), np.zeros((len(params), len(seeds)), np.int64))
    for (p, e), part in zip(corners, results, strict=True):
        for everything, some in zip(whole, part, strict=True):
            everything[p : p + shard[0], e : e + shard[1]] = some
    return whole


def dream_fitness(task: Task) -> Returns:
    """Dream all episodes of all candidates at once."""
    if task.arena.guards is not None:
        return Returns(*guarded_returns(open_guarded(task.arena), task.params, task.seeds))
    return Returns(*dream_returns(open_dream(task.arena), task.params, task.seeds))


def world_fitness(task: Task) -> Returns:
    """Play all episodes of all candidates in the real world, `slots` of them side by side."""
    arena, shape = task.arena, (len(task.params), len(task.seeds))
    world = open_world(arena, min(arena.slots, shape[0] * shape[1]))
    rows = np.repeat(task.params, shape[1], axis=0)  # candidate after candidate, [p * E, n]
    full_length = arena.full_length if arena.give_up == "extrapolate" else None
    limits = (arena.max_steps, arena.patience, full_length)
    played = play(world, arena.controller_shape(), rows, task.seeds * shape[0], *limits)
    return Returns(played.returns.reshape(shape), played.steps.reshape(shape))
