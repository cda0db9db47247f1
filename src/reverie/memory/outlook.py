"""What M expects of taking an action and holding it, as something that C can see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.errors import ReverieError
from reverie.memory.lstm import FORGET_BIAS, LSTMState

if TYPE_CHECKING:
    from reverie.memory.model import MDNRNN
    from reverie.worlds.spec import ActionSpec


@dataclass(frozen=True, repr=False)
class Outlook:
    """M asked what each of A actions leads to: in the step that it is taken in, and in K stretches after, in which each
    of B = A actions is held.

    seeing [4 H, Nz + H] and action [A, 4 H]: from [z, h] to M's gates, and what taking each action adds to them, biases
        among it; those of g are doubled, for tanh(x) is taken as 2 sigmoid(2x) - 1, much faster than torch's
    ends [1 + B K, H] and ends_bias [1 + B K]: to the logits of an end in the step, and, for each action held then, in
        the stretches of `MemoryConfig.outlook`, each if it is reached
    """

    seeing: Tensor
    action: Tensor
    ends: Tensor
    ends_bias: Tensor

    def survival(self, z: Tensor, state: LSTMState) -> tuple[Tensor, Tensor]:
        """The chance to be alive after the step, float32 [n, A], and at the end of each stretch, [n, A, B, K].

        z [n, Nz]; state: M's h and c [n, H] from before z is absorbed
        """
        h, actions = state.h.to(self.seeing.dtype), len(self.action)
        gates, c = F.linear(torch.cat([z.to(h.dtype), h], -1), self.seeing).float(), state.c.float()
        logs = torch.stack([F.logsigmoid(-self._ends(taken, gates, c)) for taken in range(actions)], -2)
        step = logs[..., 0]
        return step.exp(), (step[..., None, None] + logs[..., 1:].unflatten(-1, (actions, -1)).cumsum(-1)).exp()

    def __call__(self, z: Tensor, state: LSTMState) -> Tensor:
        """What C sees of it, [n, A + A B K + A (K + 1) + 1 + K], mostly as differences from a mean over the actions.

        In this order: the step's chances, those of the stretches, the best that each action leaves open (by the best B
        at the end of each stretch, and in the mean over them), and the means that the first two were compared with.
        """
        step, held = self.survival(z, state)
        best = torch.cat([held.amax(-2), held.mean(-1).amax(-1, keepdim=True)], -1)
        means = step.mean(-1, keepdim=True), held.mean((-3, -2), keepdim=True)
        parts = (step - means[0], held - means[1], best - best.mean(-2, keepdim=True), *means)
        return torch.cat([part.flatten(1) for part in parts], -1)

    def _ends(self, taken: int, gates: Tensor, c: Tensor) -> Tensor:
        """The logits of all ends where one action is taken, [n, 1 + B K]."""
        i, f, g, o = torch.sigmoid(gates + self.action[taken]).chunk(4, -1)
        c = f * c + i * (2 * g - 1)
        return F.linear(o * (2 * torch.sigmoid(2 * c) - 1), self.ends, self.ends_bias)


@torch.no_grad()
def outlook_of(memory: MDNRNN, actions: ActionSpec, dtype: torch.dtype = torch.float32) -> Outlook:
    """M's outlook, whose largest matrix is multiplied in `dtype`; raises ReverieError where it has none."""
    config = memory.config
    if not (config.outlook and config.done_head):
        raise ReverieError("C sees M's outlook, and M has none; train M with memory.outlook and memory.done_head")
    sides = torch.tensor([[-1.0], [0.0], [1.0]])
    each = actions.for_memory(torch.eye(actions.size) if actions.kind == "discrete" else sides)
    from_z, from_action = memory.input_weight[:, : config.latent_size + config.action_size].split(
        (config.latent_size, config.action_size), 1
    )
    double, constant = torch.ones_like(memory.bias), torch.zeros_like(memory.bias)
    double.chunk(4)[2].fill_(2)
    constant.chunk(4)[1].fill_(FORGET_BIAS)
    weights, biases = (memory.parts(of.float(), 0) for of in (memory.head_weight, memory.head_bias))
    return Outlook(
        (torch.cat([from_z, memory.hidden_weight], 1) * double[:, None]).to(dtype),
        (each.to(from_action) @ from_action.T + memory.bias + constant) * double,
        torch.cat([weights["done"], weights["outlook"]]),
        torch.cat([biases["done"] - math.log(config.done_weight), biases["outlook"]]),
    )
