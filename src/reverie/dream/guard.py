"""What keeps C from living off M's errors in a dream: cells of M that its outputs do not see, Ms that doubt it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reverie.dream.follower import Follower
from reverie.dream.rows import DreamRows, PackedMemory
from reverie.workers.seeds import generator


@dataclass(frozen=True)
class Guard:
    """The guards that change a dream itself.

    dropout: the share of cells that M's outputs do not see, in a dream from its first step to its last
    doubt: the weight of the disagreement between M and the `others`, which follow the dream
    """

    dropout: float = 0.0
    doubt: float = 0.0
    others: tuple[PackedMemory, ...] = ()

    def doubt_of(self, rows: DreamRows) -> Doubt | None:
        """The others beside dreams that are about to begin; None without any."""
        return Doubt(rows, tuple(Follower(other, rows) for other in self.others), self.doubt) if self.others else None

    def dropped(self, seeds: Sequence[int], rows: DreamRows) -> Tensor | None:
        """What h is multiplied by in the dreams of `seeds`, [E, H] in M's dtype; None without dropout.

        One draw a dream, a function of its seed: each is dreamt by one of the many Ms that dropout trains, as Gal et
        al. (2016) do for PILCO.
        """
        if not self.dropout:
            return None
        hidden, dtype, device = rows.memory.config.hidden_size, rows.memory.dtype, rows.memory.device
        drawn = np.stack([generator(seed, "dream", "dropout").random(hidden, np.float32) for seed in seeds])
        return torch.from_numpy((drawn >= self.dropout) / (1 - self.dropout)).to(device, dtype)


@dataclass(frozen=True)
class Doubt:
    """Other Ms that follow dreams, and how far they expect something else."""

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
