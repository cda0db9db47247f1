"""The machine's limit: matrix products alone, at the shapes that a case multiplies."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch

from reverie.hardware import compute_dtype, pin_threads
from reverie.workers.pool import Workers

Shapes = tuple[tuple[int, int, int, int], ...]  # count, m, k, n: so many products of [m, k] by [k, n]

LARGE: Shapes = ((1, 2048, 2048, 2048),)  # what the machine multiplies fastest
REPEATS = 5


@dataclass(frozen=True)
class Products:
    """One pass over `shapes`, measured for `seconds`; `fast`: in the format that V and M compute in, else float32."""

    shapes: Shapes
    fast: bool
    threads: int
    seconds: float

    @property
    def flop(self) -> float:
        """Floating-point operations of a pass."""
        return sum(2.0 * count * m * k * n for count, m, k, n in self.shapes)


@dataclass(frozen=True)
class Speed:
    """What a pool's processes multiply together: passes a second in the fast format, operations a second in both."""

    passes: float
    flops: float
    float32_flops: float

    def __str__(self) -> str:
        return f"{self.flops / 1e9:,.0f} GFLOP/s (float32: {self.float32_flops / 1e9:,.0f})"


def measure_products(pool: Workers, shapes: Shapes, threads: int, seconds: float) -> Speed:
    """All workers of the pool multiply at once, with so many threads each."""
    tasks = [Products(shapes, fast, threads, seconds) for fast in (True, False)]
    passes, float32_passes = (sum(pool.map(product_rate, [task] * pool.count)) for task in tasks)
    return Speed(passes, passes * tasks[0].flop, float32_passes * tasks[1].flop)


def product_rate(task: Products) -> float:
    """Passes a second: the median over a few equal parts of the time."""
    pin_threads(task.threads)
    dtype = compute_dtype() if task.fast else torch.float32
    factors = [(count, *_factors(m, k, n, dtype)) for count, m, k, n in task.shapes]
    with torch.inference_mode():
        _pass(factors)
        passes = max(1, round(task.seconds / REPEATS / _seconds(factors, 1)))
        return 1 / statistics.median(_seconds(factors, passes) for _ in range(REPEATS))


def _factors(m: int, k: int, n: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, weight = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)  # weights lie as M and V keep them
    return x, weight.t(), x.new_empty(m, n)


def _seconds(factors: list[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]], passes: int) -> float:
    """Of one pass."""
    begun = time.perf_counter()
    for _ in range(passes):
        _pass(factors)
    return (time.perf_counter() - begun) / passes


def _pass(factors: list[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]) -> None:
    for count, x, weight, product in factors:
        for _ in range(count):
            torch.mm(x, weight, out=product)
