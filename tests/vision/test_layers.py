from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from reverie.vision.layers import (
    conv_to_few_pixels,
    transposed_conv,
    transposed_conv_from_point,
    transposed_conv_to_pixels,
)

Form = Callable[[torch.Tensor, nn.ConvTranspose2d], torch.Tensor]

CASES: list[tuple[Form, int, int, int, int]] = [  # form, inputs, outputs, kernel, size of the input
    (transposed_conv, 4, 3, 5, 5),
    (transposed_conv, 3, 2, 6, 4),
    (transposed_conv_from_point, 6, 4, 5, 1),
    (transposed_conv_to_pixels, 3, 2, 6, 5),
    (transposed_conv_to_pixels, 2, 3, 4, 3),
    (transposed_conv_to_pixels, 2, 3, 2, 3),
]


def layer_of(inputs: int, outputs: int, kernel: int) -> nn.ConvTranspose2d:
    layer = nn.ConvTranspose2d(inputs, outputs, kernel, stride=2).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return layer


def scattered(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The definition: every input pixel adds its kernel to the output, two pixels apart."""
    (batch, _, size, _), (_, outputs, k, _) = x.shape, weight.shape
    y = np.zeros((batch, outputs, 2 * (size - 1) + k, 2 * (size - 1) + k)) + bias[:, None, None]
    for i in range(size):
        for j in range(size):
            y[:, :, 2 * i : 2 * i + k, 2 * j : 2 * j + k] += np.einsum("bi,iokl->bokl", x[:, :, i, j], weight)
    return y


@pytest.mark.parametrize(("form", "inputs", "outputs", "kernel", "size"), CASES)
def test_each_form_is_the_transposed_convolution(form: Form, inputs: int, outputs: int, kernel: int, size: int) -> None:
    layer = layer_of(inputs, outputs, kernel)
    x = np.random.default_rng(0).normal(size=(3, inputs, size, size))
    weight, bias = (parameter.detach().numpy() for parameter in layer.parameters())
    given = torch.tensor(x[:, :, 0, 0] if size == 1 else x)
    np.testing.assert_allclose(form(given, layer).detach().numpy(), scattered(x, weight, bias), atol=1e-12)


@pytest.mark.parametrize(("form", "inputs", "outputs", "kernel", "size"), CASES)
def test_each_form_has_the_gradients_of_its_layer(
    form: Form, inputs: int, outputs: int, kernel: int, size: int
) -> None:
    layer = layer_of(inputs, outputs, kernel)
    shape = (2, inputs) if size == 1 else (2, inputs, size, size)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)

    def apply(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return form(x, layer)

    assert torch.autograd.gradcheck(apply, (x, layer.weight, layer.bias))


@pytest.mark.parametrize("size", [6, 7, 9])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_product_of_patches_is_the_convolution_with_its_gradients(size: int, layout: torch.memory_format) -> None:
    layer = nn.Conv2d(3, 5, 4, stride=2).double().to(memory_format=layout)  # type: ignore[call-overload]
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.contiguous(memory_format=layout).requires_grad_()
    expected, found = layer(x), conv_to_few_pixels(x, layer)
    torch.testing.assert_close(found, expected)
    slope = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given = (x, layer.weight, layer.bias)
    for ours, theirs in zip(
        torch.autograd.grad(found, given, slope), torch.autograd.grad(expected, given, slope), strict=True
    ):
        torch.testing.assert_close(ours, theirs)
