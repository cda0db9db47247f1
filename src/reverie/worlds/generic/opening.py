"""Opening an environment by its Gymnasium id: its module, its constructor, and whether it must draw what we see."""

from __future__ import annotations

import ctypes.util
import os
import sys
from typing import Any, NamedTuple

import gymnasium as gym

from reverie.errors import ReverieError
from reverie.worlds.contained import Contained
from reverie.worlds.faults import told
from reverie.worlds.generic.finding import find_id
from reverie.worlds.generic.options import WorldOptions
from reverie.worlds.generic.pictures import Picture, pictures


class Opened(NamedTuple):
    """An environment, and where its picture is in its observations; None: it draws what we see."""

    env: gym.Env
    picture: Picture | None


def open_env(name: str, text: str, options: WorldOptions, contained: Contained) -> Opened:
    """Make the environment, drawing only where its observations show no picture.

    Raises: ReverieError where it cannot be made, where it shows no pixels, and where it shows several pictures of which
    none is named.
    """
    prepare_display()
    gym_id = find_id(name, text)
    with told(name), contained():
        env = gym.make(gym_id, disable_env_checker=True)
    try:
        picture, modes = choose(name, env, options), _render_modes(env)
    except BaseException:
        close_quietly(env, contained)
        raise
    if picture is not None and (picture.layout.is_sure or options.observation or "rgb_array" not in modes):
        return Opened(env, picture)
    close_quietly(env, contained)
    if "rgb_array" in modes:
        with told(name), contained():
            return Opened(gym.make(gym_id, render_mode="rgb_array", disable_env_checker=True), None)
    raise ReverieError(
        f"world {name!r} shows no pixels: its observations are {_shortened(env.observation_space)} and its render "
        f"modes {modes}; expected a picture among the observations, or render_mode 'rgb_array'"
    )


def choose(name: str, env: gym.Env, options: WorldOptions) -> Picture | None:
    """The picture among the observations: the one that is named, the only one, or None."""
    found = pictures(env.observation_space)
    keys = ", ".join(picture.key for picture in found)
    if options.observation is not None:
        named = [picture for picture in found if picture.key == options.observation]
        if not named:
            has = f"those that it has are {keys}" if found else f"they are {_shortened(env.observation_space)}"
            raise ReverieError(f"world {name!r} has no picture {options.observation!r} in its observations; {has}")
        return named[0]
    sure = [picture for picture in found if picture.layout.is_sure]
    several = sure if len(sure) > 1 else found if not sure and len(found) > 1 and not _draws(env) else []
    if several:
        keys = ", ".join(picture.key for picture in several)
        raise ReverieError(
            f"world {name!r} shows several pictures, {keys}; name the one to take, as --world.observation "
            f"{several[0].key}"
        )
    return next(iter(sure or found), None)


def close_quietly(env: gym.Env, contained: Contained) -> None:
    """Close what is of no use any more; what it raises at that changes nothing."""
    try:
        with contained():
            env.close()
    except Exception:
        return


def prepare_display() -> None:
    """Let drawing go to memory where no screen is; what the environment says already goes first."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # SDL would look for a screen and a sound card
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    if sys.platform == "linux" and not os.environ.get("DISPLAY") and not os.environ.get("MUJOCO_GL"):
        library = next(
            (gl for gl, file in (("egl", "EGL"), ("osmesa", "OSMesa")) if ctypes.util.find_library(file)), None
        )
        if library is not None:
            os.environ["MUJOCO_GL"] = library


def _render_modes(env: gym.Env) -> list[Any]:
    return list((env.metadata or {}).get("render_modes") or [])


def _draws(env: gym.Env) -> bool:
    return "rgb_array" in _render_modes(env)


def _shortened(space: gym.Space) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 200 else f"{text[:200]}..."
