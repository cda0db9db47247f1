from __future__ import annotations

import subprocess
import sys
import time

import pytest

from reverie.bench import measuring
from reverie.bench.dreams import step_products
from reverie.bench.measuring import (
    LoadWatch,
    ProductRate,
    ProductTask,
    machine_seconds,
    measure_products,
    product_rate,
    tree_seconds,
)
from reverie.bench.memory import update_products
from reverie.bench.models import paper
from reverie.bench.vision import flop
from tests.bench.conftest import Here

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
    monkeypatch.setattr(measuring, "machine_seconds", lambda: next(clocks["machine"]))
    monkeypatch.setattr(measuring, "tree_seconds", lambda: next(clocks["tree"]))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clocks["wall"]))
    with LoadWatch() as watch:
        pass
    assert watch.others == pytest.approx(others)


def test_a_lost_child_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time disappears from the tree when nobody waited for it; what was seen of it stays ours."""
    tree, machine, wall = iter([0.0, 4.0, 1.0, 3.0]), iter([0.0, 6.0]), iter([0.0, 2.0])
    monkeypatch.setattr(measuring, "tree_seconds", lambda: next(tree))
    monkeypatch.setattr(measuring, "machine_seconds", lambda: next(machine))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(wall))
    watch = LoadWatch()
    waits = iter([False, False, True])
    monkeypatch.setattr(watch.closed, "wait", lambda seconds: next(waits))
    with watch:
        pass
    assert watch.others == 0.0


@pytest.mark.parametrize("fast", [True, False])
def test_rate(fast: bool) -> None:
    assert product_rate(ProductTask(((2, 8, 4, 6), (1, 4, 4, 4)), fast, threads=1, seconds=0.01)) > 0


def test_processes_add_up() -> None:
    speed = measure_products(Here(3), ((1, 8, 8, 8),), 1, 0.01)  # type: ignore[arg-type]
    assert speed.flops == pytest.approx(speed.passes * 2 * 8**3)
    assert str(ProductRate(1.0, 357e9, 140e9)) == "357 GFLOP/s (float32: 140)"


@pytest.mark.parametrize(("world", "mega"), [("doom", 3.36), ("carracing", 0.84)])
def test_dream_step(world: str, mega: float) -> None:
    """What the paper's sizes cost: two operations a weight (the heads for rewards and ends add little)."""
    shapes = step_products(paper(world, "dream").memory, rows=1)
    assert ProductTask(shapes, True, 1, 0.0).flop / 1e6 == pytest.approx(mega, rel=0.02)


@pytest.mark.parametrize("world", ["doom", "carracing"])
def test_memory_update(world: str) -> None:
    """Six operations a weight and step: forward, and two gradients, but none by what enters M."""
    config = paper(world, "dream").memory
    steps = config.batch_size * config.sequence_length
    gates, hidden = 4 * config.hidden_size, config.hidden_size
    recurrent, inputs, head = gates * hidden, gates * config.input_size, config.output_size * hidden
    assert ProductTask(update_products(config), True, 1, 0.0).flop == steps * (6 * (recurrent + head) + 4 * inputs)


def test_vision() -> None:
    """Layer by layer: output pixels (input pixels of a transposed convolution) x weights x 2."""
    encoder = 31**2 * 32 * 48 + 14**2 * 64 * 512 + 6**2 * 128 * 1024 + 2**2 * 256 * 2048 + 2 * 1024 * 64
    decoder = 64 * 1024 + 1024 * 128 * 25 + 5**2 * 128 * 64 * 25 + 13**2 * 64 * 32 * 36 + 30**2 * 32 * 3 * 36
    assert flop(training=False) == 2 * encoder
    by_input = 31**2 * 32 * 48  # the first layer's gradient by the frame is not needed
    assert flop(training=True) == 2 * (3 * (encoder + decoder) - by_input)
