"""The LSTM against torch.nn.LSTM, its gradients, its restarts."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reverie.memory.lstm import FORGET_BIAS, LSTMState, cell, lstm_sequence

STEPS, ROWS, INPUTS, HIDDEN = 9, 3, 4, 5


def numbers(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed + 31 * sum(shape)))


def weights() -> list[Tensor]:
    return [numbers(4 * HIDDEN, INPUTS), numbers(4 * HIDDEN, HIDDEN), numbers(4 * HIDDEN)]


def start() -> LSTMState:
    return LSTMState(numbers(ROWS, HIDDEN, seed=1), numbers(ROWS, HIDDEN, seed=2))


def test_equals_torch_with_one_bias_and_the_forget_bias() -> None:
    theirs = torch.nn.LSTM(INPUTS, HIDDEN, dtype=torch.float64)
    ours = [weight.requires_grad_() for weight in weights()]
    forget = torch.zeros(4, HIDDEN, dtype=torch.float64)
    forget[1] = FORGET_BIAS
    with torch.no_grad():
        for parameter, value in zip(theirs.parameters(), [*ours, forget.flatten()], strict=True):
            parameter.copy_(value)
    x, state = numbers(STEPS, ROWS, INPUTS), start()
    expected, (h, c) = theirs(x, (state.h[None], state.c[None]))
    end, hidden = lstm_sequence(x, torch.ones(STEPS, ROWS), state, *ours)
    torch.testing.assert_close((hidden, *end), (expected, h[0], c[0]))
    slope = numbers(*hidden.shape, seed=3)
    hidden.backward(slope)
    expected.backward(slope)
    for mine, parameter in zip(ours, theirs.parameters(), strict=False):
        torch.testing.assert_close(mine.grad, parameter.grad)


def test_gradients_with_restarts() -> None:
    keep = torch.ones(5, ROWS, dtype=torch.float64)
    keep[0, 2], keep[2, 1], keep[3, 1], keep[4, 0] = 0, 0, 0, 0

    def run(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        state, hidden = lstm_sequence(x, keep, LSTMState(h, c), *weights)
        return (*state, hidden)

    inputs = [numbers(5, ROWS, INPUTS), *start(), *weights()]
    assert torch.autograd.gradcheck(run, [tensor.requires_grad_() for tensor in inputs])


def test_a_restart_begins_a_sequence_of_its_own() -> None:
    x, zeros = numbers(STEPS, ROWS, INPUTS), torch.zeros(ROWS, HIDDEN, dtype=torch.float64)
    keep = torch.ones(STEPS, ROWS)
    keep[4] = 0
    end, hidden = lstm_sequence(x, keep, start(), *weights())
    _, first = lstm_sequence(x[:4], keep[:4], start(), *weights())
    second_end, second = lstm_sequence(x[4:], torch.ones(STEPS - 4, ROWS), LSTMState(zeros, zeros), *weights())
    torch.testing.assert_close(hidden, torch.cat([first, second]))
    torch.testing.assert_close(end, second_end)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_two_windows_are_one(dtype: torch.dtype) -> None:
    x, keep = numbers(STEPS, ROWS, INPUTS), torch.ones(STEPS, ROWS)
    state = LSTMState(*(part.to(dtype).double() for part in start()))
    end, hidden = lstm_sequence(x, keep, state, *weights(), dtype)
    middle, first = lstm_sequence(x[:5], keep[:5], state, *weights(), dtype)
    last, second = lstm_sequence(x[5:], keep[5:], middle, *weights(), dtype)
    torch.testing.assert_close(torch.cat([first, second]), hidden)
    torch.testing.assert_close(last, end)


def test_cell_is_a_window_of_one_step() -> None:
    x, state = numbers(1, ROWS, INPUTS), start()
    input_weight, hidden_weight, bias = weights()
    gates = x[0] @ input_weight.t() + state.h @ hidden_weight.t() + bias
    end, _ = lstm_sequence(x, torch.ones(1, ROWS), state, *weights())
    torch.testing.assert_close(cell(gates, state.c), end)


def test_bfloat16_stays_close_to_float32() -> None:
    steps, rows, hidden_size = 60, 8, 64
    shapes = [(4 * hidden_size, INPUTS), (4 * hidden_size, hidden_size), (4 * hidden_size,)]
    x, keep = numbers(steps, rows, INPUTS, dtype=torch.float32), torch.ones(steps, rows)
    keep[20, 3] = 0
    zeros = torch.zeros(rows, hidden_size)
    gradients, hiddens = [], []
    for dtype in (torch.float32, torch.bfloat16):
        values = [(numbers(*shape, dtype=torch.float32) * 0.1).requires_grad_() for shape in shapes]
        _, hidden = lstm_sequence(x, keep, LSTMState(zeros, zeros), *values, dtype)
        hidden.float().square().sum().backward()
        hiddens.append(hidden.float())
        gradients.append([value.grad for value in values])
    assert (hiddens[0] - hiddens[1]).abs().max() < 0.01
    for fine, coarse in zip(*gradients, strict=True):
        assert torch.nn.functional.cosine_similarity(fine.flatten(), coarse.flatten(), dim=0) > 0.999
