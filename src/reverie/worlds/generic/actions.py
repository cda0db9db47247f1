"""Any action space as a float32 vector of independent parts, and back: the one door through which actions pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from reverie.errors import ReverieError
from reverie.worlds.spec import ActionSpec

ENDLESS = 1e6  # a bound beyond it stands for none, as the largest float does in robotics and power grids
KNOWN = "Box, Discrete, MultiDiscrete and MultiBinary, alone or within Dict and Tuple"


def action_spec(name: str, space: gym.Space) -> ActionSpec:
    """The vector for a space: a number for each one of a box, a one-hot group for each choice of two or more."""
    try:
        groups = tuple(_groups(space))
    except _UnknownSpace as error:
        raise ReverieError(
            f"world {name!r} has actions {space}, and {error} cannot be learned; expected {KNOWN}"
        ) from None
    if not groups:
        raise ReverieError(f"world {name!r} has actions {space}: nothing to choose; expected two actions, or a number")
    if all(size == 1 for size in groups):
        return ActionSpec("continuous", len(groups))
    if len(groups) == 1:
        return ActionSpec("discrete", groups[0])
    return ActionSpec("mixed", sum(groups), groups)


def to_env_action(space: gym.Space, action: np.ndarray) -> Any:
    """Our vector float32 [A] as an action of the environment's own space; choices arrive as Python's own ints."""
    taken, rest = _take(space, action)
    assert len(rest) == 0, f"{len(rest)} numbers are left of an action for {space}"
    return taken


def from_env_actions(space: gym.Space, actions: Any, steps: int) -> np.ndarray:
    """`steps` actions of the environment's own, stacked as Minari stacks them, as vectors float32 [steps, A]."""
    parts = [part.reshape(steps, -1) for part in _vectors(space, actions)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def box_bounds(space: Box) -> tuple[np.ndarray, np.ndarray]:
    """The box's bounds in float64; where it has none on one side or both, an interval of width 2."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        far = ~(high - low <= ENDLESS)
    open_low, open_high = far & (low < -ENDLESS), far & (high > ENDLESS)
    new_low = np.where(open_low, np.where(open_high, -1.0, high - 2), low)
    return new_low, np.where(open_high, new_low + 2, high)


class _UnknownSpace(Exception):
    """A space without independent parts."""


def _groups(space: gym.Space) -> Iterator[int]:
    """How many numbers each part of a space takes: 1 of a box, n of a choice of n; a choice of one takes none."""
    if isinstance(space, Box):
        yield from [1] * math.prod(space.shape)
    elif isinstance(space, Discrete):
        yield from [int(space.n)] if space.n > 1 else []
    elif isinstance(space, MultiDiscrete):
        yield from (int(n) for n in space.nvec.ravel() if n > 1)
    elif isinstance(space, MultiBinary):
        yield from [2] * math.prod(space.shape)
    elif isinstance(space, Dict | Tuple):
        for part in _parts(space):
            yield from _groups(part)
    else:
        raise _UnknownSpace(f"a {type(space).__name__}")


def _parts(space: Dict | Tuple) -> list[gym.Space]:
    return list(space.spaces.values()) if isinstance(space, Dict) else list(space.spaces)


def _take(space: gym.Space, action: np.ndarray) -> tuple[Any, np.ndarray]:
    """The space's action from the first numbers of the vector, and the numbers that are left."""
    if isinstance(space, Box):
        count = math.prod(space.shape)
        return _stretched(space, action[:count]), action[count:]
    if isinstance(space, Discrete):
        choice, action = _choice(int(space.n), action)
        return int(space.start) + choice, action
    if isinstance(space, MultiDiscrete | MultiBinary):
        sizes = space.nvec.ravel() if isinstance(space, MultiDiscrete) else np.full(math.prod(space.shape), 2)
        choices = []
        for size in sizes:
            choice, action = _choice(int(size), action)
            choices.append(choice)
        taken = np.array(choices, space.dtype).reshape(space.shape)
        return taken + _starts(space), action
    taken_parts = []
    for part in _parts(space):  # type: ignore[arg-type]
        taken, action = _take(part, action)
        taken_parts.append(taken)
    return dict(zip(space.spaces, taken_parts, strict=True)) if isinstance(space, Dict) else tuple(taken_parts), action


def _starts(space: gym.Space) -> Any:
    """The smallest value of each choice, in the space's own type."""
    start = getattr(space, "start", 0)
    return np.asarray(start).astype(space.dtype)


def _choice(size: int, action: np.ndarray) -> tuple[int, np.ndarray]:
    return (0, action) if size == 1 else (int(action[:size].argmax()), action[size:])


def _stretched(space: Box, numbers: np.ndarray) -> np.ndarray:
    """Numbers in [-1, 1], stretched to the box."""
    low, high = box_bounds(space)
    stretched = low + (numbers.reshape(space.shape).clip(-1, 1) + 1) / 2 * (high - low)
    stretched = stretched.clip(low, high).clip(space.low.astype(np.float64), space.high.astype(np.float64))
    if not np.issubdtype(space.dtype, np.floating):
        stretched = np.rint(stretched)
    taken: np.ndarray = np.asarray(stretched).astype(space.dtype)
    return taken


def _vectors(space: gym.Space, actions: Any) -> Iterator[np.ndarray]:
    """The inverse of `_take`, for many actions at once: arrays [steps, ...] whose columns make the vectors."""
    if isinstance(space, Box):
        low, high = (bound.reshape(-1) for bound in box_bounds(space))
        values = np.asarray(actions, np.float64).reshape(len(actions), -1)
        width = np.where(high > low, high - low, 1.0)
        yield np.where(high > low, ((values - low) / width * 2 - 1).clip(-1, 1), 0.0)
    elif isinstance(space, Discrete | MultiDiscrete | MultiBinary):
        sizes = np.atleast_1d(
            space.n if isinstance(space, Discrete) else getattr(space, "nvec", np.full(space.shape, 2))
        ).ravel()
        chosen = np.asarray(actions).reshape(len(actions), -1).astype(np.int64) - np.ravel(_starts(space))
        if (chosen < 0).any() or (chosen >= sizes).any():
            raise ValueError(f"an action lies outside {space}")
        for size, column in zip(sizes.tolist(), chosen.T, strict=True):
            if size > 1:
                yield np.eye(size)[column]
    else:
        assert isinstance(space, Dict | Tuple), space
        for key, part in space.spaces.items() if isinstance(space, Dict) else enumerate(space.spaces):
            yield from _vectors(part, actions[key])
