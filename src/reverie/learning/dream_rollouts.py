"""What C learns from in a dream: windows of n dreams without end, where one that ends begins anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reverie.dream.engine import Dream, DreamEngine
from reverie.dream.noise import SharedNoise
from reverie.learning.config import PPOConfig
from reverie.learning.learner import Experience, Learner, clip_reward, gae
from reverie.workers.seeds import torch_seed
from reverie.workers.shards import SHARDS, Shards

SURVEY_STEPS = 300  # of every dream, from which the scales are taken: inputs that change slowly move in them


class EndlessDreams:
    """n dreams of an engine. `age` int64 [n] counts the steps of each; `total` float64 [n] is its return so far."""

    def __init__(self, engine: DreamEngine, count: int, horizon: int, generator: torch.Generator) -> None:
        """The first dreams are cut off at ages of their own, so that they do not all begin anew at once."""
        device = engine.memory.device
        self.noise = SharedNoise(count, engine.starts, device)
        self.noise.generator = generator
        self.dream, self.horizon = Dream(engine, count, self.noise), horizon
        self.is_survival = engine.spec.reward == "survival"
        self.age = torch.randint(horizon, (count,), generator=generator, device=device)
        self.first_age = self.age.clone()
        self.total = torch.zeros(count, dtype=torch.float64, device=device)
        self.dream.begin(torch.arange(count, device=device), [0] * count)

    def features(self) -> Tensor:
        """C's features, float32 [n, F]."""
        return self.dream.observe().features(self.dream.engine.inputs)

    def step(self, actions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """One step with C's actions [n, A]: rewards [n]; bool [n], which ended and which met the horizon.

        Where the reward is to survive, it is less the chance of an end. In the mean that says what the end itself says,
        with less luck in it.
        """
        self.noise.generator = generator
        step = self.dream.step(actions)
        self.age += 1
        self.total += step.reward
        reward = step.reward
        if self.is_survival:
            reward = -step.terminated.float() if step.ending is None else -step.ending
        if step.penalty is not None:
            reward = reward - step.penalty
        return reward, step.terminated, (self.age >= self.horizon) & ~step.terminated

    def renew(self, where: Tensor, generator: torch.Generator) -> list[float]:
        """Begin anew where bool [n] is true; the returns of the whole dreams that this ends."""
        whole = where & (self.first_age == 0)
        returns: list[float] = self.total[whole].tolist()
        self.age[where], self.first_age[where], self.total[where] = 0, 0, 0
        self.noise.generator = generator
        rows = where.nonzero()[:, 0]
        self.dream.begin(rows, [0] * len(rows))
        return returns

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that the next step depends on, by name."""
        state = {"age": self.age, "first_age": self.first_age, "total": self.total}
        return self.dream.to_arrays() | {name: tensor.cpu().numpy().copy() for name, tensor in state.items()}

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `to_arrays` gave."""
        own = ("age", "first_age", "total")
        self.dream.from_arrays({name: array for name, array in arrays.items() if name not in own})
        for name in own:
            getattr(self, name).copy_(torch.from_numpy(arrays[name]))


class DreamRollouts:
    """The endless dreams of an ensemble's engines, as many of each, in a fixed number of parts, one after another.

    Each part is dreamt by one thread, with a generator of its own, so that no bit depends on the number of cores.
    """

    checkpoint_every = 25  # updates, at most
    takes_over_critic = False  # dreams are cheap: each phase learns critic and scales of its own
    keeps_best = False  # a dreamt return says nothing of how good C is

    def __init__(
        self, engines: Sequence[DreamEngine], config: PPOConfig, horizon: int, generator: torch.Generator
    ) -> None:
        self.steps, self.device = 0, engines[0].memory.device
        self.shards = Shards(SHARDS, self.device)
        each = max(1, self.shards.count // len(engines))
        sizes = [len(part) for part in np.array_split(np.arange(config.num_envs), len(engines) * each)]
        turns = [engine for engine in engines for _ in range(each)]
        pairs = [(engine, size) for engine, size in zip(turns, sizes, strict=True) if size]
        generators = self._generators(generator, len(pairs))
        self.parts = [
            EndlessDreams(engine, size, horizon, own) for (engine, size), own in zip(pairs, generators, strict=True)
        ]

    def renew(self, where: Tensor, generator: torch.Generator) -> list[float]:
        """Begin anew where bool [n] is true; the returns of the whole dreams that this ends."""
        shares = where.split([len(part.age) for part in self.parts])
        generators = self._generators(generator, len(self.parts))
        parts = zip(self.parts, shares, generators, strict=True)
        return [total for part, share, own in parts if share.any() for total in part.renew(share, own)]

    @torch.no_grad()
    def survey(self, learner: Learner, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The mean squares of the features [F] and of the rewards [], over steps that nothing is learned from."""

        def one(part: tuple[EndlessDreams, torch.Generator]) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                return _survey(part[0], learner, part[1])

        parts = list(zip(self.parts, self._generators(generator, len(self.parts)), strict=True))
        features, rewards = zip(*self.shards.map(one, parts), strict=True)
        weights = torch.tensor([len(part.age) for part in self.parts], device=self.device)
        weights = weights / weights.sum()
        return (weights[:, None] * torch.stack(features)).sum(0), (weights * torch.stack(rewards)).sum()

    def collect(
        self, learner: Learner, config: PPOConfig, generator: torch.Generator, update: int
    ) -> tuple[Experience, dict[str, float], list[float]]:
        """A window of every dream, [T * n] steps in all; metrics; the returns of the dreams that ended in it."""
        if update == 0:
            learner.set_scale(*self.survey(learner, generator), config.gamma)

        def one(part: tuple[EndlessDreams, torch.Generator]) -> tuple[Experience, list[float]]:
            with torch.no_grad():
                return _window(part[0], learner, config, part[1])

        own = self._generators(generator, len(self.parts))
        windows = self.shards.map(one, list(zip(self.parts, own, strict=True)))
        self.steps += config.num_steps * sum(len(part.age) for part in self.parts)
        experience = Experience(*(torch.cat(each) for each in zip(*(each for each, _ in windows), strict=True)))
        return experience, {}, [total for _, returns in windows for total in returns]

    def close(self) -> None:
        """Nothing is open."""

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All that the next step depends on, by name."""
        parts = enumerate(self.parts)
        return {f"{number}.{name}": array for number, part in parts for name, array in part.to_arrays().items()}

    def from_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from what `to_arrays` gave."""
        for number, part in enumerate(self.parts):
            prefix = f"{number}."
            mine = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
            part.from_arrays(mine)

    def _generators(self, generator: torch.Generator, count: int) -> list[torch.Generator]:
        """One for each part, all functions of the seed of `generator`."""
        seeds = [torch_seed(generator.initial_seed(), "part", number) for number in range(count)]
        return [torch.Generator(self.device).manual_seed(seed) for seed in seeds]


def _survey(dreams: EndlessDreams, learner: Learner, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    feature_squares, reward_square = torch.zeros_like(learner.scale), torch.zeros_like(learner.reward_scale)
    for _ in range(SURVEY_STEPS):
        features = dreams.features()
        choice = learner.policy.draw(learner.outputs(features), learner.log_std, generator)
        reward, ended, cut = dreams.step(learner.policy.action(choice), generator)
        feature_squares += features.square().mean(0) / SURVEY_STEPS
        reward_square += reward.square().mean() / SURVEY_STEPS
        dreams.renew(ended | cut, generator)
    return feature_squares, reward_square


def _window(
    dreams: EndlessDreams, learner: Learner, config: PPOConfig, generator: torch.Generator
) -> tuple[Experience, list[float]]:
    """A window of n dreams, [T * n] steps in all, and the returns of the dreams that ended in it."""
    shape, features = (config.num_steps, len(dreams.age)), dreams.features()
    seen = features.new_empty(*shape, features.shape[1])
    choice = features.new_empty(*shape, learner.controller.actions.size)
    rewards, values, cut_values = features.new_empty(shape), features.new_empty(shape), features.new_zeros(shape)
    stops, returns = torch.zeros(shape, dtype=torch.bool, device=features.device), list[float]()
    repeats = Repeats(config, shape[1], generator, features.device) if config.ez_prob else None
    for t in range(config.num_steps):
        seen[t], values[t] = features, learner.value(features)
        choice[t] = learner.policy.draw(learner.outputs(features), learner.log_std, generator)
        if repeats:
            choice[t] = repeats.after(choice[t])
        reward, ended, cut = dreams.step(learner.policy.action(choice[t]), generator)
        rewards[t] = clip_reward(reward, config) / learner.reward_scale
        stops[t] = ended | cut
        if cut.any():
            cut_values[t, cut] = learner.value(dreams.features()[cut])
        if stops[t].any():
            returns += dreams.renew(stops[t], generator)
            if repeats:
                repeats.end(stops[t])
        features = dreams.features()
    values = torch.cat([values, learner.value(features)[None]])
    chosen = None if repeats is None else torch.stack(repeats.chosen)
    advantage = gae(rewards, values, cut_values, stops, config, chosen)
    flat_seen, flat_choice = seen.flatten(0, 1), choice.flatten(0, 1)
    log_prob, _ = learner.policy.evaluate_actions(learner.outputs(flat_seen), learner.log_std, flat_choice)
    experience = Experience(flat_seen, flat_choice, log_prob, advantage.flatten(), (advantage + values[:-1]).flatten())
    if chosen is not None:  # what was repeated is no choice to learn from
        experience = Experience(*(part[chosen.flatten()] for part in experience))
    return experience, returns


class Repeats:
    """ez-greedy exploration: choices that are repeated for some steps, in n dreams; they end with the window."""

    def __init__(self, config: PPOConfig, count: int, generator: torch.Generator, device: torch.device) -> None:
        self.config, self.generator = config, generator
        self.chosen: list[Tensor] = []  # of each step bool [n], where C chose
        self._left = torch.zeros(count, dtype=torch.long, device=device)  # steps of the repeat still to come
        self._repeated: Tensor | None = None

    def after(self, choice: Tensor) -> Tensor:
        """What is done in a step, [n, A], where `choice` is what C has drawn in it."""
        free, n, device = self._left == 0, len(choice), choice.device
        begun = free & (torch.rand(n, generator=self.generator, device=device) < self.config.ez_prob)
        lengths = torch.randint(2, self.config.ez_max_steps + 1, (n,), generator=self.generator, device=device)
        self._repeated = choice if self._repeated is None else torch.where(free[:, None], choice, self._repeated)
        self._left = torch.where(begun, lengths - 1, (self._left - 1).clamp_min(0))
        self.chosen.append(free)
        return self._repeated

    def end(self, where: Tensor) -> None:
        """The dreams where bool [n] is true are over, and their repeats with them."""
        self._left[where] = 0


class DreamWindow(NamedTuple):
    """T steps of n dreams that gradients pass through. No end cuts a dream short: a step counts by its chance to come.

    features: what C sees before each step and after the last, [T + 1, n, F]
    reward: as of `EndlessDreams.step`, [T, n]
    survives: the chance that the step does not end the dream, [T, n]
    reached: the chance to get to the step, 0 beyond the horizon, [T, n]; no gradient leads through it
    cut: whether the step meets the horizon, bool [T, n]
    stopped: which dreams are to begin anew: those that met it, or whose end was drawn meanwhile, bool [n]
    """

    features: Tensor
    reward: Tensor
    survives: Tensor
    reached: Tensor
    cut: Tensor
    stopped: Tensor
