"""Which arrays are pictures, and how each kind becomes the same uint8 [H, W, 3]."""

from __future__ import annotations

import re
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from reverie.worlds.generic.pictures import Painter, is_picture, layout_of, pictures

RNG = np.random.default_rng(0)
PLAIN = RNG.integers(0, 256, (20, 30, 3), np.uint8)
GREY = np.repeat(PLAIN[..., :1], 3, 2)
OLDER = RNG.integers(0, 256, (20, 30, 3), np.uint8)
OPAQUE = np.full((20, 30, 1), 255, np.uint8)


def box(like: np.ndarray, low: float = 0, high: float = 255) -> Box:
    return Box(low, high, like.shape, like.dtype.type)


floats, signed = (PLAIN / 255).astype(np.float32), (PLAIN / 127.5 - 1).astype(np.float32)
KINDS: dict[str, tuple[Box, Any, np.ndarray]] = {  # the space, what is shown, the picture
    "plain": (box(PLAIN), PLAIN, PLAIN),
    "grey [H, W]": (box(PLAIN[..., 0]), PLAIN[..., 0], GREY),
    "grey [H, W, 1]": (box(PLAIN[..., :1]), PLAIN[..., :1], GREY),
    "channels first": (box(PLAIN.transpose(2, 0, 1)), PLAIN.transpose(2, 0, 1), PLAIN),
    "grey, channels first": (box(PLAIN[None, ..., 0]), PLAIN[None, ..., 0], GREY),
    "floats in [0, 1]": (box(floats, 0, 1), floats, PLAIN),
    "floats in [-1, 1]": (box(signed, -1, 1), signed, PLAIN),
    "floats in [0, 255]": (box(floats), PLAIN.astype(np.float32), PLAIN),
    "floats without bounds": (box(floats, -np.inf, np.inf), floats, PLAIN),
    "floats where bytes were promised": (box(PLAIN), PLAIN.astype(np.float64), PLAIN),
    "fractions where bytes were promised": (box(PLAIN), floats, PLAIN),
    "ints": (box(PLAIN), PLAIN.astype(np.int64), PLAIN),
    "opacity": (box(np.dstack([PLAIN, OPAQUE])), np.dstack([PLAIN, OPAQUE]), PLAIN),
    "a stack of four": (box(np.dstack([OLDER, OLDER, OLDER, PLAIN])), np.dstack([OLDER, OLDER, OLDER, PLAIN]), PLAIN),
    "a stack of four grey ones": (
        box(np.dstack([OLDER, PLAIN[..., 0]])), np.dstack([OLDER, PLAIN[..., 0]]), GREY,
    ),
    "the same, channels first": (
        box(np.dstack([OLDER, PLAIN[..., 0]]).transpose(2, 0, 1)),
        np.dstack([OLDER, PLAIN[..., 0]]).transpose(2, 0, 1),
        GREY,
    ),
    "frames on an axis of their own": (box(np.stack([OLDER, PLAIN])), np.stack([OLDER, PLAIN]), PLAIN),
    "a mask": (Box(0, 1, (20, 30), bool), PLAIN[..., 0] > 99, np.repeat((PLAIN[..., :1] > 99) * np.uint8(255), 3, 2)),
    "a tensor": (box(PLAIN), torch.from_numpy(PLAIN), PLAIN),
    "a list of rows": (box(PLAIN[..., 0]), [PLAIN[..., 0]], GREY),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_becomes_the_plain_one(kind: str) -> None:
    space, shown, expected = KINDS[kind]
    layout = layout_of(space)
    assert layout is not None
    found = Painter(layout)(shown)
    assert (found.dtype, found.shape) == (np.uint8, expected.shape)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_what_is_drawn_may_have_opacity_or_be_a_list() -> None:
    assert (Painter()(np.dstack([PLAIN, OPAQUE * 0])) == PLAIN).all()
    assert (Painter()([OLDER, PLAIN]) == PLAIN).all()


IS_PICTURE: list[tuple[gym.Space, bool]] = [
    (Box(0, 255, (20, 30, 3), np.uint8), True),
    (Box(0, 255, (20, 30), np.uint8), True),
    (Box(0, 255, (4, 84, 84), np.uint8), True),
    (Box(0, 1, (20, 30, 3), np.float32), True),
    (Box(0, 2, (20, 30), np.uint8), False),  # a board
    (Box(0, 255, (7, 7, 3), np.uint8), False),  # codes of cells
    (Box(0, 1, (20, 30), bool), False),
    (Box(0, 1, (20, 30), np.float32), False),
    (Box(0, 255, (128,), np.uint8), False),
    (Box(-1, 1, (3,), np.float32), False),
    (Discrete(3), False),
]


@pytest.mark.parametrize(("space", "expected"), IS_PICTURE, ids=str)
def test_is_picture_beyond_doubt(space: gym.Space, expected: bool) -> None:
    assert is_picture(space) == expected


def test_pictures_are_found_within_others_those_beyond_doubt_first() -> None:
    image = Box(0, 255, (20, 30, 3), np.uint8)
    space = Dict({"mask": Box(0, 9, (20, 30), np.uint8), "eyes": Tuple((image, Discrete(2))), "goal": Box(-1, 1, (2,))})
    found = pictures(space)
    assert [picture.key for picture in found] == ["eyes.0", "mask"]
    assert found[0].find({"eyes": (PLAIN, 1)}) is PLAIN


REFUSED: list[tuple[Any, str]] = [
    (np.zeros((20, 30, 3), complex), "holds complex128, expected numbers"),
    (np.full((20, 30, 3), np.inf), "holds NaN or infinity, expected colours"),
    (np.zeros(5), "is float64 (5,), expected [height, width, 3]"),
    (None, "is NoneType, expected a picture"),
]


@pytest.mark.parametrize(("shown", "fault"), REFUSED)
def test_what_is_no_picture_is_refused(shown: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        Painter()(shown)


def test_numbers_beyond_all_colours_are_refused() -> None:
    layout = layout_of(Box(-np.inf, np.inf, (20, 30, 3), np.float32))
    assert layout is not None
    with pytest.raises(ValueError, match=r"holds numbers from -3 to 3, expected \[0, 1\], \[-1, 1\] or \[0, 255\]"):
        Painter(layout)(np.linspace(-3, 3, 1800).reshape(20, 30, 3))
