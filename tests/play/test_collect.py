from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reverie.episodes import config
from reverie.episodes.config import CollectConfig
from reverie.episodes.manifest import Entry
from reverie.episodes.policies import make_policy
from reverie.episodes.store import Store
from reverie.errors import ReverieError
from reverie.play import block
from reverie.play.collect import collect
from reverie.workers.pool import Workers
from reverie.workers.seeds import generator, training_seeds
from reverie.worlds.registry import make
from reverie.worlds.spec import ActionSpec, WorldSpec
from reverie.worlds.vector import Outcome, WorldVectorEnv

CONFIG = CollectConfig(episodes=21, max_steps=60, min_steps=5, policies=("uniform", "brownian", "random-network"))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVERIE_QUIET", "1")


def collect_tiny(folder: Path, workers: int = 0, config: CollectConfig = CONFIG, **more: Any) -> tuple[Entry, ...]:
    with Workers(workers) as pool:
        collect("tiny", Store(folder), config, seed=7, workers=pool, **more)
    assert Store(folder).verify() == []
    return Store(folder).entries


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Entry, ...]:
    """What an uninterrupted collection in one process holds; entries tell bytes by their SHA-256."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REVERIE_QUIET", "1")
        return collect_tiny(tmp_path_factory.mktemp("reference"))


def test_every_index_is_there_once_and_no_episode_is_too_short_or_long(reference: tuple[Entry, ...]) -> None:
    assert [entry.index for entry in reference] == list(range(21))
    assert all(5 <= entry.steps <= 60 for entry in reference)
    assert {entry.policy for entry in reference} == set(CONFIG.policies)
    assert len({entry.seed for entry in reference}) == 21


def test_the_store_is_the_same_for_any_number_of_workers(tmp_path: Path, reference: tuple[Entry, ...]) -> None:
    assert collect_tiny(tmp_path, workers=3) == reference


def test_the_store_is_the_same_for_any_number_of_slots(
    tmp_path: Path, reference: tuple[Entry, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for slots in (1, 3):
        monkeypatch.setattr("reverie.play.collect.SLOTS", slots)
        assert collect_tiny(tmp_path / str(slots)) == reference


def test_an_episode_is_what_its_seed_and_policy_give(tmp_path: Path) -> None:
    """Played again by hand, one at a time, from the derivation that `Block` documents."""
    entries = collect_tiny(tmp_path)
    store, world = Store(tmp_path), make("tiny", 1)
    for entry in entries[:6]:
        episode, number = store.read(entry.index), 0
        while True:
            path = ("collect", 0, entry.index, number)
            (seed,) = training_seeds(7, *path, count=1)
            rng = generator(7, *path)
            name = CONFIG.policies[int(rng.integers(3))]
            policy = make_policy(name, world.world_spec.actions, rng)
            frames, _ = world.reset(seed=[seed])
            seen, actions, rewards, ended = [frames[0]], [], [], False
            while not ended and len(actions) < CONFIG.max_steps:
                actions.append(policy.act(seen[-1]))
                frames, reward, terminated, truncated, _ = world.step(actions[-1][None])
                seen.append(frames[0])
                rewards.append(reward[0])
                ended = bool(terminated[0] or truncated[0])
            if len(actions) >= CONFIG.min_steps:
                break
            number += 1
        assert (entry.seed, entry.policy, entry.steps) == (seed, name, len(actions))
        np.testing.assert_array_equal(episode.frames, np.stack(seen))
        np.testing.assert_array_equal(episode.actions, np.stack(actions))
        np.testing.assert_array_equal(episode.rewards, np.array(rewards, np.float32))
        assert episode.terminated == bool(terminated[0])
    world.close()


def test_collecting_again_leaves_what_is_there(tmp_path: Path, reference: tuple[Entry, ...]) -> None:
    collect_tiny(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert collect_tiny(tmp_path, workers=2) == reference
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_more_episodes_are_added_behind_the_first_ones(tmp_path: Path, reference: tuple[Entry, ...]) -> None:
    collect_tiny(tmp_path, config=replace(CONFIG, episodes=10))
    assert len(Store(tmp_path).entries) == 10
    assert collect_tiny(tmp_path) == reference


def test_files_that_were_lost_or_cut_are_collected_again(tmp_path: Path, reference: tuple[Entry, ...]) -> None:
    collect_tiny(tmp_path)
    (tmp_path / reference[3].file).unlink()
    cut = tmp_path / reference[11].file
    cut.write_bytes(cut.read_bytes()[:100])
    assert collect_tiny(tmp_path) == reference


def test_a_killed_collection_goes_on_to_the_same_store(tmp_path: Path, reference: tuple[Entry, ...]) -> None:
    """kill -9 at whatever moment, several times over; the workers die with it."""
    program = (
        "import sys; from reverie.play.collect import *; from reverie.episodes.config import CollectConfig; "
        f"collect('tiny', Store(sys.argv[1]), {CONFIG!r}, seed=7, workers=Workers(2))"
    )
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "store")])
        known = len(Store(tmp_path / "store").entries)
        while len(Store(tmp_path / "store").entries) < min(known + 3, 21) and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    time.sleep(0.3)  # the kernel ends the workers
    assert len(Store(tmp_path / "store").entries) >= 9
    assert collect_tiny(tmp_path / "store") == reference
    assert not list((tmp_path / "store").rglob("*.tmp"))


def test_rejected_attempts_are_counted_and_change_no_other_episode(tmp_path: Path) -> None:
    short = collect_tiny(tmp_path / "a", config=replace(CONFIG, min_steps=0))
    with Workers(0) as pool:
        done = collect("tiny", Store(tmp_path / "b"), replace(CONFIG, min_steps=12), seed=7, workers=pool)
    long = Store(tmp_path / "b").entries
    kept = [entry.steps >= 12 for entry in short]
    assert 0 < sum(kept) < 21
    assert [a == b for a, b in zip(short, long, strict=True)] == kept
    assert done.rejected >= 21 - sum(kept)
    assert (done.episodes, done.frames, done.died) == (21, Store(tmp_path / "b").total_frames, 0)
    assert done.seconds > 0


def test_episodes_that_never_last_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "ATTEMPTS", 3)
    config = CollectConfig(episodes=1, max_steps=100, min_steps=100, policies=("uniform",))
    with pytest.raises(ReverieError) as error:
        collect_tiny(tmp_path, config=config)
    assert str(error.value) == ("episode 0 of tiny failed to last 100 steps in 3 attempts; lower collect.min_steps")


def test_another_round_draws_other_seeds_behind_the_first(tmp_path: Path) -> None:
    first = collect_tiny(tmp_path, config=replace(CONFIG, episodes=4))
    both = collect_tiny(tmp_path, config=replace(CONFIG, episodes=4), round=1, first=4)
    assert both[:4] == first
    assert [entry.index for entry in both] == list(range(8))
    assert len({entry.seed for entry in both}) == 8


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(config.FRAME_BYTES, "tiny", 1 << 60)
    with pytest.raises(ReverieError, match=r"^collecting 21 episodes of tiny needs about .* free; free some space"):
        collect_tiny(tmp_path / "store")
    assert not (tmp_path / "store").exists()


@dataclass(frozen=True)
class Alternating:
    """Makes players that act by their own frame and count: what an agent's hook looks like."""

    gain: float

    def __call__(self, spec: WorldSpec, count: int) -> AlternatingPlayers:
        return AlternatingPlayers(self.gain, count)


class AlternatingPlayers:
    def __init__(self, gain: float, count: int) -> None:
        self.gain, self.steps = gain, np.zeros(count)

    def begin(self, slot: int, rng: np.random.Generator) -> str:
        self.steps[slot] = rng.integers(2)
        return "agent"

    def act(self, frames: np.ndarray) -> np.ndarray:
        self.steps += 1
        brightness = frames.mean(axis=(1, 2, 3)) / 255
        return (self.gain * brightness * (-1) ** self.steps)[:, None].astype(np.float32)


def test_an_agent_can_collect_and_its_resumed_store_is_the_same(tmp_path: Path) -> None:
    players = Alternating(0.5)
    whole = collect_tiny(tmp_path / "a", players=players)
    assert {entry.policy for entry in whole} == {"agent"}
    for entry in whole[1:20:2]:
        (tmp_path / "a" / entry.file).unlink()
    assert collect_tiny(tmp_path / "a", players=players) == whole


class Mortal:
    """A world of 9-step episodes whose sub-environments die as `deaths` (by seed, how often) says."""

    spec = WorldSpec("mortal", ActionSpec("continuous", 1), "survival", 9)

    def __init__(self, count: int, deaths: dict[int, int]) -> None:
        self.frames = np.zeros((count, 64, 64, 3), np.uint8)
        self.deaths, self.seeds, self.steps, self.closed = deaths, [0] * count, [0] * count, False

    def reset(self, slot: int, seed: int) -> None:
        self.seeds[slot], self.steps[slot] = seed, 0
        self.frames[slot] = seed % 251

    def step(self, slots: np.ndarray, actions: np.ndarray) -> Outcome:
        lost: dict[int, Exception] = {}
        for slot in slots.tolist():
            self.steps[slot] += 1
            if self.steps[slot] == 4 and self.deaths.get(self.seeds[slot], 0) > 0:
                self.deaths[self.seeds[slot]] -= 1
                lost[slot] = RuntimeError("the engine fell over")
        nothing = np.zeros(len(slots), bool)
        return Outcome(np.ones(len(slots)), nothing, nothing, lost)

    def replace(self, slot: int) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened() -> list[Mortal]:
    """Every backend that was ever made."""
    return []


@pytest.fixture
def deaths(monkeypatch: pytest.MonkeyPatch, opened: list[Mortal]) -> Iterator[dict[int, int]]:
    planned: dict[int, int] = {}

    def make_mortal(name: str, count: int) -> WorldVectorEnv:
        opened.append(Mortal(count, planned))
        return WorldVectorEnv(Mortal.spec, opened[-1])

    monkeypatch.setattr(block, "make", make_mortal)
    yield planned
    block.close_world()


def mortal_seed(index: int, number: int = 0) -> int:
    return training_seeds(7, "collect", 0, index, number, count=1)[0]


def test_an_episode_whose_environment_dies_is_played_again_with_its_seed_and_then_the_next(
    tmp_path: Path, deaths: dict[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    config = CollectConfig(episodes=6, max_steps=100)
    deaths |= {mortal_seed(1): 1, mortal_seed(2): 2, mortal_seed(3): 2, mortal_seed(3, 1): 0}
    with caplog.at_level(logging.WARNING):
        done = collect("mortal", Store(tmp_path), config, seed=7, workers=Workers(0))
    store = Store(tmp_path)
    assert (done.episodes, done.died, done.rejected) == (6, 5, 0)
    assert [entry.seed for entry in store.entries] == [
        mortal_seed(index, number) for index, number in enumerate((0, 0, 1, 1, 0, 0))
    ]
    for entry in store.entries:
        episode = store.read(entry.index)
        assert (len(episode), episode.total_reward, episode.terminated) == (9, 9.0, False)
        assert (episode.frames == entry.seed % 251).all()
    assert len(caplog.messages) == 5
    assert f"world 'mortal' with seed {mortal_seed(1)} died at step 4: RuntimeError" in caplog.text


def test_a_world_that_always_dies_is_an_error_and_leaves_no_world_open(
    tmp_path: Path, deaths: dict[int, int], opened: list[Mortal]
) -> None:
    deaths |= {mortal_seed(0, number): 9 for number in range(9)}
    with pytest.raises(ReverieError) as error:
        collect("mortal", Store(tmp_path), CollectConfig(1, 100), seed=7, workers=Workers(0))
    assert str(error.value) == (
        f"world 'mortal' with seed {mortal_seed(0, 7)} died at step 4: RuntimeError: the engine fell over; "
        "so did the 7 seeds before: check that it runs by itself"
    )
    assert [world.closed for world in opened] == [True]
