"""What M is trained to make small: the mixtures' negative log-likelihood and the losses of the heads it has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.memory.batch import Batch
from reverie.memory.kernel import load_kernel
from reverie.memory.lstm import LSTMState
from reverie.memory.mixture import HALF_LOG_TAU
from reverie.memory.model import MDNRNN

CHUNK_ROWS = 256  # of outputs at once: what a step of the mixture's arithmetic touches stays in the cache


def memory_loss(
    model: MDNRNN,
    state: LSTMState,
    batch: Batch,
    one_hot: bool = False,
    dtype: torch.dtype = torch.float32,
    dropout: Tensor | None = None,
) -> tuple[LSTMState, Tensor, dict[str, Tensor]]:
    """Run M over a batch from `state`; returns the state behind it, the loss and its terms, all means over steps.

    z_nll: nats for each latent dimension; done: sigmoid cross entropy, ends weighted by `done_weight`;
    reward: squared error in units of `reward_scale`; action: squared error of the next action, cross entropy where
    actions are `one_hot`; outlook: see `outlook_loss`. The loss is their
    sum. Matrices are multiplied in `dtype`, the rest is in float32.
    dropout: what each stream's h is multiplied by before the outputs see it, [B, H] in `dtype`
    """
    state, hidden = model.unroll(state, batch.z, batch.action, batch.restart, dtype)
    hidden = hidden if dropout is None else hidden * dropout.to(hidden.device)
    outputs = F.linear(hidden.flatten(0, 1), model.head_weight.to(dtype), model.head_bias.to(dtype))
    parts = model.parts(outputs)
    metrics = {"z_nll": mixture_nll(parts["mixtures"], batch.next_z.flatten(0, 1), model.config.mixtures)}
    if "done" in parts:
        weight = torch.tensor(model.config.done_weight, device=outputs.device)
        logit = parts["done"].float().squeeze(-1)
        metrics["done"] = F.binary_cross_entropy_with_logits(logit, batch.done.flatten(), pos_weight=weight)
    if "reward" in parts:
        reward = parts["reward"].float().squeeze(-1)
        metrics["reward"] = F.mse_loss(reward, batch.reward.flatten() / model.reward_scale)
    if "outlook" in parts:
        metrics["outlook"] = outlook_loss(parts["outlook"].float(), batch, model.config.outlook, one_hot)
    if "action" in parts:
        metrics["action"] = _action_loss(parts["action"].float(), batch, one_hot)
    return state, torch.stack(list(metrics.values())).sum(), metrics


def _action_loss(outputs: Tensor, batch: Batch, one_hot: bool) -> Tensor:
    """The mean over the steps that have a next action in their episode."""
    target, has_next = batch.next_action.flatten(0, 1), batch.has_next.flatten()
    if one_hot:
        losses = F.cross_entropy(outputs, target, reduction="none")
    else:
        losses = (torch.tanh(outputs) - target).square().mean(-1)
    return (losses * has_next).sum() / has_next.sum().clamp(min=1)


def outlook_loss(outputs: Tensor, batch: Batch, outlook: tuple[int, ...], one_hot: bool) -> Tensor:
    """The mean sigmoid cross entropy over what the episodes tell of M's outlook, outputs [L * B, actions * stretches].

    Of the action that follows a step they tell, one stretch of time after another (up to `outlook[0]` steps, on to
    `outlook[1]` and so on), whether the episode ends in it while the action is held. They tell nothing of stretches
    after its end, nor of that in which another action is taken.
    """
    action, held, fatal = batch.next_action.flatten(0, 1), batch.held.flatten()[:, None], batch.fatal.flatten()[:, None]
    index = action.argmax(-1) if one_hot else (action[:, 0] + 1).long()
    logits = outputs.unflatten(-1, (-1, len(outlook)))[torch.arange(len(index), device=index.device), index]
    last = held.new_tensor(outlook)
    first = torch.cat([last.new_zeros(1), last[:-1]])
    ended = ((held > first) & (held <= last) & (fatal > 0)).float()
    survived = ((held > last) | ((held == last) & (fatal == 0))).float()
    losses = F.binary_cross_entropy_with_logits(logits, ended, reduction="none") * (ended + survived)
    return losses.sum() / (ended + survived).sum().clamp(min=1)


def mixture_nll(outputs: Tensor, z: Tensor, mixtures: int) -> Tensor:
    """The mean negative log density of z [N, Nz] in nats, over dimensions and rows; outputs [N, 3 K Nz] as M lays them.

    The same as `-log_prob(...).mean()`, with both passes a cache-sized chunk of rows at a time.
    """
    nll: Tensor = _MixtureNLL.apply(outputs, z, mixtures)
    return nll


class _MixtureNLL(torch.autograd.Function):
    """The gradient is made beside the value, from the same exponentials."""

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, z: Tensor, mixtures: int) -> Tensor:
        kernel = load_kernel(outputs.dtype) if z.dtype == torch.float32 and z.device.type == "cpu" else None
        if kernel is not None:
            nll, gradient = kernel.mixture(mixtures, outputs, z.contiguous())
            ctx.save_for_backward(gradient)
            return nll.sum() / z.numel() + HALF_LOG_TAU
        gradient = torch.empty(outputs.shape, dtype=outputs.dtype, device=outputs.device)
        total = z.new_zeros(())
        for some, target, slope in zip(*(part.split(CHUNK_ROWS) for part in (outputs, z, gradient)), strict=True):
            value, derivative = _chunk(some.to(z.dtype).unflatten(-1, (3, mixtures, -1)), target)
            total += value
            slope.copy_(derivative.div_(z.numel()).flatten(1))
        ctx.save_for_backward(gradient)
        return total / z.numel()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        if grads[0] != 1:  # it is 1 where the loss is a plain sum of its terms: spare a pass over a large tensor
            gradient = gradient * grads[0].to(gradient.dtype)
        return gradient, None, None


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
    shares, log_joint = _softmax(joint)
    gradient = torch.empty_like(parts)
    torch.sub(weights, shares, out=gradient[:, 0])
    share_u = shares * u
    torch.mul(share_u, precision, out=gradient[:, 1]).neg_()
    torch.addcmul(shares, share_u, u, value=-1, out=gradient[:, 2])
    return (log_weights - log_joint + HALF_LOG_TAU).sum(), gradient


def _softmax(x: Tensor) -> tuple[Tensor, Tensor]:
    """softmax over K, [n, K, Nz], and logsumexp, [n, 1, Nz]."""
    highest = x.amax(1, keepdim=True)
    weights = (x - highest).exp_()
    total = weights.sum(1, keepdim=True)
    return weights.div_(total), total.log().add_(highest)
