"""Windows of endless dreams: what each step is worth, where dreams begin anew, and repeated choices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from reverie.dream.config import DreamConfig
from reverie.dream.engine import DreamEngine
from reverie.learning.config import PPOConfig
from reverie.learning.dream_rollouts import DreamRollouts, EndlessDreams, Repeats
from reverie.learning.learner import Learner
from reverie.learning.ppo import explained_variance
from tests.dream import parts
from tests.learning.dreamt import DREAMS, HORIZON, MEMORIES, engine, guarded, moments


def endless(made: DreamEngine, count: int) -> tuple[EndlessDreams, torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    return EndlessDreams(made, count, HORIZON, generator), generator


def rollouts(kind: str, config: PPOConfig) -> tuple[DreamRollouts, torch.Generator]:
    generator = torch.Generator().manual_seed(0)
    return DreamRollouts(DREAMS[kind](), config, HORIZON, generator), generator


def test_dreams_begin_with_the_state_of_their_start() -> None:
    begin = moments(1)
    dreams, _ = endless(guarded(begin)[0], 50)
    h, c = dreams.dream.rows.state
    which = torch.cdist(c, begin.hidden[0].c).argmin(1)
    assert (c == begin.hidden[0].c[which]).all()
    torch.testing.assert_close(h.float(), begin.hidden[0].h[which], atol=0.02, rtol=0.02)
    assert not dreams.dream.rows.restart.any()
    z = dreams.dream.rows.z
    off = (z - torch.from_numpy(begin.mu)[which]) / torch.from_numpy(np.exp(0.5 * begin.logvar))[which]
    assert 0.8 < float(off.std()) < 1.2


def test_each_dream_has_its_own_dropped_units_from_its_first_step_to_its_last() -> None:
    dreams, generator = endless(guarded(dropout=0.4)[0], 400)

    def mask() -> torch.Tensor:
        dropout = dreams.dream.rows.dropout
        assert dropout is not None
        return dropout.clone()

    first = mask()
    assert float((first == 0).float().mean()) == pytest.approx(0.4, abs=0.02)
    assert (first.unique().tolist()) == pytest.approx([0, 1 / 0.6], rel=0.01)
    dreams.step(torch.zeros(400, 3), generator)
    assert (mask() == first).all()
    dreams.renew(torch.arange(400) < 10, generator)
    assert (mask()[10:] == first[10:]).all()
    assert (mask()[:10] != first[:10]).any()


@pytest.mark.parametrize("termination", ["sample", "calibrated", "threshold"])
def test_the_chance_of_an_end_is_what_survival_costs(termination: Any) -> None:
    """In the mean over many steps as much as the ends themselves."""
    config = DreamConfig(temperature=1.1, termination=termination)
    made = engine(spec=parts.SURVIVAL, config=config, model=parts.memory(done_bias=-1.0))
    (dreams, generator), cost, ends = endless(made, 500), 0.0, 0
    for _ in range(40):
        reward, ended, cut = dreams.step(torch.zeros(500, 3), generator)
        cost, ends = cost - float(reward.sum()), ends + int(ended.sum())
        assert ((reward >= -1) & (reward <= 0)).all()
        assert not (ended & cut).any()
        dreams.renew(ended | cut, generator)
    assert ends > 300
    assert cost == pytest.approx(ends, rel=0 if termination == "threshold" else 0.15)


def test_disagreement_is_taken_from_the_reward_and_not_from_the_return() -> None:
    found = []
    for penalty in (0.5, 1.0):
        dreams, generator = endless(engine(penalty=penalty, others=MEMORIES[1:]), 50)
        found.append((dreams.step(torch.zeros(50, 3), generator)[0], dreams.total.clone()))
    plain = 2 * found[0][0] - found[1][0]
    assert (found[0][0] < plain).all()
    free, generator = endless(engine(), 50)
    torch.testing.assert_close(free.step(torch.zeros(50, 3), generator)[0], plain)
    for _, total in found:
        torch.testing.assert_close(total, free.total)


def test_endless_dreams_are_the_dreams_that_scores_count() -> None:
    """Whole dreams last as long, in the mean; the first ones, which begin somewhere inside, do not count."""
    made = engine(spec=parts.SURVIVAL, config=parts.SAMPLED)
    controller, (dreams, generator), lengths = parts.controller(made), endless(made, 200), list[float]()
    params = torch.zeros(1, controller.parameter_count)
    for _ in range(150):
        action = controller.act(params, dreams.features()[None])[0]
        _, ended, cut = dreams.step(action, generator)
        lengths += dreams.renew(ended | cut, generator)
    _, steps = parts.dream_returns(made, params.numpy(), range(500), HORIZON)
    assert max(lengths) == HORIZON
    assert np.mean(lengths) == pytest.approx(steps.mean(), rel=0.1)


def collected(made: DreamRollouts, kind: str, config: PPOConfig, updates: range) -> list[np.ndarray]:
    """All that so many updates' windows hold."""
    learner = Learner(parts.controller(DREAMS[kind]()[0]), None, 3)
    found = list[np.ndarray]()
    for update in updates:
        experience, _, returns = made.collect(learner, config, torch.Generator().manual_seed(update), update)
        found += [*(part.numpy() for part in experience), np.array(returns)]
    return found


@pytest.mark.parametrize("kind", DREAMS)
def test_they_go_on_from_their_arrays(kind: str) -> None:
    config = PPOConfig(num_envs=11, num_steps=20)
    (one, _), (other, _) = rollouts(kind, config), rollouts(kind, config)
    collected(one, kind, config, range(2))
    other.from_arrays({name: array.copy() for name, array in one.to_arrays().items()})
    for mine, theirs in zip(*(collected(each, kind, config, range(2, 5)) for each in (one, other)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for name, array in one.to_arrays().items():
        np.testing.assert_array_equal(array, other.to_arrays()[name], err_msg=name)


@pytest.mark.parametrize("kind", ["plain", "Ms in turns"])
def test_the_number_of_cores_changes_no_bit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config, found = PPOConfig(num_envs=22, num_steps=10, ez_prob=0.2), []
    for cores in (1, 3):
        monkeypatch.setattr("reverie.workers.shards.core_count", lambda cores=cores: cores)
        found.append(collected(rollouts(kind, config)[0], kind, config, range(2)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_dream_draws_for_itself() -> None:
    """Parts have generators of their own: no two dreams are alike."""
    made, _ = rollouts("plain", PPOConfig(num_envs=16))
    z = torch.cat([part.dream.observe().z for part in made.parts])
    assert len(made.parts) > 1
    assert len(z.unique(dim=0)) == 16


@pytest.mark.parametrize("ez_prob", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["plain", "Ms in turns"])
def test_a_window_is_of_steps_that_c_chose(kind: str, ez_prob: float) -> None:
    """Its numbers go together: features, what was drawn of them, how likely that was, and returns that add up."""
    config = PPOConfig(num_envs=40, num_steps=10, ez_prob=ez_prob, ez_max_steps=4)
    made, generator = rollouts(kind, config)
    learner = Learner(parts.controller(DREAMS[kind]()[0]), None, 3)
    experience, _, returns = made.collect(learner, config, generator, 0)
    count = len(experience.returns)
    assert count == 400 if not ez_prob else 100 < count < 350
    assert made.steps == 400
    assert learner.has_scale
    with torch.no_grad():
        log_prob, _ = learner.policy.evaluate_actions(
            learner.outputs(experience.features), learner.log_std, experience.choice
        )
        values = learner.value(experience.features)
    torch.testing.assert_close(log_prob, experience.log_prob)
    torch.testing.assert_close(experience.returns, experience.advantage + values)
    assert explained_variance(experience) == pytest.approx(0, abs=0.05)  # of a critic that says 0
    assert all(np.isfinite(returns))
    before = learner.scale.clone()
    made.collect(learner, config, generator, 1)
    assert torch.equal(learner.scale, before)  # surveyed once


def test_scales_are_those_of_the_features_and_rewards() -> None:
    made, generator = rollouts("plain", PPOConfig(num_envs=200))
    features, reward = made.survey(Learner(parts.controller(engine()), None, 3), generator)
    seen = torch.cat([dreams.features() for dreams in made.parts]).square().mean(0)
    torch.testing.assert_close(features, seen, rtol=0.6, atol=0.05)  # a mean over many steps, against those of the last
    assert float(reward) > 0


def repeated(prob: float, longest: int, steps: int = 200, dreams: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    """What is done, and where C chose, both [steps, dreams], where C would choose another number in every step."""
    config = PPOConfig(ez_prob=prob, ez_max_steps=longest)
    repeats = Repeats(config, dreams, torch.Generator().manual_seed(0), torch.device("cpu"))
    done = [repeats.after(torch.full((dreams, 1), float(step)))[:, 0].clone() for step in range(steps)]
    return torch.stack(done), torch.stack(repeats.chosen)


def test_a_choice_is_repeated_for_2_to_so_many_steps() -> None:
    done, chosen = repeated(1.0, 5)
    steps = torch.arange(200.0)[:, None].expand(200, 50)
    assert (done[chosen] == steps[chosen]).all()
    assert (done[1:][~chosen[1:]] == done[:-1][~chosen[1:]]).all()
    lengths = torch.cat([column.nonzero()[:, 0].diff() for column in chosen.T])
    assert sorted(set(lengths.tolist())) == [2, 3, 4, 5]
    counts = lengths.bincount()[2:]
    assert (counts > 0.8 * counts.float().mean()).all()


def test_repeats_begin_with_their_chance_and_end_with_their_dream() -> None:
    _, chosen = repeated(0.1, 8)
    begun = (chosen[:-1] & ~chosen[1:]).sum() / chosen[:-1].sum()
    assert float(begun) == pytest.approx(0.1, abs=0.02)
    assert repeated(0.0, 8)[1].all()
    config = PPOConfig(ez_prob=1.0, ez_max_steps=99)
    repeats = Repeats(config, 2, torch.Generator().manual_seed(0), chosen.device)
    repeats.after(torch.zeros(2, 1))
    repeats.end(torch.tensor([True, False]))
    assert repeats.after(torch.ones(2, 1))[:, 0].tolist() == [1, 0]
