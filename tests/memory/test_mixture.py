"""The mixtures against SciPy, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special, stats

from reverie.memory.mixture import cdf, log_prob, sample

LOGITS = np.array([0.3, -1.2, 1.0])
MEAN = np.array([-1.5, 0.2, 2.0])
LOG_STD = np.array([-0.7, 0.4, -1.6])
DRAWS = 20_000


def test_log_prob_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    logits, mean, log_std = rng.normal(size=(3, 7, 4, 5)) * [[[[3.0]]], [[[2.0]]], [[[1.0]]]]
    z = rng.normal(size=(7, 4)) * 3
    components = stats.norm(mean, np.exp(log_std)).logpdf(z[..., None])
    expected = special.logsumexp(special.log_softmax(logits, axis=-1) + components, axis=-1)
    found = log_prob(*map(torch.from_numpy, (logits, mean, log_std, z)))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_log_prob_far_from_every_component_is_finite() -> None:
    parts = [torch.from_numpy(part).float() for part in (LOGITS, MEAN, LOG_STD)]
    expected = stats.norm(MEAN, np.exp(LOG_STD)).logpdf(100.0) + special.log_softmax(LOGITS)
    assert float(log_prob(*parts, torch.tensor(100.0))) == pytest.approx(special.logsumexp(expected), rel=1e-5)


def test_cdf_equals_scipy() -> None:
    rng = np.random.default_rng(1)
    logits, mean, log_std = rng.normal(size=(3, 7, 4, 5))
    z = rng.normal(size=(7, 4)) * 2
    expected = (special.softmax(logits, axis=-1) * stats.norm(mean, np.exp(log_std)).cdf(z[..., None])).sum(-1)
    np.testing.assert_allclose(cdf(*map(torch.from_numpy, (logits, mean, log_std, z))).numpy(), expected, rtol=1e-12)


def draws(temperature: float) -> np.ndarray:
    generator = torch.Generator().manual_seed(7)
    parts = [torch.from_numpy(part).expand(DRAWS, 1, 3) for part in (LOGITS, MEAN, LOG_STD)]
    uniform = torch.rand(DRAWS, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(DRAWS, 1, generator=generator, dtype=torch.float64)
    return sample(*parts, temperature, uniform, noise).squeeze(1).numpy()


def distance(draws: np.ndarray, temperature: float) -> float:
    """Kolmogorov and Smirnov's statistic against the theory at a temperature (paper, section 2.2)."""
    weights = special.softmax(LOGITS / temperature)
    components = stats.norm(MEAN, np.exp(LOG_STD) * np.sqrt(temperature))
    return float(stats.kstest(draws, lambda z: components.cdf(z[:, None]) @ weights).statistic)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 1.15, 1.3])
def test_samples_follow_the_mixture_at_a_temperature(temperature: float) -> None:
    threshold = 1.63 / np.sqrt(DRAWS)  # exceeded by 1 % of samples of the right distribution
    assert distance(draws(temperature), temperature) < threshold
    assert distance(draws(temperature), temperature * 1.2) > threshold


def test_samples_of_two_dimensions_are_independent() -> None:
    generator = torch.Generator().manual_seed(1)
    parts = [torch.from_numpy(part).expand(DRAWS, 2, 3) for part in (LOGITS, MEAN, LOG_STD)]
    uniform = torch.rand(DRAWS, 2, generator=generator, dtype=torch.float64)
    noise = torch.randn(DRAWS, 2, generator=generator, dtype=torch.float64)
    z = sample(*parts, 1.0, uniform, noise).numpy()
    assert abs(np.corrcoef(z.T)[0, 1]) < 3.3 / np.sqrt(DRAWS)
