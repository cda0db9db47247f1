"""The one door to every world: `world_spec` tells what it is, `make` opens it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, NamedTuple

from reverie.errors import ReverieError
from reverie.worlds.faults import told
from reverie.worlds.names import DESCRIPTIONS

if TYPE_CHECKING:
    from reverie.worlds.serial import SingleWorld
    from reverie.worlds.spec import WorldSpec
    from reverie.worlds.vector import Backend, WorldVectorEnv

Engine = Literal["auto", "gymnasium", "envpool"]

DOOM_VARIANT = re.compile(r"doom(?:-skill-(-?\d+))?(?:-repeat-(-?\d+))?")
LONGEST_REPEAT = 35  # steps that one action of Take Cover can last: a second
POOLED_CAR = "carracing-envpool"  # the car as it trains, by a name of its own

# world -> (module, product, extra of this package), what it cannot do without
NEEDS = {"doom": ("vizdoom", "ViZDoom", "doom"), "carracing": ("Box2D", "Box2D", "carracing")}


def describe() -> str:
    """One line for each named world, with the command that installs what is missing, and one for all others."""
    lines = [f"{name:<10} {text}{_install_hint(name)}" for name, text in DESCRIPTIONS.items()]
    return "\n".join(
        [
            *lines,
            "Any Gymnasium id is a world too: 'LunarLander-v3', 'module:Env-v0', './my_env.py:Env-v0'; "
            "'reverie worlds --check ID' opens one and shows it",
        ]
    )


def world_spec(name: str) -> WorldSpec:
    """A world's actions, kind of reward and cap; a Gymnasium id is opened briefly to ask."""
    _refuse_options(name)
    variant = doom_variant(name)
    if variant is not None:
        from reverie.worlds.doom import DOOM

        return replace(DOOM, name=name, max_steps=DOOM.max_steps // variant.repeat, repeat=variant.repeat)
    if name in ("carracing", POOLED_CAR):
        from reverie.worlds.carracing import CARRACING

        return replace(CARRACING, name=name)
    if name == "tiny":
        from reverie.worlds.tiny import TINY

        return TINY
    if name == "climb":
        from reverie.worlds.climb import CLIMB

        return CLIMB
    from reverie.worlds.generic.world import generic_spec

    return generic_spec(name)


class DoomVariant(NamedTuple):
    """What a name says of Take Cover: its skill (None: the scenario's own) and how many steps an action lasts."""

    skill: int | None = None
    repeat: int = 1


def doom_variant(name: str) -> DoomVariant | None:
    """Read "doom", "doom-skill-5", "doom-repeat-4" or "doom-skill-5-repeat-4"; None for any other world.

    Raises: ReverieError for a skill beyond 1 to 5, and for a repeat beyond 2 to 35.
    """
    found = DOOM_VARIANT.fullmatch(name)
    if found is None:
        return None
    skill, repeat = (None if part is None else int(part) for part in found.groups())
    if skill is not None and not 1 <= skill <= 5:
        raise ReverieError(f"skill is {skill}, expected 1 to 5")
    if repeat is not None and not 2 <= repeat <= LONGEST_REPEAT:
        raise ReverieError(f"repeat is {repeat}, expected 2 to {LONGEST_REPEAT} steps")
    return DoomVariant(skill, repeat or 1)


def most_slots(name: str, wanted: int) -> int:
    """How many of a world can be played side by side in one process, where `wanted` are wanted."""
    from reverie.worlds.generic.options import split_name

    instances = split_name(name)[1].instances
    return wanted if instances is None else min(wanted, instances)


def repeat_of(name: str) -> int:
    """The steps of the game that a step of this world lasts."""
    from reverie.worlds.generic.options import split_name

    variant = doom_variant(name)
    return (split_name(name)[1].repeat or 1) if variant is None else variant.repeat


def base_world(name: str) -> str:
    """The world that one by another name is a variant of: "doom" of "doom-skill-5", "carracing" of its EnvPool copy."""
    if name == POOLED_CAR:
        return "carracing"
    return name if doom_variant(name) is None else "doom"


def make(
    name: str, num_envs: int = 1, seed: int | None = None, *, engine: Engine = "auto", skill: int | None = None
) -> WorldVectorEnv:
    """Open `num_envs` sub-environments of a world.

    seed: where `reset` without seeds draws them from.
    engine: for carracing, "envpool" (training), "gymnasium" (published scores) or "auto": EnvPool where installed.
        EnvPool's is also a world by its name, "carracing-envpool".
    skill: for doom, 1 to 5; 4 is the scenario's own. Skill 5 is also a world by its name, "doom-skill-5".
    """
    from reverie.worlds.vector import WorldVectorEnv

    if num_envs < 1:
        raise ReverieError(f"num_envs is {num_envs}, expected at least 1")
    if most_slots(name, num_envs) < num_envs:
        raise ReverieError(
            f"num_envs is {num_envs}, but a process holds at most {most_slots(name, num_envs)} of {name!r}"
        )
    if engine not in ("auto", "gymnasium", "envpool"):
        raise ReverieError(f"unknown engine {engine!r}; expected auto, gymnasium or envpool")
    if engine == "envpool" and name not in ("carracing", POOLED_CAR):
        raise ReverieError(f"engine 'envpool' was asked for world {name!r}, but it runs only 'carracing'")
    if engine == "gymnasium" and name == POOLED_CAR:
        raise ReverieError(
            f"engine 'gymnasium' was asked for world {name!r}, which is EnvPool's by its name; open 'carracing'"
        )
    if skill is not None and name != "doom":
        raise ReverieError(f"skill={skill} was given for world {name!r}, but only 'doom' has skills")
    if skill is not None:
        name = f"{name}-skill-{skill}"
    return WorldVectorEnv(world_spec(name), _backend(name, num_envs, engine), seed)


def _backend(name: str, num_envs: int, engine: Engine) -> Backend:
    from reverie.worlds.serial import SerialBackend

    variant = doom_variant(name)
    if variant is not None:
        return SerialBackend(_doom_maker(variant), num_envs)
    if name in ("carracing", POOLED_CAR):
        return _car_backend(num_envs, "envpool" if name == POOLED_CAR else engine)
    if name == "tiny":
        from reverie.worlds.tiny import FollowGames

        return FollowGames(num_envs)
    if name == "climb":
        from reverie.worlds.climb import ClimbGames

        return ClimbGames(num_envs)
    from reverie.worlds.generic.world import GenericWorld

    return SerialBackend(lambda: GenericWorld(name), num_envs)


def _doom_maker(variant: DoomVariant) -> Callable[[], SingleWorld]:
    _require("doom", *NEEDS["doom"])
    from reverie.worlds.doom import SKILL, DoomWorld

    def open_game() -> DoomWorld:
        with told("doom"):
            return DoomWorld(SKILL if variant.skill is None else variant.skill, variant.repeat)

    return open_game


def _car_backend(num_envs: int, engine: Engine) -> Backend:
    from reverie.worlds.carracing import CarWorld, PooledCars
    from reverie.worlds.serial import SerialBackend

    if engine == "auto":
        engine = "gymnasium" if find_spec("envpool") is None else "envpool"
    if engine == "envpool":
        _require("carracing", "envpool", "EnvPool", "fast")
        return PooledCars(num_envs)
    _require("carracing", *NEEDS["carracing"])
    return SerialBackend(CarWorld, num_envs)


def _refuse_options(name: str) -> None:
    """The worlds with a name of their own take no settings."""
    plain, mark, text = name.partition("?")
    if mark and (plain in (*DESCRIPTIONS, POOLED_CAR) or doom_variant(plain) is not None):
        raise ReverieError(f"world {plain!r} has no settings of its own, but was given {text!r}; leave them out")


def _install_hint(name: str) -> str:
    module, _, extra = NEEDS.get(name, ("numpy", "NumPy", ""))
    return "" if find_spec(module) else f" (not installed: pip install 'reverie[{extra}]')"


def _require(world: str, module: str, product: str, extra: str) -> None:
    if find_spec(module) is None:
        raise ReverieError(f"world {world!r} needs {product}, which is not installed: pip install 'reverie[{extra}]'")
