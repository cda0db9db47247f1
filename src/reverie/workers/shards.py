"""Updates in shards: a batch is cut into a fixed number of parts, and each part is computed by one thread alone.

Threads that share the work of a single operation meet at hundreds of barriers in an update, and each of them waits for
whoever lost its core to another process. Shards meet once. How many there are follows from the batch and never from the
cores, and their gradients are summed in a fixed order: the same bits on 1, 2 or 16 cores, busy or not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from reverie.hardware import core_count, pin_threads

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SHARDS = 4
Part = TypeVar("Part")
Result = TypeVar("Result")


class Shards:
    """The shards of batches of `size` items: `SHARDS` of them, or fewer where that does not divide the batch.

    From here on torch computes on one thread in the thread that made it, too.
    """

    def __init__(self, size: int, device: torch.device | str = "cpu", threads: int | None = None) -> None:
        """threads: how many compute; None: one for each core. On any device but the CPU there is one shard."""
        self.count = math.gcd(size, SHARDS) if str(device).startswith("cpu") else 1
        self.size = size // self.count
        threads = min(self.count, threads or core_count())
        if self.count > 1:
            pin_threads(1)
        self._pool = ThreadPoolExecutor(threads, "shard", pin_threads, (1,)) if threads > 1 else None

    def map(self, function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
        """The function of each part, in their order."""
        return list(map(function, parts) if self._pool is None else self._pool.map(function, parts))

    def gradients(
        self, parameters: Sequence[Tensor], loss: Callable[[Part], tuple[Tensor, Result]], parts: Sequence[Part]
    ) -> tuple[list[Tensor], list[Result]]:
        """The mean of the gradients of the parts' losses, float32, and what else `loss` returned for each part."""
        import torch

        def one(part: Part) -> tuple[tuple[Tensor | None, ...], Result]:
            value, result = loss(part)
            return torch.autograd.grad(value, parameters, allow_unused=True), result

        each = self.map(one, parts)
        sums = [_mean([gradients[place] for gradients, _ in each], like) for place, like in enumerate(parameters)]
        return sums, [result for _, result in each]


def _mean(gradients: Sequence[Tensor | None], like: Tensor) -> Tensor:
    """Their mean in float32, summed one after the other; a parameter that no loss needs has a gradient of 0."""
    import torch

    total = torch.zeros_like(like, dtype=torch.float32)
    for gradient in gradients:
        if gradient is not None:
            total += gradient
    return total.div_(len(gradients))
