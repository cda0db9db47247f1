"""M's loss: the negative log-likelihood of the mixtures, and the losses of the heads that M has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.memory.batch import Batch
from reverie.memory.config import DONE_WEIGHT
from reverie.memory.kernel import load_kernel
from reverie.memory.lstm import LSTMState
from reverie.memory.mixture import HALF_LOG_TAU, log_prob
from reverie.memory.model import MDNRNN, two_hot
from reverie.worlds.spec import ActionSpec, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverie.vision.latents import LatentEpisode
    from reverie.worlds.spec import ActionSpec

CHUNK_ROWS = 256  # rows of outputs at once: the mixture's arithmetic stays in the cache


def memory_loss(
    model: MDNRNN,
    state: LSTMState,
    batch: Batch,
    actions: ActionSpec | None = None,
    dtype: torch.dtype = torch.float32,
    dropout: Tensor | None = None,
) -> tuple[LSTMState, Tensor, dict[str, Tensor]]:
    """Run M over a batch from `state`; returns the state after it, the loss and its terms, all means over steps.

    z_nll: nats for each latent dimension; done: sigmoid cross entropy, ends weighted by `DONE_WEIGHT`
    reward: squared error in units of `reward_scale`; with bins, two-hot cross entropy
    action: squared error of the next action, cross entropy of its parts that are one-hot (`actions`; None: none are)
    survival: see `survival_loss`. The loss is their sum. Matrices are multiplied in `dtype`, the rest is in float32.
    dropout: what each stream's h is multiplied by before the outputs see it, [B, H] in `dtype`
    """
    state, hidden = model.unroll(state, batch.z, batch.action, batch.restart, dtype)
    hidden = hidden if dropout is None else hidden * dropout.to(hidden.device)
    outputs = F.linear(hidden.flatten(0, 1), model.head_weight.to(dtype), model.head_bias.to(dtype))
    parts = model.parts(outputs)
    target = batch.next_z if model.carry is None else batch.next_z - model.carry * batch.z
    metrics = {"z_nll": mixture_nll(parts["mixtures"], target.flatten(0, 1), model.config.mixtures)}
    if "done" in parts:
        weight = torch.tensor(DONE_WEIGHT, device=outputs.device)
        logit = parts["done"].float().squeeze(-1)
        metrics["done"] = F.binary_cross_entropy_with_logits(logit, batch.done.flatten(), pos_weight=weight)
    if "reward" in parts:
        metrics["reward"] = _reward_loss(model, parts["reward"].float(), batch)
    if "survival" in parts:
        one_hot = actions is not None and actions.kind == "discrete"
        metrics["survival"] = survival_loss(parts["survival"].float(), batch, model.config.survival_head, one_hot)
    if "action" in parts:
        metrics["action"] = _action_loss(parts["action"].float(), batch, actions)
    return state, torch.stack(list(metrics.values())).sum(), metrics


def _reward_loss(model: MDNRNN, outputs: Tensor, batch: Batch) -> Tensor:
    reward = batch.reward.flatten()
    if not model.config.reward_bins:
        return F.mse_loss(outputs.squeeze(-1), reward / model.reward_scale)
    return F.cross_entropy(outputs, two_hot(reward, model.reward_values()))


def _action_loss(outputs: Tensor, batch: Batch, actions: ActionSpec | None) -> Tensor:
    """The mean, over the steps that have a next action in their episode, of the sum over the action's parts."""
    target, has_next = batch.next_action.flatten(0, 1), batch.has_next.flatten()
    spans = actions.spans if actions else (Span(0, outputs.shape[-1], one_hot=False),)
    losses = torch.stack([_part_loss(outputs, target, span) for span in spans]).sum(0)
    return (losses * has_next).sum() / has_next.sum().clamp(min=1)


def _part_loss(outputs: Tensor, target: Tensor, span: Span) -> Tensor:
    """Of one part of the action, for each step: cross entropy where it is one-hot, else the squared error."""
    outputs, target = outputs[:, span.start : span.stop], target[:, span.start : span.stop]
    if span.one_hot:
        return F.cross_entropy(outputs, target, reduction="none")
    return (torch.tanh(outputs) - target).square().mean(-1)


def survival_loss(outputs: Tensor, batch: Batch, horizons: tuple[int, ...], one_hot: bool) -> Tensor:
    """The mean sigmoid cross entropy of the survival head's outputs [L * B, actions * horizons] where labels are known.

    The intervals end at the horizons: up to `horizons[0]` steps, on to `horizons[1]` and so on. For the action that
    follows a step, an interval's label is 1 where the episode ends in it while the action is held, 0 where the action
    is held to its end. Intervals after the end of the episode, and from a change of the action on, have no label.
    """
    action = batch.next_action.flatten(0, 1)
    held, dies = batch.hold_steps.flatten()[:, None], batch.hold_dies.flatten()[:, None]
    index = action.argmax(-1) if one_hot else (action[:, 0] + 1).long()
    logits = outputs.unflatten(-1, (-1, len(horizons)))[torch.arange(len(index), device=index.device), index]
    last = held.new_tensor(horizons)
    first = torch.cat([last.new_zeros(1), last[:-1]])
    ended = ((held > first) & (held <= last) & (dies > 0)).float()
    survived = ((held > last) | ((held == last) & (dies == 0))).float()
    losses = F.binary_cross_entropy_with_logits(logits, ended, reduction="none") * (ended + survived)
    return losses.sum() / (ended + survived).sum().clamp(min=1)


def mixture_nll(outputs: Tensor, z: Tensor, mixtures: int) -> Tensor:
    """The mean negative log density of z [N, Nz] in nats, over dimensions and rows; outputs [N, 3 K Nz] in M's order.

    It equals `-log_prob(...).mean()`. Both passes take a cache-sized chunk of rows at a time.
    """
    nll: Tensor = _MixtureNLL.apply(outputs, z, mixtures)
    return nll


class _MixtureNLL(torch.autograd.Function):
    """Computes the gradient beside the value, from the same exponentials."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, z: Tensor, mixtures: int) -> Tensor:
        ctx.mixtures = mixtures
        kernel = load_kernel(outputs.dtype) if z.dtype == torch.float32 and z.device.type == "cpu" else None
        if kernel is not None:
            nll, gradient = kernel.mixture(mixtures, outputs, z.contiguous())
            ctx.save_for_backward(gradient)
            return nll.sum() / z.numel() + HALF_LOG_TAU
        gradient = torch.empty(outputs.shape, dtype=outputs.dtype, device=outputs.device)
        total = z.new_zeros(())
        for rows, target, slope in zip(*(part.split(CHUNK_ROWS) for part in (outputs, z, gradient)), strict=True):
            value, derivative = _chunk(rows.to(z.dtype).unflatten(-1, (3, mixtures, -1)), target)
            total += value
            slope.copy_(derivative.div_(z.numel()).flatten(1))
        ctx.save_for_backward(gradient)
        return total / z.numel()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        if grads[0] != 1:  # it is 1 where the loss is a plain sum of its terms: skip a pass over a large tensor
            gradient = gradient * grads[0].to(gradient.dtype)
        by_z = None  # a density falls as the means that it is measured from come nearer
        if ctx.needs_input_grad[1]:
            by_z = -gradient.unflatten(-1, (3, ctx.mixtures, -1))[:, 1].float().sum(1)
        return gradient, by_z, None


def _chunk(parts: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """The sum of -log p(z) and its gradient by the logits, means and log stds in parts [n, 3, K, Nz].

    With pi the mixture weights, r the responsibilities of the components for z and u = (z - mean) / std, the
    gradients are pi - r, -r u / std and r (1 - u^2).
    """
    logits, mean, log_std = parts.unbind(1)
    precision = torch.exp(-log_std)
    u = (z.unsqueeze(1) - mean).mul_(precision)
    joint = torch.addcmul(logits - log_std, u, u, value=-0.5)
    weights, log_weights = _softmax(logits)
    responsibility, log_joint = _softmax(joint)
    gradient = torch.empty_like(parts)
    torch.sub(weights, responsibility, out=gradient[:, 0])
    residual = responsibility * u
    torch.mul(residual, precision, out=gradient[:, 1]).neg_()
    torch.addcmul(responsibility, residual, u, value=-1, out=gradient[:, 2])
    return (log_weights - log_joint + HALF_LOG_TAU).sum(), gradient


def _softmax(x: Tensor) -> tuple[Tensor, Tensor]:
    """softmax over K, [n, K, Nz], and logsumexp, [n, 1, Nz]."""
    highest = x.amax(1, keepdim=True)
    weights = (x - highest).exp_()
    total = weights.sum(1, keepdim=True)
    return weights.div_(total), total.log().add_(highest)


@torch.inference_mode()
def surprise(memory: MDNRNN, actions: ActionSpec, episode: LatentEpisode) -> np.ndarray:
    """M's negative log-likelihood of each step of an episode, float32 [T], in nats for each latent dimension.

    V's means stand in for samples from its Gaussians, so the result is deterministic.
    """
    z = torch.from_numpy(episode.mu.astype(np.float32))[None]
    a = torch.from_numpy(actions.for_memory(episode.actions).astype(np.float32))[None]
    restart = torch.zeros(a.shape[:2])
    restart[:, 0] = 1
    _, prediction = memory(memory.initial_state(1), z[:, :-1], a, restart)
    log_density = log_prob(prediction.logits, prediction.mean, prediction.log_std, z[:, 1:])
    nll: np.ndarray = -log_density.mean(-1)[0].numpy()
    return nll


def surprise_statistics(memory: MDNRNN, actions: ActionSpec, episodes: Sequence[LatentEpisode]) -> tuple[float, float]:
    """The mean and the standard deviation (at least 1e-6) of `surprise` over all steps of the episodes."""
    nll = np.concatenate([surprise(memory, actions, episode) for episode in episodes]).astype(np.float64)
    return float(nll.mean()), max(float(nll.std()), 1e-6)
