"""Exploration: policies that see little or nothing, and together visit what a trained agent will try.

How long an action is held decides what the data covers. A world that moves slowly averages white noise away: a car
stays where it is, a player in Doom never reaches a wall. A dream learned from such data is wrong wherever a controller
goes next, so long holds, sweeps and random networks stand beside the paper's own random data
(docs/reference/exploration.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Protocol

import numpy as np

from reverie.episodes.config import POLICIES
from reverie.errors import ReverieError
from reverie.worlds.registry import base_world
from reverie.worlds.spec import ActionSpec

FIXED_SWEEP = re.compile(r"sweep-([1-9]\d*)")
BASELINES = {"doom": "held", "carracing": "random-network"}


class Policy(Protocol):
    """Acts for one episode."""

    def act(self, frame: np.ndarray) -> np.ndarray:
        """Frame uint8 [64, 64, 3] -> action float32 [A], as C would emit it."""


def make_policy(name: str, actions: ActionSpec, rng: np.random.Generator) -> Policy:
    """A fresh policy for one episode; all its randomness comes from `rng`.

    Beside the names that collecting takes, "sweep-100" is the sweep of 100 steps each way: a baseline, never data.
    """
    fixed = FIXED_SWEEP.fullmatch(name)
    if fixed:
        return Sweep(actions, rng, hold=int(fixed[1]))
    if name not in MAKERS:
        raise ReverieError(f"unknown policy {name!r}; expected one of {', '.join(POLICIES)}")
    return MAKERS[name](actions, rng)


def random_policy(world: str) -> str:
    """The policy whose score is the world's random baseline, the paper's own where it has one."""
    return BASELINES.get(base_world(world), "uniform")


class Uniform:
    """A new action every step: each number uniform in (-1, 1), or any discrete action alike."""

    def __init__(self, actions: ActionSpec, rng: np.random.Generator) -> None:
        self.actions, self.rng = actions, rng

    def act(self, frame: np.ndarray) -> np.ndarray:
        return emit(self.actions, self.rng.uniform(-1, 1, self.actions.size))


class Held:
    """Uniform actions, each held for `shortest` to `longest` steps; a share of them at the ends of their range."""

    def __init__(
        self, actions: ActionSpec, rng: np.random.Generator, shortest: int, longest: int, extreme_share: float = 0.0
    ) -> None:
        self.actions, self.rng = actions, rng
        self.shortest, self.longest, self.extreme_share = shortest, longest, extreme_share
        self.left = 0
        self.action = np.zeros(actions.size, np.float32)

    def act(self, frame: np.ndarray) -> np.ndarray:
        if self.left == 0:
            self.left = int(self.rng.integers(self.shortest, self.longest + 1))
            self.action = emit(self.actions, self._draw())
        self.left -= 1
        return self.action

    def _draw(self) -> np.ndarray:
        action = self.rng.uniform(-1, 1, self.actions.size)
        if not all(span.one_hot for span in self.actions.spans) and self.rng.random() < self.extreme_share:
            return self.actions.by_part(action, lambda one_hot: one_hot, np.sign)
        return action


class Sweep:
    """The first number of the action at one end, then at the other, 40 to 200 steps each; the other numbers fixed.

    Where actions are discrete two of them take turns. With `hold` it is so many steps each, the first
    time half as many: in Doom that is from the middle, where the player begins, to both walls.
    """

    def __init__(self, actions: ActionSpec, rng: np.random.Generator, hold: int | None = None) -> None:
        there = rng.uniform(-1, 1, actions.size)
        back = there.copy()
        first = actions.spans[0]
        if first.one_hot:
            part = there[first.start : first.stop]
            back[first.start : first.stop] = np.where(part == part.max(), -1.0, part)  # the second becomes the first
        else:
            there[0], back[0] = -1.0, 1.0
        self.ends = [emit(actions, there), emit(actions, back)]
        self.hold = int(rng.integers(40, 201)) if hold is None else hold
        self.step = int(rng.integers(2 * self.hold)) if hold is None else hold // 2 - 1

    def act(self, frame: np.ndarray) -> np.ndarray:
        self.step += 1
        return self.ends[self.step // self.hold % 2]


class Brownian:
    """A random walk in the box of actions, reflected at its walls; it crosses the box in about 40 steps."""

    def __init__(self, actions: ActionSpec, rng: np.random.Generator) -> None:
        self.actions, self.rng = actions, rng
        self.place = rng.uniform(-1, 1, actions.size)

    def act(self, frame: np.ndarray) -> np.ndarray:
        self.place += self.rng.normal(0, 0.3, self.actions.size)
        self.place = 1 - np.abs((self.place + 1) % 4 - 2)  # folds the line into [-1, 1]
        return emit(self.actions, self.place)


class RandomNetwork:
    """A fresh random network of one hidden layer on 8x8 pixels of the frame: actions that answer what is seen.

    Running averages standardise the pixels, as V does what the paper's random controllers see; without that the
    unchanging part of a picture decides alone. The gain is drawn too: some hardly leave 0, some flip between the ends.
    """

    hidden, forgetting = 16, 0.05

    def __init__(self, actions: ActionSpec, rng: np.random.Generator) -> None:
        self.actions = actions
        inputs = 8 * 8 * 3
        gain = np.exp(rng.uniform(np.log(0.3), np.log(3)))
        self.first = rng.normal(0, 1 / np.sqrt(inputs), (self.hidden, inputs))
        self.second = rng.normal(0, gain / np.sqrt(self.hidden), (actions.size, self.hidden))
        self.bias = rng.normal(0, 0.3, actions.size)
        self.mean: np.ndarray | None = None
        self.variance = 0.01

    def act(self, frame: np.ndarray) -> np.ndarray:
        hidden = np.tanh(self.first @ self._standardised(frame[4::8, 4::8].reshape(-1) / 255.0))
        return emit(self.actions, np.tanh(self.second @ hidden + self.bias))

    def _standardised(self, pixels: np.ndarray) -> np.ndarray:
        if self.mean is None:
            self.mean = pixels
        change = pixels - self.mean
        self.mean = self.mean + self.forgetting * change
        self.variance += self.forgetting * (np.mean(change**2) - self.variance)
        return change / np.sqrt(self.variance + 1e-4)


MAKERS: dict[str, Callable[[ActionSpec, np.random.Generator], Policy]] = {
    "uniform": Uniform,
    "held": partial(Held, shortest=1, longest=10),
    "turning": partial(Held, shortest=3, longest=40, extreme_share=0.5),
    "long-held": partial(Held, shortest=5, longest=240, extreme_share=0.5),
    "sweep": Sweep,
    "brownian": Brownian,
    "random-network": RandomNetwork,
}


def emit(actions: ActionSpec, values: np.ndarray) -> np.ndarray:
    """Values in [-1, 1] as C would emit them: float32, and one-hot at the largest of each group."""
    emitted: np.ndarray = actions.by_part(values, _one_hot, lambda numbers: numbers.astype(np.float32))
    return emitted


def _one_hot(values: np.ndarray) -> np.ndarray:
    action = np.zeros(len(values), np.float32)
    action[np.argmax(values)] = 1.0
    return action
