"""An update of C by backpropagation through the dream: up the lambda-returns' slope (Dreamer; Hafner et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.controller.policy import normal_entropy
from reverie.learning.config import GradientConfig
from reverie.learning.dreams import AllDreams
from reverie.learning.learner import Learner, counted, require_finite
from reverie.learning.unrolling import Window, unroll

STEEPEST = 1.0  # norm that C's gradient is cut to: where M is chaotic a few dreams would outweigh all others


def update(
    dreams: AllDreams,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    config: GradientConfig,
    generator: torch.Generator,
    number: int,
) -> tuple[list[float], dict[str, float]]:
    """Improve C on a window of every dream, and the critic after it; `number` is the update's, from 0.

    Returns what the dreams that ended in it have brought, and the metrics entropy and explained.
    """
    windows = [unroll(part, learner, config.window, generator) for part in dreams.parts]
    window = Window(*(torch.cat(each, min(1, each[0].ndim - 1)) for each in zip(*windows, strict=True)))
    values = learner.value(window.features)
    reward = counted(window.reward, config) / learner.reward_scale
    returns = lambda_returns(window._replace(reward=reward), values, config)
    _climb(learner, optimizer, (window.reached * returns).mean(), config, number)
    returns = returns.detach()
    explained = _explained(returns, values[:-1].detach(), window.reached)
    _judge(learner, optimizer, window, returns, config, generator)
    ended, _ = dreams.renew(window.stopped, generator)
    return ended, {"entropy": normal_entropy(learner.log_spread).item(), "explained": explained}


def lambda_returns(window: Window, values: Tensor, config: GradientConfig) -> Tensor:
    """The discounted returns [T, n] from each step on: mixed of those that 1, 2, ... steps and the critic give.

    values [T + 1, n]: the critic's, before each step and after the last. At the cap it says what would have followed.
    """
    returns, found = values[-1], list[Tensor]()
    for t in reversed(range(len(window.reward))):
        following = torch.where(window.cut[t], values[t + 1], values[t + 1].lerp(returns, config.trace))
        returns = window.reward[t] + config.discount * window.goes_on[t] * following
        found.append(returns)
    return torch.stack(found[::-1])


def _climb(
    learner: Learner, optimizer: torch.optim.Optimizer, gain: Tensor, config: GradientConfig, number: int
) -> None:
    """One step of C up the returns' mean."""
    own = [learner.scaled, learner.log_spread]
    loss = -gain - config.entropy * normal_entropy(learner.log_spread)
    require_finite("loss", loss.item(), config, number)
    optimizer.zero_grad()
    loss.backward(inputs=own)
    norm = torch.nn.utils.clip_grad_norm_(own, STEEPEST)
    require_finite("gradient", norm.item(), config, number)
    optimizer.step()


def _judge(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    window: Window,
    returns: Tensor,
    config: GradientConfig,
    generator: torch.Generator,
) -> None:
    """The critic's passes over the window; a step counts as far as it is reached."""
    seen, target, weight = window.features[:-1].detach().flatten(0, 1), returns.flatten(), window.reached.flatten()
    for _ in range(config.epochs):
        for index in torch.randperm(len(target), generator=generator, device=target.device).chunk(config.batches):
            error = learner.value(seen[index]) - target[index]
            optimizer.zero_grad()
            (weight[index] * error.square()).mean().backward()
            optimizer.step()


def _explained(returns: Tensor, values: Tensor, weight: Tensor) -> float:
    """The share of the returns' variance that the critic foresaw."""
    return float(1 - _variance(returns - values, weight) / _variance(returns, weight).clamp_min(1e-12))


def _variance(x: Tensor, weight: Tensor) -> Tensor:
    mean = (weight * x).sum() / weight.sum()
    return (weight * (x - mean).square()).sum() / weight.sum()
