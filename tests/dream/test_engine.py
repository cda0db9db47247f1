"""Whole dreams: against one by the book, exactness, what is shared and what is not, and the user's mistakes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig
from reverie.dream.engine import Dream, DreamEngine, open_loop
from reverie.dream.noise import EpisodeNoise
from reverie.dream.replay import ReplayStarts
from reverie.errors import ReverieError
from reverie.memory.lstm import LSTMState
from reverie.memory.model import MDNRNN
from reverie.play.loop import Limits, Population, play
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests.dream import parts

SEEDS = range(5)
FIRST, SECOND, THIRD = parts.memory(), parts.memory(11), parts.memory(12)
PAID: dict[str, Any] = {"spec": parts.PREDICTED}


def sees(*inputs: str, **more: Any) -> ControllerConfig:
    return ControllerConfig(inputs=inputs, **more)  # type: ignore[arg-type]


def moments(memories: int) -> ReplayStarts:
    """Starts inside episodes, with made-up states of so many Ms."""
    first, drawn = parts.starts(), torch.Generator().manual_seed(1)
    states = [torch.randn(len(first), parts.HIDDEN, generator=drawn) for _ in range(2 * memories)]
    return ReplayStarts(first.mu, first.logvar, tuple(map(LSTMState, states[::2], states[1::2])))


def small(kind: str, size: int, **changes: Any) -> dict[str, Any]:
    spec = WorldSpec("small", ActionSpec(kind, size), "predicted", 30)  # type: ignore[arg-type]
    return {"spec": spec, "model": parts.memory(action_size=size, **changes)}


BY_TERMINATION = {
    f"{spec.reward} {spec.repeat}, {termination}": (
        {"spec": spec, "config": DreamConfig(1.1, termination), "model": parts.memory(done_bias=bias)},
        1,
    )
    for spec, (termination, bias) in product(
        (parts.SURVIVAL, parts.REPEATED, parts.PREDICTED),
        (("sample", -6.0), ("calibrated", -4.0), ("threshold", -4.0)),
    )
}
# what the engine is made with, and how many Ms there are: M itself, the one whose state C sees, the others
CASES: dict[str, tuple[dict[str, Any], int]] = {
    **BY_TERMINATION,  # type: ignore[dict-item]
    "z": (PAID | {"inputs": sees("z")}, 1),
    "a hidden layer": (PAID | {"inputs": sees("z", "h", hidden_size=7)}, 1),
    "z, c, h, no bias, three ways": (small("three-way", 1) | {"inputs": sees("z", "c", "h", bias=False)}, 1),
    "categorical": (small("three-way", 1) | {"inputs": sees("z", "h", categorical=True)}, 1),
    "discrete": (small("discrete", 4), 1),
    "continuous": (small("continuous", 2), 1),
    "the next action": (
        PAID | {"model": parts.memory(action_head=True), "inputs": sees("z", "c", "h", "action")},
        1,
    ),
    "survival": (
        small("three-way", 1, survival_head=(2, 4)) | {"inputs": sees("z", "h", "survival")},
        1,
    ),
    "another M seen": (PAID | {"inputs": sees("z", "c", "h"), "seen": SECOND}, 2),
    "dropout": (PAID | {"dropout": 0.3}, 1),
    "disagreement": (PAID | {"penalty": 0.7, "others": (SECOND, THIRD)}, 3),
    "begun inside": (PAID | {"begin": moments(3), "seen": SECOND, "penalty": 0.7, "others": (THIRD,)}, 3),
    "rewards in bins": (PAID | {"model": parts.memory(reward_bins=7)}, 1),
    "residual": (PAID | {"model": parts.memory(residual=True)}, 1),
    "residual, another disagrees": (
        PAID
        | {"model": parts.memory(residual=True), "penalty": 0.7, "others": (parts.memory(1, residual=True), THIRD)},
        3,
    ),
    "no restart input": (PAID | {"model": parts.memory(restart_input=False)}, 1),
    "no done head": (PAID | {"model": parts.memory(done_head=False)}, 1),
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_dreams_are_those_of_the_book(case: str, compiled: bool) -> None:
    """The compiled kernel and the eager one, C's too, against one step of plain modules at a time."""
    settings, count = CASES[case]
    settings = {"model": FIRST} | settings
    engine = parts.engine(**settings, compiled=compiled)
    assert (engine.kernel is not None) == compiled
    doubting = settings.get("others", ())
    models: list[MDNRNN] = [settings["model"], *(doubting if len(doubting) == 2 else (SECOND, THIRD))][:count]
    params = parts.candidates(engine)
    returns, steps = parts.dream_returns(engine, params, SEEDS, compiled=compiled)

    def plain(candidate: np.ndarray, seed: int) -> tuple[float, int, float]:
        begins: list[LSTMState] = []
        if isinstance(engine.starts, ReplayStarts):
            place = engine.starts.draw(EpisodeNoise(seed).start)[0]
            begins = [LSTMState(h[place][None], c[place][None]) for h, c in engine.starts.hidden]
        doubters = (0, 2) if "others" in settings and "seen" in settings else None
        return parts.plain_dream(engine, models, candidate, seed, int("seen" in settings), begins, doubters)

    book = [[plain(candidate, seed) for seed in SEEDS] for candidate in params]
    np.testing.assert_array_equal(steps, [[length for _, length, _ in row] for row in book])
    expected = [[total - engine.penalty * doubt for total, _, doubt in row] for row in book]
    np.testing.assert_allclose(returns, expected, rtol=1e-3, atol=1e-3)
    assert len(set(steps.ravel())) >= (5 if case in BY_TERMINATION else 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_guards_nothing_changes_no_bit(dtype: torch.dtype) -> None:
    """An M that follows itself for C to see; others that agree are free."""
    plain = parts.engine(parts.PREDICTED, dtype=dtype, model=FIRST)
    params = parts.candidates(plain, 9)
    expected = parts.dream_returns(plain, params, range(7))
    seen = parts.dream_returns(parts.engine(parts.PREDICTED, dtype=dtype, model=FIRST, seen=FIRST), params, range(7))
    agreed = parts.dream_returns(
        parts.engine(parts.PREDICTED, dtype=dtype, model=FIRST, penalty=5.0, others=(FIRST,)), params, range(7)
    )
    again = parts.dream_returns(parts.engine(parts.PREDICTED, dtype=dtype, model=FIRST), params, range(7))
    for found in (seen, again):
        assert found.returns.tobytes() == expected.returns.tobytes()
        assert found.steps.tobytes() == expected.steps.tobytes()
    np.testing.assert_array_equal(agreed.steps, expected.steps)
    np.testing.assert_allclose(agreed.returns, expected.returns, atol=1e-3)


def test_guards_change_what_is_dreamt() -> None:
    params = parts.candidates(parts.engine(), 4)
    plain = parts.dream_returns(parts.engine(), params, SEEDS).steps
    for change in ({"seen": SECOND}, {"dropout": 0.3}, {"begin": moments(1)}):
        assert (parts.dream_returns(parts.engine(**change), params, SEEDS).steps != plain).any(), change


@pytest.mark.parametrize("compiled", [True, False])
def test_bfloat16_keeps_the_distribution(compiled: bool) -> None:
    """Dreams are chaotic, so single ones part from float32; over many, lengths and returns agree."""
    fast = parts.engine(parts.PREDICTED, dtype=torch.bfloat16, compiled=compiled, model=FIRST)
    plain = parts.engine(parts.PREDICTED, compiled=False, model=FIRST)
    params = parts.candidates(fast, 8)
    ours, exact = (parts.dream_returns(engine, params, range(100)) for engine in (fast, plain))
    for got, expected in zip(ours, exact, strict=True):
        difference = (got - expected).ravel()
        error = difference.std() / np.sqrt(len(difference))
        assert abs(difference.mean()) < 4 * error + 1e-9
        assert got.std() == pytest.approx(expected.std(), rel=0.15)
    assert not np.array_equal(ours[0], exact[0])


@pytest.mark.parametrize("guards", [{}, {"dropout": 0.3}, {"seen": SECOND}, {"begin": moments(1)}], ids=str)
def test_a_dream_is_a_function_of_its_candidate_and_seed_alone(guards: dict[str, Any]) -> None:
    """Whatever runs beside it, and whether its noise is drawn once for all candidates or for each."""
    engine = parts.engine(**guards)
    params = parts.candidates(engine)
    _, steps = parts.dream_returns(engine, params, [10, 11, 12, 10])
    np.testing.assert_array_equal(steps[:, 0], steps[:, 3])
    _, reordered = parts.dream_returns(engine, params[[2, 0]], [12, 10])
    np.testing.assert_array_equal(reordered, steps[[2, 0]][:, [2, 0]])
    _, alone = parts.dream_returns(engine, params, [10, 11, 12, 10], share_noise=False)
    np.testing.assert_array_equal(alone, steps)
    _, equal = parts.dream_returns(engine, params[:1].repeat(3, 0), range(6))
    assert (equal == equal[0]).all()
    assert len(set(equal[0])) > 1


def test_rows_may_begin_anew_at_any_step() -> None:
    """Fewer rows than dreams: each of them plays one dream after another, with the same bits in the end."""
    engine, seeds = parts.engine(dropout=0.3), range(30)
    params = parts.candidates(engine, 1)
    actor = Population(parts.controller(engine), params)
    expected = parts.dream_returns(engine, params, seeds).steps[0]
    for rows in (1, 7):
        played = play(Dream(engine, rows), actor, list(seeds), Limits(60))
        np.testing.assert_array_equal(played.steps, expected)


def test_endings_are_sampled_at_their_probability() -> None:
    """With a constant done logit, lengths are geometric: P(length > n) = (1 - p)^n."""
    model = parts.memory(done_bias=-2.0)
    with torch.no_grad():
        model.head_weight[model.config.mixture_size] = 0
    engine = parts.engine(WorldSpec("small", parts.ACTIONS, "survival", 1000), model=model)
    _, steps = parts.dream_returns(engine, parts.candidates(engine, 1), range(400))
    p = 1 / (1 + np.exp(2.0))
    assert steps.mean() == pytest.approx(1 / p, abs=4 * np.sqrt((1 - p) / p**2 / 400))


def test_survival_returns_are_steps_and_capped_from_outside() -> None:
    engine = parts.engine()
    returns, steps = parts.dream_returns(engine, parts.candidates(engine), range(16), max_steps=40)
    np.testing.assert_array_equal(returns, steps)
    assert steps.max() == 40
    assert steps.min() < 40


@pytest.mark.parametrize(
    "guards", [{}, {"seen": SECOND, "penalty": 0.5, "others": (THIRD,)}, {"dropout": 0.3}], ids=str
)
def test_it_goes_on_from_its_arrays(guards: dict[str, Any]) -> None:
    """After any step, but for the noise, which the arrays do not hold."""
    engine, actions = parts.engine(parts.PREDICTED, **guards), torch.zeros(5, 3)
    dream, other = Dream(engine, 5), Dream(engine, 5)
    for each, seeds in ((dream, range(5)), (other, range(5, 10))):
        each.begin(torch.arange(5), seeds)
        each.step(actions)
    other.from_arrays(dream.to_arrays())
    dream.noise = other.noise = Repeating(dream.noise.next())
    for one, two in zip(dream.step(actions), other.step(actions), strict=True):
        assert one is two is None or torch.equal(one, two)
    for name, array in dream.to_arrays().items():
        np.testing.assert_array_equal(array, other.to_arrays()[name], err_msg=name)


class Repeating:
    """The same draws at every step."""

    def __init__(self, noise: Any) -> None:
        self.noise = noise

    def next(self) -> Any:
        return self.noise

    def begin(self, *args: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("restarts", [True, False])
def test_an_open_loop_is_a_dream_that_is_told_what_to_do(restarts: bool) -> None:
    engine, seed, steps = parts.engine(parts.PREDICTED, model=FIRST, compiled=False), 3, 6
    taken = torch.randn(steps, 1, 3, generator=torch.Generator().manual_seed(0))
    noise = EpisodeNoise(seed)
    z = torch.from_numpy(engine.starts.draw(noise.start)[1])[None]
    draws = [tuple(map(torch.from_numpy, noise.draw(1, parts.LATENT)[:2])) for _ in range(steps)]
    state = FIRST.initial_state(1) if restarts else LSTMState(*torch.rand(2, 1, parts.HIDDEN))
    found = open_loop(FIRST, parts.ACTIONS, z, state, torch.tensor([float(restarts)]), taken, 1.1, draws.__getitem__)
    assert found.shape == (steps + 1, 1, parts.LATENT)
    dream = Dream(engine, 1)
    dream.begin(torch.arange(1), [seed])
    expected = [dream.observe().z.clone()]
    if not restarts:
        dream.resume(z, *state, torch.zeros(1))
    for action in taken:
        dream.step(action)
        expected.append(dream.observe().z.clone())
    torch.testing.assert_close(found, torch.stack(expected))


def test_it_prints_what_it_is() -> None:
    assert repr(parts.engine(compiled=False)) == "DreamEngine(small, torch.float32, eager, temperature=1.1)"


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
    "no action head": (
        lambda: parts.engine(inputs=sees("z", "h", "action")),
        "C sees the action that M expects, and M has no action head; train M with action_head",
    ),
    "other parameters": (
        lambda: parts.dream_returns(parts.engine(), np.zeros((2, 5)), [0]),
        "controller parameters have shape (2, 5), expected [P, 93]; they belong to a controller of another shape",
    ),
}


@pytest.mark.parametrize(("attempt", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named(attempt: Callable[[], DreamEngine], message: str) -> None:
    with pytest.raises(ReverieError) as caught:
        attempt()
    assert str(caught.value) == message
