"""A first look at a world: 20 random steps, what V will see of them, and what is suspicious about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reverie.worlds.registry import make
from reverie.worlds.spec import ActionSpec, WorldSpec
from reverie.worlds.vector import WorldVectorEnv

STEPS = 20
PICTURE_SCALE = 4


@dataclass(frozen=True)
class WorldCheck:
    """What a short look has shown.

    frames: uint8 [steps + 1, 64, 64, 3]; steps_per_second: of one of it, resets included
    doubts: what may be wrong with it, a line each
    """

    spec: WorldSpec
    frames: np.ndarray
    total_reward: float
    steps_per_second: float
    doubts: tuple[str, ...]

    def picture(self) -> np.ndarray:
        """The first frame and the last as V sees them, enlarged, side by side: uint8 [256, 516, 3]."""
        first, last = (
            frame.repeat(PICTURE_SCALE, 0).repeat(PICTURE_SCALE, 1) for frame in (self.frames[0], self.frames[-1])
        )
        return np.concatenate([first, np.full((len(first), PICTURE_SCALE, 3), 255, np.uint8), last], 1)

    def lines(self) -> Iterator[str]:
        """What there is to say."""
        yield f"actions    {in_words(self.spec.actions)}"
        reward = "1 a step survived" if self.spec.reward == "survival" else "its own"
        yield f"reward     {reward}; {self.total_reward:g} in {len(self.frames) - 1} random steps"
        yield f"cap        {self.spec.max_steps:,} steps an episode"
        yield f"speed      {self.steps_per_second:,.0f} steps/s on one core"
        yield from (f"suspicious {doubt}" for doubt in self.doubts)


def check_world(name: str) -> WorldCheck:
    """Open the world, play it at random twice on one seed, and once more with other actions."""
    world = make(name, 1)
    try:
        frames, rewards = _play(world, noise=0)
        begun = time.perf_counter()  # the first time some load what they draw with
        again, other = _play(world, noise=0)[0], _play(world, noise=1)[0]
        rate = (len(again) + len(other) - 2) / (time.perf_counter() - begun)
    finally:
        world.close()
    return WorldCheck(
        world.world_spec, frames, float(rewards.sum()), rate, tuple(_doubts(frames, again, other, rewards))
    )


def in_words(actions: ActionSpec) -> str:
    """What there is to do, for a person."""
    if actions.kind == "three-way":
        return "left, stay or right"
    if actions.kind == "driving":
        return "steering, gas and brake"
    choices = [span.stop - span.start for span in actions.spans if span.one_hot]
    numbers = actions.size - sum(choices)
    parts = [f"one of {size}" for size in choices] + [f"{numbers} number{'s' * (numbers > 1)}"] * (numbers > 0)
    return f"{' and '.join(parts)} ({actions.size} outputs of C)"


def _play(world: WorldVectorEnv, noise: int) -> tuple[np.ndarray, np.ndarray]:
    """The frames [T + 1, 64, 64, 3] and rewards [T] of an episode's first steps, on seed 0."""
    rng, actions = np.random.default_rng(noise), world.world_spec.actions
    frames, rewards = [world.reset(seed=0)[0][0]], []
    for _ in range(STEPS):
        seen, reward, terminated, truncated, _ = world.step(_random(actions, rng)[None])
        frames.append(seen[0])
        rewards.append(reward[0])
        if terminated[0] or truncated[0]:
            break
    return np.stack(frames), np.array(rewards)


def _random(actions: ActionSpec, rng: np.random.Generator) -> np.ndarray:
    values = rng.uniform(-1, 1, actions.size).astype(np.float32)
    chosen: np.ndarray = actions.by_part(
        values, lambda group: (np.arange(len(group)) == group.argmax()).astype(np.float32), lambda numbers: numbers
    )
    return chosen


def _doubts(frames: np.ndarray, again: np.ndarray, other: np.ndarray, rewards: np.ndarray) -> Iterator[str]:
    if frames.shape != again.shape or (frames != again).any():
        yield "the same seed and actions gave other frames: seed all of its randomness in reset(seed=...)"
    if not np.ptp(frames, axis=0).any():
        yield "its frames never change: is that the picture to learn from? (--world.observation names another)"
    elif frames.shape == other.shape and (frames == other).all():
        yield "other actions gave the same frames: do they reach it?"
    if frames[0].min() == frames[0].max():
        yield "its first frame is of one colour"
    if len(rewards) == 1:
        yield "the episode was over after one step"
    if len(np.unique(rewards)) == 1 and len(rewards) > 1:
        yield f"every step brought {rewards[0]:g}: there is nothing to learn from where that stays so"
