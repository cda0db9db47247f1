"""C's outputs as a distribution over actions, of which the deterministic C takes the most likely.

A choice is what is drawn: -1, 0 or 1 (three-way), one-hot for each group of them, else C's outputs before tanh.
A C with a logit for each action has a softmax. Where one number stands for three actions, they are those of that number
with noise added: it can be sure of left or of right but hardly of staying, and left and right are never likely at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reverie.controller.model import Controller, one_hot_argmax
from reverie.worlds.spec import Span

TURN = math.atanh(1 / 3)  # where C's output, before tanh, turns from staying to moving
MIN_PROB = 1e-6  # no action's probability is taken as less, so that its logarithm is finite


class Policy:
    """The distribution over a world's actions, given C's outputs x [..., O] before tanh and their log_std [A].

    Actions of several parts are drawn part by part: their probabilities multiply.
    """

    def __init__(self, controller: Controller) -> None:
        self.actions, self._categorical = controller.actions, controller.config.categorical

    @property
    def has_std(self) -> bool:
        """Whether the distribution depends on log_std."""
        return not all(span.one_hot for span in self.actions.spans) and not self._categorical

    def draw(self, x: Tensor, log_std: Tensor, generator: torch.Generator) -> Tensor:
        """Choices [n, A] for outputs x [n, O]; those that are normal pass gradients on."""
        if self.actions.kind == "three-way":
            drawn = torch.multinomial(self._sides(x, log_std).exp(), 1, generator=generator)
            return (drawn - 1).to(x.dtype)
        return torch.cat([_drawn(*part, generator) for part in self._parts(x, log_std)], -1)

    def action(self, choice: Tensor) -> Tensor:
        """The action that the world takes, [n, A]."""
        if self.actions.kind == "three-way":
            return choice
        action: Tensor = self.actions.by_part(choice, lambda one_hot: one_hot, torch.tanh)
        return action

    def encode_action(self, choice: Tensor) -> Tensor:
        """The action that M sees, [n, A]."""
        return self.actions.for_memory(self.action(choice))

    def evaluate_actions(self, x: Tensor, log_std: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        """The log probability (density) of choices [..., A] and the policy's entropy, both [...]."""
        if self.actions.kind == "three-way":
            return _probs_among(self._sides(x, log_std), (choice[..., 0] + 1).long())
        parts = self._parts(x, log_std)
        evaluated = [_evaluate_part(*part, choice[..., part[0].start : part[0].stop]) for part in parts]
        if len(evaluated) == 1:
            return evaluated[0]
        log_prob, entropy = (torch.stack(each).sum(0) for each in zip(*evaluated, strict=True))
        return log_prob, entropy

    def _parts(self, x: Tensor, log_std: Tensor) -> list[tuple[Span, Tensor, Tensor]]:
        """Each independent part of the actions with its outputs and its std."""
        spans = self.actions.spans
        return [(span, x[..., span.start : span.stop], log_std[span.start : span.stop]) for span in spans]

    def _sides(self, x: Tensor, log_std: Tensor) -> Tensor:
        """The log probability of left, stay and right [..., 3]."""
        return x.log_softmax(-1) if self._categorical else _three_way(x[..., 0], log_std)


def _drawn(span: Span, x: Tensor, log_std: Tensor, generator: torch.Generator) -> Tensor:
    """A part's choice, [n, its size]."""
    if span.one_hot:  # Gumbel's trick
        uniform = torch.rand(x.shape, generator=generator, device=x.device).clamp_min(MIN_PROB)
        return one_hot_argmax(x - (-uniform.log()).log())
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    return x + log_std.exp() * noise


def _evaluate_part(span: Span, x: Tensor, log_std: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
    """As `Policy.evaluate_actions`, of one part."""
    if span.one_hot:
        return _probs_among(x.log_softmax(-1), choice.argmax(-1))
    off = (choice - x) / log_std.exp()
    log_prob = (-0.5 * off.square() - log_std).sum(-1) - 0.5 * x.shape[-1] * math.log(2 * math.pi)
    return log_prob, normal_entropy(log_std).expand(log_prob.shape)


def _probs_among(logs: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The log probability of the actions `index` [...] out of those of all [..., actions]; the entropy."""
    return logs.gather(-1, index[..., None])[..., 0], -(logs.exp() * logs).sum(-1)


def normal_entropy(log_std: Tensor) -> Tensor:
    """Of continuous actions before their tanh, in nats: []."""
    return (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum()


def _three_way(x: Tensor, log_std: Tensor) -> Tensor:
    """Log probabilities of left, stay and right [..., 3]: x [...] with logistic noise added, by C's rule."""
    std = log_std.exp()
    left, right = torch.sigmoid((-TURN - x) / std), torch.sigmoid((x - TURN) / std)
    return torch.stack([left, 1 - left - right, right], -1).clamp_min(MIN_PROB).log()
