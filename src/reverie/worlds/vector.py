"""The one front of every world: a VectorEnv that seeds, validates, caps and freezes; a backend simulates."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from reverie.errors import ReverieError
from reverie.workers.patience import patience
from reverie.workers.seeds import EVALUATION_SEED_BASE
from reverie.worlds.faults import MIGRATION, ContractError, in_one_line
from reverie.worlds.spec import FRAME_SHAPE, WorldSpec

SEEDS_IN_A_ROW = 8  # a world that dies with so many, one after the other, is beyond saving; one in five may be bad
TRIES = 2  # of each: the second in a fresh environment
DEATHS_IN_A_ROW = SEEDS_IN_A_ROW * TRIES  # of a slot that finishes no episode in between
SHOWN_DEATHS = 4  # in a row; the last one is told by the error
MAX_SEED = 2**31

logger = logging.getLogger("reverie.worlds")


class WorldDiedError(RuntimeError):
    """An environment raised or its process died; the message names world, seed and step, and what else has failed."""

    def __init__(self, world: str, seed: int, step: int, cause: str = "", remedy: str = "") -> None:
        super().__init__(world, seed, step, cause, remedy)
        self.world, self.seed, self.step, self.cause, self.remedy = world, seed, step, cause, remedy

    def __str__(self) -> str:
        line = f"world {self.world!r} with seed {self.seed} died at step {self.step}: {self.cause}"
        return f"{line}; {self.remedy}" if self.remedy else line


class Outcome(NamedTuple):
    """What k stepped sub-environments brought: float64 [k], bool [k], bool [k]; and the lost ones by slot."""

    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    lost: dict[int, BaseException]


class Backend(Protocol):
    """Simulates n sub-environments and nothing else.

    `frames` uint8 [n, 64, 64, 3] holds every slot's last frame and is written in place. An exception from `reset`, or
    one that `step` returns as lost, means that the sub-environment is gone; `replace` puts a fresh one there.
    """

    frames: np.ndarray

    def reset(self, slot: int, seed: int) -> None:
        """Begin an episode in `slot`; write its first frame."""

    def step(self, slots: np.ndarray, actions: np.ndarray) -> Outcome:
        """Step `slots` int [k] with actions float32 [k, A]."""

    def replace(self, slot: int) -> None:
        """Put a fresh sub-environment into `slot`."""

    def close(self) -> None:
        """Free everything."""


class WorldVectorEnv(VectorEnv):
    """n sub-environments of one world. Observations uint8 [n, 64, 64, 3], actions float32 [n, A] in [-1, 1].

    - Nothing resets by itself (`AutoresetMode.DISABLED`): `reset(options={"reset_mask": bool [n]})` resets the masked
      sub-environments, each with its own seed; without a mask all are reset. `seed` is an int (slot i gets seed + i), a
      list of n ints (those outside the mask are ignored) or None (drawn from the seed given to `make`).
    - A finished sub-environment may be stepped: it is not simulated, keeps its last frame and flags, and brings 0.
    - `truncated` comes from the spec's cap or from the environment itself, `terminated` only from the environment;
      never both.
    - A sub-environment that raises or whose process dies is logged as one line with its seed, flagged in
      `infos["died"]` (bool [n], present after every step), and returned with reward 0, terminated=False,
      truncated=True; a fresh one already stands in its slot. Discard that episode and reset the slot to redo it.
    - A seed that dies twice, in reset or on the way, is given up: whoever asks for it again gets the next one that
      lives. `reset` tells in `infos["seeds"]` (int64 [n]) which are being played. After eight in a row in one slot
      `WorldDiedError` is raised.
    - What breaks Gymnasium's contract (a reward that is no finite number, a frame that is none) raises `ReverieError`
      with the world, the seed and the step: no fresh environment would do better.
    """

    def __init__(self, spec: WorldSpec, backend: Backend, seed: int | None = None) -> None:
        self.world_spec = spec
        self.num_envs = len(backend.frames)
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED, "render_modes": ["rgb_array"]}
        self.render_mode = "rgb_array"
        self.single_observation_space = gym.spaces.Box(0, 255, FRAME_SHAPE, np.uint8)
        self.single_action_space = gym.spaces.Box(-1, 1, (spec.actions.size,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._backend = backend
        self._seed_source = np.random.default_rng(seed)
        self._seeds = [0] * self.num_envs
        self._steps = np.zeros(self.num_envs, np.int64)
        self._deaths = np.zeros(self.num_envs, np.int64)
        self._died_with: Counter[int] = Counter()
        self._terminated = np.zeros(self.num_envs, bool)
        self._truncated = np.ones(self.num_envs, bool)
        self._began = np.zeros(self.num_envs, bool)

    @property
    def max_steps(self) -> int:
        """The cap after which an episode is truncated."""
        return self.world_spec.max_steps

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin new episodes; returns (frames uint8 [n, 64, 64, 3], {"seeds": int64 [n]})."""
        mask = self._reset_mask(options)
        seeds = self._episode_seeds(seed)
        for slot in np.flatnonzero(mask):
            self._begin(int(slot), seeds[slot])
        return self._backend.frames.copy(), {"seeds": np.array(self._seeds, np.int64)}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step the live sub-environments: (frames, rewards float64 [n], terminated, truncated, {"died": bool [n]})."""
        actions = self._checked_actions(actions)
        if not self._began.all():
            raise ReverieError(
                f"step before reset in sub-environments {np.flatnonzero(~self._began)}; call reset first"
            )
        rewards = np.zeros(self.num_envs)
        died = np.zeros(self.num_envs, bool)
        live = np.flatnonzero(~(self._terminated | self._truncated))
        if len(live):
            self._steps[live] += 1
            with patience():
                rewards[live], self._terminated[live], truncated, lost = self._backend.step(live, actions[live])
            self._require_numbers(live, rewards)
            capped = self._steps[live] >= self.world_spec.max_steps
            self._truncated[live] = (truncated | capped) & ~self._terminated[live]
            for slot, error in lost.items():
                self._bury(slot, error)
                rewards[slot], died[slot] = 0.0, True
            self._forgive(live[(self._terminated | self._truncated)[live] & ~died[live]])
        return self._backend.frames.copy(), rewards, self._terminated.copy(), self._truncated.copy(), {"died": died}

    def render(self) -> tuple[np.ndarray, ...]:
        """The last frame of every sub-environment."""
        return tuple(self._backend.frames.copy())

    def close_extras(self, **kwargs: Any) -> None:
        """Close the sub-environments; called once, by `close`."""
        self._backend.close()

    def _begin(self, slot: int, seed: int) -> None:
        """Begin an episode with the first seed, from this one on, that lives."""
        for _ in range(SEEDS_IN_A_ROW):
            if self._died_with[seed] < TRIES:
                self._seeds[slot], self._steps[slot] = seed, 0
                while self._died_with[seed] < TRIES:
                    try:
                        with patience():
                            self._backend.reset(slot, seed)
                    except (Exception, SystemExit) as error:
                        self._bury(slot, error)
                    else:
                        self._terminated[slot] = self._truncated[slot] = False
                        self._began[slot] = True
                        return
            seed = next_seed(seed)
        raise WorldDiedError(self.world_spec.name, seed, 0, f"so did the {SEEDS_IN_A_ROW} seeds before it", _remedy(0))

    def _bury(self, slot: int, error: BaseException) -> None:
        """Log the loss of a sub-environment and put a fresh one in its place."""
        name, seed, step = self.world_spec.name, self._seeds[slot], int(self._steps[slot])
        cause = in_one_line(error)
        if isinstance(error, ContractError) or MIGRATION in cause:
            raise ReverieError(f"world {name!r} with seed {seed}, step {step}: {cause}") from error
        self._deaths[slot] += 1
        self._died_with[seed] += 1
        if self._deaths[slot] >= DEATHS_IN_A_ROW:
            raise WorldDiedError(name, seed, step, cause, _remedy(step)) from error
        what = "a fresh one takes its place" if self._died_with[seed] < TRIES else "the next seed takes its place"
        if self._deaths[slot] <= SHOWN_DEATHS:
            logger.warning("%s; %s", WorldDiedError(name, seed, step, cause), what)
        try:
            with patience():
                self._backend.replace(slot)
        except (Exception, SystemExit) as again:
            raise WorldDiedError(name, seed, step, in_one_line(again), "and no fresh one could be opened") from again
        self._terminated[slot], self._truncated[slot] = False, True

    def _forgive(self, finished: np.ndarray) -> None:
        """What has finished an episode lives: a death of its seed was by chance."""
        for slot in finished.tolist():
            self._deaths[slot] = 0
            self._died_with.pop(self._seeds[slot], None)

    def _require_numbers(self, live: np.ndarray, rewards: np.ndarray) -> None:
        for slot in live[~np.isfinite(rewards[live])].tolist():
            self._bury(slot, ContractError(f"its reward is {rewards[slot]}, expected a finite number"))

    def _reset_mask(self, options: dict[str, Any] | None) -> np.ndarray:
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return np.ones(self.num_envs, bool)
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise ReverieError(f"reset_mask is {mask.dtype} {mask.shape}, expected bool ({self.num_envs},)")
        return mask

    def _episode_seeds(self, seed: int | Sequence[int | None] | None) -> list[int]:
        drawn = [int(value) for value in self._seed_source.integers(MAX_SEED, size=self.num_envs)]
        if seed is None:
            return drawn
        if isinstance(seed, int | np.integer):
            seed = [int(seed) + slot for slot in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ReverieError(f"got {len(seed)} seeds for {self.num_envs} sub-environments; give one each, or one int")
        for value in seed:
            if value is not None and not 0 <= value < 2**32:
                raise ReverieError(f"seed {value} is out of range; expected 0 <= seed < 2**32")
        return [drawn[slot] if value is None else int(value) for slot, value in enumerate(seed)]

    def _checked_actions(self, actions: np.ndarray) -> np.ndarray:
        actions = np.asarray(actions)
        expected = (self.num_envs, self.world_spec.actions.size)
        if actions.shape != expected or actions.dtype.kind != "f":
            raise ReverieError(f"actions are {actions.dtype} {actions.shape}, expected float32 {expected}")
        if not np.isfinite(actions).all():
            slots = np.flatnonzero(~np.isfinite(actions).all(axis=1))
            raise ReverieError(f"actions hold NaN or infinity in sub-environments {slots}; expected values in [-1, 1]")
        return actions.astype(np.float32, copy=False)


def next_seed(seed: int) -> int:
    """The seed that takes the place of one that the world dies with; those that train and evaluate stay apart."""
    half = seed // EVALUATION_SEED_BASE * EVALUATION_SEED_BASE
    return half + (seed - half + 1) % EVALUATION_SEED_BASE


def _remedy(step: int) -> str:
    few = "; where it has only so many seeds, say how many: --world.seeds 100" if step == 0 else ""
    return f"so did the {SEEDS_IN_A_ROW - 1} seeds before: check that it runs by itself{few}"
