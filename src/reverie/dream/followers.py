"""Other Ms beside the dreams: they follow what M dreams, for C to see their state, or to disagree with M."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reverie.dream.rows import ROUND, DreamRows, PackedMemory, expected_latent
from reverie.memory.lstm import LSTMState, cell


class Follower:
    """The LSTM of another M, such as an untrained one, that reads the z and the actions of the dreams `rows`.

    It begins with them, dreams nothing itself, and has what C acts on: `count`, `z` and `state`.
    """

    def __init__(self, memory: PackedMemory, rows: DreamRows) -> None:
        config, padded = memory.config, -(-rows.count // ROUND) * ROUND
        self.memory, self._rows = memory, rows
        self._x = torch.zeros(padded, config.hidden_size + config.input_size, dtype=memory.dtype, device=memory.device)
        self._gates = self._x.new_empty(padded, 4 * config.hidden_size)
        self._c = torch.zeros(padded, config.hidden_size, device=memory.device)
        self._h, self._z, self._action, self._restart = self._x.split(
            (config.hidden_size, config.latent_size, config.action_size, int(config.restart_input)), 1
        )
        self._restart.fill_(1)

    @property
    def count(self) -> int:
        """n, the dreams that have not ended."""
        return self._rows.count

    @property
    def z(self) -> Tensor:
        """The dreams' latents [n, Nz]."""
        return self._rows.z

    @property
    def state(self) -> LSTMState:
        """Its h and c [n, H] from before `z` is absorbed, views."""
        return LSTMState(self._h[: self.count], self._c[: self.count])

    @property
    def matrices(self) -> tuple[Tensor, Tensor]:
        """What is reordered with the dreams."""
        return self._x, self._c

    @property
    def restart(self) -> Tensor:
        """Which dreams are at their first step [n, 1] (no columns without the input), a view."""
        return self._restart[: self.count]

    def begin(self, rows: Tensor) -> None:
        """Begin anew with the dreams that began anew in these rows."""
        self._c[rows], self._h[rows], self._restart[rows] = 0, 0, 1

    def begin_inside(self, rows: Tensor, h: Tensor, c: Tensor) -> None:
        """Give dreams that have just begun in these rows the state of a step inside an episode."""
        self._h[rows], self._c[rows], self._restart[rows] = h.to(self._x.dtype), c, 0

    def resume(self, h: Tensor, c: Tensor, restart: Tensor) -> None:
        """Go on from what `state` and `restart` were."""
        n = self.count
        self._h[:n], self._c[:n], self._restart[:n] = h.to(self._x.dtype), c, restart.to(self._x.dtype)

    def expected(self) -> Tensor:
        """The mean of what it would expect next, having absorbed the step, float32 [n, Nz]."""
        n, padded = self.count, -(-self.count // ROUND) * ROUND
        outputs = torch.mm(self._h[:padded], self.memory.head.t())[:n]
        return expected_latent(self.memory, outputs, self._z[:n].float())

    def absorb(self, action: Tensor) -> None:
        """Read z and `action` [n, A] (as M sees it); to be called before the dreams go on."""
        n, padded = self.count, -(-self.count // ROUND) * ROUND
        self._z[:n], self._action[:n] = self.z, action
        torch.mm(self._x[:padded], self.memory.gates.t(), out=self._gates[:padded])
        self._restart.zero_()
        if self._rows.kernel:
            self._rows.kernel.cell(n, self._gates, self.memory.forget_bias, self._c, self._h)
        else:
            h, self._c[:n] = cell(self._gates[:n].float() + self.memory.bias, self._c[:n])
            self._h[:n] = h


@dataclass(frozen=True)
class Disagreement:
    """Other Ms that follow dreams, and what it costs C where they expect something else."""

    rows: DreamRows
    others: tuple[Follower, ...]
    weight: float

    def penalty(self) -> Tensor:
        """What the step just dreamt costs, float32 [n]: the standard deviation of all Ms' means, over the dimensions.

        In units of the prior: 1 would be Ms that differ as latents drawn at random do.
        """
        return self.price([self.rows.expected(), *(other.expected() for other in self.others)])

    def price(self, means: Sequence[Tensor]) -> Tensor:
        """What it costs that the Ms expect these means of z, each [n, Nz]: [n]."""
        return self.weight * torch.stack(list(means)).std(0, correction=0).mean(-1)
