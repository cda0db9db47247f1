from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.learning.config import PPOConfig
from reverie.learning.learner import Experience, Learner
from reverie.learning.ppo import explained_variance, kl_divergence, update
from reverie.worlds.spec import ActionSpec

CONFIG = PPOConfig(n_epochs=2, learning_rate=1.0)  # far too long a step
CONTROLLER = Controller(ControllerConfig(), 5, ActionSpec("driving", 3))


def improved(config: PPOConfig) -> tuple[Learner, Experience, dict[str, float]]:
    """A learner after an update on made-up experience, the experience, and the metrics."""
    rng = torch.Generator().manual_seed(0)
    made = Learner(CONTROLLER, None, 3)
    features = torch.randn(256, 5, generator=rng)
    with torch.no_grad():
        x = made.outputs(features)
        choice = made.policy.draw(x, made.log_std, rng)
        log_prob, _ = made.policy.evaluate_actions(x, made.log_std, choice)
    seen = Experience(features, choice, log_prob, (choice * features[:, :3]).sum(1), torch.randn(256, generator=rng))
    optimizer = torch.optim.Adam(made.parameters(), lr=config.learning_rate)
    return made, seen, update(made, optimizer, seen, config, rng, 0)


def test_kl_is_that_of_the_policies() -> None:
    """Of two normal distributions KL is known; and nothing has moved before the first update."""
    made, seen, _ = improved(replace(CONFIG, learning_rate=1e-9))
    assert kl_divergence(made, seen) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        made.scaled[-3:] += 0.1  # the biases of three outputs, whose spread is 0.35
    assert kl_divergence(made, seen) == pytest.approx(3 * 0.5 * (0.1 / 0.35) ** 2, rel=0.2)


@pytest.mark.parametrize("limit", [0.3, 0.02])
def test_no_step_leads_beyond_the_limit(limit: float) -> None:
    free, seen, metrics = improved(CONFIG)
    assert set(metrics) == {"explained_variance", "entropy"}
    assert kl_divergence(free, seen) > 10
    held, seen, metrics = improved(replace(CONFIG, target_kl=limit))
    assert 0 < metrics["kl_backtracks"] <= 1
    assert 0.1 * limit < kl_divergence(held, seen) < 3 * limit  # each batch's own is at most the limit
    assert (held.critic_out.weight == free.critic_out.weight).all()


@pytest.mark.parametrize("count", [256, 13, 3])
def test_shards_of_a_minibatch_have_the_gradient_of_the_whole(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they are not all of one size, or fewer than usual."""
    found = []
    for shards in (1, 4):
        monkeypatch.setattr("reverie.learning.ppo.SHARDS", shards)
        monkeypatch.setattr("reverie.workers.shards.SHARDS", shards)
        monkeypatch.setattr("reverie.learning.ppo.NUM_MINIBATCHES", 1)
        made, seen, _ = improved(replace(CONFIG, learning_rate=1e-9))
        batch = Experience(*(part[:count] for part in seen))
        sgd = torch.optim.SGD(made.parameters(), lr=1.0)
        config = replace(CONFIG, n_epochs=1)
        metrics = update(made, sgd, batch, config, torch.Generator().manual_seed(0), 0)
        found.append((made.scaled.detach().clone(), made.critic_out.weight.detach().clone(), metrics["entropy"]))
    for whole, sharded in zip(*found, strict=True):
        torch.testing.assert_close(torch.as_tensor(sharded), torch.as_tensor(whole), rtol=1e-4, atol=1e-5)
    assert found[0][0].any()


def test_short_steps_are_left_alone() -> None:
    config = replace(CONFIG, learning_rate=1e-3)
    free, _, _ = improved(config)
    held, _, metrics = improved(replace(config, target_kl=0.1))
    assert metrics["kl_backtracks"] == 0
    assert (held.params == free.params).all()


def test_a_step_that_no_halving_makes_short_enough_is_undone() -> None:
    held, _, metrics = improved(replace(CONFIG, learning_rate=1e6, target_kl=1e-12))
    assert metrics["kl_backtracks"] == 1
    assert not held.params.any()  # where it began
    assert (held.critic_out.weight != 0).any()


def test_the_critic_explains_what_it_foresaw() -> None:
    _, seen, _ = improved(CONFIG)
    returns = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    for share in (0.0, 0.5, 1.0):
        experience = seen._replace(returns=returns, advantage=(1 - share) * returns)
        assert explained_variance(experience) == pytest.approx(1 - (1 - share) ** 2, abs=1e-5)
