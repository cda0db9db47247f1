"""kernel.c as Python functions on tensors: what a dream computes between two matrix products."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from reverie.native.library import FLOAT, INT, POINTER, load_library

SOURCE = Path(__file__).with_name("kernel.c")
N, F, P = INT, FLOAT, POINTER
SIGNATURES = {
    "cell": (N, N, P, P, P, P, N),
    "sample": (N, N, N, P, N, P, F, F, P, P, P, P, P, N, P),
    "linear": (N, N, N, N, P, P, P, P, P, N, P),
}


class Kernel:
    """The functions of kernel.c for one dtype. They trust their arguments: CPU tensors with contiguous last axes."""

    def __init__(self, functions: ctypes.CDLL) -> None:
        self._functions = functions

    def cell(self, rows: int, gates: Tensor, bias: Tensor, c: Tensor, h: Tensor) -> None:
        """One LSTM step: gates [rows, 4H] (+ bias with the forget gate's constant), into c and h [rows, H]."""
        self._functions.cell(
            rows, c.shape[1], gates.data_ptr(), bias.data_ptr(), c.data_ptr(), h.data_ptr(), h.stride(0)
        )

    def sample(
        self,
        rows: int,
        mixtures: int,
        outputs: Tensor,
        bias: Tensor,
        temperature: float,
        episode: Tensor,
        uniform: Tensor,
        noise: Tensor,
        z: Tensor,
        x: Tensor,
        scratch: Tensor,
    ) -> None:
        """`memory.mixture.sample` from outputs [rows, >= 3 K Nz] (+ bias), into z and, in M's dtype, x [rows, Nz].

        uniform and noise [E, Nz] are indexed by `episode` [rows]; scratch holds (K + 2) Nz floats.
        """
        self._functions.sample(
            rows, z.shape[1], mixtures, outputs.data_ptr(), outputs.stride(0), bias.data_ptr(), 1 / temperature,
            temperature**0.5, episode.data_ptr(), uniform.data_ptr(), noise.data_ptr(), z.data_ptr(), x.data_ptr(),
            x.stride(0), scratch.data_ptr(),
        )  # fmt: skip

    def linear(
        self, rows: int, weights: Tensor, candidate: Tensor, z: Tensor, c: Tensor | None, h: Tensor, outputs: Tensor
    ) -> None:
        """outputs [rows, A] = weights[candidate] [A, F] on [z, h] or [z, c, h]; h may have no columns."""
        self._functions.linear(
            rows, z.shape[1], h.shape[1], outputs.shape[1], weights.data_ptr(), candidate.data_ptr(), z.data_ptr(),
            None if c is None else c.data_ptr(), h.data_ptr(), h.stride(0), outputs.data_ptr(),
        )  # fmt: skip


@cache
def load_kernel(dtype: torch.dtype) -> Kernel | None:
    """The kernel for weights of `dtype` (bfloat16 or float32); None where no C compiler can build it."""
    functions = load_library(SOURCE, SIGNATURES, ["-DBF16"] if dtype == torch.bfloat16 else [])
    return None if functions is None else Kernel(functions)
