"""Training M: it learns, it resumes to the same bits, it says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reverie.memory.train
from reverie.errors import ReverieError
from reverie.files.checkpoint import latest_checkpoint
from reverie.files.metrics import read_metrics
from reverie.memory.config import MemoryConfig
from reverie.memory.loss import memory_loss
from reverie.memory.model import MDNRNN
from reverie.memory.train import load_memory, losses_on, train_memory
from reverie.worlds.spec import ActionSpec

from .orbits import ACTIONS, Orbits

LENGTHS = [20 + index for index in range(20)]


def config(**changes: Any) -> MemoryConfig:
    settings: dict[str, Any] = {
        "latent_size": 4,
        "action_size": 2,
        "hidden_size": 16,
        "restart_input": True,
        "done_head": True,
        "reward_head": True,
        "batch_size": 8,
        "sequence_length": 8,
        "updates": 7,
        "lr_decay": 0.999,
    }
    return MemoryConfig(**settings | changes)


def train(folder: Path, latents: Orbits | None = None, actions: ActionSpec = ACTIONS, **changes: Any) -> MDNRNN:
    return train_memory(config(**changes), latents or Orbits(LENGTHS), actions, folder, seed=0, checkpoint_every=3)


def rows(folder: Path) -> list[dict[str, float]]:
    found = read_metrics(folder / "metrics.jsonl")
    return [{name: value for name, value in row.items() if name != "updates_per_second"} for row in found]


def interrupt_at(call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the training's n-th loss end in Ctrl-C."""
    calls = 0

    def loss(*arguments: Any) -> Any:
        nonlocal calls
        calls += torch.is_grad_enabled()
        if calls == call:
            raise KeyboardInterrupt
        return memory_loss(*arguments)

    monkeypatch.setattr(reverie.memory.train, "memory_loss", loss)


@pytest.mark.parametrize("call", [2, 5, 7])
def test_resumes_to_the_same_bits(call: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(call, patch)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "broken")
    train(tmp_path / "broken")
    whole, broken = (latest_checkpoint(tmp_path / name) for name in ("whole", "broken"))
    assert whole is not None
    assert broken is not None
    assert (broken.step, broken.state) == (7, whole.state)
    assert broken.arrays.keys() == whole.arrays.keys() > {"state.h", "state.c", "model.reward_scale"}
    for name, array in whole.arrays.items():
        assert array.tobytes() == broken.arrays[name].tobytes(), name
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")


def test_the_state_of_the_lstm_is_carried_over_windows(tmp_path: Path) -> None:
    train(tmp_path / "one", updates=1)
    train(tmp_path / "two", updates=2)
    states = [latest_checkpoint(tmp_path / name) for name in ("one", "two")]
    assert all(state is not None and np.abs(state.arrays["state.c"]).min() > 0 for state in states)


def test_learns_what_can_be_predicted(tmp_path: Path) -> None:
    train(tmp_path, hidden_size=32, updates=150, learning_rate=1e-2, lr_decay=0.98)
    first, *_, last = read_metrics(tmp_path / "metrics.jsonl")[2:]
    assert last["held_out_z_nll"] < -0.9 < first["held_out_z_nll"]  # not to predict costs 1.1, to know all -1.58
    assert last["z_nll"] == pytest.approx(last["held_out_z_nll"], abs=0.4)
    assert last["held_out_reward"] < 0.1  # 1 is to predict 0
    assert last["learning_rate"] < 1e-3


def test_the_next_action_is_learned(tmp_path: Path) -> None:
    orbits = Orbits(LENGTHS, one_hot=True)
    for episode in orbits.episodes.values():
        episode.actions[:] = np.eye(2)[np.arange(len(episode)) % 2]
    train(tmp_path, orbits, ActionSpec("discrete", 2), action_head=True, updates=100, learning_rate=2e-2)
    first, *_, last = read_metrics(tmp_path / "metrics.jsonl")
    assert first["action"] > 0.5
    assert last["held_out_action"] < 0.15


def test_rows_and_what_they_hold(tmp_path: Path) -> None:
    train(tmp_path)
    found = rows(tmp_path)
    assert [row["step"] for row in found] == [1, 2, 3, 4, 5, 6, 7]
    terms = {"step", "z_nll", "done", "reward", "learning_rate"}
    measured = terms | {"held_out_z_nll", "held_out_done", "held_out_reward"}
    assert [set(row) for row in found] == [terms, terms, measured, terms, terms, measured, measured]


def test_nothing_held_out(tmp_path: Path) -> None:
    train(tmp_path, Orbits(LENGTHS[:-1]))  # fewer than 20 episodes
    assert not any(name.startswith("held_out") for row in rows(tmp_path) for name in row)
    before = rows(tmp_path)
    train(tmp_path, Orbits(LENGTHS[:-1]))  # goes on from its last checkpoint
    assert rows(tmp_path) == before


def test_what_was_trained_is_loaded(tmp_path: Path) -> None:
    trained, loaded = train(tmp_path), load_memory(tmp_path)
    assert loaded.config == trained.config
    for name, value in trained.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    assert float(loaded.reward_scale) == pytest.approx(0.7, abs=0.1)


def test_untrained(tmp_path: Path) -> None:
    train(tmp_path, updates=0)
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    assert checkpoint.step == 0
    assert not load_memory(tmp_path).bias.any()


def test_a_loss_that_is_not_finite_names_the_update(tmp_path: Path) -> None:
    orbits = Orbits(LENGTHS)
    train(tmp_path, orbits)
    for episode in orbits.episodes.values():
        episode.mu[:] = np.nan
    with pytest.raises(ReverieError) as error:
        train(tmp_path / "other", orbits)
    assert str(error.value) == (
        "M's loss is nan at update 1, expected a finite number; "
        "lower memory.learning_rate (0.001) and train M again in another run folder"
    )
    assert latest_checkpoint(tmp_path / "other") is None


def test_dropout_is_a_setting_of_a_training(tmp_path: Path) -> None:
    train(tmp_path / "plain")
    plain = latest_checkpoint(tmp_path / "plain")
    assert plain is not None
    with pytest.raises(ReverieError, match=r"holds a training of M with dropout 0.0, asked for 0.2; use the same"):
        train_memory(config(), Orbits(LENGTHS), ACTIONS, tmp_path / "plain", seed=0, dropout=0.2)
    train_memory(config(), Orbits(LENGTHS), ACTIONS, tmp_path / "guarded", seed=0, dropout=0.2)
    guarded = latest_checkpoint(tmp_path / "guarded")
    assert guarded is not None
    assert guarded.state["dropout"] == 0.2
    assert (guarded.arrays["model.head_weight"] != plain.arrays["model.head_weight"]).any()
    with pytest.raises(ReverieError, match=r"holds a training of M with dropout 0.2, asked for 0.0; use the same"):
        train(tmp_path / "guarded")


def test_other_settings_are_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(ReverieError) as error:
        train(tmp_path, sequence_length=6)
    assert str(error.value) == (
        f"{tmp_path} holds a training of M with sequence_length 8, asked for 6; "
        "use the same settings or another run folder"
    )


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(ReverieError) as error:
        load_memory(tmp_path)
    assert str(error.value) == f"{tmp_path} holds no checkpoint of M; run `reverie memory` first"


def test_training_begins_at_the_weights_that_are_given(tmp_path: Path) -> None:
    start = MDNRNN(config(), seed=5)
    begun = train_memory(config(updates=0), Orbits(LENGTHS), ACTIONS, tmp_path, seed=0, start=start)
    for name, weight in start.named_parameters():
        assert torch.equal(weight, begun.get_parameter(name)), name


def test_what_is_not_trained_keeps_the_units_of_its_reward(tmp_path: Path) -> None:
    start = MDNRNN(config(), seed=5)
    start.reward_scale.fill_(3.0)
    for updates, expected in ((0, 3.0), (1, 0.7)):
        folder = tmp_path / str(updates)
        begun = train_memory(config(updates=updates), Orbits(LENGTHS), ACTIONS, folder, seed=0, start=start)
        assert float(begun.reward_scale) == pytest.approx(expected, abs=0.1)


def test_bins_of_rewards_stay_while_they_hold_all_rewards_and_are_laid_out_anew_else(tmp_path: Path) -> None:
    def trained(name: str, start: MDNRNN | None = None) -> MDNRNN:
        binned = replace(config(updates=1), reward_bins=7)
        return train_memory(binned, Orbits(LENGTHS), ACTIONS, tmp_path / name, seed=0, start=start)

    first = trained("first")
    largest = max(float(np.abs(Orbits(LENGTHS).episode(index).rewards).max()) for index in range(len(LENGTHS)))
    assert float(first.reward_scale) == pytest.approx(2 * largest, rel=0.2)  # some episodes are held out
    first.reward_scale.fill_(50.0)
    assert float(trained("wide", first).reward_scale) == 50.0
    first.reward_scale.fill_(largest / 10)
    anew = trained("narrow", first)
    assert float(anew.reward_scale) == pytest.approx(2 * largest, rel=0.2)
    assert anew.parts(anew.head_weight, 0)["reward"].abs().max() < 0.01  # one step from nothing


def test_losses_on_episodes_fall_where_m_has_learned(tmp_path: Path) -> None:
    orbits, unseen = Orbits(LENGTHS), [3, 7, 11]
    before = losses_on(MDNRNN(config(), seed=5), orbits, ACTIONS, 0, unseen)
    after = losses_on(train(tmp_path, updates=60, learning_rate=1e-2), orbits, ACTIONS, 0, unseen)
    assert set(before) == {"z_nll", "done", "reward"}
    assert after["z_nll"] < before["z_nll"] - 0.1


def test_the_clock_counts_an_episodes_steps_and_training_leaves_it_so(tmp_path: Path) -> None:
    for name, start in (("anew", None), ("on", MDNRNN(config(), seed=5))):
        model = train_memory(config(clock=True), Orbits(LENGTHS), ACTIONS, tmp_path / name, seed=0, start=start)
        state, restart = model.initial_state(3), torch.tensor([1.0, 1.0, 1.0])
        for step in range(1, 2001):
            z, a = torch.randn(3, 4), torch.randn(3, 2)
            state = model.absorb(state, z, a, restart)
            restart = torch.tensor([0.0, 0.0, float(step == 1500)])
        assert state.c[:, 0].tolist() == pytest.approx([2000 / 1500, 2000 / 1500, 500 / 1500], rel=1e-3)
        assert state.h[:, 0].tolist() == pytest.approx(np.tanh(state.c[:, 0].detach().numpy()), rel=1e-5)
        assert model.hidden_weight.grad is not None
        assert model.hidden_weight.grad[1:, 0].abs().max() > 0  # others learn to read it


def test_it_ends_with_the_weights_that_did_best_on_what_it_never_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([{"held_out_z_nll": 1.0}, {"held_out_z_nll": 0.5}, {"held_out_z_nll": 0.7}])
    monkeypatch.setattr(reverie.memory.train, "held_out_losses_of", lambda *_: next(losses))
    longer = train(tmp_path / "longer", updates=9)
    losses = iter([{"held_out_z_nll": 1.0}, {"held_out_z_nll": 0.5}])
    shorter = train(tmp_path / "shorter", updates=6)
    for name, tensor in shorter.state_dict().items():
        torch.testing.assert_close(longer.state_dict()[name], tensor, rtol=0, atol=0)
