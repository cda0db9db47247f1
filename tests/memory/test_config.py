"""M's settings: sizes, the learning rate, refused values."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.memory.config import MemoryConfig


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"latent_size": 0}, "memory.latent_size is 0, expected a whole number of at least 1"),
        ({"hidden_size": 256.0}, "memory.hidden_size is 256.0, expected a whole number of at least 1"),
        ({"updates": -1}, "memory.updates is -1, expected a whole number of at least 0"),
        ({"learning_rate": 0.0}, "memory.learning_rate is 0.0, expected a number over 0"),
        ({"learning_rate": float("nan")}, "memory.learning_rate is nan, expected a number over 0"),
        ({"learning_rate": "10"}, "memory.learning_rate is '10', expected a number over 0"),
        ({"lr_decay": 1.5}, "memory.lr_decay is 1.5, expected a number of at most 1"),
    ],
)
def test_refuses(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        MemoryConfig(**setting)
    assert str(error.value) == f"{message}; change it in the configuration"


def test_sizes_of_the_paper_s_doom() -> None:
    config = MemoryConfig(latent_size=64, action_size=1, hidden_size=512, restart_input=True, done_head=True)
    assert (config.input_size, config.output_size) == (66, 961)


def test_outputs_stand_in_order() -> None:
    config = MemoryConfig(latent_size=2, action_size=3, mixtures=4, done_head=True, reward_head=True, action_head=True)
    assert list(config.output_sizes.items()) == [("mixtures", 24), ("done", 1), ("reward", 1), ("action", 3)]


def test_learning_rate_decays_to_the_floor() -> None:
    config = MemoryConfig(learning_rate=1e-3, lr_decay=0.99999)
    rates = [config.learning_rate_at(update) for update in (0, 24_400, 10_000_000)]
    assert rates == pytest.approx([1e-3, 1e-5 + 9.9e-4 * 0.99999**24_400, 1e-5])


def test_learning_rate_is_constant_without_decay() -> None:
    assert MemoryConfig(learning_rate=3e-4).learning_rate_at(5000) == pytest.approx(3e-4)


def test_settings_need_no_torch() -> None:
    program = "import sys, reverie.memory.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
