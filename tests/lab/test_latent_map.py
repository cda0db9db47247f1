"""What the lab says of latents, against independent formulas."""

from __future__ import annotations

import numpy as np
import pytest

from reverie.lab.latent_map import kl_per_dimension, latent_map


def test_the_map_keeps_the_two_directions_of_most_variance() -> None:
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    mu = (rng.normal(size=(400, 5)) * [3, 2, 0.1, 0.1, 0.1] @ basis.T + 7).astype(np.float32)
    flat = latent_map(mu)
    assert flat.share > 0.99
    np.testing.assert_allclose(np.abs(flat.axes @ basis[:, :2]), np.eye(2), atol=0.1)
    np.testing.assert_allclose(flat.mean + flat.points @ flat.axes, mu, atol=0.6)


def test_a_latent_of_one_number_has_a_map_too() -> None:
    flat = latent_map(np.array([[1.0], [2.0], [4.0]], np.float32))
    assert flat.points.shape == (3, 2)
    assert flat.share == pytest.approx(1)
    assert (flat.points[:, 1] == 0).all()


def test_nats_are_the_divergence_from_the_prior() -> None:
    mu, logvar = np.array([[0.0, 2.0]]), np.log([[1.0, 0.25]])
    np.testing.assert_allclose(kl_per_dimension(mu, logvar), [0, 0.5 * (4 + 0.25 - 1 - np.log(0.25))])
