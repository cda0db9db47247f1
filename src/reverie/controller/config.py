"""The shape of C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reverie.errors import ReverieError


@dataclass(frozen=True)
class ControllerConfig:
    """Which C. The paper: linear on [z, h] with bias (car), linear on [z, c, h] without (Doom), z alone (ablations)."""

    kind: Literal["linear", "hidden"] = "linear"
    """linear: one layer; hidden: one layer of tanh units before it"""
    features: Literal["z", "zh", "zch"] = "zh"
    """what C sees, in this order: the latent z, M's cell state c, M's hidden state h"""
    hidden_size: int = 40
    """tanh units of kind "hidden" (ignored by "linear")"""
    bias: bool = True
    """whether each layer adds a bias"""

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "hidden"):
            raise ReverieError(f"controller kind is {self.kind!r}; expected linear or hidden")
        if self.features not in ("z", "zh", "zch"):
            raise ReverieError(f"controller features are {self.features!r}; expected z, zh or zch")
        if self.hidden_size < 1:
            raise ReverieError(f"controller hidden_size is {self.hidden_size}; expected at least 1")

    def feature_size(self, latent_size: int, memory_size: int) -> int:
        """The length F of the vector that C sees, for a latent of `latent_size` and an M of `memory_size` units."""
        return latent_size + memory_size * (len(self.features) - 1)
