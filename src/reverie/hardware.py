"""What the machine offers: the device to compute on, its fast number format, its cores."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from reverie.errors import ReverieError

if TYPE_CHECKING:
    import torch


def core_count() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count() -> int:
    """How many threads a training loop computes on: as OMP_NUM_THREADS says, else one for each core."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else core_count()


def pin_threads(count: int | None = None) -> None:
    """Let torch compute on `count` threads in this process, by default on `thread_count()`.

    A training loop calls it first: the number of threads decides in which order sums are taken, so the same
    number gives the same bits.
    """
    import torch

    torch.set_num_threads(thread_count() if count is None else count)


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for its next allocation.

    glibc hands large blocks back to the system and faults every page in anew, which costs a training loop with
    buffers of many megabytes up to half of its time. Without glibc it does nothing.
    """
    c_library: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(c_library, "mallopt"):
        c_library.mallopt(_M_MMAP_MAX, 0)
        c_library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from malloc.h


@contextmanager
def single_thread() -> Iterator[None]:
    """Inside it torch computes on one thread, even where torch is imported only there; the state before returns."""
    before = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else thread_count()
    variables = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(variables, "1"))
    if "torch" in sys.modules:
        pin_threads(1)
    try:
        yield
    finally:
        for name, value in variables.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        if "torch" in sys.modules:
            pin_threads(before)


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
