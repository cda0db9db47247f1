from __future__ import annotations

import subprocess
import sys
import time

import pytest

from reverie.bench import load
from reverie.bench.load import LoadWatch, machine_seconds, tree_seconds

SPIN = "import time\nwhile time.process_time() < 0.3: pass"


def spin(seconds: float) -> None:
    begun = time.thread_time()
    while time.thread_time() - begun < seconds:
        pass


def test_what_we_compute_is_ours() -> None:
    machine, tree = machine_seconds(), tree_seconds()
    spin(0.3)
    subprocess.run([sys.executable, "-c", SPIN], check=True)
    assert tree_seconds() - tree > 0.5  # clocks tick in hundredths
    assert machine_seconds() - machine > 0.5


@pytest.mark.parametrize(("machine", "ours", "others"), [(8.0, 8.0, 0.0), (9.0, 6.0, 1.5), (6.0, 6.1, 0.0)])
def test_others_are_the_rest(monkeypatch: pytest.MonkeyPatch, machine: float, ours: float, others: float) -> None:
    """Seconds of processor time within two seconds."""
    clocks = {"machine": iter([100.0, 100.0 + machine]), "tree": iter([5.0, 5.0 + ours]), "wall": iter([0.0, 2.0])}
    monkeypatch.setattr(load, "machine_seconds", lambda: next(clocks["machine"]))
    monkeypatch.setattr(load, "tree_seconds", lambda: next(clocks["tree"]))
    monkeypatch.setattr(load.time, "perf_counter", lambda: next(clocks["wall"]))
    with LoadWatch() as watch:
        pass
    assert watch.others == pytest.approx(others)


def test_a_lost_child_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time disappears from the tree when nobody waited for it; what was seen of it stays ours."""
    tree, machine, wall = iter([0.0, 4.0, 1.0, 3.0]), iter([0.0, 6.0]), iter([0.0, 2.0])
    monkeypatch.setattr(load, "tree_seconds", lambda: next(tree))
    monkeypatch.setattr(load, "machine_seconds", lambda: next(machine))
    monkeypatch.setattr(load.time, "perf_counter", lambda: next(wall))
    watch = LoadWatch()
    waits = iter([False, False, True])
    monkeypatch.setattr(watch._closed, "wait", lambda seconds: next(waits))
    with watch:
        pass
    assert watch.others == 0.0
