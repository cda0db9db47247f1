"""C files as shared libraries: built once by the machine's own C compiler, kept in the user's cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reverie.files.scratch import scratch_folder

HEADER = Path(__file__).with_name("arithmetic.h")
# vectorises as -ffast-math does, but keeps sums in their order where no `omp simd reduction` allows another
FLAGS = shlex.split(
    "-O3 -march=native -std=gnu11 -fPIC -fopenmp-simd -fno-math-errno -fno-trapping-math -fno-signed-zeros"
)
OPENMP = "-fopenmp"
COMPILE_SECONDS = 60

INT, FLOAT, POINTER = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
Signatures = Mapping[str, Sequence[Any]]  # the types of each function's arguments; none returns anything


def load_library(
    source: Path, signatures: Signatures, flags: Sequence[str] = (), threads: bool = False
) -> ctypes.CDLL | None:
    """The functions of a C file that may include `arithmetic.h`; None where no C compiler can build it.

    threads: its OpenMP loops run on torch's own threads (import torch first), or on one where compiler and torch differ
    in whose OpenMP they use.
    """
    compiler = find_compiler()
    if compiler is None:
        return None
    for openmp in ([OPENMP], []) if threads else ([],):
        command = [*compiler, *FLAGS, *openmp, *flags, f"-I{HEADER.parent}", "-c", str(source)]
        functions = _load(compiler, command, f"{source.parent.name}-{fingerprint(source, command)}.so", signatures)
        if functions is not None:
            return functions
    return None


def _load(compiler: list[str], command: list[str], name: str, signatures: Signatures) -> ctypes.CDLL | None:
    """From the cache, or built for this process alone where the cache cannot be written to."""
    try:
        return _functions(build(compiler, command, cache_folder() / name), signatures)
    except (OSError, subprocess.SubprocessError):
        pass
    try:
        with scratch_folder("native") as spare:
            return _functions(build(compiler, command, spare / name), signatures)
    except (OSError, subprocess.SubprocessError):
        return None


def find_compiler() -> list[str] | None:
    """The words of the C compiler's command: $CC, else the first of cc, gcc and clang that is installed."""
    try:
        given = shlex.split(os.environ.get("CC", ""))
    except ValueError:  # a quotation mark that is not closed
        given = []
    if given:
        return given
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    return [found] if found else None


def build(compiler: list[str], command: list[str], library: Path) -> Path:
    """Make `library` unless it is there. Several processes and threads may: each renames a finished file into place.

    Linked apart and without OpenMP's own library: its names are found in the process that loads this one, or loading
    fails. A second OpenMP beside torch's would have threads of its own, waiting on the same cores.
    """
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        builder = f"{os.getpid()}-{threading.get_ident()}"
        compiled, linked = (library.with_suffix(f".{builder}{end}") for end in (".o", ".tmp"))
        try:
            _run([*command, "-o", str(compiled)])
            _run([*compiler, "-shared", str(compiled), "-o", str(linked), "-lm"])
            os.replace(linked, library)
        finally:
            compiled.unlink(missing_ok=True)
            linked.unlink(missing_ok=True)
    return library


def fingerprint(source: Path, command: list[str]) -> str:
    """Names what a library depends on: its sources, how it is compiled and the processor it is compiled for."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    processor = sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    sources = [HEADER.read_text(), source.read_text()]
    text = "\n".join([*sources, *command, platform.machine(), platform.processor(), *processor])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def cache_folder() -> Path:
    """Where compiled libraries are kept from one process to the next."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reverie"
    except RuntimeError:  # a user without a home, as containers have
        return Path(tempfile.gettempdir()) / f"reverie-cache-{os.getuid()}"


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_SECONDS)


def _functions(library: Path, signatures: Signatures) -> ctypes.CDLL:
    functions = ctypes.CDLL(str(library))
    for name, signature in signatures.items():
        function = getattr(functions, name)
        function.argtypes, function.restype = signature, None
    return functions
