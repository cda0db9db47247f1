"""Frames as the worlds give them, and as V takes and gives them."""

from __future__ import annotations

import numpy as np
import torch


def to_input(frames: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """Frames uint8 [n, 64, 64, 3] -> float32 [n, 3, 64, 64] in [0, 1], channels last in memory."""
    pixels = torch.from_numpy(np.require(frames, np.uint8, "W"))  # torch warns of arrays that are read-only
    return pixels.to(device).permute(0, 3, 1, 2).float().div_(255)


def to_frames(x: torch.Tensor) -> np.ndarray:
    """Frames [n, 3, 64, 64] in [0, 1] -> uint8 [n, 64, 64, 3], rounded to the nearest."""
    return x.detach().permute(0, 2, 3, 1).mul(255).round().to(torch.uint8).cpu().numpy()
