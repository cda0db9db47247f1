"""How a case is measured: its effort, the load of other programs, and the machine's limit, matrix products alone."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil
import torch

from reverie.hardware import compute_dtype, core_count, pin_threads, thread_count
from reverie.workers.pool import Workers


@dataclass(frozen=True)
class Setting:
    """What all cases of one call share.

    folder: scratch space for files
    workers, threads: processes that dream and play; threads of the one that trains
    repeats: of what is timed, after one run to warm up
    effort: 1 gives each repeat the work that a figure needs, 1 to 3 seconds on two cores; tests ask for less
    """

    folder: Path
    workers: int = field(default_factory=core_count)
    threads: int = field(default_factory=thread_count)
    repeats: int = 3
    effort: float = 1.0

    def amount(self, whole: int, least: int = 1) -> int:
        """`whole` units of work at full effort, and at least `least`."""
        return max(least, round(whole * self.effort))


def median(run: Callable[[], float], repeats: int, warm_up: bool = True) -> float:
    """The median of what `run` returns."""
    if warm_up:
        run()
    return statistics.median(run() for _ in range(repeats))


def processes(count: int, threads: int = 1) -> str:
    """`2 processes x 1 thread`."""
    many = "processes" if count > 1 else "process"
    return f"{count} {many} x {threads} {'threads' if threads > 1 else 'thread'}"


SECONDS_BETWEEN_SAMPLES = 1.0


class LoadWatch:
    """A context manager whose `others` is the mean number of our cores that other programs kept busy meanwhile.

    Ours is this process and all its descendants. Where the hypervisor gave the cores to somebody else, that counts
    as others too.
    """

    def __init__(self) -> None:
        self.others = 0.0
        self._ours = 0.0
        self._tree = tree_seconds()
        self.closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="load-watch", daemon=True)

    def __enter__(self) -> LoadWatch:
        self._start = time.perf_counter(), machine_seconds()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed.set()
        self._thread.join()
        begun, machine = self._start
        elapsed = max(time.perf_counter() - begun, 1e-9)
        self.others = max(0.0, machine_seconds() - machine - self._ours) / elapsed

    def _watch(self) -> None:
        ended = False
        while not ended:
            ended = self.closed.wait(SECONDS_BETWEEN_SAMPLES)
            tree = tree_seconds()
            # a game whose worker was killed is nobody's child any more, and its time gone from the sum
            self._ours += max(0.0, tree - self._tree)
            self._tree = tree


def machine_seconds() -> float:
    """Seconds that the cores which we may use have been busy, by whomever, since the machine started."""
    times = psutil.cpu_times(percpu=True)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(times))
    idle = ("idle", "iowait", "guest", "guest_nice")  # a guest's time is in user already
    chosen = [times[core] for core in cores if core < len(times)]
    return sum(value for core in chosen for name, value in core._asdict().items() if name not in idle)


def tree_seconds() -> float:
    """Processor time of this process and its descendants, those that ended and were waited for included."""
    me = psutil.Process()
    total = 0.0
    for process in [me, *me.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:  # it ended just now
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


Shapes = tuple[tuple[int, int, int, int], ...]  # count, m, k, n: so many products of [m, k] by [k, n]

LARGE: Shapes = ((1, 2048, 2048, 2048),)  # what the machine multiplies fastest
REPEATS = 5


@dataclass(frozen=True)
class ProductTask:
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
class ProductRate:
    """What a pool's processes multiply together: passes a second in the fast format, operations a second in both."""

    passes: float
    flops: float
    float32_flops: float

    def __str__(self) -> str:
        return f"{self.flops / 1e9:,.0f} GFLOP/s (float32: {self.float32_flops / 1e9:,.0f})"


def measure_products(pool: Workers, shapes: Shapes, threads: int, seconds: float) -> ProductRate:
    """All workers of the pool multiply at once, with so many threads each."""
    tasks = [ProductTask(shapes, fast, threads, seconds) for fast in (True, False)]
    passes, float32_passes = (sum(pool.map(product_rate, [task] * pool.count)) for task in tasks)
    return ProductRate(passes, passes * tasks[0].flop, float32_passes * tasks[1].flop)


def product_rate(task: ProductTask) -> float:
    """Passes a second: the median over a few equal parts of the time."""
    pin_threads(task.threads)
    dtype = compute_dtype() if task.fast else torch.float32
    factors = [(count, *_operands(m, k, n, dtype)) for count, m, k, n in task.shapes]
    with torch.inference_mode():
        _pass(factors)
        passes = max(1, round(task.seconds / REPEATS / _pass_seconds(factors, 1)))
        return 1 / statistics.median(_pass_seconds(factors, passes) for _ in range(REPEATS))


def _operands(m: int, k: int, n: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, weight = torch.randn(m, k).to(dtype), torch.randn(n, k).to(dtype)  # weights lie as M and V keep them
    return x, weight.t(), x.new_empty(m, n)


def _pass_seconds(factors: list[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]], passes: int) -> float:
    """Of one pass."""
    begun = time.perf_counter()
    for _ in range(passes):
        _pass(factors)
    return (time.perf_counter() - begun) / passes


def _pass(factors: list[tuple[int, torch.Tensor, torch.Tensor, torch.Tensor]]) -> None:
    for count, x, weight, product in factors:
        for _ in range(count):
            torch.mm(x, weight, out=product)
