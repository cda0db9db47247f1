"""The dream engine: the dreams of a whole population at once, ended ones dropped as they end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reverie.controller.model import Controller
from reverie.controller.senses import expectation_of
from reverie.dream.config import DreamConfig
from reverie.dream.follower import Follower
from reverie.dream.guard import Guard
from reverie.dream.kernel import load_kernel
from reverie.dream.moments import Moments
from reverie.dream.noise import DreamNoise
from reverie.dream.population import Population
from reverie.dream.rows import DreamRows, Outcome, PackedMemory
from reverie.dream.starts import Starts
from reverie.errors import ReverieError
from reverie.hardware import compute_dtype
from reverie.memory.model import MDNRNN
from reverie.worlds.spec import WorldSpec


class DreamEngine:
    """M, C's shape and where dreams begin, packed to dream many episodes of many candidates where M's weights are."""

    def __init__(
        self,
        memory: MDNRNN,
        controller: Controller,
        starts: Starts,
        spec: WorldSpec,
        config: DreamConfig,
        dtype: torch.dtype | None = None,
        compiled: bool = True,
        beside: MDNRNN | None = None,
        guard: Guard | None = None,
    ) -> None:
        """dtype: of M's weights, None for the fastest here. compiled: use the C kernel if it can be built.

        beside: another M that follows what `memory` dreams; C sees its state, and so the dream and what C knows of it
            come from two
        guard: what keeps C from living off M's errors; see `dreaming.guard`
        """
        check_dream(memory, starts, spec)
        check_features(controller, beside or memory)
        device = memory.bias.device.type
        self.memory = PackedMemory(memory, dtype or compute_dtype(device))
        self.beside = None if beside is None else PackedMemory(beside, self.memory.dtype)
        self.guard = guard
        seen = beside or memory
        self.expectation = expectation_of(controller.config, seen, spec.actions, self.memory.dtype)
        self.controller = controller
        self.starts = starts
        self.spec = spec
        self.config = config
        self.kernel = load_kernel(self.memory.dtype) if compiled and device == "cpu" else None
        self.max_steps = config.max_steps or spec.max_steps

    def __repr__(self) -> str:
        how = "compiled" if self.kernel else "eager"
        return f"DreamEngine({self.spec.name}, {self.memory.dtype}, {how}, temperature={self.config.temperature})"


def check_dream(memory: MDNRNN, starts: Starts, spec: WorldSpec) -> None:
    """Raise where M does not predict what a dream of this world needs, or the parts do not fit together."""
    config = memory.config
    if spec.reward == "survival" and not config.done_head:
        raise ReverieError(
            f"M has no done head, and the reward of {spec.name!r} is to survive; train M with done_head to dream it"
        )
    if spec.reward == "predicted" and not config.reward_head:
        raise ReverieError(f"M has no reward head, and {spec.name!r} has rewards; train M with reward_head to dream it")
    if starts.latent_size != config.latent_size:
        raise ReverieError(
            f"dream starts have {starts.latent_size} latent dimensions and M has {config.latent_size}; "
            "take both from the same run"
        )
    if spec.actions.size != config.action_size:
        raise ReverieError(
            f"{spec.name!r} has {spec.actions.size} action dimensions and M has {config.action_size}; "
            "take M from a run of this world"
        )


def check_features(controller: Controller, memory: MDNRNN) -> None:
    """Raise where C reads features of another length than z and M's state have."""
    kind = controller.config.features
    given = controller.config.feature_size(*memory.config.feature_sizes)
    if controller.feature_size != given:
        raise ReverieError(
            f"C reads {controller.feature_size} features ({kind!r}) and M with V gives {given}; "
            "take C from a run with these sizes"
        )


class Dreams:
    """E episodes of each of P candidates, dreamt side by side. Those that ended are dropped: n of P * E remain."""

    def __init__(self, engine: DreamEngine, params: np.ndarray, seeds: Sequence[int]) -> None:
        """params [P, n]; seeds [E]: all candidates share an episode's noise, which depends on its seed alone."""
        device = engine.memory.device
        weights = torch.as_tensor(np.asarray(params, np.float32), device=device)
        self._engine = engine
        self._population = Population(engine.controller, weights, engine.kernel, engine.expectation)
        self._candidate, self._episode = (
            torch.from_numpy(index.ravel()).to(device) for index in np.indices((len(params), len(seeds)))
        )
        self._total = torch.zeros(len(self._episode), dtype=torch.float64, device=device)
        self._noise = DreamNoise(len(seeds), engine.starts)
        self.rows = DreamRows(engine.memory, len(self._episode), engine.config.temperature, engine.kernel)
        first = np.stack([self._noise.begin(index, seed) for index, seed in enumerate(seeds)])
        self.rows.begin(slice(0, self.rows.count), torch.from_numpy(first).to(device)[self._episode])
        self._follower = None if engine.beside is None else Follower(engine.beside, self.rows)
        self._doubt = None
        if engine.guard is not None:
            self._doubt = engine.guard.doubt_of(self.rows)
            self.rows.dropout = engine.guard.dropped(seeds, self.rows)
        if isinstance(engine.starts, Moments):
            self._wake(engine.starts, seeds)

    def step(self) -> tuple[Tensor, Tensor, Tensor]:
        """One step of all; returns C's actions float32 [n, A], their rewards [n] and which dreams ended, bool [n]."""
        n, config, spec = self.rows.count, self._engine.config, self._engine.spec
        action = self._population.act(self._follower or self.rows, self._candidate[:n])
        felt = spec.actions.for_memory(action)
        for follower in self._beside:
            follower.absorb(felt)
        component, spread, ending = (torch.from_numpy(draws).to(action.device) for draws in self._noise.next())
        outcome = self.rows.advance(felt, component, spread, self._episode[:n])
        reward = dream_reward(outcome, action, spec)
        if self._doubt is not None:
            reward = reward - self._doubt.penalty()
        self._total[:n] += reward
        return (
            action,
            reward,
            dream_ended(outcome, ending[self._episode[:n]], config, self._engine.memory.config.done_weight),
        )

    def record(self, which: Tensor, returns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Write the returns so far of `which` (bool [n]) into returns [P, E]; gives their places in it."""
        n = self.rows.count
        places = self._candidate[:n][which].cpu().numpy(), self._episode[:n][which].cpu().numpy()
        returns[places] = self._total[:n][which].cpu().numpy()
        return places

    def drop(self, ended: Tensor) -> None:
        """Go on without the dreams that `ended` (bool [n])."""
        beside = [matrix for follower in self._beside for matrix in follower.matrices]
        self.rows.drop(ended, self._candidate, self._episode, self._total, *beside)

    @property
    def _beside(self) -> tuple[Follower, ...]:
        """All Ms that follow the dreams."""
        doubting = () if self._doubt is None else self._doubt.others
        return doubting if self._follower is None else (self._follower, *doubting)

    def _wake(self, moments: Moments, seeds: Sequence[int]) -> None:
        """Give each M the state that it had at the moment where its dream begins."""
        states = iter(moments.states(seeds, self._episode))
        self.rows.resume(self.rows.z.clone(), *next(states), torch.zeros_like(self.rows.restart))
        for follower in self._beside:
            follower.resume(*next(states), torch.zeros_like(follower.restart))


def dream_reward(outcome: Outcome, action: Tensor, spec: WorldSpec) -> Tensor:
    """The rewards of n dreams for a step, float32 [n]: the game's steps for surviving it, or what M predicts."""
    if spec.reward == "survival":
        return action.new_full((len(action),), spec.repeat)
    assert outcome.reward is not None, "check_dream lets no such M through"
    return outcome.reward


def ending_chance(outcome: Outcome, config: DreamConfig, weight: float) -> Tensor | None:
    """The chance of each of n dreams to end here, float32 [n]; None where M says nothing of endings.

    weight: of endings in M's training (`MemoryConfig.done_weight`); it multiplies the odds that M gives them
    """
    if outcome.done_logit is None:
        return None
    if config.done == "cutoff":
        return (outcome.done_logit > 0).float()
    return (outcome.done_logit - (math.log(weight) if config.done == "calibrated" else 0.0)).sigmoid()


def dream_ended(outcome: Outcome, uniform: Tensor, config: DreamConfig, weight: float) -> Tensor:
    """Which of n dreams end here, bool [n]: sigmoid(logit) is over one half, or over `uniform` [n]."""
    chance = ending_chance(outcome, config, weight)
    return torch.zeros_like(uniform, dtype=torch.bool) if chance is None else chance > uniform


@torch.inference_mode()
def dream_returns(
    engine: DreamEngine, params: np.ndarray, episode_seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Dream each of E episodes with each of P candidates [P, n].

    Returns the sums of rewards, float64 [P, E], and the lengths in steps, int64 [P, E].
    """
    dreams = Dreams(engine, params, episode_seeds)
    returns = np.zeros((len(params), len(episode_seeds)))
    steps = np.full(returns.shape, engine.max_steps)
    for step in range(1, engine.max_steps + 1):
        _, _, ended = dreams.step()
        if ended.any():
            steps[dreams.record(ended, returns)] = step
            dreams.drop(ended)
            if dreams.rows.count == 0:
                break
    dreams.record(torch.ones_like(ended[: dreams.rows.count]), returns)
    return returns, steps
