"""What learns by gradients: C's parameters and the critic, both on features brought to one scale; and PPO's loss."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from reverie.controller.model import Controller
from reverie.controller.policy import Policy
from reverie.errors import ReverieError
from reverie.learning.config import CLIP_RANGE, CRITIC_SIZE, INITIAL_STD, PPOConfig

MIN_REWARD_SCALE = 0.01  # that a deviation is taken to be: a C that hardly ever fails does not blow its ends up
MIN_SCALE = 0.05  # that a feature is taken to have; a cell that hardly moves is not blown up


class Experience(NamedTuple):
    """What an update learns from: features [N, F], choices [N, A], their log_prob [N], advantages and returns [N]."""

    features: Tensor
    choice: Tensor
    log_prob: Tensor
    advantage: Tensor
    returns: Tensor


class Learner(nn.Module):
    """C's parameters, `scaled` by the size of the feature that a weight reads, and the critic."""

    scale: Tensor
    reward_scale: Tensor

    def __init__(self, controller: Controller, start: np.ndarray | None, seed: int) -> None:
        """start: C's parameters [n], None for zeros (hidden layers are drawn: zeros have no gradient)."""
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self._start = first_params(controller, generator) if start is None else torch.from_numpy(start).float()
        self.controller, self.policy = controller, Policy(controller)
        self.scaled = nn.Parameter(self._start.clone())
        self.log_std = nn.Parameter(torch.full((controller.actions.size,), INITIAL_STD).log())
        size, hidden = controller.feature_size, CRITIC_SIZE
        self.critic_in, self.critic_out = nn.Linear(size, hidden), nn.Linear(hidden, 1)
        with torch.no_grad():
            self.critic_in.weight.normal_(0, size**-0.5, generator=generator)
            for zeroed in (self.critic_in.bias, self.critic_out.weight, self.critic_out.bias):
                zeroed.zero_()
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("reward_scale", torch.ones(()))

    @property
    def params(self) -> Tensor:
        """C's parameters [n]."""
        return self.scaled / self._sizes()

    @property
    def has_scale(self) -> bool:
        """Whether the scales have been set."""
        return bool((self.scale != 1).any())

    def set_scale(self, features: Tensor, rewards: Tensor, discount: float) -> None:
        """Take the mean squares of features [F] and rewards [] for scales; C's parameters stay what they were.

        Rewards are scaled so that discounted sums of independent ones would have a deviation of about 1.
        """
        with torch.no_grad():
            before = self.params.clone()
            self.scale.copy_(features.sqrt().clamp_min(MIN_SCALE))
            deviation = rewards / (1 - min(discount, 0.999) ** 2)
            self.reward_scale.copy_(deviation.sqrt().clamp_min(MIN_REWARD_SCALE))
            self.scaled.copy_(before * self._sizes())

    def set_params(self, params: np.ndarray) -> None:
        """C's parameters [n] are these now, whatever they were."""
        with torch.no_grad():
            self.scaled.copy_(torch.from_numpy(params).float() * self._sizes())

    def move(self, scaled: Tensor, log_std: Tensor) -> None:
        """C's parameters, as they are scaled, and its std are these now."""
        with torch.no_grad():
            self.scaled.copy_(scaled)
            self.log_std.copy_(log_std)

    def narrow(self, last: float | None, share: float) -> float:
        """Hold the std at most where a geometric fall to `last` is after that `share`, 0 to 1, of all updates.

        Returns by how much learning should be slower than at first: steps that suit a wide policy are wild in a narrow
        one. A softmax has no std and stays as it is.
        """
        if last is None or not self.policy.has_std:
            return 1.0
        factor = (last / INITIAL_STD) ** share
        with torch.no_grad():
            self.log_std.clamp_(max=math.log(INITIAL_STD * factor))
        return factor

    def outputs(self, features: Tensor) -> Tensor:
        """C's outputs before tanh [N, A] on features [N, F]."""
        return self.controller.outputs(self.params[None], features[None])[0]

    def value(self, features: Tensor) -> Tensor:
        """The critic's guess at the discounted return [N]."""
        x: Tensor = self.critic_out(self.critic_in(features / self.scale).tanh())
        return x[..., 0]

    def _sizes(self) -> Tensor:
        """For each parameter of C the size of the feature that it reads; 1 where it reads none."""
        inputs, outputs = self.controller.layers[0]
        first = self.scale[:, None].expand(inputs, outputs).reshape(-1)
        return torch.cat([first, first.new_ones(self.controller.parameter_count - len(first))])


def first_params(controller: Controller, generator: torch.Generator) -> Tensor:
    """Where C begins [n]: zeros, as CMA-ES does, but for the hidden layer of one that has it."""
    params = torch.zeros(controller.parameter_count)
    if len(controller.layers) > 1:
        inputs, outputs = controller.layers[0]
        params[: inputs * outputs].normal_(0, inputs**-0.5, generator=generator)
    return params


def loss_of(learner: Learner, some: Experience, config: PPOConfig) -> tuple[Tensor, Tensor]:
    """PPO's clipped loss on some experience, and the policy's mean entropy.

    The critic shares no parameter with C and Adam takes no notice of a loss's scale, so its error needs no weight.
    """
    log_prob, entropy = learner.policy.evaluate_actions(learner.outputs(some.features), learner.log_std, some.choice)
    ratio = (log_prob - some.log_prob).exp()
    clipped = ratio.clamp(1 - CLIP_RANGE, 1 + CLIP_RANGE)
    gain = torch.minimum(ratio * some.advantage, clipped * some.advantage).mean()
    error = (learner.value(some.features) - some.returns).square().mean()
    return error - gain - config.ent_coef * entropy.mean(), entropy.mean().detach()


def clip_reward(rewards: Tensor, config: PPOConfig) -> Tensor:
    """Rewards of any shape, clipped from above."""
    return rewards if config.reward_clip is None else rewards.clamp_max(config.reward_clip)


def gae(
    rewards: Tensor,
    values: Tensor,
    cut_values: Tensor,
    stops: Tensor,
    config: PPOConfig,
    chosen: Tensor | None = None,
) -> Tensor:
    """Generalized advantages [T, N]: how much better than the critic's guess each choice turned out.

    rewards [T, N]; values [T + 1, N] of the states before each step and after the last; stops bool [T, N], after
    which another dream begins; cut_values [T, N]: of the state that a dream was cut off at, 0 where it ended
    chosen: bool [T, N], where C chose; elsewhere an earlier choice went on, which is judged by all that it led to.
        None: everywhere
    """
    advantages = torch.zeros_like(rewards)
    last = torch.zeros_like(rewards[0])
    trace = torch.full_like(rewards, config.gae_lambda)  # of the next step's advantage in a step's own
    if chosen is not None:
        trace[:-1][~chosen[1:]] = 1.0
    for t in reversed(range(len(rewards))):
        following = torch.where(stops[t], cut_values[t], values[t + 1])
        delta = rewards[t] + config.gamma * following - values[t]
        last = delta + config.gamma * trace[t] * last * ~stops[t]
        advantages[t] = last
    return advantages


def require_finite(what: str, value: float, config: PPOConfig, number: int) -> None:
    """Stop where the "loss", say, of an update (by its number from 0) would make C something that is no number."""
    if not math.isfinite(value):
        raise ReverieError(
            f"C's {what} is {value} at update {number + 1}, expected a finite number; lower "
            f"ppo.learning_rate ({config.learning_rate}) and train C again in another run folder"
        )
