"""The baseline computes what ours computes: the same weights give the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.bench.models import PlainController, PlainMemory, PlainVision, empty_state, features_of
from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.memory.batch import Batch
from reverie.memory.config import MemoryConfig
from reverie.memory.loss import memory_loss
from reverie.memory.lstm import FORGET_BIAS
from reverie.memory.model import MDNRNN
from reverie.vision.model import ConvVAE
from reverie.worlds.spec import ActionSpec

LATENT, HIDDEN, BATCH, STEPS = 4, 8, 3, 5
CONFIG = MemoryConfig(LATENT, 1, HIDDEN, restart_input=True, done_head=True)


@pytest.fixture
def vision() -> tuple[ConvVAE, PlainVision]:
    torch.manual_seed(0)
    ours, plain = ConvVAE(LATENT), PlainVision(LATENT)
    for target, source in zip(plain.parameters(), ours.parameters(), strict=True):
        target.data.copy_(source)  # both list them from the first layer to the last
    return ours, plain


def test_vision(vision: tuple[ConvVAE, PlainVision]) -> None:
    ours, plain = vision
    x, noise = torch.rand(BATCH, 3, 64, 64), torch.randn(BATCH, LATENT)
    for mine, other in zip(ours.encode(x), plain.encode(x), strict=True):
        torch.testing.assert_close(mine, other)
    torch.testing.assert_close(ours.decode(noise), plain.decode(noise))
    torch.testing.assert_close(ours.loss(x, noise, 0.5)[0], plain.loss(x, noise, 0.5))


def memories() -> tuple[MDNRNN, PlainMemory]:
    ours, plain = MDNRNN(CONFIG, seed=1), PlainMemory(CONFIG)
    torch.nn.init.normal_(ours.bias)
    torch.nn.init.normal_(ours.head_bias)
    forget = torch.zeros(4 * HIDDEN)
    forget[HIDDEN : 2 * HIDDEN] = FORGET_BIAS
    pairs = {
        plain.lstm.weight_ih_l0: ours.input_weight,
        plain.lstm.weight_hh_l0: ours.hidden_weight,
        plain.lstm.bias_ih_l0: ours.bias,
        plain.lstm.bias_hh_l0: forget,
        plain.head.weight: ours.head_weight,
        plain.head.bias: ours.head_bias,
    }
    for target, source in pairs.items():
        target.data.copy_(source)
    return ours, plain


def test_memory() -> None:
    """The same loss of the same window, no episode starting within it, and the same state behind it."""
    (ours, plain), rng = memories(), torch.Generator().manual_seed(0)
    z, next_z = (torch.randn(STEPS, BATCH, LATENT, generator=rng) for _ in range(2))
    action, zeros = torch.randn(STEPS, BATCH, 1, generator=rng), torch.zeros(STEPS, BATCH)
    done = (torch.rand(STEPS, BATCH, generator=rng) > 0.5).float()
    batch = Batch(z, action, zeros, next_z, done, zeros, action, *(zeros,) * 3)
    state, loss, _ = memory_loss(ours, ours.initial_state(BATCH), batch)
    inputs = torch.cat([z, action, zeros[..., None]], -1).transpose(0, 1)
    outputs, (h, c) = plain(inputs)
    torch.testing.assert_close(plain.loss(outputs, next_z.transpose(0, 1), done.T), loss)
    torch.testing.assert_close(h[0], state.h)
    torch.testing.assert_close(c[0], state.c)


def test_sampling() -> None:
    """At a temperature of 4, spreads double and logits shrink to a quarter."""
    torch.manual_seed(0)
    _, plain = memories()
    outputs = torch.zeros(20_000, CONFIG.output_size)
    logits, mean, log_std = plain.mixtures(outputs)  # views
    mean[:, 1], log_std[:] = 100.0, 0.5
    logits[:, 1], logits[:, 2:] = 4 * np.log(3.0), -1e4
    z = plain.sample(outputs, 4.0)
    upper = z > 50
    assert upper.double().mean().item() == pytest.approx(0.75, abs=0.01)
    assert (z - 100 * upper).std().item() == pytest.approx(2 * np.exp(0.5), rel=0.02)


@pytest.mark.parametrize("bias", [True, False])
def test_controller(bias: bool) -> None:
    config, actions, rng = ControllerConfig(bias=bias), ActionSpec("continuous", 3), np.random.default_rng(0)
    ours = Controller(config, 7, actions)
    params, features = rng.standard_normal(ours.parameter_count), rng.standard_normal(7)
    wanted = ours.act(torch.from_numpy(params)[None], torch.from_numpy(features)[None, None])[0, 0]
    np.testing.assert_allclose(PlainController(params, 7, 3, bias).act(features), wanted, rtol=1e-5)


def test_what_is_seen() -> None:
    z, (h, c) = torch.full((1, 2), 1.0), empty_state(3)
    state = (h + 3, c + 2)
    assert features_of(["z"], z, state).tolist() == [1, 1]
    assert features_of(["z", "h"], z, state).tolist() == [1, 1, 3, 3, 3]
    assert features_of(["z", "c", "h"], z, state).tolist() == [1, 1, 2, 2, 2, 3, 3, 3]
