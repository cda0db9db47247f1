"""The returns of candidates in a place: the tasks that workers run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reverie.play.env_spec import EnvSpec, portable
from reverie.play.loop import Population, play
from reverie.workers.pool import Workers


@dataclass(frozen=True)
class Task:
    """Candidates, float64 [p, n], each to be tried on every one of E `seeds`."""

    env: EnvSpec
    params: np.ndarray
    seeds: tuple[int, ...]


class Returns(NamedTuple):
    """What p candidates got in E episodes: sums of rewards float64 [p, E] and lengths in steps int64 [p, E]."""

    returns: np.ndarray
    steps: np.ndarray


def returns_of(
    env: EnvSpec,
    params: np.ndarray,
    seeds: Sequence[int],
    workers: Workers,
    chunk: tuple[int, int],
    on_done: Callable[[float], None] = lambda share: None,
) -> Returns:
    """Try candidates [P, n] on all of E seeds, spread over the workers.

    chunk: candidates and seeds in a task; fixed whatever the number of workers, because arithmetic on a batch of
        another size may round otherwise
    on_done: called with the share of tasks done, in (0, 1], as they finish
    """
    if workers.scratch is not None:
        env = portable(env, workers.scratch)
    parts = {p: params[p : p + chunk[0]] for p in range(0, len(params), chunk[0])}
    corners = [(p, e) for p in parts for e in range(0, len(seeds), chunk[1])]
    tasks = [Task(env, parts[p], tuple(seeds[e : e + chunk[1]])) for p, e in corners]
    finished: list[int] = []

    def count(index: int, result: Returns) -> None:
        finished.append(index)
        on_done(len(finished) / len(tasks))

    results = workers.map(try_candidates, tasks, on_done=count, files=env.files, shared=list(parts.values()))
    whole = Returns(np.zeros((len(params), len(seeds))), np.zeros((len(params), len(seeds)), np.int64))
    for (p, e), part in zip(corners, results, strict=True):
        for everything, some in zip(whole, part, strict=True):
            everything[p : p + chunk[0], e : e + chunk[1]] = some
    return whole


def try_candidates(task: Task) -> Returns:
    """Play all episodes of all candidates, side by side."""
    env, shape = task.env, (len(task.params), len(task.seeds))
    seeds, candidate = list(task.seeds) * shape[0], np.repeat(np.arange(shape[0]), shape[1])
    returns, steps = np.zeros(len(seeds)), np.zeros(len(seeds), np.int64)
    controller = env.controller_shape()
    for opened, places in env.envs(seeds):
        actor = Population(controller, task.params, candidate[places])
        played = play(opened, actor, [seeds[place] for place in places], env.episode_limits)
        returns[places], steps[places] = played.returns, played.steps
    return Returns(returns.reshape(shape), steps.reshape(shape))
