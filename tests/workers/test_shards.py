"""Updates in shards: the same bits from any number of threads, and the gradient of the whole batch."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reverie.hardware import single_thread
from reverie.workers.shards import SHARDS, Shards


@pytest.fixture(autouse=True)
def one_thread_after() -> Iterator[None]:
    with single_thread():
        yield


def small_model() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 4, 2), nn.Flatten(), nn.Linear(8 * 15 * 15, 5), nn.Linear(5, 1))
    return model, torch.randn(32, 3, 32, 32)


def gradients(threads: int) -> tuple[list[Tensor], list[int]]:
    model, x = small_model()
    shards = Shards(len(x), threads=threads)

    def loss(part: Tensor) -> tuple[Tensor, int]:
        return F.softplus(model(part)).mean(), len(part)

    return shards.gradients(list(model.parameters()), loss, x.split(shards.size))


def test_the_number_of_threads_changes_no_bit() -> None:
    alone, _ = gradients(threads=1)
    assert any(gradient.abs().max() > 1e-3 for gradient in alone)
    for threads in (2, 4, 16):
        for one, other in zip(alone, gradients(threads)[0], strict=True):
            assert torch.equal(one, other)


def test_the_mean_of_the_shards_is_the_gradient_of_the_batch() -> None:
    in_shards, sizes = gradients(threads=2)
    assert sizes == [8] * SHARDS
    model, x = small_model()
    model = model.double()
    F.softplus(model(x.double())).mean().backward()
    for one, exact in zip(in_shards, model.parameters(), strict=True):
        torch.testing.assert_close(one.double(), exact.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("size", "count"), [(100, 4), (32, 4), (6, 2), (7, 1), (4, 4), (1, 1)])
def test_shards_divide_the_batch(size: int, count: int) -> None:
    shards = Shards(size, threads=1)
    assert (shards.count, shards.size) == (count, size // count)


def test_a_gpu_has_one_shard() -> None:
    assert Shards(100, torch.device("cuda")).count == 1


def test_map_keeps_the_order_and_raises() -> None:
    shards = Shards(4, threads=4)
    assert shards.map(lambda x: x * x, [3, 1, 2, 0]) == [9, 1, 4, 0]
    with pytest.raises(ZeroDivisionError):
        shards.map(lambda x: 1 // x, [1, 0])


def test_a_parameter_that_no_loss_needs_has_a_gradient_of_zero() -> None:
    used, unused = torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)
    found, _ = Shards(4, threads=1).gradients([used, unused], lambda part: ((used * part).sum(), None), [2.0] * 4)
    assert found[0].tolist() == [2.0] * 3
    assert found[1].tolist() == [0.0] * 2
