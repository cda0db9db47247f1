"""An update of C by PPO (Schulman et al., 2017) on any experience."""

from __future__ import annotations

import torch
from torch import Tensor

from reverie.learning.config import NUM_MINIBATCHES, PPOConfig
from reverie.learning.learner import Experience, Learner, loss_of, require_finite
from reverie.workers.shards import SHARDS, Shards

BACKTRACKS = 8  # halvings of a step of C that is too long, the last of which leaves nothing of it


def update(
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    experience: Experience,
    config: PPOConfig,
    generator: torch.Generator,
    number: int,
) -> dict[str, float]:
    """PPO's passes over the experience, in shards of each minibatch; `number` is the update's, from 0.

    Returns the metrics entropy (of the last pass), explained_variance and, under a limit of the KL, kl_backtracks: the
    share of C's steps that were shortened. The critic's never are.
    """

    def loss(part: tuple[Experience, float]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        some, weight = part
        value, entropy = loss_of(learner, some, config)
        return weight * value, (weight * value.detach(), weight * entropy)

    shards = Shards(SHARDS, experience.returns.device)
    count, entropies, raw, shortened = len(experience.returns), list[Tensor](), experience.advantage, 0
    metrics = {"explained_variance": explained_variance(experience)}
    experience = experience._replace(advantage=(raw - raw.mean()) / raw.std().clamp_min(1e-8))
    for _ in range(config.n_epochs):
        entropies.clear()
        order = torch.randperm(count, generator=generator, device=experience.returns.device)
        for index in order.chunk(NUM_MINIBATCHES):
            batch = Experience(*(part[index] for part in experience))
            parts = [Experience(*part) for part in zip(*(part.chunk(shards.count) for part in batch), strict=True)]
            weighted = [(part, len(part.returns) * len(parts) / len(index)) for part in parts]  # of unequal sizes
            gradients, terms = shards.gradients(list(learner.parameters()), loss, weighted)
            require_finite("loss", float(torch.stack([value for value, _ in terms]).mean()), config, number)
            for parameter, gradient in zip(learner.parameters(), gradients, strict=True):
                parameter.grad = gradient
            entropy = torch.stack([value for _, value in terms]).mean()
            before = learner.scaled.detach().clone(), learner.log_std.detach().clone()
            optimizer.step()
            if config.target_kl is not None:
                shortened += _backtrack(learner, batch, *before, config.target_kl)
            entropies.append(entropy)
    metrics["entropy"] = float(torch.stack(entropies).mean())
    if config.target_kl is not None:
        metrics["kl_backtracks"] = shortened / (config.n_epochs * NUM_MINIBATCHES)
    return metrics


@torch.no_grad()
def _backtrack(learner: Learner, batch: Experience, scaled: Tensor, log_std: Tensor, limit: float) -> bool:
    """Halve C's last step, from what it was before, until its KL is within the limit; False where it is.

    After `BACKTRACKS` in vain the step is undone.
    """
    if kl_divergence(learner, batch) <= limit:
        return False
    step, std_step = learner.scaled - scaled, learner.log_std - log_std
    for halving in range(1, BACKTRACKS + 1):
        part = 0.5**halving if halving < BACKTRACKS else 0.0
        learner.move(scaled + part * step, log_std + part * std_step)
        if kl_divergence(learner, batch) <= limit:
            break
    return True


@torch.no_grad()
def kl_divergence(learner: Learner, batch: Experience) -> float:
    """KL(then || now) in nats, between the policy that the experience was drawn by and the learner's.

    Estimated from the choices drawn, as mean(ratio - 1 - log ratio), which is never below 0.
    """
    now, _ = learner.policy.evaluate_actions(learner.outputs(batch.features), learner.log_std, batch.choice)
    log_ratio = now - batch.log_prob
    return float((log_ratio.exp() - 1 - log_ratio).mean())


def explained_variance(experience: Experience) -> float:
    """The share of the returns' variance that the critic foresaw."""
    error = experience.advantage.var() / experience.returns.var().clamp_min(1e-12)
    return float(1 - error)
