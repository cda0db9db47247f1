from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.model import Controller
from reverie.learning.config import GradientConfig
from reverie.learning.learner import Experience, Learner
from reverie.learning.ppo import Holds, divergence, improve
from reverie.worlds.spec import ActionSpec

CONFIG = GradientConfig(critic_size=8, epochs=2, batches=2, learning_rate=1.0)  # far too long a step
CONTROLLER = Controller(ControllerConfig(), 5, ActionSpec("driving", 3))


def improved(config: GradientConfig) -> tuple[Learner, Experience, float]:
    """A learner after an update on made-up experience, the experience, and the share of C's steps shortened."""
    rng = torch.Generator().manual_seed(0)
    made = Learner(CONTROLLER, config, None, 3)
    features = torch.randn(256, 5, generator=rng)
    with torch.no_grad():
        x = made.outputs(features)
        choice = made.policy.draw(x, made.log_spread, rng)
        log_chance, _ = made.policy.odds(x, made.log_spread, choice)
    seen = Experience(features, choice, log_chance, (choice * features[:, :3]).sum(1), torch.randn(256, generator=rng))
    optimizer = torch.optim.Adam(made.parameters(), lr=config.learning_rate)
    return made, seen, improve(made, optimizer, seen, config, rng, 0)[1]


def test_divergence_is_that_of_the_odds() -> None:
    """Of two normal distributions KL is known; and nothing has moved before the first update."""
    made, seen, _ = improved(replace(CONFIG, learning_rate=1e-9))
    assert divergence(made, seen) == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        made.scaled[-3:] += 0.1  # the biases of three outputs, whose spread is 0.35
    assert divergence(made, seen) == pytest.approx(3 * 0.5 * (0.1 / 0.35) ** 2, rel=0.2)


@pytest.mark.parametrize("limit", [0.3, 0.02])
def test_no_step_leads_beyond_the_limit(limit: float) -> None:
    free, seen, shortened = improved(CONFIG)
    assert shortened == 0
    assert divergence(free, seen) > 10
    held, seen, shortened = improved(replace(CONFIG, divergence_limit=limit))
    assert shortened > 0
    assert 0.1 * limit < divergence(held, seen) < 2 * limit  # each batch's own is at most the limit
    assert (held.critic_out.weight == free.critic_out.weight).all()


def test_short_steps_are_left_alone() -> None:
    config = replace(CONFIG, learning_rate=1e-3)
    free, _, _ = improved(config)
    held, _, shortened = improved(replace(config, divergence_limit=0.1))
    assert shortened == 0
    assert (held.params == free.params).all()


def held(chance: float, longest: int, steps: int = 200, dreams: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    """What is done, and where C chose, both [steps, dreams], where C would choose another number in every step."""
    config = GradientConfig(dreams=dreams, hold_chance=chance, longest_hold=longest)
    holds = Holds(config, torch.Generator().manual_seed(0), torch.device("cpu"))
    done = [holds.after(torch.full((dreams, 1), float(step)))[:, 0].clone() for step in range(steps)]
    return torch.stack(done), torch.stack(holds.chosen)


def test_a_hold_repeats_a_choice_for_2_to_so_many_steps() -> None:
    done, chosen = held(1.0, 5)
    steps = torch.arange(200.0)[:, None].expand(200, 50)
    assert (done[chosen] == steps[chosen]).all()
    assert (done[1:][~chosen[1:]] == done[:-1][~chosen[1:]]).all()
    lengths = torch.cat([column.nonzero()[:, 0].diff() for column in chosen.T])
    assert sorted(set(lengths.tolist())) == [2, 3, 4, 5]
    counts = lengths.bincount()[2:]
    assert (counts > 0.8 * counts.float().mean()).all()


def test_holds_begin_with_their_chance_and_end_with_their_dream() -> None:
    done, chosen = held(0.1, 8)
    begun = (chosen[:-1] & ~chosen[1:]).sum() / chosen[:-1].sum()
    assert float(begun) == pytest.approx(0.1, abs=0.02)
    assert held(0.0, 8)[1].all()
    config = GradientConfig(dreams=2, hold_chance=1.0, longest_hold=99)
    holds = Holds(config, torch.Generator().manual_seed(0), done.device)
    holds.after(torch.zeros(2, 1))
    holds.end(torch.tensor([True, False]))
    assert holds.after(torch.ones(2, 1))[:, 0].tolist() == [1, 0]
