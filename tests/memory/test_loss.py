"""M's loss against formulas written down again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

from reverie.memory.batch import Batch, draw_dropout
from reverie.memory.config import MemoryConfig
from reverie.memory.loss import CHUNK_ROWS, memory_loss, mixture_nll, surprise, surprise_statistics
from reverie.memory.mixture import log_prob
from reverie.memory.model import MDNRNN, Prediction, two_hot
from reverie.vision.latents import LatentEpisode
from reverie.worlds.spec import ActionSpec

CONFIG = MemoryConfig(
    latent_size=4, action_size=2, hidden_size=8, restart_input=True, done_head=True, reward_head=True, action_head=True
)
STEPS, ROWS = 6, 3


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make_batch() -> Batch:
    flags = (numbers(3, STEPS, ROWS) > 0.5).float()
    return Batch(
        z=numbers(STEPS, ROWS, 4, seed=1),
        action=numbers(STEPS, ROWS, 2, seed=2),
        restart=flags[0],
        next_z=numbers(STEPS, ROWS, 4, seed=3),
        done=flags[1],
        reward=numbers(STEPS, ROWS, seed=4) * 50,
        next_action=numbers(STEPS, ROWS, 2, seed=5).tanh(),
        has_next=flags[2],
        hold_steps=torch.zeros(STEPS, ROWS),
        hold_dies=torch.zeros(STEPS, ROWS),
    )


def predict(model: MDNRNN, batch: Batch) -> Prediction:
    """What the model says of a batch, [B, L] in front."""
    z, action, restart = (part.transpose(0, 1) for part in (batch.z, batch.action, batch.restart))
    return model(model.initial_state(ROWS), z, action, restart)[1]


def test_rewards_in_bins_are_learned_by_cross_entropy_between_the_two_bins_around() -> None:
    model, batch = MDNRNN(replace(CONFIG, reward_bins=5), seed=1), make_batch()
    model.reward_scale.fill_(3.0)
    found = memory_loss(model, model.initial_state(ROWS), batch)[2]["reward"].item()
    _, hidden = model.unroll(model.initial_state(ROWS), batch.z, batch.action, batch.restart)
    outputs = model.parts((hidden @ model.head_weight.T + model.head_bias).detach())["reward"].flatten(0, 1).numpy()
    log_p = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    values = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])  # evenly spaced by symlog, as log(1 + 3) is twice log(1 + 1)
    rewards = np.clip(batch.reward.numpy().ravel(), -3, 3)
    by_hand = []
    for reward, row in zip(rewards, log_p, strict=True):
        above = int(np.clip(np.searchsorted(values, reward), 1, 4))
        share = (reward - values[above - 1]) / (values[above] - values[above - 1])
        by_hand.append(-share * row[above] - (1 - share) * row[above - 1])
    assert found == pytest.approx(np.mean(by_hand), rel=1e-4)


def test_two_hot_weights_have_the_mean_that_they_stand_for() -> None:
    values = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
    x = torch.tensor([-7.0, -3.0, -0.25, 0.0, 1.0, 2.5, 9.0])
    weights = two_hot(x, values)
    torch.testing.assert_close(weights @ values, x.clamp(-3, 3))
    assert (weights > 0).sum(1).max() <= 2
    assert weights[3].tolist() == [0, 0, 1, 0, 0]  # nothing is exactly nothing


def test_a_residual_one_adds_z_times_its_carry_which_is_learned() -> None:
    model, batch = MDNRNN(replace(CONFIG, residual=True), seed=1), make_batch()
    assert model.carry is not None
    with torch.no_grad():
        model.carry.copy_(torch.tensor([1.0, 0.5, 0.0, -0.2]))
    _, loss, metrics = memory_loss(model, model.initial_state(ROWS), batch)
    said = predict(model, batch)  # where z lies then
    expected = -log_prob(said.logits, said.mean, said.log_std, batch.next_z.transpose(0, 1)).mean()
    assert metrics["z_nll"].item() == pytest.approx(expected.item(), rel=1e-5)
    (found,) = torch.autograd.grad(loss, model.carry)
    (exact,) = torch.autograd.grad(expected, model.carry)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=1e-6)
    plain = MDNRNN(CONFIG, seed=1)
    carried = (model.carry * batch.z.transpose(0, 1)).unsqueeze(-1)
    torch.testing.assert_close(said.mean, predict(plain, batch).mean + carried)


def test_the_reward_to_expect_is_the_mean_over_the_bins() -> None:
    model, batch = MDNRNN(replace(CONFIG, reward_bins=5), seed=1), make_batch()
    model.reward_scale.fill_(3.0)
    said = predict(model, batch)
    _, hidden = model.unroll(model.initial_state(ROWS), batch.z, batch.action, batch.restart)
    chances = model.parts(hidden @ model.head_weight.T + model.head_bias)["reward"].transpose(0, 1).softmax(-1)
    torch.testing.assert_close(said.reward, (chances * torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])).sum(-1))


def test_mixture_nll_equals_log_prob_with_its_gradient() -> None:
    rows = CHUNK_ROWS + 3
    outputs = (numbers(rows, 3 * 5 * 4).double() * 2).requires_grad_()
    z = numbers(rows, 4, seed=1).double()
    parts = outputs.view(rows, 3, 5, 4).transpose(-1, -2).unbind(1)
    (expected,) = torch.autograd.grad(-log_prob(*parts, z).mean() * 3, outputs)
    value = mixture_nll(outputs, z, 5)
    exact = -log_prob(*parts, z).mean()
    (found,) = torch.autograd.grad(value * 3, outputs)
    assert value.item() == pytest.approx(exact.item(), rel=1e-12)
    torch.testing.assert_close(found, expected)


def test_terms_equal_their_formulas() -> None:
    model, batch = MDNRNN(CONFIG, seed=1), make_batch()
    model.reward_scale.fill_(50.0)
    _, loss, metrics = memory_loss(model, model.initial_state(ROWS), batch)
    found = predict(model, batch)
    done, p = batch.done.t().numpy(), 1 / (1 + np.exp(-found.done_logit.detach().double().numpy()))
    has_next = batch.has_next.t().numpy()
    errors = np.square(np.tanh(found.action.detach().numpy()) - batch.next_action.transpose(0, 1).numpy()).mean(-1)
    expected = {
        "z_nll": -log_prob(*found[:3], batch.next_z.transpose(0, 1)).mean().item(),
        "done": -(10 * done * np.log(p) + (1 - done) * np.log(1 - p)).mean(),
        "reward": np.square((found.reward.detach().numpy() - batch.reward.t().numpy()) / 50).mean(),
        "action": (errors * has_next).sum() / has_next.sum(),
    }
    assert {name: value.item() for name, value in metrics.items()} == pytest.approx(expected, rel=1e-5)
    assert loss.item() == pytest.approx(sum(expected.values()), rel=1e-5)


@torch.no_grad()
def test_the_parts_of_mixed_actions_are_predicted_each_in_its_way() -> None:
    model, batch = MDNRNN(replace(CONFIG, action_size=3), seed=1), make_batch()
    chosen = torch.randint(2, batch.next_action.shape[:2], generator=torch.Generator().manual_seed(3))
    target = torch.cat([torch.nn.functional.one_hot(chosen, 2).float(), batch.next_action[..., :1]], -1)
    batch = replace(batch, next_action=target, action=target)
    _, _, metrics = memory_loss(model, model.initial_state(ROWS), batch, ActionSpec("mixed", 3, (2, 1)))
    _, _, alone = memory_loss(model, model.initial_state(ROWS), batch)
    assert float(metrics["action"]) != pytest.approx(float(alone["action"]))
    _, hidden = model.unroll(model.initial_state(ROWS), batch.z, batch.action, batch.restart)
    outputs = model.parts(torch.nn.functional.linear(hidden.flatten(0, 1), model.head_weight, model.head_bias))[
        "action"
    ]
    group = torch.nn.functional.cross_entropy(outputs[:, :2], target.flatten(0, 1)[:, :2], reduction="none")
    number = (outputs[:, 2].tanh() - target.flatten(0, 1)[:, 2]).square()
    weight = batch.has_next.flatten()
    assert float(metrics["action"]) == pytest.approx(float(((group + number) * weight).sum() / weight.sum()), rel=1e-5)


def test_one_hot_actions_are_predicted_by_cross_entropy() -> None:
    model, batch = MDNRNN(CONFIG, seed=1), make_batch()
    chosen = (batch.next_action[..., 0] > 0).long()
    batch.next_action[:] = torch.nn.functional.one_hot(chosen, 2)
    _, _, metrics = memory_loss(model, model.initial_state(ROWS), batch, ActionSpec("discrete", 2))
    logits = predict(model, batch).action.detach().double().transpose(0, 1)
    losses = -torch.log(logits.softmax(-1).gather(-1, chosen[..., None]).squeeze(-1))
    expected = float((losses * batch.has_next).sum() / batch.has_next.sum())
    assert metrics["action"].item() == pytest.approx(expected, rel=1e-5)


def test_without_heads_only_the_latent_counts() -> None:
    model = MDNRNN(MemoryConfig(latent_size=4, action_size=2, hidden_size=8))
    _, loss, metrics = memory_loss(model, model.initial_state(ROWS), make_batch())
    assert list(metrics) == ["z_nll"]
    assert loss == metrics["z_nll"]


def test_training_starts_at_the_loss_of_a_unit_normal() -> None:
    model = MDNRNN(MemoryConfig())
    batch = Batch(
        *(numbers(40, 10, size, seed=size) for size in (32, 3)),
        *(torch.zeros(40, 10),),
        *(
            numbers(40, 10, 32, seed=9),
            torch.zeros(40, 10),
            torch.zeros(40, 10),
            numbers(40, 10, 3),
            torch.ones(40, 10),
        ),
        *(torch.zeros(40, 10),) * 2,
    )
    _, loss, _ = memory_loss(model, model.initial_state(10), batch)
    assert loss.item() == pytest.approx(0.5 * np.log(2 * np.pi) + 0.5, abs=0.1)


def test_bfloat16_stays_close_to_float32() -> None:
    model, batch = MDNRNN(CONFIG, seed=1), make_batch()
    _, fine, _ = memory_loss(model, model.initial_state(ROWS), batch)
    _, coarse, _ = memory_loss(model, model.initial_state(ROWS), batch, dtype=torch.bfloat16)
    assert coarse.item() == pytest.approx(fine.item(), rel=0.01)


def test_outputs_do_not_see_the_cells_that_are_dropped() -> None:
    model, batch = MDNRNN(CONFIG, seed=1), make_batch()
    dropped = draw_dropout((ROWS, 8), 0.5, 3, torch.float32)
    assert dropped is not None
    assert sorted(set(dropped.unique().tolist())) == [0, 2]
    _, loss, _ = memory_loss(model, model.initial_state(ROWS), batch, dropout=dropped)
    hidden = model.unroll(model.initial_state(ROWS), batch.z, batch.action, batch.restart)[1] * dropped
    said = model.predict(hidden.flatten(0, 1))
    nll = -log_prob(said.logits, said.mean, said.log_std, batch.next_z.flatten(0, 1)).mean()
    _, plain, _ = memory_loss(model, model.initial_state(ROWS), batch)
    metrics = memory_loss(model, model.initial_state(ROWS), batch, dropout=dropped)[2]
    assert metrics["z_nll"].item() == pytest.approx(nll.item(), rel=1e-5)
    assert loss.item() != plain.item()


def test_no_dropout_draws_nothing() -> None:
    assert draw_dropout((ROWS, 8), 0.0, 3, torch.float32) is None
    drawn = draw_dropout((400, 50), 0.2, 3, torch.float32)
    assert drawn is not None
    assert drawn.mean().item() == pytest.approx(1, abs=0.02)


ACTIONS = ActionSpec("driving", 3)


def latent_episode(steps: int, seed: int = 0) -> LatentEpisode:
    rng = np.random.default_rng(seed)
    return LatentEpisode(
        mu=rng.normal(size=(steps + 1, 4)).astype(np.float16),
        logvar=np.zeros((steps + 1, 4), np.float16),
        actions=rng.uniform(-1, 1, (steps, 3)).astype(np.float32),
        rewards=np.zeros(steps, np.float32),
        terminated=True,
    )


@pytest.fixture
def memory() -> MDNRNN:
    return MDNRNN(MemoryConfig(latent_size=4, action_size=3, hidden_size=8, restart_input=True), seed=2)


@torch.no_grad()
def test_surprise_is_the_loss_of_each_real_step(memory: MDNRNN) -> None:
    episode, expected, state = latent_episode(9), [], memory.initial_state(1)
    encoded = ACTIONS.for_memory(episode.actions)
    for t in range(9):
        z, a = torch.from_numpy(episode.mu[t : t + 1].astype(np.float32)), torch.from_numpy(encoded[t : t + 1])
        state, prediction = memory.step(state, z, a, torch.tensor([float(t == 0)]))
        logits, mean, log_std = (
            part.double().numpy()[0] for part in (prediction.logits, prediction.mean, prediction.log_std)
        )
        density = stats.norm(mean, np.exp(log_std)).logpdf(episode.mu[t + 1].astype(np.float64)[:, None])
        expected.append(-special.logsumexp(special.log_softmax(logits, -1) + density, axis=-1).mean())
    np.testing.assert_allclose(surprise(memory, ACTIONS, episode), expected, rtol=1e-4)


def test_surprise_statistics_are_over_all_steps(memory: MDNRNN) -> None:
    episodes = [latent_episode(5), latent_episode(20, 1)]
    nll = np.concatenate([surprise(memory, ACTIONS, episode) for episode in episodes])
    mean, std = surprise_statistics(memory, ACTIONS, episodes)
    assert mean == pytest.approx(nll.mean(), rel=1e-5)
    assert std == pytest.approx(nll.std(), rel=1e-5)
