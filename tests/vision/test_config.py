from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from reverie.errors import ReverieError
from reverie.vision.config import VisionConfig

COUNT = "a whole number of at least 1"
INVALID = [
    ("latent_size", 0, COUNT),
    ("latent_size", 32.0, COUNT),
    ("batch_size", -1, COUNT),
    ("updates", True, "a whole number of at least 0"),
    ("updates", -1, "a whole number of at least 0"),
    ("learning_rate", 0.0, "a number over 0"),
    ("learning_rate", math.nan, "a number over 0"),
    ("learning_rate", "fast", "a number over 0"),
    ("min_lr", -1e-4, "a number over 0, or None"),
    ("kl_tolerance", -0.5, "a number of at least 0"),
    ("kl_tolerance", math.inf, "a number of at least 0"),
    ("pixel_weight", "change ", "'none', 'change' or 'motion'"),
]


@pytest.mark.parametrize(("name", "value", "expected"), INVALID)
def test_a_value_that_is_not_valid_is_named(name: str, value: Any, expected: str) -> None:
    with pytest.raises(ReverieError) as error:
        VisionConfig(**{name: value})
    assert str(error.value) == f"vision.{name} is {value!r}, expected {expected}; change it in the configuration"


def test_the_defaults_are_the_papers() -> None:
    config = VisionConfig()
    assert (config.latent_size, config.batch_size, config.kl_tolerance) == (32, 100, 0.5)
    assert config.pixel_weight == "none"
    assert {config.learning_rate_at(update) for update in range(0, config.updates, 997)} == {1e-4}


def test_the_learning_rate_falls_along_half_a_cosine() -> None:
    config = VisionConfig(learning_rate=1e-3, min_lr=1e-4, updates=101)
    rates = [config.learning_rate_at(update) for update in range(101)]
    expected = 1e-4 + 9e-4 * (1 + np.cos(np.linspace(0, np.pi, 101))) / 2
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_a_training_of_one_update_takes_the_first_rate() -> None:
    assert VisionConfig(learning_rate=1e-3, min_lr=1e-4, updates=1).learning_rate_at(0) == 1e-3
