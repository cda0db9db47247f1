"""The watch sees this process and what it starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from reverie.workers.memory_watch import MemoryWatch, tree_memory_mb


@contextmanager
def child_of_200_mib() -> Iterator[None]:
    program = "import sys; held = b'x' * 200 * 2**20; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield
        assert child.stdin is not None
        child.stdin.close()


def test_memory_of_children_counts_while_they_live_and_the_peak_stays() -> None:
    before = tree_memory_mb()
    with MemoryWatch() as watch:
        with child_of_200_mib():
            assert 190 < tree_memory_mb() - before < 260
            watch.sample()
        assert tree_memory_mb() - before < 60
        watch.sample()
    assert 190 < watch.peak_mb - before < 260
