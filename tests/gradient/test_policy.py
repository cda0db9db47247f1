from __future__ import annotations

import math

import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.gradient.policy import Policy
from reverie.worlds.spec import ActionKind, ActionSpec

THREE_WAY, DISCRETE, DRIVING = ActionSpec("three-way", 1), ActionSpec("discrete", 4), ActionSpec("driving", 3)


def outputs(actions: ActionSpec, count: int = 5) -> torch.Tensor:
    return torch.randn(count, actions.size, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("actions", [THREE_WAY, DISCRETE], ids=lambda actions: actions.kind)
def test_odds_are_those_that_are_drawn(actions: ActionSpec) -> None:
    x, log_spread = outputs(actions, 1), torch.tensor([-0.5] * actions.size)
    policy, generator = Policy(actions), torch.Generator().manual_seed(0)
    drawn = policy.draw(x.expand(20_000, -1), log_spread, generator)
    kinds = drawn.unique(dim=0)
    logs, entropy = policy.odds(x.expand(len(kinds), -1), log_spread, kinds)
    assert float(logs.exp().sum()) == pytest.approx(1, abs=1e-4)
    assert float(entropy[0]) == pytest.approx(float(-(logs.exp() * logs).sum()), abs=1e-4)
    for kind, log in zip(kinds, logs, strict=True):
        share = (drawn == kind).all(1).float().mean()
        assert float(share) == pytest.approx(math.exp(log), abs=0.015)


def test_continuous_odds_are_a_normal_density() -> None:
    x, log_spread = outputs(DRIVING), torch.tensor([0.1, -0.4, -1.0])
    choice = Policy(DRIVING).draw(x, log_spread, torch.Generator().manual_seed(0))
    logs, entropy = Policy(DRIVING).odds(x, log_spread, choice)
    normal = torch.distributions.Normal(x, log_spread.exp())
    torch.testing.assert_close(logs, normal.log_prob(choice).sum(-1))
    torch.testing.assert_close(entropy, normal.entropy().sum(-1))


@pytest.mark.parametrize("kind", ["three-way", "discrete", "driving", "continuous"])
def test_without_spread_it_does_as_c_does(kind: ActionKind) -> None:
    """The most likely action is that of the deterministic C, and M sees of it what it sees of C's."""
    actions = ActionSpec(kind, 1 if kind == "three-way" else 3)
    controller = Controller(ControllerConfig(bias=False), 6, actions)
    params, features = torch.randn(1, controller.parameter_count), torch.randn(1, 50, 6)
    x = controller.outputs(params, features)[0] * 1000  # what is drawn no longer depends on chance
    expected = torch.nn.functional.one_hot(x.argmax(-1), 3).float() if kind == "discrete" else x.tanh()
    policy, tiny = Policy(actions), torch.full((actions.size,), -20.0)
    felt = policy.felt(policy.draw(x, tiny, torch.Generator().manual_seed(0)))
    torch.testing.assert_close(felt, actions.for_memory(expected))


def test_the_odds_have_gradients_where_an_action_is_all_but_impossible() -> None:
    x = torch.tensor([[200.0]], requires_grad=True)
    logs, entropy = Policy(THREE_WAY).odds(x, torch.tensor([-1.0]), torch.tensor([[-1.0]]))
    (logs.sum() + entropy.sum()).backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(logs).all()
