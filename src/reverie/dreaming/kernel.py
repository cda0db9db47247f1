"""kernel.c as Python functions on tensors: built once by the machine's own C compiler, kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("kernel.c")
# what -ffast-math allows, without its changes to the process's floating-point mode and with NaN respected
FLAGS = shlex.split(
    "-O3 -march=native -std=gnu11 -shared -fPIC -fno-math-errno -fno-trapping-math -fno-signed-zeros "
    "-fassociative-math -freciprocal-math"
)
COMPILE_SECONDS = 60

N, F, P = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
SIGNATURES = {
    "cell": (N, N, P, P, P, P, N),
    "sample": (N, N, N, P, N, P, F, F, P, P, P, P, P, N, P),
    "linear": (N, N, N, N, P, P, P, P, P, N, P),
}


class Kernel:
    """The functions of kernel.c for one dtype. They trust their arguments: CPU tensors with contiguous last axes."""

    def __init__(self, library: Path) -> None:
        functions = ctypes.CDLL(str(library))
        for name, signature in SIGNATURES.items():
            function = getattr(functions, name)
            function.argtypes, function.restype = signature, None
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
    compiler = find_compiler()
    if compiler is None:
        return None
    command = [*compiler, *FLAGS, *(["-DBF16"] if dtype == torch.bfloat16 else []), str(SOURCE), "-lm"]
    name = f"dream-{fingerprint(command)}.so"
    with tempfile.TemporaryDirectory(prefix="reverie-") as spare:  # for a cache that cannot be written to
        for folder in (cache_folder(), Path(spare)):
            try:
                return Kernel(build(command, folder / name))
            except (OSError, subprocess.SubprocessError):
                continue
    return None


def find_compiler() -> list[str] | None:
    """The words of the C compiler's command: $CC, else the first of cc, gcc and clang that is installed."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return [found] if found else None


def build(command: list[str], library: Path) -> Path:
    """Compile `library` unless it is there. Processes may do so at once: each renames a finished file into place."""
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        unfinished = library.with_suffix(f".{os.getpid()}.tmp")
        try:
            subprocess.run([*command, "-o", str(unfinished)], check=True, capture_output=True, timeout=COMPILE_SECONDS)
            os.replace(unfinished, library)
        finally:
            unfinished.unlink(missing_ok=True)
    return library


def fingerprint(command: list[str]) -> str:
    """Names what a library depends on: its source, how it is compiled and the processor it is compiled for."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    processor = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    text = "\n".join([SOURCE.read_text(), *command, platform.machine(), platform.processor(), *processor])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled kernels are kept from one process to the next."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reverie"
