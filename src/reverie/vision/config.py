"""The choices that make a V and its training; torch-free, so that `--help` stays fast."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from reverie.errors import ReverieError

PixelWeight = Literal["none", "change", "motion"]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_count_or_zero(value: object) -> bool:
    return _is_count(value) or (value == 0 and type(value) is int)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_not_negative(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _require(name: str, value: object, expected: str, is_valid: Callable[[Any], bool]) -> None:
    if not is_valid(value):
        raise ReverieError(f"vision.{name} is {value!r}, expected {expected}; change it in the configuration")


@dataclass(frozen=True)
class VisionConfig:
    """V and its training. The defaults are the paper's; `updates` is one epoch over 10,000 car rollouts."""

    latent_size: int = 32
    """Nz, the size of the latent vector z (the paper: 32 for the car, 64 for Doom)."""
    learning_rate: float = 1e-4
    """Adam's step size at the first update."""
    min_lr: float | None = None
    """Step size at the last update, reached along half a cosine; None keeps `learning_rate` throughout."""
    batch_size: int = 100
    """Frames in one update."""
    updates: int = 100_000
    """Adam steps in all. 0 leaves V as it begins: at trained weights, where the run has any (`--from`)."""
    kl_tolerance: float = 0.5
    """Free nats for each latent dimension: below kl_tolerance * latent_size the KL term costs nothing."""
    centred: bool = False
    """V sees, and draws, how a frame differs from the mean frame, with a variance fitted to each batch's own error, so
    that squared error and KL term balance themselves (Rybkin et al., 2021): what moves on a page that stays is drawn
    from the first updates on. The paper's V sees and draws whole frames, with a variance of one half."""
    pixel_weight: PixelWeight = "none"
    """"none" counts every pixel alike (the paper); "change" counts pixels that differ from the mean frame for more,
    "motion" those that differ from the mean of the frames around, which are what happens in an episode"""
    shift: int = 0
    """Frames are shifted at random by up to so many pixels while V learns (Yarats et al., 2021): from few episodes it
    learns where things are instead of learning the episodes by heart. 0: off"""

    def __post_init__(self) -> None:
        for name in ("latent_size", "batch_size"):
            _require(name, getattr(self, name), "a whole number of at least 1", _is_count)
        _require("updates", self.updates, "a whole number of at least 0", _is_count_or_zero)
        _require("learning_rate", self.learning_rate, "a number over 0", _is_positive)
        _require("shift", self.shift, "a whole number from 0 to 63", lambda v: _is_count_or_zero(v) and v < 64)
        if self.min_lr is not None:
            _require("min_lr", self.min_lr, "a number over 0, or None", _is_positive)
        _require("kl_tolerance", self.kl_tolerance, "a number of at least 0", _is_not_negative)
        _require(
            "pixel_weight", self.pixel_weight, "'none', 'change' or 'motion'", lambda v: v in get_args(PixelWeight)
        )

    def learning_rate_at(self, update: int) -> float:
        """The step size of `update` (0 is the first): half a cosine from `learning_rate` down to `min_lr`."""
        if self.min_lr is None or self.updates == 1:
            return self.learning_rate
        progress = update / (self.updates - 1)
        share = 0.5 * (1 + math.cos(math.pi * progress))
        return self.min_lr + share * (self.learning_rate - self.min_lr)
