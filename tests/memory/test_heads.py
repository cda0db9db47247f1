"""M's survival head: its labels, its loss, and what C sees of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reverie.errors import ReverieError
from reverie.memory.batch import Batch
from reverie.memory.config import MemoryConfig
from reverie.memory.heads import survival_of
from reverie.memory.loss import memory_loss, survival_loss
from reverie.memory.lstm import LSTMState
from reverie.memory.model import MDNRNN
from reverie.memory.sequences import steps_of
from reverie.vision.latents import LatentEpisode
from reverie.worlds.spec import ActionSpec

THREE_WAY = ActionSpec("three-way", 1)
CONFIG = MemoryConfig(
    latent_size=4, action_size=1, hidden_size=8, restart_input=True, done_head=True, survival_head=(2, 5)
)
ACTIONS = [0.0, 0.9, 0.5, 0.9, -0.9, -0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]


def episode(terminated: bool) -> LatentEpisode:
    latents, rewards = np.zeros((len(ACTIONS) + 1, 4), np.float16), np.ones(len(ACTIONS), np.float32)
    taken = np.array(ACTIONS, np.float32)[:, None]
    return LatentEpisode(mu=latents, logvar=latents, actions=taken, rewards=rewards, terminated=terminated)


def model_with(seed: int = 0, **changes: object) -> MDNRNN:
    model = MDNRNN(MemoryConfig(**{**vars(CONFIG), **changes}), seed)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for bias in (model.bias, model.head_bias):
            bias.normal_(generator=generator)
    return model


@pytest.mark.parametrize("terminated", [True, False])
def test_an_episode_tells_how_long_its_next_action_goes_on(terminated: bool) -> None:
    steps = steps_of(episode(terminated), THREE_WAY, 0, len(ACTIONS), with_holds=True)
    assert steps["hold_steps"].tolist() == [3, 2, 1, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1, 3, 2, 1, 0]
    assert steps["hold_dies"].tolist() == [0.0] * 13 + [float(terminated)] * 3 + [0.0]
    part = steps_of(episode(terminated), THREE_WAY, 4, 15, with_holds=True)
    np.testing.assert_array_equal(part["hold_steps"], steps["hold_steps"][4:15])
    np.testing.assert_array_equal(part["hold_dies"], steps["hold_dies"][4:15])


def batch_of(next_action: list[float], held: list[float], dies: list[float]) -> Batch:
    steps = len(held)
    flat = {name: torch.zeros(steps, 1) for name in ("restart", "done", "reward", "has_next")}
    z = {name: torch.zeros(steps, 1, 4) for name in ("z", "next_z")}
    following = torch.tensor(next_action)[:, None, None]
    holds = {"hold_steps": torch.tensor(held)[:, None], "hold_dies": torch.tensor(dies)[:, None]}
    return Batch(**flat, **z, **holds, action=torch.zeros(steps, 1, 1), next_action=following)


@pytest.mark.parametrize(
    ("held", "dies", "known"),
    [
        (0, 0, []),  # the last step
        (1, 0, []),  # another action came within the first interval
        (2, 0, [0]),
        (4, 0, [0]),
        (5, 0, [0, 0]),
        (9, 1, [0, 0]),  # the end came after all that M looks at
        (1, 1, [1]),
        (2, 1, [1]),
        (3, 1, [0, 1]),
        (5, 1, [0, 1]),
    ],
)
@pytest.mark.parametrize("side", [-1.0, 0.0, 1.0])
def test_m_learns_from_the_intervals_that_an_episode_labels(
    held: float, dies: float, known: list[int], side: float
) -> None:
    outputs = torch.randn(1, 6, generator=torch.Generator().manual_seed(3))
    loss = survival_loss(outputs, batch_of([side], [held], [dies]), (2, 5), one_hot=False)
    of_side = outputs.view(3, 2)[int(side) + 1]
    each = [F.binary_cross_entropy_with_logits(of_side[k], torch.tensor(float(end))) for k, end in enumerate(known)]
    assert loss.item() == pytest.approx(float(np.mean([term.item() for term in each])) if each else 0.0, rel=1e-6)


def test_the_survival_head_counts_in_ms_loss() -> None:
    batch = batch_of([1.0, 1.0, 0.0], [3, 2, 9], [1, 1, 0])
    model = model_with()
    _, loss, metrics = memory_loss(model, model.initial_state(1), batch)
    assert set(metrics) == {"z_nll", "done", "survival"}
    assert loss.item() == pytest.approx(sum(term.item() for term in metrics.values()), rel=1e-6)
    loss.backward()
    assert model.head_weight.grad is not None
    learned = model.parts(model.head_weight.grad, 0)["survival"].view(3, 2, -1).abs().sum(-1) > 0
    assert learned.tolist() == [[False, False], [True, True], [True, True]]


@pytest.mark.parametrize("actions", [THREE_WAY, ActionSpec("discrete", 4)], ids=lambda value: value.kind)
def test_c_sees_what_taking_and_holding_each_action_leads_to(actions: ActionSpec) -> None:
    model = model_with(action_size=actions.size, action_head=True)
    taken = torch.eye(4) if actions.kind == "discrete" else torch.tensor([[-1.0], [0.0], [1.0]])
    z, state = torch.randn(5, 4), LSTMState(torch.randn(5, 8), torch.randn(5, 8))
    survival = survival_of(model, actions)
    step, held = survival.survival(z, state)
    for number, action in enumerate(taken):
        after, prediction = model.step(state, z, action.expand(5, -1), torch.zeros(5))
        hazards = model.parts(F.linear(after.h, model.head_weight, model.head_bias))["survival"]
        alive = 1 - torch.sigmoid(prediction.done_logit - math.log(10.0))  # ends are weighted in training
        torch.testing.assert_close(step[:, number], alive.detach())
        for then in range(len(taken)):
            alive_then = torch.cumprod(1 - torch.sigmoid(hazards.unflatten(-1, (-1, 2))[:, then]), -1)
            torch.testing.assert_close(held[:, number, then], (alive[:, None] * alive_then).detach())
    count = len(taken)
    features = survival(z, state).split((count, count**2 * 2, count * 3, 3), -1)
    assert sum(part.shape[1] for part in features) == model.config.survival_features
    torch.testing.assert_close(features[0] + features[3][:, :1], step)
    torch.testing.assert_close(features[1].view(5, count, count, 2) + features[3][:, None, None, 1:], held)
    best = torch.cat([held.amax(2), held.mean(-1).amax(2)[..., None]], -1)
    torch.testing.assert_close(features[2].view(5, count, 3), best - best.mean(1, keepdim=True))


def test_m_grows_a_survival_head_on_weights_that_have_none() -> None:
    start = model_with(1, survival_head=(), action_head=True)
    grown, fresh = (model_with(2, action_head=True) for _ in range(2))
    grown.copy_weights(start)
    z, state = torch.randn(5, 4), LSTMState(torch.randn(5, 8), torch.randn(5, 8))
    (_, before), (_, after) = (model.step(state, z, z[:, :1], torch.zeros(5)) for model in (start, grown))
    for was, is_now in zip(before, after, strict=True):
        assert (was is None) == (is_now is None)
        if was is not None:
            torch.testing.assert_close(was, is_now)
    for name in ("head_weight", "head_bias"):
        rows = (model.parts(getattr(model, name), 0)["survival"] for model in (grown, fresh))
        torch.testing.assert_close(*rows)
    again = model_with(3, action_head=True)
    again.copy_weights(grown)
    for name, weights in grown.state_dict().items():
        assert torch.equal(again.state_dict()[name], weights), name


def test_an_m_without_a_survival_head_is_refused() -> None:
    with pytest.raises(
        ReverieError, match=r"^C sees M's survival head, and M has none; train M with memory.survival_head"
    ):
        survival_of(model_with(survival_head=()), THREE_WAY)


@pytest.mark.parametrize("horizons", [(0,), (4, 4), (8, 2), (-1, 3), (2.5, 4)])
def test_a_survival_head_looks_ahead(horizons: tuple[int, ...]) -> None:
    with pytest.raises(ReverieError, match=r"^memory.survival_head is .*, expected whole numbers that rise from 1"):
        MemoryConfig(survival_head=horizons)
