"""What the rest of the house knows about a world without opening it: its actions, its reward, its length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from reverie.errors import ReverieError

if TYPE_CHECKING:
    import numpy as np
    import torch

    Array = TypeVar("Array", np.ndarray, torch.Tensor)

FRAME_SIZE = 64
FRAME_SHAPE = (FRAME_SIZE, FRAME_SIZE, 3)

ActionKind = Literal["continuous", "discrete", "driving", "three-way"]


@dataclass(frozen=True)
class ActionSpec:
    """The float32 action vector of a world, as C emits it and as M sees it.

    kind:
      continuous  tanh outputs in [-1, 1]; the world rescales them to its own bounds; M sees them as they are
      discrete    one-hot over `size` actions (argmax of C's outputs); M sees the one-hot
      driving     tanh outputs; M sees what the car feels: steer = a0, gas = (a1 + 1) / 2, brake = clip(a2, 0, 1)
      three-way   one tanh output: < -1/3 left, > 1/3 right, else stay; M sees -1, 0 or 1
    """

    kind: ActionKind
    size: int

    def for_memory(self, actions: Array) -> Array:
        """Map actions [..., size] (NumPy or torch) to what M sees, [..., size]."""
        if self.kind == "three-way":
            return (actions > 1 / 3) * 1.0 - (actions < -1 / 3) * 1.0
        if self.kind == "driving":
            felt = actions * 1.0  # a copy, in NumPy and torch alike
            felt[..., 1] = (actions[..., 1] + 1) / 2
            felt[..., 2] = actions[..., 2].clip(0, 1)
            return felt
        return actions

    def require_sides(self) -> None:
        """Refuse kinds of actions that do not say what left and right are."""
        if self.kind not in ("three-way", "driving"):
            raise ReverieError(f"{self.kind} actions have no left and right; leave mirror off for this world")

    def mirrored(self, actions: Array) -> Array:
        """What acts in the mirror image of a world as `actions` [..., size] do in it: left and right change places."""
        self.require_sides()
        swapped = actions * 1.0  # a copy, in NumPy and torch alike
        swapped[..., 0] = -actions[..., 0]
        return swapped


@dataclass(frozen=True)
class WorldSpec:
    """A world's contract.

    reward: "survival" is `repeat` a step (known, so a dream needs only `done`); "predicted" needs M's reward head.
    max_steps: the cap after which an episode is truncated, in the world and in its dreams.
    repeat: steps of the game that one step of this world lasts, all with the same action ("frame skip").
    """

    name: str
    actions: ActionSpec
    reward: Literal["survival", "predicted"]
    max_steps: int
    repeat: int = 1
