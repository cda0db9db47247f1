"""C's outputs as odds: what the deterministic C is the most likely action of.

A choice is what is drawn: -1, 0 or 1 (three-way), a one-hot vector (discrete), or C's outputs before tanh (the others).
The odds of a C with an output for each action are those of a softmax; where one number stands for three they are those
of that number with noise added, so that it can be sure of left or of right but hardly of staying, and left and right
are never likely at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reverie.controller.model import Controller, one_hot_argmax

TURN = math.atanh(1 / 3)  # where C's output, before tanh, turns from staying to moving
RAREST = 1e-6  # no action's chance is taken as less, so that its logarithm is finite


class Policy:
    """The odds of a world's actions, given C's outputs x [..., O] before tanh and their log_spread [A]."""

    def __init__(self, controller: Controller) -> None:
        self.actions, self._categorical = controller.actions, controller.config.categorical

    @property
    def has_spread(self) -> bool:
        """Whether the odds depend on the spread."""
        return self.actions.kind != "discrete" and not self._categorical

    def draw(self, x: Tensor, log_spread: Tensor, generator: torch.Generator) -> Tensor:
        """Choices [n, A] for outputs x [n, O]; those that are normal pass gradients on."""
        if self.actions.kind == "three-way":
            drawn = torch.multinomial(self._logs(x, log_spread).exp(), 1, generator=generator)
            return (drawn - 1).to(x.dtype)
        if self.actions.kind == "discrete":  # Gumbel's trick
            uniform = torch.rand(x.shape, generator=generator, device=x.device).clamp_min(RAREST)
            return one_hot_argmax(x - (-uniform.log()).log())
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        return x + log_spread.exp() * noise

    def action(self, choice: Tensor) -> Tensor:
        """The action that the world takes, [n, A]."""
        return choice if self.actions.kind in ("three-way", "discrete") else choice.tanh()

    def felt(self, choice: Tensor) -> Tensor:
        """The action that M sees, [n, A]."""
        return self.actions.for_memory(self.action(choice))

    def odds(self, x: Tensor, log_spread: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        """The log chance (density) of choices [..., A] and the policy's entropy, both [...]."""
        if self.actions.kind in ("three-way", "discrete"):
            three_way = self.actions.kind == "three-way"
            logs = self._logs(x, log_spread)
            index = (choice[..., 0] + 1).long() if three_way else choice.argmax(-1)
            return logs.gather(-1, index[..., None])[..., 0], -(logs.exp() * logs).sum(-1)
        off = (choice - x) / log_spread.exp()
        log_chance = (-0.5 * off.square() - log_spread).sum(-1) - 0.5 * x.shape[-1] * math.log(2 * math.pi)
        return log_chance, normal_entropy(log_spread).expand(log_chance.shape)

    def _logs(self, x: Tensor, log_spread: Tensor) -> Tensor:
        """The log chance of each action [..., actions], where they can be counted."""
        return _three_way(x[..., 0], log_spread) if self.has_spread else x.log_softmax(-1)


def normal_entropy(log_spread: Tensor) -> Tensor:
    """Of continuous actions before their tanh, in nats: []."""
    return (log_spread + 0.5 * math.log(2 * math.pi * math.e)).sum()


def _three_way(x: Tensor, log_spread: Tensor) -> Tensor:
    """Log chances of left, stay and right [..., 3]: x [...] with logistic noise of that spread added, by C's rule."""
    spread = log_spread.exp()
    left, right = torch.sigmoid((-TURN - x) / spread), torch.sigmoid((x - TURN) / spread)
    return torch.stack([left, 1 - left - right, right], -1).clamp_min(RAREST).log()
