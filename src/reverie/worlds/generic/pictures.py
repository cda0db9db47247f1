"""Where the picture is in what an environment shows, and how it becomes uint8 [H, W, 3]: the one door for observations.

An observation space is read once. A picture that is one beyond doubt is taken as it is; one that may as well be a board
of numbers or a mask is taken only where the environment draws nothing better.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Tuple

SMALLEST = 16  # pixels each way of a picture beyond doubt: smaller ones are mostly codes of cells (MiniGrid's 7x7)
FEWEST = 3  # pixels each way of what may be a picture at all
MOST_STACKED = 16  # frames or channels that stand on one axis
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))  # of floats that are colours

logger = logging.getLogger("reverie.worlds")


@dataclass(frozen=True)
class Layout:
    """How a picture lies in an array, and the values that stand for black and white (None: told by the first one).

    newest: the frames of a stack are on the first axis
    channels: the axis of the colours, after that; None: there is none, the picture is grey
    depth: how many numbers that axis has
    """

    newest: bool
    channels: int | None
    depth: int
    low: float | None
    high: float | None
    is_sure: bool


@dataclass(frozen=True)
class Picture:
    """A picture within an observation: the keys that lead to it, and how it lies there."""

    path: tuple[Any, ...]
    layout: Layout

    @property
    def key(self) -> str:
        """Its name, as `--world.observation` takes it."""
        return ".".join(map(str, self.path))

    def find(self, observation: Any) -> Any:
        """The array within an observation."""
        for key in self.path:
            observation = observation[key]
        return observation


def pictures(space: gym.Space) -> list[Picture]:
    """All that may be pictures within an observation space, those beyond doubt first."""
    found = [
        Picture(path, layout)
        for path, part in _leaves(space)
        if isinstance(part, Box) and (layout := layout_of(part)) is not None
    ]
    return sorted(found, key=lambda picture: not picture.layout.is_sure)


def is_picture(space: gym.Space) -> bool:
    """Whether observations are a picture beyond doubt."""
    layout = layout_of(space) if isinstance(space, Box) else None
    return layout is not None and layout.is_sure


def layout_of(box: Box) -> Layout | None:
    """How a picture lies in arrays of this box; None where they are none."""
    shape = box.shape
    newest = len(shape) == 4 and shape[0] <= MOST_STACKED
    if newest:
        shape = shape[1:]
    if len(shape) == 2:
        channels, height, width = None, *shape
    elif len(shape) != 3:
        return None
    elif shape[2] <= 4 or (shape[2] <= MOST_STACKED and min(shape[:2]) > shape[2]):
        channels, (height, width) = 2, shape[:2]
    elif shape[0] <= MOST_STACKED and min(shape[1:]) > shape[0]:
        channels, (height, width) = 0, shape[1:]
    else:
        return None
    if min(height, width) < FEWEST:
        return None
    limits = _limits(box)
    if limits is None:
        return None
    depth = 1 if channels is None else shape[channels]
    is_large = min(height, width) >= SMALLEST
    if box.dtype == np.uint8:
        is_sure = is_large and limits == (0.0, 255.0)
    else:
        is_sure = is_large and box.dtype.kind == "f" and limits in RANGES and depth % 3 == 0
    return Layout(newest, channels, depth, *limits, is_sure)


def _limits(box: Box) -> tuple[float | None, float | None] | None:
    """The bounds that stand for black and white; (None, None) where there are none, None where no colours have such."""
    if box.dtype == bool:
        return 0.0, 1.0
    low, high = np.unique(box.low), np.unique(box.high)
    if len(low) != 1 or len(high) != 1:
        return None
    if not (np.isfinite(low[0]) and np.isfinite(high[0])) or float(high[0]) - float(low[0]) > 65535:
        return (None, None) if box.dtype.kind == "f" else None
    return (float(low[0]), float(high[0])) if high[0] > low[0] else None


def _leaves(space: gym.Space, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], gym.Space]]:
    if isinstance(space, Dict | Tuple):
        parts = space.spaces.items() if isinstance(space, Dict) else enumerate(space.spaces)
        for key, part in parts:
            yield from _leaves(part, (*path, key))
    else:
        yield path, space


RENDERED = Layout(newest=False, channels=2, depth=3, low=0.0, high=255.0, is_sure=True)


class Painter:
    """Turns the arrays of one layout into uint8 [H, W, 3].

    What a space does not tell is learned from the first arrays and stays: whether a fourth channel is opacity or the
    newest of four grey frames, and the range of floats whose bounds are none or not theirs.
    """

    def __init__(self, layout: Layout | None = None) -> None:
        """layout: None for what an environment draws, whose fourth channel is opacity."""
        self._layout = layout or RENDERED
        self._range: tuple[float, float] | None = None
        self._is_opacity = None if layout else True

    def __call__(self, array: Any) -> np.ndarray:
        """Raises ValueError, in words that go on from "its frame", where the array is no picture."""
        values = _plain(array)
        if self._layout.newest and values.ndim == 4:
            values = values[-1]
        if self._layout.channels == 0 and values.ndim == 3:
            values = np.moveaxis(values, 0, 2)
        if values.ndim == 2:
            values = values[:, :, None]
        if values.ndim != 3 or min(values.shape[:2]) < FEWEST or not 1 <= values.shape[2] <= MOST_STACKED * 4:
            raise ValueError(f"is {values.dtype} {values.shape}, expected [height, width, 3]")
        values = self._bytes(self._newest(values))
        return values if values.shape[2] == 3 else np.repeat(values, 3, axis=2)

    def _newest(self, values: np.ndarray) -> np.ndarray:
        """Of the channels [H, W, C] those that are one picture, [H, W, 3] or [H, W, 1]: of a stack the last."""
        depth = values.shape[2]
        if depth == 4:
            if self._is_opacity is None and (values != values[..., 3:]).any():
                top = values[0, 0, 3]
                self._is_opacity = bool(top > 0 and (values[..., 3] == top).all())
            return values[..., :3] if self._is_opacity else values[..., 3:]
        return values[..., -3:] if depth % 3 == 0 else values[..., -1:]

    def _bytes(self, values: np.ndarray) -> np.ndarray:
        if values.dtype == np.uint8 and (self._layout.low, self._layout.high) == (0.0, 255.0):
            return values
        if values.dtype.kind not in "fiub":
            raise ValueError(f"holds {values.dtype}, expected numbers")
        values = values.astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError("holds NaN or infinity, expected colours")
        low, high = self._range or self._learned(values)
        values = (values - low) * (255.0 / (high - low))
        return np.rint(values.clip(0, 255)).astype(np.uint8)

    def _learned(self, values: np.ndarray) -> tuple[float, float]:
        """Black and white: the space's own, unless the first picture that shows anything tells otherwise."""
        least, most = float(values.min()), float(values.max())
        told = self._layout.low, self._layout.high
        is_fraction = bool((values % 1 != 0).any())
        if told[0] is not None and told[1] is not None and not (told == (0.0, 255.0) and is_fraction and most <= 1):
            return told[0], told[1]
        fits = [(low, high) for low, high in RANGES if low <= least and most <= high]
        if not fits:
            raise ValueError(f"holds numbers from {least:g} to {most:g}, expected [0, 1], [-1, 1] or [0, 255]")
        if most > least:
            self._range = fits[0]
        return fits[0]


def _plain(array: Any) -> np.ndarray:
    """An array of NumPy's, of what may be a torch tensor on any device, a list of frames (its last) or None."""
    if isinstance(array, list | tuple) and array and np.ndim(array[0]) >= 2:
        array = array[-1]
    if hasattr(array, "detach"):
        array = array.detach().cpu()
    if hasattr(array, "get") and hasattr(array, "device"):  # CuPy's
        array = array.get()
    values = np.asarray(array)
    if values.dtype == object:
        raise ValueError(f"is {type(array).__name__}, expected a picture")
    return values
