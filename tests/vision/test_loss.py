from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from reverie.vision.loss import (
    LEAST_VARIANCE,
    change_weights,
    fitted_scale,
    free_nats,
    kl_divergence,
    reconstruction_error,
)


def test_kl_is_the_integral_that_defines_it() -> None:
    mu, logvar = np.array([0.0, 0.7, -2.0]), np.array([0.0, -3.0, 1.1])
    expected = 0.0
    for m, s in zip(mu, np.exp(logvar / 2), strict=True):
        density = norm(m, s)

        def integrand(z: float, density: norm = density) -> float:
            return density.pdf(z) * (density.logpdf(z) - norm.logpdf(z))

        expected += quad(integrand, m - 12 * s, m + 12 * s)[0]
    found = kl_divergence(torch.tensor(mu)[None], torch.tensor(logvar)[None])
    assert found.shape == (1,)
    assert found.item() == pytest.approx(expected, rel=1e-7)


def test_a_fitted_variance_has_the_gradient_of_the_log_of_the_error() -> None:
    """The likelihood of a Gaussian at its best variance is -pixels / 2 * log(mean error), and a constant."""
    pixels, error = 7, torch.tensor([0.3, 2.0, 0.5], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad((fitted_scale(error, pixels) * error).mean(), error)
    (expected,) = torch.autograd.grad(pixels / 2 * (error.mean() / pixels).log(), error)
    torch.testing.assert_close(found, expected)


def test_a_fitted_variance_has_a_floor() -> None:
    assert fitted_scale(torch.zeros(3), 7).item() == pytest.approx(0.5 / LEAST_VARIANCE)


def test_kl_in_float32_is_close_to_float64() -> None:
    rng = np.random.default_rng(0)
    mu, logvar = rng.normal(size=(50, 32)) * 3, rng.normal(size=(50, 32)) * 2
    expected = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(1)
    found = kl_divergence(torch.tensor(mu).float(), torch.tensor(logvar).float())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_below_the_free_nats_kl_costs_the_same_and_pulls_nowhere() -> None:
    kl = torch.tensor([1.0, 15.9, 16.1, 40.0], requires_grad=True)
    cost = free_nats(kl, latent_size=32, kl_tolerance=0.5)
    cost.sum().backward()
    assert cost.tolist() == pytest.approx([16, 16, 16.1, 40])
    assert kl.grad is not None
    assert kl.grad.tolist() == [0, 0, 1, 1]


def test_reconstruction_error_is_summed_over_a_frame() -> None:
    rng = np.random.default_rng(0)
    x, x_hat = rng.random((2, 3, 64, 64)), rng.random((2, 3, 64, 64))
    weight = rng.random((2, 1, 64, 64))
    plain = reconstruction_error(torch.tensor(x), torch.tensor(x_hat))
    weighted = reconstruction_error(torch.tensor(x), torch.tensor(x_hat), torch.tensor(weight))
    np.testing.assert_allclose(plain.numpy(), [np.sum((a - b) ** 2) for a, b in zip(x, x_hat, strict=True)])
    np.testing.assert_allclose(weighted.numpy(), np.einsum("bchw,bhw->b", (x - x_hat) ** 2, weight[:, 0]))


def test_change_weights_follow_their_formula() -> None:
    rng = np.random.default_rng(0)
    x, mean = rng.random((4, 3, 64, 64)), rng.random((3, 64, 64))
    raw = 1 + 10 * np.square(x - mean).sum(1)
    found = change_weights(torch.tensor(x), torch.tensor(mean), 10.0)
    np.testing.assert_allclose(found[:, 0].numpy(), raw / raw.mean((1, 2), keepdims=True))
    np.testing.assert_allclose(found.mean((1, 2, 3)).numpy(), 1)


def test_change_weights_lift_what_the_mean_frame_lacks() -> None:
    mean = torch.full((3, 64, 64), 0.3)
    x = mean.clone()[None]
    x[:, :, 10:12, 10:12] = 1.0
    weight = change_weights(x, mean, 10.0)[0, 0]
    assert (weight[10, 10] / weight[0, 0]).item() == pytest.approx(1 + 10 * 3 * 0.7**2)
    assert torch.equal(change_weights(x, mean, 0.0), torch.ones(1, 1, 64, 64))
