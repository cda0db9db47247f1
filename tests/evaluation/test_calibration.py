from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.evaluation.calibration import LEVELS, ActionCalibration, LatentCalibration, calibrate
from reverie.memory.mixture import sample
from reverie.memory.model import MDNRNN
from reverie.vision.latents import LatentEpisode
from reverie.worlds.spec import ActionSpec
from tests.evaluation.parts import LATENTS, TINY, make_latents, make_memory


@torch.no_grad()
def dreamt(memory: MDNRNN, steps: int, seed: int) -> LatentEpisode:
    """An episode that M itself drew, whose latents are certain: what M says of it is true."""
    noise = torch.Generator().manual_seed(seed)
    z, state = torch.zeros(1, LATENTS), memory.initial_state(1)
    latents, actions = [z], torch.rand(steps, 1, generator=noise) * 2 - 1
    for t in range(steps):
        state, said = memory.step(state, z, actions[t : t + 1], torch.tensor([float(t == 0)]))
        uniform, spread = torch.rand(z.shape, generator=noise), torch.randn(z.shape, generator=noise)
        z = sample(said.logits, said.mean, said.log_std, 1.0, uniform, spread)
        latents.append(z)
    mu = torch.cat(latents).numpy().astype(np.float16)
    rewards = np.zeros(steps, np.float32)
    return LatentEpisode(mu, np.full_like(mu, -20), actions.numpy(), rewards, terminated=False)


def test_an_m_that_drew_the_latents_itself_is_calibrated() -> None:
    memory = make_memory()
    latents, actions = calibrate(memory, TINY.actions, [dreamt(memory, 150, seed) for seed in range(6)])
    assert actions is None
    assert latents.ranks.shape == (900, LATENTS)
    np.testing.assert_allclose(latents.coverage(), LEVELS, atol=0.03)


def test_an_m_that_is_too_sure_holds_fewer_than_it_says() -> None:
    memory = make_memory()
    episodes = [dreamt(memory, 100, seed) for seed in range(4)]
    truth = calibrate(memory, TINY.actions, episodes)[0]
    with torch.no_grad():
        mixtures, size = memory.config.mixtures, memory.config.latent_size
        memory.head_bias[2 * mixtures * size : 3 * mixtures * size] -= 1  # every standard deviation shrinks by e
    sure = calibrate(memory, TINY.actions, episodes)[0]
    assert (sure.coverage() < 0.8 * truth.coverage()).all()
    assert sure.nll > truth.nll + 0.5


def test_the_intervals_are_central() -> None:
    ranks = LatentCalibration(np.array([[0.05, 0.3], [0.5, 0.9]]), 0.0)
    assert ranks.coverage(np.array([0.0, 0.4, 0.8, 0.9])).tolist() == [0.25, 0.5, 0.75, 1.0]


def test_padding_leaves_no_trace() -> None:
    memory = make_memory(action_head=True)
    short, long = make_latents(7), make_latents(40, 1)
    certain = [
        LatentEpisode(one.mu, np.full_like(one.mu, -30), one.actions, one.rewards, True) for one in (short, long)
    ]
    together, actions = calibrate(memory, TINY.actions, certain)
    alone, _ = calibrate(memory, TINY.actions, certain[:1])
    assert actions is not None
    assert actions.predicted.shape == actions.taken.shape == (6 + 39, 1)
    np.testing.assert_allclose(together.ranks[:7], alone.ranks, atol=1e-4)
    np.testing.assert_array_equal(actions.taken[:6], short.actions[1:])


@pytest.mark.parametrize(
    ("kind", "predicted", "taken", "agreement", "baseline"),
    [
        ("three-way", [[-0.9], [0.2], [0.8], [0.1]], [[-1], [0], [0], [0]], 0.75, 0.75),
        ("discrete", [[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]], [[1, 0], [0, 1], [0, 1]], 2 / 3, 2 / 3),
        ("continuous", [[0.5], [-0.5]], [[1.0], [-1.0]], 0.75, 0.0),
    ],
)
def test_agreement(
    kind: str, predicted: list[list[float]], taken: list[list[float]], agreement: float, baseline: float
) -> None:
    found = ActionCalibration(ActionSpec(kind, len(taken[0])), np.array(predicted), np.array(taken, float))
    assert found.agreement() == pytest.approx(agreement)
    assert found.baseline() == pytest.approx(baseline)


def test_bins_hold_every_step_and_a_true_prediction_lies_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(-1, 1, (5000, 1))
    found = ActionCalibration("continuous", predicted, predicted + rng.normal(0, 0.1, predicted.shape))
    expected, taken, steps = found.bins()
    assert steps.sum() == 5000
    assert len(steps) == 10
    np.testing.assert_allclose(expected, taken, atol=0.03)


def test_one_hot_actions_are_given_chances() -> None:
    memory = make_memory(action_head=True)
    _, actions = calibrate(memory, ActionSpec("discrete", 1), [make_latents(9)])
    assert actions is not None
    np.testing.assert_allclose(actions.predicted.sum(1), 1)


def test_episodes_of_one_step_have_no_next_action() -> None:
    assert calibrate(make_memory(action_head=True), TINY.actions, [make_latents(1)])[1] is None
