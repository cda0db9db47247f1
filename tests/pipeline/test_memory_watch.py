"""The watch sees this process and what it starts."""

from __future__ import annotations

import subprocess
import sys

from reverie.pipeline.memory_watch import MemoryWatch, tree_memory_mb


def test_memory_of_children_counts() -> None:
    before = tree_memory_mb()
    program = "import sys; held = b'x' * 200 * 2**20; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert 190 < tree_memory_mb() - before < 260
    assert tree_memory_mb() - before < 60


def test_the_peak_stays_when_the_memory_is_gone() -> None:
    with MemoryWatch() as watch:
        held = bytearray(b"x") * (150 * 2**20)
        watch.sample()
        del held
        watch.sample()
    assert watch.peak_mb > tree_memory_mb() + 100
