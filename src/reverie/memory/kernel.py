"""kernel.c as Python functions on tensors: what training M computes between two matrix products."""

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
    "cell": (N, N, N, P, P, P, P),
    "cell_backward": (N, N, N, P, P, P, P, P, P, P),
    "mixture": (N, N, N, N, P, N, P, F, P, P, P),
}


class Kernel:
    """The functions of kernel.c for one dtype, on as many threads as torch computes on.

    They trust their arguments: CPU tensors, contiguous (outputs: in its last axis); c, d_c, z and nll in float32.
    """

    def __init__(self, functions: ctypes.CDLL) -> None:
        self._functions = functions

    def cell(self, gates: Tensor, before: Tensor, after: Tensor, h: Tensor) -> None:
        """One step: gates [B, 4H], i, f, 2g, o before their nonlinearities, become the sigmoid of each.

        c is read from `before`; `after` (the next c) and h are written; all [B, H].
        """
        self._functions.cell(
            torch.get_num_threads(), *after.shape, gates.data_ptr(), before.data_ptr(), after.data_ptr(), h.data_ptr()
        )

    def cell_backward(
        self,
        gates: Tensor,
        before: Tensor,
        after: Tensor,
        d_output: Tensor,
        d_next: Tensor,
        d_c: Tensor,
        d_gates: Tensor,
    ) -> None:
        """Back through `cell`, whose gates, before and after these are.

        d_output, d_next [B, H]: the gradients of h from the loss and from the next step, in the dtype of the gates
        d_c [B, H]: the gradient of `after`, replaced by that of `before`
        d_gates [B, 4H]: written, before the nonlinearities; a fourth of g's
        """
        self._functions.cell_backward(
            torch.get_num_threads(), *after.shape, gates.data_ptr(), before.data_ptr(), after.data_ptr(),
            d_output.data_ptr(), d_next.data_ptr(), d_c.data_ptr(), d_gates.data_ptr(),
        )  # fmt: skip

    def mixture(self, mixtures: int, outputs: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """-log p(z) without its constant, summed over z [N, Nz], float32 [N]; and the mean's gradient by outputs.

        outputs [N, 3 K Nz] in M's order; the mean is over N and Nz.
        """
        threads, (rows, latent_size) = torch.get_num_threads(), z.shape
        nll, slope = z.new_empty(rows), outputs.new_empty(outputs.shape)
        scratch = z.new_empty(threads, 4 * (mixtures + 1), latent_size)
        self._functions.mixture(
            threads, rows, latent_size, mixtures, outputs.data_ptr(), outputs.stride(0), z.data_ptr(),
            1 / z.numel(), nll.data_ptr(), slope.data_ptr(), scratch.data_ptr(),
        )  # fmt: skip
        return nll, slope


@cache
def load_kernel(dtype: torch.dtype) -> Kernel | None:
    """The kernel for matrices of `dtype`, bfloat16 or float32; None for others, and where no compiler builds it."""
    if dtype not in (torch.bfloat16, torch.float32):
        return None
    functions = load_library(SOURCE, SIGNATURES, ["-DBF16"] if dtype == torch.bfloat16 else [], threads=True)
    return None if functions is None else Kernel(functions)
