"""Playing episodes: the one loop, for a dream and for a world, whoever acts, whatever is kept of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from reverie.agent import Agent
from reverie.controller.model import Controller
from reverie.dream.kernel import Kernel, load_kernel
from reverie.errors import ReverieError
from reverie.feature_env import FeatureEnv, Observation, Step
from reverie.worlds.vector import DEATHS_IN_A_ROW, WorldDiedError


class Actor(Protocol):
    """Whoever acts."""

    def act(self, seen: Any, episodes: Tensor) -> Tensor:
        """Actions float32 [n, A] on what the env's `observe` gave; row i plays episode `episodes[i]` (int64 [n])."""


class Watcher(Protocol):
    """Whoever keeps what is played, such as a film or a store. It looks at the env itself."""

    def begin(self, episodes: Sequence[int], rows: Sequence[int]) -> None:
        """These episodes have just begun (anew, where they had begun before) in these rows."""

    def step(self, episodes: Sequence[int], actions: np.ndarray, rewards: np.ndarray) -> None:
        """Every row made a step: its episode, its action [n, A] and its reward [n]."""

    def end(self, episode: int, terminated: bool) -> None:
        """The episode is over: terminated by the env, or cut off."""


@dataclass(frozen=True)
class Limits:
    """What ends an episode besides the env.

    max_steps: steps after which it is truncated
    no_reward_timeout: steps without a positive reward after which it is given up; it counts as terminated
    """

    max_steps: int | None = None
    no_reward_timeout: int | None = None


class Played(NamedTuple):
    """What E episodes brought: returns float64 [E], lengths in steps int64 [E], and bool [E], which the env ended."""

    returns: np.ndarray
    steps: np.ndarray
    terminated: np.ndarray


Retry = Callable[[int, int, bool], int | None]
"""(episode, its steps, whether its environment died) -> the seed to play it again with; None: it counts as it is"""


@torch.inference_mode()
def play(
    env: FeatureEnv,
    actor: Actor,
    seeds: Sequence[int],
    limits: Limits = Limits(),
    watch: Watcher | None = None,
    retry: Retry | None = None,
    queues: Sequence[deque[int]] | None = None,
) -> Played:
    """Play episode e on seeds[e], side by side in the env's rows; a row that is free takes the next episode.

    A reward counts less its penalty, where there is one. An episode whose environment dies is played again; after
    `DEATHS_IN_A_ROW` deaths it raises ReverieError.
    queues: for each row the episodes that it plays, where that matters; None: any row takes any
    """
    ledger = _Ledger(len(seeds))
    retry = retry or _TryAgain(env.spec.name, seeds)
    if queues is None:
        waiting = deque(range(len(seeds)))
        queues = [waiting] * min(env.num_envs, len(seeds))
    table = _Table(env, [queue.popleft() for queue in queues], queues, watch)
    try:
        table.begin(range(len(queues)), [seeds[episode] for episode in table.playing])
        while table.playing:
            actions = actor.act(env.observe(), table.episodes)
            step = env.step(actions)
            over, terminated, died = ledger.count(table.episodes, step, limits)
            if watch is not None:
                watch.step(table.playing, actions.numpy(force=True), step.reward.numpy(force=True))
            if over is not None:
                _go_on(table, ledger, seeds, retry, over, terminated, died)
    except WorldDiedError as death:
        raise ReverieError(str(death)) from death
    return ledger.played()


def _go_on(
    table: _Table,
    ledger: _Ledger,
    seeds: Sequence[int],
    retry: Retry,
    over: list[int],
    terminated: np.ndarray,
    died: np.ndarray | None,
) -> None:
    """Begin the next episodes in the rows whose episodes are over, or the same ones again."""
    begun: dict[int, int] = {}  # row: seed
    for row in over:
        episode = table.playing[row]
        lost = died is not None and bool(died[row])
        again = retry(episode, int(ledger.steps[episode]), lost)
        if again is not None:
            ledger.forget(episode)
            begun[row] = again
            continue
        ledger.terminated[episode] = bool(terminated[row])
        if table.watch is not None:
            table.watch.end(episode, bool(terminated[row]))
        if table.take_next(row):
            begun[row] = seeds[table.playing[row]]
    if begun:
        table.begin(list(begun), list(begun.values()))
    table.drop([row for row in over if row not in begun])


class _Table:
    """Which episode each row plays, and those that wait."""

    def __init__(
        self, env: FeatureEnv, playing: list[int], queues: Sequence[deque[int]], watch: Watcher | None
    ) -> None:
        self.env, self.playing, self.queues, self.watch = env, playing, list(queues), watch
        self.episodes = torch.tensor(playing)
        if len(playing) < env.num_envs:
            env.keep(torch.arange(len(playing)))

    def begin(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        self.env.begin(torch.tensor(list(rows)), seeds)
        self.episodes = torch.tensor(self.playing)
        if self.watch is not None:
            self.watch.begin([self.playing[row] for row in rows], list(rows))

    def take_next(self, row: int) -> bool:
        if not self.queues[row]:
            return False
        self.playing[row] = self.queues[row].popleft()
        return True

    def drop(self, rows: Sequence[int]) -> None:
        """Leave out these rows; the last ones take their places."""
        if not rows:
            return
        gone, count = set(rows), len(self.playing) - len(rows)
        last = [row for row in range(count, len(self.playing)) if row not in gone]
        kept = [last.pop() if row in gone else row for row in range(count)]
        if kept:
            self.env.keep(torch.tensor(kept))
        self.playing, self.queues = [self.playing[row] for row in kept], [self.queues[row] for row in kept]
        self.episodes = torch.tensor(self.playing)


class _Ledger:
    """What the episodes have brought so far."""

    def __init__(self, episodes: int) -> None:
        self.returns, self.steps = torch.zeros(episodes, dtype=torch.float64), torch.zeros(episodes, dtype=torch.int64)
        self.idle = torch.zeros(episodes, dtype=torch.int64)  # steps since the last positive reward
        self.terminated = np.zeros(episodes, bool)

    def count(
        self, episodes: Tensor, step: Step, limits: Limits
    ) -> tuple[list[int] | None, np.ndarray, np.ndarray | None]:
        """Add a step of every row. Returns the rows whose episodes are over, None without any; who ended, who died."""
        reward = step.reward if step.penalty is None else step.reward - step.penalty
        self.returns[episodes] += reward.cpu().double()
        self.steps[episodes] += 1
        terminated = step.terminated.cpu()
        if limits.no_reward_timeout is not None:
            idle = torch.where(step.reward.cpu() > 0, 0, self.idle[episodes] + 1)
            self.idle[episodes] = idle
            terminated = terminated | (idle >= limits.no_reward_timeout)
        over = terminated
        for flag in (step.truncated, step.died):
            over = over if flag is None else over | flag.cpu()
        if limits.max_steps is not None:
            over = over | (self.steps[episodes] >= limits.max_steps)
        rows = over.nonzero()[:, 0].tolist()
        died = None if step.died is None else step.died.numpy()
        return rows or None, terminated.numpy(), died

    def forget(self, episode: int) -> None:
        """The episode begins anew."""
        self.returns[episode] = 0
        self.steps[episode] = self.idle[episode] = 0

    def played(self) -> Played:
        return Played(self.returns.numpy(), self.steps.numpy(), self.terminated)


class _TryAgain:
    """An episode whose environment died is played again on its seed, `DEATHS_IN_A_ROW` times at most."""

    def __init__(self, world: str, seeds: Sequence[int]) -> None:
        self._world, self._seeds, self._deaths = world, seeds, dict[int, int]()

    def __call__(self, episode: int, steps: int, died: bool) -> int | None:
        if not died:
            return None
        self._deaths[episode] = self._deaths.get(episode, 0) + 1
        if self._deaths[episode] >= DEATHS_IN_A_ROW:
            message = (
                f"world {self._world!r} died {DEATHS_IN_A_ROW} times in the episode with seed {self._seeds[episode]}"
            )
            raise ReverieError(f"{message} and those after it; try the world by itself on that seed")
        return self._seeds[episode]


class Population:
    """Candidates [P, n]; episode e is played by candidate[e] (int64 [E]; None: all by the first)."""

    def __init__(
        self, controller: Controller, params: np.ndarray, candidate: np.ndarray | None = None, compiled: bool = True
    ) -> None:
        """compiled: use the C kernel where it can be built."""
        self._controller = controller
        self._params = torch.as_tensor(np.asarray(params, np.float32))
        self._candidate = None if candidate is None else torch.from_numpy(candidate)
        layers = controller.unpack(self._params)
        self._linear = len(layers) == 1 and not {"action", "survival"} & set(controller.config.inputs) and compiled
        self._weight, self._bias = layers[0][0].transpose(1, 2).contiguous(), layers[0][1]  # [P, A, F], [P, 1, A]

    @classmethod
    def of(cls, agent: Agent) -> Population:
        """The agent's C in every episode, in plain torch: a score does not depend on a compiler."""
        return cls(agent.controller, agent.params.cpu().numpy(), compiled=False)

    def act(self, seen: Observation, episodes: Tensor) -> Tensor:
        """Actions float32 [n, A]."""
        candidate = torch.zeros_like(episodes) if self._candidate is None else self._candidate[episodes]
        kernel = load_kernel(seen.state.h.dtype) if self._linear and seen.z.device.type == "cpu" else None
        if kernel is None:
            features, params = seen.features(self._controller.config), self._params.to(seen.z.device)
            return self._controller.act(params[candidate.to(features.device)], features[:, None])[:, 0]
        x = self._outputs(seen, candidate, kernel)
        x = x if self._bias is None else x + self._bias[candidate, 0]
        return self._controller.to_actions(x)

    def _outputs(self, seen: Observation, candidate: Tensor, kernel: Kernel) -> Tensor:
        inputs, (h, c) = self._controller.config.inputs, seen.state
        outputs = torch.empty(len(candidate), self._controller.output_size)
        h = h if "h" in inputs else h[:, :0]
        kernel.linear(len(candidate), self._weight, candidate, seen.z, c if "c" in inputs else None, h, outputs)
        return outputs
