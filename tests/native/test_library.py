"""Compiled C: found or not, built once, on the threads of the OpenMP that is there already."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from reverie.native import library as room
from reverie.native.library import FLOAT, INT, POINTER, load_library

needs_compiler = pytest.mark.skipif(room.find_compiler() is None, reason="no C compiler")
SIGNATURES = {"apply": (INT, INT, POINTER), "teams": (INT, POINTER)}
CODE = """
#include "arithmetic.h"

void apply(int64_t threads, int64_t n, float *x) {
#pragma omp parallel for if (threads > 1) num_threads(threads)
    for (int64_t k = 0; k < n; k++) x[k] = exponential(x[k]);
}

#ifdef _OPENMP
int omp_get_num_threads(void);
#endif

void teams(int64_t threads, int32_t *count) {
    *count = 1;
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
    *count = omp_get_num_threads();
#endif
}
"""


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A C file, and an empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "room"
    folder.mkdir()
    (folder / "kernel.c").write_text(CODE)
    return folder / "kernel.c"


def cached(source: Path) -> list[str]:
    folder = source.parents[1] / "cache" / "reverie"
    return [path.suffix for path in folder.iterdir()] if folder.exists() else []


@needs_compiler
@pytest.mark.parametrize("threads", [False, True])
def test_exponential_against_float64(source: Path, threads: bool) -> None:
    x = torch.linspace(-80, 80, 10_001)
    found = x.clone()
    functions = load_library(source, SIGNATURES, threads=threads)
    assert functions is not None
    functions.apply(3, len(found), found.data_ptr())
    torch.testing.assert_close(found.double(), x.double().exp(), rtol=3e-7, atol=0)


@needs_compiler
def test_threads_are_those_of_torchs_own_openmp(source: Path) -> None:
    """One OpenMP in the process: loading ours brings no second one, whose threads would wait on the same cores."""
    functions = load_library(source, SIGNATURES, threads=True)
    assert functions is not None
    count = ctypes.c_int32()
    functions.teams(2, ctypes.byref(count))
    maps = Path("/proc/self/maps")
    if maps.exists():
        loaded = {line.split()[-1] for line in maps.read_text().splitlines() if "omp" in Path(line.split()[-1]).name}
        assert len({name for name in loaded if "libgomp" in name or "libomp" in name}) <= 1
    assert count.value in (1, 2)  # 1 where this compiler and torch do not share an OpenMP


@needs_compiler
def test_without_openmp_the_loops_run_on_one_thread(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "OPENMP", "-fno-such-option")
    functions = load_library(source, SIGNATURES, threads=True)
    assert functions is not None
    count, x = ctypes.c_int32(), torch.zeros(5)
    functions.teams(2, ctypes.byref(count))
    functions.apply(2, 5, x.data_ptr())
    assert count.value == 1
    assert x.tolist() == [1.0] * 5


def test_no_compiler_no_library(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert load_library(source, SIGNATURES, threads=True) is None


@pytest.mark.parametrize("compiler", ["false", "/nowhere/cc"])
def test_a_compiler_that_fails_gives_no_library(source: Path, monkeypatch: pytest.MonkeyPatch, compiler: str) -> None:
    monkeypatch.setenv("CC", compiler)
    assert load_library(source, SIGNATURES, threads=True) is None
    assert cached(source) == []


@needs_compiler
def test_built_once_and_kept(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(3) as threads:
        assert all(threads.map(lambda _: load_library(source, SIGNATURES), range(3)))
    assert cached(source) == [".so"]

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("compiled again")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert load_library(source, SIGNATURES) is not None


@needs_compiler
def test_a_cache_that_cannot_be_written_to_is_done_without(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_library(source, SIGNATURES) is not None


def test_another_source_command_or_processor_is_another_library(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {room.fingerprint(source, ["cc"]), room.fingerprint(source, ["cc", "-DBF16"])}
    source.write_text(CODE + "/* another */")
    names.add(room.fingerprint(source, ["cc"]))
    monkeypatch.setattr("platform.machine", lambda: "another")
    names.add(room.fingerprint(source, ["cc"]))
    assert len(names) == 4


def test_a_wrong_name_is_a_bug_that_shows(source: Path) -> None:
    if room.find_compiler():
        with pytest.raises(AttributeError, match="missing"):
            load_library(source, {"missing": (FLOAT,)})
