"""One episode of experience in a real world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reverie.worlds.spec import FRAME_SHAPE


@dataclass(frozen=True)
class Episode:
    """T steps: action t was taken on seeing frame t, and brought reward t and frame t + 1.

    frames:  uint8 [T + 1, 64, 64, 3]
    actions: float32 [T, A], as C emits them (see `ActionSpec`)
    rewards: float32 [T]
    terminated: the world ended the episode at step T (False: it was cut off, so `done` is not known)
    """

    frames: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    terminated: bool

    def __post_init__(self) -> None:
        steps = len(self.actions)
        if self.frames.shape != (steps + 1, *FRAME_SHAPE) or self.frames.dtype != np.uint8:
            raise ValueError(
                f"frames are {self.frames.dtype} {self.frames.shape}, expected uint8 {(steps + 1, *FRAME_SHAPE)}"
            )
        if self.actions.ndim != 2 or self.actions.dtype != np.float32:
            raise ValueError(f"actions are {self.actions.dtype} {self.actions.shape}, expected float32 [T, A]")
        if self.rewards.shape != (steps,) or self.rewards.dtype != np.float32:
            raise ValueError(f"rewards are {self.rewards.dtype} {self.rewards.shape}, expected float32 ({steps},)")

    def __repr__(self) -> str:
        return f"Episode(steps={len(self)}, return={self.total_reward:.1f}, terminated={self.terminated})"

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def total_reward(self) -> float:
        """The sum of all rewards."""
        return float(self.rewards.sum())
