"""What the machine offers: the device to compute on, its fast number format, its cores."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverie.errors import ReverieError

if TYPE_CHECKING:
    import torch


CGROUP = Path("/sys/fs/cgroup")  # where a container's limits stand
MANY_CORES, MOST_THREADS = 2**20, 1024


def core_count() -> int:
    """The number of processor cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _quota()))


def _quota() -> int:
    """The cores that a container may use at a time (`docker run --cpus 1.5` is 2), rounded up; without one, many."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            words = [word for file in files for word in (CGROUP / file).read_text().split()]
            allowed, period = (int(word) for word in words[:2])
        except (OSError, ValueError):  # no such file, or "max"
            continue
        if allowed > 0 and period > 0:
            return -(-allowed // period)
    return MANY_CORES


def thread_count() -> int:
    """How many threads a training loop computes on: as OMP_NUM_THREADS says, else one for each core."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # "4,2": of loops within loops too
    return min(int(wanted), MOST_THREADS) if wanted.isdecimal() and int(wanted) > 0 else core_count()


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
    """`auto` is CUDA where there is one and the CPU elsewhere; else "cpu", "cuda", "cuda:1" or "mps".

    Raises: ReverieError where there is no such device here, naming those that there are.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    there = _devices()
    if name in there:
        return torch.device(name)
    if name == "cuda" or name.startswith("cuda:"):
        many = torch.cuda.device_count() if torch.cuda.is_available() else 0
        has = f"this machine has {many} of them" if many else "no CUDA device is available"
        raise ReverieError(f"device {name!r} was asked for, but {has}; use --device {there[-1]}")
    raise ReverieError(f"unknown device {name!r}; expected {', '.join(['auto', *there[:-1]])} or {there[-1]}")


def _devices() -> list[str]:
    """The names of what this machine can compute on, beside auto."""
    import torch

    many = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cuda = ["cuda", *(f"cuda:{number}" for number in range(many))] if many else []
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


@cache
def compute_dtype(device_type: str = "cpu") -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, float32 elsewhere."""
    import torch

    if device_type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    if device_type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return torch.bfloat16
    return torch.float32
