"""Some of V's convolutions in forms that a processor computes two to four times faster.

Each takes the layer that holds the parameters and returns what that layer would. Measured on two cores
in bf16 at batch 100 against torch's own path: docs/notebook/measurements.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, conv_transpose2d, linear

STRIDE = 2


def conv_to_few_pixels(x: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
    """`layer(x)` for stride 2: one matrix product of the patches that the output pixels see.

    The CPU library brings the weights into a layout of its own in every call, which costs more than a product of so
    few rows.
    """
    outputs, inputs, k, _ = layer.weight.shape
    height, width = ((size - k) // STRIDE + 1 for size in x.shape[2:])
    x = x.permute(0, 2, 3, 1)
    corners = [(STRIDE * row, STRIDE * column) for row in range(height) for column in range(width)]
    patches = [x[:, i : i + k, j : j + k].reshape(-1, k * k * inputs) for i, j in corners]
    weight = layer.weight.permute(0, 2, 3, 1).reshape(outputs, k * k * inputs)
    y = linear(torch.stack(patches, 1), weight, layer.bias)  # [B, P * Q, O]
    return y.transpose(1, 2).unflatten(2, (height, width))


def transposed_conv(x: torch.Tensor, layer: nn.ConvTranspose2d) -> torch.Tensor:
    """`layer(x)` for stride 2, the bias added apart: within the layer, it takes the slow path of the CPU library."""
    return conv_transpose2d(x, layer.weight, stride=STRIDE) + _bias(layer)


def transposed_conv_from_point(x: torch.Tensor, layer: nn.ConvTranspose2d) -> torch.Tensor:
    """`layer(x)` for an input of one pixel, [B, I] -> [B, O, k, k]: one matrix product."""
    inputs, outputs, k, _ = layer.weight.shape
    y = x @ layer.weight.reshape(inputs, outputs * k * k)
    y = y.view(-1, outputs, k, k).contiguous(memory_format=torch.channels_last)
    return y + _bias(layer)


def transposed_conv_to_pixels(x: torch.Tensor, layer: nn.ConvTranspose2d) -> torch.Tensor:
    """`layer(x)` for stride 2, an even kernel and few output channels."""
    return _SubPixel.apply(x, layer.weight) + _bias(layer)


def _bias(layer: nn.ConvTranspose2d) -> torch.Tensor:
    assert layer.bias is not None
    return layer.bias[:, None, None]  # [O, 1, 1]


class _SubPixel(torch.autograd.Function):
    """A transposed convolution of stride 2 as one convolution whose channels are the four phases of the output.

    Output pixel (2p + a, 2q + b) = sum over u, v of x[p - u, q - v] * weight[2u + a, 2v + b], for a, b in {0, 1}.
    Only the forward pass gains; the backward pass is the transposed convolution's own.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        inputs, outputs, k, _ = weight.shape
        taps = k // 2
        phases = weight.reshape(inputs, outputs, taps, 2, taps, 2)  # [I, O, u, a, v, b]
        phases = phases.flip(2, 4).permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, inputs, taps, taps)
        y = conv2d(x, phases, padding=taps - 1)  # [B, (a, b, O), P, Q]
        batch, _, height, width = y.shape
        y = y.permute(0, 2, 3, 1).reshape(batch, height, width, 2, 2, outputs)  # [B, P, Q, a, b, O]
        y = y.permute(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, outputs)  # [B, (P, a), (Q, b), O]
        return y.permute(0, 3, 1, 2)  # [B, O, 2P, 2Q], channels last in memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation = [STRIDE] * 2, [0] * 2, [1] * 2
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, stride, padding, dilation, True, [0] * 2, 1, [True, True, False]
        )
        return grad_x, grad_weight
