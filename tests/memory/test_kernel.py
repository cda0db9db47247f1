"""What training computes in C against formulas in float64, and against the same operations in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from reverie.memory import loss, lstm
from reverie.memory.kernel import Kernel, load_kernel
from reverie.memory.loss import memory_loss, mixture_nll
from reverie.memory.lstm import LSTMState, lstm_sequence
from reverie.memory.mixture import HALF_LOG_TAU, log_prob
from reverie.memory.model import MDNRNN
from reverie.native.library import find_compiler
from tests.memory.test_loss import CONFIG, ROWS, make_batch

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
HIDDEN = 37  # no multiple of a vector


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + 31 * sum(shape)))


def kernel_of(dtype: torch.dtype) -> Kernel:
    kernel = load_kernel(dtype)
    assert kernel is not None
    return kernel


@pytest.fixture
def threads() -> Iterator[None]:
    """Sets torch back to one thread after the test."""
    yield
    torch.set_num_threads(1)


def plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on as where no compiler is."""
    for room in (lstm, loss):
        monkeypatch.setattr(room, "load_kernel", lambda dtype: None)


@needs_compiler
@pytest.mark.parametrize("scale", [1, 10, 100])
def test_cell_and_its_gradient_against_float64(scale: float) -> None:
    gates, c, d_h, d_c = (
        numbers(5, 4 * HIDDEN) * scale,
        numbers(5, HIDDEN),
        numbers(5, HIDDEN, seed=1),
        numbers(5, HIDDEN),
    )
    exact = [part.double().requires_grad_() for part in (gates, c)]
    i, f, g, o = exact[0].chunk(4, 1)
    after = torch.sigmoid(f) * exact[1] + torch.sigmoid(i) * torch.tanh(g / 2)  # g enters doubled
    h = torch.sigmoid(o) * torch.tanh(after)
    d_gates, d_before = torch.autograd.grad([h, after], exact, [d_h.double(), d_c.double()])
    d_gates.chunk(4, 1)[2].div_(2)  # and a fourth of its gradient leaves

    kernel, found_after, found_h, found = (
        kernel_of(torch.float32),
        c.new_empty(c.shape),
        c.new_empty(c.shape),
        gates.clone(),
    )
    kernel.cell(found, c, found_after, found_h)
    halves = d_h * 0.25, d_h * 0.75
    slopes = torch.empty_like(gates)
    kernel.cell_backward(found, c, found_after, *halves, d_c, slopes)
    for ours, theirs in ((found_after, after), (found_h, h), (slopes, d_gates), (d_c, d_before)):
        torch.testing.assert_close(ours.double(), theirs.detach(), rtol=2e-6, atol=1e-6)


@needs_compiler
@pytest.mark.parametrize("scale", [0.1, 2, 20])
def test_mixture_and_its_gradient_against_float64(scale: float) -> None:
    rows, mixtures, size = 50, 5, 11
    outputs, z = numbers(rows, 3 * mixtures * size) * scale, numbers(rows, size)
    exact = outputs.double().requires_grad_()
    parts = exact.view(rows, 3, mixtures, size).transpose(-1, -2).unbind(1)
    density = log_prob(*parts, z.double())
    (expected,) = torch.autograd.grad(-density.mean(), exact)
    nll, slope = kernel_of(torch.float32).mixture(mixtures, outputs, z)
    exact_nll = (-density - HALF_LOG_TAU).sum(1).detach()
    torch.testing.assert_close(nll.double(), exact_nll, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(slope.double(), expected, rtol=2e-4, atol=1e-6 / z.numel())


@needs_compiler
def test_outputs_may_be_columns_of_a_larger_matrix() -> None:
    outputs, z = numbers(6, 3 * 2 * 4 + 3), numbers(6, 4)
    kernel, columns = kernel_of(torch.float32), outputs[:, : 3 * 2 * 4]
    for found, expected in zip(kernel.mixture(2, columns, z), kernel.mixture(2, columns.contiguous(), z), strict=True):
        assert torch.equal(found, expected)


@needs_compiler
def test_what_is_not_a_number_stays_so() -> None:
    outputs, z = numbers(2, 3 * 5 * 4), numbers(2, 4)
    outputs[0, 7] = torch.nan
    nll, _ = kernel_of(torch.float32).mixture(5, outputs, z)
    assert nll.isnan().tolist() == [True, False]
    gates, c, h = numbers(2, 16), numbers(2, 4), torch.empty(2, 4)
    gates[0] = torch.nan
    kernel_of(torch.float32).cell(gates, c, torch.empty(2, 4), h)
    assert h.isnan().all(1).tolist() == [True, False]


def window(dtype: torch.dtype) -> list[Tensor]:
    """What leaves a window of an LSTM with restarts, and all gradients."""
    keep = torch.ones(30, 7)
    keep[0, 2] = keep[9, 3] = keep[20, 1] = 0
    shapes = [(30, 7, 5), (7, HIDDEN), (7, HIDDEN), (4 * HIDDEN, 5), (4 * HIDDEN, HIDDEN), (4 * HIDDEN,)]
    inputs = [(numbers(*shape) * 0.3).requires_grad_() for shape in shapes]
    x, h, c, *weights = inputs
    state, hidden = lstm_sequence(x, keep, LSTMState(h, c), *weights, dtype)
    torch.autograd.backward([hidden, state.c], [numbers(30, 7, HIDDEN).to(dtype), numbers(7, HIDDEN)])
    gradients = [tensor.grad for tensor in inputs if tensor.grad is not None]
    assert len(gradients) == len(inputs)
    return [hidden.detach().float(), state.c.detach(), *gradients]


@needs_compiler
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 3e-6), (torch.bfloat16, 2e-2)])
def test_a_window_as_pytorch_computes_it(dtype: torch.dtype, error: float, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = window(dtype)
    plainly(monkeypatch)
    for ours, plain in zip(compiled, window(dtype), strict=True):
        assert (ours - plain).abs().max() <= error * plain.abs().max()


@needs_compiler
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 3e-6), (torch.bfloat16, 2e-2)])
def test_the_loss_and_its_gradients_as_pytorch_computes_them(
    dtype: torch.dtype, error: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for compiled in (True, False):
        if not compiled:
            plainly(monkeypatch)
        model = MDNRNN(CONFIG, seed=1)
        _, value, _ = memory_loss(model, model.initial_state(ROWS), make_batch(), dtype=dtype)
        value.backward()
        found.append([value.detach(), *(weight.grad for weight in model.parameters())])
    for ours, plain in zip(*found, strict=True):
        assert ours is not None
        assert plain is not None
        assert (ours - plain).abs().max() <= error * plain.abs().max()


@needs_compiler
def test_any_number_of_threads_gives_the_same_bits(threads: None) -> None:
    results = []
    for count in (1, 2, 5):
        torch.set_num_threads(count)
        gates, c, h, after = numbers(7, 4 * HIDDEN), numbers(7, HIDDEN), torch.empty(7, HIDDEN), torch.empty(7, HIDDEN)
        kernel, d_gates = kernel_of(torch.float32), torch.empty(7, 4 * HIDDEN)
        kernel.cell(gates, c, after, h)
        kernel.cell_backward(gates, c, after, h, h, c, d_gates)
        results.append([gates, after, h, c, d_gates, *kernel.mixture(5, numbers(23, 3 * 5 * 6), numbers(23, 6))])
    for others in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(results[0], others, strict=True))


def test_formats_that_it_was_not_made_for_are_left_to_pytorch() -> None:
    assert load_kernel(torch.float64) is None
    assert load_kernel(torch.float16) is None


def test_without_a_compiler_there_is_no_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert load_kernel.__wrapped__(torch.float32) is None


def test_without_a_compiler_the_loss_is_computed_by_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    plainly(monkeypatch)
    outputs, z = numbers(9, 3 * 5 * 4).requires_grad_(), numbers(9, 4)
    parts = outputs.view(9, 3, 5, 4).transpose(-1, -2).unbind(1)
    (expected,) = torch.autograd.grad(-log_prob(*parts, z).mean(), outputs)
    mixture_nll(outputs, z, 5).backward()
    torch.testing.assert_close(outputs.grad, expected)
