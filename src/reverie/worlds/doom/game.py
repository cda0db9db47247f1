"""ViZDoom's Take Cover: monsters throw fireballs, and the agent steps left and right to survive them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from reverie.worlds.doom import guard as doom_guard
from reverie.worlds.resize import AreaResize
from reverie.worlds.spec import ActionSpec, WorldSpec

if TYPE_CHECKING:
    import vizdoom

DOOM = WorldSpec(name="doom", actions=ActionSpec("three-way", 1), reward="survival", max_steps=2100)
SKILL = 4  # the scenario's own
SCREEN_HEIGHT, SCREEN_WIDTH = 120, 160
VISIBLE_ROWS = 100  # the paper keeps rows 0-400 of 480

STAY, LEFT, RIGHT = [0, 0], [1, 0], [0, 1]


class DoomWorld:
    """One game of Take Cover in its own process, one action for `repeat` tics, reward 1 for each tic that was lived.

    The last frame of an episode repeats the one before: ViZDoom shows nothing after death.
    """

    def __init__(self, skill: int = SKILL, repeat: int = 1) -> None:
        self._game = _new_game(skill)
        self._repeat = repeat
        self._resize = AreaResize(VISIBLE_ROWS, SCREEN_WIDTH)
        self._frame = np.zeros((64, 64, 3), np.uint8)
        doom_guard.start(self._game)

    def reset(self, seed: int) -> np.ndarray:
        self._game.set_seed(seed)
        self._game.new_episode()
        return self._look()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        side = action[0]
        move = LEFT if side < -1 / 3 else RIGHT if side > 1 / 3 else STAY
        lived = self._game.make_action(move, self._repeat)  # the scenario pays 1 a tic, that of death as well
        dead = self._game.is_episode_finished()
        return self._frame if dead else self._look(), lived, dead, False

    def close(self) -> None:
        doom_guard.stop(self._game)

    def _look(self) -> np.ndarray:
        self._frame = self._resize(self._game.get_state().screen_buffer[:VISIBLE_ROWS])
        return self._frame


def _new_game(skill: int) -> vizdoom.DoomGame:
    import vizdoom

    game = vizdoom.DoomGame()
    game.load_config(os.path.join(vizdoom.scenarios_path, "take_cover.cfg"))
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.set_mode(vizdoom.Mode.PLAYER)
    game.set_doom_skill(skill)
    game.set_episode_timeout(0)  # the cap is ours, so that it truncates and does not terminate
    return game
