from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from reverie.errors import ReverieError
from reverie.learning.config import CMAESConfig, PPOConfig

LOWEST = {
    PPOConfig: {
        "num_envs": 1,
        "num_steps": 1,
        "n_epochs": 1,
        "average_last": 1,
        "ez_max_steps": 2,
        "no_reward_timeout": 1,
    },
    CMAESConfig: {
        "population": 4,
        "episodes": 1,
        "max_steps": 1,
        "no_reward_timeout": 1,
        "rescore_every": 1,
        "rescore_episodes": 1,
    },
}
COUNTS = [(config, name, lowest) for config, names in LOWEST.items() for name, lowest in names.items()]
OUT_OF_RANGE: list[tuple[type, dict[str, Any], str]] = [
    (CMAESConfig, {"sigma": 0.0}, "cmaes.sigma is 0.0, expected a finite number above 0"),
    (CMAESConfig, {"sigma": float("inf")}, "cmaes.sigma is inf, expected a finite number above 0"),
    (PPOConfig, {"gamma": 1.5}, "ppo.gamma is 1.5, expected 0 to 1"),
    (PPOConfig, {"gae_lambda": -0.1}, "ppo.gae_lambda is -0.1, expected 0 to 1"),
    (PPOConfig, {"ez_prob": 2}, "ppo.ez_prob is 2, expected 0 to 1"),
    (PPOConfig, {"anneal_fraction": -0.1}, "ppo.anneal_fraction is -0.1, expected 0 to 1"),
    (PPOConfig, {"learning_rate": float("nan")}, "ppo.learning_rate is nan, expected a finite number above 0"),
    (PPOConfig, {"target_kl": 0.0}, "ppo.target_kl is 0.0, expected a finite number above 0"),
    (PPOConfig, {"reward_clip": 0.0}, "ppo.reward_clip is 0.0, expected a finite number above 0"),
    (PPOConfig, {"ent_coef": -1.0}, "ppo.ent_coef is -1.0, expected a finite number, at least 0"),
    (PPOConfig, {"final_std": 0.5}, "ppo.final_std is 0.5, expected above 0, at most 0.35, or none"),
]


@pytest.mark.parametrize(("config", "name", "lowest"), COUNTS)
def test_counts_have_a_lowest(config: type, name: str, lowest: int) -> None:
    assert getattr(config(**{name: lowest}), name) == lowest
    section = "ppo" if config is PPOConfig else "cmaes"
    with pytest.raises(ReverieError) as error:
        config(**{name: lowest - 1})
    assert str(error.value) == f"{section}.{name} is {lowest - 1}, expected at least {lowest}"


@pytest.mark.parametrize(("config", "values", "message"), OUT_OF_RANGE)
def test_refuses_what_is_out_of_range(config: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError) as error:
        config(**values)
    assert str(error.value) == message


def test_what_is_annealed_falls_to_zero_over_the_last_updates() -> None:
    config = PPOConfig(anneal_fraction=0.5, ent_coef=0.4, ez_prob=0.2, learning_rate=0.01)
    assert [config.at(update, 8) == config for update in range(8)] == [True] * 5 + [False] * 3
    last = config.at(7, 8)
    assert (last.ent_coef, last.ez_prob, last.learning_rate) == pytest.approx((0.1, 0.05, 0.0025))
    assert PPOConfig().at(7, 8) == PPOConfig()


def test_is_light() -> None:
    modules = "reverie.learning.config, reverie.learning.phases, reverie.controller.config, reverie.dream.config"
    subprocess.run([sys.executable, "-c", f"import sys, {modules}; assert 'torch' not in sys.modules"], check=True)
