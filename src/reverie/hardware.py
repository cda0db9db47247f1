"""What the machine offers: the device to compute on, its fast number format, its cores."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from reverie.errors import ReverieError

if TYPE_CHECKING:
    import torch


def core_count() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA where there is one and the CPU elsewhere; any other name is taken as torch's own."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ReverieError(f"unknown device {name!r}; expected auto, cpu or cuda") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ReverieError("device 'cuda' was asked for, but no CUDA device is available; use --device cpu")
    return device


@cache
def compute_dtype(device_type: str = "cpu") -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, float32 elsewhere."""
    import torch

    if device_type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device_type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32
