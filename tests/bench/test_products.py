"""Limits are right only if the work that they stand for is counted right."""

from __future__ import annotations

import pytest

from reverie.bench.dreams import step_products
from reverie.bench.models import paper
from reverie.bench.products import Products, Speed, measure_products, product_rate
from reverie.bench.remembering import update_products
from reverie.bench.seeing import flop
from tests.bench.conftest import Here


@pytest.mark.parametrize("fast", [True, False])
def test_rate(fast: bool) -> None:
    assert product_rate(Products(((2, 8, 4, 6), (1, 4, 4, 4)), fast, threads=1, seconds=0.01)) > 0


def test_processes_add_up() -> None:
    speed = measure_products(Here(3), ((1, 8, 8, 8),), 1, 0.01)  # type: ignore[arg-type]
    assert speed.flops == pytest.approx(speed.passes * 2 * 8**3)
    assert str(Speed(1.0, 357e9, 140e9)) == "357 GFLOP/s (float32: 140)"


@pytest.mark.parametrize(("world", "mega"), [("doom", 3.36), ("carracing", 0.84)])
def test_dream_step(world: str, mega: float) -> None:
    """What the paper's sizes cost: two operations a weight (the heads for rewards and ends add little)."""
    shapes = step_products(paper(world, "dream").memory, rows=1)
    assert Products(shapes, True, 1, 0.0).flop / 1e6 == pytest.approx(mega, rel=0.02)


@pytest.mark.parametrize("world", ["doom", "carracing"])
def test_memory_update(world: str) -> None:
    """Six operations a weight and step: forward, and two gradients, but none by what enters M."""
    config = paper(world, "dream").memory
    steps = config.batch_size * config.window
    gates, hidden = 4 * config.hidden_size, config.hidden_size
    recurrent, inputs, head = gates * hidden, gates * config.input_size, config.output_size * hidden
    assert Products(update_products(config), True, 1, 0.0).flop == steps * (6 * (recurrent + head) + 4 * inputs)


def test_vision() -> None:
    """Layer by layer: output pixels (input pixels of a transposed convolution) x weights x 2."""
    encoder = 31**2 * 32 * 48 + 14**2 * 64 * 512 + 6**2 * 128 * 1024 + 2**2 * 256 * 2048 + 2 * 1024 * 64
    decoder = 64 * 1024 + 1024 * 128 * 25 + 5**2 * 128 * 64 * 25 + 13**2 * 64 * 32 * 36 + 30**2 * 32 * 3 * 36
    assert flop(training=False) == 2 * encoder
    by_input = 31**2 * 32 * 48  # the first layer's gradient by the frame is not needed
    assert flop(training=True) == 2 * (3 * (encoder + decoder) - by_input)
