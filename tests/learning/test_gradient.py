from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from reverie.controller.config import ControllerConfig
from reverie.dream.config import DreamConfig, GuardsConfig
from reverie.dream.engine import DreamEngine, dream_returns
from reverie.dream.guarded import guarded_engines
from reverie.dream.moments import Moments
from reverie.dream.starts import Starts
from reverie.errors import ReverieError
from reverie.files.checkpoint import latest_checkpoint, save_checkpoint
from reverie.files.metrics import read_metrics
from reverie.learning import gradient as train
from reverie.learning.config import GradientConfig, Method
from reverie.learning.dreams import EndlessDreams
from reverie.learning.gradient import learn
from reverie.learning.learner import counted
from reverie.memory.lstm import LSTMState
from reverie.worlds.spec import ActionSpec, WorldSpec
from tests.dream import parts
from tests.small_runs import FIRST_SETTINGS

CONFIG = GradientConfig(updates=6, dreams=24, window=8, epochs=2, batches=3, critic_size=8, checkpoint_every=2)
CUTOFF = DreamConfig(temperature=1.1, max_steps=30)
SAMPLED = replace(CUTOFF, done="sample")


def engine(**changes: Any) -> DreamEngine:
    return parts.engine(**{"config": CUTOFF} | changes)


@pytest.mark.parametrize(
    ("method", "spec", "features"),
    [
        ("ppo", parts.PREDICTED, "zh"),
        ("ppo", parts.PREDICTED, "zha"),
        ("ppo", parts.SURVIVAL, "zch"),
        ("ppo", WorldSpec("small", ActionSpec("three-way", 1), "predicted", 60), "z"),
        ("ppo", WorldSpec("small", ActionSpec("discrete", 4), "predicted", 60), "zh"),
        ("ppo", WorldSpec("small", ActionSpec("three-way", 1), "survival", 60), "zcho"),
        ("backprop", parts.PREDICTED, "zh"),
        ("backprop", parts.PREDICTED, "zha"),
        ("backprop", parts.SURVIVAL, "zch"),
        ("backprop", WorldSpec("small", ActionSpec("continuous", 2), "predicted", 60), "z"),
    ],
    ids=lambda value: value.actions.kind + "-" + value.reward if isinstance(value, WorldSpec) else value,
)
def test_c_learns_what_pays_in_the_dream(method: Method, spec: WorldSpec, features: str, tmp_path: Path) -> None:
    model = parts.memory(
        outlook=(2, 4) if "o" in features else (),
        action_head=True,
        action_size=spec.actions.size,
        done_bias=-1.0 if spec.reward == "survival" else -6.0,
    )
    with torch.no_grad():
        model.input_weight[:, parts.LATENT : parts.LATENT + spec.actions.size] *= 10  # an M that minds what C does
    chosen = ControllerConfig(features=features)  # type: ignore[arg-type]
    made = engine(spec=spec, model=model, chosen=chosen, config=CUTOFF if method == "ppo" else SAMPLED)
    config = replace(CONFIG, method=method, updates=40, dreams=64, window=16, checkpoint_every=40)
    params = learn(config, [made], tmp_path, 0)
    returns, _ = dream_returns(made, np.stack([np.zeros_like(params), params]), range(200))
    gain = returns[1] - returns[0]
    assert gain.mean() > 4 * gain.std() / 200**0.5, returns.mean(1)


MEMORIES = (parts.memory(0), parts.memory(9))


def guarded(starts: Starts | None = None, **guards: Any) -> tuple[DreamEngine, ...]:
    memories = MEMORIES if guards.get("members", 1) > 1 else MEMORIES[:1]
    begin = starts or parts.starts()
    return guarded_engines(
        memories, parts.controller(), begin, parts.PREDICTED, CUTOFF, GuardsConfig(**guards), torch.float32
    )


def moments(memories: int = 2) -> Moments:
    first = parts.starts()
    drawn = torch.Generator().manual_seed(1)
    states = [torch.randn(len(first), parts.HIDDEN, generator=drawn) for _ in range(2 * memories)]
    return Moments(first.mu, first.logvar, tuple(map(LSTMState, states[::2], states[1::2])))


DREAMS = {
    "plain": lambda: (engine(spec=parts.PREDICTED),),
    "another M beside it": lambda: (engine(spec=parts.PREDICTED, beside=parts.memory(9)),),
    "Ms in turns": lambda: guarded(moments(), members=2),
    "an M in doubt": lambda: guarded(moments(), members=2, doubt=1.0),
    "dropout": lambda: guarded(dropout=0.4),
}


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("kind", DREAMS)
def test_stopped_anywhere_it_ends_with_the_same_bits(
    kind: str, method: Method, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, config = DREAMS[kind](), replace(CONFIG, method=method)
    straight = learn(config, made, tmp_path / "straight", 1)
    inner = train.UPDATES[method]
    for call in (1, 2, 5):
        calls = iter(range(100))

        def stop(*args: Any, at: int = call, calls: Any = calls) -> Any:
            found = inner(*args)
            if next(calls) == at:
                raise KeyboardInterrupt
            return found

        monkeypatch.setitem(train.UPDATES, method, stop)
        with pytest.raises(KeyboardInterrupt):
            learn(config, made, tmp_path / f"stopped-{call}", 1)
        monkeypatch.setitem(train.UPDATES, method, inner)
        resumed = learn(config, made, tmp_path / f"stopped-{call}", 1)
        np.testing.assert_array_equal(resumed, straight)
        arrays = [latest_checkpoint(tmp_path / name) for name in ("straight", f"stopped-{call}")]
        assert arrays[0] is not None
        assert arrays[1] is not None
        for name, array in arrays[0].arrays.items():
            np.testing.assert_array_equal(array, arrays[1].arrays[name], name)


def test_it_begins_at_the_parameters_that_it_is_given(tmp_path: Path) -> None:
    made = engine(spec=parts.PREDICTED)
    start = parts.candidates(made.controller, 1)[0]
    near = learn(replace(CONFIG, updates=1, learning_rate=1e-6), [made], tmp_path, 1, start)
    np.testing.assert_allclose(near, start, atol=1e-4)


@pytest.mark.parametrize("stop", [1, 3, 4, 5])
def test_c_ends_as_the_mean_of_its_last_updates(stop: int, tmp_path: Path) -> None:
    made, config = [engine(spec=parts.PREDICTED)], replace(CONFIG, updates=5, checkpoint_every=1)
    each = [learn(replace(config, updates=count), made, tmp_path / f"{count}", 1) for count in (3, 4, 5)]
    config = replace(config, average=3)
    learn(replace(config, updates=stop), made, tmp_path / "averaged", 1)
    np.testing.assert_array_equal(learn(config, made, tmp_path / "averaged", 1), np.mean(each, 0))


@pytest.mark.parametrize("method", get_args(Method))
def test_what_a_step_brings_beyond_the_limit_does_not_count(method: Method, tmp_path: Path) -> None:
    made = [engine(spec=parts.PREDICTED)]
    limits = {"none": None, "never met": 1e6, "met": 1e-3}
    found = {
        name: learn(replace(CONFIG, method=method, updates=2, reward_limit=limit), made, tmp_path / name, 1)
        for name, limit in limits.items()
    }
    np.testing.assert_array_equal(found["never met"], found["none"])
    assert not np.array_equal(found["met"], found["none"])
    rewards = torch.tensor([[-2.0, 0.5, 1.0, 7.0]])
    assert counted(rewards, GradientConfig(reward_limit=1.0)).tolist() == [[-2.0, 0.5, 1.0, 1.0]]


def test_dreams_begin_with_the_state_of_their_moment() -> None:
    begin, generator = moments(1), torch.Generator().manual_seed(0)
    (made,) = guarded(begin)
    dreams = EndlessDreams(made, 50, generator)
    h, c = dreams.rows.state
    known = begin.hidden[0].c
    which = torch.cdist(c, known).argmin(1)
    assert (c == known[which]).all()
    assert not dreams.rows.restart.any()
    torch.testing.assert_close(h, begin.hidden[0].h[which])
    off = (dreams.rows.z - torch.from_numpy(begin.mu)[which]) / torch.from_numpy(np.exp(0.5 * begin.logvar))[which]
    assert 0.8 < float(off.std()) < 1.2


def test_each_dream_has_its_own_dropped_cells_from_its_first_step_to_its_last() -> None:
    generator = torch.Generator().manual_seed(0)
    dreams = EndlessDreams(guarded(dropout=0.4)[0], 400, generator)
    assert dreams.rows.dropout is not None
    first = dreams.rows.dropout.clone()
    assert float((first == 0).float().mean()) == pytest.approx(0.4, abs=0.02)
    dreams.step(torch.zeros(400, 3), generator)
    assert (dreams.rows.dropout == first).all()
    some = torch.arange(400) < 10
    dreams.renew(some, generator)
    assert (dreams.rows.dropout[10:] == first[10:]).all()
    assert (dreams.rows.dropout[:10] != first[:10]).any()


@pytest.mark.parametrize("done", ["sample", "calibrated", "cutoff"])
def test_the_chance_of_an_end_is_what_survival_costs(done: Any) -> None:
    """In the mean over many steps as much as the ends themselves."""
    config = DreamConfig(temperature=1.1, done=done, max_steps=30)
    made = engine(spec=parts.SURVIVAL, config=config, model=parts.memory(done_bias=-1.0))
    generator = torch.Generator().manual_seed(0)
    dreams, felt, ends = EndlessDreams(made, 500, generator), 0.0, 0
    for _ in range(40):
        reward, ended, cut = dreams.step(torch.zeros(500, 3), generator)
        felt, ends = felt + float(reward.sum()), ends + int(ended.sum())
        assert ((reward >= -1) & (reward <= 0)).all()
        dreams.renew(ended | cut, generator)
    assert ends > 300
    assert -felt == pytest.approx(ends, rel=0 if done == "cutoff" else 0.15)


def test_doubt_is_taken_from_the_reward() -> None:
    rewards = []
    for doubt in (0.5, 1.0):
        generator = torch.Generator().manual_seed(0)
        dreams = EndlessDreams(guarded(members=2, doubt=doubt)[0], 50, generator)
        rewards.append(dreams.step(torch.zeros(50, 3), generator)[0])
    plain = 2 * rewards[0] - rewards[1]
    assert (rewards[0] < plain).all()
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(EndlessDreams(guarded()[0], 50, generator).step(torch.zeros(50, 3), generator)[0], plain)


def test_metrics_say_what_dreams_bring(tmp_path: Path) -> None:
    learn(replace(CONFIG, log_every=1), [engine(spec=parts.PREDICTED)], tmp_path, 1)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["dream_steps"] == 6 * 24 * 8
    assert np.isfinite(rows[-1]["mean"])


def test_metrics_say_how_long_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row has the seconds since the one before it; of a run that goes on, since it went on."""
    now, inner = [1000.0], train.UPDATES["ppo"]

    def two_seconds(*args: Any) -> Any:
        now[0] += 2
        return inner(*args)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setitem(train.UPDATES, "ppo", two_seconds)
    config, made = replace(CONFIG, updates=4, log_every=3, checkpoint_every=4), engine(spec=parts.PREDICTED)
    learn(config, [made], tmp_path, 1)
    now[0] += 1000  # stopped meanwhile
    learn(replace(config, updates=6), [made], tmp_path, 1)
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [(row["step"], row["seconds"]) for row in rows] == [(3, 6), (4, 2), (6, 4)]


def test_another_setting_is_refused(tmp_path: Path) -> None:
    learn(CONFIG, [engine(spec=parts.PREDICTED)], tmp_path, 1)
    with pytest.raises(ReverieError, match=r"clip 0.2, asked for 0.3; use the same settings"):
        learn(replace(CONFIG, clip=0.3), [engine(spec=parts.PREDICTED)], tmp_path, 1)
    learn(replace(CONFIG, updates=8), [engine(spec=parts.PREDICTED)], tmp_path, 1)  # more of the same is welcome
    with pytest.raises(ReverieError, match=r"method 'ppo', asked for 'backprop'; use the same settings"):
        learn(replace(CONFIG, method="backprop"), [engine(spec=parts.PREDICTED)], tmp_path, 1)


def test_a_training_of_before_a_setting_was_there_goes_on(tmp_path: Path) -> None:
    """Its checkpoints do not say so much as that they are PPO's."""
    made = [engine(spec=parts.PREDICTED)]
    straight = learn(CONFIG, made, tmp_path / "straight", 1)
    learn(replace(CONFIG, updates=2), made, tmp_path / "before", 1)
    checkpoint = latest_checkpoint(tmp_path / "before")
    assert checkpoint is not None
    later = [name for name in checkpoint.state if name not in (*FIRST_SETTINGS["gradient"], "seed")]
    assert {checkpoint.state.pop(name) for name in later} >= {"ppo", None}
    save_checkpoint(tmp_path / "before", checkpoint)
    np.testing.assert_array_equal(learn(CONFIG, made, tmp_path / "before", 1), straight)


def test_what_c_tries_narrows_to_the_last_spread(tmp_path: Path) -> None:
    made, config = [engine(spec=parts.PREDICTED)], replace(CONFIG, last_spread=0.05)
    straight = learn(config, made, tmp_path / "narrow", 1)
    checkpoint = latest_checkpoint(tmp_path / "narrow")
    assert checkpoint is not None
    limit = 0.35 * (0.05 / 0.35) ** (5 / 6)  # as the last of six updates has it, and moves it a little
    assert np.exp(checkpoint.arrays["model.log_spread"]).max() == pytest.approx(limit, rel=0.05)
    with pytest.raises(
        ReverieError, match=r"updates 6, asked for 8; use the same settings"
    ):  # it would be another fall
        learn(replace(config, updates=8), made, tmp_path / "narrow", 1)
    assert (learn(CONFIG, made, tmp_path / "wide", 1) != straight).any()


def test_what_c_learns_by_fades(tmp_path: Path) -> None:
    config = replace(CONFIG, updates=8, fade=0.5, entropy=0.4, hold_chance=0.2, learning_rate=0.01)
    kept = [config.at(update) == config for update in range(8)]
    assert kept == [True] * 5 + [False] * 3
    last = config.at(7)
    assert (last.entropy, last.hold_chance, last.learning_rate) == pytest.approx((0.1, 0.05, 0.0025))
    made = [engine(spec=parts.PREDICTED)]
    straight = learn(config, made, tmp_path / "fading", 1)
    learn(replace(config, updates=8), made, tmp_path / "fading", 1)  # it is what the folder has
    with pytest.raises(ReverieError, match=r"updates 8, asked for 10; use the same settings"):  # it would fade later
        learn(replace(config, updates=10), made, tmp_path / "fading", 1)
    assert (learn(replace(config, fade=0.0), made, tmp_path / "even", 1) != straight).any()


@pytest.mark.parametrize("method", get_args(Method))
def test_a_loss_that_is_no_number_is_refused(method: Method, tmp_path: Path) -> None:
    start = np.full(parts.engine(spec=parts.PREDICTED).controller.parameter_count, np.nan)
    with pytest.raises(ReverieError, match=r"C's loss is nan at update 1, expected a finite number; lower"):
        learn(replace(CONFIG, method=method), [engine(spec=parts.PREDICTED)], tmp_path, 1, start)


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (
            WorldSpec("small", ActionSpec("three-way", 1), "predicted", 60),
            "gradient.method is 'backprop', and the actions of small are three-way, which have no gradient; expected "
            "continuous or driving ones; set it to ppo",
        ),
        (
            WorldSpec("small", ActionSpec("discrete", 4), "survival", 60),
            "gradient.method is 'backprop', and the actions of small are discrete, which have no gradient; expected "
            "continuous or driving ones; set it to ppo",
        ),
        (
            parts.SURVIVAL,
            "gradient.method is 'backprop', and the reward of small is to survive, where dream.done 'cutoff' has no "
            "gradient; set dream.done to calibrated or sample, or gradient.method to ppo",
        ),
    ],
    ids=["three-way", "discrete", "cut-off"],
)
def test_a_dream_without_gradients_is_refused(world: WorldSpec, message: str, tmp_path: Path) -> None:
    with pytest.raises(ReverieError) as error:
        learn(replace(CONFIG, method="backprop"), [engine(spec=world)], tmp_path / "gradient", 1)
    assert str(error.value) == message
    assert not (tmp_path / "gradient").exists()


def test_endless_dreams_are_the_engines_dreams() -> None:
    """Whole dreams last as long, in the mean, as those that fitness counts."""
    made = engine(spec=parts.SURVIVAL, config=DreamConfig(temperature=1.1, done="sample", max_steps=30))
    controller, generator = made.controller, torch.Generator().manual_seed(0)
    dreams, lengths = EndlessDreams(made, 200, generator), []
    params = torch.zeros(1, controller.parameter_count)
    for _ in range(150):
        felt = controller.actions.for_memory(controller.act(params, dreams.see()[None])[0])
        _, ended, cut = dreams.step(felt, generator)
        lengths += dreams.renew(ended | cut, generator)[1]
    _, steps = dream_returns(made, params.numpy(), range(500))
    assert max(lengths) == 30
    assert np.mean(lengths) == pytest.approx(steps.mean(), rel=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dreams": 0}, "gradient.dreams is 0, expected at least 1"),
        ({"fade": -0.1}, "gradient.fade is -0.1, expected 0 to 1"),
        ({"discount": 1.5}, "gradient.discount is 1.5, expected 0 to 1"),
        ({"method": "reinforce"}, "gradient.method is 'reinforce', expected ppo or backprop"),
        ({"clip": 0.0}, "gradient.clip is 0.0, expected a finite number above 0"),
        ({"last_spread": 0.5}, r"gradient.last_spread is 0.5, expected above 0, at most 0.35, or none"),
        (
            {"divergence_limit": 0.0},
            "gradient.divergence_limit is 0.0, expected a finite number above 0, or none",
        ),
        ({"reward_limit": 0.0}, "gradient.reward_limit is 0.0, expected a finite number above 0, or none"),
        ({"entropy": -1.0}, "gradient.entropy is -1.0, expected a finite number, at least 0"),
    ],
)
def test_bad_settings_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ReverieError, match=message):
        GradientConfig(**change)
