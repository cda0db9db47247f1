"""The backend that steps single environments one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import numpy as np

from reverie.errors import ReverieError
from reverie.workers.patience import patience
from reverie.worlds.faults import ONE_ALONE
from reverie.worlds.spec import FRAME_SHAPE
from reverie.worlds.vector import Outcome

logger = logging.getLogger("reverie.worlds")


class SingleWorld(Protocol):
    """One environment; anything that it raises means that it is lost."""

    def reset(self, seed: int) -> np.ndarray:
        """Begin an episode: its first frame, uint8 [64, 64, 3]."""

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """Take action float32 [A]: (frame, reward, terminated, truncated)."""

    def close(self) -> None:
        """Free everything."""


class SerialBackend:
    """n single worlds from one maker, in one process."""

    def __init__(self, make: Callable[[], SingleWorld], num_envs: int) -> None:
        self.frames = np.zeros((num_envs, *FRAME_SHAPE), np.uint8)
        self._make = make
        self._worlds: list[SingleWorld] = []
        try:
            for _ in range(num_envs):
                with patience():
                    self._worlds.append(make())
        except ReverieError as error:
            self.close()
            alone = "" if not self._worlds or ONE_ALONE in str(error) else f"; one by itself could be: {ONE_ALONE}"
            raise ReverieError(f"{error}{alone}") from error
        except BaseException:
            self.close()
            raise

    def reset(self, slot: int, seed: int) -> None:
        self.frames[slot] = self._worlds[slot].reset(seed)

    def step(self, slots: np.ndarray, actions: np.ndarray) -> Outcome:
        rewards = np.zeros(len(slots))
        terminated = np.zeros(len(slots), bool)
        truncated = np.zeros(len(slots), bool)
        lost: dict[int, BaseException] = {}
        for row, slot in enumerate(slots.tolist()):
            try:
                self.frames[slot], rewards[row], terminated[row], truncated[row] = self._worlds[slot].step(actions[row])
            except (Exception, SystemExit) as error:
                lost[slot] = error
        return Outcome(rewards, terminated, truncated, lost)

    def replace(self, slot: int) -> None:
        _close_quietly(self._worlds[slot])
        self._worlds[slot] = self._make()

    def close(self) -> None:
        for world in self._worlds:
            _close_quietly(world)


def _close_quietly(world: SingleWorld) -> None:
    """A broken environment often raises once more when closed; the first error was the one that matters."""
    try:
        world.close()
    except (Exception, SystemExit) as error:
        logger.debug("closing %s: %s", type(world).__name__, error)
