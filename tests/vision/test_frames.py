from __future__ import annotations

import numpy as np
import torch

from reverie.vision.frames import to_frames, to_input


def test_every_level_survives_the_way_in_and_out() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    x = to_input(frames)
    assert (x.dtype, x.shape) == (torch.float32, (3, 3, 64, 64))
    np.testing.assert_allclose(x.numpy(), frames.transpose(0, 3, 1, 2) / 255, rtol=1e-6)
    np.testing.assert_array_equal(to_frames(x), frames)


def test_frames_that_cannot_be_written_to_are_taken() -> None:
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    frames.flags.writeable = False
    assert to_input(frames).sum() == 0
    assert not frames.any()


def test_drawn_frames_are_rounded_to_the_nearest_level() -> None:
    x = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 1.0])[:, None, None, None].expand(4, 3, 64, 64)
    assert to_frames(x)[:, 0, 0, 0].tolist() == [0, 0, 1, 255]
