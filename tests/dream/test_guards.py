"""Guarded dreams against the book: one step of each M at a time, in plain tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reverie.controller.senses import features
from reverie.dream.config import DreamConfig, GuardsConfig
from reverie.dream.engine import DreamEngine, dream_returns
from reverie.dream.guard import Guard
from reverie.dream.guarded import guarded_engines, guarded_returns
from reverie.dream.moments import Moments, recorded_moments
from reverie.dream.noise import EpisodeNoise
from reverie.dream.rows import PackedMemory
from reverie.errors import ReverieError
from reverie.memory.lstm import LSTMState
from reverie.memory.mixture import sample
from reverie.memory.model import MDNRNN
from reverie.vision.latents import LatentEntry, LatentEpisode, Latents, Part, part_path, write_part
from reverie.workers.seeds import generator
from tests.dream import parts

SEEDS = range(5)


def engine(
    model: MDNRNN,
    compiled: bool = True,
    starts: Moments | None = None,
    guard: Guard | None = None,
    beside: MDNRNN | None = None,
) -> DreamEngine:
    config = DreamConfig(temperature=1.1, done="sample")
    shape = parts.controller()
    where = starts or parts.starts()
    return DreamEngine(model, shape, where, parts.PREDICTED, config, torch.float32, compiled, beside, guard)


@torch.no_grad()
def by_the_book(
    engine: DreamEngine,
    model: MDNRNN,
    params: np.ndarray,
    seed: int,
    others: tuple[MDNRNN, ...] = (),
    dropped: float = 0.0,
    begins: tuple[LSTMState, ...] = (),
) -> tuple[float, int, float]:
    """One dream: its return, its length, and the sum of the disagreements on its way."""
    noise, actions = EpisodeNoise(seed), engine.spec.actions
    z = torch.from_numpy(engine.starts.draw(noise.start))[None]
    models = (model, *others)
    states = list(begins) or [one.initial_state(1) for one in models]
    keep = torch.ones(parts.HIDDEN)
    if dropped:
        drawn = generator(seed, "dream", "dropout").random(parts.HIDDEN, np.float32)
        keep = torch.from_numpy((drawn >= dropped) / np.float32(1 - dropped))
    total, doubt = 0.0, 0.0
    for step in range(engine.max_steps):
        seen = features(engine.controller.config, z, states[0])
        felt = actions.for_memory(engine.controller.act(torch.as_tensor(params).float()[None], seen[None])[0])
        restart = torch.tensor([float(step == 0 and not begins)])
        states = [one.absorb(state, z, felt, restart) for one, state in zip(models, states, strict=True)]
        said = model.predict(states[0].h * keep)
        means = [said, *(one.predict(state.h) for one, state in zip(others, states[1:], strict=True))]
        doubt += float(
            torch.stack([(p.logits.softmax(-1) * p.mean).sum(-1) for p in means]).std(0, correction=0).mean()
        )
        draws = noise.draw(1, parts.LATENT)
        uniform, spread = torch.from_numpy(draws.component), torch.from_numpy(draws.spread)
        z = sample(said.logits, said.mean, said.log_std, 1.1, uniform, spread)
        total += float(said.reward)
        if torch.sigmoid(said.done_logit) > float(draws.ending[0]):
            return total, step + 1, doubt
    return total, engine.max_steps, doubt


def test_a_guard_that_guards_nothing_changes_no_bit() -> None:
    model = parts.memory()
    plain, guarded = engine(model), engine(model, guard=Guard())
    params = parts.candidates(plain.controller)
    for left, right in zip(dream_returns(plain, params, SEEDS), dream_returns(guarded, params, SEEDS), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("compiled", [True, False])
def test_dropout_hides_the_same_cells_for_a_whole_dream(compiled: bool) -> None:
    model = parts.memory()
    guarded = engine(model, compiled, guard=Guard(dropout=0.3))
    params = parts.candidates(guarded.controller)
    returns, steps = dream_returns(guarded, params, SEEDS)
    book = [[by_the_book(guarded, model, one, seed, dropped=0.3) for seed in SEEDS] for one in params]
    np.testing.assert_array_equal(steps, [[length for _, length, _ in row] for row in book])
    np.testing.assert_allclose(returns, [[total for total, _, _ in row] for row in book], rtol=1e-3, atol=1e-3)
    assert (steps != dream_returns(engine(model, compiled), params, SEEDS)[1]).any()


@pytest.mark.parametrize("compiled", [True, False])
def test_doubt_costs_what_the_memories_disagree(compiled: bool) -> None:
    model, others = parts.memory(), (parts.memory(seed=11), parts.memory(seed=12))
    packed = tuple(PackedMemory(other, torch.float32) for other in others)
    guarded = engine(model, compiled, guard=Guard(doubt=0.7, others=packed))
    params = parts.candidates(guarded.controller)
    returns, steps = dream_returns(guarded, params, SEEDS)
    book = [[by_the_book(guarded, model, one, seed, others) for seed in SEEDS] for one in params]
    np.testing.assert_array_equal(steps, [[length for _, length, _ in row] for row in book])
    expected = [[total - 0.7 * doubt for total, _, doubt in row] for row in book]
    np.testing.assert_allclose(returns, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(steps, dream_returns(engine(model, compiled), params, SEEDS)[1])


def test_memories_that_agree_cost_nothing() -> None:
    model = parts.memory()
    doubting = engine(model, guard=Guard(doubt=5.0, others=(PackedMemory(model, torch.float32),)))
    params = parts.candidates(doubting.controller)
    plain = dream_returns(engine(model), params, SEEDS)[0]
    np.testing.assert_allclose(dream_returns(doubting, params, SEEDS)[0], plain, atol=1e-3)


def test_every_member_takes_its_turn_and_c_sees_the_first() -> None:
    first, second = parts.memory(), parts.memory(seed=11)
    config, seeds = DreamConfig(temperature=1.1, done="sample"), range(8)
    engines = guarded_engines(
        [first, second],
        parts.controller(),
        parts.starts(),
        parts.PREDICTED,
        config,
        GuardsConfig(members=2),
        torch.float32,
    )
    params = parts.candidates(engines[0].controller)
    returns, steps = guarded_returns(engines, params, seeds)
    alone = [dream_returns(one, params, seeds) for one in (engine(first), engine(second, beside=first))]
    turn = [int(generator(seed, "dream", "member").integers(2)) for seed in seeds]
    assert set(turn) == {0, 1}
    for episode, member in enumerate(turn):
        np.testing.assert_array_equal(steps[:, episode], alone[member][1][:, episode])
        np.testing.assert_allclose(returns[:, episode], alone[member][0][:, episode], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settings", [GuardsConfig(members=2), GuardsConfig(members=2, doubt=0.5)])
def test_c_can_see_another_memory_in_guarded_dreams(recorded: Latents, settings: GuardsConfig) -> None:
    first, second, seen = parts.memory(), parts.memory(seed=11), parts.memory(seed=12)
    moments = recorded_moments((first, second, seen), recorded, parts.ACTIONS)
    config = DreamConfig(temperature=1.1, done="sample")
    given = (parts.controller(), moments, parts.PREDICTED, config, settings, torch.float32)
    engines = guarded_engines([first, second], *given, seen=seen)
    packed = PackedMemory(seen, torch.float32)
    assert all(torch.equal(one.beside.bias, packed.bias) for one in engines if one.beside is not None)
    order = [[0, 2, 1]] if settings.doubt else [[0, 2], [1, 2]]
    for one, places in zip(engines, order, strict=True):
        assert isinstance(one.starts, Moments)
        for hidden, place in zip(one.starts.hidden, places, strict=True):
            assert torch.equal(hidden.c, moments.hidden[place].c)
        assert np.isfinite(dream_returns(one, parts.candidates(one.controller), SEEDS)[0]).all()


def test_guarded_dreams_can_be_short() -> None:
    settings = GuardsConfig(steps=3)
    (short,) = guarded_engines(
        [parts.memory()], parts.controller(), parts.starts(), parts.PREDICTED, DreamConfig(), settings, torch.float32
    )
    assert short.max_steps == 3


@pytest.fixture
def recorded(tmp_path: Path) -> Latents:
    """Twelve episodes of 1 to 12 steps whose latents are certain."""
    rng = np.random.default_rng(3)
    episodes = [
        LatentEpisode(
            mu=rng.normal(size=(steps + 1, parts.LATENT)).astype(np.float16),
            logvar=np.full((steps + 1, parts.LATENT), -40, np.float16),
            actions=rng.uniform(-1, 1, (steps, 3)).astype(np.float32),
            rewards=np.zeros(steps, np.float32),
            terminated=True,
        )
        for steps in range(1, 13)
    ]
    entries = tuple(LatentEntry(i, len(episode), 0.0, True, f"{i}") for i, episode in enumerate(episodes))
    write_part(part_path(tmp_path, 0), Part("v", entries), episodes)
    return Latents(tmp_path)


def followed(model: MDNRNN, episode: LatentEpisode, moment: int) -> LSTMState:
    state = model.initial_state(1)
    with torch.no_grad():
        for t in range(moment):
            z = torch.from_numpy(episode.mu[t : t + 1].astype(np.float32))
            a = parts.ACTIONS.for_memory(torch.from_numpy(episode.actions[t : t + 1]))
            state = model.absorb(state, z, a, torch.tensor([float(t == 0)]))
    return state


def test_moments_hold_the_state_of_every_memory_that_followed_the_episode(recorded: Latents) -> None:
    models = (parts.memory(), parts.memory(seed=11))
    moments = recorded_moments(models, recorded, parts.ACTIONS)
    assert len(moments) == 66  # an episode of one step has no inside
    for place in range(66):
        found = [
            (episode, t)
            for episode in map(recorded.episode, range(1, 12))
            for t in range(1, len(episode))
            if (episode.mu[t].astype(np.float32) == moments.mu[place]).all()
        ]
        ((episode, t),) = found
        for model, hidden in zip(models, moments.hidden, strict=True):
            state = followed(model, episode, t)
            np.testing.assert_allclose(hidden.h[place], state.h[0], atol=1e-5)
            np.testing.assert_allclose(hidden.c[place], state.c[0], atol=1e-5)


def test_fewer_moments_are_spread_evenly_over_the_steps(recorded: Latents) -> None:
    moments = recorded_moments((parts.memory(),), recorded, parts.ACTIONS, limit=24)
    assert len(moments) == 24
    longest = recorded.episode(11).mu[1:-1].astype(np.float32)
    inside = sum((frame == moments.mu).all(1).sum() for frame in longest)
    assert inside == 4  # 11 of the 66 steps inside episodes


@pytest.mark.parametrize("compiled", [True, False])
def test_a_dream_goes_on_from_its_moment(recorded: Latents, compiled: bool) -> None:
    model, other = parts.memory(), parts.memory(seed=11)
    moments = recorded_moments((model, other), recorded, parts.ACTIONS)
    guard = Guard(doubt=1.0, others=(PackedMemory(other, torch.float32),))
    guarded = engine(model, compiled, moments, guard)
    params = parts.candidates(guarded.controller)
    returns, steps = dream_returns(guarded, params, SEEDS)
    each = torch.arange(1)
    for candidate, one in enumerate(params):
        for seed in SEEDS:
            begins = tuple(LSTMState(*state) for state in moments.states([seed], each))
            total, length, doubt = by_the_book(guarded, model, one, seed, (other,), begins=begins)
            assert steps[candidate, seed] == length
            assert returns[candidate, seed] == pytest.approx(total - doubt, rel=1e-3, abs=1e-3)


def test_dreams_cannot_begin_inside_episodes_of_one_step(tmp_path: Path) -> None:
    one = LatentEpisode(
        *np.zeros((2, 2, parts.LATENT), np.float16), np.zeros((1, 3), np.float32), np.zeros(1, np.float32), True
    )
    write_part(part_path(tmp_path, 0), Part("v", (LatentEntry(0, 1, 0.0, True, "0"),)), [one])
    with pytest.raises(ReverieError, match="no episode of two steps, so no dream can begin inside one"):
        recorded_moments((parts.memory(),), Latents(tmp_path), parts.ACTIONS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout": 1.0}, "guards.dropout is 1.0; expected a share, 0 or more and below 1"),
        ({"members": 0}, "guards.members is 0; expected at least 1"),
        ({"earlier": -1}, "guards.earlier is -1; expected at least 0"),
        ({"doubt": -1.0, "members": 2}, "guards.doubt is -1.0; expected a finite number, at least 0"),
        ({"doubt": 1.0}, "guards.doubt is 1.0 with one M; set guards.members to 2 or more"),
        ({"starts": "last"}, "guards.starts is 'last'; expected first or anywhere"),
        ({"steps": 0}, "guards.steps is 0; expected at least 1"),
    ],
)
def test_bad_guards_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        GuardsConfig(**settings)
    assert str(caught.value) == message
