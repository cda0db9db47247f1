from __future__ import annotations

import math
from typing import Literal

import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.controller.policy import Policy
from reverie.worlds.spec import ActionKind, ActionSpec

THREE_WAY, DISCRETE, DRIVING = ActionSpec("three-way", 1), ActionSpec("discrete", 4), ActionSpec("driving", 3)


def policy_of(actions: ActionSpec, categorical: bool = False) -> Policy:
    return Policy(Controller(ControllerConfig(categorical=categorical), 6, actions))


def outputs(count: int, size: int) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    ("actions", "categorical", "size"),
    [(THREE_WAY, False, 1), (THREE_WAY, True, 3), (DISCRETE, False, 4)],
    ids=["three-way", "categorical", "discrete"],
)
def test_probabilities_are_those_that_are_drawn(actions: ActionSpec, categorical: bool, size: int) -> None:
    x, log_std = outputs(1, size), torch.tensor([-0.5] * actions.size)
    policy, generator = policy_of(actions, categorical), torch.Generator().manual_seed(0)
    drawn = policy.draw(x.expand(20_000, -1), log_std, generator)
    kinds = drawn.unique(dim=0)
    logs, entropy = policy.evaluate_actions(x.expand(len(kinds), -1), log_std, kinds)
    assert float(logs.exp().sum()) == pytest.approx(1, abs=1e-4)
    assert float(entropy[0]) == pytest.approx(float(-(logs.exp() * logs).sum()), abs=1e-4)
    for kind, log in zip(kinds, logs, strict=True):
        share = (drawn == kind).all(1).float().mean()
        assert float(share) == pytest.approx(math.exp(log), abs=0.015)


def test_continuous_probabilities_are_a_normal_density() -> None:
    x, log_std = outputs(5, 3), torch.tensor([0.1, -0.4, -1.0])
    choice = policy_of(DRIVING).draw(x, log_std, torch.Generator().manual_seed(0))
    logs, entropy = policy_of(DRIVING).evaluate_actions(x, log_std, choice)
    normal = torch.distributions.Normal(x, log_std.exp())
    torch.testing.assert_close(logs, normal.log_prob(choice).sum(-1))
    torch.testing.assert_close(entropy, normal.entropy().sum(-1))


@pytest.mark.parametrize("kind", ["three-way", "categorical", "discrete", "driving", "continuous"])
def test_without_a_std_it_does_as_c_does(kind: ActionKind | Literal["categorical"]) -> None:
    """The most likely action is that of the deterministic C, and M sees of it what it sees of C's."""
    categorical = kind == "categorical"
    actions = THREE_WAY if kind in ("three-way", "categorical") else ActionSpec(kind, 3)
    controller = Controller(ControllerConfig(bias=False, categorical=categorical), 6, actions)
    params, features = torch.randn(1, controller.parameter_count), torch.randn(1, 50, 6)
    x = controller.outputs(params, features)[0] * 1000  # what is drawn no longer depends on chance
    policy, tiny = Policy(controller), torch.full((actions.size,), -20.0)
    encoded = policy.encode_action(policy.draw(x, tiny, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(encoded, actions.for_memory(controller.to_actions(x)))
    if categorical:
        torch.testing.assert_close(encoded[:, 0], x.argmax(-1) - 1.0)


def test_left_and_right_can_both_be_likely_and_staying_sure_where_each_has_an_output() -> None:
    policy, none = policy_of(THREE_WAY, categorical=True), torch.zeros(1)
    sides = torch.tensor([[-1.0], [0.0], [1.0]])
    either, still = torch.tensor([[3.0, -3.0, 3.0]]), torch.tensor([[-3.0, 3.0, -3.0]])
    chances = [policy.evaluate_actions(x.expand(3, -1), none, sides)[0].exp() for x in (either, still)]
    torch.testing.assert_close(chances[0], torch.tensor([0.499, 0.001, 0.499]), rtol=0, atol=1e-3)
    assert chances[1][1] > 0.99


def test_the_log_probability_has_gradients_where_an_action_is_all_but_impossible() -> None:
    x = torch.tensor([[200.0]], requires_grad=True)
    logs, entropy = policy_of(THREE_WAY).evaluate_actions(x, torch.tensor([-1.0]), torch.tensor([[-1.0]]))
    (logs.sum() + entropy.sum()).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(logs).all()


MIXED = ActionSpec("mixed", 7, (3, 1, 1, 2))


def test_the_parts_of_mixed_actions_are_drawn_independently() -> None:
    """A choice's chance is the product of its parts', each as it would be alone; the entropy their sum."""
    x, log_spread = outputs(40, 7), torch.linspace(-1, 0, 7)
    policy, generator = policy_of(MIXED), torch.Generator().manual_seed(0)
    choice = policy.draw(x, log_spread, generator)
    assert choice[:, :3].sum(1).tolist() == choice[:, 5:].sum(1).tolist() == [1.0] * 40
    logs, entropy = policy.evaluate_actions(x, log_spread, choice)
    first, last = (torch.distributions.Categorical(logits=x[:, part]) for part in (slice(0, 3), slice(5, 7)))
    normal = torch.distributions.Normal(x[:, 3:5], log_spread[3:5].exp())
    expected = first.log_prob(choice[:, :3].argmax(1)) + last.log_prob(choice[:, 5:].argmax(1))
    torch.testing.assert_close(logs, expected + normal.log_prob(choice[:, 3:5]).sum(1))
    torch.testing.assert_close(entropy, first.entropy() + last.entropy() + normal.entropy().sum(1))
    action = policy.action(choice)
    assert (action[:, :3] == choice[:, :3]).all()
    torch.testing.assert_close(action[:, 3:5], choice[:, 3:5].tanh())


def test_mixed_controllers_act_part_by_part() -> None:
    controller = Controller(ControllerConfig(), 6, MIXED)
    action = controller.to_actions(torch.tensor([[0.1, 0.3, 0.2, 0.5, -0.5, 2.0, 1.0]]))
    expected = [0, 1, 0, math.tanh(0.5), math.tanh(-0.5), 1, 0]
    torch.testing.assert_close(action, torch.tensor([expected]))
