"""One step of M for many dreams, compiled and eager, against MDNRNN.step and mixture.sample with the same noise."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from reverie.dream.kernel import load_kernel
from reverie.dream.rows import DreamRows, PackedMemory, reorder
from reverie.memory.mixture import sample
from reverie.memory.model import MDNRNN
from tests.dream import parts

TAU = 1.3
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 0.06}


def rows_of(model: MDNRNN, count: int, dtype: torch.dtype, compiled: bool, tau: float = TAU) -> DreamRows:
    return DreamRows(PackedMemory(model, dtype), count, tau, load_kernel(dtype) if compiled else None)


@pytest.mark.parametrize(("dtype", "compiled"), list(product(TOLERANCE, [True, False])))
def test_steps_follow_the_plain_model(dtype: torch.dtype, compiled: bool) -> None:
    """Three steps of 21 dreams; in bf16 a draw at the edge of two components may fall on either side."""
    model, n = parts.memory(), 21
    random = torch.Generator().manual_seed(1)
    rows, state = rows_of(model, n, dtype, compiled), model.initial_state(n)
    z = torch.randn(n, parts.LATENT, generator=random)
    stream = torch.randint(5, (n,), generator=random)
    rows.begin(torch.arange(n), z)
    for step in range(3):
        action = torch.randn(n, 3, generator=random)
        uniform, noise = torch.rand(5, parts.LATENT, generator=random), torch.randn(5, parts.LATENT, generator=random)
        with torch.no_grad():
            state, said = model.step(state, z, action, torch.full((n,), float(step == 0)))
            z = sample(said.logits, said.mean, said.log_std, TAU, uniform[stream], noise[stream])
        heads = rows.advance(action, uniform, noise, stream)
        near = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
        torch.testing.assert_close(rows.state.h.float(), state.h, **near)
        torch.testing.assert_close(rows.state.c, state.c, **near)
        torch.testing.assert_close(heads.done_logit, said.done_logit, **near)
        torch.testing.assert_close(heads.reward, said.reward, **near)
        expected = (said.logits.softmax(-1) * said.mean).sum(-1)
        torch.testing.assert_close(rows.expected(), expected, **near)
        other_side = ((rows.z - z).abs() > 5 * TOLERANCE[dtype]).float().mean()
        assert other_side <= (0 if dtype == torch.float32 else 0.03)
        z = rows.z.clone()
        state = rows.state._replace(h=rows.state.h.float(), c=rows.state.c.clone())


@pytest.mark.parametrize("compiled", [True, False])
def test_low_temperatures_neither_overflow_nor_choose_wrongly(compiled: bool) -> None:
    model = parts.memory()
    with torch.no_grad():
        model.head_bias[: 3 * parts.LATENT].mul_(40)  # logits far apart: the largest wins with certainty
    rows = rows_of(model, 4, torch.float32, compiled, tau=0.05)
    rows.begin(torch.arange(4), torch.zeros(4, parts.LATENT))
    uniform, noise = torch.full((1, parts.LATENT), 0.999), torch.zeros(1, parts.LATENT)
    with torch.no_grad():
        zeros = torch.zeros(4, parts.LATENT), torch.zeros(4, 3), torch.ones(4)
        _, said = model.step(model.initial_state(4), *zeros)
    rows.advance(torch.zeros(4, 3), uniform, noise, torch.zeros(4, dtype=torch.long))
    top = said.logits.argmax(-1, keepdim=True)
    torch.testing.assert_close(rows.z, said.mean.gather(-1, top)[..., 0], atol=1e-4, rtol=1e-4)


def test_the_restart_input_is_set_for_one_step_only() -> None:
    rows, noise = rows_of(parts.memory(), 3, torch.float32, compiled=True), torch.zeros(3, parts.LATENT)
    rows.begin(torch.arange(3), torch.ones(3, parts.LATENT))
    rows.begin_inside(torch.tensor([1]), torch.ones(1, parts.HIDDEN), torch.full((1, parts.HIDDEN), 2.0))
    assert rows.restart.tolist() == [[1], [0], [1]]
    assert rows.state.c[:, 0].tolist() == [0, 2, 0]
    rows.advance(torch.zeros(3, 3), noise, noise, torch.arange(3))
    assert rows.restart.tolist() == [[0], [0], [0]]


def test_keep_goes_on_with_these_rows_alone_in_this_order() -> None:
    rows = rows_of(parts.memory(), 7, torch.float32, compiled=False)
    rows.begin(torch.arange(7), torch.arange(7.0)[:, None].expand(7, parts.LATENT))
    rows.keep(torch.tensor([6, 1, 2, 4]))
    assert rows.z[:, 0].tolist() == [6, 1, 2, 4]
    beside = torch.arange(6.0)
    reorder(torch.tensor([5, 1, 0]), beside)
    assert beside[:3].tolist() == [5, 1, 0]


@pytest.mark.parametrize(("dtype", "compiled"), list(product(TOLERANCE, [True, False])))
def test_the_clock_keeps_time_over_a_whole_dream(dtype: torch.dtype, compiled: bool) -> None:
    model = parts.memory(clock=True)
    model.set_clock()
    rows = rows_of(model, 2, dtype, compiled)
    rows.begin(torch.arange(2), torch.zeros(2, parts.LATENT))
    uniform, noise = torch.rand(1, parts.LATENT), torch.zeros(1, parts.LATENT)
    for _ in range(2100):
        with torch.no_grad():
            rows.advance(torch.zeros(2, 3), uniform, noise, torch.zeros(2, dtype=torch.long))
    assert rows.state.c[:, 0].tolist() == pytest.approx([1.4, 1.4], rel=1e-2)
    assert rows.state.h[:, 0].float().tolist() == pytest.approx([0.885, 0.885], rel=1e-2)
