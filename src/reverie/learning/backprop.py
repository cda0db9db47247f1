"""An update of C by backpropagation through the dream, up the slope of lambda-returns (Dreamer; Hafner et al., 2020).

`unroll` is the one dream step that is not `Dream.step`: gradients have to pass through it. M's matrices are multiplied
as the engine multiplies them, all else is in float32. Which of a mixture's Gaussians z is drawn from has no gradient;
where in it z lies has (Kingma & Welling, 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.controller.policy import normal_entropy
from reverie.dream.engine import DreamEngine, ending_chance, step_reward
from reverie.dream.rows import Heads, PackedMemory, expected_latent
from reverie.feature_env import Observation
from reverie.learning.config import NUM_MINIBATCHES, PPOConfig
from reverie.learning.dream_rollouts import DreamRollouts, DreamWindow, EndlessDreams
from reverie.learning.learner import Learner, clip_reward, require_finite
from reverie.memory.config import DONE_WEIGHT
from reverie.memory.lstm import LSTMState, cell
from reverie.memory.mixture import sample

MAX_GRAD_NORM = 1.0  # of C's gradient: where M is chaotic a few dreams would outweigh all others


def update(
    rollouts: DreamRollouts,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    config: PPOConfig,
    generator: torch.Generator,
    number: int,
) -> tuple[dict[str, float], list[float]]:
    """Improve C on a window of every dream, and the critic after it; `number` is the update's, from 0.

    Returns the metrics entropy and explained_variance, and the returns of the dreams that ended in the window.
    """
    if number == 0:
        learner.set_scale(*rollouts.survey(learner, generator), config.gamma)
    windows = [unroll(part, learner, config.num_steps, generator) for part in rollouts.parts]
    window = DreamWindow(*(torch.cat(each, min(1, each[0].ndim - 1)) for each in zip(*windows, strict=True)))
    rollouts.steps += window.reward.numel()
    values = learner.value(window.features)
    reward = clip_reward(window.reward, config) / learner.reward_scale
    returns = lambda_returns(window._replace(reward=reward), values, config)
    _improve_controller(learner, optimizer, (window.reached * returns).mean(), config, number)
    returns = returns.detach()
    explained = _explained_variance(returns, values[:-1].detach(), window.reached)
    _improve_critic(learner, optimizer, window, returns, config, generator)
    ended = rollouts.renew(window.stopped, generator)
    return {"entropy": normal_entropy(learner.log_std).item(), "explained_variance": explained}, ended


class _Memory(NamedTuple):
    """An M between two steps: h [n, H] in its dtype, c [n, H], and the restart input [n, 1] (no columns without)."""

    memory: PackedMemory
    h: Tensor
    c: Tensor
    restart: Tensor

    def after(self, z: Tensor, encoded: Tensor) -> _Memory:
        """The same, a step later."""
        parts = (part.to(self.memory.dtype) for part in (self.h, z, encoded, self.restart))
        gates = F.linear(torch.cat([*parts], 1), self.memory.gates).float() + self.memory.bias
        h, c = cell(gates, self.c)
        return _Memory(self.memory, h.to(self.memory.dtype), c, torch.zeros_like(self.restart))


def unroll(dreams: EndlessDreams, learner: Learner, steps: int, generator: torch.Generator) -> DreamWindow:
    """Let C act in the dreams for some steps; they are left where that led, those that `stopped` too.

    Gradients lead from features, reward and survives to C's parameters and the std of what it tries.
    """
    dream, engine, dreams.noise.generator = dreams.dream, dreams.dream.engine, generator
    z, going = dream.rows.z.clone(), torch.ones_like(dreams.age, dtype=torch.bool)
    memories = [_Memory(each.memory, *map(torch.clone, (*each.state, each.restart))) for each in dream.memories]
    dropout = None if dream.rows.dropout is None else dream.rows.dropout.clone()
    ages = dreams.age + torch.arange(1, steps + 1, device=z.device)[:, None]  # [T, n], after each step
    features, rewards, survives = [_features(engine, z, memories)], list[Tensor](), list[Tensor]()
    for _ in range(steps):
        choice = learner.policy.draw(learner.outputs(features[-1]), learner.log_std, generator)
        encoded = learner.policy.encode_action(choice)
        component, spread, uniform = dreams.noise.next()
        memories = [memory.after(z, encoded) for memory in memories]
        h = memories[0].h if dropout is None else memories[0].h * dropout
        outputs = F.linear(h, engine.memory.head)
        heads, absorbed = engine.memory.split(outputs.float() + engine.memory.head_bias, z), z
        z = sample(heads.logits, heads.mean, heads.log_std, engine.config.temperature, component, spread)
        reward = step_reward(Heads(heads.done_logit, heads.reward), encoded, engine.spec)
        chance = _ending_chance(engine, heads.done_logit, reward)
        dreams.total += (reward * going).detach()
        dreams.age += going
        going = going & (chance <= uniform) & (dreams.age < dreams.horizon)
        learned = -chance if dreams.is_survival else reward
        penalty = 0.0 if dream.disagreement is None else _penalty(dreams, absorbed, outputs, memories)
        rewards.append(learned - penalty)
        survives.append(1 - chance)
        features.append(_features(engine, z, memories))
    _leave(dreams, z, memories)
    chances = torch.stack(survives)
    before = torch.cat([torch.ones_like(chances[:1]), chances[:-1].detach()]).cumprod(0)
    reached, cut = before * (ages <= dreams.horizon), ages == dreams.horizon
    return DreamWindow(torch.stack(features), torch.stack(rewards), chances, reached, cut, ~going)


def _features(engine: DreamEngine, z: Tensor, memories: Sequence[_Memory]) -> Tensor:
    """C's features, float32 [n, F]."""
    seen = memories[0 if engine.seen is None else 1]
    return Observation(z, LSTMState(seen.h, seen.c), engine.expectation).features(engine.inputs)


def _ending_chance(engine: DreamEngine, done_logit: Tensor | None, like: Tensor) -> Tensor:
    """The chance of an end, [n]."""
    chance = ending_chance(Heads(done_logit, None), engine.config, DONE_WEIGHT)
    return torch.zeros_like(like) if chance is None else chance


def _penalty(dreams: EndlessDreams, z: Tensor, outputs: Tensor, memories: Sequence[_Memory]) -> Tensor:
    """What the Ms' disagreement on the step costs, [n]; z: that they absorbed; outputs: of the M that dreams."""
    disagreement = dreams.dream.disagreement
    assert disagreement is not None
    others = memories[len(memories) - len(disagreement.others) :]
    expected = [expected_latent(memory.memory, F.linear(memory.h, memory.memory.head), z) for memory in others]
    return disagreement.price([expected_latent(dreams.dream.rows.memory, outputs, z), *expected])


@torch.no_grad()
def _leave(dreams: EndlessDreams, z: Tensor, memories: Sequence[_Memory]) -> None:
    """Leave the dreams where the window has led."""
    dreamer, *others = memories
    dreams.dream.rows.resume(z, dreamer.h, dreamer.c, dreamer.restart)
    for follower, memory in zip(dreams.dream.followers, others, strict=True):
        follower.resume(memory.h, memory.c, memory.restart)


def lambda_returns(window: DreamWindow, values: Tensor, config: PPOConfig) -> Tensor:
    """The discounted returns [T, n] from each step on: mixed of those that 1, 2, ... steps and the critic give.

    values [T + 1, n]: the critic's, before each step and after the last. At the horizon they say what would
        have followed.
    """
    returns, steps = values[-1], list[Tensor]()
    for t in reversed(range(len(window.reward))):
        following = torch.where(window.cut[t], values[t + 1], values[t + 1].lerp(returns, config.gae_lambda))
        returns = window.reward[t] + config.gamma * window.survives[t] * following
        steps.append(returns)
    return torch.stack(steps[::-1])


def _improve_controller(
    learner: Learner, optimizer: torch.optim.Optimizer, gain: Tensor, config: PPOConfig, number: int
) -> None:
    """One step of C up the returns' mean."""
    own = [learner.scaled, learner.log_std]
    loss = -gain - config.ent_coef * normal_entropy(learner.log_std)
    require_finite("loss", loss.item(), config, number)
    optimizer.zero_grad()
    loss.backward(inputs=own)
    norm = torch.nn.utils.clip_grad_norm_(own, MAX_GRAD_NORM)
    require_finite("gradient", norm.item(), config, number)
    optimizer.step()


def _improve_critic(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    window: DreamWindow,
    returns: Tensor,
    config: PPOConfig,
    generator: torch.Generator,
) -> None:
    """The critic's passes over the window; a step counts as far as it is reached."""
    features, target, weight = window.features[:-1].detach().flatten(0, 1), returns.flatten(), window.reached.flatten()
    for _ in range(config.n_epochs):
        for index in torch.randperm(len(target), generator=generator, device=target.device).chunk(NUM_MINIBATCHES):
            error = learner.value(features[index]) - target[index]
            optimizer.zero_grad()
            (weight[index] * error.square()).mean().backward()
            optimizer.step()


def _explained_variance(returns: Tensor, values: Tensor, weight: Tensor) -> float:
    """The share of the returns' variance that the critic foresaw."""
    return float(1 - _variance(returns - values, weight) / _variance(returns, weight).clamp_min(1e-12))


def _variance(x: Tensor, weight: Tensor) -> Tensor:
    mean = (weight * x).sum() / weight.sum()
    return (weight * (x - mean).square()).sum() / weight.sum()
