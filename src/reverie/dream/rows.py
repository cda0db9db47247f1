"""Dreams side by side: their recurrent state, and one step of M for all of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reverie.dream.kernel import Kernel
from reverie.memory.lstm import FORGET_BIAS, LSTMState, cell
from reverie.memory.mixture import sample
from reverie.memory.model import MDNRNN

ROUND = 16  # rows enter a matrix product in multiples of this: few shapes, and each is prepared only once


class Heads(NamedTuple):
    """What M's heads say of a step, float32 [n]: the done logit and the reward, None without the head."""

    done_logit: Tensor | None
    reward: Tensor | None


class PackedMemory:
    """M's weights as a dream multiplies them: one matrix for [h, z, a, restart], in `dtype`; biases in float32."""

    def __init__(self, memory: MDNRNN, dtype: torch.dtype) -> None:
        config = memory.config
        self.config = config
        self.dtype = dtype
        self.device = memory.bias.device
        self.split = memory.split
        self.gates = torch.cat([memory.hidden_weight, memory.input_weight], 1).detach().to(dtype)
        self.head = memory.head_weight.detach().to(dtype)
        self.bias = memory.bias.detach().float()
        self.head_bias = memory.head_bias.detach().float()
        self.reward = memory.reward
        self.carry = None if memory.carry is None else memory.carry.detach().float()
        self.forget_bias = self.bias.clone()  # with the constant that `cell` adds
        self.forget_bias[config.hidden_size : 2 * config.hidden_size] += FORGET_BIAS


class DreamRows:
    """n dreams as rows of a few matrices. The state is `z` [n, Nz] and `c` [n, H] in float32, `h` [n, H] in M's dtype.

    Rows are independent; `keep` leaves out those that ended and changes the order.
    """

    def __init__(self, memory: PackedMemory, rows: int, temperature: float, kernel: Kernel | None = None) -> None:
        config = memory.config
        self.memory = memory
        self.dropout: Tensor | None = None  # [E, H] in M's dtype: what h is multiplied by before M's heads see it
        self.count = rows
        self._temperature = temperature
        self.kernel = kernel if memory.device.type == "cpu" else None
        rows = -(-rows // ROUND) * ROUND
        hidden, latent = config.hidden_size, config.latent_size
        self._x = torch.zeros(rows, hidden + config.input_size, dtype=memory.dtype, device=memory.device)
        self._gates = self._x.new_empty(rows, 4 * hidden)
        self._outputs = self._x.new_empty(rows, config.output_size)
        self._c = torch.zeros(rows, hidden, device=memory.device)
        self._z = torch.zeros(rows, latent, device=memory.device)
        self._carried = torch.zeros_like(self._z)  # what of the last z is in this one
        self._scratch = torch.empty((config.mixtures + 2) * latent)
        self._x_h, self._x_z, self._x_action, self._x_restart = self._x.split(
            (hidden, latent, config.action_size, int(config.restart_input)), 1
        )
        self._any_restart = False

    @property
    def dtype(self) -> torch.dtype:
        """Of M's weights and of h."""
        return self.memory.dtype

    @property
    def z(self) -> Tensor:
        """The latents, a view."""
        return self._z[: self.count]

    @property
    def state(self) -> LSTMState:
        """M's state from before `z` is absorbed: h (in M's dtype) and c, views."""
        return LSTMState(self._x_h[: self.count], self._c[: self.count])

    def begin(self, rows: Tensor, z: Tensor) -> None:
        """Start dreams at z [k, Nz] in these rows (int64 [k]): an empty state, the restart input set for one step."""
        self._z[rows], self._x_z[rows] = z, z.to(self._x.dtype)
        self._c[rows], self._x_h[rows], self._x_restart[rows] = 0, 0, 1
        self._any_restart = True

    def begin_inside(self, rows: Tensor, h: Tensor, c: Tensor) -> None:
        """Give dreams that have just begun in these rows the state of a step inside an episode."""
        self._x_h[rows], self._c[rows], self._x_restart[rows] = h.to(self._x.dtype), c, 0

    @property
    def restart(self) -> Tensor:
        """Which dreams are at their first step [n, 1], as the restart input has it (no columns without one), a view."""
        return self._x_restart[: self.count]

    def resume(self, z: Tensor, h: Tensor, c: Tensor, restart: Tensor) -> None:
        """Go on from what `z`, `state` and `restart` were."""
        n = self.count
        self._z[:n], self._c[:n] = z, c
        self._x_z[:n], self._x_h[:n] = z.to(self._x.dtype), h.to(self._x.dtype)
        self._x_restart[:n] = restart.to(self._x.dtype)
        self._any_restart = bool(restart.any())

    def advance(self, action: Tensor, component: Tensor, spread: Tensor, stream: Tensor) -> Heads:
        """One step of every dream: M absorbs z and `action` [n, A] (as M sees it), and the next z is drawn.

        component (uniform) and spread (normal) [E, Nz] are looked up by `stream` [n].
        """
        n, padded = self.count, -(-self.count // ROUND) * ROUND
        self._x_action[:n] = action
        torch.mm(self._x[:padded], self.memory.gates.t(), out=self._gates[:padded])
        if self._any_restart:
            self._x_restart.zero_()
            self._any_restart = False
        if self.kernel:
            self.kernel.cell(n, self._gates, self.memory.forget_bias, self._c, self._x_h)
        else:
            h, self._c[:n] = cell(self._gates[:n].float() + self.memory.bias, self._c[:n])
            self._x_h[:n] = h
        h = self._x_h[:padded] if self.dropout is None else self._dropped(padded, stream)
        torch.mm(h, self.memory.head.t(), out=self._outputs[:padded])
        self._sample(n, component, spread, stream)
        return self._heads(n)

    def expected(self) -> Tensor:
        """The mean of the mixtures that the last step drew z from, float32 [n, Nz]."""
        return expected_latent(self.memory, self._outputs[: self.count]) + self._carried[: self.count]

    def _dropped(self, padded: int, stream: Tensor) -> Tensor:
        """h [padded, H] without the hidden units that each row's stream does not see."""
        assert self.dropout is not None
        h = self._x_h[:padded].clone()
        h[: len(stream)] *= self.dropout[stream]
        return h

    def _sample(self, n: int, component: Tensor, spread: Tensor, stream: Tensor) -> None:
        carry = self.memory.carry
        if carry is not None:
            torch.mul(self._z[:n], carry, out=self._carried[:n])
        if self.kernel:
            self.kernel.sample(
                n, self.memory.config.mixtures, self._outputs, self.memory.head_bias, self._temperature,
                stream, component, spread, self._z, self._x_z, self._scratch,
            )  # fmt: skip
        else:
            mixture = self.memory.split(self._outputs[:n].float() + self.memory.head_bias)[:3]
            self._z[:n] = sample(*mixture, self._temperature, component[stream], spread[stream])
        if carry is not None:
            self._z[:n] += self._carried[:n]
        if carry is not None or not self.kernel:
            self._x_z[:n] = self._z[:n]

    def _heads(self, n: int) -> Heads:
        config = self.memory.config
        rewards = config.output_sizes.get("reward", 0)
        extra = self._outputs[:n, config.mixture_size :].float() + self.memory.head_bias[config.mixture_size :]
        done, reward, _ = extra.split((int(config.done_head), rewards, extra.shape[1] - config.done_head - rewards), 1)
        return Heads(
            done[:, 0] if config.done_head else None,
            self.memory.reward(reward) if config.reward_head else None,
        )

    @property
    def matrices(self) -> tuple[Tensor, ...]:
        """All that `keep` reorders."""
        return self._x, self._z, self._c

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows (int64 [k]) alone, in this order."""
        reorder(rows, *self.matrices)
        self.count = len(rows)


def reorder(rows: Tensor, *matrices: Tensor) -> None:
    """Put rows (int64 [k]) in front, in this order; those that stay where they are cost nothing."""
    places = torch.arange(len(rows), device=rows.device)
    moved = (rows != places).nonzero()[:, 0]
    if len(moved):
        for matrix in matrices:
            matrix[moved] = matrix[rows[moved]]


def expected_latent(memory: PackedMemory, outputs: Tensor, z: Tensor | None = None) -> Tensor:
    """The mean of the mixtures in M's outputs [n, output_size], its bias not yet added: float32 [n, Nz].

    z: what M absorbed [n, Nz], of which a residual M carries a share over; None: without that
    """
    logits, mean, _ = memory.split(outputs.float() + memory.head_bias, z)[:3]
    return (torch.softmax(logits, -1) * mean).sum(-1)
