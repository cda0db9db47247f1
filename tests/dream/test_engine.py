"""Whole dreams: the engine against MDNRNN.step, exactness, what is shared and what is not, and the user's mistakes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Literal

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.controller.senses import features
from reverie.dream.config import DreamConfig
from reverie.dream.engine import DreamEngine, dream_returns
from reverie.dream.noise import EpisodeNoise
from reverie.errors import ReverieError
from reverie.memory.mixture import sample
from reverie.memory.model import MDNRNN
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests.dream import parts


@torch.no_grad()
def plain_dream(
    engine: DreamEngine, model: MDNRNN, params: np.ndarray, seed: int, beside: MDNRNN | None = None
) -> tuple[float, int]:
    """One dream by the book, a batch of one: C acts, M steps, the mixture is sampled; C sees the state of `beside`."""
    spec, config = engine.spec, engine.config
    noise = EpisodeNoise(seed)
    z = torch.from_numpy(engine.starts.draw(noise.start))[None]
    state, total = model.initial_state(1), 0.0
    followed = None if beside is None else beside.initial_state(1)
    weights = torch.as_tensor(params, dtype=torch.float32)[None]
    for step in range(engine.max_steps):
        seen = features(engine.controller.config, z, followed or state)
        felt = spec.actions.for_memory(engine.controller.act(weights, seen[None])[0])
        draws = noise.draw(1, engine.starts.latent_size)
        restart = torch.tensor([float(step == 0)])
        if beside is not None and followed is not None:
            followed = beside.absorb(followed, z, felt, restart)
        state, said = model.step(state, z, felt, restart)
        uniform, normal = torch.from_numpy(draws.component), torch.from_numpy(draws.spread)
        z = sample(said.logits, said.mean, said.log_std, config.temperature, uniform, normal)
        total += spec.repeat if spec.reward == "survival" else float(said.reward)
        odds = torch.exp(said.done_logit) / (10 if config.done == "calibrated" else 1)  # the weight in M's training
        probability = odds / (1 + odds)
        if probability > (0.5 if config.done == "cutoff" else float(draws.ending[0])):
            return total, step + 1
    return total, engine.max_steps


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    ("spec", "done"),
    list(product([parts.SURVIVAL, parts.REPEATED, parts.PREDICTED], ["sample", "cutoff", "calibrated"])),
)
def test_dreams_follow_the_plain_step(spec: WorldSpec, done: str, compiled: bool) -> None:
    model = parts.memory(done_bias={"sample": -6.0, "calibrated": -4.0, "cutoff": -4.0}[done])
    config = DreamConfig(temperature=1.1, done=done)  # type: ignore[arg-type]
    engine = parts.engine(spec, config, compiled=compiled, model=model)
    params = parts.candidates(engine.controller)
    returns, steps = dream_returns(engine, params, range(5))
    expected = [[plain_dream(engine, model, candidate, seed) for seed in range(5)] for candidate in params]
    assert len(set(steps.ravel())) >= 5
    np.testing.assert_array_equal(steps, [[length for _, length in row] for row in expected])
    np.testing.assert_allclose(returns, [[total for total, _ in row] for row in expected], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("kind", ["zh", "zch"])
def test_another_memory_follows_the_dreams_for_c(kind: Literal["zh", "zch"], compiled: bool) -> None:
    model, other = parts.memory(), parts.memory(seed=11)
    chosen = ControllerConfig(features=kind)
    engine = parts.engine(compiled=compiled, model=model, chosen=chosen, beside=other)
    params = parts.candidates(engine.controller)
    _, steps = dream_returns(engine, params, range(5))
    expected = [[plain_dream(engine, model, candidate, seed, other)[1] for seed in range(5)] for candidate in params]
    np.testing.assert_array_equal(steps, expected)
    _, alone = dream_returns(parts.engine(compiled=compiled, model=model, chosen=chosen), params, range(5))
    assert (steps != alone).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_memory_that_follows_itself_changes_nothing(dtype: torch.dtype) -> None:
    model = parts.memory()
    engine, plain = (parts.engine(dtype=dtype, model=model, beside=beside) for beside in (model, None))
    params = parts.candidates(engine.controller, 9)
    np.testing.assert_array_equal(dream_returns(engine, params, range(7)), dream_returns(plain, params, range(7)))


CONTROLLERS = {
    "z": (ControllerConfig(features="z"), ActionSpec("driving", 3)),
    "zch without bias": (ControllerConfig(features="zch", bias=False), ActionSpec("three-way", 1)),
    "hidden": (ControllerConfig(kind="hidden", hidden_size=7), ActionSpec("continuous", 2)),
    "discrete": (ControllerConfig(), ActionSpec("discrete", 4)),
}


@pytest.mark.parametrize(("chosen", "actions"), CONTROLLERS.values(), ids=CONTROLLERS)
def test_every_controller_acts_as_it_does_alone(chosen: ControllerConfig, actions: ActionSpec) -> None:
    spec = WorldSpec("small", actions, "predicted", 12)
    model = parts.memory(action_size=actions.size)
    engine = parts.engine(spec, model=model, chosen=chosen)
    params = parts.candidates(engine.controller)
    returns, steps = dream_returns(engine, params, [3, 4])
    expected = [[plain_dream(engine, model, candidate, seed) for seed in (3, 4)] for candidate in params]
    np.testing.assert_array_equal(steps, [[length for _, length in row] for row in expected])
    np.testing.assert_allclose(returns, [[total for total, _ in row] for row in expected], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("compiled", [True, False])
def test_bfloat16_keeps_the_distribution(compiled: bool) -> None:
    """Dreams are chaotic, so single ones part from float32; over many, lengths and returns agree."""
    model = parts.memory()
    fast = parts.engine(parts.PREDICTED, dtype=torch.bfloat16, compiled=compiled, model=model)
    plain = parts.engine(parts.PREDICTED, compiled=False, model=model)
    params = parts.candidates(fast.controller, 8)
    ours, exact = (dream_returns(engine, params, range(100)) for engine in (fast, plain))
    for got, expected in zip(ours, exact, strict=True):
        difference = (got - expected).ravel()
        error = difference.std() / np.sqrt(len(difference))
        assert abs(difference.mean()) < 4 * error + 1e-9
        assert got.std() == pytest.approx(expected.std(), rel=0.15)
    assert not np.array_equal(ours[0], exact[0])


def test_same_dreams_again_bit_for_bit() -> None:
    engine = parts.engine(dtype=torch.bfloat16)
    params = parts.candidates(engine.controller, 9)
    first = dream_returns(engine, params, range(7))
    second = dream_returns(parts.engine(dtype=torch.bfloat16), params, range(7))
    for one, other in zip(first, second, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_row_depends_on_its_candidate_and_seed_alone() -> None:
    engine = parts.engine()
    params = parts.candidates(engine.controller)
    _, steps = dream_returns(engine, params, [10, 11, 12])
    _, reordered = dream_returns(engine, params[[2, 0]], [12, 10])
    np.testing.assert_array_equal(reordered, steps[[2, 0]][:, [2, 0]])


def test_equal_candidates_share_the_noise_of_an_episode() -> None:
    engine = parts.engine()
    params = parts.candidates(engine.controller, 1).repeat(3, 0)
    _, steps = dream_returns(engine, params, range(6))
    assert (steps == steps[0]).all()
    assert len(set(steps[0])) > 1


def test_done_is_sampled_at_its_probability() -> None:
    """With a constant done logit, lengths are geometric: P(length > n) = (1 - p)^n."""
    model = parts.memory(done_bias=-2.0)
    with torch.no_grad():
        model.head_weight[model.config.mixture_size] = 0
    engine = parts.engine(WorldSpec("small", parts.ACTIONS, "survival", 1000), model=model)
    _, steps = dream_returns(engine, parts.candidates(engine.controller, 1), range(400))
    p = 1 / (1 + np.exp(2.0))
    assert steps.mean() == pytest.approx(1 / p, abs=4 * np.sqrt((1 - p) / p**2 / 400))


def test_without_a_done_head_dreams_run_to_the_cap() -> None:
    model = parts.memory(done_head=False)
    engine = parts.engine(parts.PREDICTED, DreamConfig(max_steps=9), model=model)
    returns, steps = dream_returns(engine, parts.candidates(engine.controller), [0, 1])
    assert (steps == 9).all()
    assert np.isfinite(returns).all()


def test_survival_returns_are_steps_and_capped() -> None:
    engine = parts.engine(config=DreamConfig(done="sample", max_steps=40))
    returns, steps = dream_returns(engine, parts.candidates(engine.controller), range(16))
    np.testing.assert_array_equal(returns, steps)
    assert steps.max() == 40
    assert steps.min() < 40


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "no done head": (
        lambda: parts.engine(model=parts.memory(done_head=False)),
        "M has no done head, and the reward of 'small' is to survive; train M with done_head to dream it",
    ),
    "no reward head": (
        lambda: parts.engine(parts.PREDICTED, model=parts.memory(reward_head=False)),
        "M has no reward head, and 'small' has rewards; train M with reward_head to dream it",
    ),
    "other latents": (
        lambda: parts.engine(model=parts.memory(latent_size=5)),
        "dream starts have 6 latent dimensions and M has 5; take both from the same run",
    ),
    "other actions": (
        lambda: parts.engine(model=parts.memory(action_size=2)),
        "'small' has 3 action dimensions and M has 2; take M from a run of this world",
    ),
    "other features": (
        lambda: DreamEngine(
            parts.memory(hidden_size=8), parts.controller(), parts.starts(), parts.SURVIVAL, DreamConfig()
        ),
        "C reads 30 features ('zh') and M with V gives 14; take C from a run with these sizes",
    ),
    "other features beside": (
        lambda: parts.engine(beside=parts.memory(hidden_size=8)),
        "C reads 30 features ('zh') and M with V gives 14; take C from a run with these sizes",
    ),
    "other parameters": (
        lambda: dream_returns(parts.engine(), np.zeros((2, 5)), [0]),
        "controller parameters have shape (2, 5), expected [P, 93]; they belong to a controller of another shape",
    ),
}


@pytest.mark.parametrize(("attempt", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(attempt: Callable[[], object], message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        attempt()
    assert str(caught.value) == message
