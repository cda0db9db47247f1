from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.learning.config import PPOConfig
from reverie.learning.learner import Experience, Learner, clip_reward, gae, loss_of
from reverie.worlds.spec import ActionSpec

CONFIG = PPOConfig(gamma=0.9, gae_lambda=0.8)


def learner(hidden_size: int = 0, start: np.ndarray | None = None, **config: Any) -> Learner:
    actions = ActionSpec("three-way", 1) if config else ActionSpec("driving", 3)
    return Learner(Controller(ControllerConfig(hidden_size=hidden_size, **config), 5, actions), start, 3)


def test_advantages_are_the_weighted_sum_of_later_surprises() -> None:
    rng = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(6, 1, generator=rng), torch.randn(7, 1, generator=rng)
    stops, cut_values = torch.zeros(6, 1, dtype=torch.bool), torch.zeros(6, 1)
    stops[1], stops[3], cut_values[3] = True, True, 0.7  # a dream that ended and one that was cut off
    found = gae(rewards, values, cut_values, stops, CONFIG)
    next_values = values[1:].clone()
    next_values[1], next_values[3] = 0, 0.7
    surprise = rewards + 0.9 * next_values - values[:-1]
    for begin, end in ((0, 1), (2, 3), (4, 5)):  # dreams: first and last step of each
        for t in range(begin, end + 1):
            expected = sum(0.72 ** (k - t) * surprise[k] for k in range(t, end + 1))
            torch.testing.assert_close(found[t], expected)


def test_a_choice_that_was_repeated_is_judged_by_all_that_it_led_to() -> None:
    rng = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(6, 1, generator=rng), torch.randn(7, 1, generator=rng)
    stops, cut_values = torch.zeros(6, 1, dtype=torch.bool), torch.zeros(6, 1)
    chosen = torch.ones(6, 1, dtype=torch.bool)
    chosen[2:4] = False  # what was chosen in step 1 goes on until step 3
    found = gae(rewards, values, cut_values, stops, CONFIG, chosen)
    free = gae(rewards, values, cut_values, stops, CONFIG)
    torch.testing.assert_close(found[4:], free[4:])
    whole = rewards[1] + 0.9 * rewards[2] + 0.81 * rewards[3] + 0.729 * values[4] - values[1]
    torch.testing.assert_close(found[1], whole + 0.729 * 0.8 * found[4])
    assert not torch.isclose(found[1], free[1]).any()


@pytest.mark.parametrize("hidden_size", [0, 4])
def test_scaling_changes_nothing_that_c_does(hidden_size: int) -> None:
    made = learner(
        hidden_size, np.random.default_rng(0).standard_normal(learner(hidden_size).controller.parameter_count)
    )
    assert not made.has_scale
    features = torch.randn(200, 5) * torch.tensor([0.01, 1, 5, 30, 100])
    before, params = made.outputs(features), made.params.clone()
    made.set_scale(features.square().mean(0), torch.tensor(4.0), 0.9)
    torch.testing.assert_close(made.outputs(features), before)
    torch.testing.assert_close(made.params, params)
    torch.testing.assert_close(made.scale[1:], features.square().mean(0).sqrt()[1:])
    assert float(made.reward_scale) == pytest.approx(2 / (1 - 0.81) ** 0.5)
    assert made.has_scale
    other = made.params.detach().numpy() + 1
    made.set_params(other)
    np.testing.assert_allclose(made.params.detach(), other, rtol=1e-5)


def test_the_std_falls_geometrically_where_there_is_one() -> None:
    made = learner()
    assert made.narrow(None, 0.5) == 1
    assert made.narrow(0.07, 0.5) == pytest.approx((0.07 / 0.35) ** 0.5)
    np.testing.assert_allclose(made.log_std.detach().exp(), 0.35 * (0.07 / 0.35) ** 0.5, rtol=1e-5)
    assert made.narrow(0.07, 0.0) == 1  # it is a limit, and what is narrower stays
    np.testing.assert_allclose(made.log_std.detach().exp(), 0.35 * (0.07 / 0.35) ** 0.5, rtol=1e-5)
    softmax = learner(categorical=True)
    assert softmax.narrow(0.07, 1.0) == 1
    np.testing.assert_allclose(softmax.log_std.detach().exp(), 0.35, rtol=1e-5)


def test_rewards_are_clipped_from_above_alone() -> None:
    rewards = torch.tensor([[-2.0, 0.5, 1.0, 7.0]])
    assert clip_reward(rewards, PPOConfig(reward_clip=1.0)).tolist() == [[-2.0, 0.5, 1.0, 1.0]]
    assert clip_reward(rewards, PPOConfig()) is rewards


def test_a_step_down_the_loss_makes_good_choices_likelier() -> None:
    made = learner()
    features = torch.randn(64, 5)
    choice = made.policy.draw(made.outputs(features).detach(), made.log_std.detach(), torch.Generator())
    good = torch.zeros(64, dtype=torch.bool)
    good[::2] = True
    log_prob, _ = made.policy.evaluate_actions(made.outputs(features), made.log_std, choice)
    seen = Experience(features, choice, log_prob.detach(), torch.where(good, 1.0, -1.0), torch.zeros(64))
    loss, _ = loss_of(made, seen, CONFIG)
    loss.backward()
    with torch.no_grad():
        for parameter in (made.scaled, made.log_std):
            assert parameter.grad is not None
            parameter.sub_(parameter.grad, alpha=0.01)
    after, _ = made.policy.evaluate_actions(made.outputs(features), made.log_std, choice)
    assert (after - log_prob)[good].mean() > 0 > (after - log_prob)[~good].mean()


def test_the_ratio_is_held_back_beyond_the_clip() -> None:
    """A choice that has become much likelier than it was when it was drawn pulls no further."""
    made, features, choice = learner(), torch.ones(1, 5), torch.zeros(1, 3)
    now, _ = made.policy.evaluate_actions(made.outputs(features), made.log_std, choice)
    seen = Experience(features, choice, now.detach() - 1, torch.ones(1), made.value(features).detach())
    config = PPOConfig(ent_coef=0)
    loss_of(made, seen, config)[0].backward()
    assert made.scaled.grad is not None
    assert not made.scaled.grad.any()
    loss_of(made, seen._replace(log_prob=now.detach()), config)[0].backward()
    assert made.scaled.grad.any() or made.log_std.grad.any()  # type: ignore[union-attr]
