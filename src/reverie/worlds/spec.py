"""What the rest of the house knows about a world without opening it: its actions, its reward, its length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from reverie.errors import ReverieError

if TYPE_CHECKING:
    import numpy as np
    import torch

    Array = TypeVar("Array", np.ndarray, torch.Tensor)

FRAME_SIZE = 64
FRAME_SHAPE = (FRAME_SIZE, FRAME_SIZE, 3)

LONG = 2100  # steps: a minute of Doom

ActionKind = Literal["continuous", "discrete", "mixed", "driving", "three-way"]


class Span(NamedTuple):
    """Numbers start..stop of an action vector: one one-hot group, or continuous numbers side by side."""

    start: int
    stop: int
    one_hot: bool


@dataclass(frozen=True)
class ActionSpec:
    """The float32 action vector of a world, as C emits it and as M sees it.

    kind:
      continuous  tanh outputs in [-1, 1]; the world rescales them to its own bounds; M sees them as they are
      discrete    one-hot over `size` actions (argmax of C's outputs); M sees the one-hot
      mixed       several independent parts: one-hot groups, and numbers as in continuous; M sees it as it is
      driving     tanh outputs; M sees what the car feels: steer = a0, gas = (a1 + 1) / 2, brake = clip(a2, 0, 1)
      three-way   one tanh output: < -1/3 left, > 1/3 right, else stay; M sees -1, 0 or 1
    groups: of mixed actions how many numbers each part has: 1 is continuous, n a one-hot group of n. (3, 2, 1): a
      choice of three, one of two and a number, 6 in all. Empty for all other kinds, which `spans` describes too.
    """

    kind: ActionKind
    size: int
    groups: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if (self.kind == "mixed") != bool(self.groups) or sum(self.groups) not in (0, self.size):
            raise ReverieError(f"{self.kind} actions of size {self.size} cannot have the groups {self.groups}")

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The independent parts of the vector in order, continuous numbers that are neighbours taken together."""
        groups = self.groups or ((self.size,) if self.kind == "discrete" else (1,) * self.size)
        ends = list(accumulate(groups))
        whole = [Span(0, self.size, True)] if self.kind == "discrete" else []
        each = whole or [Span(end - size, end, size > 1) for size, end in zip(groups, ends, strict=True)]
        joined: list[Span] = []
        for one_hot, neighbours in groupby(each, lambda span: span.one_hot):
            run = list(neighbours)
            joined += run if one_hot else [Span(run[0].start, run[-1].stop, False)]
        return tuple(joined)

    @property
    def choices(self) -> bool:
        """Whether every part is a choice of one out of several, so that actions can be told apart and counted."""
        return self.kind == "three-way" or all(span.one_hot for span in self.spans)

    @property
    def has_one_hots(self) -> bool:
        """Whether some part is a one-hot group."""
        return any(span.one_hot for span in self.spans)

    def by_part(self, values: Any, one_hot: Callable[[Any], Any], numbers: Callable[[Any], Any]) -> Any:
        """`values` [..., size] (NumPy or torch) with each one-hot group and run of numbers put through a function."""
        if len(self.spans) == 1:
            return (one_hot if self.spans[0].one_hot else numbers)(values)
        import numpy as np

        parts = [(one_hot if span.one_hot else numbers)(values[..., span.start : span.stop]) for span in self.spans]

        if isinstance(values, np.ndarray):
            return np.concatenate(parts, -1)
        import torch

        return torch.cat(parts, -1)

    def as_dict(self) -> dict[str, Any]:
        """As files keep it; `groups` only where there are any."""
        return {name: value for name, value in asdict(self).items() if name != "groups" or value}

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

    def steps_to_play(self, longest: int | None) -> int:
        """Steps after which a dream, a run's own score or a film is cut: the cap, but in a world of long episodes.

        There it is the length of the longest recorded episode (`longest`; None: unknown, so the cap), `LONG` at least.
        """
        return self.max_steps if longest is None else min(self.max_steps, max(longest, LONG))

    def cut(self, steps: int | None) -> int | None:
        """The steps after which episodes are cut, where that is before the world's cap; else None."""
        return None if steps is None or steps >= self.max_steps else steps
