from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from scipy import stats

from reverie.episodes.config import POLICIES, CollectConfig
from reverie.episodes.policies import make_policy, random_policy
from reverie.errors import ReverieError
from reverie.worlds.spec import ActionSpec

SPECS = [
    ActionSpec("continuous", 2),
    ActionSpec("discrete", 4),
    ActionSpec("driving", 3),
    ActionSpec("three-way", 1),
]
THREE_WAY, DISCRETE = SPECS[3], SPECS[1]


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def play(name: str, actions: ActionSpec, steps: int, seed: int = 0) -> np.ndarray:
    """The actions float32 [steps, A] on ever the same noise."""
    policy, frame = make_policy(name, actions, np.random.default_rng(seed)), frames(1)[0]
    return np.stack([policy.act(frame).copy() for _ in range(steps)])


def holds(actions: np.ndarray) -> list[int]:
    """How long each action was kept; the last, cut by the end, is left out."""
    return [len(list(run)) for _, run in groupby(actions.tolist())][:-1]


@pytest.mark.parametrize("actions", SPECS, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("name", POLICIES)
def test_actions_are_what_a_controller_could_emit(name: str, actions: ActionSpec) -> None:
    for seed in range(5):
        found = play(name, actions, 300, seed)
        assert found.dtype == np.float32
        assert found.shape == (300, actions.size)
        if actions.kind == "discrete":
            assert set(np.unique(found)) == {0.0, 1.0}
            assert (found.sum(axis=1) == 1).all()
        else:
            assert (np.abs(found) <= 1).all()


@pytest.mark.parametrize("name", POLICIES)
def test_all_randomness_comes_from_the_generator(name: str) -> None:
    for actions in SPECS:
        np.testing.assert_array_equal(play(name, actions, 300, seed=3), play(name, actions, 300, seed=3))
    assert (play(name, SPECS[0], 300, seed=3) != play(name, SPECS[0], 300, seed=4)).any()


@pytest.mark.parametrize("name", ["uniform", "held", "turning", "long-held"])
def test_discrete_actions_are_drawn_alike(name: str) -> None:
    chosen = np.concatenate([play(name, DISCRETE, 4000, seed).argmax(axis=1) for seed in range(10)])
    starts = np.flatnonzero(np.diff(chosen, prepend=-1))  # one count a hold, for steps within it are not independent
    counts = np.bincount(chosen[starts], minlength=4)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_uniform_fills_the_box_evenly() -> None:
    assert stats.kstest(play("uniform", THREE_WAY, 5000)[:, 0], stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_held_actions_last_one_to_ten_steps() -> None:
    actions = play("held", THREE_WAY, 20_000)
    lengths = holds(actions)
    assert stats.chisquare(np.bincount(lengths, minlength=11)[1:]).pvalue > 1e-3
    values = [value for value, _ in groupby(actions[:, 0].tolist())]
    assert stats.kstest(values, stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("name", "shortest", "longest"), [("turning", 3, 40), ("long-held", 5, 240)])
def test_longer_holds_have_their_lengths_and_half_of_them_are_full(name: str, shortest: int, longest: int) -> None:
    runs = [(value, len(list(run))) for value, run in groupby(play(name, THREE_WAY, 200_000)[:, 0].tolist())]
    lengths = [length for value, length in runs[:-1] if abs(value) < 1]  # two full ones in a row may look like one
    assert (min(lengths), max(lengths)) == (shortest, longest)
    assert np.mean(lengths) == pytest.approx((shortest + longest) / 2, rel=0.08)
    full = sum(length for value, length in runs if abs(value) == 1)
    assert 0.42 < full / 200_000 < 0.58


def test_a_sweep_goes_from_end_to_end_in_equal_times() -> None:
    kept = set()
    for seed in range(200):
        actions = play("sweep", SPECS[2], 700, seed)
        assert set(actions[:, 0]) == {-1.0, 1.0}
        assert (actions[:, 1:] == actions[0, 1:]).all()
        whole = holds(actions)[1:]  # the first is begun anywhere
        assert len(set(whole)) == 1
        kept.add(whole[0])
    assert (min(kept), max(kept)) == (pytest.approx(40, abs=5), pytest.approx(200, abs=5))


@pytest.mark.parametrize(("name", "hold"), [("sweep-100", 100), ("sweep-7", 7)])
def test_a_fixed_sweep_keeps_its_time_after_half_a_first_one(name: str, hold: int) -> None:
    for seed in range(3):
        actions = play(name, THREE_WAY, 6 * hold, seed)[:, 0]
        expected = np.tile(np.repeat([-1.0, 1.0], hold), 4)[hold // 2 :]
        np.testing.assert_array_equal(actions, expected[: len(actions)])


def test_a_fixed_sweep_collects_nothing() -> None:
    assert make_policy("sweep-100", THREE_WAY, np.random.default_rng(0))
    with pytest.raises(ReverieError, match="expected names out of"):
        CollectConfig(episodes=1, max_steps=1, policies=("sweep-100",))


def test_a_sweep_of_discrete_actions_takes_turns() -> None:
    actions = play("sweep", DISCRETE, 700).argmax(axis=1)
    assert len(set(actions.tolist())) == 2
    assert len(holds(actions[:, None])) >= 3


def test_a_brownian_walk_moves_little_each_step_and_everywhere_in_time() -> None:
    walk = play("brownian", ActionSpec("continuous", 1), 20_000)[:, 0]
    assert 0.25 < np.abs(np.diff(walk)).std() + np.abs(np.diff(walk)).mean() < 0.45
    correlation = np.corrcoef(walk[:-1], walk[1:])[0, 1]
    assert 0.8 < correlation < 0.98
    assert abs(np.corrcoef(walk[:-200], walk[200:])[0, 1]) < 0.1
    occupied = np.histogram(walk, bins=10, range=(-1, 1))[0] / len(walk)
    assert (occupied > 0.07).all()  # reflected walls: as often near a wall as in the middle


def test_a_random_network_answers_the_frame() -> None:
    """Two that differ in one frame differ in their action there, and little by little forget it."""
    shown = frames(300)
    changed = shown.copy()
    changed[9] = 255 - changed[9]
    ours, theirs = (make_policy("random-network", SPECS[0], np.random.default_rng(0)) for _ in range(2))
    gaps = [np.abs(ours.act(a) - theirs.act(b)).max() for a, b in zip(shown, changed, strict=True)]
    assert max(gaps[:9]) == 0
    assert gaps[9] > 0.01
    assert max(gaps[-50:]) < 1e-3


def test_random_networks_answer_little_or_much() -> None:
    """On a picture that stands still but for a moving bar, each has a range of its own."""
    shown = np.full((100, 64, 64, 3), 90, np.uint8)
    for t in range(100):
        shown[t, :, t % 64 : t % 64 + 12] = 200
    spreads = []
    for seed in range(100):
        policy = make_policy("random-network", THREE_WAY, np.random.default_rng(seed))
        spreads.append(np.std([policy.act(frame)[0] for frame in shown]))
    assert np.quantile(spreads, 0.1) < 0.2
    assert np.quantile(spreads, 0.9) > 0.5


def test_an_unknown_policy_is_an_error() -> None:
    with pytest.raises(ReverieError) as error:
        make_policy("hold", THREE_WAY, np.random.default_rng(0))
    assert str(error.value) == f"unknown policy 'hold'; expected one of {', '.join(POLICIES)}"


@pytest.mark.parametrize(
    ("world", "name"),
    [
        ("doom", "held"),
        ("doom-skill-5", "held"),
        ("carracing", "random-network"),
        ("carracing-envpool", "random-network"),
        ("tiny", "uniform"),
        ("CartPole-v1", "uniform"),
    ],
)
def test_each_world_has_its_random_baseline(world: str, name: str) -> None:
    assert random_policy(world) == name
