from __future__ import annotations

import numpy as np
import pytest
import torch

from reverie.evaluation.calibration import HeadPredictions, predict_heads
from reverie.evaluation.open_loop import (
    STEPS,
    WARM_UP,
    OpenLoop,
    middle,
    mixture_mean,
    predict_open_loop,
)
from reverie.memory.config import DONE_WEIGHT
from reverie.vision.latents import LatentEpisode
from tests.evaluation.parts import LATENTS, TINY, make_latents, make_memory


def step_by_step(episode: LatentEpisode, steps: int) -> list[np.ndarray]:
    """The expected next latents of M's first `steps` steps, one call of `step` each, in float64 from the mixture on."""
    memory, state, means = make_memory(), None, []
    for t in range(steps):
        z = torch.tensor(episode.mu[t : t + 1].astype(np.float32))
        a = torch.tensor(episode.actions[t : t + 1])
        state, prediction = memory.step(state or memory.initial_state(1), z, a, torch.tensor([float(t == 0)]))
        logits, mean = (part.detach().double().numpy()[0] for part in (prediction.logits, prediction.mean))
        weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        means.append((weights * mean).sum(-1))
    return means


@pytest.mark.parametrize(
    ("steps", "start"), [(STEPS + WARM_UP - 1, None), (STEPS + WARM_UP, WARM_UP), (STEPS + WARM_UP + 31, WARM_UP + 15)]
)
def test_the_window_lies_in_the_middle_of_what_follows_the_warm_up(steps: int, start: int | None) -> None:
    assert middle(steps) == start
    seen = predict_open_loop(make_memory(), TINY.actions, make_latents(steps), 0)
    assert (seen is None) == (start is None)


def test_one_step_ahead_is_the_mean_of_what_m_expects_of_real_steps() -> None:
    episode = make_latents(100)
    start = middle(100)
    assert start == 35
    seen = predict_open_loop(make_memory(), TINY.actions, episode, 0)
    assert seen is not None
    np.testing.assert_array_equal(seen.real, episode.mu[start : start + STEPS + 1].astype(np.float32))
    np.testing.assert_array_equal(seen.one_step[0], seen.real[0])
    wanted = step_by_step(episode, start + STEPS)[start:]
    np.testing.assert_allclose(seen.one_step[1:], wanted, rtol=1e-4, atol=1e-4)


def test_dreaming_on_sees_nothing_of_what_really_followed() -> None:
    episode = make_latents(90)
    start = middle(90)
    assert start is not None
    other_mu = episode.mu.copy()
    other_mu[start + 1 :] += 3
    other = LatentEpisode(other_mu, episode.logvar, episode.actions, episode.rewards, True)
    memory = make_memory()
    first, second = (predict_open_loop(memory, TINY.actions, one, 0) for one in (episode, other))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.open_loop, second.open_loop)
    assert np.abs(first.one_step - second.one_step).max() > 0.01
    again = predict_open_loop(memory, TINY.actions, episode, 1)
    assert again is not None
    assert np.abs(again.open_loop - first.open_loop).max() > 0.1  # another index, other noise
    np.testing.assert_array_equal(again.one_step, first.one_step)


def test_without_temperature_a_dream_follows_the_likeliest_gaussian() -> None:
    episode, memory = make_latents(80), make_memory()
    seen = predict_open_loop(memory, TINY.actions, episode, 0, temperature=1e-8)
    start = middle(80)
    assert seen is not None
    assert start is not None
    state, z = None, None
    for t in range(start + 1):
        z = torch.tensor(episode.mu[t : t + 1].astype(np.float32))
        a = torch.tensor(episode.actions[t : t + 1])
        state, prediction = memory.step(state or memory.initial_state(1), z, a, torch.tensor([float(t == 0)]))
    likeliest = prediction.mean.gather(-1, prediction.logits.argmax(-1, keepdim=True))[0, :, 0]
    np.testing.assert_allclose(seen.open_loop[1], likeliest.detach(), atol=1e-3)


def test_errors_are_root_mean_squares_beside_the_guess_that_nothing_moves() -> None:
    rng = np.random.default_rng(0)
    real, one_step, free = rng.normal(size=(3, STEPS + 1, 4))
    errors = OpenLoop(real, one_step, free).errors()
    assert errors.shape == (3, STEPS)
    assert errors[0, 6] == pytest.approx(np.sqrt(np.mean((one_step[7] - real[7]) ** 2)))
    assert errors[1, 6] == pytest.approx(np.sqrt(np.mean((free[7] - real[7]) ** 2)))
    assert errors[2, 6] == pytest.approx(np.sqrt(np.mean((real[0] - real[7]) ** 2)))


def test_the_liveliest_window_is_the_one_that_moves() -> None:
    moving = np.arange(STEPS + 1.0)[:, None].repeat(3, axis=1)
    assert OpenLoop(moving, moving, moving).variance == pytest.approx(np.var(np.arange(STEPS + 1)))
    still = np.full_like(moving, 100)
    assert OpenLoop(still, still, still).variance == 0


def test_the_mixtures_mean() -> None:
    memory = make_memory()
    _, prediction = memory.step(memory.initial_state(2), torch.randn(2, LATENTS), torch.zeros(2, 1), torch.ones(2))
    logits, mean = prediction.logits.detach().double().numpy(), prediction.mean.detach().double().numpy()
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(mixture_mean(prediction).detach(), (weights * mean).sum(-1), rtol=1e-5)


def test_a_forecast_joins_episodes_of_any_length_and_undoes_the_weight_of_endings() -> None:
    memory = make_memory()
    episodes = [make_latents(steps, seed, terminated=seed != 1) for seed, steps in enumerate((9, 30, 1))]
    expected = predict_heads(memory, TINY.actions, episodes)
    assert expected.done_prob is not None
    assert expected.reward_hat is not None
    at = 0
    for episode in sorted(episodes, key=len):  # each alone, without padding
        z, a = torch.tensor(episode.mu[:-1].astype(np.float32))[None], torch.tensor(episode.actions)[None]
        restart = torch.zeros(1, len(episode))
        restart[0, 0] = 1
        _, prediction = memory(memory.initial_state(1), z, a, restart)
        q = 1 / (1 + np.exp(-prediction.done_logit.detach().double().numpy()[0]))
        chance = q / (q + DONE_WEIGHT * (1 - q))  # q was trained on endings that weigh ten
        here = slice(at, at + len(episode))
        np.testing.assert_allclose(expected.done_prob[here], chance, rtol=1e-4)
        np.testing.assert_allclose(expected.reward_hat[here], prediction.reward.detach()[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(expected.reward[here], episode.rewards)
        assert expected.done[here].tolist() == [False] * (len(episode) - 1) + [episode.terminated]
        at += len(episode)
    assert at == len(expected.done) == 40


def test_a_forecast_says_nothing_of_heads_that_are_not_there() -> None:
    memory = make_memory(done_head=False, reward_head=False)
    expected = predict_heads(memory, TINY.actions, [make_latents(5)])
    assert expected.done_prob is None
    assert expected.reward_hat is None
    assert expected.reliability() is None


def test_reliability_of_a_calibrated_forecast_lies_on_the_diagonal() -> None:
    rng = np.random.default_rng(0)
    chance = 10 ** rng.uniform(-3, 0, 300_000)
    done = rng.random(300_000) < chance
    nothing = np.zeros(300_000, np.float32)
    points = HeadPredictions(chance, done, None, nothing).reliability()
    assert points is not None
    predicted, observed, happened = points
    assert len(predicted) == 6  # half decades
    np.testing.assert_allclose(observed, predicted, rtol=0.15)
    assert happened.sum() == done.sum()
    gloomy = HeadPredictions(chance, done & (rng.random(300_000) < 0.5), None, nothing).reliability()
    assert gloomy is not None
    np.testing.assert_allclose(gloomy[1], gloomy[0] / 2, rtol=0.25)


def test_reliability_needs_an_ending() -> None:
    assert HeadPredictions(np.full(5, 0.1), np.zeros(5, bool), None, np.zeros(5)).reliability() is None
