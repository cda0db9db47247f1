"""The compiled kernel: exact enough where it replaces a library function."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.dream.kernel import load_kernel
from reverie.native.library import find_compiler

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")


@needs_compiler
@pytest.mark.parametrize("scale", [1, 10, 100])
def test_cell_against_float64(scale: float) -> None:
    rng = np.random.default_rng(0)
    gates, bias = rng.standard_normal((5, 4 * 19)) * scale, rng.standard_normal(4 * 19)
    c = rng.standard_normal((5, 19))
    i, f, g, o = np.split(gates + bias, 4, axis=1)
    expected_c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
    expected_h = np.tanh(expected_c) / (1 + np.exp(-o))
    tensors = [torch.tensor(values, dtype=torch.float32) for values in (gates, bias, c)]
    h = torch.zeros(5, 19)
    kernel = load_kernel(torch.float32)
    assert kernel is not None
    kernel.cell(5, *tensors, h)
    np.testing.assert_allclose(tensors[2], expected_c, rtol=2e-6, atol=1e-6 * scale)
    np.testing.assert_allclose(h, expected_h, rtol=2e-6, atol=1e-6 * scale)


@needs_compiler
@pytest.mark.parametrize("with_c", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_against_float64(dtype: torch.dtype, with_c: bool) -> None:
    random = torch.Generator().manual_seed(0)
    z, c, h = (torch.randn(6, size, generator=random) for size in (5, 33, 33))
    h = h.to(dtype)
    weights = torch.randn(3, 2, 5 + 33 * (1 + with_c), generator=random)
    candidate = torch.tensor([0, 2, 1, 1, 0, 2])
    outputs = torch.empty(6, 2)
    kernel = load_kernel(dtype)
    assert kernel is not None
    kernel.linear(6, weights, candidate, z, c if with_c else None, h, outputs)
    seen = torch.cat([z, c, h.float()] if with_c else [z, h.float()], 1).double()
    expected = torch.einsum("raf,rf->ra", weights[candidate].double(), seen)
    torch.testing.assert_close(outputs.double(), expected, rtol=1e-5, atol=1e-5)


@needs_compiler
def test_bfloat16_is_rounded_as_torch_rounds() -> None:
    """h = sigmoid(50) * tanh(c) with c kept: the kernel's h is torch's rounding of the float32 one."""
    c = torch.linspace(-3, 3, 1000)[None]
    gates = torch.zeros(1, 4000)
    gates[:, 1000:2000], gates[:, 3000:] = 50, 50
    halves, full = torch.zeros(1, 1000, dtype=torch.bfloat16), torch.zeros(1, 1000)
    for dtype, h in ((torch.bfloat16, halves), (torch.float32, full)):
        kernel = load_kernel(dtype)
        assert kernel is not None
        kernel.cell(1, gates.to(dtype), torch.zeros(4000), c.clone(), h)
    assert torch.equal(halves, full.to(torch.bfloat16))


@needs_compiler
def test_bfloat16_ties_go_to_even() -> None:
    """With no noise z is the mean's bias: numbers half way between two bfloat16 ones."""
    means = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8])
    x, z = torch.zeros(1, 3, dtype=torch.bfloat16), torch.zeros(1, 3)
    bias = torch.cat([torch.zeros(3), means, torch.zeros(3)])
    kernel = load_kernel(torch.bfloat16)
    assert kernel is not None
    outputs, zeros = torch.zeros(1, 9, dtype=torch.bfloat16), torch.zeros(1, 3)
    kernel.sample(1, 1, outputs, bias, 1.0, torch.zeros(1, dtype=torch.long), zeros, zeros, z, x, torch.empty(9))
    assert torch.equal(z[0], means)
    assert x[0].tolist() == [1.0, 1 + 4 * 2**-8, -1.0]


def test_no_compiler_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert load_kernel.__wrapped__(torch.float32) is None
