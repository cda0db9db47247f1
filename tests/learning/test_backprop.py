"""The dream that gradients pass through is the engine's, and its gradients are the slopes of what it brings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig
from reverie.dream.engine import DreamEngine
from reverie.learning.backprop import lambda_returns, unroll
from reverie.learning.config import PPOConfig
from reverie.learning.dream_rollouts import DreamWindow, EndlessDreams
from reverie.learning.learner import Learner
from tests.dream import parts
from tests.learning.dreamt import DREAMS, HORIZON, MEMORIES, engine

CONFIG = PPOConfig(gamma=0.9, gae_lambda=0.8)
SURVIVING = {"spec": parts.SURVIVAL, "config": DreamConfig(temperature=1.1, termination="calibrated")}
COUNT = 40


def learner(made: DreamEngine) -> Learner:
    """A C that does something, and a critic that says something."""
    found = Learner(parts.controller(made), parts.candidates(made, 1)[0], 3)
    with torch.no_grad():
        found.critic_out.weight.normal_(generator=torch.Generator().manual_seed(1))
    return found


def dreams(made: DreamEngine, youngest: bool = True) -> EndlessDreams:
    found = EndlessDreams(made, COUNT, HORIZON, torch.Generator().manual_seed(0))
    if youngest:
        found.age.zero_()
        found.first_age.zero_()
    return found


ENGINES = {
    **{
        f"{kind}, {number}": (lambda make=make, number=number: make()[number])
        for kind, make in DREAMS.items()
        for number in range(len(make()))
    },
    "the next action seen": lambda: engine(
        model=parts.memory(action_head=True), inputs=ControllerConfig(inputs=("z", "c", "h", "action"))
    ),
    "to survive": lambda: engine(**SURVIVING),
    "residual, with rewards in bins": lambda: engine(model=parts.memory(residual=True, reward_bins=7)),
    "residual, another disagrees": lambda: engine(
        model=parts.memory(residual=True), penalty=0.7, others=(parts.memory(1, residual=True),)
    ),
    "without a restart input": lambda: engine(model=parts.memory(restart_input=False)),
    "in the processor's fastest dtype": lambda: engine(dtype=torch.bfloat16),
}


@pytest.mark.parametrize("kind", ENGINES)
def test_the_unrolled_step_is_the_dreams_step(kind: str) -> None:
    """Step for step, from the same draws: what C sees, what it is paid, and where the dreams are left."""
    made = ENGINES[kind]()
    acting, steps, generator = learner(made), 6, torch.Generator().manual_seed(5)
    ours, plain = dreams(made), dreams(made)
    window = unroll(ours, acting, steps, generator)
    generator.manual_seed(5)
    loose = {"atol": 0.05, "rtol": 0.05} if made.memory.dtype == torch.bfloat16 else {"atol": 1e-4, "rtol": 1e-4}
    ended = torch.zeros(COUNT, dtype=torch.bool)
    with torch.no_grad():
        for t in range(steps):
            torch.testing.assert_close(window.features[t], plain.features(), **loose)
            choice = acting.policy.draw(acting.outputs(plain.features()), acting.log_std, generator)
            reward, over, cut = plain.step(acting.policy.action(choice), generator)
            torch.testing.assert_close(window.reward[t], reward, **loose)
            assert not cut.any()
            ended |= over
    torch.testing.assert_close(window.features[-1], plain.features(), **loose)
    torch.testing.assert_close(ours.features(), plain.features(), **loose)
    assert (window.stopped == ended).all()
    ours.age[ended], plain.age[ended], ours.total[ended], plain.total[ended] = 0, 0, 0, 0  # theirs went on
    for (name, mine), theirs in zip(ours.to_arrays().items(), plain.to_arrays().values(), strict=True):
        np.testing.assert_allclose(mine, theirs, **loose, err_msg=name)


def test_dreams_bring_what_they_bring_until_they_end_or_meet_their_cap() -> None:
    made = engine(**SURVIVING | {"model": parts.memory(done_bias=-3.0)})  # some end, some are cut off
    ours = dreams(made, youngest=False)
    first_age, age, steps = ours.first_age.clone(), ours.age.clone(), 12
    window = unroll(ours, learner(made), steps, torch.Generator().manual_seed(5))
    capped = ours.age == HORIZON
    assert 0 < capped.sum() < window.stopped.sum() < COUNT
    assert (window.stopped | (ours.age == age + steps)).all()
    torch.testing.assert_close(ours.total, (ours.age - age).double())  # 1 a step
    assert (ours.age <= HORIZON).all()
    assert (ours.first_age == first_age).all()
    beyond = age + torch.arange(steps)[:, None] >= HORIZON
    assert (window.reached[beyond] == 0).all()
    assert (window.cut == (age + torch.arange(1, steps + 1)[:, None] == HORIZON)).all()
    chance = torch.cat([torch.ones(1, COUNT), window.survives[:-1]]).cumprod(0)
    torch.testing.assert_close(window.reached[~beyond], chance[~beyond].detach())
    torch.testing.assert_close(window.reward, window.survives - 1)


def gain(made: DreamEngine, acting: Learner, params: Tensor | None = None) -> Tensor:
    """The lambda-returns of the first step, of dreams whose luck is always the same: []."""
    if params is not None:
        acting.scaled.data.copy_(params)
    window = unroll(dreams(made, youngest=False), acting, 8, torch.Generator().manual_seed(5))
    return lambda_returns(window, acting.value(window.features), CONFIG)[0].mean()


ONE = {"mixtures": 1}  # a Gaussian chosen instead of another is a leap that no gradient knows of
SLOPES: dict[str, dict[str, Any]] = {
    "rewards": {"spec": parts.PREDICTED, "model": parts.memory(**ONE)},
    "rewards and ends": {
        **SURVIVING, "spec": parts.PREDICTED, "model": parts.memory(done_bias=0.0, **ONE),
    },
    "ends alone": SURVIVING | {"model": parts.memory(done_bias=0.0, **ONE)},
    "what another M knows": {"spec": parts.PREDICTED, "model": parts.memory(**ONE), "seen": MEMORIES[1]},
    "a hidden layer on all that M knows": {
        "spec": parts.PREDICTED,
        "model": parts.memory(**ONE),
        "inputs": ControllerConfig(("z", "c", "h"), hidden_size=5),
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", SLOPES)
def test_gradients_are_the_slopes_of_what_c_is_paid(kind: str) -> None:
    """Along random directions, by central differences."""
    made = engine(**SLOPES[kind])
    acting = learner(made)
    gradient, spread = torch.autograd.grad(gain(made, acting), [acting.scaled, acting.log_std])
    assert gradient.any()
    assert spread.any()
    start, generator, step = acting.scaled.detach().clone(), torch.Generator().manual_seed(2), 0.003
    directions = torch.randn(6, len(start), generator=generator)
    directions[0] = gradient
    found, expected = [], directions @ gradient
    for direction in directions:
        off = step * direction / direction.norm()
        with torch.no_grad():
            rise = gain(made, acting, start + off) - gain(made, acting, start - off)
        found.append(rise / (2 * step) * direction.norm())
    off_by = 0.02 * float(expected[1:].abs().max())  # the brake has a kink where it begins
    torch.testing.assert_close(torch.stack(found), expected, rtol=0.01, atol=off_by)


def test_disagreement_has_a_slope() -> None:
    model = parts.memory(**ONE)
    slopes = []
    for penalty in (0.0, 1.0):
        made = engine(model=model, penalty=penalty, others=MEMORIES[1:])
        acting = learner(made)
        window = unroll(dreams(made), acting, 4, torch.Generator().manual_seed(5))
        (slope,) = torch.autograd.grad(window.reward.sum(), [acting.scaled])
        slopes.append(slope)
    assert torch.isfinite(slopes[1]).all()
    assert (slopes[1] - slopes[0]).norm() > 0.01 * slopes[0].norm()


def test_lambda_returns_are_the_weighted_sum_of_all_shorter_ones() -> None:
    rng, steps = torch.Generator().manual_seed(0), 5
    reward, survives = torch.randn(steps, 1, generator=rng), torch.rand(steps, 1, generator=rng)
    values, none = torch.randn(steps + 1, 1, generator=rng), torch.zeros(steps, 1)
    cut = torch.zeros(steps, 1, dtype=torch.bool)
    cut[3] = True
    window = DreamWindow(none, reward, survives, none, cut, none)
    found = lambda_returns(window, values, CONFIG)

    def after(t: int, count: int) -> Tensor:
        """What `count` steps from t on bring, and then the critic."""
        if count == 0:
            return values[t]
        return reward[t] + 0.9 * survives[t] * after(t + 1, count - 1)

    for t, last in ((0, 4), (1, 4), (3, 4), (4, 5)):  # the cap is met in step 3, so nothing beyond it counts
        longest = last - t
        mixed = sum(
            (0.2 * 0.8 ** (k - 1) * after(t, k) for k in range(1, longest)), 0.8 ** (longest - 1) * after(t, longest)
        )
        torch.testing.assert_close(found[t], mixed)
